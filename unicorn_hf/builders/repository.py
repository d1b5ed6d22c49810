"""The published folder: put together beside its final place, then moved there in one step."""

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


def add_shards(folder: Path, configs: Sequence[PackagedConfig], out: Path | None = None) -> None:
    """Link the packaged shards into the folder; a copy where the work folder is on another file system, or elsewhere.

    Raises:
        DamagedShardError: one is not what was written. Those that are published in `out` already are looked at
            if they were written to since.
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
            if (is_published and not _is_newer(path)) or file_sha256(folder / name) == record.sha256:
                continue
            raise DamagedShardError(path, "is damaged: its bytes are not those that were written")


def _is_newer(path: Path) -> bool:
    """Whether a shard was written after its record, which is written last: then it is worth a look."""
    return path.stat().st_mtime_ns > Step.record_of(path).stat().st_mtime_ns


def _link(path: Path, to: Path) -> None:
    if not storage.is_remote(path):
        with suppress(OSError):
            os.link(path, to)
            return
    storage.download(path, to)
