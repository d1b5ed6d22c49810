"""What builds of the dummy engine and encoder publish stays as it was, row for row and bit for bit.

`golden.json` holds digests. A change of filters, parsers or of the dummy engine may change them: write them anew with
`python -m tests.test_golden`, and say in the change log that sets are other sets now.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from tests.builds import SHARED, tables, unicorn

GOLDEN = Path(__file__).parent / "golden"
_ANIMALS = "horse dog heron goat sheep trout beetle owl mare badger".split()
_PLACES = "beside a river|under a bridge|in a market square|on a wooden pier|behind the old mill|in deep snow".split(
    "|"
)
_THINGS = "kettle lamp chair boat clock violin".split()
_GERMAN = "Ein Pferd steht|Ein Hund liegt|Eine Frau wartet|Ein Kind spielt".split("|")
_DORT = "am Ufer eines breiten Flusses|unter der alten Brücke|auf dem Markt einer kleinen Stadt".split("|")


def digest(folder: Path) -> dict[str, Any]:
    """Of a published set: columns with their types, rows in order, sizes of shards and row groups, and tensors."""
    found: dict[str, Any] = {}
    for config in ("pretrain", "instruction"):
        shards = [pq.ParquetFile(path) for path in sorted((folder / config).glob("*.parquet"))]
        found[config] = {
            "row_groups": [[s.metadata.row_group(i).num_rows for i in range(s.num_row_groups)] for s in shards],
            "columns": _columns(pa.concat_tables(tables(folder, config))),
        }
    tensors = load_file(folder / "transfer.safetensors")
    found["transfer"] = {name: _sha256(array.tobytes()) for name, array in sorted(tensors.items())}
    return found


def _columns(table: pa.Table) -> dict[str, str]:
    return {f"{field.name}: {field.type}": _of_column(table.column(field.name)) for field in table.schema}


def _of_column(column: pa.ChunkedArray) -> str:
    if pa.types.is_fixed_size_list(column.type):
        # As numbers, not as text: bit for bit.
        return _sha256(np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks]).tobytes())
    return _sha256(json.dumps(column.to_pylist(), ensure_ascii=False).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def build_all(folder: Path) -> dict[str, Any]:
    """A set that is written, one made from it with another transfer, and one of imported captions."""
    seeds = [f"a {animal} {place}" for place in _PLACES for animal in _ANIMALS for _ in range(2)]
    seeds += [f"{who} {where}" for where in _DORT for who in _GERMAN]
    (folder / "seeds.txt").write_text("\n".join(seeds) + "\n")
    labels = [f"{look} {thing}" for look in ("red", "tin", "tall") for thing in _THINGS]
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    (folder / "written.yaml").write_text((GOLDEN / "written.yaml").read_text())
    _build(folder, "written.yaml", "--out", "written")
    # The workers of the first are its own, and there are several; the others use one that is there.
    _build(folder, "--from", "written", *SHARED, "--transfer", "mean_shift", *_PLAIN, "--out", "moved")
    fewer = ["--random-seed", "6", "--captions", "70", "--instructions", "30"]
    raw = ["--transfer", "mean_shift_raw", "--set", "representations.dtype=float16"]
    _build(folder, "--from", "written", *SHARED, "--engine", "echo", *fewer, *raw, "--out", "again")
    rows = [row for table in tables(folder / "written", "instruction") for row in table.to_pylist()]
    keys = ("caption", "conversations", "domain")
    (folder / "others.jsonl").write_text("".join(json.dumps({k: row[k] for k in keys}) + "\n" for row in rows))
    done = unicorn("import", "others.jsonl", *_PLAIN, "--transfer", "none", "--out", "imported", cwd=folder)
    assert done.returncode == 0, done.stderr
    return {name: digest(folder / name) for name in ("written", "moved", "again", "imported")}


_PLAIN = ["--encoder", "hashing:24"]


def _build(folder: Path, *arguments: str) -> None:
    done = unicorn("build", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_builds_publish_what_they_always_did(tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / "golden.json").read_text())
    found = build_all(tmp_path)
    assert found == expected


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = build_all(Path(scratch))
    (GOLDEN / "golden.json").write_text(json.dumps(made, indent=1) + "\n")
