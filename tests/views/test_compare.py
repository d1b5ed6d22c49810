"""Sets side by side: figures of statistics and of rows agree, what is shared is found, text of sets is text."""

import json
import re
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.builders.originals import release
from tests.builds import published_bytes, rows, unicorn
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import InputError, build, load_recipe
from unicorn_hf.captions.step import digest_of
from unicorn_hf.runtime.machine import processor
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.views.compare import Comparison, compare
from unicorn_hf.views.compare_picture import draw
from unicorn_hf.views.compare_tables import lines, markdown, show
from unicorn_hf.views.tables import Folded

HOSTILE = "</table><script>alert(1)</script> [bold]|`x` \x1b[31m\u202eevil $x^2$ _"


def made(folder: Path, random_seed: int, captions: int) -> Path:
    recipe = {
        "engine": {"kind": "echo"},
        "captions.num": captions,
        "instructions.num": 9,
        "cluster.kind": share_workers(),
    }
    out = folder / f"set-{random_seed}"
    build(load_recipe("demo", {**recipe, "random_seed": random_seed, "representations.encoder": "hashing:8"}), out)
    return out


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return made(folder, 0, 30), made(folder, 7, 20)


def compared(*folders: Path, names: tuple[str, ...] = ()) -> Comparison:
    return compare(folders, names or [folder.name for folder in folders], Progress())


def test_figures_of_statistics_and_of_rows_agree(sets: tuple[Path, Path], tmp_path: Path) -> None:
    bare = Path(shutil.copytree(sets[0], tmp_path / "bare"))
    for name in ("statistics.json", "recipe.yaml", "run.json"):
        (bare / name).unlink()
    told, counted = compared(sets[0], bare).sets
    assert (told.from_statistics, counted.from_statistics) == (True, False)
    rows_alone = {"pretrain", "instruction", "caption_words", "diversity", "num_duplicates"}
    assert told.model_dump(include=rows_alone) == counted.model_dump(include=rows_alone)
    assert counted.engine is None
    assert counted.cost is None
    assert told.cost
    assert told.cost.seconds > 0


def test_what_sets_share(sets: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sets[0], tmp_path / "copy"))
    found = compared(*sets, copy)
    texts = [{digest_of(row["caption"]) for row in rows(folder, "pretrain")} for folder in sets]
    ids = [{row["id"] for row in rows(folder, "pretrain")} for folder in sets]
    pairs = {(pair.first, pair.second): (pair.num_ids, pair.num_captions) for pair in found.shared}
    assert pairs == {
        ("set-0", "set-7"): (len(ids[0] & ids[1]), len(texts[0] & texts[1])),
        ("set-0", "copy"): (30, 30),
        ("set-7", "copy"): (len(ids[0] & ids[1]), len(texts[0] & texts[1])),
    }
    num = len(ids[0] & ids[1])
    tables = dict(lines(found))
    assert ("as in copy", ["30 (100.0 %)", f"{num} ({5 * num:.1f} %)", "—"]) in tables["the same ids"]


def test_the_original_release_is_counted(sets: tuple[Path, Path], tmp_path: Path) -> None:
    for name, content in release(12, 5).items():
        (tmp_path / name).write_bytes(content)
    found = compared(sets[0], tmp_path, names=("ours", "theirs"))
    theirs = found.sets[1]
    assert (theirs.pretrain.num_rows, theirs.instruction.num_rows, theirs.caption_words.median) == (12, 5, 129)
    assert (theirs.instruction.per_task, theirs.pretrain.per_domain, theirs.from_statistics) == ({}, {}, False)
    output = StringIO()
    show(found, Console(file=output, width=60))
    assert "129 to 129" in output.getvalue(), "the last column is not cut off"


def test_names_are_text(sets: tuple[Path, Path], tmp_path: Path) -> None:
    found = compared(*sets, names=(HOSTILE, HOSTILE))
    assert [one.name for one in found.sets] == [HOSTILE, f"{HOSTILE} (2)"]
    output = StringIO()
    show(found, Console(file=output, width=200, force_terminal=True, color_system=None))
    drawn = output.getvalue()
    assert "\x1b[31m" not in drawn
    assert "\u202e" not in drawn
    assert "[bold]" in drawn
    text = markdown(found)
    assert "<script" not in text
    for table in text.strip().split("\n\n"):
        assert {line.count("|") for line in table.split("\n")} == {4}
    draw(found, tmp_path / "one.png")
    draw(found, tmp_path / "two.png")
    content = (tmp_path / "one.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (tmp_path / "two.png").read_bytes()


def test_names_and_values_are_whole_in_a_narrow_terminal(sets: tuple[Path, Path]) -> None:
    names = ("maker/a-variant-with-another-seed", "maker/unicorn")
    output = StringIO()
    show(compared(*sets, names=names), Console(file=output, width=80))
    drawn = output.getvalue()
    assert max(map(len, drawn.splitlines())) <= 80
    assert all(drawn.count(f"  {name}") == 1 for name in names)
    assert drawn.count(processor()) == drawn.count("hashing:8, 8 dimensions") == 1, (
        "what all sets have stands there once"
    )
    assert re.search(r"as in 2 +\d+ \(\d+\.\d %\) +— *$", drawn, re.MULTILINE)


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (40, ["open_clip:ViT-L-14/datacomp_xl_s13b_", "b90k, 768 dimensions"]),
        (20, ["open_clip:ViT-L-14/", "datacomp_xl_s13b_", "b90k, 768 dimensions"]),
    ],
)
def test_a_name_is_broken_between_its_parts(width: int, told: list[str]) -> None:
    output = StringIO()
    Console(file=output, width=width).print(Folded("open_clip:ViT-L-14/datacomp_xl_s13b_b90k, 768 dimensions"))
    assert output.getvalue().split("\n")[:-1] == told


def test_what_cannot_be_compared(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two sets"):
        compared(sets[0])
    with pytest.raises(InputError, match="empty contains no set"):
        (tmp_path / "empty").mkdir()
        compared(sets[0], tmp_path / "empty")
    broken = Path(shutil.copytree(sets[0], tmp_path / "broken"))
    (broken / "statistics.json").write_text("{}")
    with pytest.raises(InputError, match=r"broken/statistics\.json: not readable: engine: Field required"):
        compared(sets[0], broken)


def test_the_command(sets: tuple[Path, Path], tmp_path: Path) -> None:
    before = [published_bytes(folder) for folder in sets]
    done = unicorn("compare", *sets, "--json", "--picture", "sets.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [one["pretrain"]["num_rows"] for one in json.loads(done.stdout)["sets"]] == [30, 20]
    assert (tmp_path / "sets.png").stat().st_size > 10_000
    assert [published_bytes(folder) for folder in sets] == before
    both = unicorn("compare", *sets, "--json", "--markdown", cwd=tmp_path)
    assert both.returncode == 2


def test_with_a_set_of_the_hub(hub: HubServer, hub_client: HubClient, sets: tuple[Path, Path]) -> None:
    files = {str(p.relative_to(sets[0])): p.read_bytes() for p in sets[0].rglob("*") if p.is_file()}
    hub.add_repository(f"{hub.user}/unicorn", files)
    done = hub_client.command("compare", f"{hub.user}/unicorn", str(sets[0]), "--markdown")
    assert done.returncode == 0, done.stderr
    assert "| captions | 30 | 30 |" in done.stdout
    assert hub.count("GET", "parquet") == 0
    # Without a sketch, its rows are downloaded.
    for name in (f"{hub.user}/earlier", f"{hub.user}/form"):
        form = None if name.endswith("earlier") else {"form": 99, "captions": "", "runs": ""}
        told = json.loads(files["statistics.json"]) | {"sketch": form}
        hub.add_repository(name, files | {"statistics.json": json.dumps(told).encode()})
        again = hub_client.command("compare", name, f"{hub.user}/unicorn", "--markdown")
        assert again.returncode == 0, again.stderr
        assert hub.count("GET", f"{name}/.*parquet") == 2
        assert "| as in unicorn-maker/unicorn | 100.0 % | — |" in again.stdout


def test_sketches_agree_with_rows(sets: tuple[Path, Path], tmp_path: Path) -> None:
    bare = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in sets]
    for folder in bare:
        shutil.rmtree(folder / "pretrain")
    (of_rows,), (of_sketches,), (mixed,) = (compared(*two).shared for two in (sets, bare, (sets[0], bare[1])))
    assert of_sketches == mixed
    assert (of_sketches.num_ids, of_sketches.num_captions) == (None, None)
    assert (of_sketches.of_first, of_sketches.of_second) == (of_rows.of_first, of_rows.of_second)


def test_many_sets_get_a_row_each(sets: tuple[Path, Path]) -> None:
    names = tuple(f"org-{at}/a-set-of-captions-{at}" for at in range(20))
    found = compared(*(sets[at % 2] for at in range(20)), names=names)
    assert len(found.shared) == 190
    output = StringIO()
    show(found, Console(file=output, width=120))
    drawn = output.getvalue().splitlines()
    assert sum("30" in line and "100.0 %" in line for line in drawn) == 10, output.getvalue()
    assert max(map(len, drawn)) <= 120
    assert len(drawn) < 50
    assert markdown(found).count(names[7]) > 10
