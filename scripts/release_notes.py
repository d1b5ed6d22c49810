"""Prints what the changelog says about a release: python scripts/release_notes.py v0.1.0

Fails unless the tag, pyproject.toml, CITATION.cff and CHANGELOG.md name the same version. Only the standard library.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def release_notes(root: Path, tag: str) -> str:
    """The changelog's section for the version of this tag.

    Raises:
        ValueError: a file names another version, or the changelog has no section for it.
    """
    version = tag.removeprefix("v")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    for file, found in (("pyproject.toml", project["version"]), ("CITATION.cff", cited and cited[1])):
        if found != version:
            raise ValueError(f"{file} has the version {found}, the tag is {tag}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}\n(.+?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md has no section '## {version}'")
    return section[1].strip()


if __name__ == "__main__":
    try:
        print(release_notes(ROOT, sys.argv[1]))
    except ValueError as problem:
        sys.exit(f"Not ready for a release: {problem}.")
