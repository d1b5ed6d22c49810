"""What a transfer costs: 100,000 float16 vectors of 1,280 dimensions on disk, transferred and written back.

    python benchmarks/transfer.py [--rows 100000] [--dim 1280] [--repeats 3] [--workers 2] [--arrow]
    python benchmarks/transfer.py --rows 1200000 --repeats 1 --actions "floor;realign"
    python benchmarks/transfer.py --formats

Each figure is the best of the repeats, which take turns, so that what else the machine does meets all alike. Compared
are

- reference: a plain script, which loads all records from a pickle, loops over them in float64 and dumps them again;
- floor: the same vectors read from the same files and written in the same form, nothing done between;
- ours: the library's passes over the shards (moments; for realign the mean of the aligned vectors; the transfer) and
  the published form (Parquet, zstd, row groups of 1,000). "Moments known" leaves the first pass out: in a build the
  encoder step takes the moments while the vectors are in memory.

Floor and ours run on worker processes of a Dask cluster; its start and the imports are left out. Peak memory is the
largest resident set of a worker, or of the reference's process. Vectors come in shards of 512 rows, Arrow IPC, as the
encoder step leaves them (it stores float32). `--formats` measures other forms of the shards.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHARD_ROWS, ROW_GROUP_ROWS, NUM_IMAGES = 512, 1000, 10_000
ACTIONS = (
    "floor", "mean_shift", "mean_shift, moments known", "realign", "realign, moments known",
    "mean_shift, reference", "realign, reference",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arrow", action="store_true", help="write back as Arrow IPC, as the vectors are read")
    parser.add_argument("--actions", type=lambda names: names.split(";"), default=ACTIONS, help="only these lines")
    parser.add_argument("--formats", action="store_true", help="measure forms of the shards instead")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.folder, options.workers, options.arrow)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.formats:
            formats(folder, min(options.rows, 20_000), options.dim, options.repeats)
            return
        prepare(folder, options.rows, options.dim, any(action.endswith("reference") for action in options.actions))
        compare(folder, options.actions, options.repeats, options.workers, options.arrow)


def compare(folder: Path, actions: Sequence[str], repeats: int, workers: int, arrow: bool) -> None:
    best: dict[str, dict[str, float]] = {}
    for repeat in range(repeats):
        for action in actions:
            if repeat and action.endswith("reference"):
                continue  # Slow, and far from where a repeat would matter.
            command = [sys.executable, __file__, "--only", action, "--folder", str(folder), "--workers", str(workers)]
            command += ["--arrow"] * arrow
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            before = best.setdefault(action, found)
            best[action] = {key: min(value, before[key]) for key, value in found.items()}
    print("                                s   CPU s  passes s  peak MB  / floor  CPU / floor  x faster  peak part")
    for action, found in best.items():
        reference = best.get(f"{action.partition(',')[0]}, reference")
        line = f"{action:25}{found['s']:>8.2f}{found['cpu_s']:>8.2f}{found['passes_s']:>10.2f}{found['peak_mb']:>9.0f}"
        line += f"{found['s'] / best['floor']['s']:>9.2f}{found['cpu_s'] / best['floor']['cpu_s']:>13.2f}"
        if reference and "reference" not in action:
            line += f"{reference['s'] / found['s']:>10.1f}{found['peak_mb'] / reference['peak_mb']:>11.2f}"
        print(line)
    for name in {action.partition(",")[0] for action in actions if action.endswith("reference")} & set(actions):
        print(f"largest difference from the reference, {name}: {difference(folder, name, arrow):.1e} (float16)")


def measured(action: str, folder: Path, workers: int, arrow: bool) -> dict[str, float]:
    name, _, how = action.partition(", ")
    if how == "reference":
        started, cpu_started = time.perf_counter(), time.process_time()
        reference(name, folder)
        return {
            "s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu_started,
            "passes_s": 0.0,
            "peak_mb": peak_mb(),
        }
    import dask
    from distributed import Client, LocalCluster

    with (
        # As the library's own pool: Dask's default, MALLOC_TRIM_THRESHOLD_, gives each block's memory back at once, and
        # getting it again doubles what a pass takes.
        dask.config.set({"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": "1"}}),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        # Imports, and what a first task brings with it.
        client.gather(
            [
                client.submit(moments_of, files, workers=[address], pure=False)
                for address, files in zip(client.scheduler_info()["workers"], chunks(folder, 40), strict=False)
            ]
        )
        warm()
        client.run(warm)
        known = moments(client, folder, workers) if how == "moments known" else None
        cpu_started = sum(client.run(time.process_time).values())
        started = time.perf_counter()
        fitted = None if name == "floor" else fit_to(name, client, folder, workers, known)
        passes_s = time.perf_counter() - started
        files = chunks(folder, workers)
        targets = [folder / f"{name}-{number}.{'arrow' if arrow else 'parquet'}" for number in range(len(files))]
        client.gather(client.map(write, files, targets, fitted=fitted, pure=False))
        seconds = time.perf_counter() - started
        cpu_s = sum(client.run(time.process_time).values()) - cpu_started
        return {"s": seconds, "cpu_s": cpu_s, "passes_s": passes_s, "peak_mb": max(client.run(peak_mb).values())}


def warm() -> None:
    import torch  # noqa: F401 - as a worker that has encoded

    import unicorn_hf.builders.package
    import unicorn_hf.representations.transfer_file  # noqa: F401


def peak_mb() -> float:
    """Of this process; getrusage's figure would begin with its parent's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1.024e-3


def chunks(folder: Path, number: int) -> list[list[Path]]:
    paths = sorted(folder.glob("vectors-*.arrow"))
    return [[paths[place] for place in part] for part in np.array_split(np.arange(len(paths)), number) if len(part)]


# -- ours --------------------------------------------------------------------------------------------------------------


def moments(client: Any, folder: Path, workers: int) -> Any:
    from unicorn_hf.representations.moments import Moments

    return Moments.merged(client.gather(client.map(moments_of, chunks(folder, 8 * workers), pure=False)))


def fit_to(name: Any, client: Any, folder: Path, workers: int, text: Any) -> Any:
    """The passes before the last one."""
    from unicorn_hf.representations.moments import SetMean
    from unicorn_hf.representations.transfer_file import load_image_statistics
    from unicorn_hf.representations.transfers import TransferStatistics, fit
    from unicorn_hf.representations.transfers.realign import Alignment

    text = text or moments(client, folder, workers)
    image = load_image_statistics(folder / "images.safetensors").moments
    statistics = TransferStatistics(text, image)
    if name == "realign":
        files = chunks(folder, 8 * workers)
        means = client.gather(client.map(mean_of, files, alignment=Alignment.fit(statistics), pure=False))
        statistics = TransferStatistics(text, image, SetMean.merged(means))
    return fit(name, statistics)


def moments_of(paths: list[Path]) -> Any:
    from unicorn_hf.representations.moments import Moments
    from unicorn_hf.representations.vectors import read_vectors

    return Moments.merged([Moments.of(read_vectors(path)) for path in paths])


def mean_of(paths: list[Path], alignment: Any) -> Any:
    from unicorn_hf.representations.moments import SetMean
    from unicorn_hf.representations.vectors import read_vectors

    return SetMean.merged([alignment.measure(read_vectors(path)) for path in paths])


def write(paths: list[Path], target: Path, fitted: Any) -> None:
    """The published form of vectors and ids, by the code that writes published shards; as they are if not fitted."""
    from unicorn_hf.builders.package import _writer
    from unicorn_hf.representations.vectors import read_vectors, vector_column

    dim = read_vectors(paths[0]).shape[1]
    schema = pa.schema([("id", pa.string()), ("image_embedding", pa.list_(pa.float16(), dim))])

    def tables() -> Iterator[pa.Table]:
        for path in paths:
            vectors = read_vectors(path)
            column = vector_column(fitted.apply_text(vectors, dtype="float16") if fitted else vectors)
            yield pa.table([ids(int(path.stem.partition("-")[2]), len(vectors)), column], schema=schema)

    with pa.ipc.new_file(str(target), schema) if target.suffix == ".arrow" else _writer(target, schema) as writer:
        for group in regrouped(tables()):
            writer.write_table(group)


def regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of a row group each."""
    waiting = next(tables)
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= ROW_GROUP_ROWS:
            yield waiting.slice(0, ROW_GROUP_ROWS)
            waiting = waiting.slice(ROW_GROUP_ROWS)
    yield waiting


# -- the reference -----------------------------------------------------------------------------------------------------


def reference(name: str, folder: Path) -> None:
    """As one would write it for one's own data: nothing of unicorn_hf."""
    with (folder / "records.pkl").open("rb") as file:
        records = pickle.load(file)  # noqa: S301 - written by `prepare`
    texts = [record["embed"].astype(np.float64) for record in records]
    moved = []
    if name == "mean_shift":
        mean = sum(texts) / len(texts)
        for text in texts:
            shifted = text - mean
            moved.append(shifted / np.linalg.norm(shifted))
    else:
        images = list(np.load(folder / "images.npy").astype(np.float64))
        mean, image_mean = sum(texts) / len(texts), sum(images) / len(images)
        trace = sum(np.sum((text - mean) ** 2) for text in texts) / len(texts)
        image_trace = sum(np.sum((image - image_mean) ** 2) for image in images) / len(images)
        scale = np.sqrt(image_trace / trace)
        aligned = []
        for text in texts:
            vector = image_mean + scale * (text - mean)
            aligned.append(vector / np.linalg.norm(vector))
        aligned_mean = sum(aligned) / len(aligned)
        for vector in aligned:
            vector = vector - aligned_mean + image_mean
            moved.append(vector / np.linalg.norm(vector))
    for record, vector in zip(records, moved, strict=True):
        record["embed"] = vector.astype(np.float16)
    with (folder / f"{name}.pkl").open("wb") as file:
        pickle.dump(records, file)


def difference(folder: Path, name: str, arrow: bool) -> float:
    with (folder / f"{name}.pkl").open("rb") as file:
        theirs = np.stack([record["embed"] for record in pickle.load(file)])  # noqa: S301 - written by `reference`
    paths = sorted(folder.glob(f"{name}-*.{'arrow' if arrow else 'parquet'}"))
    tables = [pa.ipc.open_file(str(path)).read_all() if arrow else pq.read_table(path) for path in paths]
    chunks = pa.concat_tables(tables).column("image_embedding").chunks
    ours = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]).reshape(theirs.shape)
    parts = zip(np.array_split(ours, 50), np.array_split(theirs, 50), strict=True)
    return max(float(np.abs(a.astype(np.float32) - b.astype(np.float32)).max()) for a, b in parts)


# -- data --------------------------------------------------------------------------------------------------------------


def prepare(folder: Path, rows: int, dim: int, pickled: bool) -> None:
    from unicorn_hf.representations.moments import Moments
    from unicorn_hf.representations.transfer_file import ImageStatistics, save_image_statistics

    rng = np.random.default_rng(0)
    text_mean, image_mean = rng.normal(size=dim), rng.normal(size=dim)
    records = []
    for start in range(0, rows, SHARD_ROWS):
        vectors = units(rng, min(SHARD_ROWS, rows - start), text_mean).astype(np.float16)
        names = ids(start, len(vectors))
        table = pa.table({"id": names, "embedding": as_column(vectors)})
        with (
            pa.OSFile(str(folder / f"vectors-{start:09d}.arrow"), "wb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
        if pickled:
            records += [{"id": name, "embed": vector} for name, vector in zip(names, vectors.copy(), strict=True)]
    with (folder / "records.pkl").open("wb") as file:
        pickle.dump([{**record, "embed": record["embed"].copy()} for record in records], file)
    images = units(rng, NUM_IMAGES, image_mean)
    np.save(folder / "images.npy", images)
    save_image_statistics(folder / "images.safetensors", ImageStatistics(Moments.of(images), "e", "e", "noise"))


def units(rng: np.random.Generator, number: int, mean: np.ndarray) -> np.ndarray:
    """Unit vectors around a mean: the norm of their mean is about 0.7, as of a CLIP's."""
    vectors = rng.standard_normal((number, len(mean)), dtype=np.float32) + mean.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ids(start: int, number: int) -> list[str]:
    return [f"{row:024x}" for row in range(start, start + number)]


def as_column(vectors: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


# -- forms of the shards -----------------------------------------------------------------------------------------------


def formats(folder: Path, rows: int, dim: int, repeats: int) -> None:
    """Time and size of one shard in each form, per 100,000 rows."""
    rng = np.random.default_rng(0)
    vectors = units(rng, rows, rng.normal(size=dim))
    print(f"{'':44}{'size':>7}{'write s':>9}{'read s':>8}   (per 100,000 rows of {dim})")
    for dtype in (np.float32, np.float16):
        cast = vectors.astype(dtype)
        table = pa.table({"embedding": as_column(cast)})
        binary = pa.Array.from_buffers(pa.binary(dim * cast.itemsize), rows, [None, pa.py_buffer(cast)])
        for label, write_it, read_it in forms(table, pa.table({"embedding": binary})):
            path = folder / "shard"
            write_s = timed(partial(write_it, path), repeats)
            read_s = timed(partial(read_it, path), repeats)
            part = 100_000 / rows
            size = path.stat().st_size / cast.nbytes
            print(f"{f'{cast.dtype}, {label}':44}{size:>7.3f}{write_s * part:>9.2f}{read_s * part:>8.2f}")


def forms(
    table: pa.Table, binary: pa.Table
) -> Iterator[tuple[str, Callable[[Path], object], Callable[[Path], object]]]:
    def parquet(content: pa.Table, **how: Any) -> Callable[[Path], None]:
        return lambda path: pq.write_table(content, path, use_dictionary=False, row_group_size=ROW_GROUP_ROWS, **how)

    def read_parquet(path: Path) -> object:
        return pq.read_table(path, use_threads=False, memory_map=True)

    def arrow(compression: str | None) -> Callable[[Path], None]:
        def write_it(path: Path) -> None:
            how = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=how) as writer:
                writer.write_table(table, max_chunksize=ROW_GROUP_ROWS)

        return write_it

    def read_arrow(path: Path) -> object:
        """Every page is touched."""
        with pa.memory_map(str(path)) as file:
            column = pa.ipc.open_file(file).read_all().column("embedding")
            return [chunk.flatten().to_numpy()[::1024].astype(np.float32).sum() for chunk in column.chunks]

    split = ["embedding.list.element"]
    yield "Parquet zstd, byte streams split, statistics", parquet(
        table, compression="zstd", use_byte_stream_split=split
    ), read_parquet  # fmt: skip
    yield "Parquet zstd, byte streams split", parquet(
        table, compression="zstd", use_byte_stream_split=split, write_statistics=False
    ), read_parquet  # fmt: skip
    yield "Parquet zstd", parquet(table, compression="zstd", write_statistics=False), read_parquet
    yield "Parquet", parquet(table, compression="none", write_statistics=False), read_parquet
    yield "Parquet, a binary string a row", parquet(binary, compression="none", write_statistics=False), read_parquet
    yield "Arrow IPC zstd", arrow("zstd"), read_arrow
    yield "Arrow IPC lz4", arrow("lz4"), read_arrow
    yield "Arrow IPC", arrow(None), read_arrow


def timed(action: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
