"""Where caption seeds come from: files, label lists with templates, data sets. All are read as streams."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.ids import stable_int
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.recipe import DatasetSource, FileSource, LabelSource, Source, package_file
from unicorn_hf.core.section import Strings
from unicorn_hf.reading.files import DataFile, leave_unread, rows, text_of
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


def read_source(source: Source, random_seed: int, notes: ReadingNotes | None = None) -> Iterator[str]:
    """The source's seeds as they stand, in the source's order.

    Args:
        source: where they are.
        random_seed: of the draw of templates, and of a caption among those of an image.
        notes: is told how files are read, and which of their columns are not.

    Raises:
        InputError: the file is missing, not UTF-8 (the line is named), of an unknown kind, or lacks the column.
        RunError: a data set cannot be read.
    """
    notes = notes or ReadingNotes()
    match source:
        case FileSource():
            return islice(_read_file(source_path(source), source.column, notes), source.limit)
        case LabelSource():
            labels = _read_file(source_path(source), None, notes)
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


def _read_file(path: Path, column: str | None, notes: ReadingNotes) -> Iterator[str]:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file of seeds")
    if not path.is_file():
        raise InputError(f"no seed file {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    # By its name alone: examples of what is left out are published.
    file = DataFile(path, path.name, column, column_option="--seed-column")
    if file.suffix not in SUFFIXES:
        raise InputError(f"{path}: seeds are read from {', '.join(SUFFIXES)} files, not from {file.suffix or 'this'}")
    return _texts(file, notes)


def _texts(file: DataFile, notes: ReadingNotes) -> Iterator[str]:
    for number, value, _ in rows(file, notes):
        if isinstance(value, str) and (file.column is None or not value):
            yield value
            continue
        text = text_of(file, number, value)
        leave_unread(file, notes, value, number)
        yield text or ""
