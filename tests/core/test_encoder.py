"""The grammar of encoder names."""

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unicorn_hf.core.encoder import grammar, parse_encoder, published_encoder, resolve_encoder
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.model_source import ModelSource
from unicorn_hf.encoders import Clip, Hashing, Llm2Clip, OpenClip
from unicorn_hf.encoders.hashing import HashingEncoder
from unicorn_hf.encoders.llm2clip import LLM


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("hashing:1", Hashing(1)),
        ("hashing:512", Hashing(512)),
        ("hashing:65536", Hashing(65_536)),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", OpenClip("ViT-B-32", "laion2b_s34b_b79k")),
        ("open_clip:ViT-B-32//data/vit.safetensors", OpenClip("ViT-B-32", "/data/vit.safetensors")),
        ("open_clip:ViT-B-32/weights/vit.pt", OpenClip("ViT-B-32", "weights/vit.pt")),
        ("open_clip:ViT-B-32/./vit.pt", OpenClip("ViT-B-32", "./vit.pt")),
        ("open_clip:ViT-L-14/a:b.pt", OpenClip("ViT-L-14", "a:b.pt")),
        ("open_clip:hf-hub:org/name", OpenClip("hf-hub:org/name", None)),
        ("open_clip:local-dir:/models/clip", OpenClip("local-dir:/models/clip", None)),
        ("open_clip:local-dir:models/a/b", OpenClip("local-dir:models/a/b", None)),
        ("open_clip:demo:minilm", OpenClip("demo:minilm", None)),
        ("clip:openai/clip-vit-large-patch14", Clip(ModelSource("openai/clip-vit-large-patch14"))),
        ("clip:org/name@v1.0", Clip(ModelSource("org/name", "v1.0"))),
        ("clip:/models/a@b+c", Clip(ModelSource("/models/a@b+c"))),
        ("clip:./clip", Clip(ModelSource("./clip"))),
        ("clip:~/clip", Clip(ModelSource("~/clip"))),
        ("llm2clip:org/clip", Llm2Clip(ModelSource("org/clip"), LLM)),
        ("llm2clip:org/clip@a+org/llm@b", Llm2Clip(ModelSource("org/clip", "a"), ModelSource("org/llm", "b"))),
        ("llm2clip:/clip+./llm", Llm2Clip(ModelSource("/clip"), ModelSource("./llm"))),
    ],
)
def test_an_encoder_is_read(spec: str, parsed: object) -> None:
    assert parse_encoder(spec) == parsed


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hashing", "hashing takes a dimension from 1 to 65536, e.g. hashing:512"),
        ("hashing:", "hashing takes a dimension"),
        ("hashing:0", "hashing takes a dimension"),
        ("hashing:-5", "hashing takes a dimension"),
        ("hashing:1.5", "hashing takes a dimension"),
        ("hashing:65537", "hashing takes a dimension"),
        ("hashing:many", "hashing takes a dimension"),
        ("hashing:" + "9" * 5000, "hashing takes a dimension"),
        ("open_clip", "the pretrained weights are missing"),
        ("open_clip:", "the pretrained weights are missing"),
        ("open_clip:ViT-B-32", "the pretrained weights are missing"),
        ("open_clip:ViT-B-32/", "the pretrained weights are missing"),
        ("open_clip:/laion2b_s34b_b79k", "the pretrained weights are missing"),
        ("open_clip:hf-hub:", "the pretrained weights are missing"),
        ("openclip:ViT-B-32/openai", "Did you mean open_clip:...?"),
        ("Open-CLIP:ViT-B-32/openai", "Did you mean open_clip:...?"),
        ("hash:512", "Did you mean hashing:...?"),
        ("LLM2CLIP:org/name", "Did you mean llm2clip:...?"),
        ("clip:", "'' is neither a Hub model nor a folder"),
        ("clip:name", "'name' is neither a Hub model nor a folder"),
        ("clip:a/b/c", "'a/b/c' is neither a Hub model"),
        ("clip:org/name@", "'org/name@' is neither a Hub model"),
        ("llm2clip:org/clip+", "'' is neither a Hub model nor a folder"),
        ("ViT-B-32/laion2b_s34b_b79k", "unknown encoder 'ViT-B-32/laion2b_s34b_b79k'"),
        ("", "unknown encoder ''"),
    ],
)
def test_what_is_no_encoder_is_an_input_error_with_the_grammar(spec: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_encoder(spec)
    assert message in caught.value.message
    assert caught.value.advice == grammar()


def test_each_line_of_the_grammar_parses() -> None:
    examples = {
        "open_clip:MODEL/PRETRAINED": OpenClip("MODEL", "PRETRAINED"),
        "open_clip:MODEL/FILE": OpenClip("MODEL", "FILE"),
        "open_clip:hf-hub:ORG/NAME": OpenClip("hf-hub:ORG/NAME", None),
        "open_clip:local-dir:FOLDER": OpenClip("local-dir:FOLDER", None),
        "open_clip:demo:minilm": OpenClip("demo:minilm", None),
    }
    for spec, parsed in examples.items():
        assert f"  {spec} " in grammar()
        assert parse_encoder(spec) == parsed


@given(st.text())
@example("hashing:٥")
@example("hashing:²")
def test_any_text_parses_or_is_an_input_error(spec: str) -> None:
    for candidate in (spec, f"hashing:{spec}", f"open_clip:{spec}", f"clip:{spec}", f"llm2clip:{spec}"):
        try:
            parsed = parse_encoder(candidate)
        except InputError:
            continue
        assert isinstance(parsed, Hashing | OpenClip | Clip | Llm2Clip)


@pytest.mark.parametrize(
    ("encoder", "published"),
    [
        ("hashing:8", "hashing:8"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32//home/someone/vit.pt", "open_clip:ViT-B-32/vit.pt"),
        ("open_clip:local-dir:/home/someone/clip", "open_clip:local-dir:clip"),
        ("open_clip:hf-hub:org/name", "open_clip:hf-hub:org/name"),
        ("open_clip:demo:minilm", "open_clip:demo:minilm"),
        ("clip:org/name@v2", "clip:org/name@v2"),
        ("clip:/home/someone/clip", "clip:./clip"),
        ("llm2clip:~/models/clip+org/llm@v2", "llm2clip:./clip+org/llm@v2"),
    ],
)
def test_encoders_lose_their_folders(encoder: str, published: str) -> None:
    assert published_encoder(encoder) == published
    assert published_encoder(published) == published


def test_hashing_needs_nothing() -> None:
    choice = resolve_encoder("hashing:24", 8)
    assert choice.name == "hashing:24"
    encoder = choice.open()
    assert isinstance(encoder, HashingEncoder)
    assert encoder.dim == 24


def test_choices_travel_to_other_processes() -> None:
    choice = resolve_encoder("hashing:24", 8)
    assert pickle.loads(pickle.dumps(choice)) == choice  # noqa: S301


def test_encoders_of_other_sizes_are_other_encoders_and_batches_do_not_matter() -> None:
    assert resolve_encoder("hashing:24", 8).identity == resolve_encoder("hashing:24", 64).identity
    assert resolve_encoder("hashing:24", 8).identity != resolve_encoder("hashing:25", 8).identity


def test_an_unknown_encoder_says_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        resolve_encoder("hashing512", 8)
    assert "Did you mean hashing:...?" in caught.value.message
    assert "open_clip:MODEL/PRETRAINED" in caught.value.advice
    with pytest.raises(InputError, match="no demonstration encoder 'minilmm'"):
        resolve_encoder("open_clip:demo:minilmm", 8)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("hashing:8", "06133f61024f96d9"),
        ("imported", "cac0c0d801a1be1a"),
        ("clip:org/x@v1", "ff7539914a7d0583"),
        ("llm2clip:org/x", "f65daf1d2459ac40"),
    ],
)
def test_vectors_of_earlier_versions_are_still_found(name: str, identity: str) -> None:
    assert resolve_encoder(name, 8).identity == identity
