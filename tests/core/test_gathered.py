"""Sections that are made of a registry: our keys, and those of other packages where a recipe gives them."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Self

import pytest
from pydantic import PositiveInt, ValidationError, model_validator

from unicorn_hf import load_recipe
from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.gathered import Filters
from unicorn_hf.core.registry import Registry
from unicorn_hf.core.section import Section

GROUP = "unicorn_hf.test_sieves"
SIEVES: Registry[Any] = Registry("sieve", "tests.core.test_gathered", GROUP)


@SIEVES.register("fine")
class Fine(Section):
    smallest: PositiveInt = 2


@SIEVES.register("coarse")
class Coarse(Fine):
    largest: PositiveInt = 9

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError("nothing passes")
        return self


class Sieves(Filters):
    registry = SIEVES


class Kitchen(Section):
    sieves: Sieves


@pytest.fixture(autouse=True, scope="module")
def other_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A distribution with two sieves."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "other_sieves.py").write_text(
        "from unicorn_hf.core.section import Section\n"
        "class Round(Section):\n    width: int = 5\n"
        "class Square(Section):\n    pass\n"
    )
    metadata = folder / "Other_Sieves-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: Other_Sieves\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nround = other_sieves:Round\nsquare = other_sieves:Square\n")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


ROUND, SQUARE = "other-sieves:round", "other-sieves:square"


def test_our_keys_stand_side_by_side_and_what_is_installed_adds_nothing() -> None:
    assert Sieves().model_dump() == {"smallest": 2, "largest": 9}
    assert fingerprint(Sieves()) == fingerprint({"smallest": 2, "largest": 9})
    assert Sieves(largest=4).filter("coarse") == Coarse(largest=4)
    assert Sieves().others == Sieves().identity == ()


def test_those_of_other_packages_are_there_in_the_order_of_the_recipe() -> None:
    for data in ({SQUARE: {}, "smallest": 3, ROUND: {"width": 7}}, {ROUND: {"width": 7}, SQUARE: {}}):
        sieves = Kitchen.model_validate({"sieves": data}).sieves
        assert sieves.others == tuple(name for name in data if ":" in name)
        assert list(sieves.model_dump())[2:] == list(sieves.others)
        assert sieves.identity == tuple(f"{name}@1.2" for name in sieves.others)
        assert sieves.filter(ROUND).width == 7
        assert Sieves.model_validate(sieves.model_dump(mode="json")) == sieves
        assert pickle.loads(pickle.dumps(sieves)).others == sieves.others  # noqa: S301 - as jobs take it


def test_where_they_are_only_unpickled_others_are_not_equal() -> None:
    """As in a worker that several builds use: what it keeps for the filters of one is not for those of another."""
    few, many = (load_recipe("demo", {"captions.filters.min_words": number}).captions.filters for number in (5, 50))
    code = "import pickle, sys; few, many = pickle.load(sys.stdin.buffer); print(few == many, few.min_words)"
    told = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((few, many)), capture_output=True, check=True
    )
    assert told.stdout == b"False 5\n"


@pytest.mark.parametrize(
    ("data", "location", "says"),
    [
        ({"smalest": 3}, ("smalest",), "Extra inputs"),
        ({"smallest": 0}, ("smallest",), "greater than 0"),
        ({"smallest": 10}, (), "nothing passes"),
        ({ROUND: {"width": "x"}}, (ROUND, "width"), "valid integer"),
        ({ROUND: None}, (ROUND,), "valid dictionary"),
        ({"absent:round": {}}, ("absent:round",), "Extra inputs"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(data: dict[str, Any], location: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Kitchen.model_validate({"sieves": data})
    (error,) = caught.value.errors()
    assert error["loc"] == ("sieves", *location)
    assert says in error["msg"]
