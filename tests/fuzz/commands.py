"""Whole commands on mutated files: what a user types, what is printed, and how it ends."""

import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from tests.builds import unicorn
from tests.fuzz.cases import INPUTS, PAPERS, FaultError, Kind, check_left, check_message, contents, limited, where
from tests.fuzz.doors import SET, up_to_the_workers
from unicorn_hf.cli import main

_ECHO = ("--engine", "echo", "--encoder", "hashing:16", "--captions", "4", "--instructions", "2", "--out", "out")
_ENCODED = ("--encoder", "hashing:16", "--out", "out")
_KINDS = {kind.name: kind for kind in (*PAPERS, *INPUTS)}


@dataclass(frozen=True)
class Command:
    """A command line, and the kinds of cases whose files it is given."""

    kinds: tuple[str, ...]
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return "-".join((self.arguments[0], *(part.replace("/", "-") for part in self.arguments[1:3]), *self.kinds[:1]))

    @property
    def starts_workers(self) -> bool:
        """Whether it would take seconds, where it succeeds."""
        return self.arguments[0] in ("build", "import") and "--dry-run" not in self.arguments


_PAPERS = tuple(kind.name for kind in PAPERS[:-1])
COMMANDS = (
    Command(_PAPERS, ("validate", SET)),
    Command(_PAPERS, ("validate", SET, "--json")),
    Command(_PAPERS, ("compare", SET, "published/other")),
    Command(_PAPERS, ("compare", SET, "published/other", "--markdown", "--picture", "out.png")),
    Command(_PAPERS, ("inspect", SET, "--sample", "5")),
    Command(_PAPERS, ("inspect", SET, "--json")),
    Command(_PAPERS, ("card", SET)),
    Command(_PAPERS, ("report", SET, "--out", "out.html")),
    Command(_PAPERS, ("build", "--from", SET, "--transfer", "none", "--out", "out")),
    Command(_PAPERS, ("build", "--from", SET, "--captions", "3", "--dry-run")),
    Command(("pretrain", "instruction"), ("export", SET, "--format", "llava", "--out", "out")),
    Command(("pretrain", "instruction"), ("export", SET, "--format", "webdataset", "--out", "out")),
    Command(("statistics.json", "evaluation"), ("overlap", SET, "--with", "own/seeds.csv", "--column", "caption")),
    Command(("own-recipe.yaml", "prompt.yaml"), ("build", "own/recipe.yaml", "--out", "out")),
    Command(("own-recipe.yaml",), ("build", "own/recipe.yaml", "--dry-run")),
    *(
        Command((f"seeds.{form}",), ("build", "--seeds", f"own/seeds.{form}", *column, *_ECHO))
        for form in ("txt", "csv", "tsv", "jsonl", "json", "parquet")
        for column in [("--seed-column", "caption") if form != "txt" else ()]
    ),
    *(
        Command((f"import-{name}",), ("import", f"others/{name}", *_ENCODED))
        for name in ("captions.csv", "captions.txt", "captions.parquet", "llava.json", "chat.jsonl")
    ),
    *(
        Command((f"import-{Path(form).name}",), ("import", form, "--out", "out"))
        for form in ("exports/llava", "exports/sharegpt", "exports/webdataset", SET)
    ),
    Command(("import-release",), ("import", "release", *_ENCODED)),
)


def run(command: Command, number: int, corpus: Path, folder: Path, *, in_a_process: bool) -> None:
    """Run one in an empty folder, which is the working directory.

    Raises:
        FaultError: it ended otherwise than well, or than with one message and a code of its own.
    """
    kind: Kind = _KINDS[command.kinds[number % len(command.kinds)]]
    kind.write(number, corpus, folder)
    before = contents(folder)
    code, output = _in_a_process(command, folder) if in_a_process else _here(command)
    if code:
        check_message(output)
    if orders := {character for character in output if unicodedata.category(character) == "Cc"} - {"\n", "\t"}:
        raise FaultError(f"it prints {orders}")
    # `validate` ends with 1 where it has found something, and has done what it was asked for.
    check_left(folder, before, failed=code != 0)


def _here(command: Command) -> tuple[int, str]:
    with limited(), up_to_the_workers() as reached:
        result = CliRunner().invoke(main, list(command.arguments))
    if reached():
        return 0, ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise FaultError(where(result.exception)) from result.exception
    if result.exit_code not in (0, 1, 2):
        raise FaultError(f"exit code {result.exit_code}")
    return result.exit_code, result.output


def _in_a_process(command: Command, folder: Path) -> tuple[int, str]:
    try:
        done = unicorn(*command.arguments, cwd=folder)
    except subprocess.TimeoutExpired as error:
        raise FaultError(f"more than {error.timeout} s") from error
    if done.returncode not in (0, 1, 2):
        raise FaultError(f"exit code {done.returncode}: {done.stderr[-500:]}")
    if "Traceback" in done.stderr:
        raise FaultError(f"a traceback: {done.stderr[-500:]}")
    return done.returncode, done.stdout + done.stderr
