"""The charts: PNG files that depend on the statistics alone, whatever the names in them are."""

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.cards.samples import HOSTILE, Texts, statistics
from unicorn_hf.cards.charts import draw_charts
from unicorn_hf.cards.statistics import Statistics

NAMES = ["assets/caption-lengths.png", "assets/task-mix.png", "assets/question-words.png", "assets/domain-mix.png"]
DRAW = """
import hashlib, sys
from tests.cards.samples import statistics
from unicorn_hf.cards.charts import draw_charts
for name, png in draw_charts(statistics()).items():
    print(name, hashlib.sha256(png).hexdigest())
"""


def test_equal_statistics_give_equal_bytes_in_another_process_with_other_settings(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsavefig.dpi: 30\naxes.facecolor: black\nbackend: svg\n")
    outputs = []
    for environment in ({}, {"MATPLOTLIBRC": str(tmp_path), "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}):
        done = subprocess.run(
            [sys.executable, "-c", DRAW],
            capture_output=True, text=True, check=True, env={**os.environ, **environment},
        )  # fmt: skip
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert [line.split()[0] for line in outputs[0].splitlines()] == NAMES


def test_they_are_pictures_on_white_without_metadata() -> None:
    from PIL import Image

    for png in draw_charts(statistics()).values():
        with Image.open(io.BytesIO(png)) as image:
            assert image.format == "PNG"
            assert set(image.info) <= {"dpi"}
            assert 800 <= image.width <= 1000
            assert image.height < 900
            assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_another_number_is_another_picture() -> None:
    words = {**statistics().caption_words.model_dump(), "median": 99}
    before, after = draw_charts(statistics()), draw_charts(statistics(caption_words=words))
    assert [name for name in NAMES if before[name] != after[name]] == ["assets/caption-lengths.png"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
def test_any_name_of_a_domain_can_be_drawn(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        charts = draw_charts(statistics(Texts(domain=text, task=text)))
    assert list(charts) == NAMES


def test_many_domains_and_none() -> None:
    facts = statistics().model_dump()
    domains = {f"domain {number}": number + 1 for number in range(500)}
    facts["pretrain"]["per_domain"] = domains
    facts["instruction"] |= {"per_domain": {}, "per_task": {}, "question_words": {}, "num_rows": 0}
    charts = draw_charts(Statistics.model_validate(facts))
    assert all(len(png) < 200_000 for png in charts.values())
