"""The published files of a built folder, and their difference from a repository on the Hub."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.core.errors import InputError

CARD = "README.md"
RECIPE = "recipe.yaml"
# An allow-list of whole paths. No part starts with a dot, so that neither hidden files nor the temporary names of an
# unfinished build match.
_PUBLISHED = re.compile(
    r"README\.md|recipe\.yaml|statistics\.json|run\.json|transfer\.safetensors"
    r"|(?:pretrain|instruction)/[^/.][^/]*\.parquet"
    r"|assets/[^/.][^/]*\.(?:png|svg|jpe?g|webp|gif)"
)
_REQUIRED = {
    "card (README.md)": re.compile(r"README\.md"),
    "recipe (recipe.yaml)": re.compile(r"recipe\.yaml"),
    "data (pretrain/*.parquet)": re.compile(r"pretrain/.*"),
}


def is_published(path: str) -> bool:
    """Whether `path` (relative, with slashes) is part of a published data set: a push may send and delete it."""
    return _PUBLISHED.fullmatch(path) is not None


@dataclass(frozen=True)
class LocalFile:
    """A file to publish, as read."""

    path: str
    source: Path
    size: int
    sha256: str
    git_oid: str
    """The git id of the content; the Hub has no other hash of small text files."""

    @classmethod
    def read(cls, folder: Path, path: str) -> "LocalFile":
        source = folder / path
        size = source.stat().st_size
        sha256, git_oid = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                sha256.update(block)
                git_oid.update(block)
        return cls(path, source, size, sha256.hexdigest(), git_oid.hexdigest())


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. The Hub has `sha256` for large files (LFS or Xet), otherwise `git_oid`."""

    path: str
    size: int | None
    sha256: str | None
    git_oid: str | None

    def holds(self, local: LocalFile) -> bool:
        if self.size != local.size:
            return False
        return self.sha256 == local.sha256 if self.sha256 else self.git_oid == local.git_oid


@dataclass(frozen=True)
class Difference:
    """The changes that make the repository equal to the published part of the folder."""

    to_send: tuple[LocalFile, ...]
    to_delete: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.to_send or self.to_delete)

    @property
    def paths(self) -> tuple[str, ...]:
        return (*(file.path for file in self.to_send), *self.to_delete)


def difference(local: Iterable[LocalFile], remote: Iterable[RemoteFile]) -> Difference:
    """Find files to send, new or changed, and published files to delete; others' files stay."""
    held = {file.path: file for file in remote}
    wanted = {file.path: file for file in local}
    to_send = tuple(f for path, f in wanted.items() if path not in held or not held[path].holds(f))
    to_delete = tuple(path for path in held if is_published(path) and path not in wanted)
    return Difference(to_send, to_delete)


def published_paths(folder: Path) -> tuple[list[str], list[str]]:
    """Return the folder's files as (published, skipped), sorted. Links are skipped: they may lead anywhere.

    Raises:
        InputError: the folder is not a finished build.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "Name the folder that `unicorn-hf build` made.")
    published: list[str] = []
    left_out: list[str] = []
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        relative = path.relative_to(folder).as_posix()
        regular = not path.is_symlink() and not path.parent.is_symlink()
        (published if regular and is_published(relative) else left_out).append(relative)
    for what, pattern in _REQUIRED.items():
        if not any(pattern.fullmatch(path) for path in published):
            raise InputError(f"{folder} has no {what}", "Push a folder that `unicorn-hf build` finished.")
    return sorted(published), sorted(left_out)
