"""What a conversation must be: real-looking questions and answers, good and bad."""

from collections.abc import Sequence

import pytest

from unicorn_hf.core.recipe import PairRange, TaskName
from unicorn_hf.instructions.filters import check_conversation
from unicorn_hf.instructions.tasks import Turn

PAIRS = PairRange(min=1, max=3)
DOG = Turn("What does the dog carry?", "It carries a stick.")
BOAT = Turn("What colour is the boat?", "B", ("Red", "Green", "White", "Blue"))


def reason(*turns: Turn, task: TaskName = "question_answering", pairs: PairRange = PAIRS) -> str | None:
    """The name of the filter that the conversation fails, or None."""
    rejected = check_conversation(task, turns, pairs)
    if rejected is None:
        return None
    assert rejected.detail
    return rejected.reason


def choice(question: str = BOAT.question, options: Sequence[str] = BOAT.options, answer: str = "B") -> str | None:
    return reason(Turn(question, answer, tuple(options)), task="multiple_choice")


def test_good_conversations_pass() -> None:
    assert reason(DOG) is None
    assert reason(DOG, Turn("How many birds are there?", "Two.")) is None
    assert reason(BOAT, task="multiple_choice") is None
    assert reason(DOG, task="complex_reasoning") is None


@pytest.mark.parametrize(
    "text",
    [
        "As described in the caption, it is red.",
        "What does the caption say about the dog?",
        "According to the description, what is red?",
        "According to the passage, where is the dog?",
        "According to the text, what is red?",
        "According to the text provided, what is red?",
        "According to the given information, how many dogs are there?",
        "Based on the description, how old is the man?",
        "Based on the information provided, how old is the man?",
        "Based on the scene description, how old is the man?",
        "Based on this description of the scene, how old is the man?",
        "What is the colour of the dog in the description?",
        "Who stands in the passage?",
        "In the given text, who is red?",
        "The description says that it is red.",
        "The paragraph tells of a dog.",
        "The prompt says that it is red.",
        "It is red, as stated.",
        "The colour is not mentioned.",
        "What is mentioned about the dog?",
        "The colour isn't mentioned.",
        "The breed is not specified.",
        "How is the dog described?",
        "How is the old brown dog described?",
        "What is described here?",
        "The dog, as described above, is red.",
        "The text does not mention a colour.",
        "It doesn't specify where the dog is.",
        "There is no mention of a cat.",
        "There is no information about the cat.",
        "What happens in the story?",
        "What does this sentence tell of the dog?",
        "From the context, where is the dog?",
        "Which of the described things is red?",
    ],
)
@pytest.mark.parametrize("where", ["question", "answer"])
def test_talk_of_a_text_that_nobody_sees_is_rejected(text: str, where: str) -> None:
    turn = Turn(text, DOG.answer) if where == "question" else Turn(DOG.question, text)
    assert reason(turn) == "caption_talk"
    assert reason(turn, task="complex_reasoning") == "caption_talk"


def test_options_are_checked_too() -> None:
    assert choice(options=("Red", "Green", "Blue", "Not mentioned")) == "caption_talk"
    assert choice(options=("Red", "Green", "Blue", "I cannot tell from here")) == "refusal"
    assert choice(options=("Red", "**Green**", "Blue", "White")) == "markup"


@pytest.mark.parametrize(
    "text",
    [
        "A menu with a description of each dish lies on the table.",
        "The description of each dish is in French.",
        "According to the sign, how far is the village?",
        "According to the clock, what time is it?",
        "According to the text on the sign, how far is the village?",
        "What colour is the text on the banner?",
        "The text printed on his shirt is white.",
        "The text above the door is in Greek.",
        "In what colour is the text of the poster?",
        'What does the word "text" stand for on the wall?',
        'A note on the door says "not mentioned in the caption".',
        "A woman stands at the information desk.",
        "The information board shows three trains.",
        "A narrow passage between two houses leads to the sea.",
        "Where does the passage between the houses lead to?",
        "The passage of time shows in the cracks of the wall.",
        "The caption below the cartoon is in French.",
        "The paragraph on the page begins with a red letter.",
        "The mood is best described as calm.",
        "How could the mood be described?",
        "How would you describe the light?",
        "How is the weather best described?",
        "In this context, the umbrella suggests that rain is near.",
        "In the context of a wedding, the white dress makes sense.",
        "Based on the shadows, the sun must be low.",
        "Judging by the details of her dress, it is a feast.",
        "What is in the image?",
        "The picture shows a dog.",
        "The sign does not say when the shop opens.",
        "The waiter acts promptly.",
        "The ground state of the field is poor.",
        "The dog ____ a stick: which word fits?",
    ],
)
@pytest.mark.parametrize("where", ["question", "answer"])
def test_texts_and_passages_that_are_to_be_seen_are_kept(text: str, where: str) -> None:
    turn = Turn(text, DOG.answer) if where == "question" else Turn(DOG.question, text)
    assert reason(turn) is None


@pytest.mark.parametrize(
    "answer", ["I'm sorry, I can't help.", "As an AI language model, I see nothing.", "I cannot determine the colour."]
)
def test_refusals_are_rejected(answer: str) -> None:
    assert reason(Turn(DOG.question, answer)) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "**Red**.",
        "```red```",
        "<b>Red</b>",
        "<image>",
        'A sign says "<image>".',
        "[a](b)",
        r"Red.\nBlue.",
        "A red hat}},",
    ],
)
def test_markup_is_rejected(text: str) -> None:
    assert reason(Turn(DOG.question, text)) == "markup"


@pytest.mark.parametrize(
    ("question", "answer"), [("", "Red."), ("What?", ""), ("...", "Red."), ("What is red?", " - ")]
)
def test_texts_without_words_are_rejected(question: str, answer: str) -> None:
    # The question stands in the detail, and may be empty.
    rejected = check_conversation("question_answering", [Turn(question, answer)], PAIRS)
    assert rejected is not None
    assert rejected.reason == "empty_text"


@pytest.mark.parametrize("number", [0, 4])
def test_the_number_of_pairs_is_checked(number: int) -> None:
    turns = [Turn(f"What is {index}?", "A dog.") for index in range(number)]
    rejected = check_conversation("question_answering", turns, PAIRS)
    assert rejected is not None
    assert rejected.reason == "wrong_count"
    assert rejected.detail == f"{number} pairs, 1 to 3 are wanted"


def test_a_question_may_be_asked_once_only() -> None:
    assert reason(DOG, Turn("what does the DOG carry", "A bone.")) == "repeated_question"


def test_an_answer_that_repeats_the_question_is_rejected() -> None:
    assert reason(Turn("What is the dog?", "What is the dog")) == "echoed_question"


@pytest.mark.parametrize(
    "options", [("Red", "Green", "red.", "Blue"), ("Red", "Red", "Red", "Red"), ("two dogs", "Two  Dogs!", "a", "b")]
)
def test_options_differ(options: Sequence[str]) -> None:
    assert choice(options=options) == "equal_options"


@pytest.mark.parametrize(
    "option",
    [
        "All of the above",
        "None of the above",
        "Both of the above.",
        "None of the options",
        "Both A and B",
        "A and C",
        "A & D",
        "Neither B nor C",
        "Option B",
        "The same as answer (A)",
    ],
)
def test_options_that_speak_of_other_options_are_rejected_since_their_places_change(option: str) -> None:
    assert choice(options=("Red", "Green", "Blue", option)) == "other_options"


@pytest.mark.parametrize(
    "option",
    ["None of them", "All of these", "Both dogs", "A and an orange", "Above the door", "A dog and a cat", "Vitamin D"],
)
def test_options_that_only_look_like_that_are_kept(option: str) -> None:
    assert choice(options=("Red", "Green", "Blue", option)) is None


@pytest.mark.parametrize(
    "question",
    [
        "What is red? A. the dog B. the cat C. the cow D. the pig",
        "What is red?\nA) the dog\nB) the cat\nC) the cow",
        "Red: (A) x (B) y (C) z",
    ],
)
def test_a_question_does_not_list_options_of_its_own(question: str) -> None:
    assert choice(question) == "listed_options"


def test_letters_in_a_question_are_no_options() -> None:
    assert choice("Who is next to Mr. A. Brown of B. & Sons?") is None
    assert choice("What stands between house A and house B?") is None


@pytest.mark.parametrize(("task", "most"), [("question_answering", 400), ("complex_reasoning", 800)])
def test_an_answer_that_fills_all_its_room_was_cut(task: TaskName, most: int) -> None:
    assert reason(Turn(DOG.question, "word " * (most // 5 - 1) + "worde"), task=task) == "cut_text"
    assert reason(Turn(DOG.question, "word " * (most // 5 - 1) + "end."), task=task) is None


def test_a_question_or_an_option_that_fills_all_its_room_was_cut() -> None:
    assert reason(Turn("x" * 240, "Red.")) == "cut_text"
    assert reason(Turn("x" * 239, "Red.")) is None
    assert choice(options=("Red", "Green", "Blue", "x" * 100)) == "cut_text"
    assert choice(options=("Red", "Green", "Blue", "x" * 99)) is None


def test_the_reason_is_that_of_the_first_turn_that_fails() -> None:
    assert reason(DOG, Turn("What?", "It is not mentioned."), Turn("Where?", "**There**")) == "caption_talk"
