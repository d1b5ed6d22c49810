"""Prints pip constraints that hold every base dependency at the oldest version that pyproject.toml admits."""

import re
import tomllib
from pathlib import Path

FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<version>[0-9.]+)$")


def floors(dependencies: list[str]) -> list[str]:
    """`name[extra]>=1.2` as `name==1.2`. A dependency without a floor raises: nothing would test it."""
    found = []
    for dependency in dependencies:
        match = FLOOR.match(dependency.replace(" ", ""))
        if match is None:
            raise ValueError(f"{dependency!r} in pyproject.toml is not of the form name>=version")
        found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    pyproject = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(floors(pyproject["project"]["dependencies"])))
