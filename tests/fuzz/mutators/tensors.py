"""Safetensors: a length, a header in JSON, numbers."""

import json
from random import Random
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from tests.fuzz.mutators.trees import changed, dumped

_DTYPES = (np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_)
_LENGTHS = (0, 1, 7, 2**31, 2**63 - 1, 2**64 - 1, 10**12)


def mutated(rng: Random, content: bytes) -> bytes:
    return rng.choice((_other_length, _other_header, _other_header, _other_facts, _other_facts, _other_numbers))(
        rng, content
    )


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _joined(header: bytes, numbers: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + numbers


def _other_length(rng: Random, content: bytes) -> bytes:
    return rng.choice(_LENGTHS).to_bytes(8, "little") + content[8:]


def _other_header(rng: Random, content: bytes) -> bytes:
    """Names, types, shapes and places of the tensors."""
    header, numbers = _parts(content)
    if rng.random() < 0.3:
        tensor = header[rng.choice([name for name in header if name != "__metadata__"])]
        tensor["shape"] = rng.choice(([10**12], [0], [], [2**32, 2**32], [-1], [1, *tensor["shape"]], [1.5]))
        return _joined(json.dumps(header).encode(), numbers)
    return _joined(dumped(rng, changed(rng, header)), numbers)


def _other_facts(rng: Random, content: bytes) -> bytes:
    """What we keep in the metadata: JSON in a string."""
    header, numbers = _parts(content)
    facts = header.setdefault("__metadata__", {})
    for key in list(facts):
        facts[key] = dumped(rng, changed(rng, json.loads(facts[key]))).decode("utf-8", "replace")
    return _joined(json.dumps(header).encode(), numbers)


def _other_numbers(rng: Random, content: bytes) -> bytes:
    header, _ = _parts(content)
    tensors = load(content)
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    with np.errstate(all="ignore"):
        change = rng.randrange(5)
        if change == 0:
            tensor = np.full_like(tensor, rng.choice((0, -1, np.nan, np.inf, 6e4)))
        elif change == 1:
            tensor = tensor.astype(rng.choice(_DTYPES))
        elif change == 2:
            tensor = np.empty(rng.choice(((0,), (), (0, 4), (3, 0), (1, *tensor.shape))), tensor.dtype)
            tensor[...] = 0
        elif change == 3:
            tensor = np.concatenate([tensor, tensor[:1]])
        else:
            tensor = tensor[..., :-1]
    changed_tensors = {**tensors, name: np.ascontiguousarray(tensor)}
    if rng.random() < 0.1:
        del changed_tensors[name]
    return save(changed_tensors, header.get("__metadata__"))
