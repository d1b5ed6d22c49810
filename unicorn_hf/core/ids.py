"""Ids and pseudo-random choices, derived only from a row's content."""

import hashlib


def caption_id(seed: str, prompt: str, sample: int) -> str:
    """24 hex digits that identify the caption of `seed` by the `sample`-th draw of `prompt` (its version).

    96 bits: among 10 million captions two share an id with a probability of about 1e-15.
    """
    return _digest(12, "caption", prompt, str(sample), seed).hex()


def stable_int(*parts: str, bits: int = 63) -> int:
    """A uniform integer below 2**bits that depends only on `parts`: for sampler seeds, shuffles, choices."""
    return int.from_bytes(_digest(8, *parts), "big") >> (64 - bits)


def stable_fraction(*parts: str) -> float:
    """A uniform number in [0, 1) that depends only on `parts`."""
    return stable_int(*parts, bits=53) / 2**53


def _digest(size: int, *parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        # The length goes first so that ("ab", "c") and ("a", "bc") differ.
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()
