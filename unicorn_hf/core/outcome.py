"""What becomes of a candidate row that is not kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a row is not kept: the name of the check, under which it is counted, and what the check saw."""

    reason: str
    detail: str
