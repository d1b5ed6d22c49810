"""How a data set is pushed, as the command says it."""

import re
from dataclasses import dataclass

from unicorn_hf.core.errors import InputError

_REFERENCE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")


@dataclass(frozen=True)
class PushOptions:
    """Where to and what for."""

    private: bool = False
    """Make the repository private if it is created here; one that exists and is public is refused."""
    overwrite: bool = False
    """Replace card and data of a repository that unicorn-hf did not make."""
    branch: str | None = None
    """`main` unless given; created from `main` where it is not there."""
    tag: str | None = None
    """Put on the commit that holds the data set, after everything else."""
    pr: bool = False
    """Propose the commit in a pull request instead of making it."""

    def check(self) -> None:
        """
        Raises:
            InputError: a name that git does not take, or options that exclude each other.
        """
        for what, name in (("branch", self.branch), ("tag", self.tag)):
            if name is not None and not _is_reference(name):
                raise InputError(
                    f"{name!r} is not the name of a {what}", "Letters, digits, '-', '_', '.' and '/', as in v1.0."
                )
        if self.pr and (self.branch or self.tag):
            raise InputError("a pull request is made to main, and what it proposes has no tag", "Leave out --pr.")

    def flags(self) -> list[str]:
        """The same as arguments of the command."""
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
