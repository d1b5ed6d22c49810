"""Figures of parts add up to those of the whole."""

import pytest
from pydantic import ValidationError

from unicorn_hf.core.figures import Figures, Rounded


class Inner(Figures):
    most: int = 0

    @classmethod
    def merged(cls, parts: "list[Inner]") -> "Inner":  # type: ignore[override]
        return cls(most=max((part.most for part in parts), default=0))


class Outer(Figures):
    num: int = 0
    seconds: float = 0.0
    by_name: dict[str, int] = {}
    by_length: dict[int, int] = {}
    inner: tuple[Inner, ...] = (Inner(), Inner())


ONE = Outer(num=2, seconds=0.5, by_name={"b": 1}, by_length={9: 1}, inner=(Inner(most=3), Inner(most=1)))
OTHER = Outer(num=-1, seconds=0.25, by_name={"b": 2, "a": 4}, inner=(Inner(most=2), Inner(most=5)))


def test_numbers_and_counts_are_added_and_models_merge_as_they_say() -> None:
    whole = Outer.merged([ONE, OTHER])
    assert whole == Outer(
        num=1, seconds=0.75, by_name={"a": 4, "b": 3}, by_length={9: 1}, inner=(Inner(most=3), Inner(most=5))
    )
    assert list(whole.by_name) == ["a", "b"]
    assert whole == ONE.plus(OTHER) == Outer.merged(iter([OTHER, ONE]))


def test_of_nothing_there_are_the_defaults() -> None:
    assert Outer.merged([]) == Outer()
    assert Outer.merged([ONE]) == ONE


def test_what_is_written_is_read_and_unknown_keys_are_not() -> None:
    assert Outer.model_validate_json(ONE.model_dump_json()) == ONE
    with pytest.raises(ValidationError, match="Extra inputs"):
        Outer.model_validate({"nmu": 1})


def test_measured_numbers_have_four_decimals() -> None:
    class Measured(Figures):
        norm: Rounded

    assert Measured(norm=1 / 3).norm == 0.3333
