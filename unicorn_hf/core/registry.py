"""Registries: choices by name, ours and those of other installed packages.

Each kind of choice (transfers, engines, exports) is a `Registry` in `unicorn_hf.core.choices`. Ours register themselves
where they are defined; those of other packages are entry points, named `PACKAGE:NAME`. A recipe can only use installed
packages.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union

from packaging.utils import canonicalize_name
from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from unicorn_hf.core.errors import InputError, MissingPackageError
from unicorn_hf.core.fingerprint import fingerprint

T = TypeVar("T")


class Provider(NamedTuple):
    """The installed package that provides a choice."""

    package: str
    version: str


class Registry(Generic[T]):
    """The choices of one kind, by name, in the order of their definition; those of other packages come last.

    Args:
        kind: the noun for one of them in messages: `transfer`.
        home: the module or package whose modules define ours. It is imported at first use.
        group: the entry point group: `unicorn_hf.transfers`.
    """

    def __init__(self, kind: str, home: str, group: str) -> None:
        self.kind, self.home, self.group = kind, home, group
        self._ours: dict[str, T] = {}
        self._is_complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers a choice of this package under a name."""

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
        """All names; those of other packages are `PACKAGE:NAME`."""
        return (*self.own_names, *sorted(self._others))

    def __contains__(self, name: object) -> bool:
        return name in self.own_names or name in self._others

    def get(self, name: str) -> T:
        """The choice with this name.

        Raises:
            InputError: there is none, or its package cannot be loaded; the message names the nearest name, or the
                package to install.
        """
        if name in self.own_names:
            return self._ours[name]
        if name not in self._others:
            raise self._unknown(name)
        provider, entry = self._others[name]
        try:
            choice: T = entry.load()
        except Exception as error:
            raise InputError(
                f"the {self.kind} {entry.name} of the package {provider.package} cannot be loaded: {error}",
                f"Repair or update the package: pip install --upgrade {provider.package}",
            ) from error
        return choice

    def name_of(self, choice: T) -> str:
        """The name of a registered choice.

        Raises:
            ValueError: it is not registered.
        """
        for name, known in self.loadable().items():
            if known is choice:
                return name
        raise ValueError(f"{choice!r} is not registered as a {self.kind}")

    def loadable(self) -> dict[str, T]:
        """All choices by name, without those that cannot be loaded: `get` raises the reason."""
        found = {}
        for name in self.names:
            with suppress(InputError):
                found[name] = self.get(name)
        return found

    def provider(self, name: str) -> Provider | None:
        """The package that provides the choice; None for ours, and if it is not installed."""
        return self._others[name][0] if name in self._others else None

    def identity(self, name: str) -> str:
        """The choice as part of a fingerprint: its name, and the version of its package unless it is ours."""
        provider = self.provider(name)
        return f"{name}@{provider.version}" if provider else name

    def with_version(self, identity: str, name: str) -> str:
        """`identity`, as a fingerprint with the version of the choice's package unless it is ours."""
        return fingerprint(identity, self.identity(name)) if self.provider(name) else identity

    def _import_ours(self) -> None:
        if self._is_complete:
            return
        home = importlib.import_module(self.home)
        for module in pkgutil.iter_modules(getattr(home, "__path__", ()), f"{self.home}."):
            importlib.import_module(module.name)
        self._is_complete = True

    @cached_property
    def _others(self) -> dict[str, tuple[Provider, EntryPoint]]:
        return {
            f"{canonicalize_name(entry.dist.name)}:{entry.name}": (Provider(entry.dist.name, entry.dist.version), entry)
            for entry in entry_points(group=self.group)
            if entry.dist
        }

    def _unknown(self, name: str) -> InputError:
        known = self.names
        package, colon, rest = name.partition(":")
        near = get_close_matches(name.lower(), known, n=1) or [other for other in known if other.endswith(f":{name}")]
        hint = f"Did you mean {near[0]}? " if near else ""
        if colon and rest and re.fullmatch(PACKAGE, package) and not near:
            return MissingPackageError(
                f"no {self.kind} {name}: the package {package} is not installed, or does not provide it",
                f"Install the package if you trust it: pip install {package}",
            )
        return InputError(f"there is no {self.kind} {name}", f"{hint}Known: {', '.join(known)}.")


@dataclass(frozen=True)
class NameOf:
    """For pydantic: the name of a choice, as in `Annotated[str, NameOf(TRANSFERS)]`.

    The model needs `defer_build`, so that the registry is read at its first use.
    """

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.registry.names))


@dataclass(frozen=True)
class SectionOf:
    """For pydantic: a mapping whose key `kind` names the choice that validates it.

    As in `Annotated[AnyEngine, SectionOf(ENGINES)]`. The model needs `defer_build`, as for `NameOf`.
    """

    registry: Registry[type[Any]]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        sections = tuple(self.registry.loadable().values())
        either: Any = Annotated[Union[sections], Field(discriminator="kind")] if len(sections) > 1 else sections[0]  # noqa: UP007
        return handler.generate_schema(either)


def refused(error: InputError, package: str = "") -> PydanticCustomError:
    """Turn our error into one that a pydantic validator can raise; `core.problems` reports its message and advice.

    `package` is the missing package, if that is the error.
    """
    told = {"message": error.message, "advice": error.advice, "package": package}
    return PydanticCustomError("refused", "{message}", told)


PACKAGE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
"""Regular expression of valid distribution names."""
