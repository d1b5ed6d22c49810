"""A build on workers that somebody else started."""

from pathlib import Path

from tests.builds import published_bytes, write_seeds
from tests.runtime.dask_cluster import Cluster
from unicorn_hf import Recipe, build, load_recipe


def recipe(folder: Path, where: str) -> Recipe:
    return load_recipe(
        "demo",
        {
            "engine": {"kind": "echo"},
            "seeds.sources": [{"kind": "file", "path": str(write_seeds(folder / "seeds.txt"))}],
            "captions.num": 200,
            "instructions.num": 70,
            "representations.encoder": "hashing:32",
            "partition_rows": 16,
            "cluster": {"kind": where, "workers": 2},
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
