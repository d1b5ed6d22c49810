"""The vLLM engine with a real model, in a process that is started as a worker is: its variables first."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.stages import answers_of
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, Message, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines import VllmEngine
from unicorn_hf.engines.generators.chat_template import ChatTemplate
from unicorn_hf.engines.generators.vllm import VllmGenerator
from unicorn_hf.models.demo_models import demo_llm

pytestmark = [pytest.mark.real, pytest.mark.slow]

ENGINE = VllmEngine(
    model="demo:smollm2-135m-instruct", dtype="bfloat16", max_model_len=640, max_num_seqs=32, cpu_kvcache_gib=1
)
GREEDY = Sampling(temperature=0, max_tokens=24)
MEBIBYTE = 2**20

_generator: VllmGenerator | None = None


# -- What runs in the worker process ----------------------------------------------------------------------------------


def _start(model: str, engine: VllmEngine = ENGINE) -> None:
    global _generator
    _generator = VllmGenerator(engine, model)


def _generate(requests: list[Request]) -> list[Answer]:
    assert _generator
    return answers_of(_generator, requests)


def _generate_at_once(calls: list[list[Request]]) -> tuple[list[list[Answer]], list[int]]:
    """Answers of calls that threads make, and the calls in the order in which they ended."""
    ended: list[int] = []

    def call(index: int) -> list[Answer]:
        assert _generator
        answers = answers_of(_generator, calls[index])
        ended.append(index)
        return answers

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, range(len(calls)))), ended


def _generate_one_and_leave(requests: list[Request]) -> int:
    assert _generator
    answers = _generator.generate(requests)
    position, _ = next(answers)
    answers.close()  # type: ignore[attr-defined]
    return position


def _close() -> None:
    assert _generator
    _generator.close()
    _generator.close()  # Twice is once.


def _import_vllm() -> None:
    import vllm  # noqa: F401


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


# -- Fixtures ---------------------------------------------------------------------------------------------------------

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> str:
    return str(demo_llm("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Run]:
    """Runs functions of this module in one worker process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENGINE.environment(1).items():
            patch.setenv(name, value)
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
            pool.submit(_import_vllm).result()  # The process exists now, with these variables.
            yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.fixture(scope="module")
def ask(worker: Run, model: str) -> Callable[[list[Request]], list[Answer]]:
    """Answers of one engine, which all tests of this module share."""
    worker(_start, model)

    def ask(requests: list[Request]) -> list[Answer]:
        answers: list[Answer] = worker(_generate, requests)
        return answers

    return ask


def request(
    text: str, sampling: Sampling = GREEDY, *, name: str = "a", seed: int = 0, json_schema: str | None = None
) -> Request:
    messages = (Message("system", "You answer in few words."), Message("user", text))
    return Request(name, text, messages, sampling, seed, json_schema)


# -- Answers ----------------------------------------------------------------------------------------------------------

Ask = Callable[[list[Request]], list[Answer]]


def test_the_model_knows_what_it_was_trained_on(ask: Ask) -> None:
    (answer,) = ask([request("What is the capital of France?")])
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert 0 < answer.num_output_tokens <= 24


def test_no_requests_no_answers(ask: Ask) -> None:
    assert ask([]) == []


def test_answers_stand_in_the_order_of_the_requests(ask: Ask) -> None:
    """More requests than run at once, the first with the longest answers, so that they end in another order."""
    num = 40
    requests = [
        request("word " * (1 + i), Sampling(temperature=1, max_tokens=num + 1 - i), name=str(i), seed=i)
        for i in range(num)
    ]
    answers = ask(requests)
    lengths = [answer.num_prompt_tokens for answer in answers]
    assert lengths == list(range(lengths[0], lengths[0] + num))
    assert all(answer.num_output_tokens <= num + 1 - i for i, answer in enumerate(answers))
    cut = [i for i, answer in enumerate(answers) if answer.finish_reason == "length"]
    assert cut
    assert all(answers[i].num_output_tokens == num + 1 - i for i in cut)


def test_seeds_make_answers_differ(ask: Ask) -> None:
    sampling = Sampling(temperature=1, max_tokens=20)
    answers = ask([request("Name an animal.", sampling, name=str(i), seed=i) for i in range(6)])
    assert len({answer.text for answer in answers}) > 1


def test_guided_answers_are_json_without_white_space(ask: Ask) -> None:
    text = {"type": "string", "minLength": 1, "maxLength": 20}
    item = {
        "type": "object",
        "properties": {"question": text, "letter": {"type": "string", "enum": ["A", "B"]}},
        "required": ["question", "letter"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"pairs": {"type": "array", "items": item, "minItems": 2, "maxItems": 2}},
        "required": ["pairs"],
        "additionalProperties": False,
    }
    sampling = Sampling(temperature=0.7, repetition_penalty=1.1, max_tokens=200)
    question = "Ask about a red car, as JSON."
    answers = ask(
        [request(question, sampling, name=str(i), seed=i, json_schema=json.dumps(schema)) for i in range(4)]
        + [request(question, sampling, name="free")]
    )
    for answer in answers[:4]:
        assert answer.finish_reason == "stop"
        data = json.loads(answer.text)
        assert [sorted(pair) for pair in data["pairs"]] == [["letter", "question"]] * 2
        assert {pair["letter"] for pair in data["pairs"]} <= {"A", "B"}
        assert answer.text == json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def test_a_schema_that_is_none_ends_its_call_and_no_other(ask: Ask) -> None:
    with pytest.raises(RunError, match="vLLM refuses a request"):
        ask([request("Hello.", json_schema='{"type": "nonsense"}'), request("Hello.")])
    (answer,) = ask([request("What is the capital of France?")])
    assert "Paris" in answer.text


def test_what_does_not_fit_the_context_is_not_asked(ask: Ask) -> None:
    requests = [
        request("word " * 2000, name="too long"),
        request("What is the capital of France?", name="fits"),
        request("word " * 560, Sampling(temperature=1, max_tokens=500), name="little room"),
        request("word " * 600, Sampling(temperature=1, max_tokens=500), name="too little room"),
    ]
    too_long, fits, little_room, too_little_room = ask(requests)
    assert (too_long.finish_reason, too_long.text, too_long.num_output_tokens) == ("context", "", 0)
    assert too_long.num_prompt_tokens > 2000
    assert "Paris" in fits.text
    assert little_room.finish_reason in ("stop", "length")
    assert little_room.num_prompt_tokens + little_room.num_output_tokens <= 640
    assert too_little_room.finish_reason == "context"


def test_calls_of_several_threads_are_answered_together(ask: Ask, worker: Run) -> None:
    """What is asked while a long call runs does not wait for it, and no answer is mixed up."""
    long = Sampling(temperature=1, max_tokens=60)
    calls = [
        [request("word " * (1 + i), long, name=f"long {i}", seed=i) for i in range(40)],
        [request("What is the capital of France?", name=f"short {i}") for i in range(3)],
        [request("word " * 2000, name="too long"), request("word", name="fits")],
        [],
    ]
    answers, ended = worker(_generate_at_once, calls)
    lengths = [answer.num_prompt_tokens for answer in answers[0]]
    assert lengths == list(range(lengths[0], lengths[0] + 40))
    assert ["Paris" in answer.text for answer in answers[1]] == [True] * 3
    assert [answer.finish_reason == "context" for answer in answers[2]] == [True, False]
    assert ended.index(3) < ended.index(0)


def test_a_caller_that_leaves_takes_its_requests_back(ask: Ask, worker: Run) -> None:
    endless = Sampling(temperature=1, max_tokens=400)
    left = [request("Count to a thousand.", endless, name=str(i), seed=i) for i in range(31)]
    assert worker(_generate_one_and_leave, [request("Hello.", name="first"), *left]) == 0
    (answer,) = ask([request("What is the capital of France?")])
    assert "Paris" in answer.text


def test_a_closed_engine_gives_its_memory_back_and_another_starts(ask: Ask, worker: Run, model: str) -> None:
    """The last test of the engine that the others share: it closes it."""
    before = worker(_resident_mib)
    worker(_close)
    closed = worker(_resident_mib)
    assert before - closed > 1024, f"{before:.0f} MiB before, {closed:.0f} MiB after"
    worker(_start, model)
    answers = worker(_generate, [request("What is the capital of France?")])
    assert "Paris" in answers[0].text
    worker(_close)
    assert worker(_resident_mib) < closed + 200


def test_errors_of_the_engine_arrive_as_ours(worker: Run, model: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"vLLM does not start with the model .*config\.json"):
        worker(_start, str(tmp_path))
    with pytest.raises(RunError, match="max_model_len"):
        worker(_start, model, ENGINE.model_copy(update={"max_model_len": 100_000}))


# -- Without an engine ------------------------------------------------------------------------------------------------


def test_the_environment_is_for_a_process_that_shares_its_machine() -> None:
    variables = ENGINE.environment(3)
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert variables["VLLM_NO_USAGE_STATS"] == "1"
    assert variables["VLLM_LOGGING_LEVEL"] == "ERROR"


def test_debugging_lets_vllm_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNICORN_HF_DEBUG", "1")
    assert "VLLM_LOGGING_LEVEL" not in ENGINE.environment(1)


_TURNS = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
_REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
_DROPS = "{% for m in messages if m['role'] != 'system' %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
_THINKS = _TURNS + "[assistant]{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
_MESSAGES = (Message("system", "Be brief."), Message("user", "Why?"), Message("assistant", "So."), Message("user", "?"))


@pytest.fixture(scope="module")
def tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (_TURNS, "[system]Be brief.[user]Why?[assistant]So.[user]?"),
        (_REFUSES + _TURNS, "[user]Be brief.\n\nWhy?[assistant]So.[user]?"),
        (_DROPS, "[user]Be brief.\n\nWhy?[assistant]So.[user]?"),
        (_THINKS, "[system]Be brief.[user]Why?[assistant]So.[user]?[assistant]<think></think>"),
    ],
    ids=["takes a system prompt", "refuses one", "drops one", "thinks"],
)
def test_templates_of_all_kinds(tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str, text: str) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", template)
    chat = ChatTemplate(tokenizer, "a model")
    assert chat.text(_MESSAGES) == text
    assert tokenizer.decode(chat.token_ids([_MESSAGES, _MESSAGES])[1]) == text


def test_a_base_model_is_refused(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(InputError, match="a model has no chat template"):
        ChatTemplate(tokenizer, "a model")
