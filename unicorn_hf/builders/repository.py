"""The published folder: put together beside its final place, then moved there in one step."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unicorn_hf.builders.package import PackagedConfig
from unicorn_hf.core.errors import InputError, RunError

RECIPE, STATISTICS, RUN = "recipe.yaml", "statistics.json", "run.json"
CARD, TRANSFER = "README.md", "transfer.safetensors"
_OURS = (RECIPE, STATISTICS)


def check_out(out: Path) -> None:
    """See that a build may be put at `out`: there is nothing, an empty folder, or a build of ours.

    Raises:
        InputError: something else is there; it is not touched.
    """
    if out.is_dir() and (not any(out.iterdir()) or is_build(out)):
        return
    if out.exists():
        raise InputError(
            f"{out} holds something that is not a build of unicorn-hf; it is left as it is",
            "Another --out DIR, or move it away.",
        )


def is_build(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _OURS)


@contextmanager
def replaced(out: Path, advice: str = "All is in the work folder.") -> Iterator[Path]:
    """An empty folder beside `out`, which takes its place when the block ends without an error.

    Raises:
        RunError: it cannot be written, or not be put there; `advice` says what to do.
    """
    staging = out.with_name(f".{out.name}.new")
    old = out.with_name(f".{out.name}.old")
    for leftover in (staging, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
        if out.exists():
            out.rename(old)
        try:
            staging.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise RunError(f"the data set cannot be put at {out}: {error.strerror or error}", advice) from error
    finally:
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)


def add_shards(folder: Path, configs: Sequence[PackagedConfig]) -> None:
    """Link the published shards into the folder; a copy where the work folder is on another file system."""
    for config in configs:
        if config.shards:
            (folder / config.name).mkdir()
        for name, (path, _) in zip(config.file_names(), config.shards, strict=True):
            try:
                os.link(path, folder / name)
            except OSError:
                shutil.copyfile(path, folder / name)
