"""Where caption seeds come from: files, label lists with templates, data sets. All are read as streams."""

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import DatasetSource, FileSource, LabelSource, Source, package_file

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")


def source_name(source: Source) -> str:
    return source.name or Path(source.path).name


def source_path(source: FileSource | LabelSource) -> Path:
    return package_file(source.path, Path())


def read_source(source: Source, random_seed: int) -> Iterator[str]:
    """The source's seeds as they stand, in the source's order.

    Raises:
        InputError: the file is missing, not UTF-8 (the line is named), of an unknown kind, or lacks the column.
    """
    return islice(_read(source, random_seed), source.limit)


def _read(source: Source, random_seed: int) -> Iterator[str]:
    match source:
        case FileSource():
            return _read_file(source_path(source), source.column)
        case LabelSource():
            return _expand_labels(source, random_seed)
        case DatasetSource():
            return _read_dataset(source)


def _expand_labels(source: LabelSource, random_seed: int) -> Iterator[str]:
    for label in _read_file(source_path(source), None):
        if label.strip():
            drawn = Random(stable_int(str(random_seed), "templates", label))
            for template in drawn.sample(source.templates, min(source.num_templates, len(source.templates))):
                yield template.replace("{label}", label.strip())


def _read_dataset(source: DatasetSource) -> Iterator[str]:
    from datasets import load_dataset

    try:
        rows = load_dataset(source.path, source.config, split=source.split, revision=source.revision, streaming=True)
    except (OSError, ValueError) as error:
        raise RunError(
            f"the seed data set {source.path} cannot be read: {error}",
            "Is the Hub within reach? --seeds FILE uses seeds of your own instead.",
        ) from error
    if rows.column_names and source.column not in rows.column_names:
        raise InputError(_no_column(source.path, source.column, rows.column_names))
    for row in rows.select_columns([source.column]):
        value = row[source.column]
        # One caption an image: the first, where a data set holds several.
        yield str(value[0] if isinstance(value, list) and value else value)


def _read_file(path: Path, column: str | None) -> Iterator[str]:
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: seeds are read from {', '.join(SUFFIXES)} files, not from {path.suffix or 'this'}")
    return _READERS[path.suffix](path, column)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}, line {number}: not UTF-8 (byte {error.start} of the line)",
                    "Save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8.",
                ) from error


def _read_text(path: Path, column: str | None) -> Iterator[str]:
    if column is not None:
        raise InputError(f"{path}: a .txt file has one seed a line and no column {column!r}")
    for _, line in _lines(path):
        yield line


def _read_delimited(path: Path, column: str | None) -> Iterator[str]:
    lines = (line for _, line in _lines(path))
    # Tab-separated values have no quoting; a quotation mark there is a quotation mark.
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if path.suffix == ".tsv" else csv.reader(lines)
    header = next(rows, None)
    if header is None:
        return
    position = header.index(_column(path, column, header))
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {rows.line_num}: {error}") from error
        if row is None:
            return
        if row:
            if len(row) <= position:
                raise InputError(
                    f"{path}, line {rows.line_num}: {len(row)} fields, {position + 1} are needed for {header[position]}"
                )
            yield row[position]


def _read_json_lines(path: Path, column: str | None) -> Iterator[str]:
    for number, line in _lines(path):
        if line.strip():
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}, line {number}: not JSON: {error}") from error
            yield _text_of(value, column, f"{path}, line {number}")


def _read_json(path: Path, column: str | None) -> Iterator[str]:
    text = "".join(line for _, line in _lines(path))
    try:
        values = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(values, list):
        raise InputError(f"{path}: seeds are a JSON list of strings or objects, not of kind {type(values).__name__}")
    for number, value in enumerate(values, start=1):
        yield _text_of(value, column, f"{path}, item {number}")


def _text_of(value: Any, column: str | None, place: str) -> str:
    if isinstance(value, str) and column is None:
        return value
    if not isinstance(value, dict):
        raise InputError(f"{place}: a string or an object is needed, not {type(value).__name__}")
    text = value[_column(place, column, list(value))]
    if not isinstance(text, str):
        raise InputError(f"{place}: a seed is text, not {type(text).__name__}")
    return text


def _read_parquet(path: Path, column: str | None) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error
    texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type) or _is_large(field.type)]
    if column is not None and column in file.schema_arrow.names and column not in texts:
        raise InputError(f"{path}: column {column} holds {file.schema_arrow.field(column).type}, not text")
    name = _column(path, column, texts)
    for batch in file.iter_batches(batch_size=8192, columns=[name]):
        for value in batch.column(0).to_pylist():
            yield value or ""


def _is_large(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(kind))


def _column(place: Path | str, column: str | None, columns: list[str]) -> str:
    if column is None:
        if len(columns) == 1:
            return columns[0]
        raise InputError(
            f"{place}: which column holds the seeds? It has {_names(columns)}", "Say it: --seed-column NAME."
        )
    if column not in columns:
        raise InputError(_no_column(place, column, columns))
    return column


def _no_column(place: Path | str, column: str, columns: list[str]) -> str:
    return f"{place}: no column {column!r}; it has {_names(columns)}"


def _names(columns: list[str]) -> str:
    return ", ".join(columns) if columns else "no column of text"


_READERS: dict[str, Callable[[Path, str | None], Iterator[str]]] = {
    ".txt": _read_text,
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
