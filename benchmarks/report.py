"""The page of a set of 100,000 rows: its size, the time to make and to open it, and the memory that making it takes.

    python benchmarks/report.py [--rows 100000] [--dim 1280] [--out page.html]

The bounds are 15 MB, and 3 s to open in headless Chromium, until all charts are drawn: median of five openings. Making
is told against reading all rows of the set once, and its memory against that of a tenth of the rows: it must not grow.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from synthetic import CHUNK_ROWS, tables

from unicorn_hf.builders.package import _writer
from unicorn_hf.builders.rows import batches
from unicorn_hf.core.schemas import CONVERSATIONS, instruction, pretrain

MAX_MB, MAX_OPEN_S = 15, 3
NUM_OPENINGS = 5
ROWS_PER_SHARD = 25_000
DOMAINS = [f"domain {number}" for number in range(12)]
TASKS = ("multiple_choice", "question_answering", "complex_reasoning")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
DRAWN = "() => window.Bokeh && Bokeh.documents.length === 1 && Bokeh.documents[0].is_idle"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--out", type=Path, help="Keep the page.")
    parser.add_argument("--make", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        print(json.dumps(made(*arguments.make)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = build_tiny(folder, arguments.dim)
        small = fill(tiny, folder / "small", arguments.rows // 10, arguments.dim)
        large = fill(tiny, folder / "large", arguments.rows, arguments.dim)
        page = folder / "large.html"
        less, figures = run(small, folder / "small.html"), run(large, page)
        show(arguments.rows, figures, less, opened(page), page.stat().st_size / 1e6)
        if arguments.out:
            shutil.copy(page, arguments.out)


def build_tiny(folder: Path, dim: int) -> Path:
    """A rehearsal's folder: its recipe, statistics and transfer stand for those of the large set."""
    command = ["unicorn-hf", "build", "--engine", "echo", "--encoder", f"hashing:{dim}", "--workers", "1"]
    sizes = ["--captions", "60", "--instructions", "20", "--out", "tiny"]
    subprocess.run([Path(sys.executable).parent / command[0], *command[1:], *sizes], cwd=folder, check=True, stdout=-3)
    return folder / "tiny"


def fill(tiny: Path, folder: Path, num_rows: int, dim: int) -> Path:
    """The set with so many rows of `pretrain`, and four conversations for each ten of them."""
    shutil.copytree(tiny, folder)
    facts = json.loads((folder / "statistics.json").read_text())
    for config, number in (("pretrain", num_rows), ("instruction", num_rows * 4 // 10)):
        shutil.rmtree(folder / config)
        (folder / config).mkdir()
        write(folder / config, config, number, dim)
        facts[config]["num_rows"] = number
    (folder / "statistics.json").write_text(json.dumps(facts))
    return folder


def write(folder: Path, config: str, num_rows: int, dim: int) -> None:
    schema = pretrain(dim, "float16") if config == "pretrain" else instruction(dim, "float16")
    rows = of_config(config, num_rows, dim)
    num_shards = -(-num_rows // ROWS_PER_SHARD)
    for shard in range(num_shards):
        with _writer(folder / f"train-{shard:05d}-of-{num_shards:05d}.parquet", schema) as writer:
            for _ in range(min(ROWS_PER_SHARD, num_rows - shard * ROWS_PER_SHARD) // CHUNK_ROWS):
                writer.write_table(next(rows).select(schema.names))


def of_config(config: str, num_rows: int, dim: int) -> Iterator[pa.Table]:
    random = np.random.default_rng(1)
    for table in tables(num_rows, dim):
        domains = pa.array(random.choice(DOMAINS, table.num_rows))
        named = table.set_column(table.schema.get_field_index("domain"), "domain", domains)
        if config == "instruction":
            talks = pa.array([talk(caption) for caption in table["caption"].to_pylist()], CONVERSATIONS)
            named = named.set_column(named.schema.get_field_index("conversations"), "conversations", talks)
            named = named.append_column("task", pa.array(random.choice(TASKS, table.num_rows)))
        yield named


def talk(caption: str) -> list[dict[str, str]]:
    """Six questions and answers of the caption's words: about as long as it."""
    words = caption.split()
    parts = [" ".join(words[start : start + 11]) for start in range(0, len(words), 11)][:12]
    return [{"from": ("human", "gpt")[number % 2], "value": part} for number, part in enumerate(parts)]


def run(folder: Path, page: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--make", folder, page]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def made(folder: Path, page: Path) -> dict[str, float]:
    """Seconds of the processor, and the peak of memory, of making the page in this process; then of reading all."""
    from unicorn_hf.views.report import write_report

    make_s = timed(lambda: write_report(folder, page))
    memory = peak_mb()
    columns = ["id", "caption", "conversations", "image_embedding", "seed", "domain"]
    read_s = timed(lambda: [None for config in ("pretrain", "instruction") for _ in batches(folder, config, columns)])
    return {"make_s": make_s, "memory_mb": memory, "read_s": read_s}


def timed(function: Any) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def peak_mb() -> float:
    match = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) / 1024


def opened(page: Path) -> float:
    """Seconds from asking for the page until all of it is drawn."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        times = []
        for _ in range(NUM_OPENINGS):
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_function(DRAWN)
            times.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return statistics.median(times)


def show(num_rows: int, figures: dict[str, float], less: dict[str, float], open_s: float, size_mb: float) -> None:
    print(f"{num_rows:,} rows of pretrain and {num_rows * 4 // 10:,} of instruction\n")
    print("| | here | reference | ratio |\n|---|--:|--:|--:|")
    for what, here, reference, of in (
        ("size of the page, MB", size_mb, MAX_MB, "bound"),
        ("to open, s", open_s, MAX_OPEN_S, "bound"),
        ("to make, processor s", figures["make_s"], figures["read_s"], "reading all rows"),
        ("memory to make, MB", figures["memory_mb"], less["memory_mb"], "a tenth of the rows"),
    ):
        print(f"| {what} | {here:,.2f} | {reference:,.2f} ({of}) | {here / reference:.2f} |")


if __name__ == "__main__":
    main()
