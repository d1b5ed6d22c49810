"""The requests of a partition that are in flight, recorded on disk, so that a retry after a worker's death knows them.

When a worker or an engine dies, its requests are retried with nothing else in the engine: first the whole batch, then
in parts, and each part that fails in smaller parts. This isolates a request that always crashes the engine, and finds a
batch size that fits when the batch was merely too large.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from pydantic import BaseModel, ValidationError

from unicorn_hf.core.errors import RunError
from unicorn_hf.runtime import storage

log = logging.getLogger(__name__)

MOST_BAD_ENDS = 3
"""A request that crashes the engine this often, alone in it, is fatal."""
MOST_FATAL = 3
"""After this many fatal requests in a row the engine itself is at fault."""
_NUM_PARTS = 8
"""Each crash costs the start of a worker or an engine: eighths find one of 512 requests in a third of the crashes
that halves need."""
WORKER_DIED = "the worker died, or hung and was killed"
_ADVICE = (
    "If it ran out of memory: lower engine.max_num_seqs, engine.max_model_len or engine.gpu_memory_utilization, or use"
    " a smaller model. All answers so far are kept."
)


class Part(BaseModel, frozen=True, extra="forbid"):
    """Requests that are sent together."""

    keys: tuple[str, ...]
    alone: bool = True
    """Whether nothing else may be in the engine meanwhile."""
    bad_ends: int = 0
    """Number of crashes of a single request."""
    why: str = ""
    """Why it failed the last time."""

    def only(self, keys: Set[str]) -> "Part":
        """This part without the requests that are not in `keys`."""
        return self.model_copy(update={"keys": tuple(key for key in self.keys if key in keys)})

    def divided(self, why: str) -> "list[Part]":
        """The smaller parts to send in its place."""
        size = -(-len(self.keys) // _NUM_PARTS)
        return [Part(keys=self.keys[at : at + size], why=why) for at in range(0, len(self.keys), size)]


class _State(BaseModel, extra="forbid"):
    """The content of the file."""

    run: str = ""
    asking: Part | None = None
    todo: list[Part] = []
    """To be sent alone afterwards: they, or the batch they were part of, failed."""
    divided: list[int] = []
    """Sizes of parts that failed although they were alone."""
    fatal: list[Part] = []
    num_in_a_row: int = 0
    """Fatal requests since the last part that was answered."""


class Attempts:
    """The parts in which a partition's missing requests are sent, in order.

    Args:
        path: the file. It exists while requests are in flight, and after a crash until all of them have an answer.
        run: name of this run of the build. Requests that another run had in flight do not count as failed: that run
            may have been stopped. Requests that were fatal there may succeed now, with another engine or machine.
        missing: keys of the requests, in order.
    """

    def __init__(self, path: Path, run: str, missing: Sequence[str]) -> None:
        self._path = path
        state = self._state = _read(path)
        if state.run != run:
            earlier = (state.asking, *state.todo, *state.fatal)
            again = [part.model_copy(update={"bad_ends": 0}) for part in earlier if part and part.alone]
            state = self._state = _State(run=run, todo=again)
        keys = frozenset(missing)
        interrupted = state.asking.only(keys) if state.asking else Part(keys=())
        state.todo, state.fatal = _some(state.todo, keys), _some(state.fatal, keys)
        self.num_interrupted = len(interrupted.keys)
        """Requests of this run that were in flight when their worker died."""
        self.ended_badly(interrupted, WORKER_DIED)
        known = {key for part in (*state.todo, *state.fatal) for key in part.keys}
        if rest := tuple(key for key in missing if key not in known):
            state.todo.insert(0, Part(keys=rest, alone=False))

    def __iter__(self) -> Iterator[Part]:
        """Yield each part when it is due; the caller reports how it ended.

        Raises:
            RunError: the engine does not work.
        """
        state = self._state
        while state.todo:
            part = state.todo.pop(0)
            if part.bad_ends < MOST_BAD_ENDS:
                yield part
                continue
            state.fatal.append(part)
            state.num_in_a_row += 1
            if state.num_in_a_row >= MOST_FATAL:
                self.close()
                raise RunError(
                    f"the engine died {MOST_BAD_ENDS} times on each of {MOST_FATAL} requests in a row, each sent alone;"
                    f" the last time: {part.why}",
                    _ADVICE,
                )

    @property
    def fatal(self) -> Sequence[Part]:
        """Requests that have no answer and get none, one per part."""
        return self._state.fatal

    def begin(self, part: Part) -> None:
        """Record that the part is about to be sent."""
        self._state.asking = part
        # Not synced: it has to survive the process, not the machine.
        storage.put(self._path, self._state.model_dump_json().encode())

    def answered(self) -> None:
        """Record that all requests of the part have an answer."""
        self._state.num_in_a_row = 0

    def ended_badly(self, part: Part, why: str) -> None:
        """Schedule the unanswered requests of a part in smaller parts, or give them up."""
        state, size = self._state, len(part.keys)
        if not size:
            return
        if not part.alone or size == 1:
            again = [Part(keys=part.keys, bad_ends=part.bad_ends + part.alone, why=why)]
        else:
            again = part.divided(why)
            if size in state.divided:
                # The second of its size: the batch size is the cause, not one request.
                large = [other.divided(why) if len(other.keys) >= size else [other] for other in state.todo]
                state.todo = [other for parts in large for other in parts]
            state.divided.append(size)
        state.todo[:0] = again

    def close(self) -> None:
        """Delete the file: each request has an answer, or is fatal."""
        storage.remove([self._path])


def _some(parts: Iterable[Part], keys: Set[str]) -> list[Part]:
    return [some for part in parts if (some := part.only(keys)).keys]


def _read(path: Path) -> _State:
    try:
        return _State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _State()
    except ValidationError:
        # The worker died while it wrote the file, before it sent anything.
        log.warning("%s is incomplete or of another version: earlier attempts are unknown", path)
        return _State()
