"""Identity of code: results of changed code are derived again, without a version number to raise by hand."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@cache
def source_identity(*modules: str, root: Path = _ROOT) -> str:
    """16 hex digits that identify the source of modules and of their imports from the same package, at `root`.

    The name of a package (`unicorn_hf.captions.filters`) includes all its modules, and each package its data files
    beside `__init__`. Imports in functions and for type checkers do not count.
    """
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(_files(modules, root)):
        found.update(f"{path.relative_to(root).as_posix()}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _files(modules: tuple[str, ...], root: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = [path for name in modules for path in _named(name, root)]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.name == "__init__.py":
            found.update(other for other in path.parent.iterdir() if other.is_file() and other.suffix != ".py")
        waiting += filter(None, (_file(name, root) for name in _imported(path)))
    return found


def _named(name: str, root: Path) -> Iterator[Path]:
    """The file of a module, or all files of a package."""
    file = _file(name, root)
    if file is None:
        raise ValueError(f"there is no module {name}")
    yield from file.parent.rglob("*.py") if file.name == "__init__.py" else [file]


def _file(name: str, root: Path) -> Path | None:
    package, *parts = name.split(".")
    place = root.joinpath(*parts)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if package == root.name and file.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """Names of modules, and of their members, that a module imports at its top."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
