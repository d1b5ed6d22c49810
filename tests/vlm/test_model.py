"""The model's loss is the plain formula's; it is saved, loaded and published whole, and answers in batches as alone."""

import json
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch.nn import functional

from tests.builds import rows
from tests.hub.fixtures import HubClient
from tests.vlm import DIM, SET
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.messages import IMAGE, ROLES
from unicorn_hf.torch import Collator, UnicornDataset
from unicorn_hf.vlm import UnicornForConditionalGeneration

Make = Callable[..., UnicornForConditionalGeneration]
QUESTIONS = ["What is it?", "Describe in some detail what can be seen here, and where."]
PLACES = [(1, 1), (4, 1), (4, 4)]
"""Positions of a picture, and the vectors for them."""


@pytest.fixture(scope="module")
def make(language_model: Path) -> Make:
    def make(tokens: int = 4, vectors: int = 4, dataset: Path = SET) -> UnicornForConditionalGeneration:
        torch.manual_seed(1)
        name = str(language_model)
        return UnicornForConditionalGeneration.from_language_model(
            name, dataset, image_tokens=tokens, image_vectors=vectors
        ).eval()

    return make


def restated(model: UnicornForConditionalGeneration, row: Any, tokens: int) -> tuple[torch.Tensor, int]:
    """The sum of a conversation's losses and their number, alone and without padding.

    As in Bunny: the embedded text is cut at the picture, the projector's output is put there, and only the answers and
    what closes them are labels.
    """
    projector, words = model.projector, model.get_input_embeddings()
    vector = torch.tensor(row["image_embedding"]) * math.sqrt(DIM)
    hidden = functional.gelu(projector.first.weight @ vector + projector.first.bias)
    image = (projector.second.weight @ hidden + projector.second.bias).reshape(-1, words.embedding_dim)
    image = image.expand(tokens, -1)
    messages = [{"role": ROLES[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
    text = model.tokenizer.apply_chat_template(messages, tokenize=False)
    inputs, labels = [], []
    for part in re.split(r"((?<=<\|im_start\|>assistant\n).*?<\|im_end\|>)", text, flags=re.DOTALL):
        is_answer = part.endswith("<|im_end|>") and "<|im_start|>" not in part
        before, found, after = part.partition(IMAGE)
        for piece, place in ((before, False), (found, True), (after, False)):
            ids = model.tokenizer(piece, add_special_tokens=False, return_tensors="pt").input_ids[0].long()
            inputs.append(image if place and found else words(ids))
            labels.append(ids if is_answer else torch.full((len(inputs[-1]),), -100))
    logits = model.language_model(inputs_embeds=torch.cat(inputs)[None]).logits[0]
    targets = torch.cat(labels)
    losses = functional.cross_entropy(logits[:-1], targets[1:], reduction="sum", ignore_index=-100)
    return losses, int((targets != -100).sum())


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("tokens", "vectors"), PLACES)
def test_the_loss_is_that_of_the_plain_formula(make: Make, tokens: int, vectors: int, side: str) -> None:
    model = make(tokens, vectors)
    data = UnicornDataset(SET, model.conversation_tokenizer(), config="instruction")
    batch = Collator(model.tokenizer, padding_side=side)([data[number] for number in range(len(data))])
    assert not batch["attention_mask"].all()
    assert batch["image_mask"].sum() == len(data) * tokens
    with torch.no_grad():
        parts = [restated(model, row, tokens) for row in rows(SET, "instruction")]
        expected = sum(loss for loss, _ in parts) / sum(number for _, number in parts)
        torch.testing.assert_close(model(**batch).loss, expected, rtol=0, atol=1e-5)


def test_the_language_model_is_the_one_that_was_named(make: Make, language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    made, given = make().language_model, AutoModelForCausalLM.from_pretrained(language_model)
    for name, weight in given.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], weight, rtol=0, atol=0)


def test_it_comes_back_whole(make: Make, tmp_path: Path) -> None:
    before = make()
    before.generation_config.eos_token_id = [2, 5]
    before.config.training.append({"stage": 1, "rows": "pretrain"})
    before.save_pretrained(tmp_path)
    after = UnicornForConditionalGeneration.from_pretrained(tmp_path).eval()
    for name in ("embed_dim", "image_tokens", "image_vectors", "language_model", "encoder", "datasets", "training"):
        assert getattr(after.config, name) == getattr(before.config, name), name
    assert after.generation_config.eos_token_id == [2, 5]
    for name, weight in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], weight, rtol=0, atol=0)
    vectors = functional.normalize(torch.randn(2, DIM), dim=1)
    options = {"max_new_tokens": 5}
    assert after.answer_vectors(vectors, QUESTIONS, **options) == before.answer_vectors(vectors, QUESTIONS, **options)
    torch.testing.assert_close(after.transfer.apply_image(vectors), before.transfer.apply_image(vectors))


def test_what_is_saved_names_no_folder_of_this_machine(make: Make, language_model: Path, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    for file in tmp_path.iterdir():
        for folder in (language_model, SET, tmp_path):
            assert str(folder.parent).encode() not in file.read_bytes(), file.name
    assert json.loads((tmp_path / "config.json").read_bytes())["datasets"] == [SET.name]


def test_the_projector_keeps_its_precision_in_another_type(make: Make, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    model = UnicornForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert (model.dtype, model.projector.first.weight.dtype) == (torch.bfloat16, torch.float32)
    assert len(model.answer_vectors(torch.randn(1, DIM), QUESTIONS[:1], max_new_tokens=2)) == 1


def test_a_batch_of_questions_is_answered_as_each_alone(make: Make) -> None:
    model = make()
    vectors = torch.randn(2, DIM)
    together = model.answer_vectors(vectors, QUESTIONS, max_new_tokens=8)
    alone = [
        model.answer_vectors(vector[None], [question], max_new_tokens=8)[0]
        for vector, question in zip(vectors, QUESTIONS, strict=True)
    ]
    assert together == alone
    assert together[0] != together[1]


def changed(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


class Planted:
    """A pickle that writes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self._path), "w")


def without_projector(content: bytes) -> bytes:
    weights = safetensors.torch.load(content)
    return safetensors.torch.save({name: one for name, one in weights.items() if "projector" not in name})


FOREIGN: dict[str, dict[str, Callable[[bytes], bytes] | bytes]] = {
    "a tokenizer with code": {
        "tokenizer_config.json": changed(tokenizer_class="Evil", auto_map={"AutoTokenizer": [None, "evil.Evil"]})
    },
    "a model with code": {
        "config.json": changed(text_config={"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}})
    },
    "a pickle": {"pytorch_model.bin": b"pickle", "model.safetensors": b""},
    "other shapes": {"config.json": changed(embed_dim=10**9)},
    "no shape": {"config.json": changed(embed_dim=-1)},
    "a text for a number": {"config.json": changed(image_tokens="4")},
    "a number for a text": {"config.json": changed(encoder=5)},
    "training of another form": {"config.json": changed(training=[1])},
    "scores of another form": {"config.json": changed(scores=[{"on": "x"}])},
    "a list for a model": {"config.json": changed(text_config=[1])},
    "a deep configuration": {"config.json": b'{"a":' * 100_000},
    "no weights": {"model.safetensors": b"\xff" * 100},
    "no projector": {"model.safetensors": without_projector},
    "no transfer": {"transfer.safetensors": b"junk"},
}


@pytest.mark.parametrize("changes", FOREIGN.values(), ids=FOREIGN)
def test_a_model_of_strangers_runs_no_code_and_ends_in_one_message(
    changes: dict[str, Callable[[bytes], bytes] | bytes],
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, mark = tmp_path / "model", tmp_path / "mark"
    make().save_pretrained(folder)
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: ...\n")
    for name, change in changes.items():
        content = change if isinstance(change, bytes) else change((folder / name).read_bytes())
        (folder / name).write_bytes(pickle.dumps(Planted(mark)) if content == b"pickle" else content)
        if not content:
            (folder / name).unlink()
    # transformers may ask whether to run code.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError) as caught:
        UnicornForConditionalGeneration.from_pretrained(folder)
    assert not mark.exists()
    assert caught.value.message


def test_text_alone_is_a_batch_too(make: Make) -> None:
    model = make()
    ids = model.tokenizer("Only words.", return_tensors="pt").input_ids
    torch.testing.assert_close(model(ids).logits, model.language_model(ids).logits)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"image_vectors": 2}, "image_vectors is 2, and image_tokens is 4"),
        ({"name": "/nowhere"}, "cannot load the language model /nowhere"),
        ({"name": "demo:nobody"}, "no demonstration language model"),
        ({"dataset": "/nowhere"}, "no data set at /nowhere"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told(arguments: dict[str, Any], told: str, language_model: Path) -> None:
    given = {"name": str(language_model), "dataset": SET, **arguments}
    with pytest.raises(InputError, match=told):
        UnicornForConditionalGeneration.from_language_model(**given)


@pytest.mark.slow
def test_it_is_published_with_a_card_that_names_the_set(make: Make, hub_client: HubClient) -> None:
    model = make()
    model.config.datasets = ["ORG/unicorn"]
    model.config.training = [{"stage": 1, "learning rate": 5e-4}, {"stage": 2, "learning rate": 1e-5, "noise": 1.0}]
    model.save_pretrained(hub_client.home / "model")
    code = (
        "import sys, torch; from unicorn_hf.vlm import UnicornForConditionalGeneration as Model\n"
        "model = Model.from_pretrained('model'); model.push_to_hub(sys.argv[1])\n"
        "again = Model.from_pretrained(sys.argv[1])\n"
        "assert all(torch.equal(w, again.state_dict()[name]) for name, w in model.state_dict().items())\n"
        "vectors = torch.randn(2, 8)\n"
        "assert torch.equal(model.transfer.apply_image(vectors), again.transfer.apply_image(vectors))\n"
        "assert again.tokenizer.chat_template == model.tokenizer.chat_template\n"
    )
    name = f"{hub_client.hub.user}/model"
    done = hub_client.run(code, name)
    assert done.returncode == 0, done.stderr
    files = hub_client.hub.files(name)
    assert not [file for file in files if file.endswith((".bin", ".pt", ".py"))]
    card = files["README.md"].decode()
    assert "datasets:\n- ORG/unicorn\n" in card
    assert "hashing" in card.partition("- Encoder: ")[2].partition("\n")[0]
    assert "| stage | 1 | 2 |\n|---|---|---|\n| learning rate | 0.0005 | 1e-05 |\n| noise |  | 1.0 |\n" in card
