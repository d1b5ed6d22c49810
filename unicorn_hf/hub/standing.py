"""The status of the Hub: whether it answers, and for which user."""

import os
from typing import Any

from pydantic import BaseModel

from unicorn_hf.core.errors import RunError
from unicorn_hf.hub.access import CHECK_TIMEOUT_S, offline_problem
from unicorn_hf.hub.client import hub_api, hub_requests
from unicorn_hf.hub.failures import HubError, hub_address


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
    found = HubStanding(address=hub_address(), reachable=False, token_from=_token_source())
    try:
        if problem := offline_problem():
            raise problem
        with hub_requests(CHECK_TIMEOUT_S):
            who = hub_api().whoami() if found.token_from else _greet()
    except RunError as error:
        found.reachable = isinstance(error, HubError) and not error.passes
        found.problem, found.advice = error.message, error.advice
        return found
    token = (who.get("auth") or {}).get("accessToken") or {}
    return found.model_copy(update={"reachable": True, "user": who.get("name"), "role": token.get("role")})


def _greet() -> dict[str, Any]:
    """Accept any response except a server error."""
    from huggingface_hub import constants, get_session

    answer = get_session().head(constants.ENDPOINT)
    if answer.status_code >= 500:
        answer.raise_for_status()
    return {}


def _token_source() -> str | None:
    from huggingface_hub import get_token

    if get_token() is None:
        return None
    given = (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name))
    return next(given, "hf auth login")
