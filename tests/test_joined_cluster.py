"""A build on workers that somebody else started."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.builds import ECHO, published_bytes, unicorn, write_seeds
from tests.runtime.dask_cluster import PATIENCE_S, Cluster, share_workers, variables_of
from unicorn_hf import Recipe, build, load_recipe
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.views.status import status

pytestmark = pytest.mark.slow


def recipe(folder: Path, where: str, num_workers: int | None = 2, **overrides: object) -> Recipe:
    return load_recipe(
        "demo",
        {
            "engine": {"kind": "echo"},
            "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
            "captions.num": 200,
            "instructions.num": 70,
            "representations.encoder": "hashing:32",
            "partition_rows": 16,
            "cluster": {"kind": where, "workers": num_workers},
            **overrides,
        },
    )


def test_a_joined_cluster_makes_the_files_that_this_machine_makes(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_worker("first")
    cluster.start_worker("second", num_threads=2)
    result = build(recipe(tmp_path, cluster.address), tmp_path / "joined")
    build(recipe(tmp_path, "local"), tmp_path / "local")
    assert published_bytes(tmp_path / "joined") == published_bytes(tmp_path / "local")
    assert {built.pid for built in result.engines}.isdisjoint({process.pid for process in cluster.processes.values()})
    assert all(process.poll() is None for process in cluster.processes.values())
    assert status(tmp_path / "joined").build.dashboard.endswith("/status")


def test_workers_that_come_and_go_change_nothing(cluster: Cluster, tmp_path: Path) -> None:
    more = {"captions.num": 160, "partition_rows": 4}

    def records(number: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(tmp_path.glob("joined.work/*/*.json"))) < number:
            assert time.monotonic() < deadline, "the build stands still"
            time.sleep(0.02)

    def disturb() -> None:
        """As an adaptive cluster does, and one of machines that are taken away."""
        records(5)
        cluster.start_worker("second")
        records(20)
        cluster.processes["first"].send_signal(signal.SIGTERM)
        records(40)
        cluster.start_worker("third")
        cluster.kill("second")
        records(60)
        cluster.start_worker("fourth")

    cluster.start_worker("first")
    with ThreadPoolExecutor(1) as threads:
        disturbed = threads.submit(disturb)
        build(recipe(tmp_path, cluster.address, None, **more), tmp_path / "joined")
        disturbed.result()
    build(recipe(tmp_path, share_workers(), None, **more), tmp_path / "undisturbed")
    assert published_bytes(tmp_path / "joined") == published_bytes(tmp_path / "undisturbed")


def test_the_command_joins_a_cluster_with_tls(tls_cluster: Cluster, tmp_path: Path) -> None:
    tls_cluster.start_worker()
    write_seeds(tmp_path / "seeds.txt", 60)
    arguments = ["build", "demo", "--seeds", "seeds.txt", *ECHO, "--captions", 40, "--instructions", 10]
    for cluster in (tls_cluster.address, tls_cluster.scheduler_file):
        where = ["--cluster", cluster, "--out", f"from-{len(str(cluster))}"]
        done = unicorn(*arguments, *where, cwd=tmp_path, **variables_of(tls_cluster.settings))
        assert done.returncode == 0, done.stderr
        assert "open to its network" not in done.stderr
    refused = unicorn(*arguments, "--cluster", tls_cluster.address, "--out", "none", cwd=tmp_path)
    assert refused.returncode == 2
    assert "needs certificates" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.real
def test_the_encoder_runs_where_a_gpu_is_and_the_rest_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    """A worker has one if its CUDA_VISIBLE_DEVICES says so; the encoder finds none there, and takes the processor."""
    cluster.start_worker("with", {"CUDA_VISIBLE_DEVICES": "0"})
    cluster.start_worker("without", {"CUDA_VISIBLE_DEVICES": ""})
    encoded = {
        "representations.encoder": "open_clip:demo:minilm",
        "partition_rows": 4,
        "captions.num": 60,
        "instructions.num": 0,
    }
    result = build(recipe(tmp_path, cluster.address, **encoded), tmp_path / "joined")
    encoder = resolve_encoder("open_clip:demo:minilm", 1).text_identity
    with_gpu, without = (
        {child.pid for child in psutil.Process(cluster.processes[name].pid).children(recursive=True)}
        for name in ("with", "without")
    )
    encoding = {built.pid for built in result.engines if built.identity == encoder}
    writing = {built.pid for built in result.engines if built.identity != encoder}
    assert encoding and encoding <= with_gpu
    assert writing & with_gpu and writing & without
