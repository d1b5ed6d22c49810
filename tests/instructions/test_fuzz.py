"""Whatever a model writes, the parsers answer with turns or with their own rejection.

`make test-all` tries 10,000 texts.
"""

import json
import os
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.scoring import SCORES, parse_score
from unicorn_hf.core.task import FormatName, InstructionFilters
from unicorn_hf.instructions.filters import Scene
from unicorn_hf.instructions.formats import FORMATS
from unicorn_hf.instructions.turns import LETTERS, conversation

ANYTHING = st.text(st.characters(), max_size=30)
NAMES = st.sampled_from(["pairs", "question", "answer", "right", "wrong", "options"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | ANYTHING, inner, max_size=4),
    max_leaves=5,
)
PAIR = st.fixed_dictionaries(
    {"question": ANYTHING}, optional={"answer": ANYTHING, "right": ANYTHING, "wrong": st.lists(ANYTHING, max_size=4)}
)
JSON_TEXTS = st.one_of(
    ANYTHING,
    ANY_JSON.map(json.dumps),
    st.lists(PAIR, max_size=4).map(lambda pairs: json.dumps({"pairs": pairs})),
    st.tuples(ANYTHING, st.lists(PAIR, max_size=2).map(json.dumps), ANYTHING).map("".join),
)
LINE = st.tuples(
    st.sampled_from(["", "**", "1. ", "- "]),
    st.sampled_from(["Question", "Answer", "Right", "Wrong", "question 1", "A", ""]),
    st.sampled_from([": ", ":", ". ", ":** ", " "]),
    ANYTHING,
).map("".join)
TAGGED_TEXTS = ANYTHING | st.lists(LINE, max_size=12).map("\n".join)
TEXTS = {"json": JSON_TEXTS, "tagged": TAGGED_TEXTS}
SHAPES = {"not_json", "wrong_shape", "not_tagged", "unfinished"}
NUM_TEXTS = int(os.environ.get("FUZZ_TEXTS", 300))


@pytest.mark.parametrize("task", TASKS.own_names)
@pytest.mark.parametrize("written", get_args(FormatName))
def test_parsing_never_raises_and_what_comes_can_be_stored(task: str, written: FormatName) -> None:
    used = TASKS.get(task)(format=written, filters=InstructionFilters(min_grounded=0))

    @settings(max_examples=NUM_TEXTS)
    @given(TEXTS[written], st.sampled_from(["stop", "length"]))
    @example("[" * 100_000, "stop")
    @example('{"pairs": ' * 50_000, "stop")
    @example("1" * 5000, "stop")
    @example("NaN", "stop")
    @example('{"pairs": [{"question": "\\ud800", "answer": "b"}]}', "stop")
    @example('{"pairs": [{"question": "a", "answer": "b", "\\ud800": 1}]}', "stop")
    @example('{"\\udcff": 1}', "stop")
    @example('{"pairs": [{"question": "a", "answer": 1e999}]}', "stop")
    @example("\ufeff{}", "stop")
    @example("\x00", "stop")
    @example("Question: \ud800\nAnswer: b", "stop")
    @example("Question: a\n" * 20_000, "length")
    def fuzz(text: str, finish_reason: str) -> None:
        parsed = used.parse(Answer(text, finish_reason, 9, 9), "id")  # type: ignore[arg-type]
        if isinstance(parsed, Rejected):
            assert parsed.reason in SHAPES
            assert parsed.detail
            parsed.detail.encode()
            return
        json.dumps(conversation(parsed), ensure_ascii=False).encode()
        good, bad = used.good_turns(parsed, Scene("A dog."))
        assert len(good) + len(bad) == len(parsed)
        for turn in good:
            assert len(turn.options) == (4 if used.has_options else 0)
            assert not turn.options or turn.answer in LETTERS

    fuzz()


@settings(max_examples=NUM_TEXTS)
@given(ANYTHING | ANY_JSON.map(json.dumps) | st.from_regex(r"(?is).{0,8}(score|rating).{0,8}\d.{0,8}"))
@example("9" * 10_000)
@example('{"score":' * 10_000)
def test_scores_never_raise(text: str) -> None:
    assert parse_score(text) in (None, *SCORES)


@pytest.mark.parametrize("task", TASKS.own_names)
def test_an_answer_of_any_schema_that_is_written_is_read(task: str) -> None:
    """What each format writes of the fields that it shows to a model, it reads back."""
    for name, answer_format in FORMATS.items():
        family = TASKS.get(task)(format=name)
        text = answer_format.write([family.fields] * 2)
        parsed = family.parse(Answer(text, "stop", 9, 9), "id")
        assert not isinstance(parsed, Rejected)
        assert len(parsed) == 2
        assert answer_format.write([family.fields]) in answer_format.instruction(family.fields)
    assert json.loads(family.json_schema())
