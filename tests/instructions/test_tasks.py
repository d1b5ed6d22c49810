"""Answers as turns, turns as conversations, and letters that say nothing."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import TASKS, PairRange, TaskName
from unicorn_hf.instructions.tasks import LETTERS, Turn, conversation, json_schema, parse

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["pairs", "question", "answer", "options", "A", "B", "C", "D"]) | st.text(st.characters()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def answer_of(pairs: list[dict[str, Any]]) -> str:
    return json.dumps({"pairs": pairs})


def choice(options: list[str], answer: str = "A", question: str = "What is red?") -> dict[str, Any]:
    return {"question": question, "options": dict(zip(LETTERS, options, strict=True)), "answer": answer}


def right_option(turn: Turn) -> str:
    return turn.options[LETTERS.index(turn.answer)]


@pytest.mark.parametrize("task", TASKS)
@given(st.text(st.characters()) | ANY_JSON.map(json.dumps))
@example("[" * 100_000)
@example('{"pairs": ' * 50_000)
@example("1" * 5000)
@example("NaN")
@example('{"pairs": [{"question": "\\ud800", "answer": "b"}]}')
@example('{"pairs": [{"question": "a", "answer": "b", "\\ud800": 1}]}')
@example('{"\\udcff": 1}')
@example('{"pairs": [{"question": "a", "answer": 1e999}]}')
@example("\ufeff{}")
@example("\x00")
def test_parsing_never_raises_and_what_comes_can_be_stored(task: TaskName, text: str) -> None:
    parsed = parse(task, text, "id")
    if isinstance(parsed, Rejected):
        assert parsed.reason in ("not_json", "wrong_shape")
        assert parsed.detail
        parsed.detail.encode()
    else:
        json.dumps(conversation(parsed), ensure_ascii=False).encode()


@pytest.mark.parametrize("task", ["question_answering", "complex_reasoning"])
@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_questions_and_answers_come_back_as_written(task: TaskName, pairs: list[tuple[str, str]]) -> None:
    text = answer_of([{"question": question, "answer": answer} for question, answer in pairs])
    parsed = parse(task, text, "id")
    assert parsed == tuple(Turn(question.strip(), answer.strip()) for question, answer in pairs)


@given(st.lists(TEXT.map(str.strip), min_size=4, max_size=4, unique=True), st.sampled_from(LETTERS), st.integers())
def test_the_right_option_stays_right_and_none_is_lost(options: list[str], answer: str, caption: int) -> None:
    parsed = parse("multiple_choice", answer_of([choice(options, answer)]), str(caption))
    assert not isinstance(parsed, Rejected)
    (turn,) = parsed
    assert right_option(turn) == options[LETTERS.index(answer)]
    assert sorted(turn.options) == sorted(options)


@pytest.mark.parametrize("favourite", LETTERS)
def test_letters_are_even_whatever_letter_the_model_favours(favourite: str) -> None:
    number = 10_000
    text = answer_of([choice(["one", "two", "three", "four"], favourite)])
    letters = Counter()
    places = Counter()
    for index in range(number):
        (turn,) = parse("multiple_choice", text, f"caption {index}")
        letters[turn.answer] += 1
        wrong = next(option for option in ("one", "two") if option != right_option(turn))
        places[turn.options.index(wrong)] += 1
    for counts in (letters, places):
        assert all(abs(counts[key] / number - 1 / 4) <= 0.02 for key in counts)
        assert len(counts) == 4


def test_letters_are_even_within_one_conversation_too() -> None:
    pairs = [choice(["one", "two", "three", "four"], "B", f"What is {index}?") for index in range(6)]
    letters = [
        tuple(turn.answer for turn in parse("multiple_choice", answer_of(pairs), f"caption {index}"))
        for index in range(200)
    ]
    assert len(set(letters)) > 180
    assert all(len({conversation[turn] for conversation in letters}) == 4 for turn in range(6))


def test_letters_depend_on_the_caption_alone() -> None:
    pairs = answer_of([choice(["one", "two", "three", "four"], "B")])
    assert parse("multiple_choice", pairs, "x") == parse("multiple_choice", pairs, "x")
    places = {parse("multiple_choice", pairs, f"caption {index}")[0].options for index in range(400)}
    assert len(places) == 24, "every order is possible"


@pytest.mark.parametrize(
    "options",
    [
        ["A. red", "B. green", "C. blue", "D. white"],
        ["A) red", "B) green", "C) blue", "D) white"],
        ["(A) red", "(B) green", "(C) blue", "(D) white"],
        ["A: red", "B:green", "C: blue", "D:  white"],
    ],
)
def test_letters_that_the_model_writes_before_all_options_are_taken_away(options: list[str]) -> None:
    (turn,) = parse("multiple_choice", answer_of([choice(options, "C")]), "id")
    assert sorted(turn.options) == ["blue", "green", "red", "white"]
    assert right_option(turn) == "blue"


@pytest.mark.parametrize(
    "options",
    [
        ["A. red", "B. green", "C. blue", "white"],
        ["A dog", "Both cats", "C. elegans", "Dogs"],
        ["B. red", "A. green", "C. blue", "D. white"],
        ["", "B. green", "C. blue", "D. white"],
    ],
)
def test_letters_that_may_belong_to_the_text_stay(options: list[str]) -> None:
    (turn,) = parse("multiple_choice", answer_of([choice(options)]), "id")
    assert sorted(turn.options) == sorted(options)


@pytest.mark.parametrize(
    ("task", "text", "reason", "detail"),
    [
        ("question_answering", "Here you go: {}", "not_json", "Expecting value"),
        ("question_answering", '{"pairs": [{"question": "a"', "not_json", "Expecting"),
        ("question_answering", "", "not_json", "Expecting value"),
        ("question_answering", "{}", "wrong_shape", "pairs: Field required"),
        ("question_answering", "[]", "wrong_shape", ""),
        ("question_answering", '{"pairs": {}}', "wrong_shape", "pairs: Input should be a valid list"),
        ("question_answering", '{"pairs": [{"question": "a"}]}', "wrong_shape", "pairs.0.answer: Field required"),
        ("question_answering", answer_of([{"question": "a", "answer": 3}]), "wrong_shape", "pairs.0.answer: Input"),
        (
            "question_answering",
            answer_of([{"question": "a", "answer": "b", "c": 1}]),
            "wrong_shape",
            "pairs.0.c: Extra",
        ),
        ("question_answering", answer_of([choice(["a", "b", "c", "d"])]), "wrong_shape", "pairs.0.options: Extra"),
        ("multiple_choice", answer_of([{"question": "a", "answer": "A"}]), "wrong_shape", "pairs.0.options: Field"),
        ("multiple_choice", answer_of([choice(["a", "b", "c", "d"], "E")]), "wrong_shape", "pairs.0.answer: Input"),
        ("multiple_choice", answer_of([choice(["a", "b", "c", "d"], "a")]), "wrong_shape", "pairs.0.answer: Input"),
    ],
)
def test_what_does_not_hold_says_why(task: TaskName, text: str, reason: str, detail: str) -> None:
    parsed = parse(task, text, "id")
    assert isinstance(parsed, Rejected)
    assert parsed.reason == reason
    assert parsed.detail.startswith(detail)
    assert len(parsed.detail) <= 200


def test_no_pairs_are_no_turns() -> None:
    assert parse("question_answering", '{"pairs": []}', "id") == ()


@given(st.lists(st.builds(Turn, TEXT, TEXT, st.just(()) | st.tuples(TEXT, TEXT, TEXT, TEXT)), min_size=1, max_size=5))
def test_a_conversation_alternates_and_has_the_image_once_at_its_start(turns: list[Turn]) -> None:
    messages = conversation(turns)
    assert [message["from"] for message in messages] == ["human", "gpt"] * len(turns)
    assert messages[0]["value"].startswith("<image>\n")
    for turn, (human, gpt) in zip(turns, zip(messages[::2], messages[1::2], strict=True), strict=True):
        assert gpt["value"] == turn.answer
        options = "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, turn.options, strict=False))
        assert human["value"].removeprefix("<image>\n") == turn.question + options
    assert sum(message["value"].startswith("<image>\n") for message in messages) == 1


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_bounds_everything_that_a_model_may_write(task: TaskName) -> None:
    schema = json.loads(json_schema(task, PairRange(min=2, max=3)))
    pairs = schema["properties"]["pairs"]
    assert (pairs["minItems"], pairs["maxItems"]) == (2, 3)

    def check(part: dict[str, Any]) -> None:
        match part["type"]:
            case "object":
                assert part["additionalProperties"] is False
                assert part["required"] == list(part["properties"])
                for inner in part["properties"].values():
                    check(inner)
            case "array":
                check(part["items"])
            case "string":
                assert "enum" in part or 1 <= part["minLength"] < part["maxLength"] <= 800

    check(schema)


@pytest.mark.parametrize("task", TASKS)
def test_what_the_schema_asks_for_parses(task: TaskName) -> None:
    """The smallest value of each schema is an answer that the parser takes."""

    def smallest(part: dict[str, Any]) -> object:
        match part["type"]:
            case "object":
                return {name: smallest(inner) for name, inner in part["properties"].items()}
            case "array":
                return [smallest(part["items"])] * part["minItems"]
            case _:
                return part["enum"][0] if "enum" in part else "x"

    schema = json.loads(json_schema(task, PairRange(min=2, max=3)))
    parsed = parse(task, json.dumps(smallest(schema)), "id")
    assert not isinstance(parsed, Rejected)
    assert len(parsed) == 2
