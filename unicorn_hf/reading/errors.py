"""Errors of untrusted Parquet files and data sets: each becomes one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import yaml

from unicorn_hf.core.errors import InputError

PARQUET_ERRORS: tuple[type[Exception], ...] = (
    pa.ArrowException,
    OSError,
    # From pyarrow's Python code, and from extension types named in a file's metadata.
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
)
"""Errors that pyarrow raises for a file that is not Parquet, damaged, or inconsistent. They include `ArrowMemoryError`,
for a false size in a file."""


@contextmanager
def reading_parquet(name: str, advice: str = "") -> Iterator[None]:
    """Wrap pyarrow calls that read a file, which messages call `name`.

    Raises:
        InputError: instead of pyarrow's errors.
    """
    try:
        yield
    except PARQUET_ERRORS as error:
        raise InputError(f"{name}: not readable as Parquet: {cause_of(error)}", advice) from error


def dataset_errors() -> tuple[type[Exception], ...]:
    """Errors that `datasets` raises for a folder or repository with an unusable card, file names or rows."""
    from datasets.exceptions import DatasetsError

    return (*PARQUET_ERRORS, DatasetsError, yaml.YAMLError, RecursionError)


def cause_of(error: BaseException) -> str:
    """The root cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).splitlines()), "") or type(error).__name__
