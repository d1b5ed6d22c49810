"""Import captions and conversations from files into shards of a work folder, in the stages' schemas.

Memory holds the captions of one partition. Ids and conversations are in a database on disk, so that files of any size
and order join by id.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from unicorn_hf.builders.validate.rows import problems_of_choice
from unicorn_hf.captions.step import CaptionSet, digest_of
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.fingerprint import file_sha256, fingerprint
from unicorn_hf.core.ids import caption_id, stable_int
from unicorn_hf.core.left_out import LeftOut, ReadingNotes, nothing_kept
from unicorn_hf.core.messages import IMAGE
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.recipe import UNKNOWN_TASK, Recipe
from unicorn_hf.core.schemas import CAPTIONS, INSTRUCTIONS, REJECTIONS
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.core.visible import control_character
from unicorn_hf.instructions.step import InstructionSet
from unicorn_hf.instructions.tasks import has_options
from unicorn_hf.interchange.reading import Holds, Item, held_by_name, holds, items
from unicorn_hf.interchange.vectors import ADVICE, Vector
from unicorn_hf.reading.data_file import EMBEDDING, TURNS_KEYS, DataFile
from unicorn_hf.representations.vectors import KIND, write_vectors
from unicorn_hf.runtime.files import read_table, rows_table, write_table
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import Picked
from unicorn_hf.runtime.steps import Record, Step
from unicorn_hf.runtime.storage import remove_tree, scratch
from unicorn_hf.seeds.normalise import normalise

STAGE = "imported"
CODE = 3
"""Raise it when the same files give different rows."""
_RECORD = "files"
_CACHE_KIB = 64 << 10
_JOIN = "A conversation needs a caption with the same id, in its own row or in another file"
_NAME_COLUMN = (
    f"Specify the column of the captions with --column NAME. Conversations are read from {', '.join(TURNS_KEYS)}"
)
_KEEP_PAIRS = "To keep them as conversations, name the file instruction.json and add a file with their captions, by id"
_REJECTIONS_AT_ONCE = 1000
_MAX_RAW = 10_000


class FileCount(BaseModel):
    """The rows and captions of one file."""

    name: str
    sha256: str
    num_rows: int = 0
    num_captions: int = 0


class ImportRecord(Record):
    files: tuple[FileCount, ...]
    captions: Counts
    instructions: Counts
    dim: int | None
    """Dimensions of the imported vectors; None if they were not requested."""
    left_out: tuple[LeftOut, ...] = ()
    """Everything skipped in the files, each with an example."""
    took: tuple[str, ...] = ()
    """How the files were read, for users."""


@dataclass(frozen=True)
class Taken:
    """Rows of the imported shards."""

    step: Step
    record: ImportRecord
    captions: CaptionSet
    instructions: InstructionSet

    def vectors(self, partition: str) -> Path | None:
        """The imported vectors of a partition's captions, one per row."""
        return self.step.shard(_RECORD, f"{partition}.{KIND}") if self.record.dim else None


def take(recipe: Recipe, files: Sequence[DataFile], *, with_vectors: bool, work_dir: Path, progress: Progress) -> Taken:
    """Import files, or reuse the result of an earlier run with the same content.

    Args:
        recipe: as many captions as it asks for are taken, and of their conversations the first ones.
        files: those of captions are read before those of conversations, each in the given order.
        with_vectors: whether each caption must have an embedding.
        work_dir: the folder for the shards.
        progress: reports files.

    Raises:
        InputError: a file cannot be read, two rows have one id, or no rows remain. The message names the position.
        RunError: the shards cannot be written; none of them remain.
    """
    files = [_hashed(file) for file in files]
    step = Step.of(work_dir, STAGE, recipe.partition_rows, _domain(recipe), with_vectors, CODE)
    inputs = fingerprint([[file.name, file.column, file.sha256] for file in files])
    record = step.find(_RECORD, inputs, ImportRecord)
    if record is None:
        remove_tree(step.folder)
        try:
            record = _Import(recipe, files, inputs, step, with_vectors, progress).run()
        except BaseException as error:
            remove_tree(step.folder)
            if isinstance(error, OSError | sqlite3.OperationalError):
                advice = "Free space, or choose another --work-dir."
                raise RunError(f"cannot write {step.folder}: {error}", advice) from error
            raise
    if not record.captions.num_kept:
        raise nothing_kept(f"no captions in {', '.join(file.name for file in files)}", record.left_out)
    return _taken(recipe, step, record)


def _hashed(file: DataFile) -> DataFile:
    """The file with the hash of its content."""
    found = file_sha256(file.path)
    if file.sha256 not in (None, found):
        raise InputError(
            f"{file.path} is not the recipe's file: its sha256 is {found}, not {file.sha256}",
            "Get the recipe's file, or remove sha256 from the recipe to import this one.",
        )
    return replace(file, sha256=found)


def _domain(recipe: Recipe) -> str:
    default: str = SeedSource.model_fields["domain"].default
    return recipe.imported.domain if recipe.imported else default


def _taken(recipe: Recipe, step: Step, record: ImportRecord) -> Taken:
    captions, instructions = CaptionSet(), InstructionSet()
    num_captions = min(recipe.captions.num, record.captions.num_kept)
    num_instructions = recipe.instructions.num
    for start in range(0, num_captions, recipe.partition_rows):
        partition = f"{start // recipe.partition_rows:05d}"
        here = min(recipe.partition_rows, num_captions - start)
        path = step.shard(_RECORD, f"{partition}.captions.parquet")
        captions.picked.append(Picked(partition, path, record.inputs, tuple(range(here))))
        path = step.shard(_RECORD, f"{partition}.instructions.parquet")
        rows = read_table(path, INSTRUCTIONS, ["row"]).column("row").to_numpy()
        chosen = np.flatnonzero(rows < here)[:num_instructions]
        num_instructions -= len(chosen)
        instructions.picked[partition] = [Picked(partition, path, record.inputs, tuple(chosen.tolist()))]
    captions.counts = _cut(record.captions, captions.num)
    instructions.counts = _cut(record.instructions, instructions.num)
    return Taken(step, record, captions, instructions)


def _cut(counts: Counts, num: int) -> Counts:
    """The counts of an import that uses `num` rows; the others do not count as candidates."""
    return counts.model_copy(update={"num_kept": num, "num_candidates": counts.num_candidates - counts.num_kept + num})


@dataclass
class _Import:
    recipe: Recipe
    files: Sequence[DataFile]
    inputs: str
    step: Step
    with_vectors: bool
    progress: Progress
    _captions: list[dict[str, Any]] = field(default_factory=list)
    _vectors: list[Vector] = field(default_factory=list)
    _rejected: list[dict[str, Any]] = field(default_factory=list)
    _kinds: list[str] = field(default_factory=list)
    _counts: dict[str, Counter[str]] = field(default_factory=lambda: {"captions": Counter(), "instructions": Counter()})
    _notes: ReadingNotes = field(default_factory=ReadingNotes)
    _num_rejection_shards: int = 0
    _dim: int | None = None

    def run(self) -> ImportRecord:
        what = [holds(file) for file in self.files]
        counts: dict[int, FileCount] = {}
        self.progress.start("import", len(self.files), unit="files")
        with scratch(self.step.folder, "spool") as folder, closing(_Spool(folder / "spool.sqlite")) as self._spool:
            for at in sorted(range(len(what)), key=lambda at: what[at] != "captions"):
                counts[at] = self._read(self.files[at], what[at])
                self.progress.known(len(counts), 0)
            self._write_captions()
            self._write_conversations()
            self._write_rejections()
        self.progress.finish()
        captions, instructions = (_counts(counted) for counted in self._counts.values())
        return self.step.finish(
            _RECORD,
            ImportRecord(
                inputs=self.inputs,
                num_bytes=self.step.sizes(_RECORD, *self._kinds),
                files=tuple(counts[at] for at in sorted(counts)),
                captions=captions,
                instructions=instructions,
                dim=self._dim,
                left_out=self._notes.left_out,
                took=tuple(self._notes.took),
            ),
        )

    def _read(self, file: DataFile, what: Holds) -> FileCount:
        before, num_rows = self._counts["captions"]["kept"], 0
        for item in items(file, self._notes):
            self._take(file, what, item)
            num_rows += 1
        num_captions = self._counts["captions"]["kept"] - before
        return FileCount(name=file.name, sha256=file.sha256 or "", num_rows=num_rows, num_captions=num_captions)

    def _take(self, file: DataFile, what: Holds, item: Item) -> None:
        turns = conversation(item.turns) if item.turns is not None else None
        caption = item.caption
        if what == "captions" and not isinstance(turns, Rejected) and turns and len(turns) == 2:
            answer = turns[1]["value"]
            if caption is None or caption.strip() == answer.strip():
                if caption is None and held_by_name(file) is None:
                    pair = f"{turns[0]['value']} {answer}"
                    self._notes.leave(
                        "question-answer pairs", "taken_for_captions", item.place, pair, advice=_KEEP_PAIRS
                    )
                self._take_caption(file, item, answer, turns[0]["value"])
                return
        known = None
        if caption is not None:
            known = self._take_caption(file, item, caption, None, may_be_known=what == "conversations")
            if turns is None:
                return
        elif item.id is not None:
            known = self._spool.find(item.id)
        if isinstance(turns, Rejected) or turns is None:
            stage = "captions" if what == "captions" and caption is None else "instructions"
            missing = Rejected("no_caption", "neither a caption nor a conversation")
            self._reject(stage, item, turns or missing, advice="" if turns else _NAME_COLUMN)
        elif known is None:
            why = "no caption has this id" if caption is None else "its caption was rejected"
            self._reject("instructions", item, Rejected("no_caption", why), advice=_JOIN)
        elif caption is not None and known.digest != _digest(caption):
            self._reject("instructions", item, Rejected("other_caption", "its id belongs to another caption"))
        else:
            task = task_of(item.task, turns)
            if item.task is not None and task != item.task:
                self._notes.leave("values of 'task'", "other_task", item.place, item.task)
            self._spool.add_conversation(known, item.place, task, turns)
            self._counts["instructions"]["kept"] += 1

    def _take_caption(
        self, file: DataFile, item: Item, caption: str, request: str | None, *, may_be_known: bool = False
    ) -> "_Known | None":
        """Keep a caption and return its entry, or the existing entry with its id; None if it was rejected."""
        if why := _not_valid(caption, item):
            self._reject("captions", item, why)
            return None
        row_id = item.id if item.id is not None else caption_id(caption, STAGE, 0)
        if not row_id.strip():
            raise InputError(f"{item.place}: its id is blank", "Add an id, or remove the field.")
        known = self._spool.find(row_id)
        if known and may_be_known:
            return known
        if known and item.id is None:
            self._reject("captions", item, Rejected("duplicate", known.place))
            return None
        if known:
            raise InputError(
                f"{item.place}: {known.place} already has the id {row_id!a}",
                "The import keeps ids unchanged, so they must be unique.",
            )
        known = _Known(row_id, self._counts["captions"]["kept"], _digest(caption), item.place)
        self._spool.add_caption(known)
        self._captions.append(
            {
                "id": row_id,
                "caption": caption,
                "digest": digest_of(caption),
                "seed": item.seed or "",
                "source": file.name,
                "domain": item.domain if item.domain and item.domain.strip() else _domain(self.recipe),
                "request": request,
            }
        )
        if self.with_vectors:
            self._vectors.append(self._vector(item))
        self._counts["captions"]["kept"] += 1
        if len(self._captions) == self.recipe.partition_rows:
            self._write_captions()
        return known

    def _vector(self, item: Item) -> Vector:
        where = item.place
        if item.vector is None:
            raise InputError(
                f"{where}: it has no embedding",
                "Name an encoder for the captions, e.g. --encoder open_clip:ViT-L-14/datacomp_xl_s13b_b90k. "
                f"Embeddings are read from {EMBEDDING}; those in pickles (.pkl) never.",
            )
        vector = item.vector()
        self._dim = self._dim or len(vector)
        if len(vector) != self._dim:
            raise InputError(
                f"{where}: its embedding has {len(vector)} dimensions, but earlier ones have {self._dim}", ADVICE
            )
        stored = "float32" if self.recipe.representations.moves_texts else self.recipe.representations.dtype
        with np.errstate(over="ignore"):
            kept = vector.astype(stored)
        if not (np.isfinite(kept).all() and kept.any()):
            raise InputError(
                f"{where}: {stored} cannot represent its embedding, with numbers up to {abs(vector).max():.3g}",
                f"Scale the vectors to length 1. {ADVICE}",
            )
        return vector.astype(np.float32)

    def _reject(self, stage: str, item: Item, why: Rejected, *, advice: str = "") -> None:
        self._counts[stage][why.reason] += 1
        said = item.caption or " ".join(turn["value"] for turn in item.turns or ())
        if stage == "captions":
            self._notes.leave("captions", why.reason, item.place, said or None, advice=advice)
        else:
            self._notes.leave("conversations", why.reason, item.place, why.detail or said, advice=advice)
        raw = json.dumps(item.turns, ensure_ascii=False) if item.turns else item.caption or ""
        placed = Rejected(why.reason, f"{item.place}: {why.detail}" if why.detail else item.place)
        self._rejected.append(placed.row(stage, item.id or "", item.caption or "", raw[:_MAX_RAW]))
        if len(self._rejected) == _REJECTIONS_AT_ONCE:
            self._write_rejections()

    def _write_captions(self) -> None:
        if not self._captions:
            return
        partition = (self._counts["captions"]["kept"] - 1) // self.recipe.partition_rows
        self._write(partition, "captions", CAPTIONS, self._captions)
        if self.with_vectors:
            ids = [row["id"] for row in self._captions]
            write_vectors(self._shard(f"{partition:05d}.{KIND}"), ids, np.stack(self._vectors))
        self._captions, self._vectors = [], []

    def _write_conversations(self) -> None:
        partition_rows = self.recipe.partition_rows
        for start in range(0, self._counts["captions"]["kept"], partition_rows):
            rows = self._spool.conversations(start, partition_rows)
            self._write(start // partition_rows, "instructions", INSTRUCTIONS, rows)

    def _write_rejections(self) -> None:
        if self._rejected:
            self._write(self._num_rejection_shards, "rejections", REJECTIONS, self._rejected)
            self._num_rejection_shards += 1
            self._rejected = []

    def _write(self, number: int, kind: str, schema: Any, rows: list[dict[str, Any]]) -> None:
        write_table(self._shard(f"{number:05d}.{kind}.parquet"), rows_table(rows, schema), schema)

    def _shard(self, kind: str) -> Path:
        self._kinds.append(kind)
        return self.step.shard(_RECORD, kind)


def _counts(counted: Counter[str]) -> Counts:
    rejected = {reason: number for reason, number in sorted(counted.items()) if reason != "kept"}
    num_kept = counted["kept"]
    return Counts(num_candidates=num_kept + sum(rejected.values()), num_kept=num_kept, rejected=rejected)


def conversation(turns: Sequence[dict[str, str]]) -> list[dict[str, str]] | Rejected:
    """Return a conversation for publication, or the reason why it is invalid.

    `<image>` is moved to the head of the first turn, or inserted there. Nothing else changes.
    """
    senders = [turn["from"] for turn in turns]
    if not turns or senders != ["human", "gpt"] * (len(turns) // 2):
        return Rejected("roles", f"human and gpt do not alternate: {' '.join(senders)[:200]}")
    if not all(turn["value"].replace(IMAGE, "").strip() for turn in turns):
        return Rejected("empty_text", "a turn without text")
    if char := next(filter(None, (control_character(turn["value"]) for turn in turns)), None):
        return Rejected("control", f"it contains {char}")
    number = sum(turn["value"].count(IMAGE) for turn in turns)
    first, *rest = turns
    if number > 1 or number != first["value"].count(IMAGE):
        return Rejected("image", f"it contains {IMAGE} {number} times, or not in the first turn")
    if first["value"].startswith(f"{IMAGE}\n"):
        return list(turns)
    return [{"from": "human", "value": f"{IMAGE}\n{first['value'].replace(IMAGE, '').strip()}"}, *rest]


def task_of(told: str | None, turns: Sequence[dict[str, str]]) -> str:
    """Return the row's task if its questions match; else multiple choice if all questions match, or `unknown`."""
    if told and told in TASKS and not has_options(told):
        return told
    pairs = zip(turns[::2], turns[1::2], strict=True)
    if all(next(problems_of_choice(q["value"], a["value"]), None) is None for q, a in pairs):
        return told if told and has_options(told) else next(filter(has_options, TASKS.own_names))
    return UNKNOWN_TASK


def _not_valid(caption: str, item: Item) -> Rejected | None:
    """The reason why `validate` would reject a caption."""
    if not normalise(caption):
        return Rejected("blank", "")
    if IMAGE in caption:
        return Rejected("image", f"it contains {IMAGE}")
    if char := control_character("".join([caption, item.id or "", item.seed or "", item.domain or ""])):
        return Rejected("control", f"it contains {char}")
    return None


def _digest(caption: str) -> int:
    return stable_int("imported caption", caption)


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    number: int
    """The caption's index among all."""
    digest: int
    place: str


class _Spool:
    """A temporary database of captions by id, and conversations by their caption's number."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for command in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "CREATE TABLE captions (id TEXT PRIMARY KEY, number INTEGER, digest INTEGER, place TEXT) WITHOUT ROWID",
            "CREATE TABLE conversations (number INTEGER PRIMARY KEY, id TEXT, place TEXT, task TEXT, turns TEXT)",
            "BEGIN",
        ):
            self._database.execute(command)

    def close(self) -> None:
        self._database.close()

    def find(self, row_id: str) -> _Known | None:
        found = self._database.execute("SELECT * FROM captions WHERE id = ?", (row_id,)).fetchone()
        return _Known(*found) if found else None

    def add_caption(self, caption: _Known) -> None:
        self._database.execute("INSERT INTO captions VALUES (?, ?, ?, ?)", astuple(caption))

    def add_conversation(self, caption: _Known, place: str, task: str, turns: Sequence[dict[str, str]]) -> None:
        """Raise an `InputError` if the caption already has a conversation."""
        values = (caption.number, caption.id, place, task, json.dumps(turns))
        try:
            self._database.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            query = "SELECT place FROM conversations WHERE number = ?"
            (other,) = self._database.execute(query, (caption.number,)).fetchone()
            raise InputError(
                f"{place}: a second conversation with the id {caption.id!a}, after {other}",
                "A caption has one conversation. To keep both, join them, or give each its own id and caption.",
            ) from None

    def conversations(self, start: int, number: int) -> list[dict[str, Any]]:
        """The conversations of `number` captions from `start` on, in their order."""
        query = "SELECT number, id, task, turns FROM conversations WHERE number >= ? AND number < ? ORDER BY number"
        return [
            {"id": row_id, "row": caption - start, "task": task, "conversations": json.loads(turns)}
            for caption, row_id, task, turns in self._database.execute(query, (start, start + number))
        ]
