"""Commands where only the base dependencies are installed: `pip install unicorn-hf`, without extras."""

import os
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.builds import REHEARSAL, unicorn, write_seeds
from tests.warm import ROOT

HIDING = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *places: None if name in {absent!r} else find(name, *places)
"""


def base_packages() -> set[str]:
    """What `pip install unicorn-hf` brings."""
    found: set[str] = set()
    wanted = ["unicorn-hf"]
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name not in found:
            found.add(name)
            needs = [Requirement(text) for text in requires(name) or ()]
            # Further extras, as of dask[distributed], are of packages that are named without them too.
            wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
            wanted += ["distributed"] if name == "dask" else []
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seeds, whose `sitecustomize` hides all other packages from commands and from their workers."""
    folder = tmp_path_factory.mktemp("base")
    base = base_packages()
    packages = packages_distributions().items()
    absent = {module for module, owners in packages if not base & {canonicalize_name(owner) for owner in owners}}
    assert {"upath", "s3fs", "torch", "vllm", "bokeh", "accelerate"} <= absent
    (folder / "sitecustomize.py").write_text(HIDING.format(absent=absent))
    write_seeds(folder / "seeds.txt")
    return folder


def test_a_rehearsal_needs_the_base_dependencies_only(place: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}
    sizes = ["--captions", 20, "--instructions", 8, "--workers", 1]
    for arguments in (
        ["build", "--seeds", "seeds.txt", *REHEARSAL, *sizes, "--out", "set"],
        ["validate", "set"],
        ["inspect", "set"],
        ["compare", "set", "set"],
        ["export", "set", "--format", "llava", "--out", "llava"],
    ):
        done = unicorn(*arguments, cwd=place, **environment)
        assert done.returncode == 0, done.stderr


def test_what_an_extra_brings_is_named(place: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}
    for arguments, extra in (
        (["build", "--seeds", "seeds.txt", *REHEARSAL, "--work-dir", "s3://bucket/work", "--out", "other"], "s3"),
        (["report", "set"], "report"),
    ):
        done = unicorn(*arguments, cwd=place, **environment)
        assert done.returncode != 0
        assert f"unicorn-hf[{extra}]" in done.stderr
        assert "Traceback" not in done.stderr
