"""Prompt files: bundled by name or given by path, and checked before anything is asked."""

from collections import Counter
from pathlib import Path

import pytest

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.generation import Message
from unicorn_hf.core.prompts import CAPTION_PROMPTS, INSTRUCTION_PROMPTS, READ_IN, Example, Prompt, load_prompt
from unicorn_hf.core.recipe_file import bundled_names, load_recipe
from unicorn_hf.instructions.step import load_prompts

TEXT = """\
version: mine-1
system: You see.
user: "Write about: {subject}"
examples:
  - subject: an owl
    answer: A brown owl.
"""


def test_a_prompt_becomes_messages_that_end_with_the_rows_own_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT)
    prompt = load_prompt(str(tmp_path / "mine.yaml"), CAPTION_PROMPTS)
    assert prompt.version == "mine-1"
    assert prompt.messages("a dog") == (
        Message("system", "You see."),
        Message("user", "Write about: an owl"),
        Message("assistant", "A brown owl."),
        Message("user", "Write about: a dog"),
    )


def test_what_requests_share_stands_before_what_they_do_not() -> None:
    prompt = Prompt(version="1", system="s", user="Of {subject}")
    assert prompt.messages("a dog")[:-1] == prompt.messages("a cat")[:-1]


def test_braces_in_a_subject_stay_as_they_are() -> None:
    prompt = Prompt(version="1", system="s", user="Of {subject}")
    assert prompt.messages("{subject} {0} {version}")[-1].content == "Of {subject} {0} {version}"


@pytest.mark.parametrize("name", bundled_names())
def test_the_prompts_of_bundled_recipes_are_bundled(name: str) -> None:
    recipe = load_recipe(name)
    assert load_prompt(recipe.captions.prompt, CAPTION_PROMPTS)
    assert set(load_prompts(recipe.instructions)) == set(recipe.instructions.tasks.by_name())


@pytest.mark.parametrize("folder", [CAPTION_PROMPTS, INSTRUCTION_PROMPTS])
def test_each_bundled_prompt_is_whole_and_has_a_version_of_its_own(folder: Path) -> None:
    versions = [load_prompt(file.stem, folder).version for file in sorted(folder.glob("*.yaml"))]
    assert len(set(versions)) == len(versions) >= 2


def test_there_is_a_prompt_for_each_task() -> None:
    for task in TASKS.own_names:
        assert load_prompt(f"{task}-v2", INSTRUCTION_PROMPTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("{subject}", "it"), "`user` must contain {subject} once"),
        (TEXT.replace("{subject}", "{subject} {subject}"), "`user` must contain {subject} once"),
        (TEXT.replace("system: You see.\n", ""), "system: this key is missing: write a text"),
        (TEXT.replace("version", "vers"), "version: this key is missing"),
        (TEXT + "tone: dry\n", "unknown key tone; the keys here are version,"),
        (TEXT.replace("answer:", "answr:"), "examples.0.answer"),
        (TEXT.replace("system: ", "system: ["), ":3: not valid YAML"),
        ("", "write a mapping with the keys version, system,"),
        ("a text", "write a mapping with the keys version, system,"),
    ],
)
def test_a_prompt_that_does_not_hold_is_an_input_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_prompt(str(tmp_path / "mine.yaml"), CAPTION_PROMPTS)
    assert "mine.yaml" in caught.value.message
    assert message in caught.value.message


def test_a_prompt_that_is_not_utf_8_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(TEXT.replace("owl", "öwl").encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        load_prompt(str(tmp_path / "mine.yaml"), CAPTION_PROMPTS)


def test_an_unknown_prompt_names_those_that_are_there() -> None:
    with pytest.raises(InputError) as caught:
        load_prompt("caption-v0", CAPTION_PROMPTS)
    assert caught.value.message == "no prompt 'caption-v0'"
    assert "caption-v1-short, caption-v2" in caught.value.advice
    assert caught.value.advice.startswith("Did you mean caption-v2? ")


class TestCopied:
    """Weak models copy the worked examples."""

    PLAIN = Prompt(
        version="1",
        system="s",
        user="{subject}",
        examples=(
            Example(
                subject="an owl", answer="A brown owl sits on a branch. It is night. Its eyes are round and bright."
            ),
        ),
    )
    JSON = Prompt(
        version="1",
        system="s",
        user="{subject}",
        examples=(
            Example(
                subject="A donkey pulls a cart along a lane.",
                answer='{"pairs":[{"question":"What is the weather like?","answer":"It carries a heap of pumpkins."}]}',
            ),
        ),
    )

    @pytest.mark.parametrize(
        "text",
        [
            "A brown owl sits on a branch.",
            "The moon is up. A BROWN owl, sits on a branch!",
            "Its eyes are round and bright.",
        ],
    )
    def test_a_sentence_of_an_example_is_found_whatever_stands_around_it(self, text: str) -> None:
        assert self.PLAIN.copied(text)

    @pytest.mark.parametrize(
        "text", ["", "It is night.", "A brown owl sits.", "A brown owl sits on a branch of a pine."]
    )
    def test_short_sentences_and_parts_are_anybodys(self, text: str) -> None:
        assert self.PLAIN.copied(text) is None

    def test_texts_within_json_and_the_examples_subject_are_found(self) -> None:
        assert self.JSON.copied("It carries a heap of pumpkins.")
        assert self.JSON.copied("A donkey pulls a cart along a lane.")

    def test_a_question_that_everybody_asks_is_no_copy(self) -> None:
        assert self.JSON.copied("What is the weather like?") is None

    def test_a_prompt_without_examples_has_no_copies(self) -> None:
        assert Prompt(version="1", system="s", user="{subject}").copied("A brown owl sits on a branch.") is None


STYLED = Prompt(
    version="1",
    system="s",
    user="Write. {style} Of {subject}",
    styles={"length": ("Be short.", "Be long."), "focus": ("Look near.", "Look far.", "Look up.")},
)


def test_styles_are_drawn_by_the_draw_alone_one_of_each_kind() -> None:
    drawn = Counter(STYLED.style(f"draw {number}") for number in range(600))
    assert set(drawn) == {f"{one} {two}" for one in STYLED.styles["length"] for two in STYLED.styles["focus"]}
    assert min(drawn.values()) > 60
    assert STYLED.messages("a dog", "x") == STYLED.messages("a dog", "x")
    (_, asked) = STYLED.messages("a {style} dog", "x")
    assert asked.content == f"Write. {STYLED.style('x')} Of a {{style}} dog"


@pytest.mark.parametrize(
    "text",
    ["user: 'Of {subject} {style}'", "user: 'Of {subject}'\nstyles: {length: [Be short.]}"],
)
def test_a_prompt_has_styles_and_a_place_for_them_or_neither(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"version: v\nsystem: s\n{text}\n")
    with pytest.raises(InputError, match=r"must contain \{style\} once if there are `styles`"):
        load_prompt(str(tmp_path / "mine.yaml"), CAPTION_PROMPTS)


def test_the_bundled_styles_say_how_long_from_where_and_what_first() -> None:
    prompt = load_prompt("caption-v2", CAPTION_PROMPTS)
    assert set(prompt.styles) == {"length", "viewpoint", "focus"}
    assert min(map(len, prompt.styles.values())) >= 3
    head = prompt.user.split("{style}")[0]
    assert head, "what requests share stands before what they differ in"
    assert all(prompt.messages("a dog", str(draw))[-1].content.startswith(head) for draw in range(20))


class TestLanguage:
    PROMPT = Prompt(version="v", system="You see.", user="Of {subject}", examples=(Example(subject="s", answer="a"),))

    def test_english_is_asked_for_by_nothing(self) -> None:
        assert self.PROMPT.messages("x", language="en") == self.PROMPT.messages("x")
        assert self.PROMPT.version_in("en") == "v"

    def test_another_language_is_asked_for_in_the_system_text_and_in_the_last_turn(self) -> None:
        system, example, answer, asked = self.PROMPT.messages("x", language="zh")
        assert system.content.startswith("You see.\n\nWrite in Chinese (中文), ")
        assert (example.content, answer.content) == ("Of s", "a")
        assert asked.content.startswith("Write in Chinese (中文), ")
        assert asked.content.endswith("\n\nOf x")
        assert self.PROMPT.version_in("zh") == "v.zh"

    def test_a_scorer_is_told_the_language_of_the_text(self) -> None:
        assert self.PROMPT.messages("x", language="de", asked=READ_IN)[-1].content == (
            "The text is in German (Deutsch), as it should be.\n\nOf x"
        )

    def test_a_prompt_with_a_place_for_the_language_says_it_there_alone(self) -> None:
        prompt = Prompt(version="v", system="Write {language}.", user="Of {subject}")
        assert [message.content for message in prompt.messages("{language}", language="ja")] == [
            "Write Japanese (日本語).",
            "Of {language}",
        ]
