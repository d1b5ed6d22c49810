"""Parquet: columns of other types, nulls, metadata, and what the file says of itself."""

import io
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.mutators import plain
from tests.fuzz.mutators.trees import changed, dumped
from tests.fuzz.mutators.values import text

_METADATA = (b"huggingface", b"pandas", b"ARROW:schema", b"unicorn-hf.seal", b"", b"\xff\xfe")
_FIELD_METADATA = (b"PARQUET:field_id", b"ARROW:extension:name", b"ARROW:extension:metadata", b"comment")
_EXTENSIONS = (
    b"arrow.uuid",
    b"arrow.json",
    b"arrow.fixed_shape_tensor",
    b"arrow.opaque",
    b"datasets.features.Array2D",
    b"x",
)
_COUNTS = (0, -1, -(2**62), 1, 2**31, 2**62, 10**12)


def mutated(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.15:
        return _other_count(rng, content)
    table = pq.read_table(io.BytesIO(content))
    for _ in range(rng.choice((1, 1, 2))):
        table = rng.choice(_CHANGES)(rng, table)
    return _written(rng, table)


def _written(rng: Random, table: pa.Table) -> bytes:
    stream = io.BytesIO()
    options = {
        "compression": rng.choice(("zstd", "none", "gzip", "snappy", "lz4", "brotli")),
        "row_group_size": rng.choice((1, 3, 1000, 1000)),
        "use_dictionary": rng.random() < 0.5,
        "store_schema": rng.random() < 0.8,
        "data_page_version": rng.choice(("1.0", "2.0")),
    }
    try:
        pq.write_table(table, stream, **options)
    except (pa.ArrowException, ValueError, TypeError, OSError):
        # Not every type can stand in a Parquet file, and of those that cannot none can reach a reader.
        stream = io.BytesIO()
        pq.write_table(pa.table({"caption": pa.nulls(table.num_rows)}), stream)
    return stream.getvalue()


def _column(rng: Random, table: pa.Table) -> tuple[int, pa.Field]:
    at = rng.randrange(table.num_columns)
    return at, table.schema.field(at)


def _other_type(rng: Random, table: pa.Table) -> pa.Table:
    at, field = _column(rng, table)
    return table.set_column(at, field.name, _of_type(rng, table.num_rows))


def _of_type(rng: Random, number: int) -> pa.Array:
    """A column of any type: its values fit the type and nothing else."""
    made: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.nulls(number),
        lambda: pa.array([rng.randint(-5, 5)] * number, rng.choice((pa.int8(), pa.int64()))),
        lambda: pa.array([float("nan")] * number, rng.choice((pa.float32(), pa.float64()))),
        lambda: pa.array(
            [text(rng).encode("utf-8", "surrogatepass")] * number, rng.choice((pa.binary(), pa.large_binary()))
        ),
        lambda: pa.array([_clean(text(rng)) for _ in range(number)], rng.choice((pa.string(), pa.large_string()))),
        lambda: pa.array([_clean(text(rng)) for _ in range(number)], pa.string_view()),
        lambda: pa.array([rng.choice("ab") for _ in range(number)]).dictionary_encode(),
        lambda: pa.array([rng.choice((None, [], ["a"], ["a", None])) for _ in range(number)], pa.list_(pa.string())),
        lambda: pa.array([[[1.0], None]] * number, pa.list_(pa.list_(pa.float32()))),
        lambda: pa.array([[1.0, float("nan"), 0.0]] * number, pa.list_(pa.float32(), 3)),
        lambda: pa.array([rng.choice(([1.0] * 16, [], [0.0], None)) for _ in range(number)], pa.list_(pa.float16())),
        lambda: pa.array([{"from": "human", "value": 3}] * number),
        lambda: pa.array([[{"from": "human"}]] * number),
        lambda: pa.array([[{"from": text(rng)[:9].replace("\ud800", ""), "value": None}, None]] * number),
        lambda: pa.array([[("a", 1)]] * number, pa.map_(pa.string(), pa.int32())),
        lambda: pa.array([2**62] * number, pa.timestamp("ns")),
        lambda: pa.array([2**40] * number, pa.duration("s")),
        lambda: pa.array([10**30] * number, pa.decimal128(38)),
        lambda: pa.array([True] * number),
        lambda: _bad_strings(number),
    )
    return rng.choice(made)()


def _clean(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def _bad_strings(number: int) -> pa.Array:
    """A column of text that is no UTF-8."""
    values = pa.array([b"caf\xe9 \xed\xa0\x80 \xff"] * number, pa.binary())
    return pa.Array.from_buffers(pa.string(), number, values.buffers())


def _nulls(rng: Random, table: pa.Table) -> pa.Table:
    """Some or all values of a column, or one part of each."""
    at, field = _column(rng, table)
    values = table.column(at).to_pylist()
    none = [None if rng.random() < rng.choice((0.2, 1.0)) else value for value in values]
    if rng.random() < 0.3:
        none = [[None] * len(value) if isinstance(value, list) else value for value in values]
    return table.set_column(at, field.with_nullable(True), pa.array(none, field.type))


def _other_values(rng: Random, table: pa.Table) -> pa.Table:
    """Values of the right type."""
    at, field = _column(rng, table)
    values = table.column(at).to_pylist()
    chosen = rng.randrange(len(values) or 1)
    for row in range(len(values)) if rng.random() < 0.3 else range(chosen, min(chosen + 1, len(values))):
        values[row] = _like(rng, values[row])
    return table.set_column(at, field, pa.array(values, field.type))


def _like(rng: Random, value: Any) -> Any:
    match value:
        case str():
            return _clean(text(rng))
        case float():
            return rng.choice((float("nan"), float("inf"), 0.0, -65504.0, 5.9e-8))
        case dict():
            return {key: _like(rng, inner) if rng.random() < 0.5 else inner for key, inner in value.items()}
        case list() if value and isinstance(value[0], float):
            return [_like(rng, value[0])] * len(value) if rng.random() < 0.5 else [_like(rng, value[0]), *value[1:]]
        case list():
            return rng.choice(([], value[:1], value * 3, value[::-1], [_like(rng, inner) for inner in value]))
    return value


def _left_out(rng: Random, table: pa.Table) -> pa.Table:
    return table.remove_column(rng.randrange(table.num_columns)) if table.num_columns > 1 else table


def _renamed(rng: Random, table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    names[rng.randrange(len(names))] = rng.choice((*names, "", "a.b", _clean(text(rng))[:1000]))
    return table.rename_columns(names)


def _doubled(rng: Random, table: pa.Table) -> pa.Table:
    at, field = _column(rng, table)
    return table.append_column(field.name if rng.random() < 0.5 else "messages", table.column(at))


def _reordered(rng: Random, table: pa.Table) -> pa.Table:
    return table.select(rng.sample(table.column_names, table.num_columns)) if _has_unique_names(table) else table


def _has_unique_names(table: pa.Table) -> bool:
    return len(set(table.column_names)) == table.num_columns


def _other_rows(rng: Random, table: pa.Table) -> pa.Table:
    """None, few, many, the same ones again."""
    number = rng.choice((0, 1, 2))
    again = table.slice(0, 1).take([0] * 500) if table.num_rows else table
    return rng.choice((table.slice(0, number), pa.concat_tables([table] * 3), again))


def _metadata(rng: Random, table: pa.Table) -> pa.Table:
    names = ", ".join(f'"{name}"' for name in ("caption", "id"))
    values = (
        rng.randbytes(20),
        text(rng).encode("utf-8", "surrogatepass"),
        dumped(rng, changed(rng, {"info": {"features": {"caption": {"dtype": "string", "_type": "Value"}, "id": {}}}})),
        f'{{"index_columns": [{names}], "columns": [{{"name": 3}}], "partition_columns": 1}}'.encode(),
        b"x" * 1_000_000,
    )
    return table.replace_schema_metadata({rng.choice(_METADATA): rng.choice(values)})


def _field_metadata(rng: Random, table: pa.Table) -> pa.Table:
    """Marks of extension types, known and unknown, with and without what they need."""
    at, field = _column(rng, table)
    marks = {rng.choice(_FIELD_METADATA): rng.choice((*_EXTENSIONS, b"-1", b'{"shape": [4, 4]}', rng.randbytes(5)))}
    if rng.random() < 0.5:
        marks = {
            b"ARROW:extension:name": rng.choice(_EXTENSIONS),
            b"ARROW:extension:metadata": rng.choice((b"", b"{", b"{}")),
        }
    return table.cast(table.schema.set(at, field.with_metadata(marks)))


def _extension(rng: Random, table: pa.Table) -> pa.Table:
    """Vectors as tensors, texts as JSON."""
    at, field = _column(rng, table)
    if pa.types.is_fixed_size_list(field.type):
        size = field.type.list_size
        kind = pa.fixed_shape_tensor(field.type.value_type, rng.choice(((size,), (size // 2, 2))))
    elif pa.types.is_string(field.type):
        kind = pa.json_()
    else:
        return table
    storage = table.column(at).combine_chunks().cast(kind.storage_type)
    return table.set_column(at, field.name, pa.ExtensionArray.from_storage(kind, storage))


def _other_vectors(rng: Random, table: pa.Table) -> pa.Table:
    """Fewer or more numbers a vector, of another type."""
    if "image_embedding" not in table.column_names or not _has_unique_names(table):
        return table
    dim = rng.choice((1, 2, 17, 4096))
    kind = rng.choice((pa.float16(), pa.float32(), pa.float64(), pa.int8()))
    numbers = np.full(table.num_rows * dim, rng.choice((0, 1, -1)), np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers).cast(kind), dim)
    return table.set_column(table.column_names.index("image_embedding"), "image_embedding", vectors)


_CHANGES: tuple[Callable[[Random, pa.Table], pa.Table], ...] = (
    _other_type, _other_type, _nulls, _nulls, _other_values, _other_values, _left_out, _renamed, _doubled, _reordered,
    _other_rows, _metadata, _field_metadata, _extension, _other_vectors,
)  # fmt: skip


def _other_count(rng: Random, content: bytes) -> bytes:
    """Numbers in the table of contents: of rows, of values, of bytes, as Thrift's compact protocol writes them."""
    length = int.from_bytes(content[-8:-4], "little")
    data, contents = content[: -8 - length], content[-8 - length : -8]
    number = pq.ParquetFile(io.BytesIO(content)).metadata.num_rows
    places = [at for at in range(len(contents)) if contents.startswith(b"\x16" + _varint(number), at)]
    if not places:
        return plain.mutated(rng, content)
    at = rng.choice(places)
    after = contents[at + 1 + len(_varint(number)) :]
    contents = contents[: at + 1] + _varint(rng.choice(_COUNTS)) + after
    return data + contents + len(contents).to_bytes(4, "little") + b"PAR1"


def _varint(number: int) -> bytes:
    """A number of 64 bits, zigzag and base 128."""
    number = (number << 1 ^ number >> 63) & (2**64 - 1)
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
