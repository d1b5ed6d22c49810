"""Stage 1 over the same prompts given to the engine plainly: how much of the engine's time the library loses.

    python benchmarks/stage1.py [--num 1000] [--max-tokens 48] [--pairs 3] [--model demo:smollm2-135m-instruct]
    python benchmarks/stage1.py --endpoint

Compared are, in pairs that take turns on one machine, with the same model, settings, prompts, sampling and seeds:

- plain: one `LLM.chat` call over all prompts, in a process of its own; with `--endpoint`, an asyncio client with the
  same bound on requests in flight;
- ours: `CaptionStage.run` with a Dask worker: seeds read, prompts made, asked, answers stored, filtered, written.

Both engines run all the while, each in its process, and only one works at a time; their start, and a first small run,
are left out. With `--endpoint` both ask one `vllm serve` on loopback. Answers are cut at `--max-tokens`, so that both
write as much; the filters then reject most of them. Processor seconds tell what a machine that is busy with other
things hides in the seconds.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.engine import GeneratorSpec, resolve_generator
from unicorn_hf.core.errors import RunError
from unicorn_hf.core.generation import Answer, Request
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.engines import EndpointEngine, VllmEngine
from unicorn_hf.runtime.answers import AnswerStore
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.runtime.work import Work
from unicorn_hf.seeds.step import prepare_seeds

NUM_WARM = 16
SEEDS = Path(__file__).parent.parent / "unicorn_hf/seeds/data/parti_prompts_sample.tsv"


@dataclass(frozen=True)
class Measured:
    """What one side took for all prompts."""

    seconds: float
    cpu_s: float
    """Processor time of all its processes; of a server none."""
    num_answers: int
    num_tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=1000, help="prompts")
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--model", default="demo:smollm2-135m-instruct")
    parser.add_argument("--max-model-len", type=int, default=1024)
    parser.add_argument("--max-num-seqs", type=int, default=64)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.4, help="of each of the two engines")
    parser.add_argument("--partition-rows", type=int, default=256)
    parser.add_argument("--endpoint", action="store_true")
    options = parser.parse_args()
    engine = VllmEngine(
        model=options.model,
        dtype="bfloat16",
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        gpu_memory_utilization=options.gpu_memory_utilization,
    )
    generator = resolve_generator(engine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = folder / "seeds.txt"
        seeds.write_text("\n".join(varied(options.num)))
        recipe = recipe_of(seeds, engine, options)
        shards, _ = prepare_seeds(recipe, folder / "seeds")
        if options.endpoint:
            with serving(engine, generator.model) as (url, server_pid):
                served = EndpointEngine(
                    kind="endpoint", base_url=url, model=generator.model, concurrency=options.max_num_seqs
                )
                compare_endpoint(
                    recipe.model_copy(update={"engine": served}), shards, folder, options.pairs, server_pid
                )
        else:
            compare_vllm(recipe, generator, shards, folder, options.pairs)


def compare_vllm(recipe: Recipe, generator: GeneratorSpec, shards: SeedShards, folder: Path, pairs: int) -> None:
    requests = requests_of(recipe, shards, folder)
    variables = generator.environment(cpu_count())
    os.environ.update(variables)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(plain_start, recipe.engine, generator.model).result()
        process.submit(plain_chat, requests[:NUM_WARM]).result()
        with pool_of(recipe, generator, variables) as pool:
            ours = warmed(recipe, generator, shards, folder, pool, process.submit(os.getpid).result())
            report("LLM.chat", pairs, len(requests), lambda: process.submit(plain_chat, requests).result(), ours)


def compare_endpoint(recipe: Recipe, shards: SeedShards, folder: Path, pairs: int, server_pid: int) -> None:
    requests = requests_of(recipe, shards, folder)
    generator = resolve_generator(recipe.engine)
    assert isinstance(recipe.engine, EndpointEngine)
    engine = recipe.engine
    with pool_of(recipe, generator, {}) as pool:
        ours = warmed(recipe, generator, shards, folder, pool, server_pid)
        report("asyncio", pairs, len(requests), lambda: asyncio.run(plain_client(engine, requests)), ours)


def report(name: str, pairs: int, num: int, plain: Callable[[], Measured], ours: Callable[[], Measured]) -> None:
    """Both in turn, the first of each pair the second of the next; ratios of the pairs, and their median."""
    print(f"{num:,} requests\n\n| pair | {name} s | ours s | ratio | {name} CPU s | ours CPU s | ratio | tokens each |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    ratios, cpu_ratios = [], []
    for pair in range(pairs):
        if pair % 2:
            mine, reference = ours(), plain()
        else:
            reference, mine = plain(), ours()
        assert reference.num_answers == mine.num_answers == num, (reference, mine)
        ratios.append(mine.seconds / reference.seconds)
        cpu_ratios.append(mine.cpu_s / reference.cpu_s)
        wall = f"{reference.seconds:.1f} | {mine.seconds:.1f} | {ratios[-1]:.3f}"
        cpu = f"{reference.cpu_s:.1f} | {mine.cpu_s:.1f} | {cpu_ratios[-1]:.3f}"
        print(f"| {pair + 1} | {wall} | {cpu} | {reference.num_tokens:,} and {mine.num_tokens:,} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.3f}, of processor time {statistics.median(cpu_ratios):.3f};")
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}, {cpu_count()} cores")


# -- Ours -------------------------------------------------------------------------------------------------------------


def varied(num: int) -> Iterator[str]:
    """Seeds of PartiPrompts, again and again with another view."""
    lines = [line.split("\t")[0] for line in SEEDS.read_text(encoding="utf-8").splitlines()[1:]]
    views = ["", " in the morning", " at night", " from above", " from behind", " far away", " close by", " in winter"]
    for index in range(num):
        turn, at = divmod(index, len(lines))
        yield f"{lines[at]}{views[turn % len(views)]}" + (f", {turn} of them" if turn >= len(views) else "")


def recipe_of(seeds: Path, engine: VllmEngine, options: argparse.Namespace) -> Recipe:
    """One sample of each seed, and no bound on what is rejected: so many requests, whatever is answered."""
    return Recipe.model_validate(
        {
            "seeds": {"sources": [{"kind": "file", "path": str(seeds)}]},
            "engine": engine.model_dump(),
            "partition_rows": options.partition_rows,
            "captions": {
                "num": options.num,
                "captions_per_seed": 1,
                "max_rejected": 1.0,
                "prompt": "caption-v1-short",
                "sampling": {"temperature": 0.7, "max_tokens": options.max_tokens},
            },
            "instructions": {"num": 1},
            "representations": {"encoder": "hashing:8"},
        }
    )


@contextmanager
def pool_of(recipe: Recipe, generator: GeneratorSpec, variables: dict[str, str]) -> Iterator[WorkerPool]:
    at_once = generator.engine.partitions_at_once(recipe.partition_rows)
    with open_pool(Place(1), lambda num_threads: variables, lambda event: None, jobs_at_once=at_once) as pool:
        yield pool


def warmed(
    recipe: Recipe, generator: GeneratorSpec, shards: SeedShards, folder: Path, pool: WorkerPool, plain_pid: int
) -> Callable[[], Measured]:
    """A measurement of Stage 1, in a new work folder each time, after the engine has started and answered something."""

    def stage1(shards: SeedShards) -> Measured:
        work_dir = Path(tempfile.mkdtemp(dir=folder))
        started, cpu_before = time.monotonic(), own_cpu_s(plain_pid)
        stage = CaptionStage(recipe, shards, generator, work_dir, work_dir / "answers")
        try:
            stage.run(pool, Progress())
        except RunError as error:
            if "captions are kept" not in error.message:  # Cut answers are no captions.
                raise
        seconds, cpu_s = time.monotonic() - started, own_cpu_s(plain_pid) - cpu_before
        counts = [answer.num_output_tokens for _, answer in AnswerStore(stage.answers).all()]
        return Measured(seconds, cpu_s, len(counts), sum(counts))

    source = recipe.seeds.sources[0].model_copy(update={"limit": NUM_WARM})
    warm = recipe.model_copy(update={"seeds": recipe.seeds.model_copy(update={"sources": (source,)})})
    few, _ = prepare_seeds(warm, folder / "few")
    stage1(few)
    return lambda: stage1(shards)


def own_cpu_s(other_pid: int) -> float:
    """Processor seconds of this process and of those that it started, the other side's aside."""
    import psutil

    own = psutil.Process()
    others = psutil.Process(other_pid)
    left_out = {others, *others.children(recursive=True)}
    processes = [own, *(child for child in own.children(recursive=True) if child not in left_out)]
    times = [process.cpu_times() for process in processes]
    return float(sum(time.user + time.system for time in times))


class Recorder:
    """A generator's spec and the generator, which answers nothing and keeps what it is asked."""

    identity = "recorder"
    keeps_answers = False
    uses_gpu = False

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def open(self) -> "Recorder":
        return self

    def close(self) -> None: ...

    def missing(self, requests: object) -> None: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        self.requests += requests
        yield from ((position, Answer("", "stop", 0, 0)) for position in range(len(requests)))


class InThisProcess:
    """A pool without workers."""

    def run(self, jobs: Sequence[Any], on_record: Callable[[Any], None], **how: bool) -> list[Any]:
        work = Work()
        return [job.run(work) for job in jobs]


def requests_of(recipe: Recipe, shards: SeedShards, folder: Path) -> list[Request]:
    """What Stage 1 asks."""
    recorder = Recorder()
    stage = CaptionStage(recipe, shards, recorder, folder / "recorded", folder / "recorded" / "answers")  # type: ignore[arg-type]
    try:
        stage.run(InThisProcess(), Progress())
    except RunError:
        return recorder.requests
    raise AssertionError("captions without a text")


# -- Plain ------------------------------------------------------------------------------------------------------------

_llm: Any = None


def plain_start(engine: VllmEngine, model: str) -> None:
    """In the process of its own."""
    global _llm
    from vllm import LLM

    from unicorn_hf.engines.vllm import is_cpu_build

    settings: dict[str, Any] = {
        "model": model,
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    if is_cpu_build():
        settings |= {"enforce_eager": True, "enable_chunked_prefill": False}
    else:
        settings["gpu_memory_utilization"] = engine.gpu_memory_utilization
    _llm = LLM(**settings)


def sampling_params(request: Request) -> Any:
    """What a user of the plain engine would write for the request."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=request.sampling.temperature,
        top_p=request.sampling.top_p,
        repetition_penalty=request.sampling.repetition_penalty,
        max_tokens=request.sampling.max_tokens,
        seed=request.seed,
    )


def plain_chat(requests: Sequence[Request]) -> Measured:
    started, cpu_before = time.monotonic(), time.process_time()
    outputs = _llm.chat(
        [messages_of(request) for request in requests],
        [sampling_params(request) for request in requests],
        use_tqdm=False,
    )
    num_tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    return Measured(time.monotonic() - started, time.process_time() - cpu_before, len(outputs), num_tokens)


async def plain_client(engine: EndpointEngine, requests: Sequence[Request]) -> Measured:
    """What one writes who needs neither retries nor records."""
    from huggingface_hub import get_async_session

    free = asyncio.Semaphore(engine.concurrency)
    async with get_async_session() as session:

        async def ask(request: Request) -> int:
            body = {
                "model": engine.model,
                "messages": messages_of(request),
                "temperature": request.sampling.temperature,
                "top_p": request.sampling.top_p,
                "max_tokens": request.sampling.max_tokens,
                "seed": request.seed,
            }
            async with free:
                response = await session.post(f"{engine.base_url}/chat/completions", json=body, timeout=600)
            response.raise_for_status()
            num_tokens: int = response.json()["usage"]["completion_tokens"]
            return num_tokens

        started, cpu_before = time.monotonic(), time.process_time()
        tokens = await asyncio.gather(*(ask(request) for request in requests))
    return Measured(time.monotonic() - started, time.process_time() - cpu_before, len(tokens), sum(tokens))


def messages_of(request: Request) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in request.messages]


@contextmanager
def serving(engine: VllmEngine, model: str) -> Iterator[tuple[str, int]]:
    """vLLM's own server of the model, on loopback: its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = resolve_generator(engine).environment(cpu_count()) | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    os.environ["NO_PROXY"] = "127.0.0.1"
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port),
        "--host", "127.0.0.1", "--dtype", engine.dtype, "--max-model-len", str(engine.max_model_len),
        "--max-num-seqs", str(engine.max_num_seqs),
    ]  # fmt: skip
    if "VLLM_CPU_KVCACHE_SPACE" in variables:
        command += ["--enforce-eager", "--no-enable-chunked-prefill"]
    server = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_up(f"http://127.0.0.1:{port}/health"):
            if server.poll() is not None:
                raise SystemExit(f"the server does not start: {' '.join(command)}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1", server.pid
    finally:
        server.terminate()
        server.wait()


def is_up(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return bool(opener.open(address, timeout=2).status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
