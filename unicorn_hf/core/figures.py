"""Base class of figures: one model for each, from the worker that counts it to the card."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

Rounded = Annotated[float, AfterValidator(partial(round, ndigits=4))]
"""A published measurement, with four decimals."""


class Figures(BaseModel):
    """Figures of a whole, or of a part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """The sum of the figures of all parts; counts are added by key. All fields must have a default."""
        parts = list(parts)
        return cls(**{name: _sum([getattr(part, name) for part in parts]) for name in cls.model_fields if parts})

    def plus(self, other: Self) -> Self:
        return self.merged([self, other])


def _sum(values: list[Any]) -> Any:
    match values[0]:
        case Figures():
            return values[0].merged(values)
        case Mapping():
            total: Counter[Any] = Counter()
            for value in values:
                total.update(value)
            return dict(sorted(total.items()))
        case tuple():
            return tuple(_sum(list(places)) for places in zip(*values, strict=True))
        case _:
            return sum(values)
