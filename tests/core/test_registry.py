import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.registry import NameOf, Provider, Registry, SectionOf

GROUP = "unicorn_hf.test_colours"


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[Any]]:
    """A registry at home in a package of two modules; another distribution has two entry points, one of them broken."""
    home = tmp_path / "paint_box"
    home.mkdir()
    (home / "__init__.py").write_text(
        f"from unicorn_hf.core.registry import Registry\nCOLOURS = Registry('colour', 'paint_box', '{GROUP}')\n"
    )
    (home / "red.py").write_text("from paint_box import COLOURS\n@COLOURS.register('red')\nclass Red: pass\n")
    (home / "blue.py").write_text("from paint_box import COLOURS\n@COLOURS.register('blue')\nclass Blue: pass\n")
    (tmp_path / "other_paint.py").write_text("class Mauve: pass\n")
    metadata = tmp_path / "Other_Paint-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: Other_Paint\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nmauve = other_paint:Mauve\nbroken = other_paint:Missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("paint_box").COLOURS
    for name in [name for name in sys.modules if name.partition(".")[0] in ("paint_box", "other_paint")]:
        del sys.modules[name]


def test_names_are_ours_and_then_those_of_other_packages(colours: Registry[Any]) -> None:
    assert colours.own_names == ("blue", "red")
    assert colours.names == ("blue", "red", "other-paint:broken", "other-paint:mauve")
    assert "red" in colours
    assert "other-paint:mauve" in colours
    assert "mauve" not in colours


def test_get_finds_both(colours: Registry[Any]) -> None:
    assert colours.get("red").__name__ == "Red"
    assert colours.get("other-paint:mauve").__name__ == "Mauve"


def test_what_cannot_be_loaded_is_left_out_of_the_loadable(colours: Registry[Any]) -> None:
    assert list(colours.loadable()) == ["blue", "red", "other-paint:mauve"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rad", "Did you mean red?"),
        ("mauve", "Did you mean other-paint:mauve?"),
        ("absent-paint:ochre", "pip install absent-paint"),
        ("other-paint:broken", "of the package Other_Paint cannot be loaded"),
    ],
)
def test_what_is_not_found_says_what_to_do(colours: Registry[Any], name: str, says: str) -> None:
    with pytest.raises(InputError) as found:
        colours.get(name)
    assert says in f"{found.value.message} {found.value.advice}"


def test_the_package_that_a_choice_comes_from(colours: Registry[Any]) -> None:
    assert colours.provider("red") is None
    assert colours.provider("other-paint:mauve") == Provider("Other_Paint", "1.2")
    assert colours.identity("red") == "red"
    assert colours.identity("other-paint:mauve") == "other-paint:mauve@1.2"


def test_a_choice_in_hand_has_a_name(colours: Registry[Any]) -> None:
    for name in ("red", "other-paint:mauve"):
        assert colours.name_of(colours.get(name)) == name
    with pytest.raises(ValueError, match="is not registered as a colour"):
        colours.name_of(object())


def test_a_name_is_given_once(colours: Registry[Any]) -> None:
    assert "red" in colours
    with pytest.raises(ValueError, match="two colours red"):
        colours.register("red")(object())


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def test_a_model_takes_the_names_that_there_are(colours: Registry[Any]) -> None:
    class Wall(_Section):
        colour: Annotated[str, NameOf(colours)] = "red"

    assert Wall(colour="other-paint:mauve").colour == "other-paint:mauve"
    with pytest.raises(ValidationError, match="'blue', 'red'"):
        Wall(colour="green")


def test_a_section_becomes_the_choice_that_its_kind_names() -> None:
    shapes: Registry[Any] = Registry("shape", "tests", "unicorn_hf.test_shapes")

    @shapes.register("circle")
    class Circle(_Section):
        kind: Literal["circle"] = "circle"
        radius: int

    @shapes.register("square")
    class Square(_Section):
        kind: Literal["square"]

    class Drawing(_Section):
        shape: Annotated[_Section, SectionOf(shapes)]

    drawing = Drawing.model_validate({"shape": {"kind": "circle", "radius": 3}})
    assert drawing.shape == Circle(radius=3)
    assert drawing.model_dump() == {"shape": {"kind": "circle", "radius": 3}}
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        Drawing.model_validate({"shape": {"kind": "star"}})
    assert Square(kind="square")
