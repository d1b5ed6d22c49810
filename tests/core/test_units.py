"""Figures with their units."""

import pytest

from unicorn_hf.core.units import amount, counted, duration, size


@pytest.mark.parametrize(
    ("seconds", "error", "told"),
    [
        (0, 0, "0.0 s"),
        (0.02, 0.01, "< 0.1 s"),
        (45.04, 0.04, "45.0 s"),
        (119.9, 3, "119.9 ± 3.0 s"),
        (600, 90, "10.0 ± 1.5 min"),
        (7200, 60, "2.0 h"),
        (9000, 1800, "2.5 ± 0.5 h"),
    ],
)
def test_a_time_has_the_unit_that_fits(seconds: float, error: float, told: str) -> None:
    assert duration(seconds, error) == told


def test_numbers_of_things() -> None:
    assert [counted(number, "file") for number in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert counted(2, "copy", "copies") == "2 copies"
    assert (amount(1234.5, 0.4), amount(1.25, 0.004, digits=2)) == ("1,234", "1.25")
    assert (size(1), size(31_779)) == ("1 byte", "31.8 kB")
