"""The one engine of a process: shared by threads, closed before another is built."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from unicorn_hf.runtime.work import Work


class Engine:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def used(work: Work, key: str, make: type[Engine] = Engine) -> Engine:
    """The engine, after it was used."""
    with work.engine(key, make) as engine:
        assert not engine.closed
        return engine


def test_threads_get_the_same_engine_and_it_is_made_once() -> None:
    made: list[Engine] = []
    start, work = threading.Barrier(6), Work()

    class Slow(Engine):
        def __init__(self) -> None:
            super().__init__()
            time.sleep(0.1)
            made.append(self)

    def use() -> Engine:
        start.wait()
        return used(work, "slow", Slow)

    with ThreadPoolExecutor(6) as threads:
        got = [future.result() for future in [threads.submit(use) for _ in range(6)]]
    assert len(made) == 1
    assert all(engine is made[0] for engine in got)
    used(work, "another")
    assert made[0].closed == 1


def test_an_engine_that_does_not_start_leaves_none() -> None:
    class Failing(Engine):
        def __init__(self) -> None:
            raise ValueError("no memory")

    work = Work()
    before = used(work, "before")
    with pytest.raises(ValueError, match="no memory"):
        used(work, "failing", Failing)
    assert before.closed == 1
    assert used(work, "before") is not before


def test_an_engine_is_not_closed_while_a_job_uses_it() -> None:
    work = Work()
    with ThreadPoolExecutor(1) as threads:
        with work.engine("one", Engine) as one:
            other = threads.submit(used, work, "other")
            time.sleep(0.05)
            assert not one.closed
            assert not other.done()
        assert other.result() is not one
    assert one.closed == 1


def test_who_wants_to_be_alone_is_alone() -> None:
    work, inside, most = Work(), [0], [0]

    def use(alone: bool) -> None:
        with work.engine("one", Engine, alone=alone):
            inside[0] += 1
            assert not alone or inside[0] == 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            assert not alone or inside[0] == 1
            inside[0] -= 1

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(use, number % 4 == 0) for number in range(16)]:
            future.result()
    assert most[0] > 1


def test_an_engine_that_is_discarded_is_replaced() -> None:
    work = Work()
    dead = used(work, "one")
    work.slot.discard(dead)
    assert not dead.closed
    assert used(work, "one") is not dead
    assert dead.closed == 1


def test_an_engine_is_let_go_once_no_other_build_uses_it() -> None:
    work = Work()
    with work.engine("one", Engine) as engine:
        work.slot.let_go("another build")
        assert not engine.closed
    work.slot.let_go("another build")
    assert engine.closed == 1
