"""What holds for all tests."""

import os
import sys
import tempfile
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["tests.runtime.dask_cluster", "tests.hub.fixtures", "tests.runtime.object_store"]

# Before any test imports a Hugging Face library: the user's caches and token are not the tests' business.
_HOME = tempfile.TemporaryDirectory(prefix="unicorn-hf-tests-")
os.environ["HF_HOME"] = _HOME.name
for _name in ("HF_TOKEN", "HF_ENDPOINT", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)
# Hundreds of processes import the package: compiling it takes each of them half a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# All cores are in use: threads of torch, BLAS and Arrow would spin while they wait for one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Who tests the Hub names one. Others do not wait for one that cannot be reached.
os.environ["HF_HUB_OFFLINE"] = "1"

# No deadline: a busy machine is no failure. Derandomised: a failure is a change's, not the day's.
settings.register_profile(
    "unicorn", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unicorn")


class _ByFile(LoadFileScheduling):  # type: ignore[misc, no-any-unimported] - xdist has no types
    """Tests of a file share builds, so they stay in one process; so do files with real models, which use all cores."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "real models" if _marks(ROOT / file)[0] else file


ROOT = Path(__file__).parents[1]


@cache
def _marks(file: Path) -> tuple[bool, bool]:
    """Whether tests of the file run real models, and whether it takes long."""
    text = file.read_text()
    return "pytest.mark.real" in text, "pytest.mark.slow" in text


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:  # type: ignore[no-any-unimported]
    config.option.loadscopereorder = False  # By number of tests, those that take longest would come last.
    return _ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes, none is left with a long file at the end: those with real models first, then the slow."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _marks(item.path), reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure, GPU tests aside: what the environment lacks must not pass for tested."""
    report = yield
    if (
        report.skipped
        and os.environ.get("CI")
        and not item.get_closest_marker("gpu")
        and not hasattr(report, "wasxfail")
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
