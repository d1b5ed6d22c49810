"""Recipe sections whose keys are the choices of a registry: each registered choice is a key."""

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import CoreSchema

from unicorn_hf.core.registry import Registry
from unicorn_hf.core.section import Section


class Gathered(Section):
    """A section that reads its keys from a registry at its first use.

    A choice of another package is a key `PACKAGE:NAME` with that choice's section as its value. It exists only if the
    recipe names it, in the recipe's order, so that installing a package changes nothing.
    """

    registry: ClassVar[Registry[Any]]

    if TYPE_CHECKING:
        # Type checkers do not know its keys.
        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def own_keys(cls) -> dict[str, FieldInfo]:
        """The keys of this package's choices."""
        raise NotImplementedError

    @property
    def others(self) -> tuple[str, ...]:
        """The choices of other packages that the recipe names."""
        return tuple(name for name in self.__dict__ if ":" in name)

    @property
    def identity(self) -> tuple[str, ...]:
        """The part of a fingerprint in addition to the section: the others with their versions, in order."""
        return tuple(map(self.registry.identity, self.others))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = cls.registry.loadable().items()
        others = {name: FieldInfo(annotation=choice, default=None) for name, choice in choices if ":" in name}
        cls.__pydantic_fields__.update(cls.own_keys() | others)
        return handler(source)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        # A worker may unpickle one before the keys are read, and without keys all would be equal.
        type(self).model_rebuild()
        super().__setstate__(state)

    @model_validator(mode="wrap")
    @classmethod
    def _others_are_those_that_are_given(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(data)
        if isinstance(data, dict):
            others = {name: made.__dict__.pop(name) for name in made.others}
            made.__dict__.update({name: others[name] for name in data if name in others})
        return made


class Filters(Gathered):
    """The bounds of filters, all of ours in one mapping; filters can share a key."""

    @classmethod
    def own_keys(cls) -> dict[str, FieldInfo]:
        filters = map(cls.registry.get, cls.registry.own_names)
        return {key: copy(field) for one in filters for key, field in one.model_fields.items()}

    def filter(self, name: str) -> Any:
        """The filter with this name, with the recipe's bounds."""
        if ":" in name:
            return getattr(self, name)
        kind = self.registry.get(name)
        return kind.model_validate({key: getattr(self, key) for key in kind.model_fields})

    @model_validator(mode="after")
    def _bounds_go_together(self) -> Self:
        for name in self.registry.own_names:
            self.filter(name)
        return self
