"""Asks a server in batches: writes files of requests, submits them, and takes their answers into the store.

A build with the engine `batch` has no other engine: before the workers get a wave of jobs, `BatchPool` collects the
requests that have no answer, and waits until batches have answered them. docs/decisions/0040-batches.md says why.
"""

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from unicorn_hf.core.engine import GeneratorSpec
from unicorn_hf.core.errors import RunError, WaitingError
from unicorn_hf.core.generation import Request, estimate_tokens
from unicorn_hf.engines.batch import BatchEngine
from unicorn_hf.engines.generators.batch_lines import Outcome, line_of, read_answers, requests_in
from unicorn_hf.engines.generators.batch_server import Batch, BatchServer, GoneError, QueueFullError, UncertainError
from unicorn_hf.engines.generators.failures import FinalError, NoReplyError
from unicorn_hf.pipeline.collecting import jobs_that_wait
from unicorn_hf.runtime.answers import store_at
from unicorn_hf.runtime.batches import BatchEntry, BatchFolder
from unicorn_hf.runtime.cluster import WorkerPool
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.steps import PartitionJob, RecordT

_PATIENCE_S, _SHORT_PATIENCE_S = 6 * 3600.0, 60.0
"""How long the server may fail: while the build waits for it anyway, and at the start."""
_MOST_CUT = 5
"""Downloads of an output file that lacks answers, before these are asked again."""
_MOST_REFUSED = 3
"""Refusals for lack of quota, with nothing of ours in flight, after which a batch is too large."""
_LISTED_S = 60.0
"""Time after which a created batch is surely in the server's list."""
_KEPT = "All answers so far are kept, and batches in flight are collected when you run the command again."


@dataclass
class _Draft:
    """A batch that is still open for requests."""

    lines: list[bytes] = field(default_factory=list)
    num_bytes: int = 0
    num_tokens: int = 0


class Batches:
    """The batches of a build.

    Args:
        store: the folder of the engine's answers.
        until: when waiting ends, by the monotonic clock; a time that has passed: submit, and do not wait.
    """

    def __init__(self, engine: BatchEngine, folder: BatchFolder, store: Path, progress: Progress, until: float) -> None:
        self._engine, self._folder, self._store, self._progress, self._until = engine, folder, store, progress, until
        self._entries = {entry.name: entry for entry in folder.entries()}
        self._in_flight: set[str] = set()
        self._tries: Counter[str] = Counter()
        """By key: batches that ended without an answer."""
        self._given_up: set[str] = set()
        self._earlier: dict[str, frozenset[str]] = {}
        """The requests of batches that an earlier run left open, by the batch's name."""
        self._asked: set[str] = set()
        """Requests of this run without a stored answer."""
        for entry in self._entries.values():
            self._tries.update(entry.unanswered.keys())
            if entry.is_open:
                self._earlier[entry.name] = frozenset(requests_in(folder.requests(entry)))
                self._in_flight |= self._earlier[entry.name]
        self._drafts: defaultdict[int, _Draft] = defaultdict(_Draft)
        self._full_until = 0.0

    @cached_property
    def _server(self) -> BatchServer:
        """Opened at its first use: a build whose answers are all stored needs no server."""
        return BatchServer(self._engine, _SHORT_PATIENCE_S)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_server" in self.__dict__:
            self._server.close()

    def ask(self, requests: Mapping[str, Request]) -> bool:
        """Put requests that are not in flight into the next batches; return whether any of them may get an answer."""
        self._asked |= requests.keys()
        for key, request in requests.items():
            if key in self._in_flight or key in self._given_up:
                continue
            attempt, line = self._tries[key], line_of(request, self._engine)
            num_tokens = estimate_tokens(*(message.content for message in request.messages))
            draft = self._drafts[attempt]
            if draft.lines and not self._fits(draft, len(line), num_tokens):
                self._write(attempt)
                draft = self._drafts[attempt]
            draft.lines.append(line)
            draft.num_bytes += len(line)
            draft.num_tokens += num_tokens
            self._in_flight.add(key)
        return not self._given_up.issuperset(requests)

    def collect(self) -> None:
        """Take in what has ended since the last run.

        Raises:
            RunError: see `advance`.
        """
        with self._told():
            self._look()

    def advance(self) -> None:
        """Submit what can be submitted, and wait until a batch has ended.

        Raises:
            WaitingError: the time to wait is over.
            RunError: the server fails, or refuses requests for a reason that no retry changes.
        """
        for attempt in list(self._drafts):
            self._write(attempt)
        with self._told():
            while True:
                self._submit()
                if self._look():
                    return
                self._server.patience_s = _PATIENCE_S
                if time.monotonic() + self._engine.poll_s > self._until:
                    raise self._waiting()
                time.sleep(self._engine.poll_s)

    def _fits(self, draft: _Draft, num_bytes: int, num_tokens: int) -> bool:
        engine = self._engine
        return (
            len(draft.lines) < engine.max_requests
            and draft.num_bytes + num_bytes <= engine.max_bytes
            and draft.num_tokens + num_tokens <= self._most_tokens
        )

    @property
    def _most_tokens(self) -> float:
        """The quota of queued tokens: the recipe's, or half of a batch that was too large."""
        split = [entry.num_tokens // 2 for entry in self._entries.values() if entry.state == "split"]
        return min([self._engine.max_queued_tokens or math.inf, *split])

    def _write(self, attempt: int) -> None:
        """Write the batch of a draft, which gets a name by its content: the same requests, the same name."""
        draft = self._drafts.pop(attempt)
        content = b"".join(draft.lines)
        name = hashlib.blake2b(content, digest_size=12, key=str(attempt).encode()).hexdigest()
        entry = BatchEntry(name=name, attempt=attempt, num_requests=len(draft.lines), num_tokens=draft.num_tokens)
        self._folder.add(entry, content)
        self._entries[name] = entry

    # -- Out ----------------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        for entry in self._open():
            if entry.state == "creating":
                self._find(entry)
            if entry.state in ("written", "uploaded") and self._is_wanted(entry) and self._has_place(entry):
                self._create(entry)

    def _open(self) -> list[BatchEntry]:
        return [entry for entry in self._entries.values() if entry.is_open]

    def _is_wanted(self, entry: BatchEntry) -> bool:
        """Whether this run needs an answer of it: an earlier one may have had another recipe."""
        return entry.name not in self._earlier or not self._earlier[entry.name].isdisjoint(self._asked)

    def _has_place(self, entry: BatchEntry) -> bool:
        queued = [other for other in self._entries.values() if other.is_queued]
        if len(queued) >= self._engine.max_batches or time.monotonic() < self._full_until:
            return False
        return not queued or sum(other.num_tokens for other in queued) + entry.num_tokens <= self._most_tokens

    def _create(self, entry: BatchEntry) -> None:
        if found := self._known.get(entry.name):
            self._runs(entry, found)
            return
        if entry.state == "written":
            file = self._server.upload(entry.name, self._folder.requests(entry))
            self._set(entry, state="uploaded", file=file)
        self._set(entry, state="creating", created=datetime.now(UTC))
        try:
            batch = self._server.create(entry.name, entry.file)
        except UncertainError as failure:
            self._progress.note(f"batch {entry.name}: no answer to its creation ({failure}); looking for it")
        except QueueFullError:
            self._without_place(entry)
        except NoReplyError:
            # Its file may have been deleted there.
            self._set(entry, state="written")
            raise
        else:
            self._runs(entry, batch)

    def _runs(self, entry: BatchEntry, batch: Batch) -> None:
        created = entry.created or datetime.now(UTC)
        self._set(entry, state="running", batch=batch.id, told=batch.status, created=created)
        self._progress.note(f"batch {entry.name}: {entry.num_requests:,} requests submitted ({batch.id})")

    def _set(self, entry: BatchEntry, **facts: object) -> None:
        """Change facts of an entry, and write it if they differ."""
        before = entry.model_copy()
        for name, value in facts.items():
            setattr(entry, name, value)
        if entry != before:
            self._folder.write(entry)

    def _find(self, entry: BatchEntry) -> None:
        """Look for a batch whose creation got no answer. If the server surely has none, it may be created again."""
        assert entry.created
        age_s = (datetime.now(UTC) - entry.created).total_seconds()
        try:
            known = self._listed()
        except FinalError as failure:
            raise RunError(
                f"batch {entry.name}: its creation got no answer, and the server has no list of batches ({failure})",
                f"Look for it in the provider's console. If it does not exist, delete {self._folder.path_of(entry)} and"
                " run the command again.",
            ) from None
        match = known.get(entry.name) or known.get(entry.file)
        if match:
            self._runs(entry, match)
        elif age_s > min(_LISTED_S, self._engine.poll_s):
            self._set(entry, state="uploaded")

    @cached_property
    def _known(self) -> dict[str, Batch]:
        """The server's batches at the start of this run: it may have ours even where the work folder is new."""
        try:
            return self._listed()
        except FinalError:  # A server without a list; a wrong key is told by the upload.
            return {}

    def _listed(self) -> dict[str, Batch]:
        """The server's batches by our name and by their file, the oldest of each; without those it never began."""
        found: dict[str, Batch] = {}
        for batch in self._server.batches():
            if not batch.is_refused:
                found |= {name: batch for name in (batch.name, batch.input_file) if name}
        return found

    def _without_place(self, entry: BatchEntry) -> None:
        """Keep a batch for later: the quota is used up. If nothing of ours uses it, the batch is too large."""
        others = any(other.is_queued for other in self._entries.values() if other.name != entry.name)
        num_refused = entry.num_refused + (not others)
        self._full_until = time.monotonic() + self._engine.poll_s
        if num_refused < _MOST_REFUSED:
            self._set(entry, state="uploaded", batch="", num_refused=num_refused)
            return
        if entry.num_requests == 1:
            raise RunError(
                "the provider's quota of queued tokens is too small for a single request",
                f"Raise the quota, or wait until your other batches have ended. {_KEPT}",
            )
        self._progress.note(
            f"batch {entry.name}: its {entry.num_requests:,} requests exceed the provider's quota; dividing them"
        )
        self._in_flight -= requests_in(self._folder.requests(entry)).keys()
        self._set(entry, state="split", batch="", num_refused=num_refused)

    # -- In -----------------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Look at the batches in flight; return whether jobs may go on, or new batches have to be made."""
        is_changed = False
        for entry in self._open():
            if entry.state == "running":
                batch = self._server.batch(entry.batch)
                counts = {"num_completed": batch.num_completed, "num_failed": batch.num_failed}
                self._set(entry, told=batch.status, **counts)
                if batch.has_ended:
                    is_changed |= self._ended(entry, batch)
        return is_changed

    def _ended(self, entry: BatchEntry, batch: Batch) -> bool:
        if batch.has_no_place:
            self._without_place(entry)
            return entry.state == "split"
        if batch.is_refused:
            self._set(entry, state="written", batch="")
            raise RunError(
                f"the server refuses batch {batch.id}: {batch.message or 'it does not say why'}",
                f"Change the recipe or the account's limits, and run the command again. {_KEPT}",
            )
        bodies = requests_in(self._folder.requests(entry))
        files = self._files(entry, batch)
        forms = {form for other in self._entries.values() for form in other.forms}
        found = read_answers(files, bodies, self._engine, forms)
        if found.at_fault:
            raise RunError(f"the server at {self._server.address}: {found.at_fault[0]}", found.at_fault[1])
        answers = {key: replace(answer, num_retries=entry.attempt) for key, answer in found.answers.items()}
        store_at(self._store).add(answers)
        if files and found.num_output < batch.num_completed and entry.num_cut < _MOST_CUT:
            self._set(entry, num_cut=entry.num_cut + 1)
            self._progress.note(
                f"batch {entry.name}: {found.num_output:,} of {batch.num_completed:,} answers arrived;"
                " fetching them again"
            )
            return False
        self._end(entry, batch, found, list(bodies))
        return True

    def _files(self, entry: BatchEntry, batch: Batch) -> dict[str, bytes]:
        """The files of an ended batch. One that an earlier build submitted may have lost them: it answered nothing."""
        try:
            return {name: self._server.content(file) for name, file in batch.files.items()}
        except GoneError as failure:
            if not entry.file:
                self._progress.note(f"batch {entry.name}: its files no longer exist; sending its requests again")
                return {}
            raise RunError(
                f"the server does not give the files of batch {batch.id}: {failure}",
                f"If the provider has deleted them, delete {self._folder.path_of(entry)} and run the command again: it"
                " sends the requests again, and you pay for them again.",
            ) from None

    def _end(self, entry: BatchEntry, batch: Batch, found: Outcome, keys: Sequence[str]) -> None:
        """Close an entry, after its answers are stored."""
        no_line = f"the batch has no line for it ({batch.status})"
        unanswered = {key: found.unanswered.get(key, no_line) for key in keys if key not in found.answers}
        facts = {"num_answered": len(found.answers), "forms": sorted(found.forms)}
        self._set(entry, state="ended", unanswered=unanswered, **facts)
        self._folder.forget_requests(entry)
        self._in_flight -= set(keys)
        self._tries.update(unanswered.keys())
        # All runs count together: a run that only collects goes on with the count of the one before.
        bound = self._engine.retries + 1
        given_up = {key for key in unanswered if self._tries[key] % bound == 0}
        self._given_up |= given_up
        again = f", {len(unanswered) - len(given_up):,} to send again" if unanswered else ""
        lost = f", {len(given_up):,} given up" if given_up else ""
        answered = f"{entry.num_answered:,} of {entry.num_requests:,} answered"
        self._progress.note(f"batch {entry.name}: {batch.status}, {answered}{again}{lost}")

    # -- Words --------------------------------------------------------------------------------------------------------

    def _waiting(self) -> WaitingError:
        entries = self._open()
        sent = [entry for entry in entries if entry.is_queued]
        held = sum(not entry.is_queued and self._is_wanted(entry) for entry in entries)
        more = f"; {held} more wait for a place in the queue" if held else ""
        num_requests = sum(entry.num_requests for entry in sent)
        return WaitingError(
            f"{len(sent)} batch{'es' if len(sent) != 1 else ''} with {num_requests:,} requests in flight{more}",
            "Run the same command later to collect the answers; `unicorn-hf status` shows the batches.",
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn a failure of the server into an error for the user."""
        try:
            yield
        except NoReplyError as failure:
            raise RunError(
                f"the server at {self._server.address}: {failure}", f"{failure.advice} {_KEPT}".strip()
            ) from None


@contextmanager
def batches_of(
    generator: GeneratorSpec, work_dir: Path, store: Path, progress: Progress, until: float
) -> Iterator[Batches | None]:
    """The engine's batches, if it asks in batches: first those that have ended are collected."""
    engine = generator.engine
    if not isinstance(engine, BatchEngine):
        yield None
        return
    with closing(Batches(engine, BatchFolder(work_dir, generator.identity), store, progress, until)) as batches:
        batches.collect()
        yield batches


@dataclass(frozen=True)
class BatchPool:
    """Implements `WorkerPool`: jobs run in another pool, once all their answers are stored."""

    pool: WorkerPool
    batches: Batches

    def run(
        self, jobs: Sequence[PartitionJob[RecordT]], on_record: Callable[[RecordT], None], *, on_gpu: bool = False
    ) -> list[RecordT]:
        waiting = list(jobs)
        while waiting := list(jobs_that_wait(waiting, self.batches.ask)):
            self.batches.advance()
        return self.pool.run(jobs, on_record, on_gpu=on_gpu)
