"""The server of `tests.warm`: it has imported what a command imports, and each command is a fork of it.

Only the standard library at the start: interpreters of other environments run it too.
"""

import gc
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

_PUBLISHED = Path(__file__).parent / "golden" / "published"
_FOR_DATASETS = (
    "pandas", "pyarrow.dataset", "pyarrow.compute", "pyarrow.parquet", "fsspec", "multiprocess", "dill", "httpx",
    "requests", "aiohttp", "tqdm.auto", "yaml",
)  # fmt: skip
_IMPORTED = {
    "datasets": _FOR_DATASETS,
    "command": (
        *_FOR_DATASETS,
        "unicorn_hf.pipeline.run",
        "unicorn_hf.views.report",
        "distributed",
        "matplotlib.figure",
    ),
    "torch": (*_FOR_DATASETS, "torch", "transformers.models.llama.modeling_llama", "unicorn_hf.torch"),
}


def _warm_up(imports: str) -> None:
    for name in _IMPORTED[imports]:
        with suppress(ImportError):  # Versions of `datasets` need different ones.
            importlib.import_module(name)
    if imports == "command":
        _run_commands()
    # Nothing of ours keeps it: it is imported where it is used.
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]
    assert "datasets" not in sys.modules
    gc.freeze()


def _run_commands() -> None:
    """What is read and computed once: templates, fonts, prompts, the identity of the code, the model of languages."""
    from click.testing import CliRunner

    from unicorn_hf.cli import main

    with tempfile.TemporaryDirectory() as folder:
        made = shutil.copytree(max(_PUBLISHED.iterdir()), Path(folder, "set"))
        plan = ["build", "--engine", "echo", "--encoder", "hashing:8", "--out", str(Path(folder, "out")), "--dry-run"]
        for arguments in (["card", str(made)], plan):
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, done.output


def _serve() -> dict[str, Any]:
    """Answers requests, until the process is a fork that is to do one."""
    for line in sys.stdin:
        if not (child := os.fork()):
            request: dict[str, Any] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - to who asks
    sys.exit()


def _do(request: dict[str, Any]) -> None:
    for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0)  # noqa: SIM115 - what the server has read ahead is not the command's
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    arguments = request["arguments"]
    module = ModuleType("__main__")
    # Worker processes import the main module of who starts them, where it has a file.
    sys.modules["__main__"] = module
    if arguments[:1] == ["-c"]:
        sys.argv = ["-c", *arguments[2:]]
        added = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:1] = ["", *(path for path in added if path and path not in sys.path[1:])]
        exec(arguments[1], module.__dict__)
    else:
        from unicorn_hf.cli import main

        sys.argv = ["unicorn-hf", *arguments]
        main()


if __name__ == "__main__":
    _warm_up(sys.argv[1])
    _do(_serve())
