"""The lines of a batch's files: requests out, answers in. OpenAI's servers and vLLM's batch runner share the format."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unicorn_hf.core.fingerprint import fingerprint
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.engines.endpoint import ServedModel
from unicorn_hf.engines.generators.bodies import chat_body
from unicorn_hf.engines.generators.completions import Reply
from unicorn_hf.engines.generators.failures import FinalError, NoReplyError, PassingError
from unicorn_hf.engines.generators.replies import MOST_REFUSALS, read_reply
from unicorn_hf.engines.generators.values import parsed, shown, well_formed

URL = "/v1/chat/completions"
_KEY = re.compile(r"[0-9a-f]{16}")
_OF_ONE = ("messages", "seed")
"""Fields of a body that differ between requests of the same form."""


@dataclass
class Outcome:
    """What the files of a batch say about its requests, by key."""

    answers: dict[str, Answer] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Why a request has no answer yet, and may get one from another batch."""
    forms: set[str] = field(default_factory=set)
    """Forms of requests with text: see `form_of`."""
    num_output: int = 0
    """Whole lines of the output file."""
    num_foreign: int = 0
    """Lines that belong to none of the requests."""
    at_fault: tuple[str, str] | None = None
    """Message and advice, if no request of a form, or of the batch, can be answered; nothing of it is settled."""


class UnansweredGenerator:
    """Implements `TextGenerator` in workers, for requests that no batch answered: it fails them.

    The client has all answers before the workers begin.
    """

    def __init__(self, num_batches: int) -> None:
        self._why = f"{num_batches} batches did not answer it"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position in range(len(requests)):
            yield position, Answer(self._why, "failed", 0, 0)

    def close(self) -> None:
        """There is nothing to close."""


def line_of(request: Request, engine: ServedModel) -> bytes:
    """A request as a line of a batch's file; the key of its answer is its `custom_id`."""
    line = {"custom_id": request.key, "method": "POST", "url": URL, "body": chat_body(request, engine)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def requests_in(content: bytes) -> dict[str, dict[str, Any]]:
    """The bodies of requests in a batch's file, by key."""
    lines = (json.loads(line) for line in content.splitlines())
    return {line["custom_id"]: line["body"] for line in lines}


def form_of(body: Mapping[str, Any]) -> str:
    """What a server may not support about a request: its fields, its schema, the roles of its messages."""
    shape = {name: value for name, value in body.items() if name not in _OF_ONE}
    return fingerprint(shape, [message["role"] for message in body.get("messages", ())])


def read_answers(
    files: Mapping[str, bytes], bodies: Mapping[str, dict[str, Any]] | None, engine: ServedModel, known_forms: set[str]
) -> Outcome:
    """Interpret the files of a batch: output, and errors.

    A request that the server refuses is settled if another one of its form got text, here or earlier, or if few are
    refused. A line that is cut or damaged is ignored.

    Args:
        files: contents by name; `output` is the one whose lines are counted.
        bodies: the batch's requests, as `requests_in` reads them; None if they are unknown: then any key counts.
        known_forms: forms of which a request was answered before.
    """
    found, held = Outcome(), defaultdict[str, list[tuple[str, Reply]]](list)
    hopeless: FinalError | None = None
    for name, line in _lines(files):
        found.num_output += name == "output"
        key = line["custom_id"]
        body = bodies.get(key) if bodies is not None else {} if _KEY.fullmatch(key) else None
        if body is None:
            found.num_foreign += 1
            continue
        try:
            reply = _reply(line, body, engine)
        except NoReplyError as failure:
            found.unanswered[key] = shown(str(failure))
            hopeless = failure if isinstance(failure, FinalError) else hopeless
        else:
            form = form_of(body)
            if reply.is_text:
                found.forms.add(form)
                found.answers[key] = reply.answer
            else:
                held[form].append((key, reply))
    for form, refused in held.items():
        if form in found.forms | known_forms or len(refused) < MOST_REFUSALS:
            found.answers |= {key: reply.answer for key, reply in refused}
        else:
            reply = refused[-1][1]
            said = reply.answer.text or "an empty answer"
            found.at_fault = f"no request gets an answer; the last: {said}", reply.advice
    if hopeless and not found.answers:
        found.at_fault = f"no request gets an answer; the last: {hopeless}", hopeless.advice
    # An answer in one file counts, whatever the other says.
    found.unanswered = {key: why for key, why in found.unanswered.items() if key not in found.answers}
    return found


def models_in(content: bytes) -> set[str]:
    """The names of the models that wrote the answers in a file."""
    responses = (line.get("response") for _, line in _lines({"output": content}))
    bodies = (response.get("body") for response in responses if isinstance(response, dict))
    return {str(body["model"]) for body in bodies if isinstance(body, dict) and body.get("model")}


def _lines(files: Mapping[str, bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, content in files.items():
        for text in content.splitlines():
            line = parsed(text)
            if isinstance(line, dict) and isinstance(line.get("custom_id"), str):
                yield name, line


def _reply(line: Mapping[str, Any], body: Mapping[str, Any], engine: ServedModel) -> Reply:
    """
    Raises:
        NoReplyError: the request was not answered.
    """
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, dict):
        try:
            return read_reply(200, {}, json.dumps({"error": error}).encode(), body, engine)
        except PassingError:
            told = error if isinstance(error, dict) else {"message": error}
            said = ": ".join(str(told[name]) for name in ("code", "message") if told.get(name))
            raise NoReplyError(said or "no response") from None
    content = response.get("body") or {"error": error}
    content = well_formed(content) if isinstance(content, str) else json.dumps(content)
    status = str(response.get("status_code"))
    return read_reply(int(status) if re.fullmatch(r"\d{3}", status) else 200, {}, content.encode(), body, engine)
