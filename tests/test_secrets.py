"""Keys, tokens and passwords are in no file, no output and no command line; work files are the user's alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tests.builds import write_seeds
from tests.engines.chat_server import Body, ChatServer, Reply
from tests.held_up import held_up
from unicorn_hf.cli import main
from unicorn_hf.core.errors import InputError

pytestmark = pytest.mark.slow

KEY, TOKEN, PASSWORD = "unicorn-key-0f3a9c", "hf_token0f3a9cToken", "pass0f3a9cWord"
SECRETS = (KEY, TOKEN, PASSWORD)
PRIVATE_KEY = "PRIVATE KEY"
ECHO = [
    "build", "demo", "--engine", "echo", "--encoder", "hashing:16", "--captions", "4", "--instructions", "0",
    "--seeds", "seeds.txt",
]  # fmt: skip
ENDPOINT = [
    "build", "demo", "--llm", "any", "--encoder", "hashing:16", "--captions", "4", "--instructions", "0",
    "--seeds", "seeds.txt", "--workers", "1", "--set", "engine.retries=0", "--set", "engine.timeout_s=5",
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run, with the secrets in their environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNICORN_HF_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    write_seeds(tmp_path / "seeds.txt", 8)
    return tmp_path


def files_with(folder: Path, *secrets: str) -> list[str]:
    """Files that hold one of them."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in paths if any(secret.encode() in path.read_bytes() for secret in secrets)]


def commands_with(*secrets: str) -> list[list[str]]:
    """Command lines of this machine's processes that hold one of them."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        found += [line] if any(secret in " ".join(line) for secret in secrets) else []
    return found


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


@pytest.fixture(params=[0o000, 0o022], ids=["umask-000", "umask-022"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_builds_work_and_temporary_files_are_private_and_hold_no_secret(umask: int, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with held_up(tmp_path, TMPDIR=str(temporary)) as build:
        assert commands_with(*SECRETS, PRIVATE_KEY) == []
        assert files_with(tmp_path, *SECRETS, PRIVATE_KEY) == []
        assert modes(tmp_path / "unicorn.work")["."] == 0o700
        scratch = [path for path in temporary.iterdir() if path.name.startswith("unicorn-hf-")]
        assert scratch and {path.stat().st_mode & 0o777 for path in scratch} == {0o700}
    assert [secret for secret in SECRETS if secret in build.output] == []
    assert files_with(tmp_path, *SECRETS, PRIVATE_KEY) == []
    assert modes(tmp_path / "unicorn.work")["."] == 0o700
    published = modes(tmp_path / "unicorn")
    shard = tmp_path / "unicorn" / "pretrain" / "train-00000-of-00001.parquet"
    assert shard.stat().st_nlink == 2, "the published shard is no link of the packaged one"
    assert {mode for name, mode in published.items() if (tmp_path / "unicorn" / name).is_dir()} == {0o777 & ~umask}
    assert {mode for name, mode in published.items() if (tmp_path / "unicorn" / name).is_file()} == {0o666 & ~umask}


SERVERS = {
    "refuses the key": Reply.json({"error": {"message": f"no such key: {KEY}"}}, 401),
    "refuses the request": Reply.json({"error": {"message": f"Bearer {KEY} may not"}}, 400),
    "is broken": Reply(500, f"<pre>authorization: Bearer {KEY}</pre>".encode()),
    "is busy": Reply.json({"error": f"{KEY} asks too often"}, 429),
    "redirects": Reply(302, headers={"location": f"http://user:{PASSWORD}@127.0.0.1:1/v1?key={KEY}"}),
    "answers what is no answer": Reply(200, f"{KEY} {{".encode()),
    "answers without choices": Reply.json({"choices": [], "key": KEY}),
    "cuts the connection": Reply(cuts=True),
}


@pytest.mark.parametrize("reply", SERVERS.values(), ids=SERVERS)
def test_a_key_that_a_server_repeats_is_told_to_nobody(
    reply: Reply, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def script(body: Body, time: int) -> Reply:
        return reply

    server = ChatServer()
    server.script = script
    with server.running():
        done = CliRunner().invoke(main, [*ENDPOINT, "--base-url", server.url])
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    output = done.output + "".join(capfd.readouterr())
    assert [secret for secret in SECRETS if secret in output] == []
    assert files_with(tmp_path, *SECRETS) == []


USER = f"user:{PASSWORD}"
URLS: list[list[str]] = [
    *(
        [*ENDPOINT, "--base-url", url]
        for url in (
            f"http://{USER}@127.0.0.1:1/v1",
            f"http://{USER}@[127.0.0.1:1/v1",
            f"http://127.0.0.1:1/v1?key={PASSWORD}",
            f"{USER}@127.0.0.1:1/v1",
        )
    ),
    *(
        [*ECHO, "--work-dir", url]
        for url in (
            f"s3://{USER}@bucket/path",
            f"s3://key:pass/{PASSWORD}@bucket/path",
            f"s3://key:12/{PASSWORD}@bucket/path",
            f"s3://{USER}@[bucket/path",
            f"s3://bucket/path?signature={PASSWORD}",
            f"s3://bucket/path#{PASSWORD}",
        )
    ),
    *(
        [*ECHO, "--cluster", address]
        for address in (f"tcp://{USER}@127.0.0.1:1", f"tls://{USER}@[127.0.0.1:1", f"{USER}@127.0.0.1:1")
    ),
    [*ECHO, "--out", f"s3://{USER}@bucket/path"],
    [*ECHO, "--push", f"https://{USER}@huggingface.co/ORG/NAME"],
    ["status", f"s3://{USER}@bucket/path"],
    ["clean", f"s3://{USER}@bucket/path"],
    *(
        [*command, f"https://{USER}@huggingface.co/datasets/ORG/NAME"]
        for command in (["build", "--from"], ["inspect"], ["validate"], ["report"], ["push", "unicorn"])
    ),
]


@pytest.mark.parametrize("arguments", URLS, ids=" ".join)
def test_credentials_in_a_url_are_refused_and_not_repeated(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    assert PASSWORD not in done.output
    assert files_with(tmp_path, PASSWORD) == []


@pytest.mark.parametrize(
    "proxy", [f"http://{USER}@127.0.0.1:1", f"nonsense://{USER}@127.0.0.1:1", f"http://user:a/{PASSWORD}@127.0.0.1:1"]
)
def test_the_password_of_a_proxy_is_told_to_nobody(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.2")
    done = CliRunner().invoke(main, [*ENDPOINT, "--base-url", "http://192.0.2.1:9/v1"])
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit), done.exception
    output = done.output + "".join(capfd.readouterr())
    assert PASSWORD not in output
    assert files_with(tmp_path, PASSWORD) == []


def test_an_errors_message_shows_no_credentials_of_a_url() -> None:
    error = InputError(f"no https://{USER}@host/path here", f"see tcp://{USER}@host")
    assert str(error) == "no https://***@host/path here\nsee tcp://***@host"
    assert error.args == ("no https://***@host/path here",)
