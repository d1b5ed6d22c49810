"""What asking a model server costs us, beside a bare aiohttp loop that asks the same.

    python benchmarks/endpoint.py [--num 5000] [--rounds 3] [--concurrency 64 128 256] [--delay 0.3]

A server in a process of its own answers each request after `--delay` with a caption that passes the filters, made
before; it counts requests and connections. In rounds that take turns, all with the same prompts:

- loop: one session, one semaphore, `session.post` and `response.json()`, in a process of its own;
- engine: `EndpointGenerator.generate`, in a process of its own;
- Stage 1: `CaptionStage.run` over a pool of workers that are open already, one for each core: prompts made, asked,
  answers stored, filtered, near-duplicates looked for, shards written.

Connections are those opened, over the requests in flight. Requests a second are those of the server, from the first
request to the last reply. CPU is that of all processes but the server, for each caption.

Then `unicorn-hf build` of the same number of captions and no conversations: connections that it opens, the peak of a
worker's memory, the time from its start to the first request and from the last answer to its end, and its CPU with
start, encoding and packaging. Then Stage 1 of twice as many requests with a server that fails: 10 % are refused with
503 and 2 % reset, both at once, as servers do, and 1 % of the replies are cut; once more with `Retry-After: 1`. Then
Stage 1 with one worker and with two, and with filters off, as one replays an exchange.
"""

import argparse
import asyncio
import json
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from full_scale import distinct_seeds

from unicorn_hf.captions.step import CaptionStage
from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.generation import Message, Request
from unicorn_hf.core.recipe import Recipe, Sampling
from unicorn_hf.engines import EndpointEngine
from unicorn_hf.engines.generators.echo import EchoGenerator
from unicorn_hf.engines.generators.endpoint import EndpointGenerator
from unicorn_hf.runtime.cluster import WorkerPool, open_pool
from unicorn_hf.runtime.launch import Place
from unicorn_hf.runtime.machine import cpu_count
from unicorn_hf.runtime.progress import Progress
from unicorn_hf.seeds.step import prepare_seeds

MODEL = "replayed"
PARTITION_ROWS = 250
REFUSED, RESET, CUT = 0.10, 0.02, 0.01
MANY = 512
"""Requests in flight where throughput is to be bounded by the processor."""
WANTED_STAGE_MS, WANTED_ENGINE_MS, WANTED_RATIO, WANTED_CONNECTIONS, WANTED_FAULTS, WANTED_REPLAYED = (
    2.0, 0.9, 0.9, 1.05, 1.2, 1000,
)  # fmt: skip
NO_FILTERS = {
    "min_words": 1, "max_words": 100_000, "max_repeated_fraction": 1.0, "forbid_caption_talk": False,
    "forbid_refusals": False, "forbid_markup": False, "check_language": False, "max_rhetoric": 100_000,
    "min_seed_coverage": 0.0, "min_added_words": 0, "forbid_unsafe": False,
}  # fmt: skip
_SEED = re.compile(rb"A \w+ \w+ \w+ \w+ a \w+ \w+ (?:at|in|after|before)(?: a)? \w+")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """One run, as the server and the processor saw it."""

    num: int
    """Captions, or answers."""
    per_s: float
    """Requests that the server got, in each second from the first to the last reply."""
    seconds: float
    """From the first request to the last reply."""
    cpu_ms: float
    """For each of `num`."""
    connections: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--delay", type=float, default=0.3, help="seconds until an answer comes")
    for name in ("serve", "ask"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(Path(options.serve), options.delay))
    elif options.ask:
        ask_here(**json.loads(options.ask))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = folder / "seeds.txt"
        seeds.write_text("".join(f"{seed}\n" for seed in islice(distinct_seeds(), options.num * 2)))
        with served(seeds, options.delay) as server:
            print(f"{options.num:,} requests, answered after {options.delay:g} s; {cpu_count()} cores\n")
            kinds = ("loop", "engine", "Stage 1")
            print(
                "| in flight | what | requests/s | of the loop's | wanted | CPU ms | wanted | connections/in flight |"
            )
            print("|--:|:--|--:|--:|--:|--:|--:|--:|")
            for concurrency in options.concurrency:
                with stage_of(server, seeds, folder, concurrency, options.num) as stage:
                    rounds = []
                    for number in range(options.rounds):
                        # Each takes each turn.
                        order = kinds[number % 3 :] + kinds[: number % 3]
                        one = {
                            kind: stage() if kind == "Stage 1" else asked(kind, server, seeds, concurrency, options.num)
                            for kind in order
                        }
                        rounds.append([one[kind] for kind in kinds])
                for kind, runs in zip(kinds, zip(*rounds, strict=True), strict=True):
                    ratio = statistics.median(run.per_s / one[0].per_s for run, one in zip(runs, rounds, strict=True))
                    wanted = WANTED_RATIO if kind != "loop" and concurrency <= 128 else ""
                    bound = {"engine": WANTED_ENGINE_MS, "Stage 1": WANTED_STAGE_MS}.get(kind, "")
                    opened = (
                        "kept" if kind == "Stage 1" else f"{max(run.connections for run in runs) / concurrency:.2f}"
                    )
                    print(
                        f"| {concurrency} | {kind} | {median(runs, 'per_s'):,.0f} | {ratio:.2f} | {wanted}"
                        f" | {median(runs, 'cpu_ms'):.2f} | {bound} | {opened} |",
                        flush=True,
                    )
            print("\n| | | wanted |\n|:--|--:|--:|", flush=True)
            tell_build(server, seeds, folder, options.concurrency[-1], options.num)
            tell_faults(server, seeds, folder, options)
            tell_workers(server, seeds, folder, options)
    print(f"\nload of the machine at the end {os.getloadavg()[0]:.1f}, {cpu_count()} cores")


def median(runs: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def line(what: str, value: str, wanted: str = "") -> None:
    print(f"| {what} | {value} | {wanted} |", flush=True)


# -- The runs ---------------------------------------------------------------------------------------------------------


def asked(kind: str, server: "Served", seeds: Path, concurrency: int, num: int) -> Measured:
    """The loop or the engine, in a process of its own."""
    server.reset()
    told = {"kind": kind, "url": server.url, "seeds": str(seeds), "concurrency": concurrency, "num": num}
    command = [sys.executable, __file__, "--ask", json.dumps(told)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return server.measured(num, float(done.stdout))


def ask_here(kind: str, url: str, seeds: str, concurrency: int, num: int) -> None:
    """Ask, and print the processor seconds that it took, without the interpreter's start."""
    system = Message("system", "Write one caption for the seed. " + "Name what can be seen, and where it is. " * 40)
    with Path(seeds).open() as file:
        requests = [
            Request(str(at), seed.strip(), (system, Message("user", f"Seed: {seed.strip()}")), Sampling(), at)
            for at, seed in enumerate(islice(file, num))
        ]
    if kind == "loop":
        before = time.process_time()
        asyncio.run(bare_loop(url, concurrency, requests))
        print(time.process_time() - before)
        return
    engine = EndpointEngine(kind="endpoint", base_url=url, model=MODEL, concurrency=concurrency)
    generator = EndpointGenerator(engine)
    before = time.process_time()
    num_answers = sum(1 for _ in generator.generate(requests))
    print(time.process_time() - before)
    generator.close()
    assert num_answers == num


async def bare_loop(url: str, concurrency: int, requests: Sequence[Request]) -> None:
    """What one writes who needs nothing but the texts."""
    import aiohttp

    free, texts = asyncio.Semaphore(concurrency), []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def ask(request: Request) -> None:
            body = {
                "model": MODEL,
                "messages": [{"role": message.role, "content": message.content} for message in request.messages],
                "temperature": request.sampling.temperature,
                "max_tokens": request.sampling.max_tokens,
                "seed": request.seed,
            }
            async with free, session.post(f"{url}/chat/completions", json=body) as response:
                texts.append((await response.json())["choices"][0]["message"]["content"])

        await asyncio.gather(*map(ask, requests))
    assert len(texts) == len(requests)


def recipe_of(server: "Served", seeds: Path, concurrency: int, num: int, **filters: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "seeds": {"sources": [{"kind": "file", "path": str(seeds)}]},
            "engine": {"kind": "endpoint", "base_url": server.url, "model": MODEL, "concurrency": concurrency},
            "partition_rows": PARTITION_ROWS,
            "captions": {"num": num, "filters": filters},
            "instructions": {"num": 0},
            "representations": {"encoder": "hashing:16"},
        }
    )


@contextmanager
def stage_of(
    server: "Served",
    seeds: Path,
    folder: Path,
    concurrency: int,
    num: int,
    *,
    workers: int | None = None,
    **filters: Any,
) -> Iterator[Any]:
    """Runs of Stage 1 with workers whose engines are open; each run is in a folder of its own."""
    workers = workers or cpu_count()
    generator = resolve_generator(recipe_of(server, seeds, concurrency, num).engine).for_one_of(workers)

    def run(pool: WorkerPool, num: int) -> int:
        # Left until the end: a worker may have a journal of answers open in it.
        here = Path(tempfile.mkdtemp(dir=folder))
        recipe = recipe_of(server, seeds, concurrency, num, **filters)
        shards, _ = prepare_seeds(recipe, folder / "prepared")
        before, _ = cpu_seconds(), server.reset()
        made = CaptionStage(recipe, shards, generator, here, here / "answers").run(pool, Progress())
        spent.append(cpu_seconds() - before)
        return made.num

    spent: list[float] = []
    at_once = generator.engine.partitions_at_once(PARTITION_ROWS)
    with open_pool(Place(workers), generator.environment, lambda event: None, jobs_at_once=at_once) as pool:
        run(pool, min(num, 2 * workers * PARTITION_ROWS))
        yield lambda: server.measured(run(pool, num), spent[-1])


def cpu_seconds() -> float:
    """Of this process and all below it, but the server."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            if "--serve" not in process.cmdline():
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return total


def tell_build(server: "Served", seeds: Path, folder: Path, concurrency: int, num: int) -> None:
    recipe = folder / "served.json"
    recipe.write_text(recipe_of(server, seeds, concurrency, num).model_dump_json())
    server.reset()
    started, before, peak = time.monotonic(), cpu_of_children(), 0
    out = folder / "unicorn"
    command = [sys.executable, "-m", "unicorn_hf", "build", recipe, "--out", out]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        peak = max([peak, *map(peak_memory, process.children(recursive=True))])
        time.sleep(0.1)
    ended = time.monotonic()
    if process.returncode:
        raise SystemExit(process.stderr.read().decode())
    usage = cpu_of_children() - before
    counts = server.counts()
    at = f"of a build, {concurrency} in flight"
    line(f"connections opened, {at}", f"{counts['connections'] / concurrency:.2f}", f"{WANTED_CONNECTIONS}")
    line("peak memory of a worker (resident, with shared libraries)", f"{peak / 2**20:,.0f} MiB")
    line("start of the command to first request", f"{counts['first'] - started:.1f} s")
    line("last answer to the end of the command", f"{ended - counts['last']:.1f} s")
    line("CPU of the whole build, a caption", f"{1e3 * usage / num:.2f} ms")


def cpu_of_children() -> float:
    """Of all processes below this one that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def peak_memory(process: psutil.Process) -> int:
    """Bytes."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else 0


def tell_faults(server: "Served", seeds: Path, folder: Path, options: argparse.Namespace) -> None:
    concurrency = min(128, options.concurrency[-1])
    taken: dict[str, list[float]] = {"": [], "fail": [], "wait": []}
    with stage_of(server, seeds, folder, concurrency, 2 * options.num) as stage:
        for _ in range(options.rounds):
            for faults, seconds in taken.items():
                server.faults = faults
                seconds.append(stage().seconds)
    server.faults = ""
    for faults, name, wanted in (("fail", "", f"{WANTED_FAULTS}"), ("wait", ", 503 with Retry-After: 1", "")):
        ratio = statistics.median(one / whole for one, whole in zip(taken[faults], taken[""], strict=True))
        line(f"time of Stage 1 with faults{name}, of that without, {concurrency} in flight", f"{ratio:.2f}", wanted)


def tell_workers(server: "Served", seeds: Path, folder: Path, options: argparse.Namespace) -> None:
    for filters, name, wanted in (({}, "", ""), (NO_FILTERS, ", filters off", f"{WANTED_REPLAYED:,}")):
        for workers in (1, 2):
            with stage_of(server, seeds, folder, MANY, options.num, workers=workers, **filters) as stage:
                runs = [stage() for _ in range(options.rounds)]
            line(
                f"requests/s with {workers} workers, {MANY} in flight{name}",
                f"{median(runs, 'per_s'):,.0f} ({median(runs, 'cpu_ms'):.2f} ms of CPU each)",
                wanted if workers > 1 else "",
            )


# -- The server -------------------------------------------------------------------------------------------------------


class Served:
    """The server, as its clients see it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.faults = ""
        """What goes wrong: nothing, something (`fail`), or that and a server that asks to be left alone (`wait`)."""

    def reset(self) -> None:
        self._get(f"reset-{self.faults}")

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads(self._get("counts"))
        return counts

    def measured(self, num: int, cpu_s: float) -> Measured:
        counts = self.counts()
        seconds = counts["last"] - counts["first"]
        return Measured(num, counts["requests"] / seconds, seconds, 1e3 * cpu_s / num, counts["connections"])

    def _get(self, name: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{name}") as reply:  # noqa: S310
            content: bytes = reply.read()
            return content


@contextmanager
def served(seeds: Path, delay_s: float) -> Iterator[Served]:
    command = [sys.executable, __file__, "--serve", str(seeds), "--delay", str(delay_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield Served(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


class Counting(asyncio.Protocol):
    """One connection. HTTP is read as far as it takes to answer: head, length, body."""

    requests = connections = 0
    first = last = 0.0
    faults = ""
    delay_s = 0.0
    replies: dict[bytes, bytes]
    rng = random.Random(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""
        self._is_counted = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if len(rest) < (size := int(length[1]) if length else 0):
            return
        self._received = rest[size:]
        if head.startswith(b"GET"):
            self._transport.write(whole(self._told(head.split()[1])))
        else:
            self._answer(rest[:size])

    def _told(self, path: bytes) -> bytes:
        kind = Counting
        if b"/reset-" in path:
            kind.requests, kind.connections, kind.faults = 0, 0, path.decode().partition("/reset-")[2]
        counts = {name: getattr(kind, name) for name in ("requests", "connections", "first", "last")}
        return json.dumps(counts if b"/counts" in path else {"data": [{"id": MODEL}]}).encode()

    def _answer(self, body: bytes) -> None:
        kind, now = Counting, time.monotonic()
        kind.first = kind.first if kind.requests else now
        kind.requests += 1
        if not self._is_counted:
            self._is_counted = True
            kind.connections += 1
        reply, luck = whole(kind.replies[_SEED.findall(body)[-1]]), kind.rng.random() if kind.faults else 1.0
        if luck < REFUSED:
            asks = b"retry-after: 1\r\n" if kind.faults == "wait" else b""
            self._transport.write(b"HTTP/1.1 503 Busy\r\n%scontent-length: 0\r\n\r\n" % asks)
        elif luck < REFUSED + RESET:
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._transport.abort()
        else:
            if luck < REFUSED + RESET + CUT:
                reply = whole(reply.partition(b"\r\n\r\n")[2][:200])
            asyncio.get_running_loop().call_later(kind.delay_s, self._send, reply)

    def _send(self, reply: bytes) -> None:
        Counting.last = time.monotonic()
        self._transport.write(reply)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def serve(seeds: Path, delay_s: float) -> None:
    Counting.delay_s = delay_s
    Counting.replies = dict(replies(seeds.read_text().splitlines()))
    server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def replies(seeds: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
    """For each seed what a server says: the caption of a rehearsal."""
    requests = [Request(seed, seed, (Message("user", seed),), Sampling(), 0) for seed in seeds]
    for at, answer in EchoGenerator().generate(requests):
        message = {"role": "assistant", "content": answer.text}
        usage = {"prompt_tokens": 700, "completion_tokens": 120, "total_tokens": 820}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        value = {
            "id": f"chatcmpl-{at}",
            "object": "chat.completion",
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        }
        yield seeds[at].encode(), json.dumps(value | {"usage": usage}).encode()


if __name__ == "__main__":
    main()
