"""The built folder: assembled beside its destination, then published by an atomic rename."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unicorn_hf.builders.package import PackagedConfig
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.fingerprint import file_sha256
from unicorn_hf.runtime import storage
from unicorn_hf.runtime.files import DamagedShardError
from unicorn_hf.runtime.steps import Step

RECIPE, STATISTICS, RUN = "recipe.yaml", "statistics.json", "run.json"
CARD, TRANSFER = "README.md", "transfer.safetensors"


def check_out(out: Path) -> None:
    """Check that `out` is free: it does not exist, is empty, or is a build of unicorn-hf.

    Raises:
        InputError: `out` contains something else.
    """
    if out.is_dir() and (not any(out.iterdir()) or is_build(out)):
        return
    if out.exists():
        raise InputError(
            f"{out} contains something that is not a build of unicorn-hf; nothing was changed",
            "Choose another --out DIR, or move the folder.",
        )


def is_build(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (RECIPE, STATISTICS))


@contextmanager
def replaced(out: Path, advice: str = "Everything is in the work folder.") -> Iterator[Path]:
    """Create an empty folder beside `out`, which replaces `out` when the block ends without an error.

    Raises:
        RunError: the folder cannot be written or renamed; `advice` says what to do.
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
        raise RunError(f"cannot write the data set to {out}: {error.strerror or error}", advice) from error
    finally:
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)


def add_shards(folder: Path, configs: Sequence[PackagedConfig], out: Path | None = None) -> None:
    """Link the packaged shards into the folder, or copy them from another file system or storage.

    Raises:
        DamagedShardError: a shard was changed or deleted. A shard that is already published in `out` is only checked
            if it is newer than its record.
    """
    for config in configs:
        if config.shards:
            (folder / config.name).mkdir()
        for name, (path, record) in zip(config.file_names(), config.shards, strict=True):
            try:
                _link(path, folder / name)
            except FileNotFoundError as error:
                raise DamagedShardError(path, "is gone") from error
            is_published = out is not None and (out / name).exists() and (out / name).samefile(folder / name)
            # The record is written last.
            if is_published and path.stat().st_mtime_ns <= Step.record_of(path).stat().st_mtime_ns:
                continue
            if file_sha256(folder / name) != record.sha256:
                raise DamagedShardError(path, "is damaged: its bytes differ from those that were written")


def _link(path: Path, to: Path) -> None:
    if not storage.is_remote(path):
        with suppress(OSError):
            os.link(path, to)
            return
    storage.download(path, to)
