"""A changed filter derives all again from stored answers: requests are counted at the server that would get them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds import SHARED, published_bytes, rows, unicorn, write_seeds
from tests.engines.chat_server import Body, ChatServer


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer().running() as server:
        yield server


def build(server: ChatServer, folder: Path, filters: dict[str, Any], *more: object) -> list[Body]:
    """What is asked for a build with these filters, where the answers of the builds before are stored."""
    recipe = folder / "filtered.yaml"
    data = {
        "partition_rows": 16,
        "seeds": {"sources": [{"kind": "file", "path": "seeds.txt"}]},
        "engine": {"kind": "endpoint", "base_url": server.url, "model": "m"},
        "captions": {"num": 30, "filters": filters},
        "instructions": {"num": 8},
        "representations": {"encoder": "hashing:16"},
    }
    recipe.write_text(yaml.safe_dump(data))
    write_seeds(folder / "seeds.txt", 100)
    server.bodies.clear()
    done = unicorn("build", recipe, *SHARED, *more, cwd=folder, NO_PROXY="127.0.0.1")
    assert done.returncode == 0, done.stderr
    return list(server.bodies)


def test_a_changed_filter_asks_for_nothing_that_has_an_answer(server: ChatServer, tmp_path: Path) -> None:
    first = build(server, tmp_path, {"min_words": 40})
    assert len(first) >= 38
    lengths = sorted(len(row["caption"].split()) for row in rows(tmp_path / "unicorn", "pretrain"))
    before = published_bytes(tmp_path / "unicorn")
    steps = set((tmp_path / "unicorn.work").glob("captions-*"))

    # A filter that changes nothing: derived again, and nobody is asked.
    assert build(server, tmp_path, {"min_words": 39}) == []
    assert set((tmp_path / "unicorn.work").glob("captions-*")) > steps

    # One that rejects a third: only rows that were never asked are asked, for captions and for conversations.
    stricter = build(server, tmp_path, {"min_words": lengths[10] + 1})
    assert stricter
    assert [body for body in stricter if body in first] == []
    statistics = json.loads((tmp_path / "unicorn/statistics.json").read_text())
    assert statistics["captions"]["rejected"]["too_short"] >= 10

    # And back: the same set as at first, with no server to ask.
    with ChatServer().running() as gone:
        pass
    assert build(gone, tmp_path, {"min_words": 40}) == []
    after = published_bytes(tmp_path / "unicorn")
    shards = [name for name in before if name.endswith(".parquet")]
    assert shards
    assert {name: after[name] for name in shards} == {name: before[name] for name in shards}
