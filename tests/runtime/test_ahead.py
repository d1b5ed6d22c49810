"""The next item is made while one is used."""

import threading
from collections.abc import Iterator

import pytest

from unicorn_hf.runtime.ahead import ahead


def test_items_come_in_order_and_nothing_of_none() -> None:
    assert list(ahead(iter(range(50)))) == list(range(50))
    assert list(ahead(iter([]))) == []
    assert list(ahead(iter([None, 0, ""]))) == [None, 0, ""]


def test_the_next_one_is_made_while_one_is_used() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    taken = ahead(items())
    assert next(taken) == 1
    assert made.wait(10)
    assert list(taken) == [2]


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(KeyError, match="broken"):
        next(taken)
