"""Bytes of any file: flipped, cut, moved, encoded otherwise."""

import re
from collections.abc import Callable
from random import Random

_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037", "latin-1")
_NUMBERS = (b"-1", b"0", b"1e999", b"-1e-400", b"1000000000000", b"9" * 30, b"9" * 5000, b"NaN", b"0x10", b"1_000")
_PIECES = (
    b"\0", b"\r", b"\r\n", b"\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b'"', b"'", b"\\", b",",
    b"\t", b"{", b"}", b"[", b"]", b"#", b"&a ", b"*a", b"!!python/name:os.system ", b"---\n", b"\x1b[31m", b"\x85",
    "\u2028".encode(), "\u202e".encode(), b"<image>", b"\x1a",
)  # fmt: skip


def mutated(rng: Random, content: bytes) -> bytes:
    """One to three changes, one after the other."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice(_CHANGES)(rng, content)
    return content


def _span(rng: Random, content: bytes, longest: int = 200) -> tuple[int, int]:
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.randint(1, longest))


def _flipped(rng: Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64)) if found else 0):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _flipped_at_an_end(rng: Random, content: bytes) -> bytes:
    """Where most forms have their headers and tables of contents."""
    at = rng.choice((slice(0, 256), slice(max(0, len(content) - 2048), len(content))))
    return content[: at.start] + _flipped(rng, content[at]) + content[at.stop :]


def _cut(rng: Random, content: bytes) -> bytes:
    start, _ = _span(rng, content)
    return rng.choice((content[:start], content[start:], b"", content[:-1]))


def _inserted(rng: Random, content: bytes) -> bytes:
    start, _ = _span(rng, content)
    piece = rng.choice((rng.choice(_PIECES), rng.choice(_PIECES) * 1000, rng.randbytes(rng.randint(1, 64))))
    return content[:start] + piece + content[start:]


def _left_out(rng: Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:start] + content[end:]


def _doubled(rng: Random, content: bytes) -> bytes:
    start, end = _span(rng, content, 2000)
    return content[:end] + content[start:end] * rng.choice((1, 1, 2, 20)) + content[end:]


def _encoded_otherwise(rng: Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")


def _other_number(rng: Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(_NUMBERS) + content[match.end() :]


def _nested(rng: Random, content: bytes) -> bytes:
    start, _ = _span(rng, content)
    depth = rng.choice((50, 2_000, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"- ", b""), (b"(", b")")))
    return content[:start] + opening * depth + closing * rng.choice((0, depth)) + content[start:]


def _other_line_ends(rng: Random, content: bytes) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b"", b"\0", b"\x0b")))


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flipped, _flipped, _flipped_at_an_end, _flipped_at_an_end, _cut, _cut, _inserted, _inserted, _left_out, _doubled,
    _encoded_otherwise, _other_number, _other_number, _nested, _other_line_ends,
)  # fmt: skip
