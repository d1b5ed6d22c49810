"""Rejects links in an untrusted folder that lead outside it."""

import os
from pathlib import Path

from unicorn_hf.core.errors import InputError


def check_links(folder: Path) -> None:
    """Check that the files of a published set are in its folder, or in the Hub cache that contains it.

    Raises:
        InputError: a link leads elsewhere.
    """
    real = folder.resolve()
    # The Hub's cache holds the files of all commits in one folder, and a folder of links for each commit.
    allowed = [real, real.parent.parent / "blobs"] if real.parent.name == "snapshots" else [real]
    for entry in folder.rglob("*"):
        # `Path.resolve` raises an error for a link to itself.
        if entry.is_symlink() and not any(Path(os.path.realpath(entry)).is_relative_to(own) for own in allowed):
            raise InputError(
                f"{entry} is a link to {entry.readlink()}, which is not part of the set", "Remove the link."
            )
