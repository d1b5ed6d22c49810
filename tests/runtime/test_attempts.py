"""Engines that die of what they are asked: smaller batches, requests that are fatal, engines that never work."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.answers.test_asking import requests_of
from tests.stages import Scripted, asking, echo
from unicorn_hf.core.errors import EngineDiedError, RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.runtime.answers import Asking
from unicorn_hf.runtime.attempts import WORKER_DIED, Attempts
from unicorn_hf.runtime.slot import EngineSlot
from unicorn_hf.runtime.work import Work


class KilledError(BaseException):
    """In place of the end of a worker: nothing is tidied up."""


@dataclass
class Fragile:
    """An engine, and how it comes to its end."""

    dies: Callable[[Sequence[Request]], bool]
    error: type[BaseException] = EngineDiedError
    batches: list[list[str]] = field(default_factory=list)
    num_opened: int = 0
    num_closed: int = 0
    identity: str = "fragile"
    keeps_answers: bool = True

    def missing(self, requests: object) -> None:
        """All requests are sent."""

    def open(self) -> "Fragile":
        self.num_opened += 1
        return self

    def close(self) -> None:
        self.num_closed += 1

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        self.batches.append([request.id for request in requests])
        if self.dies(requests):
            raise self.error("out of memory")
        for position, request in enumerate(requests):
            yield position, echo(request, 0)

    def answers(self, path: Path, requests: Sequence[Request]) -> list[Answer]:
        return asking(path, self).ask(requests)

    def answers_of_workers(self, path: Path, requests: Sequence[Request]) -> list[Answer]:
        """Another worker each time that one died."""
        for _ in range(1000):
            try:
                return self.answers(path, requests)
            except KilledError:
                continue
        raise AssertionError("no end")


def holds(*names: int) -> Callable[[Sequence[Request]], bool]:
    ids = {f"row {name}" for name in names}
    return lambda requests: any(request.id in ids for request in requests)


def more_than(number: int) -> Callable[[Sequence[Request]], bool]:
    return lambda requests: len(requests) > number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers" / "000-00000.parquet"


@pytest.mark.parametrize("error", [EngineDiedError, KilledError])
@given(number=st.integers(1, 90), fatal=st.sets(st.integers(0, 89), max_size=2))
def test_the_fatal_requests_are_found_and_all_others_answered(
    tmp_path_factory: pytest.TempPathFactory, error: type[BaseException], number: int, fatal: set[int]
) -> None:
    path = tmp_path_factory.mktemp("answers") / "a.parquet"
    requests = requests_of(number)
    engine = Fragile(holds(*fatal), error)
    answers = engine.answers_of_workers(path, requests)
    for index, answer in enumerate(answers):
        if index in fatal:
            assert answer.finish_reason == "fatal"
            assert answer.text.startswith("sent alone 3 times: ")
        else:
            assert answer.text == echo(requests[index], 0).text
    assert not asking(path, None).attempts.exists()
    # It is final: nobody is asked again.
    assert Fragile(more_than(-1)).answers(path, requests) == answers


def test_what_is_too_much_at_once_gets_smaller_batches(path: Path) -> None:
    engine = Fragile(more_than(10))
    answers = engine.answers(path, requests_of(512))
    assert [answer.text for answer in answers] == [echo(request, 0).text for request in requests_of(512)]
    # In company, alone, two eighths: then it is known that 64 are too many.
    assert [len(batch) for batch in engine.batches if len(batch) > 10] == [512, 512, 64, 64]
    assert (engine.num_opened, engine.num_closed) == (5, 4)


def test_a_fatal_request_costs_few_engines(path: Path) -> None:
    engine = Fragile(holds(300))
    engine.answers(path, requests_of(512))
    died = [batch for batch in engine.batches if "row 300" in batch]
    assert [len(batch) for batch in died] == [512, 512, 64, 8, 1, 1, 1]
    assert sum(map(len, engine.batches)) < 4 * 512


def test_an_engine_that_died_twice_and_then_works_rejects_nothing(path: Path) -> None:
    deaths = iter([True, True])
    engine = Fragile(lambda requests: next(deaths, False))
    answers = engine.answers(path, requests_of(1))
    assert [answer.finish_reason for answer in answers] == ["stop"]
    assert not path.with_name(f"{path.name}.attempts").exists()


@pytest.mark.parametrize("error", [EngineDiedError, KilledError])
def test_an_engine_that_never_works_is_told(path: Path, error: type[BaseException]) -> None:
    engine = Fragile(more_than(0), error)
    with pytest.raises(RunError, match=r"died 3 times on each of 3 requests .*; the last time: ") as told:
        engine.answers_of_workers(path, requests_of(512))
    assert "engine.max_num_seqs" in told.value.advice
    assert len(engine.batches) == 4 + 3 * 3
    # With the settings mended nothing is held against any request.
    assert {answer.finish_reason for answer in Fragile(more_than(512)).answers(path, requests_of(512))} == {"stop"}


def test_answers_that_came_before_the_engine_died_are_kept(path: Path) -> None:
    deaths = iter([True, True])

    def say(request: Request, time: int) -> Answer:
        if request.id == "row 5" and next(deaths, False):
            raise EngineDiedError("gone")
        return echo(request, time)

    engine = Scripted(say)
    answers = asking(path, engine).ask(requests_of(9))
    assert [answer.finish_reason for answer in answers] == ["stop"] * 9
    assert [request.id for request in engine.asked] == [f"row {index}" for index in range(9)]


def test_other_errors_of_an_engine_are_no_deaths(path: Path) -> None:
    engine = Fragile(more_than(0), RunError)
    with pytest.raises(RunError, match=r"^out of memory$"):
        engine.answers(path, requests_of(20))
    assert len(engine.batches) == 1


def test_a_build_that_was_stopped_holds_nothing_against_a_request(path: Path) -> None:
    (request,) = requests_of(1)
    for run in range(10):
        attempts = Attempts(path, f"run {run}", [request.key])
        (part,) = attempts
        assert (part.keys, part.alone) == ((request.key,), False)
        attempts.begin(part)


def test_what_ended_badly_stays_suspect_in_the_next_run(path: Path) -> None:
    keys = [request.key for request in requests_of(64)]
    first = Attempts(path, "one", keys)
    first.begin(next(iter(first)))
    second = Attempts(path, "one", keys)
    part = next(iter(second))
    assert (second.num_interrupted, part.keys, part.alone, part.why) == (64, tuple(keys), True, WORKER_DIED)
    second.begin(part)
    third = Attempts(path, "one", keys)
    parts = iter(third)
    assert next(parts).keys == tuple(keys[:8])
    third.begin(next(parts))
    # What is not asked any more is forgotten; what is new is asked in company.
    fourth = list(Attempts(path, "two", [*keys[8:11], "new"]))
    assert [(part.keys, part.alone, part.bad_ends) for part in fourth] == [
        (("new",), False, 0),
        (tuple(keys[8:11]), True, 0),
    ]


@pytest.mark.parametrize("content", [b"", b'{"run": "on', b'{"run": "one", "of": "another version"}'])
def test_a_file_that_cannot_be_read_is_no_attempt(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    (part,) = Attempts(path, "one", ["a", "b"])
    assert (part.keys, part.alone) == (("a", "b"), False)


class Shared:
    """An engine for many at once; says who was in it together. All who are in it with `row 0` lose it."""

    def __init__(self, together: list[set[str]], patience_s: float = 0.0) -> None:
        self._together = together
        self._patience_s = patience_s
        self._inside: set[str] = set()
        self._changed = threading.Condition()
        self.closed = False

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        names = {request.id for request in requests}
        with self._changed:
            assert not self.closed
            self._inside |= names
            self._together.append(set(self._inside))
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._inside) == 24, self._patience_s)
            if "row 0" in self._inside:
                raise EngineDiedError("gone")
            self._inside -= names
        yield from ((position, echo(request, 0)) for position, request in enumerate(requests))

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def test_who_was_beside_a_fatal_request_is_not_held_to_account(tmp_path: Path) -> None:
    together: list[set[str]] = []
    made: list[Shared] = []

    class Opens(Scripted):
        def open(self) -> Any:
            assert all(engine.closed for engine in made), "two engines at once"
            # Into the first all come, before anybody loses it.
            made.append(Shared(together, 0.0 if made else 30.0))
            return made[-1]

    slot = EngineSlot()

    def partition(index: int) -> list[Answer]:
        asking = Asking(Work(slot=slot), Opens(echo), tmp_path / "store", tmp_path / f"{index}.attempts")
        return asking.ask(requests_of(8, start=8 * index))

    with ThreadPoolExecutor(3) as threads:
        answers = [answer for answers in threads.map(partition, range(3)) for answer in answers]
    assert [answer.finish_reason for answer in answers] == ["fatal"] + ["stop"] * 23
    assert sorted(map(len, together)) == [1] * 10 + [8] * 4 + [16, 24]
    slot.let_go("")
    assert all(engine.closed for engine in made)
