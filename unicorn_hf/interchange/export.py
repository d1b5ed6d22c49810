"""A built folder in the forms that trainers read: JSON lists of conversations, and the vectors beside them."""

import json
import pickle
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.repository import replaced
from unicorn_hf.builders.rows import batches, num_rows, vectors_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.interchange.vectors import KEY
from unicorn_hf.runtime.progress import NoProgress, Progress

Format = Literal["bunny", "llava", "sharegpt", "webdataset"]
FORMATS: tuple[Format, ...] = ("bunny", "llava", "sharegpt", "webdataset")
VECTORS_PER_FILE = 10_000
"""25 MB of them at 1,280 float16."""
ROWS_PER_TAR = 10_000
EMBEDDINGS = "embeddings"
_TEXT = ["id", "caption", "conversations"]
_SOURCE = ["seed", "domain"]
_SHAREGPT = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "images": "images"},
    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
}
"""What LLaMA-Factory must know of a file; without it, it takes the images for none."""


def export(folder: str | Path, format: Format, out: str | Path, *, progress: Progress | None = None) -> None:
    """Write the set in `folder` in another form; `out` appears when it is whole.

    - `bunny`, the original trainer's: `pretrain.json` and `instruction.json`, lists of {"id", "caption",
      "conversations"}, and `embeddings/*.pkl`, pickled lists of {"id", "caption", "embed"} with `embed` a float32 array
      of shape (dim,); those of both configs, joined by id.
    - `llava`: JSON lists of {"id", "image", "conversations", "seed", "domain"}, and "task" in `instruction.json`;
      `image` is `FILE#ROW` of `embeddings/*.safetensors`: a row of its tensor `embeddings`, of shape (rows, dim).
    - `sharegpt`: the same with a list `images`, and LLaMA-Factory's `dataset_info.json`.
    - `webdataset`: a folder for each config of tar shards, a .json and a .npy of each row.

    `unicorn_hf.interchange.importing` reads all of them; of the first, the pickles aside.

    A few hundred rows, and one file of vectors, are in memory at a time.

    Raises:
        InputError: `folder` holds no set, or there is something at `out`.
        RunError: `out` cannot be written.
    """
    folder, out, progress = Path(folder), Path(out).expanduser().absolute(), progress or NoProgress()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; it is left as it is", "Another --out DIR, or move it away.")
    progress.start("export", sum(num_rows(folder, config) for config in CONFIGS))
    done = 0

    def tell(rows: int) -> None:
        nonlocal done
        done += rows
        progress.known(done, 0)

    with replaced(out, advice="Nothing was left there. Another --out DIR, or make room.") as staging:
        _WRITERS[format](folder, staging, tell)
    progress.finish()


Tell = Callable[[int], None]


def _bunny(folder: Path, out: Path, tell: Tell) -> None:
    with _json_list(out / "pretrain.json") as add:
        for number, rows, vectors in _in_files(folder):
            records = [
                {"id": row["id"], "caption": row["caption"], "embed": vector}
                for row, vector in zip(rows, vectors.astype(np.float32), strict=True)
            ]
            with _created(out / EMBEDDINGS / f"{number:05d}.pkl").open("wb") as file:
                pickle.dump(records, file, protocol=pickle.HIGHEST_PROTOCOL)
            for row in rows:
                add({name: row[name] for name in _TEXT})
            tell(len(rows))
    with _json_list(out / "instruction.json") as add:
        for row in _instruction_rows(folder, tell):
            # Without its caption a record is left out by the original trainer.
            add({name: row[name] for name in _TEXT})


def _with_places(folder: Path, out: Path, tell: Tell, place: Callable[[str], Mapping[str, object]]) -> None:
    from safetensors.numpy import save_file

    with _json_list(out / "pretrain.json") as add:
        for number, rows, vectors in _in_files(folder):
            save_file({KEY: vectors}, _created(out / _vector_file(number)))
            for at, row in enumerate(rows):
                add(_row(row, place(f"{_vector_file(number)}#{at}")))
            tell(len(rows))
    places = _Places(folder)
    with _json_list(out / "instruction.json") as add:
        for row in _instruction_rows(folder, tell):
            add(_row(row, place(places.of(row["id"]))))


def _row(row: Mapping[str, Any], place: Mapping[str, object]) -> dict[str, object]:
    rest = {name: row[name] for name in (*_SOURCE, "task") if name in row}
    return {"id": row["id"], **place, "conversations": row["conversations"], **rest}


def _llava(folder: Path, out: Path, tell: Tell) -> None:
    _with_places(folder, out, tell, lambda place: {"image": place})


def _sharegpt(folder: Path, out: Path, tell: Tell) -> None:
    _with_places(folder, out, tell, lambda place: {"images": [place]})
    described = {f"unicorn_{config}": {"file_name": f"{config}.json", **_SHAREGPT} for config in CONFIGS}
    (out / "dataset_info.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _webdataset(folder: Path, out: Path, tell: Tell) -> None:
    for config in CONFIGS:
        columns = [*_TEXT, *_SOURCE, "image_embedding", *(["task"] if config == "instruction" else [])]
        with ExitStack() as opened:
            tar: tarfile.TarFile | None = None
            done = 0
            for batch in batches(folder, config, columns):
                rows = batch.drop_columns(["image_embedding"]).to_pylist()
                for row, vector in zip(rows, vectors_of(batch), strict=True):
                    if tar is None or done % ROWS_PER_TAR == 0:
                        opened.close()
                        path = _created(out / config / f"{done // ROWS_PER_TAR:05d}.tar")
                        tar = opened.enter_context(tarfile.open(path, "w"))
                    _add(tar, f"{done:09d}.json", json.dumps(row, ensure_ascii=False).encode())
                    _add(tar, f"{done:09d}.npy", _npy(vector))
                    done += 1
                tell(len(rows))


_WRITERS: dict[Format, Callable[[Path, Path, Tell], None]] = {
    "bunny": _bunny,
    "llava": _llava,
    "sharegpt": _sharegpt,
    "webdataset": _webdataset,
}


@dataclass
class _Places:
    """Where the vector of each instruction row is: its rows come in the order of `pretrain`."""

    folder: Path

    def __post_init__(self) -> None:
        ids = (row_id for batch in batches(self.folder, "pretrain", ["id"]) for row_id in batch.column(0).to_pylist())
        self._ids = enumerate(ids)

    def of(self, row_id: str) -> str:
        for at, other in self._ids:
            if other == row_id:
                return f"{_vector_file(at // VECTORS_PER_FILE)}#{at % VECTORS_PER_FILE}"
        raise InputError(
            f"{self.folder}: the instruction row {row_id} has no caption in pretrain, or not in the order of pretrain",
            f"Try: unicorn-hf validate {self.folder}",
        )


def _vector_file(number: int) -> str:
    return f"{EMBEDDINGS}/{number:05d}.safetensors"


def _in_files(folder: Path) -> Iterator[tuple[int, list[dict[str, Any]], NDArray[Any]]]:
    """The rows of `pretrain` and their vectors, as many as go into a file of vectors, with its number."""
    rows: list[dict[str, Any]] = []
    vectors: list[NDArray[Any]] = []
    number = 0
    for batch in batches(folder, "pretrain", [*_TEXT, *_SOURCE, "image_embedding"]):
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, VECTORS_PER_FILE - len(rows))
            start += part.num_rows
            rows += part.drop_columns(["image_embedding"]).to_pylist()
            vectors.append(vectors_of(part))
            if len(rows) == VECTORS_PER_FILE:
                yield number, rows, np.concatenate(vectors)
                rows, vectors, number = [], [], number + 1
    if rows:
        yield number, rows, np.concatenate(vectors)


def _instruction_rows(folder: Path, tell: Tell) -> Iterator[dict[str, Any]]:
    for batch in batches(folder, "instruction", [*_TEXT, *_SOURCE, "task"]):
        yield from batch.to_pylist()
        tell(batch.num_rows)


@contextmanager
def _json_list(path: Path) -> Iterator[Callable[[object], None]]:
    """A JSON list that is written item by item, one a line."""
    with _created(path).open("w", encoding="utf-8") as file:
        file.write("[")
        separator = "\n"

        def add(item: object) -> None:
            nonlocal separator
            file.write(separator + json.dumps(item, ensure_ascii=False))
            separator = ",\n"

        yield add
        file.write("\n]\n")


def _created(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # The default header: no time and no owner, so equal rows give equal tars.
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, BytesIO(content))


def _npy(vector: NDArray[Any]) -> bytes:
    file: IO[bytes] = BytesIO()
    np.save(file, vector)
    file.seek(0)
    return file.read()
