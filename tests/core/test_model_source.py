"""Names of models: of the Hub, of this machine, and as others may read them."""

from pathlib import Path

import pytest

from unicorn_hf.core.model_source import ModelSource, is_hub_name, published_name


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("/home/someone/seeds.txt", "seeds.txt"),
        ("./seeds.txt", "seeds.txt"),
        ("../data/seeds.txt", "seeds.txt"),
        ("~/models/mine", "mine"),
        ("package:pets.txt", "package:pets.txt"),
        ("org/name", "org/name"),
        ("demo:smollm2-135m-instruct", "demo:smollm2-135m-instruct"),
        ("caption-v1", "caption-v1"),
    ],
)
def test_files_keep_their_names_and_other_names_stay(name: str, published: str) -> None:
    assert published_name(name) == published
    assert published_name(published) == published


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("org/name", True),
        ("gpt2", True),
        ("here", False),
        ("./here", False),
        ("~/here", False),
        ("/here", False),
        ("a/../b", False),
        ("a/b/c", False),
        ("demo:smollm2", False),
        ("", False),
        ("a" * 5000, False),
    ],
)
def test_a_name_of_the_hub_opens_nothing_here(
    name: str, is_one: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(name) == is_one


@pytest.mark.parametrize("text", ["org/name", "org/name@v2", "./folder", "~/folder@x"])
def test_a_source_is_written_as_it_is_read(text: str) -> None:
    assert str(ModelSource.parse(text)) == text
