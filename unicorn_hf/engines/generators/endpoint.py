"""Any server with OpenAI's chat completions (vLLM, TGI, llama.cpp, Ollama, a hosted one) as a text generator.

How requests get there is `servers` beside it, what replies mean `replies`. Why neither huggingface_hub's client nor its
sessions are used: docs/decisions/0006-engines.md and 0031-http-client.md.
"""

import asyncio
import atexit
import itertools
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any, TypeVar

from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.http import proxy_problem
from unicorn_hf.core.recipe import Sampling
from unicorn_hf.engines.endpoint import EndpointEngine, api_key
from unicorn_hf.engines.generators.chat_template import without_system
from unicorn_hf.engines.generators.replies import (
    NOT_THERE,
    FinalError,
    NoReplyError,
    PassingError,
    Reply,
    read_models,
    read_reply,
)
from unicorn_hf.engines.generators.servers import Server, backoff

_LEAST_FAILURES = 3
_MOST_REFUSALS = 20
"""So many requests may get no text before the first that does; then it is asked whether any would."""
_CHECK_RETRIES, _CHECK_AGAIN_S = 3, 0.2
_PLAIN_SUBJECT = "a red cup on a wooden table"
"""What no content filter objects to, and what is short."""
_KEPT = "All answers that came are kept: start again when it is mended."
_SCHEMA_KEYS = {"openai": "json_schema", "tgi": "value"}

T = TypeVar("T")
_Form = tuple[str | None, Sampling, tuple[str, ...]]
"""What all requests have that a server takes or does not: schema, sampling, roles of the messages."""


@dataclass
class _Call:
    """What one caller of `generate` asked for."""

    number: int
    requests: Sequence[Request]
    answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    settled: "asyncio.Future[None]"
    """Done when each request has a reply, or with the error that ends all."""
    num_open: int
    held: defaultdict[_Form, list[tuple[int, Request, Reply]]] = field(default_factory=lambda: defaultdict(list))
    """Replies that may mean that the server takes no request of their form."""
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    is_over: bool = False

    def tell(self, position: int, reply: Reply) -> None:
        self.answers.put((position, reply.answer))

    def tell_held(self, form: _Form) -> None:
        for position, _, reply in self.held.pop(form, ()):
            self.tell(position, reply)

    def settle(self) -> None:
        self.num_open -= 1
        if not self.num_open and not self.settled.done():
            self.settled.set_result(None)

    def fail(self, error: BaseException) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)


class EndpointGenerator:
    """Implements `TextGenerator` with a server, or with several that serve the same model.

    All calls share one event loop, in a thread of its own, and one bound on the requests in flight, those of the
    earlier call first. A request that fails in passing is sent again after a growing, random time, or when the server
    says; it is not in flight meanwhile. When all others wait too: `servers.Server`. What still fails is a failed
    answer, unless as many requests one after another fail as are in flight at once: then it is the server that fails.
    Of several servers, the one with the fewest requests in flight gets the next, unless it is left alone.

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

    def __init__(self, engine: EndpointEngine) -> None:
        if problem := proxy_problem():
            raise problem
        self._engine = engine = engine.with_address()
        self._key = api_key()
        self._most_failures = max(_LEAST_FAILURES, engine.concurrency)
        self._num_failures = 0
        self._num_refusals: Counter[_Form] = Counter()
        self._taken: set[_Form] = set()
        self._models: tuple[str, ...] = ()
        self._servers: list[Server] = []
        self._asking_whether = asyncio.Lock()
        self._num_free = engine.concurrency
        self._waiting: list[tuple[int, int, int, _Call]] = []
        """A heap: number of the call, position, attempts before."""
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()
        # A worker may end without closing its engine, and aiohttp complains of connections that are left open.
        atexit.register(self.close)
        try:
            self._wait_for(self._open())
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
        atexit.unregister(self.close)
        self._wait_for(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        """See that a server is there: an address or a key that is wrong shows at once."""
        engine = self._engine
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._servers = [
            Server(url.rstrip("/"), headers, engine.concurrency, engine.timeout_s) for url in engine.base_urls
        ]
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
            # One that answers is enough. What the others do shows when they are asked.
            await _cancelled(checks)

    async def _check(self, server: Server) -> tuple[str, ...]:
        """Ask for a server's models, which almost all offer.

        Raises:
            NoReplyError: it does not answer, or refuses the key.
        """
        attempt = 0
        while True:
            try:
                status, _, body = await server.send("GET", "/models")
                return read_models(status, self._without_key(body))
            except NoReplyError as failure:
                failure.address = server.address
                if attempt == _CHECK_RETRIES or not isinstance(failure, PassingError):
                    raise
            await asyncio.sleep(_CHECK_AGAIN_S * 2**attempt)
            attempt += 1

    async def _close(self) -> None:
        for server in self._servers:
            await server.close()

    async def _answer_all(
        self, requests: Sequence[Request], answers: "SimpleQueue[tuple[int, Answer] | BaseException]"
    ) -> None:
        call = _Call(next(self._numbers), requests, answers, self._loop.create_future(), len(requests))
        try:
            for position in range(len(requests)):
                heappush(self._waiting, (call.number, position, 0, call))
            self._start()
            await call.settled
            for form, waiting in list(call.held.items()):
                await self._be_sure(*waiting[-1][1:])
                call.tell_held(form)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, who waits for answers is to have it.
            answers.put(error)
        finally:
            call.is_over = True
            for task in call.tasks:
                task.cancel()

    def _start(self) -> None:
        """Send as many of the waiting requests as may be in flight besides, those of the earlier call first."""
        while self._num_free and self._waiting:
            _, position, attempt, call = heappop(self._waiting)
            if not call.is_over:
                self._num_free -= 1
                task = self._loop.create_task(self._answer(call, position, attempt))
                call.tasks.add(task)
                task.add_done_callback(call.tasks.discard)
                # Not at the end of the task itself: one that is cancelled before it begins has no end.
                task.add_done_callback(self._free)

    def _free(self, _: object) -> None:
        self._num_free += 1
        self._start()

    def _again(self, call: _Call, position: int, attempt: int) -> None:
        heappush(self._waiting, (call.number, position, attempt, call))
        self._start()

    async def _answer(self, call: _Call, position: int, attempt: int) -> None:
        """Ask once: the answer is told or held back, or the request waits for its next attempt."""
        request = call.requests[position]
        try:
            try:
                reply = await self._reply(request, attempt)
            except PassingError as failure:
                wait_s = (failure.wait_s or 0.0) + backoff(attempt)
                self._loop.call_later(wait_s, self._again, call, position, attempt + 1)
                return
            await self._settle(call, position, reply)
            call.settle()
        except Exception as error:  # noqa: BLE001
            # Whatever it is, who waits for answers is to have it.
            call.fail(error)

    async def _settle(self, call: _Call, position: int, reply: Reply) -> None:
        """Hand a reply out, or hold it back until it is known whether the server takes requests of its form.

        Raises:
            RunError: it does not.
        """
        if reply.answer.finish_reason == "failed":
            call.tell(position, reply)
            return
        request = call.requests[position]
        form = _form(request)
        call.held[form].append((position, request, reply))
        if not (reply.is_text or form in self._taken):
            self._num_refusals[form] += 1
            if self._num_refusals[form] < _MOST_REFUSALS:
                return
            await self._be_sure(request, reply)
        call.tell_held(form)

    async def _reply(self, request: Request, attempt: int) -> Reply:
        """
        Raises:
            PassingError: there was none, and the request may be sent again.
            RunError: the server fails.
        """
        try:
            reply = await self._ask(request)
        except FinalError as error:
            raise self._error(error, error.advice) from None
        except NoReplyError as failure:
            if isinstance(failure, PassingError) and attempt < self._engine.retries:
                raise
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
        return replace(reply, answer=replace(reply.answer, num_retries=attempt)) if attempt else reply

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

    async def _is_of_request(self, failure: NoReplyError, request: Request) -> bool:
        """Whether the requests that fail are at fault, and not the server: it answers a plain one meanwhile."""
        if not (isinstance(failure, PassingError) and failure.is_of_request):
            return False
        self._taken.discard(_form(request))
        if not await self._answers(request):
            return False
        self._num_failures = 0
        return True

    async def _ask(self, request: Request) -> Reply:
        while (pause_s := (server := self._least_loaded()).paused_until - self._loop.time()) > 0:
            await asyncio.sleep(pause_s)
        try:
            status, headers, content = await server.send("POST", "/chat/completions", self._body(request))
            reply = read_reply(status, headers, self._without_key(content), request, self._engine, self._models)
        except NoReplyError as failure:
            failure.address = server.address
            if isinstance(failure, PassingError):
                server.failed(failure)
            raise
        server.answered()
        return reply

    def _least_loaded(self) -> Server:
        """The server for the next request: one that failed often gets a single one, to see whether it does again."""
        if len(self._servers) == 1:
            return self._servers[0]
        now = self._loop.time()
        return min(
            self._servers,
            key=lambda server: (
                max(0.0, server.paused_until - now),
                server.is_suspect and server.num_in_flight > 0,
                server.num_in_flight,
            ),
        )

    def _without_key(self, body: bytes) -> bytes:
        """A server may repeat the key."""
        return body.replace(self._key.encode(), b"***") if self._key else body

    def _body(self, request: Request) -> bytes:
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
            schema = {"name": "answer", "schema": _parsed(request.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", _SCHEMA_KEYS[engine.json_schema]: schema}
        body |= engine.extra_body
        return json.dumps({name: value for name, value in body.items() if value is not None}).encode()

    def _error(self, what: object, advice: str) -> RunError:
        addresses = getattr(what, "address", "") or " and ".join(self._engine.base_urls)
        name = "servers" if " and " in addresses else "server"
        return RunError(f"the {name} at {addresses}: {what}", advice)


async def _cancelled(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_parsed = lru_cache(maxsize=64)(json.loads)
"""The schemas are few, and the same for thousands of requests."""


def _form(request: Request) -> _Form:
    return request.json_schema, request.sampling, tuple(message.role for message in request.messages)


def _plain(request: Request) -> Request:
    """A request of the same form about something that nobody could object to."""
    *before, last = request.messages
    found = request.subject and request.subject in last.content
    content = last.content.replace(request.subject, _PLAIN_SUBJECT) if found else _PLAIN_SUBJECT
    return replace(request, subject=_PLAIN_SUBJECT, messages=(*before, replace(last, content=content)))
