"""Where a model is: a repository of the Hub, or a folder of this machine."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.section import REVISION

DEMO = "demo:"
"""Begins the name of a demonstration model, which a package from PyPI brings."""
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_HUB_MODEL = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REVISION = re.compile(REVISION)


def is_path(name: str) -> bool:
    """Whether a name is a path of this machine, and none of the Hub."""
    return name.startswith(("/", ".", "~"))


def is_hub_name(name: str) -> bool:
    """Whether a name can be one of the Hub, and is not that of a file here, which would be opened in its place."""
    return bool(_HUB_NAME.fullmatch(name)) and not is_path(name) and ".." not in name and not os.path.lexists(name)


def published_name(name: str) -> str:
    """A file's or folder's name without the folders above it; names of other kinds as they are."""
    return Path(name).name if is_path(name) else name


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model of transformers."""

    name: str
    """`ORG/NAME` on the Hub, or a folder."""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelSource":
        """`ORG/NAME`, `ORG/NAME@REVISION` or a folder.

        Raises:
            InputError: it is none of them.
        """
        if is_path(text):
            return cls(text)
        model, at, revision = text.partition("@")
        if not _HUB_MODEL.fullmatch(model) or (at and not _REVISION.fullmatch(revision)):
            raise InputError(f"{text!r} is no model of the Hub and no folder")
        return cls(model, revision or None)

    @property
    def is_folder(self) -> bool:
        return is_path(self.name)

    @property
    def is_on_hub(self) -> bool:
        """Whether its name can be one of the Hub, and nothing of this machine is opened for it."""
        return not self.is_folder and is_hub_name(self.name)

    @property
    def published(self) -> "ModelSource":
        """Without the folders above its own."""
        return ModelSource(f"./{Path(self.name).name}") if self.is_folder else self

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hub that something is loaded from."""

    name: str
    revision: str | None = None
