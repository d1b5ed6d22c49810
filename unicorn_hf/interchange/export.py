"""A built folder in the forms that trainers read: see `unicorn_hf.interchange.exports`."""

from pathlib import Path

from unicorn_hf.builders.places import CONFIGS
from unicorn_hf.builders.repository import replaced
from unicorn_hf.builders.rows import num_rows
from unicorn_hf.core.choices import EXPORTS
from unicorn_hf.core.errors import InputError
from unicorn_hf.interchange.exports import BuiltSet
from unicorn_hf.runtime.progress import NoProgress, Progress


def export(folder: str | Path, format: str, out: str | Path, *, progress: Progress | None = None) -> None:
    """Write the set in `folder` in another form; `out` appears when it is whole.

    `unicorn_hf.interchange.importing` reads all of ours; of `bunny`, the pickles aside. The rows of one file are in
    memory at a time.

    Args:
        format: the name of an export format: `EXPORTS.names` are all that are installed.

    Raises:
        InputError: `folder` holds no set, there is no such format, or there is something at `out`.
        RunError: `out` cannot be written.
    """
    folder, out, progress = Path(folder), Path(out).expanduser().absolute(), progress or NoProgress()
    form = EXPORTS.get(format)()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; it is left as it is", "Another --out DIR, or move it away.")
    total, done = sum(num_rows(folder, config) for config in CONFIGS), 0
    progress.start("export", total)

    def tell(rows: int) -> None:
        nonlocal done
        done = min(done + rows, total)
        progress.known(done, 0)

    with replaced(out, advice="Nothing was left there. Another --out DIR, or make room.") as staging:
        form.write(BuiltSet(folder, tell), staging)
    progress.finish()
