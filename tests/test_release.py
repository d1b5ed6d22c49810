"""What a release needs: both archives hold the package and nothing else, versions agree, the workflows can run."""

import fnmatch
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.release_notes import release_notes

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BESIDE_THE_PACKAGE = {
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
}
WRITTEN_BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}


# -- The archives -----------------------------------------------------------------------------------------------------


def source_files() -> list[str]:
    """What git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def package_files() -> set[str]:
    return {name for name in source_files() if name.startswith("unicorn_hf/")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("release")
    for name in source_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "source"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return folder / "dist"


def test_the_wheel_holds_the_package_and_nothing_else(archives: Path) -> None:
    with zipfile.ZipFile(archives / f"unicorn_hf-{VERSION}-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    described = {name for name in names if name.startswith(f"unicorn_hf-{VERSION}.dist-info/")}
    assert names - described == package_files()
    assert f"unicorn_hf-{VERSION}.dist-info/licenses/LICENSE" in described


def test_the_sdist_holds_the_package_and_what_builds_it(archives: Path) -> None:
    with tarfile.open(archives / f"unicorn_hf-{VERSION}.tar.gz") as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    written = {name for name in names if name.startswith("unicorn_hf.egg-info/")} | WRITTEN_BY_SETUPTOOLS
    assert names - written == package_files() | BESIDE_THE_PACKAGE


@pytest.mark.parametrize(
    "data",
    [
        "py.typed",
        "recipes/*.yaml",
        "*/prompts/*.yaml",
        "seeds/data/*.tsv",
        "seeds/data/LICENSES.md",
        "core/word_lists/*.txt",
        "cards/card.md.j2",
        "views/report/page.js",
        "*/image_tower.safetensors",
    ],
)
def test_each_kind_of_data_is_a_part_of_the_package(data: str) -> None:
    assert fnmatch.filter(package_files(), f"unicorn_hf/{data}")


def test_an_index_would_take_both_archives(archives: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *archives.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


# -- Versions and citation --------------------------------------------------------------------------------------------


def test_the_changelog_has_notes_for_this_version() -> None:
    assert "### " in release_notes(ROOT, f"v{VERSION}")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("pyproject.toml", (f'version = "{VERSION}"', 'version = "9.9"')),
        ("CITATION.cff", (f"version: {VERSION}\n", "version: 9.9\n")),
        ("CHANGELOG.md", (f"## {VERSION}\n", "## 9.9\n")),
    ],
)
def test_a_file_of_another_version_stops_the_release(file: str, change: tuple[str, str], tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    text = (ROOT / file).read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / file).write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(file)):
        release_notes(tmp_path, f"v{VERSION}")


def test_the_citation_has_what_its_format_requires() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert (cited["title"], cited["license"]) == (PROJECT["name"], PROJECT["license"])
    assert cited["type"] == "software" and cited["message"] and cited["authors"]
    for work in cited["references"]:
        assert work["type"] and work["title"] and work["authors"]
    assert any(work["doi"] == "10.48550/arXiv.2503.22655" for work in cited["references"])


# -- The workflows of a public host -----------------------------------------------------------------------------------


def workflow(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def jobs() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        yield from ((path, name, job) for name, job in workflow(path)["jobs"].items())


def steps() -> list[dict[str, Any]]:
    return [step for _, _, job in jobs() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_what_it_needs(path: Path) -> None:
    document = workflow(path)
    assert document["name"] == path.stem
    # YAML 1.1 reads the key `on` as true.
    assert document[True]
    assert document["permissions"] == {"contents": "read"}
    assert all("uses" in job or job["steps"] for job in document["jobs"].values())


@pytest.mark.parametrize("command", [line for step in steps() for line in step.get("run", "").splitlines()])
def test_a_workflow_calls_commands_that_exist(command: str) -> None:
    match shlex.split(command):
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["python" | "bash", file, *_]:
            assert (ROOT / file).is_file()
        case _:
            pytest.fail("it is neither a script of the repository nor a module")


def test_actions_are_pinned_by_major_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@(release/)?v\d+", action), action


def test_called_workflows_are_there_and_may_be_called() -> None:
    called = [ROOT / job["uses"] for _, _, job in jobs() if "uses" in job]
    assert called
    assert all("workflow_call" in workflow(path)[True] for path in called)


def test_only_the_upload_gets_an_identity_after_all_checks() -> None:
    trusted = {(path.stem, name) for path, name, job in jobs() if "id-token" in job.get("permissions", {})}
    assert trusted == {("release", "publish")}
    release = workflow(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert (release["publish"]["needs"], release["build"]["needs"]) == ("build", "check")
    assert release["check"]["uses"] == "./.github/workflows/check.yml"
    assert {"run": "bash .ci/run"} in workflow(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["check"]["steps"]
