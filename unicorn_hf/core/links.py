"""Links in a folder that somebody sent: what they lead to elsewhere on this machine is not of the set."""

import os
from pathlib import Path

from unicorn_hf.core.errors import InputError


def check_links(folder: Path) -> None:
    """See that the files of a published set are files of its folder, or of the Hub's cache that the folder is part of.

    Raises:
        InputError: one is a link that leads elsewhere.
    """
    if not folder.is_dir():
        return
    real = folder.resolve()
    # The Hub's cache has the content of all commits in one folder, and a folder of links for each.
    allowed = [real, real.parent.parent / "blobs"] if real.parent.name == "snapshots" else [real]
    for place, folders, files in os.walk(folder):
        for entry in (Path(place, name) for name in (*folders, *files)):
            if entry.is_symlink() and not any(entry.resolve().is_relative_to(own) for own in allowed):
                raise InputError(
                    f"{entry} is a link to {entry.readlink()}, which is not part of the set",
                    "It is not read: remove it.",
                )
