"""Removes a model's reasoning from its answer.

The marks are those of vLLM's reasoning parsers (`vllm/reasoning/`), and of models without a parser there.
"""

import re
from dataclasses import dataclass

from unicorn_hf.core.finder import Finder

_TAG = (
    r"\s*(?:[a-z]+[:|_-])*(?:think|thinking|thoughts?|reasoning|reason|reflection|analysis|scratchpad|rationale|cot"
    r"|monologue)(?:[_:][^\s<>\[\]]*)?\s*"
)
_ATTRIBUTES = r"(?:\s[^<>]*)?"
_MARKS = (
    # DeepSeek, Qwen, GLM, Nemotron, Phi, OLMo, Granite 3.3, EXAONE, Hunyuan, MiniMax, Seed, K2
    (rf"<{_TAG}{_ATTRIBUTES}>", rf"</{_TAG}>"),
    (rf"\[{_TAG}\]", rf"\[/{_TAG}\]"),  # Magistral
    (r"\[unused16\]", r"\[unused17\]"),  # Pangu
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    (r"<\|open\|>\s*think\s*<\|sep\|>", r"<\|close\|>\s*think\s*<\|sep\|>"),  # Kimi K3
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|channel>\s*thought", r"<channel\|>"),  # Gemma 4
    (r"<unused94>\s*thought", "<unused95>"),  # MedGemma
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"\A\s*Here(?:['’]s| is) my thought process:?", r"Here(?:['’]s| is) my response:?"),  # Granite 3.2
    (r"\A\s*Here are my reasoning steps:?", r"\[BEGIN FINAL RESPONSE\]"),  # Apriel
)
"""Opening and closing marks of reasoning, by model family."""
_WRAPPERS = (
    (r"<(?:answer|response|output|solution|conclusion)>", r"</(?:answer|response|output|solution|conclusion)>"),
    (r"<\|begin_of_(?:box|solution)\|>", r"<\|end_of_(?:box|solution)\|>"),
    (r"<\|START_(?:RESPONSE|TEXT)\|>", r"<\|END_(?:RESPONSE|TEXT)\|>"),
    (r"<\|open\|>\s*response\s*<\|sep\|>", r"<\|close\|>\s*response\s*<\|sep\|>"),
    (r"\[BEGIN FINAL RESPONSE\]", r"\[END FINAL RESPONSE\]"),
)
"""Marks around the answer itself."""

_FLAGS = re.DOTALL | re.IGNORECASE
_END = re.compile(
    r"(?:<[|｜][^<>|｜\n]{0,30}(?:end|eo[tsm]|return)[^<>|｜\n]{0,30}[|｜]>|</s>|<end_of_turn>|<eo[st]>)\s*\Z", _FLAGS
)
"""A special token that ends an answer: some servers leave it in the text."""
_BLOCKS = tuple(
    (re.compile(closing, _FLAGS), re.compile(rf"(?:{opening}).*?(?:{closing})", _FLAGS)) for opening, closing in _MARKS
)
_OPENING, _CLOSING = (re.compile("|".join(marks), _FLAGS) for marks in zip(*_MARKS, strict=True))
_WRAPPED = tuple((re.compile(opening, _FLAGS), re.compile(closing, _FLAGS)) for opening, closing in _WRAPPERS)

# Harmony (gpt-oss): messages with a header, which names the channel, and a body. Only `final` is no reasoning.
_MESSAGE = re.compile(
    r"(?P<header>[^<>]*(?:<\|(?:start|channel|constrain)\|>[^<>]*)*)<\|message\|>(?P<body>.*?)"
    r"(?=<\|(?:end|return|call|start|channel|eom|eot)\|>|\Z)",
    re.DOTALL,
)
_SPOKEN_HEADER = re.compile(r"\bfinal\b|\bto=user\b|^\W*(?:start\W+)?assistant\W*$")
# The same if the server removed the special tokens: `analysisThe user …assistantfinalA dog …`.
_STRIPPED_FINAL = re.compile(r"assistant\n?final(?![a-z])\s*")
_STRIPPED_HEAD = re.compile(r"\A\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z0-9\"'“])")
_STRIPPED_FINAL_HEAD = re.compile(r"\A\s*(?:assistant)?final(?=[A-Z\"“])")

_LEFTOVER = Finder(
    re.compile(
        r"<[|｜][^<>\n]{1,60}>|<[^<>\n]{1,60}[|｜]>|◁[^▷\n]{0,40}▷|</?s>|<unused\d+>|<(?:start|end)_of_(?:turn|text)>"
        r"|</?(?:bos|eos|pad|unk)>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|<</?SYS>>"
        rf"|</?{_TAG}{_ATTRIBUTES}>|\[/?{_TAG}\]|&lt;/?{_TAG}&gt;|assistant(?:final|analysis|commentary)|\[unused\d+\]|\ufffd",
        re.IGNORECASE,
    ),
    hints=("<", "[", "◁", "&lt;", "assistant", "\ufffd"),
)
_HEAD = re.compile(
    r"\A\W*(?:(?i:assistant)\s*:|(?:assistant)?(?:analysis|commentary)(?=\s*[:\n]|[A-Z0-9\"'“])|(?i:thinking|thoughts?|reasoning)(?=\s*[:\n])"
    r"|(?i:thinking process|thought process|chain of thought|reasoning steps?)\b"
    r"|(?i:here(?:['’]s| is) my (?:thought process|thinking|reasoning)|here are my reasoning steps)"
    r"|(?i:(?:(?:okay|ok|alright|hmm+|well|so|now|right|first)\W+){0,3}"
    r"(?:the user(?:['’]s (?:request|prompt|question|instruction|input|message)"
    r"| (?:wants?|asks?|asked|is asking|has asked|provided|gave|requests?|requested|would like|is requesting|said))"
    r"|we (?:need|have|are asked|are given|must|should)(?: to)? "
    r"(?:write|produce|generate|create|describe|craft|output|answer|make|give|provide|come up)"
    r"|(?:let me|let['’]s|i need to|i should|i must|i have to|i['’]ll|i will|i am going to) "
    r"(?:think|write|craft|start by|begin by|generate|come up|describe|draft|produce|make sure|create|analy[sz]e))\b))"
)
"""Beginnings of reasoning without marks."""


@dataclass(frozen=True)
class Spoken:
    """An answer without reasoning."""

    text: str
    is_thought_only: bool = False
    """The answer is unfinished reasoning, or reasoning without an answer."""


def spoken(text: str) -> Spoken:
    """Remove the model's reasoning from an answer. Marks may be partial: a template can write the opening one.

    Returns a text without marks unchanged. Never raises.
    """
    while end := _END.search(text):
        text = text[: end.start()].rstrip()
    if "<|message|>" in text:
        rest = _of_harmony(text)
    elif _STRIPPED_FINAL.search(text):
        rest = _STRIPPED_FINAL.split(text)[-1]
    elif _STRIPPED_HEAD.match(text):
        return Spoken("", is_thought_only=True)
    else:
        rest = _STRIPPED_FINAL_HEAD.sub("", text)
    rest = _outside_blocks(rest)
    if rest == text:
        return Spoken(_unwrapped(text))
    return Spoken(_unwrapped(rest).strip(), is_thought_only=not rest.strip())


def leftover(text: str) -> str | None:
    """Remains of a model's reasoning or template in a text to be published, or None.

    Finds more than `spoken` removes: anything like a special token, and typical beginnings of reasoning.
    """
    if found := _LEFTOVER.search(text):
        return found.strip()
    head = _HEAD.match(text)
    return head.group().strip() if head else None


def _of_harmony(text: str) -> str:
    messages = list(_MESSAGE.finditer(text))
    bodies = [message["body"] for message in messages if _SPOKEN_HEADER.search(message["header"])]
    return bodies[-1] if bodies else ""


def _outside_blocks(text: str) -> str:
    rest = text
    for closing, block in _BLOCKS:
        rest = block.sub("", rest) if closing.search(rest) else rest
    # A closing mark without an opening one, which the template wrote.
    ends = [closing.end() for closing in _CLOSING.finditer(rest)]
    rest = rest[ends[-1] :] if ends else rest
    # Unfinished reasoning: neither the text before it nor after it is an answer.
    return "" if _OPENING.search(rest) else rest


def _unwrapped(text: str) -> str:
    for opening, closing in _WRAPPED:
        begin = opening.match(text, len(text) - len(text.lstrip()))
        end = closing.search(text, begin.end() if begin else 0)
        if begin or end:
            text = text[begin.end() if begin else 0 : end.start() if end else None].strip()
    return text
