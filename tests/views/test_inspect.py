"""A set in the terminal: what is shown is what is there, and hostile text is only text."""

import io
import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console

from tests.builds import rows, unicorn
from tests.views.hostile import TEXTS, hostile_set
from unicorn_hf import InputError
from unicorn_hf.views.inspect import NO_EXAMPLES, look, show


def shown(folder: Path, **options: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=True, color_system=None)
    show(look(folder, **options), console, sought="having" in options)  # type: ignore[arg-type]
    return file.getvalue()


def test_rows_figures_and_rejections_are_shown(made: Path) -> None:
    text = " ".join(shown(made, number=100).split())
    for config in ("pretrain", "instruction"):
        assert all(row["id"] in text for row in rows(made, config))
    facts = json.loads((made / "statistics.json").read_text())
    number = facts["captions"]["rejected"]["too_short"]
    assert number > 0
    assert f"too_short {number} (" in text
    assert "keys: captions.filters.min_words" in text
    assert f"rejected captions: {number} of {number + 60} candidates" in text
    assert "60 rows" in text
    question = rows(made, "instruction")[0]["conversations"][2]["value"].splitlines()[0]
    assert question in text


def test_rows_come_from_all_over(made: Path) -> None:
    ids = [row["id"] for row in rows(made, "pretrain")]
    assert [row["id"] for row in look(made, number=3).rows["pretrain"]] == [ids[0], ids[29], ids[-1]]
    assert look(made, number=0).rows == {"pretrain": [], "instruction": []}


def test_only_rows_with_a_text(made: Path) -> None:
    wanted = rows(made, "pretrain")[7]["seed"]
    found = look(made, number=100, having=wanted.upper()).rows["pretrain"]
    assert found
    assert all(wanted in json.dumps(row) for row in found)
    assert "no matching row" in shown(made, having="nothing has this text")


def test_the_work_files_may_be_away(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    assert not any(look(folder).rejections.values())
    text = shown(folder, number=0)
    assert "too_short" in text
    assert NO_EXAMPLES in text
    assert not any(part in text for part in ("no matching row", "─ pretrain", "│"))


def test_hostile_text_is_text(made: Path, tmp_path: Path) -> None:
    """No row, figure, reason or example of a rejection draws, colours, links or turns anything."""
    folder = hostile_set(made, tmp_path / "unicorn")
    text = shown(folder, number=len(TEXTS), name="".join(TEXTS[:20]))
    assert "[bold red]x[/] [link=file:///etc]y[/link]" in text
    assert "escape<U+001B>[31m red" in text
    assert {character for character in text if unicodedata.category(character) in ("Cc", "Zl", "Zp")} <= {"\n"}
    assert not any(mark in text for mark in "\u202e\u2066\u200f\ufeff\u00ad")


def test_hostile_text_in_json_is_escaped(made: Path, tmp_path: Path) -> None:
    folder = hostile_set(made, tmp_path / "unicorn")
    done = unicorn("inspect", folder, "--json", "--sample", len(TEXTS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert [row["caption"] for row in json.loads(done.stdout)["rows"]["pretrain"]] == list(TEXTS)


def test_the_command(made: Path) -> None:
    done = unicorn("inspect", made, "--sample", 1, "--json", cwd=made)
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert view["rows"]["pretrain"][0]["id"] == rows(made, "pretrain")[0]["id"]
    assert {example["reason"] for example in view["rejections"]["captions"]} == set(
        view["statistics"]["captions"]["rejected"]
    )
    plain = unicorn("inspect", made, cwd=made)
    assert "\x1b" not in plain.stdout
    wrong = unicorn("inspect", made.parent, cwd=made)
    assert wrong.returncode == 2
    assert "not a folder that unicorn-hf built" in wrong.stderr


def test_a_damaged_set_is_told(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    (folder / "statistics.json").write_text("{}")
    with pytest.raises(InputError, match=r"statistics\.json"):
        look(folder)
