"""The grammar of encoder names."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unicorn_hf.core.encoder_spec import (
    GRAMMAR,
    LLM2CLIP_LLM,
    ClipSpec,
    HashingSpec,
    Llm2ClipSpec,
    ModelSource,
    OpenClipSpec,
    parse_encoder_spec,
)
from unicorn_hf.core.errors import InputError


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("hashing:1", HashingSpec(1)),
        ("hashing:512", HashingSpec(512)),
        ("hashing:65536", HashingSpec(65_536)),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", OpenClipSpec("ViT-B-32", "laion2b_s34b_b79k")),
        ("open_clip:ViT-B-32//data/vit.safetensors", OpenClipSpec("ViT-B-32", "/data/vit.safetensors")),
        ("open_clip:ViT-B-32/weights/vit.pt", OpenClipSpec("ViT-B-32", "weights/vit.pt")),
        ("open_clip:ViT-B-32/./vit.pt", OpenClipSpec("ViT-B-32", "./vit.pt")),
        ("open_clip:ViT-L-14/a:b.pt", OpenClipSpec("ViT-L-14", "a:b.pt")),
        ("open_clip:hf-hub:org/name", OpenClipSpec("hf-hub:org/name", None)),
        ("open_clip:local-dir:/models/clip", OpenClipSpec("local-dir:/models/clip", None)),
        ("open_clip:local-dir:models/a/b", OpenClipSpec("local-dir:models/a/b", None)),
        ("open_clip:demo:minilm", OpenClipSpec("demo:minilm", None)),
        ("clip:openai/clip-vit-large-patch14", ClipSpec(ModelSource("openai/clip-vit-large-patch14"))),
        ("clip:org/name@v1.0", ClipSpec(ModelSource("org/name", "v1.0"))),
        ("clip:/models/a@b+c", ClipSpec(ModelSource("/models/a@b+c"))),
        ("clip:./clip", ClipSpec(ModelSource("./clip"))),
        ("clip:~/clip", ClipSpec(ModelSource("~/clip"))),
        ("llm2clip:org/clip", Llm2ClipSpec(ModelSource("org/clip"), LLM2CLIP_LLM)),
        ("llm2clip:org/clip@a+org/llm@b", Llm2ClipSpec(ModelSource("org/clip", "a"), ModelSource("org/llm", "b"))),
        ("llm2clip:/clip+./llm", Llm2ClipSpec(ModelSource("/clip"), ModelSource("./llm"))),
    ],
)
def test_an_encoder_is_read(spec: str, parsed: object) -> None:
    assert parse_encoder_spec(spec) == parsed


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
        ("open_clip", "names no pretrained weights"),
        ("open_clip:", "names no pretrained weights"),
        ("open_clip:ViT-B-32", "names no pretrained weights"),
        ("open_clip:ViT-B-32/", "names no pretrained weights"),
        ("open_clip:/laion2b_s34b_b79k", "names no pretrained weights"),
        ("open_clip:hf-hub:", "names no pretrained weights"),
        ("openclip:ViT-B-32/openai", "Did you mean open_clip:...?"),
        ("Open-CLIP:ViT-B-32/openai", "Did you mean open_clip:...?"),
        ("hash:512", "Did you mean hashing:...?"),
        ("LLM2CLIP:org/name", "Did you mean llm2clip:...?"),
        ("clip:", "'' is no model of the Hub and no folder"),
        ("clip:name", "'name' is no model of the Hub and no folder"),
        ("clip:a/b/c", "'a/b/c' is no model of the Hub"),
        ("clip:org/name@", "'org/name@' is no model of the Hub"),
        ("llm2clip:org/clip+", "'' is no model of the Hub and no folder"),
        ("ViT-B-32/laion2b_s34b_b79k", "unknown encoder 'ViT-B-32/laion2b_s34b_b79k'"),
        ("", "unknown encoder ''"),
    ],
)
def test_what_is_no_encoder_is_an_input_error_with_the_grammar(spec: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_encoder_spec(spec)
    assert message in caught.value.message
    assert caught.value.advice == GRAMMAR


def test_each_line_of_the_grammar_parses() -> None:
    examples = {
        "open_clip:MODEL/PRETRAINED": OpenClipSpec("MODEL", "PRETRAINED"),
        "open_clip:MODEL/FILE": OpenClipSpec("MODEL", "FILE"),
        "open_clip:hf-hub:ORG/NAME": OpenClipSpec("hf-hub:ORG/NAME", None),
        "open_clip:local-dir:FOLDER": OpenClipSpec("local-dir:FOLDER", None),
        "open_clip:demo:minilm": OpenClipSpec("demo:minilm", None),
    }
    for spec, parsed in examples.items():
        assert f"  {spec} " in GRAMMAR
        assert parse_encoder_spec(spec) == parsed


@given(st.text())
@example("hashing:٥")
@example("hashing:²")
def test_any_text_parses_or_is_an_input_error(spec: str) -> None:
    for candidate in (spec, f"hashing:{spec}", f"open_clip:{spec}", f"clip:{spec}", f"llm2clip:{spec}"):
        try:
            parsed = parse_encoder_spec(candidate)
        except InputError:
            continue
        assert isinstance(parsed, HashingSpec | OpenClipSpec | ClipSpec | Llm2ClipSpec)
