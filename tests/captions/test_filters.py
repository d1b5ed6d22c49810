"""What a caption must be: real-looking sentences, good and bad, and bounds that hold for all texts."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unicorn_hf.captions.filters import Draft, clean, judge
from unicorn_hf.captions.filters.seed import added_words, lost_words, seed_words
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import Rejected
from unicorn_hf.core.prompts import CAPTION_PROMPTS, Example, Prompt, load_prompt
from unicorn_hf.core.recipe import CaptionFilters
from unicorn_hf.core.word_lists import rhetoric
from unicorn_hf.core.words import repeated_fraction, words

GOOD = (
    "A brown owl sits on a thick, bare branch with its body turned to the side and its face to the front. Its round "
    "eyes are bright yellow with black pupils, and its short, curved beak is grey. The feathers on its chest are pale "
    "with dark brown streaks, and its talons grip the rough bark."
)
NO_LENGTH = CaptionFilters(
    min_words=1, max_words=2000, min_added_words=0, min_seed_coverage=0, check_language=False, max_rhetoric=1000
)
PROMPT = Prompt(version="1", system="s", user="{subject}")


def answered(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(text, finish_reason, 7, 70)  # type: ignore[arg-type]


def reason(
    text: str, filters: CaptionFilters = NO_LENGTH, finish_reason: str = "stop", seed: str = "an owl"
) -> str | None:
    """The name of the filter that the answer fails, or None."""
    outcome = judge(Draft(answered(text, finish_reason), seed), filters, PROMPT)
    return outcome.reason if isinstance(outcome, Rejected) else None


def test_a_good_caption_passes_the_default_filters() -> None:
    assert reason(GOOD, CaptionFilters()) is None


@pytest.mark.parametrize(
    "text",
    [
        "The image shows a dog on a lawn.",
        "This image shows a dog on a lawn.",
        "In this image, a dog lies on a lawn.",
        "In the picture, a dog lies on a lawn.",
        "In the photo a dog lies on a lawn.",
        "An image of a dog on a lawn.",
        "A photo of a dog on a lawn.",
        "A stunning, high-resolution photograph of a dog.",
        "A black-and-white photo of a man with a hat.",
        "A close-up picture of a bee on a flower.",
        "This is a picture of a dog.",
        "It is an old black and white photograph of a street.",
        "A dog lies on a lawn. The image is bright.",
        "A dog lies on a lawn in the centre of the image.",
        "Two boats float in the background of the picture.",
        "A dog lies on the left side of the photograph.",
        "A dog lies on a lawn, and the entire image has a warm tone.",
        "A dog lies there. The overall picture is calm.",
        "A dog lies on a lawn, as the caption says.",
        "The caption describes a dog on a lawn.",
        "The prompt asks for a dog, so here is one.",
        "This prompt describes a dog.",
        "The scene description mentions a dog.",
        "The caption seed is about a dog.",
        "The seed mentions a dog on a lawn.",
        "This caption is about a dog.",
        "Caption: A dog lies on a lawn.",
        "Description: a dog on a lawn.",
        "**Caption seed**: a dog.",
        "Title: A dog.",
        "The description says that a dog lies on a lawn.",
        "This paragraph describes a dog.",
        "The scene depicts a dog on a lawn.",
        "The scene depicted is a lawn with a dog.",
        "In this scene, a dog lies on a lawn.",
    ],
)
def test_talk_of_the_caption_or_of_the_picture_itself_is_rejected(text: str) -> None:
    assert reason(text.replace("**", "")) == "caption_talk"


@pytest.mark.parametrize(
    "text",
    [
        "A photo frame on the wall holds a portrait of a man.",
        "The picture frame is made of dark wood.",
        "The photo on the wall shows a girl with a kite.",
        "A picture hangs above the sofa.",
        "The picture hangs a little askew.",
        "A wedding photo stands on the shelf. The photo is a little faded.",
        "Three pictures in black frames hang side by side; the picture in the middle is the largest.",
        "A woman takes a photo of the bridge with her phone.",
        "A tourist snaps a picture of the tower.",
        "Four friends smile for the photo and hold up their glasses.",
        "A man is taking the picture with an old camera on a tripod.",
        "He holds the photograph in his left hand and looks at it.",
        "The girl looks at the picture book on her knees.",
        "A large picture window looks out on the lake.",
        "A picture-perfect lawn lies before the house.",
        "Above the door, the image of a lion is carved into the stone.",
        "A framed photo of a family stands on a desk.",
        "A stone wall bears the image of a saint.",
        "A bird holds a seed in its beak, and the seed is black.",
        "The seeds of the sunflower are nearly black.",
        "A menu with a description of each dish lies on the table.",
        "The description of each dish is printed in red.",
        "A cartoon hangs on the door; the caption below it is in French.",
        'A poster says "The image of the year" in white letters.',
        "A sign reads “this picture is for sale”.",
        "A prompter and a microphone stand before the speaker.",
        "A boy with a camera kneels in the sand to photograph a crab.",
        "An imaginary creature with a pictured shield walks by.",
        "A dog watches the scene from a bench; the scene of the accident is fenced off.",
    ],
)
def test_pictures_and_words_within_the_scene_are_kept(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Certainly! Here is a paragraph that describes the scene.",
        "Sure, here's your caption.",
        "Sure! A dog lies on a lawn.",
        "Of course: a dog lies on a lawn.",
        "Here is a detailed description of the scene.",
        "Here's one possible caption for it.",
        "A dog lies on a lawn. Let me know if you need more.",
        "A dog lies on a lawn. I hope this helps!",
        "A dog lies on a lawn. Feel free to adjust it.",
        "I'd be happy to describe the scene.",
        "I'm sorry, but I can't write that.",
        "I’m sorry, but I can’t write that.",
        "As an AI language model, I cannot see a dog.",
        "I apologize, there is no dog.",
    ],
)
def test_chatter_and_refusals_are_rejected(text: str) -> None:
    assert reason(text) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "A boy is happy to help his mother carry the bags.",
        "The dog is almost certainly, by its coat, a collie.",
        "A sure-footed goat climbs the rock.",
        "A note on the fridge says \"I'm sorry, I can't come\".",
        "A robot waiter made to look as an AI helper would serves tea.",
        "Here and there a poppy stands in the wheat.",
        "The certainly oldest tree of the park has a hollow trunk.",
    ],
)
def test_what_only_sounds_like_chatter_is_kept(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "- A dog lies on a lawn.",
        "* A dog.\n* A cat.",
        "1. A dog lies there.\n2. A cat sits there.",
        "1) A dog lies there.",
        "# A dog\nA dog lies on a lawn.",
        "## The dog.",
        "> A dog lies on a lawn.",
        "A **brown** dog lies on a lawn.",
        "A __brown__ dog lies on a lawn.",
        "```A dog lies on a lawn.```.",
        "<p>A dog lies on a lawn.</p>.",
        "A dog.<br/> A cat.",
        '<div class="x">A dog.</div>.',
        "A [dog](http://example.org/dog) lies there.",
        "| dog | lawn |.",
        "A dog lies on a lawn.\n\nA cat sits on a wall.",
        "A dog lies on a lawn.\\nA cat sits on a wall.",
    ],
)
def test_markup_and_several_paragraphs_are_rejected(text: str) -> None:
    assert reason(text) == "markup"


@pytest.mark.parametrize(
    "text",
    [
        "<|start_of_thing|>A dog lies on a lawn.",
        "[INST] A dog. [/INST] A dog lies on a lawn.",
        "analysis: a dog. A dog lies on a lawn.",
        "Hmm, the user wants a dog. A dog lies on a lawn.",
    ],
)
def test_what_a_template_or_a_thought_left_is_rejected_whatever_the_recipe_allows(text: str) -> None:
    assert reason(text) == "markup"
    assert reason(text, NO_LENGTH.model_copy(update={"forbid_markup": False})) == "markup"


@pytest.mark.parametrize(
    "text",
    [
        "A dog lies on a lawn\nbeside a cat.",
        "\n\n  A dog lies on a lawn.\n",
        "2 dogs lie on a lawn - one is brown.",
        "A sign with 1. and 2. in red hangs there.",
        "A jar labelled #5 stands beside a 3 < 4 chalk formula.",
        "A well-lit, black-and-white tiled floor.",
    ],
)
def test_plain_text_is_no_markup(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        ("A dog lies on a lawn and", "stop", "unfinished"),
        ("A dog lies on a lawn,", "stop", "unfinished"),
        ("A dog lies on a lawn.", "length", "unfinished"),
        ("A dog lies on a lawn.", "context", "too_long_for_model"),
        ("A dog lies on a lawn.", "moderated", "moderated"),
        ("A dog lies on a lawn.", "refused", "refused_by_server"),
        ("A dog lies on a lawn.", "thought", "unfinished"),
        ("A dog lies on a lawn.", "tool_call", "tool_call"),
        ("A dog lies on a lawn.", "unknown", "unknown_ending"),
        ("A dog lies on a lawn.", "failed", "not_answered"),
        ("", "stop", "empty"),
        ("   \n ", "stop", "empty"),
        ('""', "stop", "empty"),
        ("A dog lies on a lawn!", "stop", None),
        ('A sign reads "Stop."', "stop", None),
        ("A dog lies on a lawn (asleep.)", "stop", None),
        ("A dog is ..... of .....!?", "stop", None),
    ],
)
def test_a_caption_ends_as_a_sentence(text: str, finish_reason: str, expected: str | None) -> None:
    assert reason(text, finish_reason=finish_reason) == expected


def test_the_first_reason_in_the_fixed_order_is_given() -> None:
    bad = "Sure! The image shows **a dog** a dog a dog a dog a dog a dog"
    assert reason(bad) == "unfinished"
    assert reason(bad + ".") == "refusal"
    assert reason(bad.removeprefix("Sure! ") + ".") == "caption_talk"
    assert reason(bad.removeprefix("Sure! The image shows ") + ".") == "markup"
    assert reason("A dog a dog a dog a dog a dog a dog.", CaptionFilters()) == "too_short"
    assert reason("A dog a dog a dog a dog a dog a dog.") == "repetition"


@pytest.mark.parametrize(
    ("text", "switch"),
    [
        ("The image shows a dog.", "forbid_caption_talk"),
        ("Sure! A dog lies there.", "forbid_refusals"),
        ("A **dog** lies there.", "forbid_markup"),
    ],
)
def test_each_filter_of_wording_can_be_switched_off(text: str, switch: str) -> None:
    assert reason(text) is not None
    assert reason(text, NO_LENGTH.model_copy(update={switch: False})) is None


@given(st.integers(1, 60), st.integers(1, 30), st.integers(0, 30))
def test_bounds_of_length_hold(number: int, low: int, room: int) -> None:
    text = " ".join(f"word{index}" for index in range(number)) + "."
    filters = NO_LENGTH.model_copy(update={"min_words": low, "max_words": low + room})
    expected = "too_short" if number < low else "too_long" if number > low + room else None
    assert reason(text, filters) == expected


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(0, 1000).map(lambda number: number / 1000))
def test_the_bound_of_repetition_holds(letters: list[str], most: float) -> None:
    text = " ".join(letters) + " end."
    fraction = repeated_fraction(text)
    assert 0 <= fraction < 1
    filters = NO_LENGTH.model_copy(update={"max_repeated_fraction": most})
    assert reason(text, filters) == ("repetition" if fraction > most else None)


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("", 0),
        ("one two three", 0),
        ("one two three four", 0),
        (GOOD, 0),
        ("a b c d a b c d", 1 / 5),
        ("dog " * 103, 99 / 100),
        ("A dog. a DOG, a dog a dog", 3 / 5),
    ],
)
def test_repetition_is_the_share_of_runs_that_came_before(text: str, fraction: float) -> None:
    assert repeated_fraction(text) == pytest.approx(fraction)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  A dog.\n", "A dog."),
        ('"A dog."', "A dog."),
        ("“A dog.”", "A dog."),
        ('" A dog. "', "A dog."),
        ("A dog\n  and a\tcat.", "A dog and a cat."),
        ('"A" and "B"', '"A" and "B"'),
        ('"A dog', '"A dog'),
        ('"', '"'),
        ('A sign reads "Stop."', 'A sign reads "Stop."'),
        ("", ""),
    ],
)
def test_an_answer_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.sampled_from("a .\n\t\"“”'") | st.characters(exclude_categories=["Cs"])))
@example('""a""')
@example('" "a" "')
@example("“\u2028”")
def test_cleaning_again_changes_nothing_and_leaves_one_line(text: str) -> None:
    caption = clean(text)
    assert clean(caption) == caption
    assert len(caption.splitlines()) <= 1
    assert caption == caption.strip()
    assert words(caption) == words(text)


@given(st.text())
def test_any_answer_is_a_caption_or_a_rejection(text: str) -> None:
    prompt = load_prompt("caption-v1-short", CAPTION_PROMPTS)
    outcome = judge(Draft(answered(text), "an owl"), NO_LENGTH, prompt)
    if isinstance(outcome, Rejected):
        assert outcome.reason
        assert outcome.detail
    else:
        assert outcome == clean(text)
        assert words(outcome)


def test_an_answer_that_copies_an_example_is_rejected() -> None:
    prompt = PROMPT.model_copy(update={"examples": (Example(subject="an owl", answer=GOOD),)})
    copied = f"A dog lies there. {GOOD}"
    outcome = judge(Draft(answered(copied), "an owl"), CaptionFilters(), prompt)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "copied_example"
    assert judge(Draft(answered(copied), "an owl"), CaptionFilters(), PROMPT) == copied


SEED = "an owl on a branch"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A castle, a testament to its builders, stands there.", ["testament to"]),
        ("A breathtaking, MAJESTIC eagle.", ["breathtaking", "majestic"]),
        ("Its colours evoke a sense of calm.", ["evoke", "a sense of"]),
        ("I see my dog.", ["i see", "my"]),
        ("The air is filled with the scent of hay and whispers.", ["scent of", "whispers"]),
        ("An owl sits on a branch.", []),
        ("A US flag hangs beside a sleeping beauty salon.", []),
        ("The weather is awful, and a tapestried chair is bewitched.", []),
    ],
)
def test_evaluative_words_are_found(text: str, found: list[str]) -> None:
    assert rhetoric(text) == found


def test_what_the_seed_says_is_not_unfounded() -> None:
    assert rhetoric("A majestic eagle over a serene lake.", "a Majestic eagle") == ["serene"]


def test_signs_may_praise_what_a_caption_may_not() -> None:
    strict = NO_LENGTH.model_copy(update={"max_rhetoric": 0})
    assert reason('A sign reads "Stunning views".', strict) is None
    assert reason("A sign with stunning views.", strict) == "rhetoric"


@given(st.integers(0, 6), st.integers(0, 6))
def test_the_bound_of_rhetoric_holds(number: int, most: int) -> None:
    text = "A dog lies there" + "".join(f", stunning {index}" for index in range(number)) + "."
    filters = NO_LENGTH.model_copy(update={"max_rhetoric": most})
    assert reason(text, filters) == ("rhetoric" if number > most else None)


@pytest.mark.parametrize(
    "text",
    ["A woman masturbates.", "A DECAPITATED body lies there.", "A naked  girl.", "A porn magazine.", "He is tortured."],
)
def test_unsafe_content_is_rejected(text: str) -> None:
    assert reason(text) == "unsafe"
    assert reason(text, NO_LENGTH.model_copy(update={"forbid_unsafe": False})) is None


@pytest.mark.parametrize(
    "text",
    [
        "A cock crows beside a hen; a great tit and a blue-footed booby sit on a wall.",
        "A robin with a red breast sits on a pussy willow.",
        "Dick Tracy rides an ass past Scunthorpe, Essex and Middlesex.",
        "A cockatoo and a peacock stand behind a titmouse.",
        "A nude statue of marble stands in the museum.",
        "A retriever bitch lies beside her pups.",
        "A blood orange, a corpse flower and dead wood.",
        "A therapist shows grapes and rapeseed to a drapery maker.",
        "A knight with a sword stands by a gun and a chicken breast.",
        "A shiitake mushroom and a matchbox in a bondage-free analysis.",
    ],
)
def test_words_that_only_look_unsafe_are_kept(text: str) -> None:
    assert reason(text) is None


def test_a_recipe_adds_unsafe_words_of_its_own() -> None:
    filters = NO_LENGTH.model_copy(update={"unsafe_words": ("cigar*", "glass of (wine)")})
    assert reason("A man with cigarettes.", filters) == "unsafe"
    assert reason("A glass of  (wine) stands there.", filters) == "unsafe"
    assert reason("A glass of wine stands there.", filters) is None


@pytest.mark.parametrize(
    ("text", "languages", "passes"),
    [
        (GOOD, ("en",), True),
        (GOOD, ("de",), False),
        (GOOD, ("de", "en-GB"), True),
        ("Eine braune Eule sitzt auf einem dicken, kahlen Ast und schaut nach vorn.", ("en",), False),
        ("Eine braune Eule sitzt auf einem dicken, kahlen Ast und schaut nach vorn.", ("de",), True),
        ("Un hibou brun est assis sur une branche nue et regarde devant lui.", ("en",), False),
        ("一只棕色的猫头鹰站在粗壮的树枝上，身体侧向一边，脸朝前方。", ("zh",), True),
        ("一只棕色的猫头鹰站在粗壮的树枝上，身体侧向一边，脸朝前方。", ("en",), False),
        ("茶色のフクロウが太い枝にとまって、こちらを見ています。", ("ja",), True),
        (GOOD + " 旁边有一盏灯。", ("en",), False),
        (GOOD + ' A sign reads "旁边有一盏灯".', ("en",), True),
        (GOOD + " A π and a β are painted on it.", ("en",), True),
        ("Two dogs.", ("en",), True),
        (GOOD, ("tlh",), True),
    ],
)
def test_captions_are_in_the_recipes_language(text: str, languages: tuple[str, ...], passes: bool) -> None:
    draft = Draft(answered(text), SEED, languages)
    outcome = judge(draft, NO_LENGTH.model_copy(update={"check_language": True}), PROMPT)
    assert isinstance(outcome, str) == passes
    assert passes or (isinstance(outcome, Rejected) and outcome.reason == "language")
    assert isinstance(judge(draft, NO_LENGTH, PROMPT), str)


@pytest.mark.parametrize(
    ("seed", "text", "lost"),
    [
        ("an owl on a branch", "Owls sit on branches.", []),
        ("a child with two mice", "Children hold a mouse; two in all.", []),
        ("a running dog", "A dog runs.", []),
        ("a photo of a Birman, a kind of cat", "A Birman cat lies there.", []),
        ("a high-backed chair", "A chair with a high back.", []),
        ("the owl's nest", "A nest of an owl.", []),
        ("an owl on a branch", "A cat lies on a sofa.", ["owl", "branch"]),
        ("一只猫", "猫坐在垫子上。", ["一", "只"]),
        ("", "A cat.", []),
        ("the photo", "A cat.", ["photo"]),
    ],
)
def test_lost_words_of_the_seed_are_found(seed: str, text: str, lost: list[str]) -> None:
    assert lost_words(seed_words(seed), text) == lost


@given(st.text(), st.text())
def test_a_caption_that_holds_its_seed_has_lost_nothing(seed: str, more: str) -> None:
    assert lost_words(seed_words(seed), f"{more}\n{seed}\n{more}") == []
    assert added_words(seed, seed) == set()


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 100).map(lambda share: share / 100))
def test_the_bound_of_seed_coverage_holds(number: int, kept: int, share: float) -> None:
    names = [f"q{chr(97 + index)}zz" for index in range(number)]
    kept = min(kept, number)
    filters = NO_LENGTH.model_copy(update={"min_seed_coverage": share})
    expected = "lost_seed" if kept < share * number else None
    assert reason(f"Here stand {' '.join(names[:kept])} together.", filters, seed=" ".join(names)) == expected


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_bound_of_what_is_added_holds(number: int, least: int) -> None:
    text = " ".join(["an owl", *(f"q{chr(97 + index)}zz" for index in range(number))]) + "."
    filters = NO_LENGTH.model_copy(update={"min_added_words": least})
    assert reason(text, filters, seed="an owl") == ("little_added" if number < least else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一只棕色的猫头鹰站在粗壮的树枝上，身体侧向一边，脸朝前方。" * 2, "too_short"),
        ("一只棕色的猫头鹰站在粗壮的树枝上，身体侧向一边，脸朝前方。" * 4, None),
        ("नीली चिड़िया पेड़ की डाल पर बैठी है।", "too_short"),
        ("ที่บ้านมีแมว " * 30, None),
    ],
)
def test_the_length_band_is_right_for_scripts_without_spaces(text: str, expected: str | None) -> None:
    assert reason(text, NO_LENGTH.model_copy(update={"min_words": 40, "max_repeated_fraction": 1.0})) == expected
