"""Formats of figures for readers."""

from collections.abc import Mapping


def time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Sort by count, largest first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
