"""Puts a row of a built folder into docs/data.md: python scripts/readme_rows.py unicorn ID

The row of that id is taken from each config.
"""

import json
import re
import sys
from pathlib import Path

import pyarrow.dataset as ds

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "data.md"
BLOCK = re.compile(r"(<!-- row (\w+): .*? -->\n).*?(<!-- /row -->)", re.DOTALL)


def example(folder: Path, config: str, name: str) -> str:
    (row,) = ds.dataset(folder / config, format="parquet").to_table(filter=ds.field("id") == name).to_pylist()
    vector = row["image_embedding"]
    row["image_embedding"] = [*(round(number, 4) for number in vector[:3]), f"... {len(vector)} numbers"]
    return f"```json\n{json.dumps(row, indent=2, ensure_ascii=False)}\n```\n"


def main(folder: Path, name: str) -> None:
    PAGE.write_text(BLOCK.sub(lambda found: f"{found[1]}{example(folder, found[2], name)}{found[3]}", PAGE.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
