"""Find the files of a set in a folder or a repository by their names."""

from pathlib import Path

from unicorn_hf.builders import original
from unicorn_hf.core.links import check_links

CONFIGS = ("pretrain", "instruction")


def work_dir_of(folder: Path) -> Path:
    """The default work folder of the build in `folder`."""
    return folder.absolute().with_name(f"{folder.absolute().name}.work")


def file_names(folder: Path) -> set[str]:
    """The files of a data set in `folder`: in it, and in its folders named after the configs.

    Raises:
        InputError: one is a link to a file outside the set.
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


def shards_of(folder: Path, config: str) -> list[str]:
    """The names of a config's Parquet files, in order."""
    return sorted(n for n in file_names(folder) if n.startswith(f"{config}/") and n.endswith(".parquet"))


def data_files(folder: Path, config: str) -> list[str]:
    """The names of a config's files, in order: a build's shards, else the original's file, else none."""
    release = original.found_in(file_names(folder)).get(config)
    return shards_of(folder, config) or ([release] if release else [])
