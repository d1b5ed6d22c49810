"""What a model's own card says of its licence."""

from pathlib import Path

import pytest

from unicorn_hf.engines import EchoEngine, ImportedEngine, VllmEngine
from unicorn_hf.models.folders import model_license


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
    assert model_license(str(tmp_path), None) == found


def test_what_the_recipe_says_goes_first(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert VllmEngine(model=str(tmp_path), license="gemma").model_license() == "gemma"
    assert VllmEngine(model=str(tmp_path)).model_license() == "mit"


def test_of_engines_without_a_card() -> None:
    assert EchoEngine().model_license() is None
    assert ImportedEngine(kind="imported", license="mit").model_license() == "mit"
    assert model_license("demo:smollm2-135m", None) == "apache-2.0"
    assert model_license("no name of the Hub!", None) is None
