"""Which requests of a partition are being asked, kept on disk: whoever comes after a worker that died knows of it.

Requests that ended badly, with their worker or their engine, are asked again alone in the engine: first as many as
there were, then in parts, each of them in smaller ones if it ends badly too. So a request that takes its engine down
whatever is done is found, and what is merely too much at once gets smaller batches.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from unicorn_hf.core.errors import RunError

log = logging.getLogger(__name__)

MOST_BAD_ENDS = 3
"""A request that ended badly so often, alone in the engine, is fatal."""
MOST_FATAL = 3
"""So many fatal requests with none answered between: it is the engine that does not work."""
_NUM_PARTS = 8
"""A bad end costs the start of a worker or an engine: eighths find one request of 512 in a third of those of halves."""
WORKER_DIED = "its worker died, or hung and was ended"
_ADVICE = (
    "If it is memory: lower engine.max_num_seqs, engine.max_model_len or engine.gpu_memory_utilization, or take a"
    " smaller model. All answers that came are kept."
)


class Part(BaseModel):
    """Requests that are asked together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[str, ...]
    alone: bool = True
    """Whether nothing else is in the engine meanwhile."""
    bad_ends: int = 0
    """Of one request alone."""
    why: str = ""
    """It ended badly the last time."""

    def only(self, keys: Set[str]) -> "Part":
        """Those of the requests that are among `keys`."""
        return self.model_copy(update={"keys": tuple(key for key in self.keys if key in keys)})

    def after_bad_end(self, why: str) -> "list[Part]":
        """What to ask in its place."""
        if not self.alone:
            return [Part(keys=self.keys, why=why)]
        if len(self.keys) == 1:
            return [Part(keys=self.keys, bad_ends=self.bad_ends + 1, why=why)]
        return self.divided(why)

    def divided(self, why: str) -> "list[Part]":
        size = -(-len(self.keys) // _NUM_PARTS)
        return [Part(keys=self.keys[at : at + size], why=why) for at in range(0, len(self.keys), size)]


class _State(BaseModel):
    """What is in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = ""
    asking: Part | None = None
    todo: tuple[Part, ...] = ()
    """To be asked alone afterwards: they, or what they are parts of, ended badly."""
    divided: tuple[int, ...] = ()
    """Sizes of parts that ended badly, alone."""
    fatal: tuple[Part, ...] = ()
    num_in_a_row: int = 0
    """Fatal ones since the last part that was answered."""


class Attempts:
    """The parts in which a partition's missing requests are asked, in the order in which to ask them.

    Args:
        path: the file; it is there while requests are asked, and after a bad end until all of them have an answer.
        run: names the run of the build. What another run was asking when it ended did not end badly: that run may
            have been stopped; and what was fatal to it need not be in this one, with another engine or machine.
        missing: keys of the requests, in order.
    """

    def __init__(self, path: Path, run: str, missing: Sequence[str]) -> None:
        self._path = path
        state = _read(path)
        if state.run != run:
            earlier = (state.asking, *state.todo, *state.fatal)
            again = tuple(part.model_copy(update={"bad_ends": 0}) for part in earlier if part and part.alone)
            state = _State(run=run, todo=again)
        keys = frozenset(missing)
        interrupted = state.asking.only(keys) if state.asking else None
        self._run = run
        self._num_in_a_row = state.num_in_a_row
        self._divided = set(state.divided)
        self._todo = _some(state.todo, keys)
        self.num_interrupted = len(interrupted.keys) if interrupted else 0
        """Requests that were being asked in this run when their worker died."""
        if interrupted:
            self.ended_badly(interrupted, WORKER_DIED)
        self.fatal = _some(state.fatal, keys)
        """Requests that have no answer and get none, one a part."""
        known = {key for part in (*self._todo, *self.fatal) for key in part.keys}
        if rest := tuple(key for key in missing if key not in known):
            self._todo.insert(0, Part(keys=rest, alone=False))

    def __iter__(self) -> Iterator[Part]:
        """Each part once it is its turn; the caller tells what becomes of it.

        Raises:
            RunError: the engine does not work.
        """
        while self._todo:
            part = self._todo.pop(0)
            if part.bad_ends < MOST_BAD_ENDS:
                yield part
                continue
            self.fatal.append(part)
            self._num_in_a_row += 1
            if self._num_in_a_row >= MOST_FATAL:
                self.close()
                raise RunError(
                    f"the engine ended {MOST_BAD_ENDS} times for each of {MOST_FATAL} requests, asked alone one after"
                    f" the other; the last time: {part.why}",
                    _ADVICE,
                )

    def begin(self, part: Part) -> None:
        """The part is about to be asked."""
        state = _State(
            run=self._run,
            asking=part,
            todo=tuple(self._todo),
            divided=tuple(sorted(self._divided)),
            fatal=tuple(self.fatal),
            num_in_a_row=self._num_in_a_row,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Not synced: it is of use to those who outlive a process, not to those who come after the machine.
        self._path.write_text(state.model_dump_json(), encoding="utf-8")

    def answered(self) -> None:
        """All of the part was."""
        self._num_in_a_row = 0

    def ended_badly(self, part: Part, why: str) -> None:
        """Those of a part that have no answer yet are asked in smaller parts, or not again."""
        size = len(part.keys)
        if not size:
            return
        if part.alone and size > 1:
            if size in self._divided:
                # The second of its size: it is not one request, but so many at once.
                large = [other.divided(why) if len(other.keys) >= size else [other] for other in self._todo]
                self._todo = [other for parts in large for other in parts]
            self._divided.add(size)
        self._todo[:0] = part.after_bad_end(why)

    def close(self) -> None:
        """All have an answer, or are fatal."""
        self._path.unlink(missing_ok=True)


def _some(parts: Iterable[Part], keys: Set[str]) -> list[Part]:
    return [some for part in parts if (some := part.only(keys)).keys]


def _read(path: Path) -> _State:
    try:
        return _State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _State()
    except ValidationError:
        # Its worker died while it wrote it, before it asked anything.
        log.warning("%s is of another version or half written: nothing is known of earlier attempts", path)
        return _State()
