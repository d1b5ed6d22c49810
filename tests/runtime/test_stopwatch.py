"""The seconds of calls that share an engine add up to the seconds in which it worked."""

import threading

import pytest

from unicorn_hf.runtime import stopwatch
from unicorn_hf.runtime.stopwatch import Stopwatch
from unicorn_hf.runtime.work import Work


class Clock:
    """Stands where `time` does, and goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_laps_that_overlap_share_the_time(clock: Clock) -> None:
    watch = Stopwatch()
    clock.now += 50  # Nobody works.
    with watch.lap() as first:
        clock.now += 4
        with watch.lap() as second:
            clock.now += 6
        clock.now += 1
        assert first() == 8
        clock.now += 2
    clock.now += 50
    with watch.lap() as third:
        clock.now += 1
    assert [lap() for lap in (first, second, third)] == [10, 3, 1]


def test_threads_share_it_too() -> None:
    watch = Stopwatch()
    ready = threading.Barrier(4)

    def work() -> None:
        with watch.lap():
            ready.wait()

    threads = [threading.Thread(target=work) for _ in range(3)]
    with watch.lap() as own:
        for thread in threads:
            thread.start()
        ready.wait()
        for thread in threads:
            thread.join()
        before = own()
        assert own() >= before > 0


def test_an_error_ends_a_lap(clock: Clock) -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="stop"), watch.lap() as lap:
        clock.now += 3
        raise ValueError("stop")
    clock.now += 3
    assert lap() == 3


def test_jobs_at_once_share_the_time(clock: Clock) -> None:
    watch = Stopwatch()
    assert Work().seconds() == 0
    with watch.lap() as lap:
        clock.now += 3
        assert Work(seconds=lap).seconds() == 3
        with watch.lap() as other:
            clock.now += 4
            assert Work(seconds=other).seconds() == 2
        assert Work(seconds=lap).seconds() == 5
