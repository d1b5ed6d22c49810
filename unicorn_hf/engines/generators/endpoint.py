"""Any server with OpenAI's chat completions API (vLLM, TGI, llama.cpp, Ollama, a hosted one) as a text generator.

`servers` sends requests, `replies` interprets replies. docs/decisions/0006-engines.md and 0031-http-client.md explain
why this code does not use huggingface_hub's client or sessions.
"""

import asyncio
import atexit
import itertools
import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any, TypeVar

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines.endpoint import EndpointEngine
from unicorn_hf.engines.generators.bodies import chat_body
from unicorn_hf.engines.generators.completions import Reply
from unicorn_hf.engines.generators.failures import FinalError, NoReplyError, PassingError
from unicorn_hf.engines.generators.replies import MOST_REFUSALS, read_models, read_reply
from unicorn_hf.engines.generators.servers import Server, backoff
from unicorn_hf.engines.generators.wordings import NOT_THERE

_LEAST_FAILURES = 3
_CHECK_RETRIES, _CHECK_AGAIN_S = 3, 0.2
_PLAIN_SUBJECT = "a red cup on a wooden table"
"""Short, and harmless for every content filter."""
_KEPT = "Fix the server and run the command again: all answers so far are kept."

T = TypeVar("T")
_Form = tuple[str | None, Sampling, tuple[str, ...]]
"""The features of a request that a server may not support: schema, sampling, roles of the messages."""


@dataclass(frozen=True)
class _Refusal:
    """A reply that may mean that the server supports no request of its form."""

    position: int
    request: Request
    reply: Reply
    at: float
    """When it arrived, by the clock of the event loop."""


@dataclass
class _Call:
    """The state of one call of `generate`."""

    number: int
    requests: Sequence[Request]
    answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    held: defaultdict[_Form, list[_Refusal]] = field(default_factory=lambda: defaultdict(list))

    def tell_held(self, form: _Form, until: float = math.inf) -> None:
        """Pass on the refusals of a form that arrived until then."""
        held = self.held.pop(form, [])
        for refusal in held:
            if refusal.at <= until:
                self.answers.put((refusal.position, refusal.reply.answer))
        if later := [refusal for refusal in held if refusal.at > until]:
            self.held[form] = later


class _Slots:
    """As many slots as requests may be in flight. Among those that wait, the lowest rank gets the next one."""

    def __init__(self, number: int) -> None:
        self._num_free = number
        self._waiting: list[tuple[tuple[int, int], asyncio.Future[None]]] = []

    @asynccontextmanager
    async def one(self, call: int, position: int) -> AsyncIterator[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, ((call, position), turn))
        self._give()
        try:
            await turn
            yield
        finally:
            self._num_free += not turn.cancelled()
            # Not yet: an error cancels the requests of its call first.
            asyncio.get_running_loop().call_soon(self._give)

    def _give(self) -> None:
        while self._num_free and self._waiting:
            _, turn = heappop(self._waiting)
            if not turn.done():
                self._num_free -= 1
                turn.set_result(None)


class EndpointGenerator:
    """Implements `TextGenerator` with a server, or with several that serve the same model.

    All calls share one event loop, in a separate thread, and one limit on the requests in flight; requests of the
    earlier call go first. A request that fails temporarily is retried after a growing, random time, or when the server
    asks for it; meanwhile another one takes its slot. `servers.Server` explains when all requests pause. A request that
    keeps failing gets a failed answer, unless as many fail in a row as may be in flight: then the server is at fault.
    The next request goes to the unpaused server with the fewest requests in flight.

    When a request is refused, or its answer is not text, the request is at fault if the server answers others of the
    same form (schema, sampling and roles). So such answers are held back until a request of the form that was sent
    later gets text. After many in a row, and at the end of the call, that is a plain request. If it gets no text
    either, the server does not support the form, and the call ends with the server's message. At the end of the call an
    earlier text is evidence enough, except for a refusal without a known reason: a key can expire. A model that thinks
    too long does so at random, and a plain request would prove nothing.

    Raises:
        InputError: the key or a proxy in the environment is invalid.
        RunError: the server cannot be reached, or refuses the key.
    """

    def __init__(self, engine: EndpointEngine) -> None:
        self._engine = engine = engine.with_address()
        self._most_failures = max(_LEAST_FAILURES, engine.concurrency)
        self._num_failures = 0
        self._num_refusals: Counter[_Form] = Counter()
        self._answered: defaultdict[_Form, float] = defaultdict(lambda: -math.inf)
        """When the latest request that got text was sent, by the clock of the event loop."""
        self._models: tuple[str, ...] = ()
        self._servers: list[Server] = []
        self._asking_whether = asyncio.Lock()
        self._slots = _Slots(engine.concurrency)
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()
        # A worker may exit without closing its engine, and aiohttp warns about open connections.
        atexit.register(self.close)
        try:
            self._wait_for(self._open())
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield each request's position and answer, as they arrive.

        Raises:
            RunError: the server fails, or refuses requests for a reason that no retry changes.
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
        atexit.unregister(self.close)
        for server in self._servers:
            self._wait_for(server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        """Check that a server answers, to report a wrong address or key immediately."""
        engine = self._engine
        self._servers = [Server(url, engine.concurrency, engine.timeout_s) for url in engine.base_urls]
        checks = [self._loop.create_task(self._check(server)) for server in self._servers]
        try:
            for number, check in enumerate(asyncio.as_completed(checks), 1):
                try:
                    self._models = await check
                    return
                except NoReplyError as failure:
                    if number == len(checks) or not isinstance(failure, PassingError):
                        raise self._error(failure, failure.advice or NOT_THERE) from None
        finally:
            # One that answers is enough. The others are tested by the first requests.
            for started in checks:
                started.cancel()
            await asyncio.gather(*checks, return_exceptions=True)

    async def _check(self, server: Server) -> tuple[str, ...]:
        """Fetch a server's list of models, which almost all servers offer; raise NoReplyError if it does not answer."""
        attempt = 0
        while True:
            try:
                status, _, body = await server.send("GET", "/models")
                return read_models(status, body)
            except NoReplyError as failure:
                failure.address = server.address
                if attempt == _CHECK_RETRIES or not isinstance(failure, PassingError):
                    raise
            await asyncio.sleep(_CHECK_AGAIN_S * 2**attempt)
            attempt += 1

    async def _answer_all(
        self, requests: Sequence[Request], answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    ) -> None:
        call = _Call(next(self._numbers), requests, answers)
        try:
            async with asyncio.TaskGroup() as group:
                for position in range(len(requests)):
                    group.create_task(self._answer(call, position))
            for form, held in list(call.held.items()):
                is_known = all(refusal.reply.answer.finish_reason != "refused" for refusal in held)
                await self._be_sure(held[-1], since=0.0 if is_known else held[-1].at)
                call.tell_held(form)
        except* Exception as errors:  # noqa: BLE001 - raised again in the thread that waits for answers
            answers.put(errors.exceptions[0])

    async def _answer(self, call: _Call, position: int) -> None:
        """Send a request until it has a reply, and pass that on or hold it back."""
        for attempt in itertools.count():
            async with self._slots.one(call.number, position):
                try:
                    reply = await self._reply(call.requests[position], attempt)
                except PassingError as failure:
                    wait_s = _pause_s(failure, attempt)
                else:
                    await self._settle(call, position, reply)
                    return
            await asyncio.sleep(wait_s)

    async def _settle(self, call: _Call, position: int, reply: Reply) -> None:
        """Pass on a reply, or hold it back until it is known whether the server supports its form."""
        request = call.requests[position]
        form = _form(request)
        if reply.is_text:
            call.tell_held(form, self._answered[form])
            call.answers.put((position, reply.answer))
            return
        refusal = _Refusal(position, request, reply, self._loop.time())
        call.held[form].append(refusal)
        self._num_refusals[form] += 1
        if self._num_refusals[form] >= MOST_REFUSALS:
            await self._be_sure(refusal, since=refusal.at)
            call.tell_held(form, self._answered[form])

    async def _reply(self, request: Request, attempt: int) -> Reply:
        """The reply, or a failed answer; raise PassingError if the request may be retried."""
        try:
            reply = await self._ask(request)
        except NoReplyError as failure:
            if isinstance(failure, PassingError) and attempt < self._engine.retries:
                raise
            self._num_failures += 1
            number = self._num_failures
            if number >= self._most_failures and not await self._is_of_request(failure, request):
                raise self._error(
                    f"{number} requests in a row got no answer; the last: {failure}",
                    f"{failure.advice} {_KEPT}".strip(),
                ) from None
            return Reply(Answer(str(failure), "failed", 0, 0))
        if reply.is_text:
            self._num_failures = 0
        return replace(reply, answer=replace(reply.answer, num_retries=attempt)) if attempt else reply

    async def _be_sure(self, refusal: _Refusal, since: float) -> None:
        """Raise an error with the server's message if it answers no request of this form that is sent since then."""
        if not await self._answers(refusal.request, since, _CHECK_RETRIES):
            said = refusal.reply.answer.text or "an empty answer"
            raise self._error(f"no request gets an answer; the last: {said}", refusal.reply.advice)

    async def _answers(self, request: Request, since: float, retries: int = 0) -> bool:
        """Whether a request of the same form that was sent since then was answered, or else a plain one is."""
        async with self._asking_whether:
            for attempt in range(retries + 1):
                if self._answered[_form(request)] >= since:
                    return True
                try:
                    return (await self._ask(_plain(request))).is_text
                except PassingError as failure:
                    await asyncio.sleep(_pause_s(failure, attempt) if attempt < retries else 0)
                except NoReplyError:
                    break
            return False

    async def _is_of_request(self, failure: NoReplyError, request: Request) -> bool:
        """Whether the failing requests are at fault, and not the server, which still answers a plain one."""
        if failure.is_of_request and await self._answers(request, self._loop.time()):
            self._num_failures = 0
            return True
        return False

    async def _ask(self, request: Request) -> Reply:
        while (pause_s := (server := self._least_loaded()).paused_until - self._loop.time()) > 0:
            await asyncio.sleep(pause_s)
        sent_at = self._loop.time()
        try:
            body = chat_body(request, self._engine)
            status, headers, content = await server.send("POST", "/chat/completions", json.dumps(body).encode())
            reply = read_reply(status, headers, content, body, self._engine, self._models)
        except NoReplyError as failure:
            failure.address = server.address
            if isinstance(failure, FinalError):
                raise self._error(failure, failure.advice) from None
            if isinstance(failure, PassingError):
                server.failed(failure)
            raise
        server.answered()
        if reply.is_text:
            form = _form(request)
            self._num_refusals[form] = 0
            self._answered[form] = max(sent_at, self._answered[form])
        return reply

    def _least_loaded(self) -> Server:
        """The server for the next request; one that failed often gets a single request, as a test."""
        now = self._loop.time()
        return min(
            self._servers,
            key=lambda server: (
                max(0.0, server.paused_until - now),
                server.is_suspect and server.num_in_flight > 0,
                server.num_in_flight,
            ),
        )

    def _error(self, what: object, advice: str) -> RunError:
        addresses = getattr(what, "address", "") or " and ".join(self._engine.base_urls)
        name = "servers" if " and " in addresses else "server"
        return RunError(f"the {name} at {addresses}: {what}", advice)


def _pause_s(failure: PassingError, attempt: int) -> float:
    """Seconds before a request is retried."""
    return (failure.wait_s or 0.0) + backoff(attempt, is_limited=failure.pauses_all and failure.wait_s is None)


def _form(request: Request) -> _Form:
    return request.json_schema, request.sampling, tuple(message.role for message in request.messages)


def _plain(request: Request) -> Request:
    """A request of the same form with a harmless subject."""
    *before, last = request.messages
    found = request.subject and request.subject in last.content
    content = last.content.replace(request.subject, _PLAIN_SUBJECT) if found else _PLAIN_SUBJECT
    return replace(request, subject=_PLAIN_SUBJECT, messages=(*before, replace(last, content=content)))
