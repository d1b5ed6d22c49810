"""What is labelled: the answers and nothing else, with the templates that models have."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.torch import CHATML, TEMPLATES, tokenizer
from unicorn_hf.core.errors import InputError
from unicorn_hf.torch.conversations import IGNORE_INDEX, ConversationTokenizer

CLOSERS = {"llama 3": "<|eot_id|>", "mistral": "</s>", "gemma": "<end_of_turn>"}

words = (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("\n.,:?ABCD 🍷é漢"), min_size=1)
    .map(str.strip)
    .filter(lambda text: text and not re.search(r"[<\[]", text))
    .filter(lambda text: tokenizer().decode(tokenizer().encode(text)) == text)  # it has no token for some bytes
)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=4)


def conversation(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    turns = [{"from": who, "value": text} for pair in pairs for who, text in zip(("human", "gpt"), pair, strict=True)]
    turns[0]["value"] = f"<image>\n{turns[0]['value']}"
    return turns


def runs(labels: Any) -> list[list[int]]:
    """The labelled ids, one list for each stretch of them."""
    is_edge = np.flatnonzero(np.diff(labels != IGNORE_INDEX)) + 1
    return [part.tolist() for part in np.split(labels, is_edge) if len(part) and part[0] != IGNORE_INDEX]


@pytest.mark.parametrize("template", TEMPLATES)
@given(pairs=pairs)
def test_the_labelled_tokens_are_the_answers(template: str, pairs: list[tuple[str, str]]) -> None:
    reads = tokenizer(template)
    [found] = ConversationTokenizer(reads)([conversation(pairs)])
    closer = CLOSERS.get(template, "<|im_end|>")
    # Mistral's writes a space before an answer, Qwen 3's an empty thought before the last: the model has to write them.
    lead = " " if template == "mistral" else ""
    wanted = [f"{lead}{answer}{closer}" for _, answer in pairs]
    if template == "qwen 3":
        wanted[-1] = f"<think>\n\n</think>\n\n{wanted[-1]}"
    assert [reads.decode(run) for run in runs(found.labels)] == wanted
    learned = found.labels != IGNORE_INDEX
    assert (found.labels[learned] == found.input_ids[learned]).all()


@pytest.mark.parametrize("template", TEMPLATES)
@given(pairs=pairs)
def test_the_ids_are_the_templates(template: str, pairs: list[tuple[str, str]]) -> None:
    reads = tokenizer(template)
    [found] = ConversationTokenizer(reads, image_tokens=3, image_token="<file_sep>")([conversation(pairs)])
    turns = conversation(pairs)
    turns[0]["value"] = turns[0]["value"].replace("<image>", "<file_sep>" * 3)
    messages = [
        {"role": role, "content": turn["value"]}
        for role, turn in zip(("user", "assistant") * len(pairs), turns, strict=True)
    ]
    assert found.input_ids.tolist() == reads.apply_chat_template(messages, return_dict=False)
    assert reads.convert_ids_to_tokens(found.input_ids[found.image_mask]) == ["<file_sep>"] * 3


@given(pairs=pairs)
def test_labels_are_what_transformers_says_where_the_template_has_marks(pairs: list[tuple[str, str]]) -> None:
    reads = tokenizer("chatml with generation marks")
    turns = conversation(pairs)
    turns[0]["value"] = turns[0]["value"].replace("<image>", "<file_sep>")
    messages = [
        {"role": role, "content": turn["value"]}
        for role, turn in zip(("user", "assistant") * len(pairs), turns, strict=True)
    ]
    wanted = reads.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    [found] = ConversationTokenizer(reads, image_token="<file_sep>")([conversation(pairs)])
    assert (found.labels != IGNORE_INDEX).astype(int).tolist() == wanted["assistant_masks"]


@given(pairs=pairs, image_tokens=st.integers(1, 9), max_length=st.integers(1, 200))
def test_what_is_too_long_keeps_an_answer_or_is_an_error(
    pairs: list[tuple[str, str]], image_tokens: int, max_length: int
) -> None:
    turns = conversation(pairs)
    [whole] = ConversationTokenizer(tokenizer(), image_tokens=image_tokens)([turns])
    cut = ConversationTokenizer(tokenizer(), image_tokens=image_tokens, max_length=max_length)
    assert cut.fits(turns) == ((whole.labels[:max_length] != IGNORE_INDEX).any())
    if cut.fits(turns):
        [found] = cut([turns])
        assert found.input_ids.tolist() == whole.input_ids[:max_length].tolist()
        assert found.labels.tolist() == whole.labels[:max_length].tolist()
        assert found.image_mask.sum() == image_tokens
    else:
        with pytest.raises(InputError, match=r"row x: the first answer begins at token \d+, but max_length is"):
            cut([turns], ["x"])


def test_the_image_takes_the_end_token_where_there_is_no_better() -> None:
    assert ConversationTokenizer(tokenizer()).image_token == "<|im_end|>"
    assert ConversationTokenizer(tokenizer(), image_token="<file_sep>").image_token == "<file_sep>"
    with pytest.raises(InputError, match="no special token '<picture>'") as error:
        ConversationTokenizer(tokenizer(), image_token="<picture>")
    assert "add_tokens" in error.value.advice


def test_a_set_of_one_image_token_uses_it() -> None:
    reads = tokenizer(CHATML + "{# its own #}")
    reads.add_tokens(["<image>"], special_tokens=True)
    assert ConversationTokenizer(reads).image_token == "<image>"


def test_only_the_first_image_is_one() -> None:
    turns = conversation([("What is it?", "A sign that says <image>.")])
    [found] = ConversationTokenizer(tokenizer(), image_tokens=2)([turns])
    assert found.image_mask.sum() == 2
    assert tokenizer().decode(found.labels[found.labels != IGNORE_INDEX]) == "A sign that says <image>.<|im_end|>"


def test_white_space_around_answers_is_the_templates_business() -> None:
    turns = conversation([("Why?", "x")])
    turns[1]["value"] = "  \n So it is. "
    for template, wanted in (("chatml", "  \n So it is. <|im_end|>"), ("gemma", "So it is.<end_of_turn>")):
        [found] = ConversationTokenizer(tokenizer(template))([turns])
        assert tokenizer(template).decode(found.labels[found.labels != IGNORE_INDEX]).lstrip("\n") == wanted.lstrip(
            "\n"
        )


WRONG = {
    "changes": ("{% for m in messages %}{{ m.content | upper }}<|im_end|>{% endfor %}", "changes|omits"),
    "lower": ("{% for m in messages %}{{ m.content | replace('e', 'E') }}<|im_end|>{% endfor %}", "changes the"),
    "drops": ("{{ messages[-1].content }}", "omits, repeats"),
    "twice": ("{% for m in messages %}{{ m.content + m.content }}{% endfor %}", "omits, repeats"),
    "reorders": ("{% for m in messages | reverse %}{{ m.content }}{% endfor %}", "or reorders turns"),
    "refuses": ("{{ raise_exception('No, thank you') }}", "refuses turns of user, assistant: No, thank you"),
}


@pytest.mark.parametrize(("template", "told"), WRONG.values(), ids=list(WRONG))
def test_a_template_whose_answers_cannot_be_told_is_an_error(template: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        ConversationTokenizer(tokenizer(template))([conversation([("What is there?", "A pear, on the bench.")])])
    assert "tokenizer.chat_template" in error.value.advice


def test_a_template_without_a_closing_token_labels_the_words_alone() -> None:
    template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    with pytest.warns(UserWarning, match="does not learn to stop"):
        [found] = ConversationTokenizer(tokenizer(template))([conversation([("Who?", "Nobody 🍷")])])
    assert tokenizer(template).decode(found.labels[found.labels != IGNORE_INDEX]) == " Nobody 🍷"


def test_the_days_date_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    day = [1]
    reads = tokenizer("{{ day() }}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}")
    write = reads.apply_chat_template
    monkeypatch.setattr(reads, "apply_chat_template", lambda *a, **k: write(*a, day=lambda: day[0], **k))
    tokenize = ConversationTokenizer(reads)
    for number in (1, 22, 333):
        day[0] = number
        [found] = tokenize([conversation([("When?", "Now.")])])
        assert reads.decode(found.input_ids).startswith(str(number))
        assert reads.decode(found.labels[found.labels != IGNORE_INDEX]) == "Now.<|im_end|>"


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([], "no <image>"),
        ([{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}], "row 0: the first turn has no <image>"),
        ([{"from": "robot", "value": "<image>"}], "turns must be from human or gpt, not 'robot'"),
    ],
)
def test_rows_that_are_no_conversations(turns: list[dict[str, str]], told: str) -> None:
    with pytest.raises(InputError, match=told):
        ConversationTokenizer(tokenizer())([turns])


def test_tokenizers_that_will_not_do() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(InputError, match="does not report the offsets"):
        ConversationTokenizer(Slow())
    with pytest.raises(InputError, match="must be at least 1"):
        ConversationTokenizer(tokenizer(), image_tokens=0)
    with pytest.raises(InputError, match="no chat template"):
        ConversationTokenizer(tokenizer(""))


def test_a_prompt_is_what_the_answer_is_learned_behind() -> None:
    turns = conversation([("What is it?", "A pear."), ("Is it ripe?", "Yes.")])
    # This tokenizer splits Llama 3's two line ends if they are followed by a word.
    for template in set(TEMPLATES) - {"llama 3"}:
        tokenize = ConversationTokenizer(tokenizer(template), image_tokens=3)
        [whole], prompt = tokenize([turns]), tokenize.prompt(turns[:3])
        learned = np.flatnonzero(whole.labels != IGNORE_INDEX)
        assert prompt.input_ids.tolist() == whole.input_ids[: len(prompt.input_ids)].tolist()
        assert len(prompt.input_ids) == learned[np.flatnonzero(np.diff(learned) > 1)[-1] + 1]
        assert prompt.image_mask.sum() == 3


def test_a_conversation_that_nobody_answers() -> None:
    with pytest.raises(InputError, match="row 0: the conversation has no assistant turn"):
        ConversationTokenizer(tokenizer())([[{"from": "human", "value": "<image>\nHello?"}]])


@given(pairs=st.lists(st.tuples(*[st.text("abc .,\n", min_size=1).map(str.strip).filter(bool)] * 2), min_size=1))
def test_a_tokenizer_that_writes_spaces_as_a_letter(pairs: list[tuple[str, str]]) -> None:
    """As SentencePiece's do: Llama 2, Mistral, Gemma."""
    reads = sentence_pieces()
    [found] = ConversationTokenizer(reads, image_tokens=3)([conversation(pairs)])
    told = [reads.decode(run, skip_special_tokens=True).strip() for run in runs(found.labels)]
    assert told == [answer for _, answer in pairs]
    assert all(reads.convert_ids_to_tokens(run)[-1] == "</s>" for run in runs(found.labels))
    assert found.input_ids[found.image_mask].tolist() == [reads.eos_token_id] * 3


@cache
def sentence_pieces() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], show_progress=False)
    made.train_from_iterator(["abc ab, bc. a b c\n what image number <image> cab abba"] * 3, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    wrapped.chat_template = TEMPLATES["mistral"]
    return wrapped
