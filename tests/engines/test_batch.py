"""Batches as an engine: their address, their answers, and what a line of a file says."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.generation import Answer, Message, Request
from unicorn_hf.core.recipe import Price, Sampling
from unicorn_hf.engines import BatchEngine
from unicorn_hf.engines.endpoint import BASE_URL
from unicorn_hf.engines.generators.batch_lines import MOST_REFUSALS, line_of, models_in, read_answers, requests_in
from unicorn_hf.engines.generators.batch_server import Batch

ENGINE = BatchEngine(kind="batch", base_url="http://127.0.0.1:1/v1", model="m", extra_body={"a": 1})


def request(number: int = 0) -> Request:
    return Request(f"r{number}", "", (Message("user", f"Describe jar {number}."),), Sampling(), number)


def bodies(number: int) -> dict[str, dict[str, Any]]:
    return requests_in(b"".join(line_of(request(n), ENGINE) for n in range(number)))


def answered(key: str, text: str = "A jar.", **response: object) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    return json.dumps({"custom_id": key, "response": {"status_code": 200, "body": body, **response}}).encode() + b"\n"


def failed(key: str, status: int, message: str) -> bytes:
    return answered(key, status_code=status, body={"error": {"message": message}})


def test_answers_are_those_of_the_live_server(monkeypatch: pytest.MonkeyPatch) -> None:
    live = resolve_generator(ENGINE.live())
    assert resolve_generator(ENGINE).identity == live.identity
    monkeypatch.delenv(BASE_URL, raising=False)
    # No server is needed to write a file of requests.
    assert resolve_generator(ENGINE.model_copy(update={"base_url": None})).identity == live.identity


def test_a_batch_belongs_to_one_server() -> None:
    with pytest.raises(ValidationError, match="single address"):
        BatchEngine(kind="batch", base_url=("http://a/v1", "http://b/v1"), model="m")


def test_a_line_is_a_request_with_its_key() -> None:
    line = json.loads(line_of(request(), ENGINE))
    assert (line["custom_id"], line["method"], line["url"]) == (request().key, "POST", "/v1/chat/completions")
    assert line["body"]["model"] == "m"
    assert line["body"]["a"] == 1


def test_text_refusals_and_what_may_still_come_are_told_apart() -> None:
    asked = bodies(6)
    good, refused, long, busy, expired, missing = asked
    expired_line = {"custom_id": expired, "response": None, "error": {"code": "batch_expired", "message": "too late"}}
    files = {
        "output": answered(good) + answered("0" * 16) + answered(good, "Again.") + answered(missing)[:50],
        "errors": failed(refused, 400, "no") + failed(long, 400, "maximum context length is 9") + failed(busy, 503, "?")
        + json.dumps(expired_line).encode(),
    }  # fmt: skip
    found = read_answers(files, asked, ENGINE, set())
    assert found.answers[good] in (Answer("A jar.", "stop", 7, 2), Answer("Again.", "stop", 7, 2))
    assert found.answers[refused].finish_reason == "refused"
    assert found.answers[long].finish_reason == "context"
    assert found.unanswered.keys() == {busy, expired}
    assert found.unanswered[expired] == "batch_expired: too late"
    assert (found.num_output, found.num_foreign) == (3, 1)
    assert found.at_fault is None


@pytest.mark.parametrize(
    ("told", "meaning"),
    [
        ({"response": {"status_code": "400", "body": {"error": {"message": "no"}}}}, "refused"),
        ({"response": {"status_code": 400, "body": None}, "error": {"message": "prompt is too long"}}, "context"),
        ({"response": None, "error": {"code": "content_filter", "message": "no"}}, "moderated"),
        ({"error": {"code": 400, "message": "no"}}, "refused"),
        ({"error": "prompt is too long"}, "context"),
    ],
)
def test_where_a_line_tells_a_refusal(told: dict[str, Any], meaning: str) -> None:
    asked = bodies(1)
    (key,) = asked
    found = read_answers({"errors": json.dumps({"custom_id": key, **told}).encode()}, asked, ENGINE, set())
    assert found.answers[key].finish_reason == meaning


@pytest.mark.parametrize(("number", "is_at_fault"), [(MOST_REFUSALS - 1, False), (MOST_REFUSALS, True)])
def test_many_refusals_without_a_text_are_the_fault_of_their_form(number: int, is_at_fault: bool) -> None:
    asked = bodies(number)
    files = {"errors": b"".join(failed(key, 400, "unknown field seed") for key in asked)}
    found = read_answers(files, asked, ENGINE, set())
    assert (found.at_fault is not None) == is_at_fault
    assert len(found.answers) == (0 if is_at_fault else number)
    if found.at_fault:
        assert "unknown field seed" in found.at_fault[0]
        assert "extra_body: {seed: null}" in found.at_fault[1]
    known = read_answers({"output": answered(next(iter(asked)))}, asked, ENGINE, set()).forms
    assert read_answers(files, asked, ENGINE, known).at_fault is None


def test_a_wrong_model_is_the_fault_of_all() -> None:
    asked = bodies(2)
    files = {"errors": b"".join(failed(key, 404, "The model `m` does not exist") for key in asked)}
    found = read_answers(files, asked, ENGINE, set())
    assert found.at_fault
    assert "--llm" in found.at_fault[1]


@pytest.mark.parametrize(
    "line",
    [
        b'{"custom_id": ' + b"[" * 100_000,
        b'{"custom_id": "%s", "response": [1]}',
        b'{"custom_id": "%s", "response": "\\ud800"}',
        b'{"custom_id": "%s", "response": {"status_code": 200, "body": "\\ud800"}}',
        b'{"custom_id": "%s", "response": {"status_code": 400, "body": ' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"custom_id": "%s", "response": {"status_code": 1e999, "body": {"model": "\\ud800", "usage": [NaN]}}}',
        b'{"custom_id": "%s", "error": {"code": "\\ud800", "message": "\\ud800"}}',
    ],
    ids=range(7),
)
def test_a_line_of_another_form_is_no_answer(line: bytes) -> None:
    key = next(iter(bodies(1)))
    content = line.replace(b"%s", key.encode())
    found = read_answers({"output": content}, bodies(1), ENGINE, set())
    assert not found.answers
    assert "".join(found.unanswered.values()).encode() is not None
    assert models_in(content) <= {"\ud800"}


@pytest.mark.parametrize("count", ["many", float("inf"), [1], -5, True, None])
def test_a_batch_of_another_form_is_read(count: object) -> None:
    told = {"id": {"\ud800": 1}, "status": "\ud800", "output_file_id": 5, "errors": {"data": [5]}, "metadata": [1]}
    batch = Batch({**told, "request_counts": {"completed": count, "failed": 3}})
    assert batch.num_completed in (0, 1)
    assert (batch.num_failed, batch.status, batch.files, batch.name) == (3, "\ufffd", {"output": "5"}, "")
    assert batch.id.encode()


def test_a_batch_costs_its_rate() -> None:
    price = Price(per_million_prompt_tokens=2, per_million_output_tokens=10, per_worker_hour=3, batch_rate=0.25)
    asked = {"prompt_tokens": 1e6, "output_tokens": 1e6}
    assert price.in_batches.cost(**asked) == 3
    assert price.cost(**asked) == 12
    assert price.in_batches.cost(worker_hours=1) == 3
