"""Mutators change every file, never fail, and give equal bytes for equal seeds, in any process."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutators import MUTATORS, mutated

_EXAMPLES = {
    ".json": "others/llava.json",
    ".yaml": "own/recipe.yaml",
    ".md": "published/set/README.md",
    ".jsonl": "others/chat.jsonl",
    ".csv": "others/captions.csv",
    ".tsv": "others/captions.tsv",
    ".txt": "others/captions.txt",
    ".parquet": "published/other/pretrain/train-00000-of-00001.parquet",
    ".safetensors": "published/set/transfer.safetensors",
    ".tar": "exports/webdataset/pretrain/00000.tar",
    ".zip": "release/Unicorn-1.2M.json.zip",
}
_NUM = 60


def digests(suffix: str, path: Path) -> list[str]:
    content = path.read_bytes()
    return [sha256(mutated(suffix, Random(f"{number}"), content)).hexdigest() for number in range(_NUM)]


@pytest.mark.parametrize("suffix", MUTATORS)
def test_equal_seeds_give_equal_bytes_and_others_give_others(suffix: str, corpus: Path) -> None:
    path = corpus / _EXAMPLES[suffix]
    found = digests(suffix, path)
    assert digests(suffix, path) == found
    assert len(set(found)) > _NUM * 0.7
    same = sha256(path.read_bytes()).hexdigest()
    assert found.count(same) < _NUM * 0.1


def test_another_process_gives_the_same(corpus: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.fuzz.test_mutators import digests;"
        "print(*(d for suffix, path in zip(sys.argv[1::2], sys.argv[2::2]) for d in digests(suffix, Path(path))))"
    )
    arguments = [part for suffix, name in _EXAMPLES.items() for part in (suffix, str(corpus / name))]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [d for suffix, name in _EXAMPLES.items() for d in digests(suffix, corpus / name)]
