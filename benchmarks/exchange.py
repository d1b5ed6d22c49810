"""Export to the form `llava` and import of it again, 100,000 rows: rows a second, peak memory, and what comes back.

    python benchmarks/exchange.py --rows 100000 --dim 1280

The set is made up first: captions of 129 words, a conversation for one in five. The reference is `json.load` of the
same two JSON files, which checks nothing and writes nothing. Each step is a process of its own, so that its peak is
its own; the peak of a process that only imports the package stands beside it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from synthetic import write_conversations, write_shards

from unicorn_hf.builders.rows import batches, vectors_of
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS
from unicorn_hf.interchange.export import export
from unicorn_hf.interchange.importing import Taken, take
from unicorn_hf.interchange.reading import imported_files
from unicorn_hf.interchange.recipe import import_recipe
from unicorn_hf.representations.vectors import read_vectors
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.progress import Progress


def _export(folder: Path) -> None:
    export(folder / "set", "llava", folder / "llava")


def _json_load(folder: Path) -> None:
    for name in ("pretrain", "instruction"):
        with (folder / "llava" / f"{name}.json").open("rb") as file:
            json.load(file)


def _import(folder: Path) -> None:
    _taken(folder, with_vectors=True)


def _import_text(folder: Path) -> None:
    _taken(folder, with_vectors=False)


def _nothing(folder: Path) -> None:
    """What the package itself takes."""


_STEPS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "nothing": ("the package imported, nothing done", _nothing),
    "export": ("export, with vectors", _export),
    "json": ("json.load of the same files (reference)", _json_load),
    "text": ("import, captions and conversations", _import_text),
    "import": ("import, with vectors", _import),
}


def _taken(folder: Path, *, with_vectors: bool) -> Taken:
    recipe = import_recipe([folder / "llava"])
    assert recipe.imported
    files = imported_files(recipe.imported, with_vectors=with_vectors)
    return take(recipe, files, with_vectors=with_vectors, work_dir=folder / "work", progress=Progress())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        started, started_cpu = time.perf_counter(), time.process_time()
        _STEPS[arguments.step][1](arguments.folder)
        print(json.dumps([time.perf_counter() - started, time.process_time() - started_cpu, _peak_mb()]))
        return
    with tempfile.TemporaryDirectory() as name:
        _run(Path(name), arguments.rows, arguments.dim)


def _peak_mb() -> float:
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]


def _run(folder: Path, num_rows: int, dim: int) -> None:
    write_shards(folder / "set", num_rows, dim, rows_per_shard=20_000)
    write_conversations(folder / "set", num_rows, dim, rows_per_shard=20_000)
    num_all = num_rows + num_rows // 5
    measured = {step: _measured(step, folder) for step in _STEPS}
    num_bytes = sum(path.stat().st_size for path in (folder / "llava").glob("*.json"))
    print(f"{num_rows:,} captions and {num_rows // 5:,} conversations, dim {dim:,}; JSON of {num_bytes / 1e6:,.0f} MB")
    reference = measured["json"]
    for step, (what, _) in _STEPS.items():
        seconds, cpu, peak = measured[step]
        rate = "" if step == "nothing" else f"{num_all / seconds:>9,.0f} rows/s, {cpu:6.1f} CPU s"
        ratio = f", {cpu / reference[1]:.1f} times the CPU of json.load" if step in ("text", "import") else ""
        print(f"  {what:42} peak {peak:7,.0f} MB{', ' if rate else ''}{rate}{ratio}")
    _check(folder)


def _measured(step: str, folder: Path) -> list[float]:
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


def _check(folder: Path) -> None:
    """See that the import holds what the set held."""
    taken = _taken(folder, with_vectors=True)
    wanted = batches(folder / "set", "pretrain", ["id", "caption", "conversations", "image_embedding"])
    theirs = (
        (row, vector) for batch in wanted for row, vector in zip(batch.to_pylist(), vectors_of(batch), strict=True)
    )
    num_rows = 0
    for picked in taken.captions.picked:
        path = taken.vectors(picked.partition)
        assert path
        for row, vector in zip(read_table(picked.path, CAPTIONS).to_pylist(), read_vectors(path), strict=True):
            other, embedding = next(theirs)
            assert (row["id"], row["caption"]) == (other["id"], other["caption"])
            assert row["request"] == other["conversations"][0]["value"]
            assert np.array_equal(vector.astype(np.float16), embedding)
            num_rows += 1
    assert next(theirs, None) is None
    said = (
        row for batch in batches(folder / "set", "instruction", ["id", "conversations"]) for row in batch.to_pylist()
    )
    num_conversations = 0
    for parts in taken.instructions.picked.values():
        for row in (row for picked in parts for row in read_table(picked.path, INSTRUCTIONS).to_pylist()):
            other = next(said)
            assert (row["id"], row["conversations"]) == (other["id"], other["conversations"])
            num_conversations += 1
    assert next(said, None) is None
    print(f"came back equal: {num_rows:,} captions with their vectors, {num_conversations:,} conversations")


if __name__ == "__main__":
    main()
