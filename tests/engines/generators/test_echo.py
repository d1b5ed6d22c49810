"""The rehearsal's text: valid for whatever is asked, distinct for every request, the same everywhere."""

import csv
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unicorn_hf
from tests.stages import answers_of
from unicorn_hf.captions.filters import Draft
from unicorn_hf.captions.filters import judge as judge_caption
from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.generation import Answer, Message, Request
from unicorn_hf.core.ids import caption_id, stable_int
from unicorn_hf.core.languages import word_lists
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import CAPTION_PROMPTS, INSTRUCTION_PROMPTS, load_prompt
from unicorn_hf.core.recipe import (
    CaptionFilters,
    Instructions,
    Sampling,
    Tasks,
)
from unicorn_hf.core.task import FormatName, InstructionFilters, PairRange
from unicorn_hf.engines.generators.echo import EchoGenerator
from unicorn_hf.instructions.reading import Candidate, Conversation, read_conversation

HOSTILE = [
    "",
    "a",
    "<b>",
    "<image>",
    "...",
    "一只猫坐在红色的椅子上，旁边有一盏灯。",
    "猫" * 2000,
    "x" * 2000,
    "very " * 400,
    "a b c d " * 250,
    "the image of the caption in the picture: a photo of a prompt",
    "photographs and pictures, snapshots, captions, descriptions, paragraphs, passages",
    "this image. your description. the text, the sentence, the information, the context, as described in the story",
    "not mentioned, stated or specified; the described texts and sentences",
    "I'm sorry, I cannot help with that. As an AI language model I apologize",
    "Sure! Certainly, here is a description. Hope this helps! Let me know if you need more, feel free to ask",
    "1. one\n2. two\n- three\n\n**bold** __bold__ ```code``` [a](b) | c |",
    "__init__ ___ snake_case __b",
    "all of the above, none of the options, both A and B, option C, answer D",
    "A. one B. two C. three D. four",
    'a sign that says "I can\'t"',
    "it's o'clock's dogs' rock'n'roll -- black-eyed-susan-with-a-very-long-hyphenated-name-that-never-ends",
    "\u0130stanbul ﬁre ŉ ß \u0301 \u200d \U0001f466\u200d\U0001f467",
    '{"pairs": []}',
    "\x00\x1f\n\t\u2028",
]


def bundled_seeds() -> list[str]:
    path = Path(unicorn_hf.__file__).parent / "seeds" / "data" / "parti_prompts_sample.tsv"
    with path.open(encoding="utf-8") as file:
        return [row["Prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def caption_request(seed: str, sample: int = 0) -> Request:
    row_id = caption_id(seed, "test", sample)
    return Request(row_id, seed, (Message("user", seed),), Sampling(), stable_int(row_id, bits=31))


def conversation_request(caption: str, task: str, pairs: PairRange, written: FormatName = "json") -> Request:
    row_id = caption_id(caption, task, 0)
    schema = TASKS.get(task)(pairs=pairs).json_schema()
    request = Request(row_id, caption, (Message("user", caption),), Sampling(), stable_int(row_id, bits=31), schema)
    return request if written == "json" else replace(request, json_schema=None, tagged_schema=schema)


def generate(*requests: Request) -> list[Answer]:
    return answers_of(EchoGenerator(), requests)


def caption_outcome(answer: Answer, seed: str, language: str = "en") -> str | Rejected:
    prompt = load_prompt("caption-v1-short", CAPTION_PROMPTS)
    return judge_caption(Draft(answer, seed, (language,)), CaptionFilters(), prompt)


def conversation_outcome(
    task: str, request: Request, answer: Answer, pairs: PairRange, *, min_grounded: float = 0
) -> object:
    """What becomes of an answer in which every pair must hold. A caption of nothing but marks grounds nothing."""
    prompt = f"{task}-v2-short"
    written: FormatName = "json" if request.json_schema else "tagged"
    filters = InstructionFilters(keep_rest=False, min_grounded=min_grounded)
    one = TASKS.get(task)(weight=1, pairs=pairs, prompt=prompt, format=written, filters=filters)
    config = Instructions(num=1, tasks=Tasks(**{task: one}))
    candidate = Candidate(request.id, request.subject, 0, task)
    return read_conversation(candidate, answer, config, load_prompt(prompt, INSTRUCTION_PROMPTS))


SEEDS = {
    "ar": "رجل عجوز يجلس في الحديقة",
    "de": "Ein alter Mann sitzt im Park auf einer Bank",
    "es": "un anciano sentado en el parque",
    "fr": "an old man in the park",
    "hi": "बगीचे में बैठा बूढ़ा आदमी",
    "ja": "公園のベンチに座る老人",
    "ko": "공원 벤치에 앉은 노인",
    "ru": "старик сидит в парке на скамейке",
    "th": "แมวดำนอนบนโซฟา",
    "zh": "一只黑猫睡在沙发上",
}
"""Of a language without word lists, as French, the rehearsal is in English."""


@pytest.mark.parametrize("language", SEEDS)
def test_rehearsals_are_in_the_language_that_is_asked_for(language: str) -> None:
    seed = SEEDS[language]
    wanted = language if word_lists(language) else "en"
    requests = [replace(caption_request(seed, sample), language=language) for sample in range(20)]
    answers = generate(*requests)
    for answer in answers:
        assert isinstance(caption_outcome(answer, seed, wanted), str)
        assert seed.lower() in answer.text.lower()
    assert len({answer.text for answer in answers}) == 20
    for task in TASKS.own_names:
        pairs = Tasks().by_name()[task].pairs
        asked = [replace(conversation_request(answer.text, task, pairs), language=language) for answer in answers]
        made = [
            read_conversation(
                Candidate(request.id, request.subject, 0, task, wanted), answer, Instructions(num=1),
                load_prompt(f"{task}-v2", INSTRUCTION_PROMPTS), (wanted,),
            )
            for request, answer in zip(asked, generate(*asked), strict=True)
        ]  # fmt: skip
        # A phrase may be drawn twice: a pair or a conversation is lost then, and asked for again.
        assert sum(isinstance(conversation, Conversation) for conversation in made) >= 16


def test_every_bundled_seed_gives_a_caption_that_passes_the_default_filters() -> None:
    seeds = bundled_seeds()
    assert len(seeds) == 400
    requests = [caption_request(seed, sample) for seed in seeds for sample in range(4)]
    answers = generate(*requests)
    outcomes = [caption_outcome(answer, request.subject) for request, answer in zip(requests, answers, strict=True)]
    assert not [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert len({answer.text for answer in answers}) == len(requests), "each seed and sample has a caption of its own"


def test_words_of_the_seed_come_back() -> None:
    (answer,) = generate(caption_request("two bicycles outside a bakery"))
    assert "two bicycles outside a bakery" in answer.text.lower()


@pytest.mark.parametrize("seed", HOSTILE)
def test_a_hostile_seed_gives_captions_that_pass_the_default_filters(seed: str) -> None:
    answers = generate(*(caption_request(seed, sample) for sample in range(20)))
    for answer in answers:
        assert isinstance(caption_outcome(answer, seed), str), caption_outcome(answer, seed)
    assert len({answer.text for answer in answers}) == 20


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_seed_gives_a_caption_that_passes_the_default_filters(seed: str) -> None:
    (answer,) = generate(caption_request(seed))
    assert isinstance(caption_outcome(answer, seed), str), caption_outcome(answer, seed)


@pytest.mark.parametrize("written", get_args(FormatName))
@pytest.mark.parametrize("task", TASKS.own_names)
def test_captions_give_conversations_that_pass_all_filters(task: str, written: FormatName) -> None:
    pairs = Tasks().by_name()[task].pairs
    captions = [answer.text for answer in generate(*map(caption_request, bundled_seeds()))]
    requests = [conversation_request(caption, task, pairs, written) for caption in captions]
    answers = generate(*requests)
    for request, answer in zip(requests, answers, strict=True):
        outcome = conversation_outcome(task, request, answer, pairs, min_grounded=0.1)
        assert not isinstance(outcome, Rejected), outcome
    assert len({answer.text for answer in answers}) == len(answers)


@pytest.mark.parametrize("written", get_args(FormatName))
@pytest.mark.parametrize("task", TASKS.own_names)
@pytest.mark.parametrize("subject", HOSTILE)
def test_hostile_captions_give_conversations_that_pass_all_filters(
    subject: str, task: str, written: FormatName
) -> None:
    pairs = PairRange(min=1, max=12)
    for attempt in range(5):
        request = conversation_request(f"{subject}{' ' * attempt}", task, pairs, written)
        (answer,) = generate(request)
        outcome = conversation_outcome(task, request, answer, pairs)
        assert not isinstance(outcome, Rejected), outcome


@pytest.mark.parametrize("task", TASKS.own_names)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 8), st.integers(0, 8))
def test_any_caption_gives_a_conversation_that_passes_all_filters(
    task: str, subject: str, least: int, more: int
) -> None:
    pairs = PairRange(min=least, max=least + more)
    request = conversation_request(subject, task, pairs)
    (answer,) = generate(request)
    assert not isinstance(outcome := conversation_outcome(task, request, answer, pairs), Rejected), outcome


def test_no_two_texts_of_a_conversation_are_equal_however_long_it_is() -> None:
    pairs = PairRange(min=2000, max=2000)
    request = conversation_request("a dog", "multiple_choice", pairs)
    outcome = conversation_outcome("multiple_choice", request, generate(request)[0], pairs)
    assert isinstance(outcome, Conversation)
    texts = [text for turn in outcome.turns for text in (turn.question, *turn.options)]
    assert len(set(texts)) == len(texts) == 10_000


def test_each_request_is_answered() -> None:
    requests = [caption_request("a dog", sample) for sample in range(7)]
    answers = answers_of(EchoGenerator(), requests)
    assert answers == [generate(request)[0] for request in requests]
    assert all(answer.finish_reason == "stop" for answer in answers)


def test_the_text_does_not_depend_on_what_else_is_in_the_batch() -> None:
    requests = [caption_request(seed) for seed in bundled_seeds()[:30]]
    assert generate(*reversed(requests)) == list(reversed(generate(*requests)))


def test_another_process_writes_the_same() -> None:
    requests = [
        *(caption_request(seed, 1) for seed in HOSTILE),
        *(conversation_request(seed, task, PairRange(min=2, max=5)) for seed in HOSTILE for task in TASKS.own_names),
    ]
    code = (
        "import sys, hashlib; from tests.engines.generators.test_echo import *;"
        "requests = [*(caption_request(s, 1) for s in HOSTILE),"
        " *(conversation_request(s, t, PairRange(min=2, max=5)) for s in HOSTILE for t in TASKS.own_names)];"
        "print(digest(requests))"
    )
    root = Path(__file__).parents[3]
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={"PYTHONHASHSEED": "12", "PYTHONPATH": str(root)},
    )
    assert there.stdout.strip() == digest(requests)


def digest(requests: list[Request]) -> str:
    return hashlib.sha256(repr([answer.text for answer in generate(*requests)]).encode()).hexdigest()


def test_a_kind_of_value_that_it_does_not_know_raises() -> None:
    request = conversation_request("a dog", "question_answering", PairRange(min=1, max=1))
    odd = Request(request.id, "a dog", request.messages, request.sampling, 0, '{"type": "number"}')
    with pytest.raises(ValueError, match="no values of kind 'number'"):
        generate(odd)
