"""Mutators: each takes a random generator and the bytes of a good file, and gives the bytes of a bad one.

They draw from the generator alone, so that equal seeds give equal bytes.
"""

from collections.abc import Callable, Mapping
from random import Random

from tests.fuzz.mutators import archives, plain, records, tables, tensors, trees

Mutator = Callable[[Random, bytes], bytes]

MUTATORS: Mapping[str, Mutator] = {
    ".json": trees.mutated_json,
    ".yaml": trees.mutated_yaml,
    ".md": trees.mutated_card,
    ".jsonl": records.mutated_lines,
    ".csv": records.mutated_csv,
    ".tsv": records.mutated_tsv,
    ".txt": records.mutated_text,
    ".parquet": tables.mutated,
    ".safetensors": tensors.mutated,
    ".tar": archives.mutated_tar,
    ".zip": archives.mutated_zip,
}
"""By the ending of the file's name; each knows the structure of its form."""
_SHARE_OF_BYTES = 0.35


def mutated(suffix: str, rng: Random, content: bytes) -> bytes:
    """The content with its structure changed, or its bytes, or both."""
    if rng.random() < _SHARE_OF_BYTES:
        return plain.mutated(rng, content)
    changed = MUTATORS[suffix](rng, content)
    return plain.mutated(rng, changed) if rng.random() < 0.1 else changed
