"""A request's key: identity of all that its answer depends on."""

from dataclasses import replace

import pytest

from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Sampling

REQUEST = Request(
    id="row",
    subject="a dog",
    messages=(Message("system", "Describe."), Message("user", "a dog")),
    sampling=Sampling(),
    seed=3,
)


def test_the_same_request_has_the_same_key() -> None:
    assert replace(REQUEST, messages=tuple(REQUEST.messages)).key == REQUEST.key


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("system", "Describe."), Message("user", "a cat"))},
        {"messages": (Message("user", "Describe."), Message("user", "a dog"))},
        {"messages": (Message("system", "Describe.a dog"),)},
        {"sampling": Sampling(max_tokens=511)},
        {"seed": 4},
        {"json_schema": "{}"},
        {"json_schema": ""},
    ],
)
def test_whatever_the_answer_depends_on_changes_the_key(changes: dict[str, object]) -> None:
    assert replace(REQUEST, **changes).key != REQUEST.key  # type: ignore[arg-type]
