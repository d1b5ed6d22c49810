"""Errors carry their advice and their exit code, over process borders too."""

import pickle

import pytest

from unicorn_hf import InputError, RunError, UnicornError


@pytest.mark.parametrize(("kind", "exit_code"), [(UnicornError, 1), (InputError, 2), (RunError, 1)])
def test_an_error_has_a_message_advice_and_an_exit_code(kind: type[UnicornError], exit_code: int) -> None:
    error = kind("no seeds", "Give some.")
    assert (error.exit_code, error.message, error.advice) == (exit_code, "no seeds", "Give some.")
    assert str(error) == "no seeds\nGive some."
    assert str(kind("no seeds")) == "no seeds"


@pytest.mark.parametrize("kind", [InputError, RunError])
def test_an_error_of_a_worker_arrives_whole(kind: type[UnicornError]) -> None:
    error = pickle.loads(pickle.dumps(kind("disk full", "Make room.")))  # noqa: S301
    assert type(error) is kind
    assert (error.message, error.advice) == ("disk full", "Make room.")


def test_both_kinds_can_be_caught_as_one() -> None:
    assert issubclass(InputError, UnicornError)
    assert issubclass(RunError, UnicornError)


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    error = InputError(f"file.csv: no column {'x' * 100_000}; it has id")
    assert len(error.message) < 5000
    assert error.message.startswith("file.csv: no column xxx")
    assert error.message.endswith("xxx; it has id")
    assert "characters" in error.message
