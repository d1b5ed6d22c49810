"""Values that nobody expects, and texts that try to be something else."""

from random import Random
from typing import Any

HOSTILE_TEXTS = (
    "", " ", "\t\n", "null", "~", "true", "0", "-1", "NaN", "1e999", "x" * 100_000, "x\0y", "\ud800",
    "\x1b[31mred\x1b[0m", "\u202egnp.exe", "\ufeff", "\u200d", "e\u0301" * 50, "../../canary", "/nowhere/canary",
    "~/canary", "~nobody/canary", "file:///nowhere", "package:../../canary", "./canary", "..", ".", "a/b", "ORG/NAME",
    "http://127.0.0.1:9/v1", "s3://nowhere/at", "tcp://127.0.0.1:9", "[bold red]", "[/]", "{{ 7 * 7 }}{% raw %}",
    "{label}", "{subject}", "%s%n", "<script>", "<image>", "<image>\n<image>", "```", "| a | b |",
    "'; DROP TABLE captions; --", "!!python/name:os.system", "hashing:0", "hashing:1000000000000", "hashing:-1",
    "open_clip:", "clip:./canary", "llm2clip:a+b", "imported", "pretrain", "echo", "float16", "none", "realign", "zz",
    "de", "CON", "\N{PILE OF POO}", "café", "猫" * 40,
)  # fmt: skip
HOSTILE_NUMBERS: tuple[float, ...] = (
    0, 1, -1, 2, 0.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**12, 10**30, 10**400, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def hostile(rng: Random) -> Any:
    """A value of any type."""
    return rng.choice((_scalar, _scalar, _scalar, _container))(rng)


def _scalar(rng: Random) -> Any:
    return rng.choice((None, True, False, text(rng), text(rng), number(rng), number(rng)))


def _container(rng: Random) -> Any:
    empty: tuple[Any, ...] = ([], {}, [[]], [None], {"": None}, {"a": {"b": []}}, {"kind": "file"}, ["a", 1, None])
    return rng.choice(
        (
            *empty,
            [rng.choice((None, 0, "a", "x" * 100))] * rng.choice((2, 1000)),
            {text(rng): _scalar(rng)},
            nested(rng),
        )
    )


def text(rng: Random) -> str:
    return rng.choice(HOSTILE_TEXTS)


def number(rng: Random) -> float:
    return rng.choice(HOSTILE_NUMBERS)


def nested(rng: Random) -> Any:
    value: Any = None
    for _ in range(rng.choice((20, 200))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value
