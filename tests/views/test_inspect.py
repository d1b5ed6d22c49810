"""A set in the terminal: what is shown is what is there, and hostile text is only text."""

import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.builds import rows, unicorn, write_seeds
from tests.cards.samples import HOSTILE
from unicorn_hf import InputError, build, load_recipe
from unicorn_hf.views.inspect import look, show


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of which some captions were rejected."""
    folder = tmp_path_factory.mktemp("made")
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
        "captions.num": 60,
        "captions.filters.min_words": 110,
        "instructions.num": 25,
        "representations.encoder": "hashing:16",
        "cluster.workers": 1,
    }
    build(load_recipe("demo", recipe), folder / "unicorn")
    return folder / "unicorn"


def shown(folder: Path, **options: object) -> str:
    file = io.StringIO()
    show(look(folder, **options), Console(file=file, width=200, force_terminal=True, color_system=None))  # type: ignore[arg-type]
    return file.getvalue()


def test_rows_figures_and_rejections_are_shown(made: Path) -> None:
    text = " ".join(shown(made, number=100).split())
    for config in ("pretrain", "instruction"):
        assert all(row["id"] in text for row in rows(made, config))
    facts = json.loads((made / "statistics.json").read_text())
    number = facts["captions"]["rejected"]["too_short"]
    assert number > 0
    assert f"too_short │ {number} │" in text
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
    assert "no such row" in shown(made, having="nothing has this text")


def test_the_work_files_may_be_away(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    assert not any(look(folder).rejections.values())
    assert "too_short" in shown(folder)


def test_hostile_text_is_text(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    hostile = [text for text in HOSTILE if len(text) < 1000] + ["[bold red]x[/] [link=file:///etc]y[/link]"]
    for config in ("pretrain", "instruction"):
        (path,) = (folder / config).glob("*.parquet")
        table = pq.read_table(path)
        some = table.slice(0, 20).to_pylist()
        for row, text in zip(some, hostile * 2, strict=False):
            row |= {"caption": text, "seed": text, "domain": text}
            row["conversations"] = [{"from": "human", "value": text}, {"from": "gpt", "value": text}]
        path.unlink()
        pq.write_table(pa.Table.from_pylist(some, schema=table.schema), path)
    text = shown(folder, number=20)
    assert "[bold red]x[/]" in text or len(hostile) > 20
    allowed = {"\n"}
    assert {character for character in text if character < " " or "\x7f" <= character < "\xa0"} <= allowed
    assert not any(mark in text for mark in "\u202e\u2066\u2028\ufeff")


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
