"""Write JSON lists item by item."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[object], None]]:
    """Open a JSON list with one item per line; call the returned function with each item."""
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
    """Create the path's folder and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
