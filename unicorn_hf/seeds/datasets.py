"""Streams seeds from data sets: on the Hub, or any that `datasets.load_dataset` reads."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.links import check_links
from unicorn_hf.core.streams import end_quietly
from unicorn_hf.reading.errors import cause_of, dataset_errors
from unicorn_hf.runtime.dataset_card import check_data_files
from unicorn_hf.seeds.buckets import Buckets

if TYPE_CHECKING:
    from unicorn_hf.seeds.sources.dataset import DatasetSource


def read_dataset(source: "DatasetSource", random_seed: int) -> Iterator[str]:
    """The texts of the source's columns: one per row, or one per image.

    Of several captions of an image (a list in a column, several columns, rows of one `image_id`) the one with the least
    hash is taken, so that no annotator's position is preferred.
    """
    columns = [*source.columns, *filter(None, [source.image_id])]
    read = islice(_rows(source, columns), source.limit)
    pairs = ((str(row.get(source.image_id or "")), _one_of(_texts(row, source.columns), random_seed)) for row in read)
    yield from _one_per_image(pairs, random_seed) if source.image_id else (text for _, text in pairs)


def read_labels(source: "DatasetSource") -> Iterator[str]:
    """The class names of a label column, or the values of a text column."""
    rows = _open(source, source.columns)
    with _reading(source):
        features = rows.features or rows._resolve_features().features
    (column,) = source.columns
    if column not in features:
        raise _no_column(source, column, features)
    names = getattr(features[column], "names", None)
    if names is not None:
        yield from islice((name.replace("_", " ") for name in names), source.limit)
        return
    with _reading(source):
        for row in islice(rows.select_columns([column]), source.limit):
            yield str(row[column] or "")


def _rows(source: "DatasetSource", columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if source.data_files:
        yield from _parquet_rows(source, source.data_files, columns)
        return
    rows = _open(source, columns)
    # Do not decode: a column declared as pictures or sounds would be fetched from addresses in the data.
    rows = rows.decode(False) if rows.features else rows
    for column in columns:
        if rows.column_names and column not in rows.column_names:
            raise _no_column(source, column, rows.column_names)
    with _reading(source):
        yield from rows.select_columns(columns)


def _parquet_rows(source: "DatasetSource", pattern: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of exactly these files, as plain Parquet: cards and file metadata are ignored."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = list(dict.fromkeys([*columns, *source.where]))
    with _reading(source):
        for stream in _parquet_files(source, pattern):
            with stream, pq.ParquetFile(stream) as file:
                for column in names:
                    if column not in file.schema_arrow.names:
                        raise _no_column(source, column, file.schema_arrow.names)
                for batch in file.iter_batches(columns=names):
                    for column, value in source.where.items():
                        batch = batch.filter(pc.equal(batch[column], value))
                    yield from batch.select(list(columns)).to_pylist()


def _parquet_files(source: "DatasetSource", pattern: str) -> Iterator[Any]:
    """The files, opened one by one; a `FileNotFoundError` if there are none."""
    folder = Path(source.path).expanduser()
    if folder.is_dir():
        check_links(folder)
        paths, opened = sorted(map(str, folder.glob(pattern))), open
    else:
        from huggingface_hub import HfFileSystem

        hub = HfFileSystem()
        place = f"datasets/{source.path}" + (f"@{source.revision}" if source.revision else "")
        paths, opened = sorted(hub.glob(f"{place}/{pattern}")), hub.open
    if not paths:
        raise FileNotFoundError(f"no file {pattern}")
    for path in paths:
        yield opened(path, "rb")


def _no_column(source: "DatasetSource", column: str, names: Iterable[str]) -> InputError:
    return InputError(f"{source.path}: no column {column!r}; it has {', '.join(names)}")


def _open(source: "DatasetSource", columns: Sequence[str]) -> Any:
    from datasets import load_dataset

    check_data_files(source.path, source.revision)
    end_quietly()
    chosen: dict[str, Any] = {}
    if source.where:
        names = list(dict.fromkeys([*columns, *source.where]))
        chosen = {"columns": names, "filters": [(name, "==", value) for name, value in source.where.items()]}
    with _reading(source):
        return load_dataset(
            source.path, source.config, split=source.split, revision=source.revision, streaming=True, **chosen
        )


@contextmanager
def _reading(source: "DatasetSource") -> Iterator[None]:
    try:
        yield
    except dataset_errors() as error:
        raise RunError(
            f"the seed data set {source.path} cannot be read: {cause_of(error)}",
            "Check the connection to the Hub, or use your own seeds with --seeds FILE.",
        ) from error


def _texts(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for column in columns:
        value = row[column]
        found += map(str, value) if isinstance(value, list) else [] if value is None else [str(value)]
    return found


def _one_of(texts: list[str], random_seed: int) -> str:
    found = ((stable_int(str(random_seed), "caption of an image", text), text) for text in texts if text.strip())
    return min(found, default=(0, ""))[1]


def _one_per_image(pairs: Iterator[tuple[str, str]], random_seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-") as folder:
        with Buckets(Path(folder), ("image", "text")) as buckets:
            for image, text in pairs:
                buckets.add(stable_int("image", image), (image, text))
        for bucket in buckets:
            chosen: dict[str, str] = {}
            for image, text in bucket:
                chosen[image] = _one_of([chosen.get(image, ""), text], random_seed)
            yield from chosen.values()
