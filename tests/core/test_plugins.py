"""Packages of others that a recipe needs: those that are used, and what is said of those that are missing."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from unicorn_hf import InputError
from unicorn_hf.core.plugins import REGISTRIES, package_of, plugins, to_install, why_unknown
from unicorn_hf.core.recipe_file import read_document, validate


class Part(BaseModel):
    content: dict[str, Any]


@pytest.fixture
def _paint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `Other_Paint` with one export format that loads, and one that does not."""
    (tmp_path / "other_paint.py").write_text("class Mural: pass\n")
    metadata = tmp_path / "Other_Paint-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: Other_Paint\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(
        "[unicorn_hf.exports]\nmural = other_paint:Mural\nbroken = other_paint:Missing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for registry in REGISTRIES:
        assert registry.names  # They are found now, and again after the test.
        monkeypatch.delitem(vars(registry), "_others")


@pytest.mark.usefixtures("_paint")
@pytest.mark.parametrize(
    "content",
    [
        {"kind": "other-paint:mural"},
        {"sections": [{"deep": ["other-paint:mural"]}]},
        {"filters": {"other-paint:mural": {}}},
        {"encoder": "other-paint:mural:64"},
    ],
)
def test_a_package_is_found_wherever_its_choice_is_named(content: dict[str, Any]) -> None:
    assert plugins(Part(content=content)) == {"other-paint": "1.2"}


@pytest.mark.usefixtures("_paint")
@pytest.mark.parametrize("text", ["mural", "other-paint", "other-paint:fresco", "The other-paint:mural", "clip:org/x"])
def test_other_texts_name_no_package(text: str) -> None:
    assert plugins(Part(content={"kind": text})) == {}


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("other-paint:mural", "other-paint"),
        ("Other_Paint:mural.two", "Other_Paint"),
        ("http://host", None),
        ("package:../x", None),
        ("mural", None),
        ("a b:c", None),
        (3, None),
    ],
)
def test_the_package_of_a_name(name: object, package: str | None) -> None:
    assert package_of(name) == package


@pytest.mark.usefixtures("_paint")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent-paint:mural", "the package absent-paint is not installed"),
        ("other-paint:fresco", "the package other-paint 1.2 does not provide it"),
        ("other-paint:mural", "it is the name of another kind of choice: export format"),
        ("other-paint:broken", "of the package Other_Paint cannot be loaded"),
    ],
)
def test_why_a_name_is_not_taken(name: str, why: str) -> None:
    assert why in why_unknown(name.partition(":")[0], name)


def test_what_to_install_has_the_version_that_the_recipe_names() -> None:
    recipe = {"plugins": {"absent-paint": "2.0", "pydantic": "1"}}
    assert to_install(["absent-paint", "pydantic"], recipe) == "If you trust it: pip install absent-paint==2.0"
    assert to_install(["absent-paint", "absent-ink"], {}) == "If you trust it: pip install absent-paint absent-ink"
    assert to_install(["absent-paint"], {"plugins": ["x"]}) == "If you trust it: pip install absent-paint"
    assert to_install([], recipe) == ""


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (["seeds", "sources"], [{"kind": "absent-paint:walls"}], "seeds.sources.0: unknown name 'absent-paint:walls'"),
        (["engine"], {"kind": "absent-paint:walls"}, "engine: unknown name 'absent-paint:walls'"),
        (
            ["representations", "encoder"],
            "absent-paint:walls:8",
            "encoder: no encoder absent-paint:walls",
        ),
        (["captions", "absent-paint:walls"], {}, "captions.absent-paint:walls: unknown name"),
        (["representations", "transfer"], "absent-paint:walls", "transfer: unknown name 'absent-paint:walls'"),
    ],
    ids=["kind", "engine", "encoder", "key", "value"],
)
def test_a_recipe_that_lacks_a_package_says_which(keys: list[str], value: object, place: str) -> None:
    document = read_document("demo")
    document.data["plugins"] = {"absent-paint": "2.0"}
    section: Any = document.data
    for key in keys[:-1]:
        section = section.setdefault(key, {})
    section[keys[-1]] = value
    with pytest.raises(InputError) as raised:
        validate(document)
    assert f"{place}: the package absent-paint is not installed" in raised.value.message
    assert raised.value.advice == "If you trust it: pip install absent-paint==2.0"
