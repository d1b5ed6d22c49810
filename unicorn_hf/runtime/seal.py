"""A file that holds a hash of its own bytes, so that one that was altered since is told from a whole one.

The hash stands where the file's format has room for words of ours, as `xxh3_64:` and 16 hex digits, and is that of the
file with these digits at zero. So it needs no second file, and comes with the file wherever that goes. It tells of
accidents; who alters a file on purpose can seal it again.
"""

import xxhash

_MARK = b"xxh3_64:"
_UNSEALED = b"0" * 16
UNSEALED = (_MARK + _UNSEALED).decode()
"""What a format writes for the seal, behind all that comes from users."""


def sealed(content: bytes | bytearray | memoryview) -> bytearray:
    """`content`, whose last `UNSEALED` becomes the seal."""
    result = bytearray(content)
    start = result.rindex(_MARK + _UNSEALED) + len(_MARK)
    result[start : start + len(_UNSEALED)] = _hash(result, start)
    return result


def seal_of(content: bytes | bytearray) -> str | None:
    """The seal of the bytes; None where they have none, or are not those that were sealed."""
    start = content.rfind(_MARK) + len(_MARK)
    seal = content[start : start + len(_UNSEALED)]
    return seal.decode() if start >= len(_MARK) and seal == _hash(content, start) else None


def _hash(content: bytes | bytearray, start: int) -> bytes:
    with memoryview(content) as view:
        digest = xxhash.xxh3_64(view[:start])
        digest.update(_UNSEALED)
        digest.update(view[start + len(_UNSEALED) :])
    return digest.hexdigest().encode()
