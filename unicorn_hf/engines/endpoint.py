"""Any server with OpenAI's chat completions (vLLM, TGI, llama.cpp, Ollama, a hosted one) as a text generator.

Sessions are huggingface_hub's own, so that its settings for proxies and certificates hold here too. Its
`AsyncInferenceClient` is not used: see docs/decisions/0006-engines.md.
"""

import asyncio
import itertools
import json
import math
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.http import wait_asked
from unicorn_hf.core.recipe import EndpointEngine
from unicorn_hf.engines.chat_template import without_system, without_thoughts

API_KEY = "UNICORN_HF_API_KEY"
_SESSION_CONNECTIONS = 100
"""What one session opens at most."""
_LEAST_FAILURES = 3
_CHECK_RETRIES = 3
_LONGEST_WAIT_S = 600.0
"""A server that asks for more is not waited for."""
_BACKOFF = wait_random_exponential(multiplier=0.5, max=60)
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_FATAL_STATUSES = {
    401: f"Set {API_KEY} to a key that it takes.",
    402: "See to the account.",
    403: f"Set {API_KEY} to a key that may do this.",
    404: "See that --base-url ends where the server's API begins, mostly /v1, and that it has the model that is asked.",
}
_SCHEMA_KEYS = {"openai": "json_schema", "tgi": "value"}
# How servers say that a prompt is too long: OpenAI by `code`, llama.cpp by `type`, vLLM by `param`.
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error", "input_tokens"})

T = TypeVar("T")


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    """The part of a chat completion that is read here."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


class _NoAnswerError(Exception):
    """A request that has no answer; the message is for people and holds no key."""


class _PassingError(_NoAnswerError):
    """The same request may well succeed later."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def api_key() -> str | None:
    """The key for the server, from the environment and from nowhere else.

    Raises:
        InputError: it cannot be a key.
    """
    key = os.environ.get(API_KEY, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise InputError(f"{API_KEY} holds characters that no key has", "It is one word of plain ASCII.")
    return key or None


class EndpointGenerator:
    """Implements `TextGenerator` with a server.

    All calls share one event loop, in a thread of its own, and one bound on the requests in flight, those of the
    earlier call first. A request that fails in passing is sent again after a growing, random time, or when the server
    says; meanwhile all others wait too if the server said so. What still fails is a failed answer, unless as many
    requests one after another fail as are in flight at once: then it is the server that fails.

    Args:
        engine: the recipe's settings.

    Raises:
        InputError: the key in the environment cannot be one.
        RunError: the server cannot be reached, or refuses the key.
    """

    deterministic = False

    def __init__(self, engine: EndpointEngine) -> None:
        self._engine = engine
        self._key = api_key()
        self._headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._most_failures = max(_LEAST_FAILURES, engine.concurrency)
        self._num_failures = 0
        self._paused_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()
        self._free = asyncio.Semaphore(engine.concurrency)
        self._sessions = [_session() for _ in range(math.ceil(engine.concurrency / _SESSION_CONNECTIONS))]
        self._turns = itertools.cycle(self._sessions)
        try:
            self._wait_for(self._check())
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Each request's position and answer, as they come.

        Raises:
            RunError: the server fails, or refuses what no further request would change.
        """
        answers: SimpleQueue[tuple[int, Answer] | BaseException] = SimpleQueue()
        call = asyncio.run_coroutine_threadsafe(self._answer_all(requests, answers), self._loop)
        try:
            for _ in requests:
                answer = answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            call.cancel()

    def close(self) -> None:
        """Close the connections."""
        if self._loop.is_closed():
            return
        self._wait_for(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _close(self) -> None:
        for session in self._sessions:
            await session.aclose()

    async def _check(self) -> None:
        """Ask for the server's models, which almost all offer: an address or a key that is wrong shows at once."""
        try:
            response: Any = await self._retrying(_CHECK_RETRIES)(self._send, "GET", "/models")
        except _NoAnswerError as failure:
            raise self._error(str(failure), "See that it runs and that --base-url is its address.") from None
        if response.status_code in (401, 403):
            raise self._refusal(response)

    async def _answer_all(
        self, requests: Sequence[Request], answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    ) -> None:
        async def answer(position: int, request: Request) -> None:
            async with self._free:
                answers.put((position, await self._answer(request)))

        try:
            async with asyncio.TaskGroup() as group:
                for position, request in enumerate(requests):
                    group.create_task(answer(position, request))
        except BaseExceptionGroup as errors:
            answers.put(errors.exceptions[0])

    async def _answer(self, request: Request) -> Answer:
        retrying = self._retrying(self._engine.retries)
        try:
            answer: Answer = await retrying(self._ask, request)
        except _NoAnswerError as failure:
            self._num_failures += 1
            if self._num_failures >= self._most_failures:
                raise self._error(
                    f"{self._num_failures} requests one after another got no answer; the last: {failure}",
                    "All answers that came are kept: start again when it is mended.",
                ) from None
            return Answer(str(failure), "failed", 0, 0)
        self._num_failures = 0
        num_retries = retrying.statistics["attempt_number"] - 1
        return Answer(
            answer.text,
            answer.finish_reason,
            answer.num_prompt_tokens,
            answer.num_output_tokens,
            num_retries=num_retries,
        )

    def _retrying(self, retries: int) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_attempt(retries + 1),
            wait=_wait,
            reraise=True,
        )

    async def _ask(self, request: Request) -> Answer:
        await asyncio.sleep(max(0.0, self._paused_until - self._loop.time()))
        response = await self._send("POST", "/chat/completions", self._body(request))
        if response.status_code != 200:
            if _Problem.of(response).is_too_long:
                return Answer("", "context", 0, 0)
            raise self._refusal(response)
        try:
            completion = _Completion.model_validate_json(response.content)
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"]))
            raise _PassingError(f"no chat completion: {place or 'the answer'}: {detail['msg'][:200]}") from None
        choice, tokens = completion.choices[0], completion.usage or _Tokens()
        return Answer(
            text=without_thoughts(choice.message.content or ""),
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            num_prompt_tokens=tokens.prompt_tokens,
            num_output_tokens=tokens.completion_tokens,
        )

    async def _send(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        """A response, of whatever status but those that pass.

        Raises:
            _PassingError: none came, or one that says that another may come later.
        """
        from huggingface_hub.errors import HfHubHTTPError

        # Of the library below the installed huggingface_hub: httpx or httpx2.
        http_error: Any = HfHubHTTPError.__mro__[1]
        timeout_s = self._engine.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                response = await next(self._turns).request(
                    method,
                    self._engine.base_url.rstrip("/") + path,
                    json=body,
                    headers=self._headers,
                    timeout=timeout_s,
                    follow_redirects=False,
                )
        except TimeoutError:
            raise _PassingError(f"no answer in {timeout_s:g} s") from None
        except (http_error, OSError) as error:
            raise _PassingError(self._shown(f"{type(error).__name__}: {error}")) from None
        status = response.status_code
        if status in _PASSING_STATUSES or status >= 500:
            wait_s = wait_asked(response.headers)
            if wait_s is not None and wait_s > _LONGEST_WAIT_S:
                raise _NoAnswerError(f"status {status}: it asks to be left alone for {wait_s:,.0f} s")
            if wait_s is not None:
                self._paused_until = max(self._paused_until, self._loop.time() + wait_s)
            raise _PassingError(self._said(response), wait_s)
        return response

    def _body(self, request: Request) -> dict[str, object]:
        engine, sampling = self._engine, request.sampling
        messages = request.messages if engine.system_role else without_system(request.messages)
        body: dict[str, object] = {
            "model": engine.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed,
        }
        # Where they change nothing they are not sent: TGI refuses a `top_p` of 1, and the penalty is not OpenAI's.
        if sampling.top_p != 1:
            body["top_p"] = sampling.top_p
        if sampling.repetition_penalty != 1:
            body["repetition_penalty"] = sampling.repetition_penalty
        if request.json_schema and engine.json_schema != "none":
            schema = {"name": "answer", "schema": json.loads(request.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", _SCHEMA_KEYS[engine.json_schema]: schema}
        return {name: value for name, value in (body | engine.extra_body).items() if value is not None}

    def _refusal(self, response: Any) -> Exception:
        """What a status means that no repetition changes: the end of all requests, or of this one."""
        status = response.status_code
        if status in _FATAL_STATUSES:
            return self._error(f"it refuses the request ({self._said(response)})", _FATAL_STATUSES[status])
        if 300 <= status < 400:
            return self._error(f"it sends elsewhere (status {status})", "Give the address where it is as --base-url.")
        return _NoAnswerError(self._said(response))

    def _error(self, what: str, advice: str) -> RunError:
        return RunError(f"the server at {self._engine.base_url}: {what}", advice)

    def _said(self, response: Any) -> str:
        message = _Problem.of(response).message
        return self._shown(f"status {response.status_code}: {message}" if message else f"status {response.status_code}")

    def _shown(self, text: str) -> str:
        """One short line without the key, which a server may repeat."""
        line = " ".join(text.split())
        return (line.replace(self._key, "***") if self._key else line)[:300]


class _Problem(BaseModel):
    """What servers write when they refuse, as far as it is alike."""

    message: str = ""
    is_too_long: bool = False

    @classmethod
    def of(cls, response: Any) -> "_Problem":
        try:
            body = json.loads(response.content)
        except ValueError:
            return cls(message=response.content[:300].decode(errors="replace"))
        error = body.get("error", body) if isinstance(body, dict) else body
        if not isinstance(error, dict):
            return cls(message=str(error))
        message = error.get("message") or error.get("detail") or ""
        marks = {str(error.get(name)) for name in ("code", "type", "param")}
        return cls(message=str(message), is_too_long=not marks.isdisjoint(_TOO_LONG))


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asked for, and a growing, random time."""
    failure = state.outcome.exception() if state.outcome else None
    asked_s = failure.wait_s if isinstance(failure, _PassingError) else None
    return (asked_s or 0.0) + _BACKOFF(state)


def _session() -> Any:
    from huggingface_hub import get_async_session

    session = get_async_session()
    # The library's hooks are for the Hub: they refuse all requests in offline mode, which is no matter of this server.
    session.event_hooks = {"request": [], "response": []}
    return session
