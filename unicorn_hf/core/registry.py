"""Choices that are found by name: ours, and those of other installed packages.

A kind of choice (transfers, engines, exports) is a `Registry` in `unicorn_hf.core.choices`. Ours register themselves
where they are defined; those of other packages are entry points, and their name is `PACKAGE:NAME`. Only what is
installed is found, whatever a recipe names.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Generic, TypeVar, Union

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from unicorn_hf.core.errors import InputError, MissingPackageError

T = TypeVar("T")


@dataclass(frozen=True)
class Provider:
    """The installed package that a choice comes from."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


class Registry(Generic[T]):
    """The choices of one kind, by name, in the order of their definition; those of other packages come last.

    Args:
        kind: what one of them is called in messages: `transfer`.
        home: the module where ours are defined, or the package all of whose modules define some. It is imported at the
            first question for a name.
        group: the group of entry points: `unicorn_hf.transfers`.
    """

    def __init__(self, kind: str, home: str, group: str) -> None:
        self.kind, self.group = kind, group
        self.home = home
        self._ours: dict[str, T] = {}
        self._is_complete = False
        self._found: dict[str, EntryPoint] | None = None

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that gives a choice of this package its name."""

        def add(choice: T) -> T:
            if self._ours.setdefault(name, choice) is not choice:
                raise ValueError(f"there are two {self.kind}s {name}")
            return choice

        return add

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of this package's choices."""
        self._import_ours()
        return tuple(self._ours)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those of other packages as `PACKAGE:NAME`."""
        return (*self.own_names, *sorted(self._others()))

    def __contains__(self, name: object) -> bool:
        return name in self.own_names or name in self._others()

    def get(self, name: str) -> T:
        """The choice of this name.

        Raises:
            InputError: there is none; the message names the nearest, or the package to install. Or the package that
                has it cannot be loaded.
        """
        self._import_ours()
        if name in self._ours:
            return self._ours[name]
        try:
            return self._load(self._others()[name])
        except KeyError:
            raise self._unknown(name) from None

    def name_of(self, choice: T) -> str:
        """The name of a choice that is registered.

        Raises:
            ValueError: it is not.
        """
        for found in (self._ours, self.loadable()):
            for name, known in found.items():
                if known is choice:
                    return name
        raise ValueError(f"{choice!r} is not registered as a {self.kind}")

    def loadable(self) -> dict[str, T]:
        """All choices by name, without those of other packages that cannot be loaded: `get` tells why."""
        found = {}
        for name in self.names:
            with suppress(InputError):
                found[name] = self.get(name)
        return found

    def provider(self, name: str) -> Provider | None:
        """The other package that the choice comes from; None for ours, and for what is not installed."""
        if name in self.own_names or ":" not in name:
            return None
        entry = self._others().get(name)
        return Provider(entry.dist.name, entry.dist.version) if entry and entry.dist else None

    def identity(self, name: str) -> str:
        """What fingerprints hold of a choice: its name, and the version of another package that it comes from."""
        provider = self.provider(name)
        return f"{name}@{provider.version}" if provider else name

    def _import_ours(self) -> None:
        if self._is_complete:
            return
        home = importlib.import_module(self.home)
        for module in pkgutil.iter_modules(getattr(home, "__path__", ()), f"{self.home}."):
            importlib.import_module(module.name)
        self._is_complete = True

    def _others(self) -> dict[str, EntryPoint]:
        if self._found is None:
            self._found = self._look()
        return self._found

    def _look(self) -> dict[str, EntryPoint]:
        found = entry_points(group=self.group)
        return {f"{normalised(entry.dist.name)}:{entry.name}": entry for entry in found if entry.dist}

    def _load(self, entry: EntryPoint) -> T:
        try:
            loaded: Any = entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.module
            raise InputError(
                f"the {self.kind} {entry.name} of the package {package} cannot be loaded: {error}",
                f"Repair or update the package: pip install --upgrade {package}",
            ) from error
        choice: T = loaded
        return choice

    def _unknown(self, name: str) -> InputError:
        known = self.names
        package, colon, rest = name.partition(":")
        near = get_close_matches(name.lower(), known, n=1) or [other for other in known if other.endswith(f":{name}")]
        hint = f"Did you mean {near[0]}? " if near else ""
        if colon and rest and re.fullmatch(PACKAGE, package) and not near:
            return MissingPackageError(
                f"no {self.kind} {name}: the package {package} is not installed, or has none of that name",
                f"Install the package if you trust it: pip install {package}",
            )
        return InputError(f"there is no {self.kind} {name}", f"{hint}Known: {', '.join(known)}.")


@dataclass(frozen=True)
class NameOf:
    """For pydantic: the name of a choice, as in `Annotated[str, NameOf(TRANSFERS)]`.

    The model is to have `defer_build`, so that names are asked for at its first use.
    """

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.registry.names))


@dataclass(frozen=True)
class SectionOf:
    """For pydantic: a mapping whose key `kind` is the name of a choice, which is the model that it becomes.

    As in `Annotated[AnyEngine, SectionOf(ENGINES)]`; of a model with `defer_build`, as for `NameOf`.
    """

    registry: Registry[type[Any]]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        sections = tuple(self.registry.loadable().values())
        either: Any = Annotated[Union[sections], Field(discriminator="kind")] if len(sections) > 1 else sections[0]  # noqa: UP007
        return handler.generate_schema(either)


def refused(error: InputError, package: str = "") -> PydanticCustomError:
    """An error of ours, for a validator of pydantic to raise: `core.problems` tells its message and its advice.

    Args:
        error: what is wrong.
        package: that is not installed, if that is what is wrong.
    """
    told = {"message": error.message, "advice": error.advice, "package": package}
    return PydanticCustomError("refused", "{message}", told)


def normalised(package: str) -> str:
    """The name of a distribution as indexes compare it: lower case, one hyphen for each run of `-`, `_` and `.`."""
    return re.sub(r"[-_.]+", "-", package).lower()


PACKAGE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
"""A regular expression of the names that distributions may have."""
