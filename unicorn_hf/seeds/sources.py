"""Where caption seeds come from: files, label lists with templates, data sets. All are read as streams."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import DatasetSource, FileSource, LabelSource, Source, Strings, package_file
from unicorn_hf.seeds.datasets import read_dataset, read_labels
from unicorn_hf.seeds.normalise import normalise

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")


def source_names(sources: Sequence[Source]) -> list[str]:
    """What the card calls the sources; those of one name are numbered from the second on."""
    names: list[str] = []
    for source in sources:
        name = source.name or Path(source.path).name
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if name in names else name)
    return names


def source_path(source: FileSource | LabelSource) -> Path:
    return package_file(source.path, Path())


def read_source(source: Source, random_seed: int) -> Iterator[str]:
    """The source's seeds as they stand, in the source's order.

    Raises:
        InputError: the file is missing, not UTF-8 (the line is named), of an unknown kind, or lacks the column.
        RunError: a data set cannot be read.
    """
    match source:
        case FileSource():
            return islice(_read_file(source_path(source), source.column), source.limit)
        case LabelSource():
            labels = _read_file(source_path(source), None)
            return islice(_expanded(labels, source.templates, source.num_templates, random_seed), source.limit)
        case DatasetSource(templates=()):
            return read_dataset(source, random_seed)
        case DatasetSource():
            return _expanded(read_labels(source), source.templates, source.num_templates, random_seed)


def _expanded(labels: Iterator[str], templates: Strings, number: int, random_seed: int) -> Iterator[str]:
    for text in labels:
        label = normalise(text)
        if not label:
            yield label
            continue
        drawn = Random(stable_int(str(random_seed), "templates", label))
        for template in drawn.sample(templates, min(number, len(templates))):
            yield template.replace("{label}", label)


def _read_file(path: Path, column: str | None) -> Iterator[str]:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file of seeds")
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: seeds are read from {', '.join(SUFFIXES)} files, not from {suffix or 'this'}")
    return _READERS[suffix](path, column)


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
    tabs = path.suffix.lower() == ".tsv"
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines, strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(f"{path}, in the row that begins in line {start}: {error}") from error
        start, number = rows.line_num + 1, rows.line_num
        if row is None:
            return
        if header is None:
            header, position = row, row.index(_column(path, column, row))
        elif len(row) > len(header) and any(row[len(header) :]):
            raise InputError(
                f"{path}, line {number}: {len(row)} fields, the first line has {len(header)}",
                "" if tabs else "A text that holds a comma stands in quotation marks.",
            )
        elif row and len(row) <= position:
            raise InputError(f"{path}, line {number}: {len(row)} fields, {header[position]} is number {position + 1}")
        else:
            yield row[position] if row else ""


def _read_json_lines(path: Path, column: str | None) -> Iterator[str]:
    for number, line in _lines(path):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: not JSON: {error}") from error
            yield _text_of(value, column, f"{path}, line {number}")


def _read_json(path: Path, column: str | None) -> Iterator[str]:
    text = "".join(line for _, line in _lines(path))
    try:
        values = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, list):
        raise InputError(f"{path}: seeds are a JSON list of strings or of objects, not {_kind(values)}")
    for number, value in enumerate(values, start=1):
        yield _text_of(value, column, f"{path}, item {number}")


def _text_of(value: Any, column: str | None, place: str) -> str:
    if isinstance(value, str) and column is None:
        return value
    if not isinstance(value, dict):
        wanted = "a string or an object" if column is None else f"an object with {column!r}"
        raise InputError(f"{place}: {wanted} is needed, not {_kind(value)}")
    text = value[_column(place, column, list(value))]
    if not isinstance(text, str | None):
        raise InputError(f"{place}: a seed is text, not {_kind(text)}")
    return text or ""


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _read_parquet(path: Path, column: str | None) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error
    texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
    if column is not None and column in file.schema_arrow.names and column not in texts:
        raise InputError(f"{path}: column {column} holds {file.schema_arrow.field(column).type}, not text")
    name = _column(path, column, texts)
    try:
        for batch in file.iter_batches(batch_size=8192, columns=[name]):
            for value in batch.column(0).to_pylist():
                yield value or ""
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: the Parquet file is damaged: {error}") from error


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


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
