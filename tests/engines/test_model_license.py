"""What a model's own card says of its licence."""

from pathlib import Path

import pytest

from unicorn_hf.core.recipe import EchoEngine, VllmEngine
from unicorn_hf.engines.model_license import model_license


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: qwen\n---\n", "qwen"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("---\nlicense: ''\n---\n", None),
        ("---\nlicense: {\n---\n", None),
        ("# no metadata", None),
        ("", None),
        (None, None),
    ],
)
def test_of_a_folder(card: str | None, found: str | None, tmp_path: Path) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert model_license(VllmEngine(model=str(tmp_path))) == found


def test_what_the_recipe_says_goes_first(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert model_license(VllmEngine(model=str(tmp_path), license="gemma")) == "gemma"


def test_of_engines_without_a_card() -> None:
    assert model_license(EchoEngine()) is None
    assert model_license(VllmEngine(model="demo:smollm2-135m")) == "apache-2.0"
    assert model_license(VllmEngine(model="no name of the Hub!")) is None
