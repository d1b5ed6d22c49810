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


def take_over(folder: Path, store: AnswerStore) -> int:
    """Move the answers in `folder`, if it exists, to the store of their engine; return their number."""
    paths = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    num = 0

    def answers() -> Iterator[tuple[str, Answer]]:
        nonlocal num
        for path in paths:
            try:
                table = read_table(path, ANSWERS)
            except DamagedShardError as error:
                log.warning("%s: its requests will be sent again", error.message)
                continue
            num += table.num_rows
            yield from entries_in(table)

    store.add_all(answers(), f"earlier-{folder.name}")
    if paths:
        remove_tree(folder)
    return num
