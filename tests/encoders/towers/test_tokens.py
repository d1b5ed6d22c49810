"""Native tokenizers give, token for token, what the towers' own give."""

import csv
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from unicorn_hf.core.errors import InputError
from unicorn_hf.encoders.towers.tokens import _SPLIT_ALIKE, Tokens, open_clip_tokens, transformers_tokens
from unicorn_hf.models.demo_models import demo_encoder

HOSTILE = [
    "",
    " \t\n ",
    "Two dogs, one ball: 12.5 % & more...",
    "It's the dogs' ball; they'll say we've 'd'",
    "<start_of_text> a cat <end_of_text>",
    "<|startoftext|> <ſtart_of_text> [CLS] [PAD] [SEP] </w>",
    "&lt;b&gt; &amp;amp; café CAFÉ naïve İstanbul ŸÆŒſ",
    "schÃ¶n â€œquotedâ€ ﬁne ｗｉｄｅ ²½Ⅷ",
    "一只猫坐在垫子上。它很高兴！ 犬がいる。",
    "🐈‍⬛ 👩🏽‍🚀 e\u0301 \u200d\u200b\ufeff \x00\x1b[31m\x7f",
    "a" * 500,
    "x." * 300,
    "٣٤ १२ 𝟙𝟚 \U0001e900 ꟲ \u1c80",
    "new\r\nlines\u2028and\u0085more\x1c\x1d",
]


@cache
def tokenizers() -> dict[str, Any]:
    minilm = f"{demo_encoder('minilm')}"
    return {
        "CLIP": open_clip.get_tokenizer("ViT-B-32"),
        "CLIP, canonicalize": SimpleTokenizer(clean="canonicalize", context_length=16),
        "BERT": open_clip.get_tokenizer(f"local-dir:{minilm}"),
        "BERT, lower": HFTokenizer(minilm, context_length=20, clean="lower"),
        "BERT, no separator": HFTokenizer(minilm, context_length=20, strip_sep_token=True),
        "BERT, class token last": HFTokenizer(
            minilm, context_length=20, tokenizer_mode="clips", bos_token="[CLS]", eos_token="[SEP]"
        ),
        "BERT, padded on the left": HFTokenizer(minilm, context_length=20, padding_side="left"),
    }


@cache
def native(name: str) -> Tokens:
    return open_clip_tokens(tokenizers()[name], whole=True)


def check_all(texts: list[str]) -> None:
    for name, tokenizer in tokenizers().items():
        tokens = native(name)
        np.testing.assert_array_equal(tokens.frame.rows(tokens.contents(texts)), tokenizer(texts).numpy(), name)


@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(HOSTILE)), min_size=1))
@example(HOSTILE)
def test_rows_are_open_clips_own_for_any_text(texts: list[str]) -> None:
    check_all(texts)


def test_rows_are_open_clips_own_for_real_captions() -> None:
    with (Path(__file__).parents[3] / "unicorn_hf/seeds/data/parti_prompts_sample.tsv").open(encoding="utf-8") as file:
        check_all([row[0] for row in csv.reader(file, delimiter="\t")])


def test_each_character_that_rust_is_trusted_with_is_split_as_python_splits_it() -> None:
    trusted = [chr(number) for number in range(0x3000) if not _SPLIT_ALIKE.search(chr(number))]
    assert len(trusted) > 500
    texts = [text for x in trusted for text in (f"a{x}b", f"1{x}2 '{x}", f"!{x}!", f"'{x}a{x} {x}{x}s")]
    clip = tokenizers()["CLIP"]
    assert native("CLIP").contents(texts) == [clip.encode(text) for text in texts]


def test_rows_are_cut_to_the_longest_where_padding_has_no_effect() -> None:
    tokens = open_clip_tokens(tokenizers()["CLIP"], whole=False)
    rows = tokens.frame.rows(tokens.contents(["a cat", "a cat on a mat"]))
    assert rows.shape == (2, 7)
    assert rows[0].tolist() == [49406, 320, 2368, 49407, 0, 0, 0]
    assert tokens.frame.lengths(tokens.contents(["a cat", "word " * 100])).tolist() == [4, 77]
    assert tokens.frame.rows([]).shape == (0, 0)


SENTENCES = st.lists(
    st.lists(st.sampled_from("a cat's red BIG 12 café, owl; 猫 naïve".split()), min_size=1, max_size=40).map(
        lambda words: " ".join(words) + "."
    ),
    min_size=1,
    max_size=12,
).map(" ".join)


@given(SENTENCES)
def test_windows_hold_the_text_in_order_and_nothing_of_them_is_cut(text: str) -> None:
    for name in ("CLIP", "BERT", "BERT, class token last"):
        tokens = native(name)
        windows = tokens.windows(text)
        assert " ".join(windows) == text
        sizes = [len(content) for content in tokens.contents(windows)]
        assert max(sizes) <= tokens.frame.room
        # Two neighbours that would fit one window were not parted, unless a sentence between them had to be.
        assert sum(sizes) == len(tokens.contents([text])[0])


def test_windows_end_where_sentences_do() -> None:
    tokens = native("CLIP, canonicalize")
    assert tokens.frame.room == 14
    text = "A cat sits on a mat. A dog sits beside it! Is it night? " + "The moon is very " * 5 + "bright."
    first, second, *_ = tokens.windows(text)
    assert first == "A cat sits on a mat. A dog sits beside it! Is it night?"
    assert second == "The moon is very The moon is very The moon is very The moon"
    assert tokens.windows("x" * 2000) == ["x" * 2000], "a word is not divided"
    cats = native("BERT, lower").windows("一只猫。" * 9)
    assert [window.count("。") for window in cats] == [4, 4, 1]


def test_a_tokenizer_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="does not support open_clip's tokenizer object"):
        open_clip_tokens(object(), whole=False)
    with pytest.raises(InputError, match="does not support open_clip's tokenizer SimpleTokenizer"):
        open_clip_tokens(SimpleTokenizer(reduction_mask="shuffle"), whole=False)
    cut_left = HFTokenizer(str(demo_encoder("minilm")), truncation_side="left")
    with pytest.raises(InputError, match="does not support the special tokens"):
        transformers_tokens(cut_left.tokenizer, 20, whole=False)
