"""Puts a row of each config of a built folder into README.md: python scripts/readme_rows.py unicorn"""

import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- rows: .*? -->\n).*?(<!-- /rows -->)", re.DOTALL)


def example(folder: Path, config: str) -> str:
    first = sorted((folder / config).glob("*.parquet"))[0]
    row = next(pq.ParquetFile(first).iter_batches(batch_size=1)).to_pylist()[0]
    vector = row["image_embedding"]
    row["image_embedding"] = [*(round(number, 4) for number in vector[:3]), f"... {len(vector)} numbers"]
    return f"`{config}`\n\n```json\n{json.dumps(row, indent=2, ensure_ascii=False)}\n```\n"


def main(folder: Path) -> None:
    rows = "\n".join(example(folder, config) for config in ("pretrain", "instruction"))
    README.write_text(BLOCK.sub(lambda found: f"{found[1]}\n{rows}\n{found[2]}", README.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
