"""The endpoint engine against a server that fails in every way: an answer comes, or its failure is told and no more."""

import gzip
import importlib.util
import ipaddress
import itertools
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.builds import SHARED, unicorn, write_seeds
from tests.engines.chat_server import Body, ChatServer, Reply, Script, completion, subject
from tests.engines.proxy import LoopbackProxy
from tests.stages import answers_of
from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines import EndpointEngine
from unicorn_hf.engines.endpoint import API_KEY
from unicorn_hf.engines.generators.endpoint import EndpointGenerator
from unicorn_hf.engines.generators.servers import FAILURES_IN_A_ROW

KEY = "sk-this-is-secret-0123456789"
SCHEMA = '{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(API_KEY, raising=False)
    with ChatServer().running() as server:
        yield server


def requests_of(number: int, **changes: Any) -> list[Request]:
    return [
        Request(str(index), f"row {index}", (Message("user", f"row {index}"),), Sampling(), index, **changes)
        for index in range(number)
    ]


def opened(server: ChatServer, **settings: Any) -> EndpointGenerator:
    return EndpointGenerator(EndpointEngine(kind="endpoint", base_url=server.url, model="m", **settings))


def ask(server: ChatServer, number: int = 1, requests: list[Request] | None = None, **settings: Any) -> list[Answer]:
    generator = opened(server, **settings)
    try:
        return answers_of(generator, requests or requests_of(number))
    finally:
        generator.close()


def only(about: str, reply: Reply, times: int = 1000) -> Script:
    """The reply to the first requests about one subject; all else is answered."""
    return lambda body, number: reply if subject(body) == about and number <= times else None


def test_answers_have_their_positions_and_counts(server: ChatServer) -> None:
    answers = ask(server, 40)
    bodies = sorted(server.bodies, key=lambda body: body["seed"])
    assert [answer.text for answer in answers] == [
        completion(body)["choices"][0]["message"]["content"] for body in bodies
    ]
    assert [answer.num_output_tokens for answer in answers] == [
        completion(body)["usage"]["completion_tokens"] for body in bodies
    ]
    assert {(answer.finish_reason, answer.num_retries) for answer in answers} == {("stop", 0)}


def test_what_is_sent(server: ChatServer) -> None:
    sampling = Sampling(temperature=0.4, top_p=0.9, repetition_penalty=1.1, max_tokens=77)
    messages = (Message("system", "Be brief."), Message("user", "A dog."))
    ask(server, requests=[Request("a", "A dog.", messages, sampling, 5, SCHEMA)])
    assert server.bodies[0] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A dog."}],
        "temperature": 0.4,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "max_tokens": 77,
        "seed": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": json.loads(SCHEMA), "strict": True},
        },
    }


def test_what_a_server_does_not_take_can_be_left_away(server: ChatServer) -> None:
    messages = (Message("system", "Be brief."), Message("user", "A dog."))
    extra = {"max_tokens": None, "max_completion_tokens": 9, "chat_template_kwargs": {"enable_thinking": False}}
    request = Request("a", "A dog.", messages, Sampling(), 5, SCHEMA)
    ask(server, requests=[request], json_schema="none", system_role=False, extra_body=extra)
    assert server.bodies[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "Be brief.\n\nA dog."}],
        "temperature": 0.9,
        "seed": 5,
        "max_completion_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_the_schema_as_tgi_takes_it(server: ChatServer) -> None:
    ask(server, requests=requests_of(1, json_schema=SCHEMA), json_schema="tgi")
    value = {"name": "answer", "schema": json.loads(SCHEMA), "strict": True}
    assert server.bodies[0]["response_format"] == {"type": "json_schema", "value": value}


@pytest.mark.parametrize("concurrency", [1, 7])
def test_requests_in_flight_are_bounded(server: ChatServer, concurrency: int) -> None:
    server.slow_s = 0.3
    ask(server, 14, concurrency=concurrency)
    assert server.most_at_once == concurrency


def test_more_requests_in_flight_than_a_session_has_connections(server: ChatServer) -> None:
    server.slow_s = 1.5
    ask(server, 150, concurrency=150)
    assert server.most_at_once == 150


PASSING = {
    "429": Reply.json({"error": {"message": "slow down"}}, 429),
    "500": Reply.json({"error": "out of luck"}, 500),
    "503": Reply(503, b"<html>busy</html>"),
    "cut": Reply(cuts=True),
    "cut in the answer": Reply(200, b'{"choices": [', {"content-length": "500"}, after_s=0),
    "no JSON": Reply(200, b"<html>hello</html>"),
    "cut JSON": Reply(200, b'{"choices": [{"message": {"content": "A do'),
    "no choices": Reply.json({"object": "chat.completion"}),
    "empty choices": Reply.json({"choices": []}),
    "another schema": Reply.json({"choices": [{"text": "A dog."}]}),
    "a number for a text": Reply.json({"choices": [{"message": {"content": 7}}]}),
    "a list": Reply.json([1, 2]),
    "broken off": Reply.json({"choices": [{"message": {"content": "A do"}, "finish_reason": "error"}]}),
    "an error in a 200": Reply.json({"error": {"message": "busy", "code": 502}}),
    "slow": Reply(after_s=1.5),
    "too large": Reply(200, gzip.compress(bytes(65 << 20)), {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_fails_in_passing_is_asked_again(name: str, server: ChatServer) -> None:
    server.script = only("row 1", PASSING[name], times=2)
    answers = ask(server, 3, timeout_s=0.7)
    assert [answer.num_retries for answer in answers] == [0, 2, 0]
    assert [answer.finish_reason for answer in answers] == ["stop"] * 3
    assert answers[1].text == completion(server.bodies[-1])["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", PASSING)
def test_what_fails_for_good_is_a_failed_row_and_no_more(name: str, server: ChatServer) -> None:
    server.script = only("row 1", PASSING[name])
    answers = ask(server, 3, timeout_s=0.7, retries=1)
    assert [answer.finish_reason for answer in answers] == ["stop", "failed", "stop"]
    assert len(server.bodies) == 4
    assert answers[1].text
    assert len(answers[1].text) < 400


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_row_is_not_asked_again(status: int, server: ChatServer) -> None:
    server.script = only("row 1", Reply.json({"error": {"message": "a word that we\n do not like"}}, status))
    answers = ask(server, 3)
    assert [answer.finish_reason for answer in answers] == ["stop", "refused", "stop"]
    assert answers[1].text == f"status {status}: a word that we do not like"
    assert sorted(about for about in in_order(server) if about.startswith("row")) == ["row 0", "row 1", "row 2"]


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "This model's maximum context length is 128 tokens."},
        {"type": "exceed_context_size_error", "code": 400, "message": "too long", "n_ctx": 128},
        {"param": "input_tokens", "type": "BadRequestError", "code": 400, "message": "too long"},
    ],
    ids=["OpenAI", "llama.cpp", "vLLM"],
)
def test_a_prompt_that_is_too_long_is_an_answer_of_its_own(error: Body, server: ChatServer) -> None:
    server.script = only("row 1", Reply.json({"error": error}, 400))
    assert [answer.finish_reason for answer in ask(server, 3)] == ["stop", "context", "stop"]


@pytest.mark.parametrize(
    ("status", "told"), [(401, API_KEY), (402, "account"), (404, "--base-url"), (307, "--base-url")]
)
def test_what_no_further_request_would_change_stops_all(status: int, told: str, server: ChatServer) -> None:
    headers = {"location": "http://127.0.0.1:9/v1/chat/completions"} if status == 307 else {}
    server.script = lambda body, number: Reply(status, b'{"error": {"message": "no"}}', headers)
    with pytest.raises(RunError) as caught:
        ask(server, 40, concurrency=4)
    assert str(status) in caught.value.message
    assert server.url in caught.value.message
    assert told in caught.value.advice
    assert len(server.bodies) <= 8


FORM = {
    "a bad key": (Reply.json({"error": {"message": "no"}}, 403), API_KEY),
    "a bad parameter": (Reply.json({"error": {"message": "unknown field: seed"}}, 400), "{seed: null}"),
    "moderation of all": (Reply.json({"error": {"message": "flagged by moderation"}}, 400), "content filter"),
    "thinking": (Reply.json({"choices": [{"message": {"content": None, "reasoning": "Hm."}}]}), "enable_thinking"),
    "an unknown ending": (Reply.json({"choices": [{"message": {"content": "A"}, "finish_reason": "x"}]}), "'x'"),
    "a short context": (Reply.json({"error": {"message": "prompt is too long"}}, 400), "--max-model-len"),
    "empty answers": (Reply.json({"choices": [{"message": {"content": ""}}]}), "chat template"),
}


@pytest.mark.parametrize("case", FORM)
@pytest.mark.parametrize("number", [1, 3, 60])
def test_what_no_request_gets_an_answer_for_ends_all(case: str, number: int, server: ChatServer) -> None:
    """With the server's words and what to do, after few requests, and nothing is handed out to be stored."""
    reply, told = FORM[case]
    server.script = lambda body, time: reply
    generator = opened(server, concurrency=4)
    came = []
    with pytest.raises(RunError, match="no request gets an answer; the last: ") as caught:
        came += list(generator.generate(requests_of(number)))
    assert told in caught.value.advice
    assert came == []
    assert len(server.bodies) <= min(number, 24) + 1
    server.script = lambda body, time: None
    assert {answer.finish_reason for answer in answers_of(generator, requests_of(number))} == {"stop"}
    generator.close()


@pytest.mark.parametrize("case", FORM)
def test_the_same_for_some_rows_is_their_matter(case: str, server: ChatServer) -> None:
    """However many they are, and though they come first."""
    reply, _ = FORM[case]
    server.script = lambda body, time: reply if body["seed"] < 12 else None
    answers = ask(server, 30, concurrency=2)
    assert [answer.finish_reason for answer in answers[12:]] == ["stop"] * 18
    assert "failed" not in {answer.finish_reason for answer in answers}
    assert {answer.text for answer in answers[:12]} == {answers[0].text}
    assert len(server.bodies) == 30


@pytest.mark.parametrize("case", FORM)
def test_rows_that_are_refused_alone_are_told_from_a_form_that_is(case: str, server: ChatServer) -> None:
    """As in the second run of a build: nothing else is asked. A plain request of the same form tells."""
    reply, _ = FORM[case]
    server.script = lambda body, time: reply if subject(body).startswith("row") else None
    answers = ask(server, 3)
    assert {answer.finish_reason for answer in answers} == {ask(server, 1)[0].finish_reason}
    assert "failed" not in {answer.finish_reason for answer in answers}
    forms = [{**body, "messages": [], "seed": 0} for body in server.bodies]
    assert forms == forms[:1] * len(forms)
    assert len([body for body in server.bodies if not subject(body).startswith("row")]) == 2


@pytest.mark.parametrize("case", FORM)
def test_what_no_request_gets_an_answer_for_any_more_ends_all(case: str, server: ChatServer) -> None:
    """A key that expires, a server that is started anew with thinking on: earlier answers are no evidence."""
    reply, told = FORM[case]
    server.script = lambda body, time: reply if body["seed"] >= 20 or not subject(body).startswith("row") else None
    generator, came = opened(server, concurrency=4), []
    with pytest.raises(RunError, match="no request gets an answer; the last: ") as caught:
        for _, answer in generator.generate(requests_of(60)):
            came.append(answer.finish_reason)
    assert told in caught.value.advice
    assert came == ["stop"] * 20
    assert len(server.bodies) < 50
    generator.close()


@pytest.mark.parametrize("case", FORM)
@pytest.mark.parametrize("is_row", [True, False])
def test_a_refusal_without_a_reason_at_the_end_of_a_call_is_checked(
    case: str, is_row: bool, server: ChatServer
) -> None:
    """Others may come at random: a text of the form before them is evidence enough."""
    reply, _ = FORM[case]
    generator, is_checked = opened(server, concurrency=1), case in ("a bad key", "a bad parameter")
    assert len(answers_of(generator, requests_of(3))) == 3
    server.script = lambda body, time: reply if subject(body).startswith("row") or not is_row else None
    if is_checked and not is_row:
        with pytest.raises(RunError, match="no request gets an answer"):
            answers_of(generator, requests_of(1))
    else:
        assert answers_of(generator, requests_of(1))[0].finish_reason != "failed"
    assert len(server.bodies) == 4 + is_checked
    generator.close()


def test_a_check_that_fails_in_passing_is_asked_again(server: ChatServer) -> None:
    no, busy = Reply.json({"error": {"message": "no"}}, 400), Reply.json({}, 503)
    server.script = lambda body, time: no if subject(body).startswith("row") else busy if time == 1 else None
    assert {answer.finish_reason for answer in ask(server, 3)} == {"refused"}


def test_a_form_that_is_taken_says_nothing_of_another(server: ChatServer) -> None:
    """Captions are answered; conversations, which are to be JSON, are not."""
    no = Reply.json({"error": {"message": "response_format is not supported"}}, 400)
    server.script = lambda body, time: no if "response_format" in body else None
    generator = opened(server)
    assert {answer.finish_reason for answer in answers_of(generator, requests_of(5))} == {"stop"}
    with pytest.raises(RunError, match="response_format is not supported") as caught:
        answers_of(generator, [*requests_of(5), *requests_of(5, json_schema=SCHEMA)])
    assert "engine.json_schema: none" in caught.value.advice
    generator.close()


def test_a_row_that_fails_is_no_sign_that_others_are_answered(server: ChatServer) -> None:
    busy, refused = Reply.json({}, 503, retry_after="86400"), Reply.json({"error": "no"}, 400)
    server.script = lambda body, time: busy if body["seed"] == 3 else refused
    generator, came = opened(server), []
    with pytest.raises(RunError, match="no request gets an answer; the last: status 400: no"):
        for _, answer in generator.generate(requests_of(5)):
            came.append(answer.finish_reason)
    assert came == ["failed"]
    generator.close()


def test_rows_that_break_the_server_are_told_from_a_server_that_is_broken(server: ChatServer) -> None:
    server.script = lambda body, time: Reply.json({}, 500) if subject(body).startswith("row") else None
    answers = ask(server, 12, retries=0, concurrency=2)
    assert {answer.finish_reason for answer in answers} == {"failed"}


def test_a_refused_key_shows_before_anything_is_asked(server: ChatServer) -> None:
    server.models = Reply.json({"error": {"message": "Incorrect API key"}}, 401)
    with pytest.raises(RunError, match="status 401: Incorrect API key"):
        ask(server)
    assert not server.bodies


@pytest.mark.parametrize("status", [404, 405, 400, 403])
def test_a_server_without_a_list_of_models_serves_too(status: int, server: ChatServer) -> None:
    server.models = Reply(status)
    assert ask(server)[0].finish_reason == "stop"


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with ChatServer().running() as gone:
        url = gone.url
    with pytest.raises(RunError, match=re.escape(f"the server at {url}: ClientConnectorError")) as caught:
        EndpointGenerator(EndpointEngine(kind="endpoint", base_url=url, model="m"))
    assert "--base-url" in caught.value.advice


def test_a_server_that_fails_for_all_stops_with_the_reason(server: ChatServer) -> None:
    """After as many failures as there are requests in flight; what was answered before was handed out."""
    server.script = lambda body, number: None if body["seed"] < 20 else Reply.json({"error": "no memory"}, 500)
    generator = opened(server, concurrency=5, retries=0)
    came = []
    with pytest.raises(RunError, match="5 requests in a row got no answer; the last: status 500: no memory"):
        for position, answer in generator.generate(requests_of(100)):
            came.append((position, answer.finish_reason))
    assert {position for position, reason in came if reason == "stop"} == set(range(20))
    assert len(server.bodies) < 35
    server.script = lambda body, number: None
    assert len(answers_of(generator, requests_of(100))) == 100, "the server is mended"
    generator.close()


def test_retry_after_is_honoured_by_all(server: ChatServer) -> None:
    """One request is told to wait a second: it does, and so do the others, but for those already on their way."""
    asked_at: list[tuple[float, str]] = []
    lock = threading.Lock()

    def script(body: Body, number: int) -> Reply | None:
        with lock:
            asked_at.append((time.monotonic(), subject(body)))
        if subject(body) == "row 0" and number == 1:
            return Reply.json({}, 429, retry_after="1")
        time.sleep(0.05)
        return None

    server.script = script
    answers = ask(server, 12, concurrency=2)
    told_at = min(at for at, about in asked_at if about == "row 0")
    meanwhile = [about for at, about in asked_at if 0 <= at - told_at < 0.95]
    assert meanwhile.count("row 0") == 1
    assert len(meanwhile) <= 4  # All twelve would take a third of a second.
    assert [answer.num_retries for answer in answers] == [1] + [0] * 11


def in_order(server: ChatServer) -> list[str]:
    return [subject(body) for body in server.bodies]


def test_a_503_pauses_its_own_request_alone(server: ChatServer) -> None:
    """It holds no slot meanwhile: though there is but one, all others are asked before it is asked again."""
    server.script = only("row 0", Reply.json({}, 503, retry_after="1"), times=1)
    answers = ask(server, 12, concurrency=1)
    assert in_order(server) == [*(f"row {number}" for number in range(12)), "row 0"]
    assert [answer.num_retries for answer in answers] == [1] + [0] * 11


def test_a_request_that_waits_is_asked_again_before_those_of_a_later_call(server: ChatServer) -> None:
    first_fails = threading.Event()

    def script(body: Body, number: int) -> Reply | None:
        if subject(body) == "row 0" and number == 1:
            return Reply.json({}, 500)
        first_fails.wait(10)
        return None

    server.script = script
    generator = opened(server, concurrency=1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(answers_of, generator, requests_of(3))
        while len(server.bodies) < 2:  # The first row is waiting now, and the second is being asked.
            time.sleep(0.01)
        second = threads.submit(answers_of, generator, requests_of(40)[3:])
        time.sleep(0.3)  # Longer than the first backoff.
        first_fails.set()
        assert len(first.result()) + len(second.result()) == 40
    assert in_order(server)[:4] == ["row 0", "row 1", "row 0", "row 2"]
    generator.close()


def test_a_server_that_fails_several_times_in_a_row_is_left_alone(server: ChatServer) -> None:
    asked_at: list[float] = []

    def script(body: Body, number: int) -> Reply | None:
        asked_at.append(time.monotonic())
        return Reply.json({}, 503, retry_after="1") if len(asked_at) <= FAILURES_IN_A_ROW else None

    server.script = script
    answers = ask(server, FAILURES_IN_A_ROW + 4, concurrency=1)
    assert {answer.finish_reason for answer in answers} == {"stop"}
    paused_at = asked_at[FAILURES_IN_A_ROW - 1]
    assert [at for at in asked_at if 0 < at - paused_at < 0.95] == []


def test_connections_are_kept(server: ChatServer) -> None:
    server.slow_s = 0.01
    ask(server, 200, concurrency=8)
    assert server.num_connections <= 8


def test_a_server_that_asks_for_a_day_is_not_waited_for(server: ChatServer) -> None:
    server.script = only("row 0", Reply.json({}, 429, retry_after="86400"))
    started = time.monotonic()
    answers = ask(server, 2)
    assert time.monotonic() - started < 5
    assert answers[0].text == "status 429: it asks for a pause of 86,400 s"


@pytest.mark.parametrize(
    ("choice", "text", "reason"),
    [
        ({"finish_reason": "length"}, None, "length"),
        ({"finish_reason": "eos_token"}, None, "stop"),
        ({"finish_reason": None}, None, "stop"),
        ({"message": {"content": "<think>Hm.</think>\n\nA dog.", "reasoning_content": "Hm."}}, "A dog.", "stop"),
    ],
)
def test_answers_of_all_kinds(choice: Body, text: str | None, reason: str, server: ChatServer) -> None:
    server.script = lambda body, number: Reply.json(completion(body, **choice))
    (answer,) = ask(server)
    assert answer.finish_reason == reason
    if text is not None:
        assert answer.text == text


def test_a_server_that_counts_no_tokens(server: ChatServer) -> None:
    server.script = lambda body, number: Reply.json(completion(body) | {"usage": None})
    (answer,) = ask(server)
    assert answer.num_output_tokens >= len(answer.text.split())
    assert not answer.tokens_told


def test_calls_of_several_threads_share_the_bound(server: ChatServer) -> None:
    server.slow_s = 0.3
    generator = opened(server, concurrency=6)
    with ThreadPoolExecutor(3) as threads:
        calls = [requests_of(20)[start:] for start in (0, 5, 10)]
        answered = list(threads.map(lambda call: answers_of(generator, call), calls))
    assert [answer.text for answer in answered[0][10:]] == [answer.text for answer in answered[2]]
    assert server.most_at_once == 6
    generator.close()


def test_a_caller_that_leaves_takes_its_requests_back(server: ChatServer) -> None:
    server.slow_s = 0.05
    generator = opened(server, concurrency=2)
    answers = generator.generate(requests_of(100))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert len(server.bodies) < 10
    generator.close()
    generator.close()  # Twice is once.


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ChatServer, Path]]:
    """A server whose certificate nobody but itself has signed, and that certificate."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "of the test")])
    now = datetime.now(UTC)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(hosts, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(signed.public_bytes(encoding))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, pem, serialization.NoEncryption()))
    server = ChatServer()
    server.speak_tls(certificate, tmp_path / "key.pem")
    with server.running():
        yield server, certificate


def test_a_server_with_a_certificate_of_its_own(
    tls_server: tuple[ChatServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = tls_server
    with pytest.raises(RunError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        ask(server)
    assert "SSL_CERT_FILE" in caught.value.advice
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(server)[0].finish_reason == "stop"


@pytest.fixture
def second(server: ChatServer) -> Iterator[ChatServer]:
    with ChatServer().running() as second:
        yield second


def both(server: ChatServer, second: ChatServer, **settings: Any) -> EndpointGenerator:
    return EndpointGenerator(EndpointEngine(kind="endpoint", base_url=(server.url, second.url), model="m", **settings))


def test_servers_of_one_model_share_the_requests(server: ChatServer, second: ChatServer) -> None:
    """Least loaded first: of a slow and a quick one, the quick one answers more."""
    server.slow_s, second.slow_s = 0, 1
    generator = both(server, second, concurrency=8)
    assert {answer.num_retries for answer in answers_of(generator, requests_of(120))} == {0}
    assert len(server.bodies) + len(second.bodies) == 120
    assert len(server.bodies) > 2 * len(second.bodies) > 0
    assert max(server.most_at_once, second.most_at_once) <= 8
    generator.close()


def test_a_server_that_dies_is_left_alone_and_tried_again(server: ChatServer, second: ChatServer) -> None:
    is_dead = True
    second.script = lambda body, number: Reply(cuts=True) if is_dead else None
    server.slow_s = 0.01
    generator = both(server, second, concurrency=4)
    assert {answer.finish_reason for answer in answers_of(generator, requests_of(100))} == {"stop"}
    num_in_vain = len(second.bodies)
    assert FAILURES_IN_A_ROW <= num_in_vain < 30
    is_dead = False
    came = 0
    while len(second.bodies) < num_in_vain + 20:  # Its pause ends.
        came += len(answers_of(generator, requests_of(20)))
        assert came < 5000
    generator.close()


def test_a_server_that_is_not_there_is_done_without(server: ChatServer, second: ChatServer) -> None:
    with ChatServer().running() as gone:
        url = gone.url
    engine = EndpointEngine(kind="endpoint", base_url=(url, server.url), model="m", concurrency=4)
    generator = EndpointGenerator(engine)
    assert {answer.finish_reason for answer in answers_of(generator, requests_of(40))} == {"stop"}
    assert len(server.bodies) == 40
    generator.close()


def test_servers_that_are_all_not_there_are_told() -> None:
    with ChatServer().running() as gone, ChatServer().running() as another:
        urls = (gone.url, another.url)
    with pytest.raises(RunError, match="ClientConnectorError") as caught:
        EndpointGenerator(EndpointEngine(kind="endpoint", base_url=urls, model="m"))
    assert any(url in caught.value.message for url in urls)


def test_a_server_that_refuses_the_key_is_named(server: ChatServer, second: ChatServer) -> None:
    second.script = lambda body, number: Reply.json({"error": {"message": "no"}}, 401)
    generator = both(server, second, concurrency=4)
    with pytest.raises(RunError, match=re.escape(f"the server at {second.url}: it refuses the request")):
        answers_of(generator, requests_of(40))
    generator.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProxy]:
    for name in ("NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for written in (name, name.lower()):
            monkeypatch.delenv(written, raising=False)
    with LoopbackProxy().running() as proxy:
        yield proxy


def test_requests_go_through_the_proxy_that_the_environment_names(
    server: ChatServer, proxy: LoopbackProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://me:pass%20word@{proxy.address}")
    assert len(ask(server, 3)) == 3
    assert [head.split()[:2] for head in proxy.asked] == [
        ["GET", f"{server.url}/models"],
        *[["POST", f"{server.url}/chat/completions"]] * 3,
    ]
    assert all("Basic bWU6cGFzcyB3b3Jk" in head for head in proxy.asked)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    proxy.asked.clear()
    assert len(ask(server, 3)) == 3
    assert proxy.asked == []


def test_a_server_with_tls_behind_a_proxy(
    tls_server: tuple[ChatServer, Path], proxy: LoopbackProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = tls_server
    monkeypatch.setenv("HTTPS_PROXY", proxy.address)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv(API_KEY, KEY)
    assert len(ask(server, 2)) == 2
    assert {head.split()[0] for head in proxy.asked} == {"CONNECT"}
    assert KEY not in str(proxy.asked)
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy(scheme: str, server: ChatServer, proxy: LoopbackProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.address}")
    real = importlib.util.find_spec
    monkeypatch.setattr("unicorn_hf.core.http.find_spec", lambda name: name == "socksio" or real(name))
    assert len(ask(server, 3)) == 3
    assert set(proxy.asked) == {f"SOCKS5 {urlsplit(server.url).netloc}"}


def test_a_proxy_that_is_not_there_is_told(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackProxy().running() as gone:
        address = gone.address
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:pass-word@{address}")
    with pytest.raises(RunError, match="ClientProxyConnectionError") as caught:
        ask(server)
    assert "NO_PROXY" in caught.value.advice
    assert "pass-word" not in str(caught.value)


def test_the_wrong_scheme_is_told(server: ChatServer, tls_server: tuple[ChatServer, Path]) -> None:
    for url in (server.url.replace("http:", "https:"), tls_server[0].url.replace("https:", "http:")):
        with pytest.raises(RunError) as caught:
            EndpointGenerator(EndpointEngine(kind="endpoint", base_url=url, model="m"))
        assert ("https://" if url.startswith("http:") else "http://") in caught.value.advice


def test_a_compressed_reply(server: ChatServer) -> None:
    """Some proxies compress what was asked for plain."""

    def compressed(body: Body, kind: str) -> Reply:
        content = json.dumps(completion(body)).encode()
        return Reply(200, gzip.compress(content) if kind == "gzip" else content, {"content-encoding": kind})

    server.script = lambda body, time: compressed(body, "gzip")
    assert ask(server)[0].finish_reason == "stop"
    server.script = lambda body, time: compressed(body, "br")
    with pytest.raises(RunError) as caught:
        ask(server, retries=0, concurrency=1, number=3)
    assert "compresses its replies" in caught.value.advice


def test_long_headers(server: ChatServer) -> None:
    server.script = lambda body, time: Reply.json(completion(body), content_security_policy="x" * 30_000)
    assert ask(server)[0].finish_reason == "stop"


# -- The key ----------------------------------------------------------------------------------------------------------


def test_a_redirect_is_not_followed(server: ChatServer, second: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, KEY)
    server.script = lambda body, time: Reply(308, b"", {"location": f"{second.url}/chat/completions?key={KEY}"})
    with pytest.raises(RunError, match=re.escape(f"to {second.url}/chat/completions)")) as caught:
        ask(server)
    assert KEY not in str(caught.value)
    assert second.bodies == []


def test_the_key_is_sent_and_shown_nowhere(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(API_KEY, f"  {KEY}\n")
    server.script = only("row 1", Reply.json({"error": {"message": f"Bearer {KEY} may not say this"}}, 400))
    answers = ask(server, 3)
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert answers[1].text == "status 400: Bearer *** may not say this"
    server.script = lambda body, number: Reply.json({"error": f"Incorrect API key provided: {KEY}"}, 401)
    with pytest.raises(RunError) as caught:
        ask(server)
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text
    assert KEY not in repr(resolve_generator(EndpointEngine(kind="endpoint", base_url=server.url, model="m")))


def test_no_other_key_of_the_user_is_sent(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    ask(server)
    assert "authorization" not in server.headers[0]
    assert "another" not in json.dumps(server.headers)


def test_the_hubs_offline_mode_is_no_matter_of_the_server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert ask(server)[0].finish_reason == "stop"


# -- The whole way ----------------------------------------------------------------------------------------------------


def build(server: ChatServer, folder: Path, *options: str, **environment: str) -> Any:
    recipe = folder / "served.yaml"
    recipe.write_text(
        "seeds: {sources: [{kind: file, path: seeds.txt}]}\nengine: {kind: echo}\ncaptions: {num: 30}\n"
        "instructions: {num: 10}\nrepresentations: {encoder: 'hashing:16'}\n"
        "price: {per_million_prompt_tokens: 100}\n"
    )
    write_seeds(folder / "seeds.txt", 40)
    served = ["--engine", "endpoint", "--base-url", server.url, "--llm", "org/model", *options]
    # Shared workers have an environment of their own: a key that is set here would not reach them.
    if not environment and "--workers" not in options:
        served += SHARED
    return unicorn("build", recipe, *served, cwd=folder, NO_PROXY="127.0.0.1", **environment)


def is_caption(body: Body) -> bool:
    return "response_format" not in body


def quirk(body: Body) -> Reply | None:
    """A few captions' rows get something else than a text."""
    about = subject(body) if is_caption(body) else ""
    text = completion(body)["choices"][0]["message"]["content"]
    quirks = {
        "jar number 7 ": Reply.json({}, 503, retry_after="86400"),
        "jar number 8 ": Reply.json({"error": {"message": "not this one"}}, 400),
        "jar number 9 ": Reply.json({"error": {"message": "Your input was flagged by moderation."}}, 403),
        "jar number 10 ": Reply.json(completion(body, finish_reason="content_filter")),
        "jar number 11 ": Reply.json(completion(body, message={"content": None, "reasoning_content": "Hm."})),
        "jar number 12 ": Reply.json(completion(body, message={"content": f"<|start_of_x|>{text}"})),
    }
    return next((reply for name, reply in quirks.items() if name in about), None)


@pytest.mark.slow  # Three builds; each reply of the server alone is tested above.
def test_a_build_goes_on_where_the_server_failed(server: ChatServer, tmp_path: Path) -> None:
    """What one prompt gets is settled by name; where the server failed, and there alone, the next build asks again."""
    server.script = lambda body, number: quirk(body) or Reply.json(completion(body) | {"usage": None})
    first = build(server, tmp_path, "--max-cost", "100", **{API_KEY: KEY})
    assert first.returncode == 0, first.stderr
    statistics = json.loads((tmp_path / "unicorn/statistics.json").read_text())
    settled = {"markup": 1, "moderated": 2, "refused_by_server": 1, "unfinished": 1}
    assert statistics["captions"]["rejected"] == settled | {"not_answered": 1}
    assert statistics["captions"]["num_estimated"] == 33
    assert statistics["engine"] == "org/model"
    assert first.stderr.count("does not report token counts") == 1
    assert "--max-cost uses this estimate" in first.stderr
    card = (tmp_path / "unicorn/README.md").read_text()
    assert "The server did not report the tokens" in card
    assert re.search(r"\| about [\d,]+ prompt tokens \| \d+\.\d\d \|", card)
    assert "has no prices" not in card

    server.script = lambda body, number: None
    server.bodies.clear()
    second = build(server, tmp_path, **{API_KEY: KEY})
    assert second.returncode == 0, second.stderr
    captions = [subject(body) for body in server.bodies if is_caption(body)]
    assert len(captions) == 1
    assert "jar number 7 " in captions[0]
    assert json.loads((tmp_path / "unicorn/statistics.json").read_text())["captions"]["rejected"] == settled

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in first.stdout + first.stderr + second.stdout + second.stderr
    assert server.url not in (tmp_path / "unicorn/recipe.yaml").read_text()

    server.bodies.clear()
    assert build(server, tmp_path).returncode == 0
    assert server.bodies == []


def test_a_server_that_only_thinks_is_told_and_nothing_of_it_is_kept(server: ChatServer, tmp_path: Path) -> None:
    """Once it is mended the same command goes on."""
    server.script = lambda body, number: Reply.json(
        completion(body, message={"content": None, "reasoning_content": "The user wants it plain."})
    )
    done = build(server, tmp_path)
    assert done.returncode == 1
    assert "content is null, reasoning_content is not" in done.stderr
    assert "enable_thinking: false" in done.stderr
    assert "Traceback" not in done.stderr
    server.script = lambda body, number: None
    done = build(server, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_next_partition_is_asked_before_this_one_is_answered(server: ChatServer, tmp_path: Path) -> None:
    """The server answers nothing until it has more requests than a partition has rows."""
    arrived, overlap = itertools.count(1), threading.Event()
    waited_in_vain = []

    def script(body: Body, number: int) -> None:
        if next(arrived) > 16:
            overlap.set()
        if not overlap.wait(60):
            waited_in_vain.append(body)

    server.script = script
    recipe = tmp_path / "served.yaml"
    recipe.write_text(
        f"engine: {{kind: endpoint, base_url: '{server.url}', model: m, concurrency: 24}}\npartition_rows: 16\n"
        "seeds: {sources: [{kind: file, path: seeds.txt}]}\ncaptions: {num: 64}\n"
        "instructions: {num: 1}\nrepresentations: {encoder: 'hashing:16'}\n"
    )
    write_seeds(tmp_path / "seeds.txt", 80)
    done = unicorn("build", recipe, cwd=tmp_path, NO_PROXY="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert waited_in_vain == []
    assert len(server.bodies) >= 65


def test_workers_share_the_bound_on_requests_in_flight(server: ChatServer, tmp_path: Path) -> None:
    """It is one of each worker's engine, and of none else, that asks for the server's models."""
    server.slow_s = 0.05
    done = build(server, tmp_path, "--workers", "2", "--set", "engine.concurrency=6", "--set", "partition_rows=5")
    assert done.returncode == 0, done.stderr
    assert server.num_asked_for_models == 2
    assert server.most_at_once <= 6
    assert server.num_connections <= 6 + 2


def test_a_wrong_server_is_one_message(server: ChatServer, tmp_path: Path) -> None:
    server.models = Reply.json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)
    done = build(server, tmp_path, **{API_KEY: KEY})
    assert done.returncode == 1
    assert f"error: the server at {server.url}: it refuses the request (status 401" in done.stderr
    assert API_KEY in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
