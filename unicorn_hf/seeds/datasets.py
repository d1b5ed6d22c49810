"""Seeds of data sets: of the Hub, or any that `datasets.load_dataset` takes, read as streams."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.recipe import DatasetSource
from unicorn_hf.seeds.buckets import NUM_BUCKETS, Buckets


def read_dataset(source: DatasetSource, random_seed: int) -> Iterator[str]:
    """The texts of the source's columns: one for each row, or one for each image.

    Of several captions of one image (a list in a column, several columns, rows of one `image_id`) that is taken whose
    hash is the least: no annotator's place is preferred.
    """
    columns = [*source.columns, *([source.image_id] if source.image_id else [])]
    rows = _open(source, columns)
    for column in columns:
        if rows.column_names and column not in rows.column_names:
            raise InputError(f"{source.path}: no column {column!r}; it has {', '.join(rows.column_names)}")
    read = islice(rows.select_columns(columns), source.limit)
    if source.image_id is None:
        for row in read:
            yield _one_of(_texts(row, source.columns), random_seed)
        return
    pairs = ((str(row[source.image_id]), _one_of(_texts(row, source.columns), random_seed)) for row in read)
    yield from _one_per_image(pairs, random_seed)


def read_labels(source: DatasetSource) -> Iterator[str]:
    """The class names of a column of labels; of a column of text its values."""
    rows = _open(source, source.columns)
    features = rows.features or rows._resolve_features().features
    (column,) = source.columns
    if column not in features:
        raise InputError(f"{source.path}: no column {column!r}; it has {', '.join(features)}")
    names = getattr(features[column], "names", None)
    if names is not None:
        yield from islice((name.replace("_", " ") for name in names), source.limit)
        return
    for row in islice(rows.select_columns([column]), source.limit):
        yield str(row[column] or "")


def _open(source: DatasetSource, columns: Sequence[str]) -> Any:
    from datasets import load_dataset

    chosen: dict[str, Any] = {}
    if source.where:
        names = list(dict.fromkeys([*columns, *source.where]))
        chosen = {"columns": names, "filters": [(name, "==", value) for name, value in source.where.items()]}
    try:
        return load_dataset(
            source.path, source.config, split=source.split, revision=source.revision, streaming=True, **chosen
        )
    except (OSError, ValueError) as error:
        raise RunError(
            f"the seed data set {source.path} cannot be read: {error}",
            "Is the Hub within reach? --seeds FILE uses seeds of your own instead.",
        ) from error


def _texts(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for column in columns:
        value = row[column]
        found += map(str, value) if isinstance(value, list) else [] if value is None else [str(value)]
    return found


def _one_of(texts: list[str], random_seed: int) -> str:
    return min((text for text in texts if text.strip()), key=lambda text: _rank(text, random_seed), default="")


def _rank(text: str, random_seed: int) -> tuple[int, str]:
    return stable_int(str(random_seed), "caption of an image", text), text


def _one_per_image(pairs: Iterator[tuple[str, str]], random_seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="unicorn-hf-") as folder:
        with Buckets(Path(folder), ("image", "text")) as buckets:
            for image, text in pairs:
                buckets.add(stable_int("image", image), (image, text))
        for bucket in range(NUM_BUCKETS):
            chosen: dict[str, str] = {}
            for image, text in buckets.read(bucket):
                chosen[image] = _one_of([chosen.get(image, ""), text], random_seed)
            yield from chosen.values()
