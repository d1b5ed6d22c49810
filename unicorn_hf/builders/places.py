"""What lies in a folder or a repository, told from the names of its files."""

from collections.abc import Collection
from pathlib import Path

from unicorn_hf.builders import original
from unicorn_hf.core.links import check_links

CONFIGS = ("pretrain", "instruction")


def work_dir_of(folder: Path) -> Path:
    """Where the work files of the build in `folder` are, unless it was told another place."""
    return folder.absolute().with_name(f"{folder.absolute().name}.work")


def file_names(folder: Path) -> set[str]:
    """The files that a data set in `folder` may consist of: in it, and in its folders named after the configs.

    Raises:
        InputError: one is a link to what is not part of the set.
    """
    check_links(folder)
    inner = [folder / config for config in CONFIGS]
    return {
        path.relative_to(folder).as_posix()
        for place in (folder, *inner)
        if place.is_dir()
        for path in place.iterdir()
        if path.is_file()
    }


def data_files(names: Collection[str], config: str) -> list[str]:
    """The names of a config's files, in order: a build's shards, else the original's file, else nothing."""
    shards = sorted(n for n in names if n.startswith(f"{config}/") and n.endswith(".parquet"))
    if shards:
        return shards
    release = original.found_in(names).get(config)
    return [release] if release else []
