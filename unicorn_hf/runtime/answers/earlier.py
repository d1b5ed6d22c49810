"""Migrate answers of versions without the store: a shard per partition, in folders by stage, engine and prompt."""

import logging
from collections.abc import Iterator
from pathlib import Path

from unicorn_hf.core.generation import Answer
from unicorn_hf.core.schemas import ANSWERS
from unicorn_hf.runtime.answers.segments import entries_in
from unicorn_hf.runtime.answers.store import AnswerStore
from unicorn_hf.runtime.files import DamagedShardError, read_table
from unicorn_hf.runtime.storage import remove_tree

log = logging.getLogger(__name__)


def take_over(folder: Path, store: AnswerStore) -> None:
    """Move the answers in `folder`, if it exists, to the store of their engine."""
    if folder.is_dir():
        store.add_all(_answers_in(folder), f"earlier-{folder.name}")
        remove_tree(folder)


def _answers_in(folder: Path) -> Iterator[tuple[str, Answer]]:
    for path in sorted(folder.glob("*.parquet")):
        try:
            yield from entries_in(read_table(path, ANSWERS))
        except DamagedShardError as error:
            log.warning("%s: its requests will be sent again", error.message)
