"""The status of the Hub: whether it answers, and for which user."""

import os
from typing import Any

from pydantic import BaseModel

from unicorn_hf.hub.access import CHECK_TIMEOUT_S, offline_problem
from unicorn_hf.hub.client import hub_api, library_settings
from unicorn_hf.hub.failures import Failure, diagnose, hub_address


class HubStanding(BaseModel):
    """No field contains the token or a part of it."""

    address: str
    reachable: bool
    problem: str | None = None
    """Why the Hub is not reachable, or refuses the token."""
    advice: str | None = None
    token_from: str | None = None
    """The token's source: the variable's name, or `hf auth login`; None without a token."""
    user: str | None = None
    """The token's owner, if the Hub accepts it."""
    role: str | None = None
    """`read`, `write` or `fineGrained`."""


def hub_standing() -> HubStanding:
    """Send one request to the Hub, with a timeout of 10 seconds; it changes nothing."""
    source = _token_source()
    if problem := offline_problem():
        return HubStanding(
            address=hub_address(), reachable=False, problem=problem.message, advice=problem.advice, token_from=source
        )
    try:
        with library_settings(CHECK_TIMEOUT_S):
            who = hub_api().whoami() if source else _greet()
    except Exception as error:
        if (failure := diagnose(error)) is None:
            raise
        return _refused(failure, source)
    token = (who.get("auth") or {}).get("accessToken") or {}
    return HubStanding(
        address=hub_address(), reachable=True, token_from=source, user=who.get("name"), role=token.get("role")
    )


def _greet() -> dict[str, Any]:
    """Accept any response except a server error."""
    from huggingface_hub import constants, get_session

    answer = get_session().head(constants.ENDPOINT)
    if answer.status_code >= 500:
        answer.raise_for_status()
    return {}


def _refused(failure: Failure, source: str | None) -> HubStanding:
    return HubStanding(
        address=hub_address(),
        reachable=not failure.passes,
        problem=failure.reason,
        advice=failure.advice,
        token_from=source,
    )


def _token_source() -> str | None:
    from huggingface_hub import get_token

    if get_token() is None:
        return None
    given = (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name))
    return next(given, "hf auth login")
