"""Figures with their units, for readers."""

_HALF_A_TENTH = 0.05


def duration(seconds: float, error: float = 0.0) -> str:
    """A time in seconds, minutes or hours, whichever fits; `error`, in seconds, as for `amount`."""
    if 0 < seconds < _HALF_A_TENTH and error < _HALF_A_TENTH:
        return "< 0.1 s"
    length, unit = (1, "s") if seconds < 120 else (60, "min") if seconds < 7200 else (3600, "h")
    return f"{amount(seconds / length, error / length, digits=1)} {unit}"


def amount(value: float, error: float = 0.0, *, digits: int = 0) -> str:
    """A figure, and half the width of its interval unless that rounds to zero."""
    interval = f" ± {error:,.{digits}f}" if round(error, digits) else ""
    return f"{value:,.{digits}f}{interval}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number of things: `1 row`, `2 rows`; `many` is the plural if it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def size(num_bytes: float) -> str:
    """Bytes in powers of 1000: `1.2 MB`."""
    # Here, because `load_dataset("unicorn")` works without it.
    from rich.filesize import decimal

    return decimal(round(num_bytes))
