"""What was answered once is never asked again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages import Scripted, asking, echo
from unicorn_hf.core.generation import Answer, FinishReason, Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.runtime.work import Work


def requests_of(number: int, start: int = 0) -> list[Request]:
    return [
        Request(f"row {index}", f"seed {index}", (Message("user", f"seed {index}"),), Sampling(), index)
        for index in range(start, start + number)
    ]


def ask(path: Path, requests: Sequence[Request], generator: Scripted) -> tuple[list[Answer], int]:
    """The answers, and how often a row was told."""
    work = Work()
    return asking(path, generator, work).ask(requests), work.untold()


class Never(Scripted):
    def open(self) -> Scripted:
        raise AssertionError("an engine was opened")


def texts(answers: Sequence[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def test_answers_come_in_order_and_each_row_is_told_once(tmp_path: Path) -> None:
    requests = requests_of(5)
    answers, told = ask(tmp_path / "store", requests, Scripted(echo))
    assert texts(answers) == [echo(request, 0).text for request in requests]
    assert told == 5


def test_what_is_stored_needs_no_engine(tmp_path: Path) -> None:
    requests = requests_of(5)
    before, _ = ask(tmp_path / "store", requests, Scripted(echo))
    assert ask(tmp_path / "store", list(reversed(requests)), Never(echo)) == (before[::-1], 5)


@given(st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=5))
def test_only_what_is_missing_is_asked(tmp_path_factory: pytest.TempPathFactory, batches: list[set[int]]) -> None:
    path = tmp_path_factory.mktemp("answers") / "store"
    all_requests = requests_of(10)
    known: set[int] = set()
    for batch in batches:
        generator = Scripted(echo)
        requests = [all_requests[index] for index in batch]
        answers, told = ask(path, requests, generator)
        assert texts(answers) == [echo(request, 0).text for request in requests]
        assert told == len(batch)
        assert {request.id for request in generator.asked} == {f"row {index}" for index in batch - known}
        known |= batch


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("user", "seed 0, please"),)},
        {"sampling": Sampling(temperature=0.1)},
        {"seed": 77},
        {"json_schema": '{"type": "string", "title": "option"}'},
    ],
)
def test_a_request_that_asks_otherwise_is_asked_again(changes: dict[str, object], tmp_path: Path) -> None:
    (request,) = requests_of(1)
    ask(tmp_path / "store", [request], Scripted(echo))
    generator = Scripted(echo)
    ask(tmp_path / "store", [replace(request, **changes)], generator)  # type: ignore[arg-type]
    assert len(generator.asked) == 1


def test_all_of_an_answer_is_stored(tmp_path: Path) -> None:
    (request,) = requests_of(1)
    answer = Answer("caf\u00e9\x00\n猫 ", "length", 123, 456, num_retries=7)
    asked = ask(tmp_path / "store", [request], Scripted(lambda request, time: answer))[0]
    stored = ask(tmp_path / "store", [request], Scripted(lambda request, time: pytest.fail("asked")))[0]
    assert stored == asked == [replace(answer, seconds=asked[0].seconds)]
    assert asked[0].seconds > 0


def test_what_came_before_an_engine_failed_is_stored(tmp_path: Path) -> None:
    def fail(request: Request, time: int) -> Answer:
        if request.id == "row 4":
            raise RuntimeError("out of memory")
        return echo(request, time)

    ask(tmp_path / "store", requests_of(3), Scripted(echo))
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(tmp_path / "store", requests_of(6), Scripted(fail))
    generator = Scripted(echo)
    ask(tmp_path / "store", requests_of(6), generator)
    assert [request.id for request in generator.asked] == ["row 4", "row 5"]


@pytest.mark.parametrize("reason", ["refused", "moderated", "thought", "tool_call", "unknown", "context"])
def test_a_settled_refusal_is_stored_with_its_words(reason: FinishReason, tmp_path: Path) -> None:
    refused = Answer("status 400: no", reason, 0, 0, tokens_told=False)
    ask(tmp_path / "store", requests_of(1), Scripted(lambda request, time: refused))
    (answer,), _ = ask(tmp_path / "store", requests_of(1), Scripted(lambda request, time: pytest.fail("asked")))
    assert replace(answer, seconds=0.0) == refused


def test_a_failed_answer_is_told_and_asked_again(tmp_path: Path) -> None:
    def fail(request: Request, time: int) -> Answer:
        return Answer("no", "failed", 0, 0) if request.id == "row 1" else echo(request, time)

    answers, told = ask(tmp_path / "store", requests_of(3), Scripted(fail))
    assert [answer.finish_reason for answer in answers] == ["stop", "failed", "stop"]
    assert told == 3
    generator = Scripted(echo)
    answers, _ = ask(tmp_path / "store", requests_of(3), generator)
    assert [request.id for request in generator.asked] == ["row 1"]
    assert texts(answers) == [echo(request, 0).text for request in requests_of(3)]


def test_no_requests_are_no_answers(tmp_path: Path) -> None:
    assert ask(tmp_path / "store", [], Never(echo)) == ([], 0)
    assert not (tmp_path / "store").exists()


def test_the_protocol_is_kept() -> None:
    """The scripted engine of the tests is asked as an engine is."""
    scripted: Callable[[], object] = Scripted(echo).open
    assert scripted
