"""Conversations in OpenAI's form."""

from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.messages import as_messages
from unicorn_hf.instructions.turns import Turn, conversation

TEXT = st.text(min_size=1, max_size=20)


def test_the_form() -> None:
    turns = [Turn("What is red?", "B", ("a", "b", "c", "d")), Turn("Why?", "Paint.")]
    assert as_messages(conversation(turns)) == [
        {
            "role": "user",
            "content": [
                {"type": "image", "text": None},
                {"type": "text", "text": "What is red?\nA. a\nB. b\nC. c\nD. d"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "B"}]},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Paint."}]},
    ]


@given(st.lists(st.builds(Turn, TEXT, TEXT), min_size=1, max_size=4))
def test_roles_alternate_and_the_image_comes_once_and_first(turns: list[Turn]) -> None:
    messages = as_messages(conversation(turns))
    assert [message["role"] for message in messages] == ["user", "assistant"] * len(turns)
    kinds = [[part["type"] for part in message["content"]] for message in messages]  # type: ignore[attr-defined]
    assert kinds[0] == ["image", "text"]
    assert all(kind == ["text"] for kind in kinds[1:])
