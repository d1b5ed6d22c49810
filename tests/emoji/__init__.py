"""Pictures of emoji that the demonstration encoder never saw, and what they show. Licence: README.md."""

import csv
from pathlib import Path

FOLDER = Path(__file__).parent
with (FOLDER / "metadata.csv").open(encoding="utf-8", newline="") as _file:
    _rows = list(csv.DictReader(_file))
PICTURES = [FOLDER / row["file_name"] for row in _rows]
LABELS = [row["text"] for row in _rows]
