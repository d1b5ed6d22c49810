"""A checksum inside the file that it protects, to detect later changes.

The format's own metadata holds it as `xxh3_64:` and 16 hex digits; it is the hash of the file with these digits set to
zero. So it needs no second file and moves with the file. It detects accidents, not tampering: anyone can seal a file.
"""

import xxhash

_MARK = b"xxh3_64:"
_UNSEALED = b"0" * 16
UNSEALED = (_MARK + _UNSEALED).decode()
"""Placeholder for the seal; it must come after all content from users."""


def sealed(content: bytes | bytearray | memoryview) -> bytearray:
    """Replace the last `UNSEALED` in `content` by the seal."""
    result = bytearray(content)
    start = result.rindex(_MARK + _UNSEALED) + len(_MARK)
    result[start : start + len(_UNSEALED)] = _hash(result, start)
    return result


def seal_of(content: bytes | bytearray) -> str | None:
    """The seal of the bytes; None if they have none, or differ from those that were sealed."""
    start = content.rfind(_MARK) + len(_MARK)
    seal = content[start : start + len(_UNSEALED)]
    return seal.decode() if start >= len(_MARK) and seal == _hash(content, start) else None


def _hash(content: bytes | bytearray, start: int) -> bytes:
    with memoryview(content) as view:
        digest = xxhash.xxh3_64(view[:start])
        digest.update(_UNSEALED)
        digest.update(view[start + len(_UNSEALED) :])
    return digest.hexdigest().encode()
