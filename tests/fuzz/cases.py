"""Cases by name: which file is mutated, by what, and which function reads it."""

import os
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

import psutil

from tests.fuzz import doors
from tests.fuzz.doors import ENCODED, FEWER, KEPT, SET, WRITTEN, Door
from tests.fuzz.mutators import mutated
from unicorn_hf.core.errors import UnicornError

TIMEOUT_S = 60
"""For a case that takes a fraction of a second."""
MAX_BYTES = 2 << 30
"""Memory that a case may take, of files of some kilobytes."""
_LONGEST = 20_000
"""Characters of a message."""


@dataclass(frozen=True)
class Kind:
    """Cases of one kind."""

    name: str
    base: tuple[str, ...]
    """What of the corpus a case has: folders."""
    files: tuple[str, ...]
    """Patterns; one of the files that fit is mutated."""
    doors: tuple[Door, ...]
    """They take turns; in what they read is one of the files."""

    def write(self, number: int, corpus: Path, folder: Path) -> Door:
        """Put the files of a case into an empty folder; what reads them."""
        rng = Random(f"{self.name}-{number}")
        for name in self.base:
            shutil.copytree(corpus / name, folder / name)
        path = rng.choice([path for pattern in self.files for path in sorted(folder.glob(pattern))])
        path.write_bytes(mutated(path.suffix, rng, path.read_bytes()))
        return self.doors[number % len(self.doors)]


_COMPARED: Door = doors.compared
_LOOKED: tuple[Door, ...] = (
    partial(doors.inspected, None),
    partial(doors.inspected, "jar"),
    doors.validated,
    _COMPARED,
)
_CHILDREN: tuple[Door, ...] = (KEPT, ENCODED, FEWER, WRITTEN)
_EXPORTED: tuple[Door, ...] = tuple(
    partial(doors.exported, form) for form in ("bunny", "llava", "sharegpt", "webdataset")
)
_LOADED: tuple[Door, ...] = tuple(
    partial(load, config) for load in (doors.by_number, doors.as_stream) for config in ("pretrain", "instruction")
)
_OVERLAP: Door = partial(doors.evaluation, "seeds.txt", None)


def _paper(name: str, *readers: Door, files: tuple[str, ...] | None = None, base: tuple[str, ...] = ()) -> Kind:
    return Kind(name, ("published", *base), files or (f"{SET}/{name}",), readers)


PAPERS = (
    _paper("recipe.yaml", *_CHILDREN, _COMPARED, doors.validated, doors.card, _COMPARED, KEPT, doors.reported),
    _paper("statistics.json", *_CHILDREN, *_LOOKED, doors.overlap, doors.card, doors.reported, base=("own",)),
    _paper("run.json", _COMPARED, doors.validated, _COMPARED, KEPT, doors.card, doors.reported),
    _paper("transfer.safetensors", doors.transfer, doors.validated, doors.transfer, KEPT),
    _paper("README.md", doors.validated, doors.validated, doors.validated, *_LOADED, WRITTEN),
    _paper("pretrain", *_CHILDREN, *_LOOKED, *_EXPORTED, *_LOOKED, *_LOADED, _OVERLAP, doors.card, doors.reported,
           files=(f"{SET}/pretrain/*",), base=("own",)),
    _paper("instruction", KEPT, *_LOOKED, *_EXPORTED, *_LOOKED, *_LOADED[1::2], _OVERLAP, doors.card, doors.reported,
           files=(f"{SET}/instruction/*",), base=("own",)),
    Kind("image_statistics.safetensors", ("own",), ("own/image_statistics.safetensors",), (doors.image_statistics,)),
)  # fmt: skip
"""Papers and rows of a set that somebody published."""


def _import(name: str, *others: str, column: str | None = None, encoder: str | None = "hashing:16") -> Kind:
    label = f"import-{name.replace('/', '-')}"
    path = f"others/{name}"
    return Kind(label, ("others",), (path,), (partial(doors.imported, (path, *others), encoder, column),))


def _seeds(suffix: str, column: str | None = None) -> Kind:
    name = f"seeds{suffix}"
    return Kind(
        name, ("own",), (f"own/{name}",), (partial(doors.seeds, name, column), partial(doors.seeds, name, None))
    )


def _folder(form: str, *files: str) -> Kind:
    """A folder that `export` wrote, or the original release, imported with the vectors that it brings and without."""
    readers = tuple(partial(doors.imported, (form,), encoder, None) for encoder in (None, "hashing:16"))
    return Kind(f"import-{Path(form).name}", (form,), tuple(f"{form}/{file}" for file in files), readers)


_VECTORS = "embeddings/00000.safetensors"
_RELEASE = ("Unicorn-1.2M.json.zip", "Unicorn-Instruction-471K.json.zip")
INPUTS = (
    _seeds(".txt"),
    _seeds(".csv", "caption"),
    _seeds(".tsv", "caption"),
    _seeds(".jsonl", "caption"),
    _seeds(".json", "caption"),
    _seeds(".parquet", "caption"),
    Kind("labels.txt", ("own",), ("own/labels.txt",), (doors.labels,)),
    Kind("prompt.yaml", ("own",), ("own/prompt.yaml",), (doors.prompt,)),
    Kind("own-recipe.yaml", ("own",), ("own/recipe.yaml",), (doors.own_recipe,)),
    _import("captions.txt"),
    _import("captions.csv"),
    _import("captions.tsv", column="caption"),
    _import("captions.jsonl"),
    _import("captions.json"),
    _import("captions.parquet"),
    _import("llava.json"),
    _import("chat.jsonl"),
    _import("chat.parquet"),
    _import("texts.json"),
    _import("pretrain.json", "others/llava.json"),
    _folder("exports/llava", "pretrain.json", "instruction.json", _VECTORS),
    _folder("exports/sharegpt", "pretrain.json", "instruction.json", _VECTORS),
    _folder("exports/webdataset", "pretrain/00000.tar", "instruction/00000.tar"),
    _folder("published/set", "*/*.parquet"),
    _folder("release", *_RELEASE),
    Kind("compare-release", ("release", "published"), tuple(f"release/{name}" for name in _RELEASE),
         (partial(doors.compared, one="release"), partial(doors.validated, place="release"))),
    Kind("built", ("published", "own"), (f"{SET}/*/*.parquet",),
         (*_EXPORTED, *_LOOKED, _OVERLAP)),
    Kind("evaluation", ("published", "own"), tuple(f"own/seeds.{suffix}" for suffix in ("csv", "jsonl", "parquet")),
         tuple(partial(doors.evaluation, f"seeds.{suffix}", "caption") for suffix in ("csv", "jsonl", "parquet"))),
)  # fmt: skip
"""Files that are given to the commands."""


def numbers(kinds: Sequence[Kind], total: int, kind: Kind) -> range:
    """The numbers of a kind's cases, where all kinds together have `total`."""
    share, more = divmod(total, len(kinds))
    return range(share + (kinds.index(kind) < more))


class FaultError(Exception):
    """What a case must not do."""


class _TooLong(BaseException):
    """Not to be caught by what takes too long."""


def run(kind: Kind, number: int, corpus: Path, folder: Path) -> None:
    """Run a case in an empty folder.

    Raises:
        FaultError: it ended in something else than success or one clear message, or left something behind.
    """
    read = kind.write(number, corpus, folder)
    before = contents(folder)
    try:
        with limited():
            read(folder)
    except UnicornError as error:
        check_message(str(error))
        check_left(folder, before, failed=True)
    except (Exception, _TooLong) as error:
        raise FaultError(where(error)) from error
    else:
        check_left(folder, before, failed=False)


def check_message(text: str) -> None:
    if not text.strip() or len(text) > _LONGEST or "Traceback" in text:
        raise FaultError(f"no clear message ({len(text):,} characters): {text[:200]!r}")


def where(error: BaseException) -> str:
    """The error, and the last places of ours that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "unicorn_hf" in frame.filename]
    return f"{type(error).__name__}: {str(error)[:200]} at {' > '.join(ours[-3:])}"


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def check_left(folder: Path, before: dict[str, str], *, failed: bool) -> None:
    """Nothing is written but what was asked for, and nothing of that by halves."""
    after = contents(folder)
    new = {name for name in after if name not in before or after[name] != before[name]}
    places = ("out.work", *(() if failed else ("out", "out.html", "out.png")))
    allowed = {name for name in new if name.split("/")[0] in places}
    if not failed:
        # `card` and `overlap` write into the set.
        allowed |= {name for name in new if name.startswith(f"{SET}/")}
    if bad := sorted(new - allowed) + sorted(set(before) - set(after)):
        raise FaultError(f"left behind or changed: {', '.join(bad[:5])}")


@contextmanager
def limited() -> Iterator[None]:
    """A hang becomes an error, and so does an allocation of what a file only says it has."""

    def too_long(*_: object) -> None:
        raise _TooLong(f"more than {TIMEOUT_S} s")

    previous = signal.signal(signal.SIGALRM, too_long)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MAX_BYTES, limits[1]))
    signal.alarm(TIMEOUT_S)
    here = Path.cwd()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        os.chdir(here)
