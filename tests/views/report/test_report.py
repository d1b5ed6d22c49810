"""What the page is made of: its sample, its map, its size, and what it says where it cannot be made."""

import html
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builds import rows, unicorn, write_seeds
from tests.runtime.dask_cluster import share_workers
from unicorn_hf import InputError, build, load_recipe
from unicorn_hf.representations.vectors import read_vectors
from unicorn_hf.views.inspect import NO_EXAMPLES
from unicorn_hf.views.report import write_report
from unicorn_hf.views.report.page import render_report
from unicorn_hf.views.report.plane import laid_out


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


def text_of(page: str) -> str:
    shown = page.split("<main", 1)[1].split('<script type="application/json"')[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", shown)).split())


def test_the_command(made: Path, tmp_path: Path) -> None:
    done = unicorn("report", made, "--sample", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"unicorn-report\.html \(\d\.\d MB\)\n", done.stdout)
    page = (tmp_path / "unicorn-report.html").read_text(encoding="utf-8")
    again = unicorn("report", made, "--sample", 20, "--out", "again.html", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert "20 of 60 rows of pretrain and 20 of 25 rows of instruction" in text_of(page)
    assert {row["config"] for row in data_of(page)["rows"]} == {"pretrain", "instruction"}
    wrong = unicorn("report", made.parent, cwd=tmp_path)
    assert wrong.returncode == 2
    assert "not a folder that unicorn-hf built" in wrong.stderr


def test_it_asks_for_nothing(made: Path) -> None:
    page = render_report(made)
    assert re.search(
        r"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src &#39;none&#39;; script-src", page
    )
    document = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!#)", document)
    assert "@import" not in page.split("</style>")[0]


def test_its_figures_are_the_statistics(made: Path) -> None:
    text = text_of(render_report(made))
    facts = json.loads((made / "statistics.json").read_text())
    for reason, number in facts["captions"]["rejected"].items():
        assert f"{reason} {number:,}, " in text
    assert f"{facts['diversity']['vocabulary']:,}" in text
    assert f"{facts['captions']['num_kept']:,} of {facts['captions']['num_candidates']:,} candidates" in text
    assert "A rehearsal, not training data." in text


def test_what_was_measured_after_the_build(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    facts = json.loads((folder / "statistics.json").read_text())
    side = {"mean_gap": 0.75, "cosine_to_text_mean": -0.5, "cosine_to_image_mean": 0.5, "mean_share": 0.25}
    side |= {"mmd": 0.125, "frechet": 0.625, "paired_cosine": None}
    gap = {"images": "photos", "num_images": 120, "num_texts": 60, "num_pairs": 0, "before": side, "after": side}
    gap |= {"direction_kept": 0.5, "neighbours_kept": 0.875, "num_neighbours": 10, "picture": None}
    overlap = {"name": "POPE", "num_texts": 9, "run_words": 8, "num_pretrain": 31, "num_instruction": 17}
    (folder / "statistics.json").write_text(json.dumps(facts | {"gap": gap, "overlaps": [overlap]}))
    text = text_of(render_report(folder))
    assert "60 rows and 120 images ( photos )" in text
    assert "maximum mean discrepancy 0.1250 0.1250" in text
    assert "cosine of an image and its text" not in text
    assert "POPE 31 of pretrain, 17 of instruction" in text


def test_without_work_files_it_says_where_the_examples_are(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    (folder / "run.json").unlink()
    text = text_of(render_report(folder))
    assert text.count(NO_EXAMPLES) == 1
    assert "Time and cost" not in text


def test_much_text_makes_fewer_rows_and_no_larger_page(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    (path,) = (folder / "instruction").glob("*.parquet")
    table = pq.read_table(path)
    some = table.to_pylist() * 4
    for row in some:
        row["conversations"] = [{"from": "human", "value": "<" * 5_000}] * 100
    pq.write_table(pa.Table.from_pylist(some, schema=table.schema), path)
    page = render_report(folder)
    assert len(page) < 7_000_000
    found = data_of(page)["rows"]
    kept = sum(row["config"] == "instruction" for row in found)
    assert 2 <= kept < 10
    assert f"{kept} of 25 rows of instruction" in text_of(page)
    assert "… and 60 more turns" in [turn[1] for row in found for turn in row["turns"]]


def test_the_map_before_and_after(made: Path) -> None:
    page = render_report(made)
    assert data_of(page)["maps"] == ["map-before", "map-after"]
    assert "computed from the set's: mean_shift can be undone" in text_of(page)


def test_vectors_before_a_transfer_that_cannot_be_undone_come_from_the_work_files(tmp_path: Path) -> None:
    recipe = {
        "engine": {"kind": "echo"},
        "seeds.sources": [{"kind": "file", "path": str(write_seeds(tmp_path / "seeds.txt", 40))}],
        "captions.num": 40,
        "instructions.num": 10,
        "representations.encoder": "hashing:32",
        "representations.transfer": "c3",
        "cluster.kind": share_workers(),
    }
    folder, work_dir = tmp_path / "unicorn", tmp_path / "unicorn.work"
    build(load_recipe("demo", recipe), folder)
    page = render_report(folder)
    assert data_of(page)["maps"] == ["map-before", "map-after"]
    assert "come from the build's work files" in text_of(page)
    ids = [row["id"] for row in rows(folder, "pretrain")]
    vectors = np.array([row["image_embedding"] for row in rows(folder, "pretrain")], dtype=np.float64)
    plane = laid_out(folder, work_dir, ids, vectors)
    assert plane is not None
    assert plane.before is not None
    stored = {
        name: vector
        for path in work_dir.glob("representations-*/*.arrow")
        for name, vector in zip(pa.ipc.open_file(path).read_all()["id"].to_pylist(), read_vectors(path), strict=True)
    }
    encoded = np.array([stored[name] for name in ids], dtype=np.float64)
    assert plane.before.mean_norm == pytest.approx(np.linalg.norm(encoded.mean(axis=0)), abs=1e-3)
    cosines = (encoded @ encoded.T)[np.triu_indices(len(ids), 1)]
    assert plane.before.mean_cosine == pytest.approx(cosines.mean(), abs=1e-3)
    assert plane.before.cosines.sum() == pytest.approx(1)
    # Vectors of another set are not passed off as this one's.
    assert laid_out(folder, work_dir, ids, vectors[::-1]).before is None  # type: ignore[union-attr]
    shutil.rmtree(work_dir)
    page = render_report(folder)
    assert data_of(page)["maps"] == ["map-after"]
    assert "The vectors before the transfer are unknown: c3 cannot be undone" in text_of(page)


def test_a_set_without_conversations(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    shutil.rmtree(folder / "instruction")
    facts = json.loads((folder / "statistics.json").read_text())
    nothing = {"num_rows": 0, "per_task": {}, "turns": {}, "question_words": {}, "answer_letters": {}, "per_domain": {}}
    facts["instruction"] |= nothing
    (folder / "statistics.json").write_text(json.dumps(facts))
    text = text_of(render_report(folder))
    assert "60 of 60 rows of pretrain" in text
    assert "Each point is one of 60 sampled rows" in text


def test_rows_without_a_vector_are_not_on_the_map(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "unicorn"))
    for config, missing in (("pretrain", 60), ("instruction", 22)):
        (path,) = (folder / config).glob("*.parquet")
        table = pq.read_table(path)
        some = table.to_pylist()
        for row in some[:missing]:
            row["image_embedding"] = None
        some[-1]["image_embedding"] = [float("nan")] * 16
        pq.write_table(pa.Table.from_pylist(some, schema=table.schema), path)
    assert "Map of the representations" not in render_report(folder)
    row = np.array(rows(made, "instruction")[0]["image_embedding"], dtype=np.float16)
    some[0]["image_embedding"] = row
    pq.write_table(pa.Table.from_pylist(some, schema=table.schema), path)
    assert "Each point is one of 3 sampled rows" in text_of(render_report(folder))


def test_without_bokeh_it_says_how_to_get_it(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(InputError, match=r'pip install "unicorn-hf\[report\]"'):
        write_report(made, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
