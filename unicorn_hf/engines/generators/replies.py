"""Interpret replies of servers with OpenAI's chat completions API: pure functions of status, headers and body."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from unicorn_hf.core.generation import Answer, FinishReason
from unicorn_hf.core.http import wait_asked
from unicorn_hf.engines.endpoint import ServedModel
from unicorn_hf.engines.generators.completions import Reply, completion, has_content, of_stream
from unicorn_hf.engines.generators.failures import FinalError, NoReplyError, PassingError
from unicorn_hf.engines.generators.values import objects_in, parsed, shown
from unicorn_hf.engines.generators.wordings import (
    ADVICE,
    BAD_KEY,
    CHECK_PROXY,
    FEWER,
    MODERATED,
    MODERATED_ADVICE,
    NO_FUNDS,
    NO_SUCH_MODEL,
    NOT_ALLOWED,
    OF_THE_ACCOUNT,
    REFUSED_KEY,
    REFUSES_ALL,
    TOO_LARGE_TO_EVER_PASS,
    TOO_LONG,
    TOO_LONG_ADVICE,
)

_LONGEST_WAIT_S = 600.0
"""If a server asks for a longer pause, the request fails."""
MOST_REFUSALS = 20
"""Requests of a form without text, and none with text, from which on the form may be at fault, and not each request."""
_SETTLING_STATUSES = frozenset({400, 401, 402, 403, 404, 405, 406, 407, 410, 411, 413, 414, 415, 422, 426, 431, 451})
"""A retry changes nothing. After any other status the request is retried, except after a 500 whose words settle it."""
_MOST_MODELS = 8
_NAMED_STATUSES = (
    (429, re.compile(r"rate.?limit|too.?many.?requests", re.IGNORECASE)),
    (401, re.compile(r"authentication_error|unauthorized", re.IGNORECASE)),
    (400, re.compile(r"invalid_request|bad_?request|validation", re.IGNORECASE)),
)
"""For an error without a status inside a reply of status 200."""
_HTML = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NAMES = re.compile(r'"(?:message|messages|text|error)": ')
"""Field names, which are not part of the server's message."""
_ECHOES = ("input", "flagged_input", "ctx")
"""Fields of an error that repeat the request."""


def read_models(status: int, body: bytes) -> tuple[str, ...]:
    """The names of a server's models; none if it has no list of them, or not for this key (403).

    Raises:
        FinalError: the server refuses the key.
    """
    value = parsed(body)
    if status == 401:
        raise FinalError(f"it refuses the request ({_said(status, _line_of(value, body))})", BAD_KEY)
    models = objects_in(value.get("data")) if isinstance(value, dict) else []
    return tuple(str(model["id"]) for model in models if model.get("id"))


def read_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Mapping[str, Any],
    engine: ServedModel,
    models: Sequence[str] = (),
) -> Reply:
    """Interpret a server's reply to a request; names of headers are in lower case.

    `asked` is the body of the request, `models` are for advice.

    Raises:
        PassingError: retry later.
        FinalError: any other request would fail too.
    """
    if not 200 <= status < 300:
        return _refusal(status, headers, body, engine, models)
    value = parsed(body)
    if value is None:
        value = of_stream(body)
    if not isinstance(value, dict):
        raise PassingError(
            f"no chat completion: {_line(body)!r}" if body.strip() else "no chat completion: the reply is empty",
            _address_advice(engine),
            is_of_request=True,
        )
    choices = objects_in(value.get("choices"))
    choice = next(filter(has_content, choices), choices[0] if choices else {})
    error = choice.get("error") or _error_of(value, has_choice=bool(choice))
    if error:
        return _refusal(_status_in(error), headers, json.dumps({"error": error}).encode(), engine, models)
    if not choice:
        words = _words(value)
        if MODERATED.search(words):
            return _no_text("moderated", f"no answer: {_line(words)}", MODERATED_ADVICE)
        raise PassingError(f"no chat completion: no choices: {_line(words)}", is_of_request=True)
    return completion(choice, value.get("usage"), asked)


def _refusal(status: int, headers: Mapping[str, str], body: bytes, engine: ServedModel, models: Sequence[str]) -> Reply:
    value = parsed(body)
    words = _words(value) if value is not None else _line(body)
    message = _line_of(value, body)
    said = _said(status, message)
    if 300 <= status < 400:
        to = headers.get("location", "")
        raise FinalError(
            shown(f"it redirects (status {status}{f', to {_without_query(to)}' if to else ''})"),
            "Set --base-url to the address of the API.",
        )
    if status == 401 or REFUSED_KEY.search(words):
        raise FinalError(f"it refuses the request ({said})", BAD_KEY)
    if status == 402 or NO_FUNDS.search(words):
        raise FinalError(f"it refuses the request ({said})", "Check the account's balance and quota.")
    if status == 407:
        raise FinalError(f"the proxy refuses the request ({said})", CHECK_PROXY)
    if status == 429 and TOO_LARGE_TO_EVER_PASS.search(words):
        return _no_text("context", said, TOO_LONG_ADVICE)
    if status in _SETTLING_STATUSES or status == 500:
        if MODERATED.search(words) and not OF_THE_ACCOUNT.search(message):
            advice = f"{MODERATED_ADVICE} {NOT_ALLOWED}" if status == 403 else MODERATED_ADVICE
            return _no_text("moderated", said, advice)
        if TOO_LONG.search(words):
            return _no_text("context", said, TOO_LONG_ADVICE)
    if status not in _SETTLING_STATUSES:
        wait_s = wait_asked(headers, words)
        if wait_s is not None and wait_s > _LONGEST_WAIT_S:
            raise NoReplyError(f"status {status}: it asks for a pause of {wait_s:,.0f} s")
        is_limit = status == 429
        advice = FEWER if is_limit else _advice(words, "", engine)
        raise PassingError(said, advice, wait_s=wait_s, is_of_request=status >= 500, pauses_all=is_limit)
    is_model = NO_SUCH_MODEL.search(words)
    if status in (404, 405, 410, 426):
        raise FinalError(
            f"it refuses the request ({said})", _model_advice(engine, models) if is_model else _address_advice(engine)
        )
    if status == 403:
        return _no_text("refused", said, NOT_ALLOWED)
    advice = _model_advice(engine, models) if is_model else _advice(words, REFUSES_ALL, engine)
    return _no_text("refused", said, advice)


def read_result(status: int, headers: Mapping[str, str], body: bytes, engine: ServedModel) -> dict[str, Any]:
    """Interpret a reply that is a JSON object, but no chat completion.

    Raises:
        PassingError: retry later.
        FinalError: the server refuses the request.
    """
    value = parsed(body)
    if isinstance(value, dict) and value.get("error") and "id" not in value:
        status = _status_in(value["error"]) if 200 <= status < 300 else status
    if not 200 <= status < 300:
        reply = _refusal(status, headers, body, engine, ())
        raise FinalError(f"it refuses the request ({reply.answer.text})", reply.advice)
    if not isinstance(value, dict):
        raise PassingError(f"no JSON object: {_line(body)!r}", _address_advice(engine))
    return value


def _line_of(value: object, body: bytes) -> str:
    """The server's message: from the parsed body, or the body itself if it is no JSON."""
    return _message(value) if value is not None else _line(body)


def _said(status: int, message: str) -> str:
    return shown(f"status {status}: {message}" if message else f"status {status}")


def _no_text(reason: FinishReason, said: str, advice: str) -> Reply:
    return Reply(Answer(shown(said), reason, 0, 0), advice)


def _advice(words: str, otherwise: str, engine: ServedModel) -> str:
    if name := next((name for name in engine.extra_body if re.search(rf"\b{re.escape(name)}\b", words)), ""):
        return f"Remove {name} from engine.extra_body, or change its value."
    return next((advice for pattern, advice in ADVICE if re.search(pattern, words, re.IGNORECASE)), otherwise)


def _model_advice(engine: ServedModel, models: Sequence[str]) -> str:
    offered = f"; it offers {', '.join(models[:_MOST_MODELS])}" if models else ""
    more = f" and {len(models) - _MOST_MODELS} more" if len(models) > _MOST_MODELS else ""
    return f"Set engine.model (--llm) to a model of the server instead of {engine.model}{offered}{more}."


def _address_advice(engine: ServedModel) -> str:
    for url in engine.base_urls:
        base = re.sub(r"(?:/chat)?(?:/completions)?/*$", "", url)
        base = base if "/v1" in urlsplit(base).path else f"{base}/v1"
        if base != url.rstrip("/"):
            return f"--base-url must be the base URL of the API, usually ending in /v1. Try: {base}"
    return "Check that --base-url is the base URL of the API, usually ending in /v1, and that the server has the model."


def _error_of(value: dict[str, Any], *, has_choice: bool) -> object:
    """The error in a reply of status 200, in any of the forms that servers use."""
    error = value.get("error")
    if has_choice:
        # Some servers send an error of code 0 with each answer.
        return error if _message(error) else None
    if error:
        return error
    base = value.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": base.get("status_msg"), "code": base["status_code"]}
    names = ("error_msg", "errorMessage", "detail", "errors")
    is_error = value.get("object") == "error" or any(value.get(name) for name in names)
    return value if is_error or ("message" in value and "code" in value) else None


def _status_in(error: object) -> int:
    """The status for an error inside a reply of status 200: its code, or else 500."""
    fields = error if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code", "http_code"):
        if re.fullmatch(r"[45]\d\d", code := str(fields.get(name))):
            return int(code)
    words = _words(error)
    return next((status for status, named in _NAMED_STATUSES if named.search(words)), 500)


def _words(value: object) -> str:
    """The whole error on one line, with codes and types."""
    return _NAMES.sub("", json.dumps(_without_echoes(value), ensure_ascii=False))[:4000]


def _without_echoes(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_echoes(part) for key, part in value.items() if key not in _ECHOES}
    return [_without_echoes(part) for part in value] if isinstance(value, list) else value


def _message(value: object) -> str:
    """The human-readable message of an error of any form."""
    if isinstance(value, str):
        inner = parsed(value.encode(errors="replace")) if value.lstrip().startswith(("{", "[")) else None
        return _message(inner) or value if isinstance(inner, dict | list) else value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_message, value)))
    if not isinstance(value, dict):
        return ""
    for name in ("error", "message", "detail", "msg", "error_msg", "errorMessage", "errors", "status_msg", "reason"):
        if told := _message(value.get(name)):
            where = value.get("loc")
            place = f"{'.'.join(map(str, where))}: " if isinstance(where, list) else ""
            raw = value.get("metadata")
            inner = _message(raw.get("raw")) if isinstance(raw, dict) else ""
            return place + told + (f": {inner}" if inner else "")
    return ""


def _line(body: bytes | str) -> str:
    """A text that is not JSON, on one line; from HTML, only the text."""
    text = body if isinstance(body, str) else body[:4000].decode(errors="replace")
    if re.match(r"\s*<(?:!doctype|html|head|body)", text, re.IGNORECASE):
        text = html.unescape(_HTML.sub(" ", text))
    return shown(text)


def _without_query(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
