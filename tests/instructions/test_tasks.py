"""Answers as turns, turns as conversations, and letters that say nothing."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import Example, Prompt
from unicorn_hf.core.task import FormatName, PairRange
from unicorn_hf.instructions.formats import FORMATS
from unicorn_hf.instructions.tasks import TaskFamily
from unicorn_hf.instructions.turns import LETTERS, Turn, conversation

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def task_of(name: str, written: FormatName = "json", least: int = 1, most: int = 2) -> TaskFamily:
    return TASKS.get(name)(format=written, pairs=PairRange(min=least, max=most))


def parse(task: str, text: str, caption_id: str) -> tuple[Turn, ...] | Rejected:
    return task_of(task).parse(Answer(text, "stop", 9, 9), caption_id)


def answer_of(pairs: list[dict[str, Any]]) -> str:
    return json.dumps({"pairs": pairs})


def tidy(text: str) -> str:
    """A text as it is kept: one space between words, no comma left at its end."""
    return " ".join(text.split()).rstrip(" ,;")


def choice(options: list[str], question: str = "What is red?") -> dict[str, Any]:
    """A choice as a model writes it: the right option first."""
    return {"question": question, "right": options[0], "wrong": options[1:]}


def right_option(turn: Turn) -> str:
    return turn.options[LETTERS.index(turn.answer)]


@pytest.mark.parametrize("task", ["question_answering", "complex_reasoning"])
@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_questions_and_answers_come_back_as_written(task: str, pairs: list[tuple[str, str]]) -> None:
    text = answer_of([{"question": question, "answer": answer} for question, answer in pairs])
    parsed = parse(task, text, "id")
    assert parsed == tuple(Turn(tidy(question), tidy(answer)) for question, answer in pairs)


@given(st.lists(TEXT.map(tidy), min_size=4, max_size=4, unique=True), st.integers())
def test_the_right_option_stays_right_and_none_is_lost(options: list[str], caption: int) -> None:
    parsed = parse("multiple_choice", answer_of([choice(options)]), str(caption))
    assert not isinstance(parsed, Rejected)
    (turn,) = parsed
    assert right_option(turn) == turn.right_answer == options[0]
    assert sorted(turn.options) == sorted(options)


def test_letters_are_even() -> None:
    number = 10_000
    text = answer_of([choice(["one", "two", "three", "four"])])
    letters, places = Counter(), Counter()
    for index in range(number):
        (turn,) = parse("multiple_choice", text, f"caption {index}")
        letters[turn.answer] += 1
        places[turn.options.index("two")] += 1
    for counts in (letters, places):
        assert len(counts) == 4
        assert all(abs(count / number - 1 / 4) <= 0.02 for count in counts.values())


def test_letters_are_even_within_one_conversation_too() -> None:
    pairs = [choice(["one", "two", "three", "four"], f"What is {index}?") for index in range(6)]
    letters = [
        tuple(turn.answer for turn in parse("multiple_choice", answer_of(pairs), f"caption {index}"))
        for index in range(200)
    ]
    assert len(set(letters)) > 180
    assert all(len({conversation[turn] for conversation in letters}) == 4 for turn in range(6))


def test_letters_depend_on_the_caption_alone() -> None:
    pairs = answer_of([choice(["one", "two", "three", "four"])])
    assert parse("multiple_choice", pairs, "x") == parse("multiple_choice", pairs, "x")
    places = {parse("multiple_choice", pairs, f"caption {index}")[0].options for index in range(400)}
    assert len(places) == 24, "every order is possible"


@pytest.mark.parametrize(
    ("task", "text", "reason", "detail"),
    [
        ("question_answering", "Here you go", "not_json", "Expecting value"),
        ("question_answering", '{"pairs": [{"question": "a"', "not_json", "Expecting"),
        ("question_answering", "", "not_json", "Expecting value"),
        ("question_answering", "{}", "wrong_shape", "no list of pairs"),
        ("question_answering", '{"pairs": {}}', "wrong_shape", "no list of pairs"),
        ("question_answering", "[3]", "wrong_shape", ": Input should be"),
        ("question_answering", '{"pairs": [{"question": "a"}]}', "wrong_shape", "answer: Field required"),
        ("question_answering", answer_of([{"question": "a", "answer": 3}]), "wrong_shape", "answer: Input"),
        ("multiple_choice", answer_of([{"question": "a", "right": "b"}]), "wrong_shape", "wrong: Field required"),
        ("multiple_choice", answer_of([choice(["a", "b", "c"])]), "wrong_shape", "wrong: List should have at least 3"),
    ],
)
def test_what_does_not_hold_says_why(task: str, text: str, reason: str, detail: str) -> None:
    parsed = parse(task, text, "id")
    assert isinstance(parsed, Rejected)
    assert parsed.reason == reason
    assert parsed.detail.startswith(detail)
    assert len(parsed.detail) <= 200


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"pairs": [{"question": "What?", "answer": "Red."}]}\n```',
        'Here you go: {"pairs": [{"question": "What?", "answer": "Red."}]} I hope this helps!',
        '[{"question": "What?", "answer": "Red."}]',
        '{"pairs": [{"id": 1, "question": " What? ", "answer": "Red. ", "kind": "colour"}], "num": 1}',
        '{"pairs": [{"question": "What?,", "answer": "Red. ,"}]}',
    ],
)
def test_what_models_write_without_a_grammar_is_read_too(text: str) -> None:
    assert parse("question_answering", text, "id") == (Turn("What?", "Red."),)


@pytest.mark.parametrize(
    ("wrong", "kept"),
    [
        (["b", "c", "d", "e"], ["b", "c", "d"]),
        (["b", "B.", "c", "a", "d", "e"], ["b", "c", "d"]),
        (["b", "b", "c"], ["b", "b", "c"]),
    ],
)
def test_of_more_wrong_options_the_first_that_differ_are_taken(wrong: list[str], kept: list[str]) -> None:
    (turn,) = parse("multiple_choice", answer_of([choice(["a", *wrong])]), "id")
    assert right_option(turn) == "a"
    assert sorted(turn.options) == sorted(["a", *kept])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Question: What?\nAnswer: Red.", None),
        ("Question: What?\nAnswer: Red.\nAnswer: Blue.", "wrong_shape"),
        ("Question: What?", "wrong_shape"),
        ('{"pairs": [{"question": "What?", "answer": "Red."}]}', "not_tagged"),
    ],
)
def test_tagged_lines_are_read_strictly(text: str, reason: str | None) -> None:
    parsed = task_of("question_answering", "tagged").parse(Answer(text, "stop", 9, 9), "id")
    assert (parsed.reason if isinstance(parsed, Rejected) else None) == reason


def test_a_tagged_choice_may_have_more_wrong_options_than_wanted() -> None:
    text = "Question: What?\nRight: a\nWrong: b\nWrong: c\nWrong: d\nWrong: e\n\nQuestion: Who?\nRight: a\nWrong: b"
    cut = task_of("multiple_choice", "tagged").parse(Answer(text, "length", 9, 9), "id")
    assert not isinstance(cut, Rejected)
    assert [sorted(turn.options) for turn in cut] == [["a", "b", "c", "d"]]


def test_a_cut_answer_is_unfinished_whatever_it_holds() -> None:
    answer = Answer(answer_of([{"question": "a", "answer": "b"}]), "length", 9, 9)
    cut = task_of("question_answering").parse(answer, "id")
    assert isinstance(cut, Rejected)
    assert cut.reason == "unfinished"


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


@pytest.mark.parametrize("task", TASKS.own_names)
def test_the_schema_bounds_everything_that_a_model_may_write(task: str) -> None:
    schema = json.loads(task_of(task, least=2, most=3).json_schema())
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


@pytest.mark.parametrize("task", TASKS.own_names)
def test_what_the_schema_asks_for_parses(task: str) -> None:
    """The smallest value of each schema is an answer that the parser takes."""

    def smallest(part: dict[str, Any]) -> object:
        match part["type"]:
            case "object":
                return {name: smallest(inner) for name, inner in part["properties"].items()}
            case "array":
                return [smallest(part["items"])] * part["minItems"]
            case _:
                return part["enum"][0] if "enum" in part else "x"

    schema = json.loads(task_of(task, least=2, most=3).json_schema())
    parsed = parse(task, json.dumps(smallest(schema)), "id")
    assert not isinstance(parsed, Rejected)
    assert len(parsed) == 2


# -- Prompts ----------------------------------------------------------------------------------------------------------

PAIRS = [{"question": "What is red?", "answer": "The dog."}, {"question": "Where is it?", "answer": "There."}]
PROMPT = Prompt(
    version="1", system="Write {pairs}, {max} at most. {format}", user="{max}: {subject}",
    examples=(Example(subject="A dog.", answer=answer_of(PAIRS)),),
)  # fmt: skip


@pytest.mark.parametrize(("lowest", "highest", "said"), [(2, 3, "2 to 3"), (4, 4, "4")])
def test_a_prompt_is_told_how_many_pairs_in_which_format(lowest: int, highest: int, said: str) -> None:
    filled = task_of("question_answering", least=lowest, most=highest).asked(PROMPT)
    assert filled.system.startswith(f"Write {said}, {highest} at most. Answer with one JSON object")
    assert filled.user == f"{highest}: {{subject}}"
    assert filled.version == PROMPT.version


@pytest.mark.parametrize("name", FORMATS)
def test_examples_are_written_in_the_format_and_read_back(name: FormatName) -> None:
    task = task_of("question_answering", name)
    (example,) = task.asked(PROMPT).examples
    read = task.parse(Answer(example.answer, "stop", 9, 9), "id")
    assert read == tuple(Turn(pair["question"], pair["answer"]) for pair in PAIRS)


def test_an_example_that_is_no_answer_of_its_task_is_an_error() -> None:
    with pytest.raises(ValueError, match="an example is not a valid answer: wrong_shape, right: Field required"):
        task_of("multiple_choice").asked(PROMPT)
    for text in ("I am no JSON", '{"pair": []}', "3"):
        prompt = PROMPT.model_copy(update={"examples": (Example(subject="A dog.", answer=text),)})
        with pytest.raises(ValueError, match="an example is not a valid answer: "):
            task_of("question_answering").asked(prompt)
