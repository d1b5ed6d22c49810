"""JSON lists that are written item by item."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[object], None]]:
    """A list in a file, an item a line; what is called with an item writes it."""
    with created(path).open("w", encoding="utf-8") as file:
        file.write("[")
        separator = "\n"

        def add(item: object) -> None:
            nonlocal separator
            file.write(separator + json.dumps(item, ensure_ascii=False))
            separator = ",\n"

        yield add
        file.write("\n]\n")


def created(path: Path) -> Path:
    """The path, whose folder is there from now on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
