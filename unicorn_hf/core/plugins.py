"""Finds the other packages whose choices a recipe uses, and reports missing ones."""

import re
import shlex
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel

from unicorn_hf.core import choices
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.registry import PACKAGE, Registry

REGISTRIES: tuple[Registry[Any], ...] = tuple(kind for kind in vars(choices).values() if isinstance(kind, Registry))
_NAME = re.compile(rf"(?P<package>{PACKAGE}):[\w.-]+")


def plugins(recipe: BaseModel) -> dict[str, str]:
    """The other packages whose choices a recipe names, with the installed versions."""
    said = set(_names(recipe.model_dump(mode="json")))
    found = {registry.provider(name) for registry in REGISTRIES for name in registry.names if name in said}
    return {canonicalize_name(provider.package): provider.version for provider in sorted(filter(None, found))}


def package_of(name: object) -> str | None:
    """The package in a name `PACKAGE:NAME`; None for other names."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    return match["package"] if match else None


def why_unknown(package: str, name: str) -> str:
    """Why a name of this package is invalid at its place in a recipe."""
    if (installed := _version(package)) is None:
        return f"the package {package} is not installed"
    for registry in REGISTRIES:
        if name in registry:
            try:
                registry.get(name)
            except InputError as error:
                return error.message
            return f"it is the name of another kind of choice: {registry.kind}"
    return f"the package {package} {installed} does not provide it"


def to_install(packages: Iterable[str], recipe: object) -> str:
    """Advice to install the missing packages of a recipe that is not validated yet."""
    said = recipe.get("plugins") if isinstance(recipe, dict) else None
    known = said if isinstance(said, dict) else {}
    absent = [package for package in dict.fromkeys(packages) if _version(package) is None]
    wanted = [f"{name}=={known[name]}" if isinstance(known.get(name), str) else name for name in absent]
    return f"If you trust it: {shlex.join(['pip', 'install', *wanted])}" if wanted else ""


def _names(value: object) -> Iterator[str]:
    """All strings of a recipe that may be the name of a choice, or begin with one, as encoders do."""
    if isinstance(value, str):
        yield ":".join(value.split(":", 2)[:2])
    elif isinstance(value, dict):
        yield from _names([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
