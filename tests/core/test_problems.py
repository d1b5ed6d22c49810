"""What a recipe's keys take is said in words of the recipe, for a wrong value of every type at every key."""

import datetime
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from unicorn_hf.core.problems import Form, Location, problems
from unicorn_hf.core.recipe import Recipe

BASE: dict[str, Any] = yaml.safe_load("""
seeds:
  sources:
    - {kind: file, path: seeds.txt}
    - {kind: labels, path: labels.txt, domain: birds, templates: ["A {label}"]}
    - {kind: dataset, path: ORG/NAME, column: [a, b], where: {a: b}}
  languages: [en]
engine: {kind: endpoint, base_url: "http://127.0.0.1/v1", model: m, extra_body: {a: [1]}}
captions: {num: 10, screen: {}, sampling: {}, filters: {unsafe_words: [a]}, near_duplicates: {}}
instructions:
  num: 5
  judge: {}
  sampling: {}
  tasks:
    multiple_choice: {weight: 1, pairs: {min: 1, max: 2}, prompt: multiple_choice-v2, filters: {without: [unsafe]}}
representations: {encoder: "hashing:8"}
imported: {files: [{path: captions.json}]}
parent: {dataset: ORG/NAME, text: kept}
cluster: {}
packaging: {}
price: {}
language: [en]
""")
VALUES = [None, True, 3, -1, 1.5, 7.0, "", "x", [], [[]], [3], {}, {"a": 3}, {1: 2}, datetime.date(2024, 5, 1)]
ENGINES = [{"kind": "vllm", "model": "m"}, BASE["engine"], {"kind": "echo"}, {"kind": "imported"}]
OF_PYDANTIC = re.compile(
    r"Input should|Field required|Extra inputs|valid |tuple|literal|dictionary|instance|pars|\[key"
)


def keys(form: Form, data: object, at: Location = ()) -> Iterator[Location]:
    """The place of each key that `data` has or could have."""
    yield at
    if isinstance(data, dict):
        tagged = form.at((data["kind"],)) if "kind" in data else form
        for key in dict.fromkeys([*tagged.keys, *data]):
            yield from keys(tagged.at((key,)), data.get(key), (*at, key))
    elif isinstance(data, list):
        for number, item in enumerate(data):
            yield from keys(form.at((number,)), item, (*at, number))


def replaced(data: Any, at: Location, value: object) -> Any:
    if not at:
        return value
    if isinstance(data, list):
        return [replaced(item, at[1:], value) if number == at[0] else item for number, item in enumerate(data)]
    return {**data, at[0]: replaced(data.get(at[0]), at[1:], value)}


WHOLE = [BASE | {"engine": engine} for engine in ENGINES]
PLACES = [(number, at) for number, whole in enumerate(WHOLE) for at in keys(Form.of(Recipe), whole) if at]


def test_the_recipes_here_hold() -> None:
    for whole in WHOLE:
        Recipe.model_validate(whole)
    assert len(PLACES) > 4 * 100


def test_a_wrong_value_is_told_in_words_of_the_recipe() -> None:
    told = 0
    for number, at in PLACES:
        for value in VALUES:
            data = replaced(WHOLE[number], at, value)
            try:
                Recipe.model_validate(data)
            except ValidationError as error:
                found = problems(Recipe, data, error)
                assert found, (at, value)
                for problem in found:
                    assert not OF_PYDANTIC.search(problem.text), (at, value, problem)
                    assert str(problem.location[: len(at)]) == str(at[: len(problem.location)]), (at, value, problem)
                told += 1
    assert told > 3000


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("language", "3", "write a word or a list of words: en, or [en, de] (got 3)"),
        ("seeds.languages", "3", "write a word or a list of words: en, or [en, de] (got 3)"),
        ("seeds.min_characters", "'12'", "write a whole number above 0 (got '12')"),
        ("name", "2024-05-01", "write a text (got 2024-05-01); put it in quotes"),
        ("name", "no", "write a text (got False); put it in quotes"),
        ("name", "[a]", "write a text (got a list)"),
        ("captions.filters.unsafe_words", "gore", "write a list of texts: [a, b] (got 'gore')"),
        ("captions.max_rejected", "90", "write a number from 0 to 1 (got 90)"),
        ("captions.max_rejected", "", "write a number from 0 to 1 (got nothing)"),
        ("captions.sampling.top_p", "2", "write a number above 0, at most 1 (got 2)"),
        ("captions.sampling.temperature", "{}", "write a number of at least 0 (got a mapping)"),
        (
            "captions.sampling",
            "warm",
            "write a mapping with the keys temperature, top_p, repetition_penalty, max_tokens",
        ),
        (
            "captions",
            "5",
            "write a mapping with the keys num, captions_per_seed, max_attempts_per_caption, max_rejected, prompt,"
            " sampling, filters, screen, near_duplicates, of which num is required (got 5)",
        ),
        ("captions.filters.check_language", "'yes'", "write true or false (got 'yes')"),
        ("engine", "vllm", "write a mapping whose key kind is vllm, endpoint, batch, echo or imported (got 'vllm')"),
        ("price.currency", "euro", "write three capital letters, as in USD (got 'euro')"),
        ("cluster.kind", "''", "write auto, local, cuda, or the address or the file of a scheduler (got '')"),
        (
            "representations.transfer",
            "mean",
            "write none, mean_shift, mean_shift_raw, mean_shift_to_image, c3",
        ),
        ("seeds.sources.2.column", "3", "write a text or a list of texts: [a, b] (got 3)"),
        ("seeds.sources.2.where", "{1: a}", "a key must be a text: put it in quotes"),
        ("engine.extra_body", "{day: 2024-05-01}", "write a value that JSON has (got 2024-05-01)"),
    ],
)
def test_it_says_what_to_write(key: str, value: str, text: str) -> None:
    at = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    data = replaced(BASE, at, yaml.safe_load(value))
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(data)
    [problem] = problems(Recipe, data, caught.value)
    assert problem.location[: len(at)] == at
    assert f"{'.'.join(map(str, problem.location))}: {text}" in problem.text
