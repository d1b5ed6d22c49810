"""The options of a push."""

import re
from dataclasses import dataclass

from unicorn_hf.core.errors import InputError

_REFERENCE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")


@dataclass(frozen=True)
class PushOptions:
    """Target and mode of a push."""

    private: bool = False
    """Create a private repository; refuse an existing public one."""
    overwrite: bool = False
    """Replace card and data of a repository that unicorn-hf did not make."""
    branch: str | None = None
    """By default `main`; a new branch is created from `main`."""
    tag: str | None = None
    """Tag for the commit of the data set, set last."""
    pr: bool = False
    """Propose the commit in a pull request instead of making it."""

    def check(self) -> None:
        """
        Raises:
            InputError: git does not accept a name, or options exclude each other.
        """
        for what, name in (("branch", self.branch), ("tag", self.tag)):
            if name is not None and not _is_reference(name):
                raise InputError(
                    f"{name!r} is not a valid {what} name", "Use letters, digits, '-', '_', '.' and '/', as in v1.0."
                )
        if self.pr and (self.branch or self.tag):
            raise InputError("a pull request targets main and has no tag", "Omit --pr, or --branch and --tag.")

    def flags(self) -> list[str]:
        """The options as arguments of the command."""
        named = {"--branch": self.branch, "--tag": self.tag}
        set_ = {"--private": self.private, "--overwrite": self.overwrite, "--pr": self.pr}
        return [name for name, on in set_.items() if on] + [
            part for name, value in named.items() if value is not None for part in (name, value)
        ]


DEFAULTS = PushOptions()


def _is_reference(name: str) -> bool:
    return (
        len(name) <= 200
        and _REFERENCE.fullmatch(name) is not None
        and not re.search(r"\.\.|//|/\.|\.lock(?:/|$)|^refs/|^[0-9a-f]{40}$", name)
    )
