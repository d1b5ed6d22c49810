"""A recipe as others may read it: no folder of this machine, and still a recipe."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.test_recipe import with_
from unicorn_hf.core.published import published_recipe
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import bundled_names, dump_recipe, load_recipe


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_recipe_says_the_same(name: str) -> None:
    recipe = load_recipe(name)
    assert published_recipe(recipe) == recipe


def test_nothing_of_the_machine_is_left_and_it_is_still_a_recipe(tmp_path: Path) -> None:
    secret: dict[str, Any] = {"workers": 3}
    task = {"weight": 1, "pairs": {"min": 1, "max": 2}, "prompt": f"{tmp_path}/ask.yaml"}
    recipe = Recipe.model_validate(
        with_(
            seeds={"sources": [{"kind": "file", "path": f"{tmp_path}/seeds.txt", "column": "caption"}]},
            engine={"kind": "vllm", "model": f"{tmp_path}/model"},
            captions={"prompt": f"{tmp_path}/caption.yaml"},
            instructions={"tasks": {"multiple_choice": task}},
            representations={"encoder": f"open_clip:local-dir:{tmp_path}/clip"},
            cluster=secret,
        )
    )
    published = published_recipe(recipe)
    text = dump_recipe(published)
    assert str(tmp_path) not in text
    for name in ("seeds.txt", "model: model", "caption.yaml", "ask.yaml", "local-dir:clip"):
        assert name in text
    assert published.cluster.workers is None
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_recipe(tmp_path / "recipe.yaml").captions.num == recipe.captions.num
