"""The published folder appears whole, and what is not a build of ours is not touched."""

from pathlib import Path

import pytest

from unicorn_hf.builders.repository import add_shards, check_out, is_build, replaced
from unicorn_hf.core.errors import InputError, RunError


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def make_build(out: Path) -> None:
    with replaced(out) as folder:
        (folder / "recipe.yaml").write_text("recipe")
        (folder / "statistics.json").write_text("{}")


def test_a_new_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "parent" / "unicorn"
    with replaced(out) as folder:
        (folder / "a.txt").write_text("a")
        assert not out.exists()
    assert tree(tmp_path) == {"parent/unicorn/a.txt": "a"}


def test_the_old_folder_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    (out / "pretrain").mkdir(parents=True)
    (out / "pretrain" / "old.parquet").write_text("old")
    with replaced(out) as folder:
        assert list(folder.iterdir()) == []
        (folder / "a.txt").write_text("a")
        assert (out / "pretrain" / "old.parquet").exists()
    assert tree(tmp_path) == {"unicorn/a.txt": "a"}


def test_an_error_leaves_the_old_folder_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    out.mkdir()
    (out / "a.txt").write_text("old")
    with pytest.raises(KeyError), replaced(out) as folder:
        (folder / "a.txt").write_text("half")
        raise KeyError
    assert tree(tmp_path) == {"unicorn/a.txt": "old"}


def test_a_disk_that_fails_is_an_error_of_the_run(tmp_path: Path) -> None:
    out = tmp_path / "unicorn"
    with pytest.raises(RunError) as caught, replaced(out):
        raise OSError(28, "No space left on device")
    assert caught.value.message == f"cannot write the data set to {out}: No space left on device"
    assert tree(tmp_path) == {}


def test_if_the_last_step_fails_the_old_folder_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "unicorn"
    out.mkdir()
    (out / "a.txt").write_text("old")
    rename = Path.rename

    def fail_for_the_new(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(RunError, match="Input/output error"), replaced(out) as folder:
        (folder / "a.txt").write_text("new")
    assert tree(tmp_path) == {"unicorn/a.txt": "old"}


def test_what_a_killed_build_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / ".unicorn.new").mkdir()
    (tmp_path / ".unicorn.new" / "half.txt").write_text("half")
    make_build(tmp_path / "unicorn")
    assert set(tree(tmp_path)) == {"unicorn/recipe.yaml", "unicorn/statistics.json"}


def test_a_build_may_go_where_nothing_is_or_a_build_of_ours(tmp_path: Path) -> None:
    check_out(tmp_path / "none")
    check_out(tmp_path / "none" / "deeper")
    (tmp_path / "empty").mkdir()
    check_out(tmp_path / "empty")
    make_build(tmp_path / "ours")
    assert is_build(tmp_path / "ours")
    check_out(tmp_path / "ours")


@pytest.mark.parametrize("content", [["thesis.tex"], ["README.md", "recipe.yaml"], ["statistics.json"], [".git"]])
def test_what_is_not_a_build_of_ours_is_left_as_it_is(content: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in content:
        (out / name).write_text("mine")
    assert not is_build(out)
    with pytest.raises(InputError) as caught:
        check_out(out)
    assert caught.value.message.startswith(f"{out} contains something that is not a build of unicorn-hf")
    assert "--out" in caught.value.advice
    assert tree(out) == dict.fromkeys(sorted(content), "mine")


def test_a_file_is_no_place_for_a_build(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError):
        check_out(tmp_path / "out")


def test_no_configs_are_no_shards(tmp_path: Path) -> None:
    add_shards(tmp_path, [])
    assert tree(tmp_path) == {}
