"""Versions, what they demand, and whether modules load: of packages that the tests make."""

from pathlib import Path

import pytest

from unicorn_hf.runtime.installed import Mismatch, installed_version, mismatches, try_loading


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched first, here and in processes that are started."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return tmp_path


def distribution(folder: Path, name: str, version: str, *requirements: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requirements)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


def test_versions_and_what_they_demand(packages: Path) -> None:
    distribution(packages, "fake-dask", "2026.9.1")
    distribution(packages, "fake-cuda", "26.10.0", "fake-dask==2026.8.0", "fake-absent>=1", "fake-dask<1; extra == 'x'")
    distribution(packages, "fake-fine", "1.0", "fake-dask>=2026.1")
    assert installed_version("fake-dask") == "2026.9.1"
    assert installed_version("fake-absent") is None
    assert mismatches(["fake-cuda", "fake-fine", "fake-absent"]) == [
        Mismatch("fake-cuda 26.10.0", "fake-dask==2026.8.0", "2026.9.1")
    ]


def test_what_loads_and_what_does_not(packages: Path) -> None:
    (packages / "fake_fine.py").write_text("print('noise')")
    (packages / "fake_broken.py").write_text("raise RuntimeError('operator does not exist\\nsecond line')")
    (packages / "fake_crash.py").write_text("import os; os._exit(7)")
    loaded = try_loading(["fake_fine", "fake_broken", "fake_absent"])
    assert loaded.errors == {
        "fake_fine": None,
        "fake_broken": "RuntimeError: operator does not exist",
        "fake_absent": "ModuleNotFoundError: No module named 'fake_absent'",
    }
    assert loaded.torch is None
    assert try_loading(["fake_fine", "fake_crash"]).errors == {
        "fake_fine": None,
        "fake_crash": "importing it ended the process with code 7",
    }


def test_torch_is_asked_for_its_gpus(packages: Path) -> None:
    (packages / "torch.py").write_text(
        "from types import SimpleNamespace as N\n"
        "version = N(cuda='13.0')\n"
        "cuda = N(device_count=lambda: 1, get_device_properties=lambda i: N(name='H100', total_memory=80))\n"
    )
    torch = try_loading(["torch"]).torch
    assert torch is not None
    assert (torch.cuda, torch.gpus) == ("13.0", (("H100", 80),))


def test_secrets_stay_here(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (packages / "fake_curious.py").write_text(
        "import os; raise RuntimeError(str(sorted({'HF_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'PATH'} & set(os.environ))))"
    )
    assert try_loading(["fake_curious"]).errors == {"fake_curious": "RuntimeError: ['PATH']"}
