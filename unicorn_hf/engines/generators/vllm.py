"""vLLM as a text generator: in the worker's process on a CPU, in a separate process on a GPU."""

import copy
import ctypes
import gc
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pydantic import ValidationError

from unicorn_hf.core.errors import EngineDiedError, InputError, RunError
from unicorn_hf.core.generation import Answer, FinishReason, Request
from unicorn_hf.core.thoughts import spoken
from unicorn_hf.engines.engine_process import clear_up, mark_this_worker
from unicorn_hf.engines.generators.chat_template import ChatTemplate
from unicorn_hf.engines.vllm import VllmEngine, is_cpu_build
from unicorn_hf.models.quiet import debugging, quiet

log = logging.getLogger(__name__)

_LEAST_ROOM = 32
"""Minimum number of tokens left for an answer, or `max_tokens` if that is less; otherwise the request is not sent."""
_TOKENISED_AT_ONCE = 64
"""Size of the batches in which requests are tokenised: the engine works on one while the next is prepared."""
_LOOK_EVERY_S = 1.0
_DEBUG = "Set UNICORN_HF_DEBUG=1 to see vLLM's full output."
_START_ADVICE = (
    "If it ran out of memory: check whether another program uses the GPU; lower engine.max_model_len,"
    " engine.max_num_seqs or engine.gpu_memory_utilization (engine.cpu_kvcache_gib and --workers without a GPU), raise"
    f" engine.tensor_parallel_size, or use a smaller model. {_DEBUG}"
)


class VllmGenerator:
    """Implements `TextGenerator` with a model that vLLM runs.

    The engine decodes in its own thread, while the callers' threads tokenise the next requests and parse finished
    answers. It works on the requests of all calls at once, those of the earlier call first.

    Raises:
        InputError: vLLM is not installed, or the model has no chat template.
        RunError: the engine does not start: settings, memory, device, network.
    """

    def __init__(self, engine: VllmEngine, model: str) -> None:
        self._inbox: _Inbox = SimpleQueue()
        self._submitting = threading.Lock()
        started: Future[tuple[Any, int]] = Future()
        # A daemon: a worker process that exits does not wait for open requests.
        self._thread = threading.Thread(
            target=_live, args=(engine, model, started, self._inbox), name="vllm", daemon=True
        )
        with quiet():
            self._thread.start()
            tokenizer, self._max_model_len = started.result()
        try:
            self._template = ChatTemplate(tokenizer, model)
        except InputError:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield each request's position and answer, as they finish.

        Raises:
            EngineDiedError: the engine died, for lack of memory or any other reason.
            RunError: the engine refuses a request.
        """
        answers: _Answers = SimpleQueue()
        num_missing = len(requests)
        try:
            with self._submitting:
                self._submit(requests, answers)
            while num_missing:
                position, answer = answers.get()
                if isinstance(answer, RunError):
                    # Other calls get the same error: raise a copy.
                    raise type(answer)(answer.message, answer.advice)
                num_missing -= 1
                yield position, answer
        finally:
            # After an error or an early end the engine must drop the requests that nobody waits for.
            if num_missing:
                self._inbox.put(answers)

    def close(self) -> None:
        """Stop the engine and free its memory."""
        if not self._thread.is_alive():
            return
        with quiet():
            self._inbox.put(None)
            self._thread.join()
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()
            gc.collect()
        with suppress(OSError, AttributeError):  # Not all C libraries can return freed memory to the system.
            ctypes.CDLL(None).malloc_trim(0)

    def _submit(self, requests: Sequence[Request], answers: "_Answers") -> None:
        for start in range(0, len(requests), _TOKENISED_AT_ONCE):
            some = requests[start : start + _TOKENISED_AT_ONCE]
            prompts = self._template.token_ids([request.messages for request in some])
            for position, (request, prompt) in enumerate(zip(some, prompts, strict=True), start):
                room = self._max_model_len - len(prompt)
                if room < min(_LEAST_ROOM, request.sampling.max_tokens):
                    answers.put((position, Answer("", "context", len(prompt), 0)))
                else:
                    self._inbox.put(_Asked(answers, position, prompt, _sampling_params(request, room)))


_Answers = SimpleQueue[tuple[int, Answer | RunError]]
"""Receives the answers of one call."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request on its way to the engine."""

    answers: _Answers
    position: int
    prompt: list[int]
    sampling_params: Any


_Inbox = SimpleQueue[_Asked | _Answers | None]
"""Requests, calls whose open requests are cancelled, and None to stop the engine."""


def _live(engine: VllmEngine, model: str, started: "Future[tuple[Any, int]]", inbox: _Inbox) -> None:
    """The engine's thread, from its start to its shutdown."""
    try:
        llm = _start(engine, model)
        # A copy: a tokenizer is not thread-safe, and the engine uses its own while it decodes.
        tokenizer = copy.deepcopy(llm.get_tokenizer())
    except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
        started.set_exception(error)
        return
    started.set_result((tokenizer, llm.model_config.max_model_len))
    try:
        with _woken_if_it_dies(llm.llm_engine.engine_core):
            _serve(llm.llm_engine, inbox)
    except Exception as error:  # noqa: BLE001 - of any type, which may not be picklable
        failure = _died(error)
        while (message := inbox.get()) is not None:
            if isinstance(message, _Asked):
                message.answers.put((message.position, failure))
    llm.llm_engine.engine_core.shutdown()


@contextmanager
def _woken_if_it_dies(core: Any) -> Iterator[None]:
    """Raise an error in the waiting thread when the engine's process dies.

    vLLM's client detects this (`resources.engine_dead`), but a thread that already waits at its queue never wakes up.
    """
    if not _has_own_process():
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            if core.resources.engine_dead:
                core.outputs_queue.put_nowait(RuntimeError("the engine's process ended"))
                return

    watching = threading.Thread(target=watch, name="vllm-watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def _has_own_process() -> bool:
    return os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "1"


def _serve(engine: Any, inbox: _Inbox) -> None:
    """Feed the engine and distribute its answers, until None arrives in the inbox."""
    waiting: dict[str, _Asked] = {}
    num_asked = 0
    try:
        while True:
            while not waiting or not inbox.empty():
                match inbox.get():
                    case _Asked() as asked:
                        num_asked += 1
                        if _add(engine, str(num_asked), asked):
                            waiting[str(num_asked)] = asked
                    case SimpleQueue() as answers:
                        names = [name for name, asked in waiting.items() if asked.answers is answers]
                        engine.abort_request(names)
                        for name in names:
                            del waiting[name]
                    case None:
                        return
            for output in engine.step():
                if output.finished and (ended := waiting.pop(output.request_id, None)):
                    ended.answers.put((ended.position, _answer(output)))
    except Exception as error:
        failure = _died(error)
        for asked in waiting.values():
            asked.answers.put((asked.position, failure))
        raise


def _add(engine: Any, name: str, asked: _Asked) -> bool:
    """Send the request to the engine; return whether it was accepted. If not, the caller gets the error."""
    try:
        engine.add_request(name, {"type": "token", "prompt_token_ids": asked.prompt}, asked.sampling_params)
    except Exception as error:  # noqa: BLE001 - of any type; vLLM validates requests, for example their schema, here
        asked.answers.put((asked.position, RunError(_said("vLLM refuses a request", error), _DEBUG)))
        return False
    return True


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
        # Some models mark their reasoning with special tokens: without them it would look like the answer.
        skip_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _answer(output: Any) -> Answer:
    completion = output.outputs[0]
    ending, said = completion.finish_reason, spoken(completion.text)
    reason: FinishReason = "thought" if said.is_thought_only else ending if ending in ("stop", "length") else "unknown"
    words = {
        "thought": f"{ending}, within the reasoning: {completion.text[-200:]}",
        "unknown": f"it ended with {ending}",
    }
    return Answer(
        text=words.get(reason, said.text),
        finish_reason=reason,
        num_prompt_tokens=len(output.prompt_token_ids),
        num_output_tokens=len(completion.token_ids),
    )


def _start(engine: VllmEngine, model: str) -> Any:
    is_cpu = is_cpu_build()
    if _has_own_process():
        mark_this_worker()
        clear_up()
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
        # Compiling takes minutes on few cores. Chunked prefill crashes requests with a seed.
        settings |= {"enforce_eager": True, "enable_chunked_prefill": False}
    else:
        settings["gpu_memory_utilization"] = engine.gpu_memory_utilization
    try:
        return LLM(**settings)
    except Exception as error:  # noqa: BLE001 - of any type, which may not be picklable
        raise RunError(_said(f"vLLM does not start with the model {model}", error), _START_ADVICE) from None


def _died(error: Exception) -> EngineDiedError:
    return EngineDiedError(_said("vLLM failed", error), _DEBUG)


def _said(what: str, error: Exception) -> str:
    """Describe an error of vLLM as text: its own exceptions cannot be sent from a worker to the client."""
    log.debug(what, exc_info=error)
    if isinstance(error, ValidationError):
        said = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
    else:
        said = f"{type(error).__name__}: {error}"
    return f"{what}: {' '.join(said.split())[:600]}"
