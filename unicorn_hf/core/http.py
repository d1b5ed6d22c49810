"""What HTTP servers say about waiting."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds: what is left of the window in `RateLimit: "api";r=0;t=55`, or `Retry-After` (a number or a date)."""
    if window := re.search(r"r=0;t=(\d+)", headers.get("ratelimit", "").replace(" ", "")):
        return float(window[1])
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
