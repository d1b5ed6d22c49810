"""JSON and YAML as trees: values of other types, keys left out, doubled and renamed; and what YAML alone can do."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutators import plain
from tests.fuzz.mutators.values import hostile, text

Tree = Any
_Place = tuple[dict[Any, Any] | list[Any], Any]
_YAML_TRICKS = (
    "? [a, b]\n: c\n",
    "? {a: b}\n: c\n",
    "null: 1\n",
    "3: 1\n",
    "2001-01-01: 1\n",
    "note: &a [*a]\n",
    "note: *nowhere\n",
    "note: !!binary aGVsbG8=\n",
    "note: !!set {a, b}\n",
    "note: !!python/object/apply:os.system [exit]\n",
    "note: !!timestamp 2001-99-99\n",
    "note: 2001-02-30\n",
    "note: !!int x\n",
    "note: !!float x\n",
    "note: 190:20:30\n",
    "note: 0b2\n",
    "note: !unknown x\n",
    "<<: 1\n",
    "<<: [{note: a}, 3]\n",
    "<<: {note: a}\n",
    "note: a\nnote: b\n",
    "--- x\n",
    "...\nnote: a\n",
    "\tnote: a\n",
    "%YAML 9.9\n---\n",
    "note: " + "9" * 5000 + "\n",
    "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
)


def changed(rng: Random, tree: Tree) -> Tree:
    """One to four places of the tree are changed in place; the new tree."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(tree))
        if not places or rng.random() < 0.03:
            return hostile(rng)
        rng.choice(_CHANGES)(rng, *rng.choice(places))
    return tree


def _places(tree: Tree) -> list[_Place]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in items for place in ((tree, key), *_places(value))]


def _other_value(rng: Random, within: Any, key: Any) -> None:
    within[key] = hostile(rng)


def _left_out(rng: Random, within: Any, key: Any) -> None:
    del within[key]


def _renamed(rng: Random, within: Any, key: Any) -> None:
    value = within.pop(key)
    if isinstance(within, dict):
        within[text(rng)] = value
    else:
        within.insert(0, value)


def _doubled(rng: Random, within: Any, key: Any) -> None:
    if isinstance(within, dict):
        within[f"{key}s"] = within[key]
    else:
        within.extend([within[key]] * rng.choice((1, 500)))


def _wrapped(rng: Random, within: Any, key: Any) -> None:
    within[key] = rng.choice(([within[key]], {"a": within[key]}, str(within[key]), [within[key]] * 2))


def _swapped(rng: Random, within: Any, key: Any) -> None:
    other = rng.choice(list(within) if isinstance(within, dict) else range(len(within)))
    within[key], within[other] = within[other], within[key]


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    _other_value, _other_value, _other_value, _left_out, _renamed, _doubled, _wrapped, _swapped,
)  # fmt: skip


def dumped(rng: Random, tree: Tree) -> bytes:
    """As JSON; numbers too large for Python to write are too large for it to read, and come in by `plain`."""
    content = json.dumps(tree, ensure_ascii=rng.random() < 0.7, indent=rng.choice((None, 2)))
    return content.encode("utf-8", "surrogatepass")


def mutated_json(rng: Random, content: bytes) -> bytes:
    written = dumped(rng, changed(rng, json.loads(content)))
    if rng.random() < 0.05 and written.startswith(b"{"):
        # A key that stands twice, which a tree does not hold.
        written = b'{"' + rng.choice((b"name", b"pretrain", b"format", b"version")) + b'": 1, ' + written[1:]
    return written


def mutated_yaml(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.25:
        trick = rng.choice(_YAML_TRICKS).encode()
        return rng.choice((trick + content, content + trick, trick))
    tree = changed(rng, yaml.safe_load(content))
    if rng.random() < 0.3:
        return dumped(rng, tree)
    # As YAML writes it, which cannot write half a surrogate pair.
    return yaml.safe_dump(tree, allow_unicode=rng.random() < 0.5, sort_keys=False).encode("utf-8", "replace")


def mutated_card(rng: Random, content: bytes) -> bytes:
    _, head, body = content.split(b"---\n", 2)
    if rng.random() < 0.1:
        return b"---\n" + head + b"---\n" + plain.mutated(rng, body)
    return b"---\n" + mutated_yaml(rng, head) + rng.choice((b"---\n", b"\n---\n", b"")) + body
