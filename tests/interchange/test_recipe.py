"""What an import comes to where its files leave few captions."""

import json
from pathlib import Path

import pytest

from tests.fuzz.corpus import in_this_process
from tests.interchange.test_importing import listed
from unicorn_hf import InputError, build
from unicorn_hf.interchange.recipe import import_recipe

ONE = {
    "one line": "A cat sits on a mat.\n",
    "one line and a blank one": "\n  \nA cat sits on a mat.\n",
    "one line twice": "A cat sits on a mat.\nA cat sits on a mat.\n",
}


@pytest.mark.parametrize("name", ONE)
def test_one_caption_has_no_mean_of_several(name: str, tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text(ONE[name])
    with pytest.raises(InputError, match=r"one\.txt: only 1 caption, but mean_shift needs at least 2") as raised:
        build(import_recipe([path], encoder="hashing:8"), tmp_path / "out")
    assert raised.value.advice == "Use --transfer none."
    assert not (tmp_path / "out").exists()


def test_fewer_captions_have_at_most_as_many_conversations() -> None:
    recipe = import_recipe(["a.json"], encoder="hashing:8", overrides={"captions.num": 5})
    assert (recipe.captions.num, recipe.instructions.num) == (5, 5)
    given = {"captions.num": 5, "instructions.num": 2}
    assert import_recipe(["a.json"], encoder="hashing:8", overrides=given).instructions.num == 2


def test_one_caption_without_a_transfer_is_a_set(tmp_path: Path) -> None:
    path = listed(tmp_path / "one.json", {"id": 1, "caption": "A cat sits on a mat."})
    recipe = import_recipe([path], encoder="hashing:8", overrides={"representations.transfer": "none"})
    with in_this_process():
        build(recipe, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "statistics.json").read_text())["pretrain"]["num_rows"] == 1
