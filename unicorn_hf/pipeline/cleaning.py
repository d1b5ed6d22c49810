"""Deletes work files."""

from pathlib import Path

from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.runtime.answers import FOLDER as ANSWERS
from unicorn_hf.runtime.batches import FOLDER as BATCHES
from unicorn_hf.runtime.files import disk_errors
from unicorn_hf.runtime.locks import exclusive
from unicorn_hf.runtime.storage import is_remote, num_bytes, place, remove_tree


def clean(folder: str | Path, *, keep_answers: bool = False) -> int:
    """Delete the work files of the build at `folder`; returns the number of bytes freed.

    Answers stored outside the work folder stay.

    Args:
        folder: the built folder, or the URL of the work folder.
        keep_answers: keep the model answers in the work folder, and the entries of batches, which may be in flight.

    Raises:
        InputError: there are no work files, or `folder` is neither a build nor a work folder.
    """
    out = place(folder).expanduser().absolute()
    work_dir = out if is_remote(out) else work_dir_of(out)
    if not work_dir.is_dir():
        raise InputError(f"{folder} has no work files: the folder {work_dir} does not exist")
    with disk_errors(), exclusive(work_dir):
        before = num_bytes(work_dir)
        if not keep_answers:
            remove_tree(work_dir)
            return before
        for path in work_dir.iterdir():
            if path.is_file():
                path.unlink()
            elif path.name not in (ANSWERS, BATCHES):
                remove_tree(path)
        return before - num_bytes(work_dir)
