"""Recipes as models: defaults, bounds, and what must fit together."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from unicorn_hf.captions.filters import CaptionFilter
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.gathered import Gathered
from unicorn_hf.core.recipe import Recipe, Section
from unicorn_hf.core.sources import package_file
from unicorn_hf.instructions.filters import ConversationFilter

MINIMAL: dict[str, Any] = {
    "seeds": {"sources": [{"kind": "file", "path": "seeds.txt"}]},
    "engine": {"kind": "echo"},
    "captions": {"num": 10},
    "instructions": {"num": 5},
    "representations": {"encoder": "hashing:8"},
}


def with_(**changes: object) -> dict[str, Any]:
    """The minimal recipe with parts of its sections changed."""
    data = {key: dict(value) for key, value in MINIMAL.items()}
    for key, value in changes.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value  # type: ignore[assignment]
    return data


def test_defaults_are_the_papers() -> None:
    recipe = Recipe.model_validate(MINIMAL)
    tasks = recipe.instructions.tasks.by_name()
    assert [(name, task.weight) for name, task in tasks.items()] == [
        ("multiple_choice", 171),
        ("question_answering", 199),
        ("complex_reasoning", 100),
    ]
    assert tuple(tasks) == TASKS.own_names
    assert recipe.representations.transfer == "mean_shift"


def test_a_recipe_does_not_change_after_validation() -> None:
    recipe = Recipe.model_validate(MINIMAL)
    with pytest.raises(ValidationError):
        recipe.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"captions": {"num": 0}},
        {"captions": {"num": -1}},
        {"captions": {"num": True}},
        {"captions": {"num": "10"}},
        {"captions": {"num": 10.0}},
        {"captions": {"max_rejected": 1.1}},
        {"captions": {"max_attempts_per_caption": 0}},
        {"captions": {"captions_per_seed": 0}},
        {"captions": {"sampling": {"temperature": -0.1}}},
        {"captions": {"sampling": {"top_p": 0}}},
        {"captions": {"sampling": {"max_tokens": 0}}},
        {"captions": {"sampling": {"repetition_penalty": 0}}},
        {"captions": {"filters": {"min_words": 10, "max_words": 9}}},
        {"instructions": {"num": -3}},
        {"instructions": {"attempts": 0}},
        {"representations": {"transfer": "whiten"}},
        {"representations": {"dtype": "float64"}},
        {"representations": {"batch_size": 0}},
        {"seeds": {"sources": []}},
        {"seeds": {"max_characters": 0}},
        {"cluster": {"kind": ""}},
        {"cluster": {"workers": 0}},
        {"packaging": {"rows_per_shard": 0}},
        {"engine": {"kind": "vllm"}},
        {"engine": {"kind": "vllm", "model": "m", "gpu_memory_utilization": 1.0}},
        {"engine": {"kind": "vllm", "model": "m", "trust_remote_code": "yes"}},
        {"partition_rows": 0},
        {"random_seed": 1.5},
        {"language": []},
        {"language": 3},
        {"language": "Chinese"},
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(with_(**changes))


@pytest.mark.parametrize(("given", "languages"), [("zh", ("zh",)), (["en", "de"], ("en", "de"))])
def test_a_language_is_a_word_or_a_list_of_words(given: object, languages: tuple[str, ...]) -> None:
    recipe = Recipe.model_validate(with_(language=given))
    assert recipe.language == languages


def test_each_conversation_needs_a_caption_of_its_own() -> None:
    assert Recipe.model_validate(with_(instructions={"num": 10})).instructions.num == 10
    with pytest.raises(ValidationError, match=r"more instructions \(11\) than captions \(10\)"):
        Recipe.model_validate(with_(instructions={"num": 11}))


def test_one_caption_alone_has_no_mean_shift() -> None:
    one = with_(captions={"num": 1}, instructions={"num": 1})
    with pytest.raises(ValidationError, match="needs at least 2 captions to compute a mean"):
        Recipe.model_validate(one)
    assert Recipe.model_validate({**one, "representations": {"encoder": "hashing:8", "transfer": "none"}})


def test_pairs_and_weights_must_leave_something() -> None:
    none = {"weight": 0, "pairs": {"min": 1, "max": 1}, "prompt": "p"}
    with pytest.raises(ValidationError, match="at least one task needs a weight above 0"):
        Recipe.model_validate(with_(instructions={"tasks": dict.fromkeys(TASKS.own_names, none)}))
    crossed = {**none, "pairs": {"min": 3, "max": 2}}
    with pytest.raises(ValidationError, match=r"min \(3\) exceeds max \(2\)"):
        Recipe.model_validate(with_(instructions={"tasks": {"multiple_choice": crossed}}))


def test_label_templates_hold_the_label() -> None:
    source = {"kind": "labels", "path": "pets.txt", "domain": "pets", "templates": ["A {label}", "A pet"]}
    with pytest.raises(ValidationError, match=r"the template 'A pet' lacks \{label\}"):
        Recipe.model_validate(with_(seeds={"sources": [source]}))


def test_unknown_keys_are_refused_in_every_section() -> None:
    # Those of other tests are left alone: a section's choices are asked for at its first use.
    ours = {section for section in Section.__subclasses__() if section.__module__.startswith("unicorn_hf.")}
    for section in ours - {Gathered, CaptionFilter, ConversationFilter}:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            section.model_validate({"no_such_key": 1})


def test_package_files_ship_and_others_are_paths() -> None:
    assert package_file("package:pets.txt").is_file()
    assert package_file("pets.txt") == Path("pets.txt")
    assert package_file("~/pets.txt") == Path.home() / "pets.txt"
