"""What counts as a refusal, and what only stands in quotation marks."""

import pytest

from unicorn_hf.core.talk import refusal, unquoted


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but that is not possible.",
        "I am really sorry. A dog sits there.",
        "I apologize for the confusion.",
        "Unfortunately, I cannot see the dog.",
        "I can't determine the colour.",
        "I can’t tell how many there are.",
        "I don't have enough information to say.",
        "I do not have access to pictures.",
        "I won't be able to answer this.",
        "I'm unable to identify the person.",
        "As an AI language model, I have no eyes.",
        "As an AI, I only know text.",
        "As a large language model, this is beyond me.",
        "I am an AI language model.",
    ],
)
def test_refusals_are_seen(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A sorry-looking dog sits in the rain.",
        'A sign says "I\'m sorry, we are closed".',
        "The board reads “I cannot help it” in red.",
        "A girl is dressed as an AI robot with a tin box on her head.",
        "A monument to the soldiers of World War I can be seen on the hill.",
        "He holds a note for his mother, and cannot see the bus behind him.",
        "I can see two cats; what are they doing?",
        "If I stood there, what would I see on my left?",
    ],
)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert refusal(text) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('A sign says "the image" there.', 'A sign says "" there.'),
        ("“a” and “b” and «c»", '"" and "" and ""'),
        ("the 5' by 7' rug of the dog's", "the 5' by 7' rug of the dog's"),
        ('a 5" plate', 'a 5" plate'),
    ],
)
def test_what_stands_in_quotation_marks_is_left_aside(text: str, left: str) -> None:
    assert unquoted(text) == left
