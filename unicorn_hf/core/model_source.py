"""The source of a model: a Hub repository, or a folder of this machine."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.section import REVISION

DEMO = "demo:"
"""Prefix of demonstration models, which come in a package from PyPI."""
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_HUB_MODEL = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def is_path(name: str) -> bool:
    """Whether a name is a path of this machine, and not a Hub name."""
    return name.startswith(("/", ".", "~"))


def is_hub_name(name: str) -> bool:
    """Whether a name is a possible Hub name, and no local file, which would be opened instead."""
    return bool(_HUB_NAME.fullmatch(name)) and not is_path(name) and ".." not in name and not os.path.lexists(name)


def published_name(name: str) -> str:
    """The base name of a path; other names unchanged."""
    return Path(name).name if is_path(name) else name


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model to load."""

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
        if not _HUB_MODEL.fullmatch(model) or (at and not re.fullmatch(REVISION, revision)):
            raise InputError(f"{text!r} is neither a Hub model nor a folder")
        return cls(model, revision or None)

    @property
    def is_folder(self) -> bool:
        return is_path(self.name)

    @property
    def published(self) -> "ModelSource":
        """The source as published, with only the base name of a folder."""
        return ModelSource(f"./{Path(self.name).name}") if self.is_folder else self

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name
