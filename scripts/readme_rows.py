"""Puts rows of a built folder into README.md and docs/data.md: python scripts/readme_rows.py unicorn"""

import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "data.md")
BLOCK = re.compile(r"(<!-- row (\w+): .*? -->\n).*?(<!-- /row -->)", re.DOTALL)


def example(folder: Path, config: str) -> str:
    first = sorted((folder / config).glob("*.parquet"))[0]
    row = next(pq.ParquetFile(first).iter_batches(batch_size=1)).to_pylist()[0]
    vector = row["image_embedding"]
    row["image_embedding"] = [*(round(number, 4) for number in vector[:3]), f"... {len(vector)} numbers"]
    return f"```json\n{json.dumps(row, indent=2, ensure_ascii=False)}\n```\n"


def main(folder: Path) -> None:
    for page in PAGES:
        page.write_text(BLOCK.sub(lambda found: f"{found[1]}{example(folder, found[2])}{found[3]}", page.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
