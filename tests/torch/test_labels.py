"""What is learned begins where the generation prompt ends, whatever the template and the tokenizer."""

import warnings
from typing import Any

import numpy as np
import pytest

from tests.torch.chat_templates import CHATS, made
from tests.torch.test_conversations import conversation
from unicorn_hf.torch.conversations import IGNORE_INDEX, ConversationTokenizer

ANSWERS = ["Yes, it is.", "42 of 100.", "漢字です。", "🍷 and so on", "C", ".", "(a) one"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", CHATS)
def test_what_is_learned_is_what_stands_behind_the_generation_prompt(name: str, answer: str) -> None:
    chat, reads = CHATS[name], made(name)
    turns = conversation([("What is it?", answer), ("Sure?", answer)])
    tokenize = ConversationTokenizer(reads, image_token="[gMASK]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [found] = tokenize([turns])
    last_closer = chat.closer if chat.last_closer is None else chat.last_closer
    # SentencePiece's way writes a space of its own behind a special token: the model has to write it too.
    asked = reads.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True)
    lead = " " * (chat.pieces and asked.endswith("[/INST]")) + chat.lead
    assert learned(reads, found) == [lead + answer + chat.closer, lead + answer + last_closer]
    # The same in ids: what is before each is what the model reads when it is asked, where that ends at the answer.
    if "opens a thought" not in name and name != "no generation prompt":
        is_learned = found.labels != IGNORE_INDEX
        begins = np.flatnonzero(is_learned & ~np.roll(is_learned, 1))
        assert len(begins) == 2
        for number, begin in enumerate(begins):
            prompt = tokenize.prompt(turns[: 2 * number + 1])
            assert prompt.input_ids.tolist() == found.input_ids[:begin].tolist()


def learned(reads: Any, found: Any) -> list[str]:
    """The text of each stretch of labels."""
    is_learned = found.labels != IGNORE_INDEX
    edges = np.flatnonzero(np.diff(is_learned)) + 1
    parts = [part for part in np.split(found.labels, edges) if part[0] != IGNORE_INDEX]
    return [reads.decode(part, clean_up_tokenization_spaces=False) for part in parts]


@pytest.mark.parametrize("name", ["no end of a turn", "glm 4, where the next turn closes an answer"])
def test_a_template_that_closes_no_answer_is_warned_of(name: str) -> None:
    with pytest.warns(UserWarning, match="does not learn to stop"):
        ConversationTokenizer(made(name), image_token="[gMASK]")([conversation([("What is it?", "A pear.")])])
