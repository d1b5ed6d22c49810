"""Convert captions to rows of token ids with native tokenizers, exactly as the tower's own tokenizer would."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicorn_hf.core.errors import InputError
from unicorn_hf.core.sentences import sentences

Contents = Callable[[Sequence[str]], list[list[int]]]
"""Returns the token ids of texts, without special tokens."""

_SPLIT_ALIKE = re.compile("[^\x00-\x7f\u00a0-\u017e\u0180-\u024f\u2010-\u2027\u2030-\u203e]")
"""Finds characters that Python's and Rust's regular expressions may classify differently, because of their Unicode
versions or of case (the long s, \u017f)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How token ids become a row that a tower reads."""

    context_length: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    last: tuple[int, ...] = ()
    """Tokens in the last columns, after the padding."""
    pad_left: bool = False
    whole: bool = False
    """Rows are padded to the context length: the tower was trained to see its padding."""

    @property
    def room(self) -> int:
        """Number of tokens of a text that fit."""
        return self.context_length - len(self.prefix) - len(self.suffix) - len(self.last)

    def lengths(self, contents: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """Number of tokens in each row, without padding and `last`."""
        around = len(self.prefix) + len(self.suffix)
        return np.array([min(len(content), self.room) + around for content in contents], dtype=np.int64)

    def rows(self, contents: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """Array of shape (len(contents), columns): long texts are truncated, short ones padded.

        The longest text sets the number of columns, or the context length if the tower sees its padding.
        """
        lengths = self.lengths(contents)
        columns = self.context_length - len(self.last) if self.whole else int(lengths.max(initial=0))
        rows = np.full((len(contents), columns + len(self.last)), self.pad_id, dtype=np.int64)
        for row, content, length in zip(rows, contents, lengths.tolist(), strict=True):
            start = columns - length if self.pad_left else 0
            row[start : start + length] = (*self.prefix, *content[: self.room], *self.suffix)
        if self.last:
            rows[:, columns:] = self.last
        return rows


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tower's tokenizer."""

    contents: Contents
    frame: Frame

    def windows(self, text: str) -> list[str]:
        """Split the text into windows that fit the tower: as many consecutive sentences as fit in each.

        A sentence that does not fit is split between words; a word that does not fit will be truncated.
        """
        pieces = []
        for sentence, size in self._measured(sentences(text)):
            pieces += [(sentence, size)] if size <= self.frame.room else self._measured(sentence.split())
        packed: list[list[str]] = []
        free = 0
        for piece, size in pieces:
            if not packed or size > free:
                packed.append([])
                free = self.frame.room
            packed[-1].append(piece)
            free -= size
        return [" ".join(window) for window in packed] or [text]

    def _measured(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        texts = [text for text in texts if text.strip()]
        return [(text, len(content)) for text, content in zip(texts, self.contents(texts), strict=True)]


def open_clip_tokens(tokenizer: Any, *, whole: bool) -> Tokens:
    """Convert a tokenizer of open_clip.

    Raises:
        InputError: it is of an unknown kind, or drops tokens at random, as in training.
    """
    from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer, get_clean_fn

    if isinstance(tokenizer, SimpleTokenizer) and tokenizer.reduction_fn is None:
        frame = Frame(int(tokenizer.context_length), (tokenizer.sot_token_id,), (tokenizer.eot_token_id,), 0)
        return Tokens(_simple(tokenizer), replace(frame, whole=whole))
    if not isinstance(tokenizer, HFTokenizer | SigLipTokenizer):
        raise InputError(f"unicorn-hf does not support open_clip's tokenizer {type(tokenizer).__name__}")
    inner = tokenizer.tokenizer
    class_token = getattr(tokenizer, "tokenizer_mode", "") == "clips"
    clean = _cleaner(getattr(tokenizer, "clean_fn", get_clean_fn("canonicalize")))
    native = native_contents(inner)
    frame = transformers_tokens(inner, int(tokenizer.context_length), whole=whole or class_token).frame
    if class_token:
        frame = replace(frame, prefix=(inner.bos_token_id,), suffix=(inner.eos_token_id,), last=(inner.cls_token_id,))
    if not getattr(tokenizer, "strip_sep_token", False):
        return Tokens(lambda texts: native([clean(text) for text in texts]), frame)
    sep = inner.sep_token_id

    def without(ids: Sequence[int]) -> list[int]:
        return [0 if token == sep else token for token in ids]

    frame = replace(frame, prefix=tuple(without(frame.prefix)), suffix=tuple(without(frame.suffix)))
    return Tokens(lambda texts: [without(ids) for ids in native([clean(text) for text in texts])], frame)


def transformers_tokens(tokenizer: Any, context_length: int, *, whole: bool) -> Tokens:
    """Convert a tokenizer of transformers, with its own padding and truncation."""
    native = native_contents(tokenizer)
    framed, (bare,) = tokenizer("a").input_ids, native(["a"])
    places = range(len(framed) - len(bare) + 1)
    start = next((place for place in places if framed[place : place + len(bare)] == bare), None)
    if start is None or tokenizer.truncation_side != "right":
        raise InputError("unicorn-hf does not support the special tokens or the truncation of the model's tokenizer")
    prefix, suffix = tuple(framed[:start]), tuple(framed[start + len(bare) :])
    pad_left = tokenizer.padding_side == "left"
    # Fewer columns on the left would shift the text to other positions.
    whole = whole or pad_left
    frame = Frame(context_length, prefix, suffix, tokenizer.pad_token_id or 0, pad_left=pad_left, whole=whole)
    return Tokens(native, frame)


def native_contents(tokenizer: Any) -> Contents:
    """The Rust tokenizer inside a tokenizer of transformers, or the tokenizer itself if it is written in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda texts: list(tokenizer(list(texts), add_special_tokens=False).input_ids) if texts else []
    from tokenizers import Tokenizer

    # A copy: transformers sets truncation and padding at each call.
    native = Tokenizer.from_str(backend.to_str())
    native.no_truncation()
    native.no_padding()
    return lambda texts: [found.ids for found in native.encode_batch_fast(list(texts), add_special_tokens=False)]


def _simple(tokenizer: Any) -> Contents:
    """CLIP's own tokenizer, with Rust in place of Python for texts on which both agree."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    native = Tokenizer(models.BPE(tokenizer.encoder, merges, end_of_word_suffix="</w>"))
    native.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(tokenizer.pat.pattern), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    clean = _cleaner(tokenizer.clean_fn)
    specials = [tokenizer.decoder[token] for token in tokenizer.all_special_ids]

    def contents(texts: Sequence[str]) -> list[list[int]]:
        cleaned = [clean(text) for text in texts]
        alike = [not _SPLIT_ALIKE.search(text) and not any(name in text for name in specials) for text in cleaned]
        quick = [text for text, same in zip(cleaned, alike, strict=True) if same]
        fast = iter(native.encode_batch_fast(quick, add_special_tokens=False))
        return [next(fast).ids if same else tokenizer.encode(text) for text, same in zip(texts, alike, strict=True)]

    return contents


def _cleaner(clean: Callable[[str], str]) -> Callable[[str], str]:
    """open_clip's cleaning of a text; plain ASCII texts skip the slow repair of encodings and HTML entities."""
    from open_clip.tokenizer import canonicalize_text, get_clean_fn, whitespace_clean

    tidied = {
        get_clean_fn("lower"): lambda text: whitespace_clean(text).lower(),
        get_clean_fn("whitespace"): whitespace_clean,
        get_clean_fn("canonicalize"): canonicalize_text,
    }.get(clean)
    if tidied is None:
        return clean
    return lambda text: tidied(text) if text.isascii() and text.isprintable() and "&" not in text else clean(text)
