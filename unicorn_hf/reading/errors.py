"""Parquet files and data sets that others wrote: whatever is wrong with one is told in one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import yaml

from unicorn_hf.core.errors import InputError

PARQUET_ERRORS: tuple[type[Exception], ...] = (
    pa.ArrowException,
    OSError,
    # Of pyarrow's own code in Python, and of extension types that are named in a file's metadata.
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
)
"""What pyarrow raises about a file that is not Parquet, is damaged, or says what cannot be. One of them is
`ArrowMemoryError`: of a size that a file only claims."""


@contextmanager
def reading_parquet(name: str, advice: str = "") -> Iterator[None]:
    """Around calls of pyarrow that read a file; `name` is what the message calls it.

    Raises:
        InputError: in place of what they raise.
    """
    try:
        yield
    except PARQUET_ERRORS as error:
        raise InputError(f"{name}: not readable as Parquet: {cause_of(error)}", advice) from error


def dataset_errors() -> tuple[type[Exception], ...]:
    """What `datasets` raises about a folder or a repository whose card, file names or rows it cannot use."""
    from datasets.exceptions import DatasetsError

    return (*PARQUET_ERRORS, DatasetsError, yaml.YAMLError, RecursionError)


def cause_of(error: BaseException) -> str:
    """What was wrong first, in one line: libraries wrap it in words that say nothing."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).splitlines()), "") or type(error).__name__
