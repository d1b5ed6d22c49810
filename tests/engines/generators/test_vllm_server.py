"""The endpoint engine against a real server: vLLM's own, with the demonstration model, on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stages import answers_of
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines import EndpointEngine, VllmEngine
from unicorn_hf.engines.endpoint import API_KEY
from unicorn_hf.engines.generators.endpoint import EndpointGenerator
from unicorn_hf.models.demo_models import demo_llm

pytestmark = [pytest.mark.real, pytest.mark.slow]

KEY = "sk-of-the-test"
MODEL = "SmolLM2-135M-Instruct"


@contextmanager
def serving(model: Path, *options: str) -> Iterator[str]:
    """The address of a server that is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = VllmEngine(model="demo:smollm2-135m-instruct", cpu_kvcache_gib=1)
    variables = settings.environment(1) | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port), *options,
        "--dtype", "bfloat16",
        "--max-model-len", "640", "--max-num-seqs", "32", "--enforce-eager", "--no-enable-chunked-prefill",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        deadline = time.monotonic() + 300
        while not _is_up(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(demo_llm("smollm2-135m-instruct"), "--api-key", KEY) as url:
        yield url


def _is_up(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return bool(opener.open(address, timeout=2).status == 200)
    except OSError:
        return False


def request(text: str, *, seed: int = 0, max_tokens: int = 24, json_schema: str | None = None) -> Request:
    sampling = Sampling(temperature=0 if json_schema is None else 0.7, repetition_penalty=1.05, max_tokens=max_tokens)
    messages = (Message("system", "You answer in few words."), Message("user", text))
    return Request(f"{text[:20]} {seed}", text, messages, sampling, seed, json_schema)


def test_a_real_server_is_asked_as_the_engine_in_the_worker_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, since the server takes longest: answers, JSON, a prompt that is too long, a wrong key and model."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(API_KEY, KEY)
    engine = EndpointEngine(kind="endpoint", base_url=url, model=MODEL, concurrency=16)
    text = {"type": "string", "minLength": 1, "maxLength": 40}
    schema = {
        "type": "object",
        "properties": {"animal": {"type": "string", "enum": ["dog", "owl"]}, "why": text},
        "required": ["animal", "why"],
        "additionalProperties": False,
    }
    generator = EndpointGenerator(engine)
    answers = answers_of(
        generator,
        [
            request("What is the capital of France?"),
            request("word " * 2000),
            *(
                request("Name an animal.", seed=seed, max_tokens=100, json_schema=json.dumps(schema))
                for seed in range(8)
            ),
            request("Count to a hundred.", max_tokens=5),
        ],
    )
    generator.close()
    france, too_long, *animals, cut = answers
    assert "Paris" in france.text
    assert france.finish_reason == "stop"
    assert france.num_prompt_tokens > 10
    assert france.num_output_tokens > 0
    assert too_long.finish_reason == "context"
    assert {json.loads(answer.text)["animal"] for answer in animals} <= {"dog", "owl"}
    assert cut.finish_reason == "length"
    assert cut.num_output_tokens == 5

    unknown = EndpointGenerator(engine.model_copy(update={"model": "another"}))
    with pytest.raises(RunError, match="status 404"):
        answers_of(unknown, [request("Hello.")])
    unknown.close()
    monkeypatch.setenv(API_KEY, "sk-of-someone-else")
    with pytest.raises(RunError, match="status 401"):
        EndpointGenerator(engine)


def ended(url: str, monkeypatch: pytest.MonkeyPatch, requests: list[Request], **settings: Any) -> RunError:
    """What ends all; nothing was handed out to be stored."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(API_KEY, raising=False)
    engine = EndpointEngine(kind="endpoint", base_url=url, model=MODEL, concurrency=4, retries=1, **settings)
    generator, came = EndpointGenerator(engine), []
    try:
        with pytest.raises(RunError) as caught:
            came += list(generator.generate(requests))
        assert came == []
        return caught.value
    finally:
        generator.close()


QUESTIONS = [request(f"What is the capital of country number {number}?") for number in range(6)]


@pytest.mark.soak
def test_a_reasoning_parser_that_does_not_fit_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the whole answer for a thought: `content` is null. And a server that is asked at another address."""
    folder = shutil.copytree(demo_llm("smollm2-135m-instruct"), tmp_path / "model", copy_function=os.symlink)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text().replace("<repo_name>", "<think>").replace("<reponame>", "</think>")
        (folder / name).unlink()
        (folder / name).write_text(text)
    with serving(folder, "--reasoning-parser", "deepseek_r1") as url:
        thinking = ended(url, monkeypatch, QUESTIONS)
        assert "content is null, reasoning is not" in thinking.message
        assert "--reasoning-parser" in thinking.advice
        lost = ended(url.removesuffix("/v1"), monkeypatch, QUESTIONS)
        assert "status 404" in lost.message
        assert url in lost.advice
        field = ended(url, monkeypatch, QUESTIONS, extra_body={"temperature": "warm"})
        assert "status 400" in field.message
        assert "Remove temperature from engine.extra_body" in field.advice


@pytest.mark.soak
def test_a_chat_template_that_does_not_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses every prompt; one that has no place for a system prompt, those that have one."""
    template = tmp_path / "broken.jinja"
    template.write_text(
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{{ messages[0].contents.strip() }}"
    )
    with serving(demo_llm("smollm2-135m-instruct"), "--chat-template", str(template)) as url:
        no_system = ended(url, monkeypatch, QUESTIONS)
        assert "System role not supported" in no_system.message
        assert "engine.system_role: false" in no_system.advice
        broken = ended(url, monkeypatch, QUESTIONS, system_role=False)
        assert "no request gets an answer" in broken.message
        assert "--chat-template" in broken.advice
