from pathlib import Path

import pytest

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.yaml_text import MAX_BYTES, read_yaml, read_yaml_file

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
REFUSED = {
    "a billion values by aliases": (BOMB, "more than 100,000 values"),
    "a billion values by merged keys": (MERGES, "more than 100,000 values"),
    "a list in itself": ("a: &a [*a]\n", "recursive"),
    "a mapping in itself": ("a: &a {b: *a}\n", "recursive"),
    "brackets": ("[" * 50_000, "nested too deeply"),
    "a key that stands twice": (
        "a: 1\nb:\n  c: 1\n  c: 2\n",
        "it:4: not valid YAML: duplicate key c, also in line 3",
    ),
    "a list as a key": ("? [a, b]\n: c\n", "it:1: not valid YAML: a key is a list"),
    "no number": ("a: !!int x\n", "invalid literal"),
    "no date": ("a: 2001-02-30\n", "day is out of range"),
    "a truth value that is none": ("a: !!bool x\n", "'x'"),
    "a number of 5,000 digits": (f"a: {'9' * 5000}\n", "Exceeds the limit"),
    "a Python object": ("a: !!python/object/apply:os.system [exit]\n", "it:1: not valid YAML: could not determine"),
    "NUL": ("a: \0\n", "#x0000"),
    "two documents": ("a: 1\n--- x\n", "it:2: not valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    text, told = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read_yaml(text, "it")
    assert caught.value.message.startswith("it")
    assert told in caught.value.message
    assert "\n" not in caught.value.message


def test_data_and_lines() -> None:
    data, lines = read_yaml("a: &a {b: [1, 2]}\nc:\n  <<: *a\n  d: x\n", "it")
    assert data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2], "d": "x"}}
    assert (lines["a",], lines["a", "b", 1], lines["c", "d"]) == (1, 1, 4)
    assert read_yaml("", "it") == (None, {})


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: café".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.yaml: not UTF-8 \(byte 6\)"):
        read_yaml_file(path)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than 16 MiB"):
        read_yaml_file(path)
    with pytest.raises(InputError, match="No such file"):
        read_yaml_file(tmp_path / "none.yaml")
