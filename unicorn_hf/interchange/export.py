"""Export a built folder to trainers' formats: see `unicorn_hf.interchange.exports`."""

from pathlib import Path

from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.repository import replaced
from unicorn_hf.builders.rows import num_rows
from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.core.errors import InputError
from unicorn_hf.interchange.exports import BuiltSet
from unicorn_hf.runtime.progress import Progress


def export(folder: str | Path, format: str, out: str | Path, *, progress: Progress | None = None) -> None:
    """Write the set in `folder` in another format; `out` appears when it is complete.

    `unicorn_hf.interchange.importing` reads all built-in formats, except the pickles of `bunny`. Memory holds the rows
    of one file.

    Args:
        format: the name of an export format; `EXPORTS.names` lists the installed ones.

    Raises:
        InputError: `folder` contains no set, the format is unknown, or `out` exists and is not empty.
        RunError: `out` cannot be written.
    """
    folder, out, progress = Path(folder), Path(out).expanduser().absolute(), progress or Progress()
    form = EXPORTS.get(format)()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} already exists; nothing was changed", "Choose another --out DIR, or move it.")
    progress.start("export", sum(num_rows(folder, config) for config in CONFIGS))
    with replaced(out, advice="Nothing was written. Free space, or choose another --out DIR.") as staging:
        form.write(BuiltSet(folder, progress.counter()), staging)
    progress.finish()
