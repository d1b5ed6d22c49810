"""A model that vLLM loads: where it is, and what its answers are found by."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.core.errors import InputError
from unicorn_hf.engines import VllmEngine


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model's."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def identity(model: Path | str, **changes: object) -> str:
    return resolve_generator(VllmEngine(model=str(model), **changes)).identity  # type: ignore[arg-type]


def test_a_models_folder_is_found_from_anywhere(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    monkeypatch.setenv("HOME", str(model.parent))
    for name in (str(model), "model", "./model", "~/model"):
        spec = resolve_generator(VllmEngine(model=name))
        assert spec.model == str(model)
        assert spec.engine.title == name
        assert not spec.deterministic
    assert identity("model") == identity(model)


def test_a_hub_name_is_taken_as_it_is() -> None:
    spec = resolve_generator(VllmEngine(model="org/model"))
    assert spec.model == spec.engine.title == "org/model"
    assert identity("org/model") != identity("org/model-2")
    assert identity("org/model") != identity("org/model", revision="v2")


COMMITS = {"main": "a" * 40, "v2": "b" * 40}


class Hub(BaseHTTPRequestHandler):
    """Has one model, of which it shows the configuration."""

    def do_HEAD(self) -> None:
        _, owner, name, _, revision, file = self.path.split("/")
        commit = COMMITS.get(revision, revision if revision in COMMITS.values() else None)
        if (owner, name, file) != ("org", "model", "config.json") or not commit:
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if name == "model" else "RepoNotFound")
            self.end_headers()
            return
        self.send_response(200)
        for header, value in {"X-Repo-Commit": commit, "ETag": f'"{commit}"', "Content-Length": "2"}.items():
            self.send_header(header, value)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None: ...


_RESOLVE = """
import sys
from unicorn_hf.core.errors import InputError
from unicorn_hf.engines import VllmEngine
from unicorn_hf.core.engine import resolve_generator
for argument in sys.argv[1:]:
    name, _, revision = argument.partition("@")
    try:
        spec = resolve_generator(VllmEngine(model=name, revision=revision or None))
        print(spec.engine.revision, spec.identity)
    except InputError as error:
        print(error.message)
"""


def test_a_hubs_model_is_known_by_its_commit_whether_the_hub_is_in_reach_or_not(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path),
        "NO_PROXY": "127.0.0.1",
    }

    def resolved(*names: str, **changes: str) -> list[str]:
        # A process of its own, since huggingface_hub reads its variables when it is imported.
        command = [sys.executable, "-c", _RESOLVE, *names]
        return subprocess.run(command, env=environment | changes, capture_output=True, text=True).stdout.splitlines()

    asked = ("org/model", "org/model@v2", f"org/model@{COMMITS['main']}")
    online = resolved(*asked)
    assert [line.split()[0] for line in online] == [COMMITS["main"], COMMITS["v2"], COMMITS["main"]]
    assert online[0] == online[2]
    assert resolved("org/other", "org/model@v3") == [
        "the Hub has no model org/other, or denies access to it",
        "the Hub has no model org/model at revision v3, or denies access to it",
    ]
    assert resolved(*asked, HF_HUB_OFFLINE="1") == online
    server.shutdown()
    server.server_close()
    assert resolved(*asked) == online
    unknown = resolved("org/model", HF_HOME=str(tmp_path / "empty"), HF_HUB_OFFLINE="1")
    assert unknown[0].startswith("None ")


def test_the_identity_is_of_all_that_answers_depend_on_and_of_nothing_else(model: Path) -> None:
    before = identity(model)
    assert identity(model, max_num_seqs=3, gpu_memory_utilization=0.5, tensor_parallel_size=2) == before
    assert identity(model, dtype="float32") != before
    assert identity(model, max_model_len=512) != before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_another_file_content_is_another_model(model: Path, name: str) -> None:
    before = identity(model)
    (model / name).write_bytes(b"{ }    ")
    assert identity(model) != before


def test_checkpoints_of_one_size_are_told_apart_though_they_are_large(model: Path) -> None:
    """The weights of two checkpoints have equal names and equal sizes, and are too large to be read whole."""
    weights = model / "model.safetensors"
    num_bytes = 80 * 2**20
    weights.write_bytes(bytes(num_bytes))
    before = identity(model)
    assert identity(model) == before
    weights.write_bytes(b"\x01" * num_bytes)
    assert identity(model) != before
    with weights.open("wb") as file:
        file.write(bytes(num_bytes))
        file.seek(-1, 2)
        file.write(b"\x01")
    assert identity(model) != before


@pytest.mark.parametrize("name", ["./none", "../none", "/none/model", "~/none/model"])
def test_a_folder_that_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        resolve_generator(VllmEngine(model=name))
    assert caught.value.message == f"no model folder {name}"
    assert "--llm" in caught.value.advice


@pytest.mark.parametrize(
    ("missing", "message"), [("config.json", "it has no config.json"), ("model.safetensors", "it has no weights")]
)
def test_a_folder_that_is_no_model_says_what_it_lacks(model: Path, missing: str, message: str) -> None:
    (model / missing).unlink()
    with pytest.raises(InputError, match=message):
        resolve_generator(VllmEngine(model=str(model)))


def test_an_unknown_demonstration_model_names_the_known() -> None:
    with pytest.raises(InputError) as caught:
        resolve_generator(VllmEngine(model="demo:smollm2"))
    assert "no demonstration language model 'smollm2'" in caught.value.message
    assert "demo:smollm2-135m-instruct" in caught.value.message + caught.value.advice
