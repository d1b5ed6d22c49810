"""Reads the rows of a Parquet file."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.reading.data_file import (
    CAPTION_KEYS,
    EMBEDDING,
    TURNS_KEYS,
    DataFile,
    Row,
    known_names,
    opened,
    refuse_repeated,
    take,
)
from unicorn_hf.reading.errors import reading_parquet

BATCH_ROWS = 500
_NO_PARQUET = {b"PAR1": "Get the file again: it is truncated or damaged.", b"": "It is empty. Get the file again."}
"""Advice by a file's first bytes."""
_ANOTHER = "It is not a Parquet file. Rename a text file to its format, e.g. .csv or .jsonl."


def parquet_rows(file: DataFile, notes: ReadingNotes) -> Iterator[Row]:
    number = 0
    with opened(file) as stream, reading_parquet(file.name, _NO_PARQUET.get(stream.read(4), _ANOTHER)):
        parquet = pq.ParquetFile(stream)
        schema = parquet.schema_arrow
        names = known_names(file, schema.names)
        key, columns = _parquet_columns(file, schema, names)
        take(file, notes, None, *([f"column {key}"] if key else []))
        for name, kind in zip(names, schema.types, strict=True):
            if name not in columns and parquet.metadata.num_rows:
                notes.leave(f"values of {name!a}", "not_read", file.name, kind, num=parquet.metadata.num_rows)
        stored = [schema.names[names.index(name)] for name in columns]
        renamed = {key: CAPTION_KEYS[0]} if file.column is None and key not in CAPTION_KEYS else {}
        for batch in by_group(parquet, batch_size=BATCH_ROWS, columns=stored):
            batch = batch.rename_columns([renamed.get(name, name) for name in columns])
            embeddings = batch.column(EMBEDDING) if EMBEDDING in columns else None
            rest = batch.drop_columns([EMBEDDING]) if embeddings is not None else batch
            for at, row in enumerate(_values(file, rest, number)):
                number += 1
                yield number, row, None if embeddings is None else partial(_embedding, embeddings, at)


def _values(file: DataFile, batch: pa.RecordBatch, before: int) -> list[dict[str, Any]]:
    """The rows of a batch, which come after the number `before`; an `InputError` if a text is not UTF-8."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        for at, name in product(range(batch.num_rows), batch.schema.names):
            try:
                batch.column(name)[at].as_py()
            except UnicodeDecodeError as error:
                where = f'{file.place(before + at + 1)}, field "{name}"'
                told = f"{where}: not UTF-8 (byte 0x{error.object[error.start]:02x})"
                raise InputError(told, "Write the column again as UTF-8 text.") from error
        raise


def _parquet_columns(file: DataFile, schema: pa.Schema, names: Sequence[str]) -> tuple[str | None, list[str]]:
    kinds = dict(zip(names, schema.types, strict=True))
    texts = [name for name, kind in kinds.items() if _is_text(kind)]
    meant = file.named_key(names)
    if meant and file.named_key(texts) is None:
        advice = "Write a row for each text." if pa.types.is_list(kinds[meant]) else "Convert it to strings."
        raise InputError(f"{file.name}: column {meant} holds {kinds[meant]}, not text", advice)
    key = file.text_key(texts)
    if key is None and not set(TURNS_KEYS) & set(names) & file.keys:
        raise file.no_column(file.name, texts)
    refuse_repeated(file.name, names, {key, *file.keys})
    columns = [name for name in names if name == key or name in file.keys]
    for other in [name for name in TURNS_KEYS if name in columns][1:]:
        columns.remove(other)
    return key, columns


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _embedding(column: pa.Array, row: int) -> NDArray[Any]:
    value = column[row]
    is_list = isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar)
    if not value.is_valid:
        return np.empty(0)
    found: NDArray[Any] = value.values.to_numpy(zero_copy_only=False) if is_list else np.array(value.as_py(), object)
    return found


def by_group(file: pq.ParquetFile, **options: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a file, one row group at a time; `options` are those of `iter_batches`."""
    # With several groups, pyarrow reads far ahead and keeps all data until the file's end.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(row_groups=[group], **options)
