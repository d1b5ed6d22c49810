"""A program that ends while pyarrow still reads a file of Python's ends well."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# pyarrow's threads are in the middle of reading when the program is at its end.
READ_ONE_BATCH = """
import io, sys, time
import pyarrow.dataset as ds

class Slow(io.FileIO):
    def read(self, *args):
        time.sleep(0.01)
        return super().read(*args)

options = ds.ParquetFragmentScanOptions(pre_buffer=False)
fragment = ds.ParquetFileFormat(default_fragment_scan_options=options).make_fragment(Slow(sys.argv[1]))
batches = fragment.to_batches(batch_size=100, batch_readahead=0, fragment_readahead=0)
next(batches)
"""
STREAM = """
import sys
from datasets import load_dataset

rows = load_dataset("parquet", data_files=sys.argv[1], split="train", streaming=True)
"""
QUIET = "from unicorn_hf.core.streams import end_quietly; end_quietly()\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set") / "rows.parquet"
    numbers = np.random.default_rng(0).standard_normal((8, 20_000))
    pq.write_table(pa.table({f"column {at}": column for at, column in enumerate(numbers)}), path, row_group_size=5000)
    return path


@pytest.mark.parametrize("run", range(2))
@pytest.mark.parametrize("end", ["", "del batches\n"], ids=["held", "let go"])
def test_a_program_that_ends_amid_reading(end: str, run: int, file: Path) -> None:
    assert ended(QUIET + READ_ONE_BATCH + end, file) == (0, "")


@pytest.mark.parametrize(
    "use",
    ["next(iter(rows))", "[row for row in rows.take(3)]", "reader = iter(rows); next(reader); reader.close()"],
)
def test_a_program_that_reads_the_first_rows_of_a_stream(use: str, file: Path) -> None:
    assert ended("import unicorn_hf.datasets_plugin\n" + STREAM + use, file) == (0, "")


def ended(code: str, file: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr
