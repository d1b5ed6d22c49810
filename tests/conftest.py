"""What holds for all tests."""

import os
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
        return _group(nodeid.partition("::")[0])


@cache
def _group(file: str) -> str:
    return "real models" if "pytest.mark.real" in (Path(__file__).parents[1] / file).read_text() else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:  # type: ignore[no-any-unimported]
    return _ByFile(config, log)


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
