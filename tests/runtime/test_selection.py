"""What is picked has an identity: of the shard and of the rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from unicorn_hf.runtime.selection import Picked

PICKED = Picked("000-00000", Path("/one/captions-0f/000-00000.captions.parquet"), "inputs", (0, 2, 3))


def test_the_identity_does_not_depend_on_where_the_work_folder_lies() -> None:
    moved = replace(PICKED, path=Path("/another/captions-0f/000-00000.captions.parquet"))
    assert moved.identity == PICKED.identity


@pytest.mark.parametrize(
    "changes",
    [
        {"partition": "000-00001"},
        {"path": Path("/one/captions-1e/000-00000.captions.parquet")},
        {"content": "others"},
        {"rows": (0, 2)},
        {"rows": (0, 23)},
        {"rows": ()},
    ],
)
def test_the_identity_is_of_the_shard_and_its_rows(changes: dict[str, object]) -> None:
    assert replace(PICKED, **changes).identity != PICKED.identity  # type: ignore[arg-type]
