"""Any server with OpenAI's chat completions (vLLM, TGI, llama.cpp, Ollama, a hosted one) as a text generator.

Sessions are huggingface_hub's own, so that its settings for proxies and certificates hold here too. Its
`AsyncInferenceClient` is not used: see docs/decisions/0006-engines.md.
"""

import asyncio
import ipaddress
import itertools
import json
import math
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.http import proxy_problem
from unicorn_hf.core.recipe import EndpointEngine
from unicorn_hf.engines.chat_template import without_system
from unicorn_hf.engines.replies import (
    KEY_VARIABLE,
    NOT_THERE,
    FinalError,
    NoReplyError,
    PassingError,
    Reply,
    connection_advice,
    read_models,
    read_reply,
    shown,
)

API_KEY = KEY_VARIABLE
BASE_URL = "UNICORN_HF_BASE_URL"
_SESSION_CONNECTIONS = 100
"""What one session opens at most."""
_LEAST_FAILURES = 3
_MOST_REFUSALS = 20
"""So many requests may get no text before the first that does; then it is asked whether any would."""
_CHECK_RETRIES = 3
_BACKOFF = wait_random_exponential(multiplier=0.5, max=60)
_PLAIN_SUBJECT = "a red cup on a wooden table"
"""What no content filter objects to, and what is short."""
_KEPT = "All answers that came are kept: start again when it is mended."
_SCHEMA_KEYS = {"openai": "json_schema", "tgi": "value"}

T = TypeVar("T")
_Form = tuple[str | None, str, tuple[str, ...]]
"""What all requests have that a server takes or does not: schema, sampling, roles of the messages."""


def api_key() -> str | None:
    """The key for the server, from the environment and from nowhere else.

    Raises:
        InputError: it cannot be a key.
    """
    key = os.environ.get(API_KEY, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise InputError(f"{API_KEY} holds characters that no key has", "It is one word of plain ASCII.")
    return key or None


def with_address(engine: EndpointEngine) -> EndpointEngine:
    """The engine with the address of its server: the recipe's, or else that of the environment.

    Raises:
        InputError: neither names one.
    """
    if engine.base_url:
        return engine
    base_url = os.environ.get(BASE_URL, "").strip()
    if not base_url:
        raise InputError(
            "the recipe names no server for its model", f"Name it: --base-url http://HOST:PORT/v1, or set {BASE_URL}."
        )
    try:
        return EndpointEngine(**engine.model_dump(exclude={"base_url"}), base_url=base_url)
    except ValidationError as error:
        # Without the value, which may hold a secret.
        raise InputError(f"{BASE_URL}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def unencrypted_key(engine: EndpointEngine) -> str:
    """A warning, where the key would go to another machine in clear text; else empty."""
    parts = urlsplit(engine.base_url or "")
    host = parts.hostname or ""
    if parts.scheme == "https" or not api_key() or host == "localhost" or _is_loopback(host):
        return ""
    return f"warning: {API_KEY} goes to {host} unencrypted, and whoever is on the way can read it: use https://"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EndpointGenerator:
    """Implements `TextGenerator` with a server.

    All calls share one event loop, in a thread of its own, and one bound on the requests in flight, those of the
    earlier call first. A request that fails in passing is sent again after a growing, random time, or when the server
    says; meanwhile all others wait too if the server said so. What still fails is a failed answer, unless as many
    requests one after another fail as are in flight at once: then it is the server that fails.

    A request that is refused, or whose answer is no text, is that request's matter once the server has answered another
    one of its form (same schema, sampling and roles). Until then such answers are held back; where there is no other, a
    plain request of the form is asked. If that one gets no text either, it is the form that the server does not take,
    and all ends with its words.

    Args:
        engine: the recipe's settings.

    Raises:
        InputError: the key in the environment cannot be one, or a proxy there is none.
        RunError: the server cannot be reached, or refuses the key.
    """

    deterministic = False

    def __init__(self, engine: EndpointEngine) -> None:
        if problem := proxy_problem():
            raise problem
        self._engine = engine = with_address(engine)
        self._address = (engine.base_url or "").rstrip("/")
        self._key = api_key()
        self._headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._most_failures = max(_LEAST_FAILURES, engine.concurrency)
        self._num_failures = 0
        self._num_refusals: Counter[_Form] = Counter()
        self._taken: set[_Form] = set()
        self._models: tuple[str, ...] = ()
        self._asking_whether = asyncio.Lock()
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
            reply: tuple[int, Mapping[str, str], bytes]
            reply = await self._retrying(_CHECK_RETRIES)(self._send, "GET", "/models")
            status, _, body = reply
            self._models = read_models(status, self._without_key(body))
        except NoReplyError as failure:
            raise self._error(failure, failure.advice or NOT_THERE) from None

    async def _answer_all(
        self, requests: Sequence[Request], answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    ) -> None:
        held: defaultdict[_Form, list[tuple[int, Request, Reply]]] = defaultdict(list)

        def tell(form: _Form) -> None:
            for position, _, reply in held.pop(form, ()):
                answers.put((position, reply.answer))

        async def answer(position: int, request: Request) -> None:
            form = _form(request)
            async with self._free:
                reply = await self._answer(request)
                if reply.answer.finish_reason == "failed":
                    answers.put((position, reply.answer))
                    return
                held[form].append((position, request, reply))
                if not (reply.is_text or form in self._taken):
                    self._num_refusals[form] += 1
                    if self._num_refusals[form] < _MOST_REFUSALS:
                        return
                    await self._be_sure(request, reply)
                tell(form)

        try:
            async with asyncio.TaskGroup() as group:
                for position, request in enumerate(requests):
                    group.create_task(answer(position, request))
            for form, waiting in list(held.items()):
                await self._be_sure(*waiting[-1][1:])
                tell(form)
        except BaseExceptionGroup as errors:
            answers.put(errors.exceptions[0])
        except RunError as error:
            answers.put(error)

    async def _be_sure(self, request: Request, reply: Reply) -> None:
        """Whether the server answers requests of this form at all.

        Raises:
            RunError: it does not, with its words and what to do.
        """
        if not await self._answers(request):
            raise self._error(f"no request gets an answer; the last: {reply.answer.text}", reply.advice)

    async def _answers(self, request: Request) -> bool:
        """Whether a plain request of the same form is answered, if none was before."""
        form = _form(request)
        async with self._asking_whether:
            if form not in self._taken:
                try:
                    reply = await self._ask(_plain(request))
                except FinalError as error:
                    raise self._error(error, error.advice) from None
                except NoReplyError:
                    return False
                if reply.is_text:
                    self._taken.add(form)
            return form in self._taken

    async def _answer(self, request: Request) -> Reply:
        retrying = self._retrying(self._engine.retries)
        try:
            reply: Reply = await retrying(self._ask, request)
        except FinalError as error:
            raise self._error(error, error.advice) from None
        except NoReplyError as failure:
            self._num_failures += 1
            number = self._num_failures
            if number >= self._most_failures and not await self._is_of_request(failure, request):
                raise self._error(
                    f"{number} requests one after another got no answer; the last: {failure}",
                    f"{failure.advice} {_KEPT}".strip(),
                ) from None
            return Reply(Answer(str(failure), "failed", 0, 0))
        if reply.is_text:
            self._num_failures = 0
            self._taken.add(_form(request))
        num_retries = retrying.statistics["attempt_number"] - 1
        return replace(reply, answer=replace(reply.answer, num_retries=num_retries))

    async def _is_of_request(self, failure: NoReplyError, request: Request) -> bool:
        """Whether the requests that fail are at fault, and not the server: it answers a plain one meanwhile."""
        if not (isinstance(failure, PassingError) and failure.is_of_request):
            return False
        self._taken.discard(_form(request))
        if not await self._answers(request):
            return False
        self._num_failures = 0
        return True

    def _retrying(self, retries: int) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_after_attempt(retries + 1),
            wait=_wait,
            reraise=True,
        )

    async def _ask(self, request: Request) -> Reply:
        await asyncio.sleep(max(0.0, self._paused_until - self._loop.time()))
        return self._read(*await self._send("POST", "/chat/completions", self._body(request)), request)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes, request: Request) -> Reply:
        try:
            return read_reply(status, headers, self._without_key(body), request, self._engine, self._models)
        except PassingError as failure:
            if failure.wait_s is not None:
                self._paused_until = max(self._paused_until, self._loop.time() + failure.wait_s)
            raise

    def _without_key(self, body: bytes) -> bytes:
        """A server may repeat the key."""
        return body.replace(self._key.encode(), b"***") if self._key else body

    async def _send(
        self, method: str, path: str, body: dict[str, object] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply, whatever it says.

        Raises:
            PassingError: none came.
        """
        from huggingface_hub.errors import HfHubHTTPError

        # Of the library below the installed huggingface_hub: httpx or httpx2.
        http_error: Any = HfHubHTTPError.__mro__[1]
        timeout_s = self._engine.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                response = await next(self._turns).request(
                    method,
                    self._address + path,
                    json=body,
                    headers=self._headers,
                    timeout=timeout_s,
                    follow_redirects=False,
                )
        except TimeoutError:
            raise PassingError(f"no answer in {timeout_s:g} s (engine.timeout_s)") from None
        except (http_error, OSError) as error:
            said = shown(f"{type(error).__name__}: {error}")
            raise PassingError(said, connection_advice(said)) from None
        return response.status_code, response.headers, response.content

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

    def _error(self, what: object, advice: str) -> RunError:
        return RunError(f"the server at {self._engine.base_url}: {what}", advice)


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asked for, and a growing, random time."""
    failure = state.outcome.exception() if state.outcome else None
    asked_s = failure.wait_s if isinstance(failure, PassingError) else None
    return (asked_s or 0.0) + _BACKOFF(state)


def _form(request: Request) -> _Form:
    return request.json_schema, repr(request.sampling), tuple(message.role for message in request.messages)


def _plain(request: Request) -> Request:
    """A request of the same form about something that nobody could object to."""
    *before, last = request.messages
    found = request.subject and request.subject in last.content
    content = last.content.replace(request.subject, _PLAIN_SUBJECT) if found else _PLAIN_SUBJECT
    return replace(request, subject=_PLAIN_SUBJECT, messages=(*before, replace(last, content=content)))


def _session() -> Any:
    from huggingface_hub import get_async_session

    session = get_async_session()
    # The library's hooks are for the Hub: they refuse all requests in offline mode, which is no matter of this server.
    session.event_hooks = {"request": [], "response": []}
    return session
