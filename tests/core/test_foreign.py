"""Which values of a published recipe name a file, and what becomes of them; each key is tried in test_foreign_sets."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.core.test_recipe import with_
from unicorn_hf import InputError, load_recipe
from unicorn_hf.core.foreign import is_of_a_set, refuse_files, taken_over
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import dump_recipe

SOURCE = {"kind": "dataset", "path": "org/captions", "column": "text"}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(with_(**changes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"representations": {"encoder": "clip:org/clip"}}, ""),
        ({"representations": {"encoder": "open_clip:ViT-L-14/datacomp_xl_s13b_b90k"}}, ""),
        ({"representations": {"encoder": "open_clip:hf-hub:org/clip"}}, ""),
        ({"representations": {"encoder": "open_clip:demo:minilm"}}, ""),
        ({"representations": {"encoder": "llm2clip:org/clip"}}, ""),
        ({"representations": {"encoder": "hashing:8"}}, ""),
        ({"representations": {"encoder": "clip:/home/me/clip"}}, "representations.encoder"),
        ({"representations": {"encoder": "clip:../clip/x"}}, "representations.encoder"),
        ({"representations": {"encoder": "open_clip:local-dir:clip"}}, "representations.encoder"),
        ({"representations": {"encoder": "open_clip:ViT-L-14//home/me/vit.pt"}}, "representations.encoder"),
        ({"representations": {"encoder": "open_clip:ViT-L-14/weights/vit.pt"}}, "representations.encoder"),
        ({"representations": {"encoder": "llm2clip:org/clip+~/llm"}}, "representations.encoder"),
        ({"representations": {"encoder": "hashing:8", "image_statistics": "mine.safetensors"}},
         "representations.image_statistics"),
        ({"engine": {"kind": "vllm", "model": "org/model"}}, ""),
        ({"engine": {"kind": "vllm", "model": "gpt2"}}, ""),
        ({"engine": {"kind": "vllm", "model": "demo:smollm2-135m-instruct"}}, ""),
        ({"engine": {"kind": "vllm", "model": "/home/me/model"}}, "engine.model"),
        ({"engine": {"kind": "vllm", "model": "a/../../model"}}, "engine.model"),
        ({"engine": {"kind": "vllm", "model": "here"}}, "engine.model"),
        ({"engine": {"kind": "endpoint", "base_url": "http://h/v1", "model": "/models/x.gguf"}}, ""),
        ({"captions": {"prompt": "caption-v2"}}, ""),
        ({"captions": {"prompt": "mine.yaml"}}, "captions.prompt"),
        ({"captions": {"prompt": "../prompts/caption-v2"}}, "captions.prompt"),
        ({"captions": {"prompt": {"version": "1", "system": "s", "user": "{subject}"}}}, ""),
        ({"instructions": {"judge": {"prompt": "/home/me/judge.yaml"}}}, "instructions.judge.prompt"),
        ({"seeds": {"sources": [SOURCE]}}, ""),
        ({"seeds": {"sources": [SOURCE | {"path": "/data/captions"}]}}, "seeds.sources.path"),
        ({"seeds": {"sources": [{"kind": "file", "path": "package:pets.txt"}]}}, ""),
        ({"seeds": {"sources": [{"kind": "file", "path": "package:../../pets.txt"}]}}, "seeds.sources.path"),
        ({"seeds": {"sources": [{"kind": "file", "path": "seeds.txt"}]}}, "seeds.sources.path"),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_name(
    changes: dict[str, Any], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    given = {"seeds": {"sources": [SOURCE]}} | changes
    taken = taken_over(recipe(**given), tmp_path)
    assert list(taken.files) == ([key] if key else [])
    if key:
        with pytest.raises(InputError, match=f"as {key}; files that a published recipe names are never opened"):
            refuse_files(taken, taken.recipe, (), "ORG/NAME")
        refuse_files(taken, taken.recipe, (key,), "ORG/NAME")
        assert "/home/me" not in dump_recipe(taken.recipe)


def test_the_sets_own_image_side_is_taken(tmp_path: Path) -> None:
    own = {"encoder": "hashing:8", "image_statistics": str(tmp_path / "transfer.safetensors")}
    taken = taken_over(recipe(seeds={"sources": [SOURCE]}, representations=own), tmp_path)
    assert taken.files == {}
    assert taken.recipe.representations.image_statistics == own["image_statistics"]


def test_what_is_left_is_told_in_a_line(tmp_path: Path) -> None:
    engine = {"kind": "endpoint", "model": "m", "base_url": "http://h/v1", "extra_body": {"a": 1}, "retries": 3}
    taken = taken_over(recipe(engine=engine, price={"per_worker_hour": 2.0}), tmp_path)
    assert taken.told == (
        "ignored keys of the published recipe: engine.base_url, engine.retries, engine.extra_body, "
        "price.per_worker_hour. Set your own with options or --set"
    )
    assert taken_over(taken.recipe, tmp_path).told == ""


def test_a_recipe_beside_statistics_is_one_of_a_set(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    engine: dict[str, object] = {"kind": "endpoint", "model": "m", "base_url": "http://h/v1"}
    path.write_text(dump_recipe(recipe(engine=engine, seeds={"sources": [SOURCE]})))
    lines: list[str] = []
    assert not is_of_a_set(path)
    assert load_recipe(path, tell=lines.append).engine.base_url == "http://h/v1"  # type: ignore[union-attr]
    (tmp_path / "statistics.json").write_text("{}")
    assert is_of_a_set(path)
    assert load_recipe(path, tell=lines.append).engine.base_url is None  # type: ignore[union-attr]
    engine["base_url"] = ["http://h/v1", "http://i/v1"]
    path.write_text(dump_recipe(recipe(engine=engine, seeds={"sources": [SOURCE]})))
    assert load_recipe(path, tell=lines.append).engine.base_url is None  # type: ignore[union-attr]
    lines.pop()
    own = load_recipe(path, {"engine.base_url": "http://mine/v1"}, tell=lines.append)
    assert own.engine.base_url == "http://mine/v1"  # type: ignore[union-attr]
    assert lines == ["ignored keys of the published recipe: engine.base_url. Set your own with options or --set"] * 2


@pytest.mark.parametrize("name", ["a" * 5000, f"{'a' * 300}/b", "../" * 100 + "x"])
def test_names_of_any_length_are_looked_at(name: str, tmp_path: Path) -> None:
    engine = {"kind": "vllm", "model": name}
    assert "engine.model" in taken_over(recipe(engine=engine, seeds={"sources": [SOURCE]}), tmp_path).files


@pytest.mark.parametrize("revision", ["/etc/passwd", "../x", "a/../b", "main\r  harmless/model", "", "a" * 300])
def test_a_revision_is_no_path(revision: str) -> None:
    for changes in (
        {"engine": {"kind": "vllm", "model": "org/model", "revision": revision}},
        {"seeds": {"sources": [SOURCE | {"revision": revision}]}},
        {"parent": {"dataset": "org/set", "revision": revision, "text": "written"}},
    ):
        with pytest.raises(ValidationError):
            recipe(**changes)


def test_whatever_stands_for_statistics_makes_a_set(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").mkdir()
    assert is_of_a_set(tmp_path / "recipe.yaml")
