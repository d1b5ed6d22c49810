"""What a conversation must be: real-looking questions and answers, good and bad."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.choices import CONVERSATION_FILTERS, TASKS
from unicorn_hf.core.task import InstructionFilters
from unicorn_hf.instructions.filters import Scene
from unicorn_hf.instructions.turns import Turn

DOG = Turn("What does the dog carry?", "It carries a stick.")
BOAT = Turn("What colour is the boat?", "B", ("Red", "Green", "White", "Blue"))
SHAPE: tuple[str, ...] = ("not_a_question", "asks_back", "unfinished_answer", "no_reasoning")
WORDS_ALONE = InstructionFilters(without=SHAPE, min_grounded=0)
"""For texts that are neither questions nor answers, and of no scene."""


def reason(
    *turns: Turn,
    task: str = "question_answering",
    caption: str = "",
    filters: InstructionFilters = WORDS_ALONE,
) -> str | None:
    """The name of the first filter that a turn fails, or None."""
    used = TASKS.get(task)(filters=filters)
    good, bad = used.good_turns(turns, Scene(caption, max_answer=used.max_answer))
    assert len(good) + len(bad) == len(turns)
    assert all(wrong.detail and len(wrong.detail) <= 200 for wrong in bad)
    return bad[0].reason if bad else None


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
        "A red hat.<|im_end|>",
        "[INST] A red hat.",
        "assistantfinalA red hat.",
        "analysisThe user asks for a hat.",
        "The user wants to know the colour of the hat: red.",
    ],
)
def test_markup_is_rejected(text: str) -> None:
    assert reason(Turn(DOG.question, text)) == "markup"


@pytest.mark.parametrize(
    ("question", "answer"), [("", "Red."), ("What?", ""), ("...", "Red."), ("What is red?", " - ")]
)
def test_texts_without_words_are_rejected(question: str, answer: str) -> None:
    assert reason(Turn(question, answer)) == "empty_text"


@pytest.mark.parametrize(
    "again",
    ["what does the DOG carry", "What does a dog carry?", "What is the dog carrying?", "What  do the dogs carry?!"],
)
def test_a_question_may_be_asked_once_only(again: str) -> None:
    assert reason(DOG, Turn(again, "A bone.")) == "repeated_question"


@pytest.mark.parametrize(
    "other", ["Where does the dog carry it?", "What does the cat carry?", "What does the dog carry in its mouth?"]
)
def test_a_question_that_asks_something_else_is_kept(other: str) -> None:
    assert reason(DOG, Turn(other, "A bone.")) is None


def test_questions_of_function_words_alone_are_told_apart() -> None:
    assert reason(Turn("What is it?", "A dog."), Turn("Where is it?", "There.")) is None
    assert reason(Turn("What is it?", "A dog."), Turn("What is it", "There.")) == "repeated_question"


def test_a_sentence_may_answer_once_only_and_a_word_again() -> None:
    assert reason(DOG, Turn("What is in its mouth?", "It carries a stick")) == "repeated_answer"
    assert reason(Turn("What is red?", "A dog."), Turn("What is old?", "A dog.")) is None


def test_an_answer_that_repeats_the_question_is_rejected() -> None:
    assert reason(Turn("What is the dog?", "What is the dog")) == "echoed_question"


@pytest.mark.parametrize(
    ("question", "answer", "wrong"),
    [
        ("How do the dragon's scales glow in the dark?", "The dragon's scales glow.", "echoed_question"),
        ("Does the old dog carry a stick?", "Yes, the old dog carries a stick.", None),
        ("Is the old dog brown or white?", "White.", None),
        ("How do the dragon's scales glow?", "The dragon's scales glow red.", None),
    ],
)
def test_an_answer_adds_something_to_its_question(question: str, answer: str, wrong: str | None) -> None:
    assert reason(Turn(question, answer)) == wrong


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
def test_an_answer_that_fills_all_its_room_was_cut(task: str, most: int) -> None:
    numbers = "".join(f"{number} " for number in range(1000, 999 + most // 5))
    assert reason(Turn(DOG.question, numbers + "words"), task=task) == "cut_text"
    assert reason(Turn(DOG.question, numbers + "end."), task=task) is None


def test_a_question_or_an_option_that_fills_all_its_room_was_cut() -> None:
    assert reason(Turn("ab" * 120, "Red.")) == "cut_text"
    assert reason(Turn("ab" * 119, "Red.")) is None
    assert choice(options=("Red", "Green", "Blue", "ab" * 50)) == "cut_text"
    assert choice(options=("Red", "Green", "Blue", "ab" * 49)) is None


def test_the_reason_is_that_of_the_first_turn_that_fails() -> None:
    assert reason(DOG, Turn("What?", "It is not mentioned."), Turn("Where?", "**There**")) == "caption_talk"


# -- Shape ------------------------------------------------------------------------------------------------------------

SHAPES = InstructionFilters(min_grounded=0)


@pytest.mark.parametrize(
    "question",
    [
        "What is red?",
        'What does the sign say, "stop" or "go"?',
        'Who says "Stop?"',
        "Describe the dog.",
        "Please name the animal in front.",
        "The dog ____ a stick.",
        "The colour of the boat is:",
    ],
)
def test_questions_and_requests_are_kept(question: str) -> None:
    assert reason(Turn(question, "A dog."), filters=SHAPES) is None


@pytest.mark.parametrize(
    "question",
    ["The dog is red.", "The dog", "Which house is tall? 'This house has had a story.'", "a cat, a majestic creature"],
)
def test_statements_are_no_questions(question: str) -> None:
    assert reason(Turn(question, "A dog."), filters=SHAPES) == "not_a_question"


def test_an_answer_asks_nothing_back() -> None:
    assert reason(Turn(DOG.question, "A stick. What else?"), filters=SHAPES) == "asks_back"
    assert reason(Turn(DOG.question, 'A sign that says "Who?"'), filters=SHAPES) is None


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("A stick", None),
        ("It carries a long stick in its mouth.", None),
        ('It carries a sign that reads "Open now."', None),
        ("It carries a long stick in its", "unfinished_answer"),
        ("It carries a long stick, and then the", "unfinished_answer"),
    ],
)
def test_a_long_answer_ends_with_its_sentence(answer: str, wrong: str | None) -> None:
    assert reason(Turn(DOG.question, answer), filters=SHAPES) == wrong


def test_reasoning_takes_some_words() -> None:
    short, enough = "Because it rains.", "The ground is wet and people hold umbrellas, so it must be raining."
    for task, wrong in (("complex_reasoning", "no_reasoning"), ("question_answering", None)):
        assert reason(Turn("Why is it so?", short), task=task, filters=SHAPES) == wrong
    assert reason(Turn("Why is it so?", enough), task="complex_reasoning", filters=SHAPES) is None


# -- Who speaks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "How many bottles of wine have you drunk?",
        "How many legs do you have?",
        "Are you happy?",
        "What is the grandest palace of your realm?",
        "How can I help you?",
        "I'm just saying magic words.",
        "Can you tell me more about the dog?",
        "It is my dog.",
        "You are a wizard.",
    ],
)
def test_the_two_who_talk_are_not_in_the_scene(text: str) -> None:
    assert reason(Turn(text, "A dog.")) == "personal"
    assert reason(Turn(DOG.question, text)) == "personal"


@pytest.mark.parametrize(
    "text",
    [
        "What can you see behind the dog?",
        "How would you describe the light?",
        "Which of the dogs do you see first?",
        "We can tell that it is late.",
        "What catches your eye first?",
        'The sign says "I love you".',
        "It looks like a plane of World War I.",
        "It is in Illinois.",
        "A mine lies in the hills.",
        "It tells us that it is noon.",
    ],
)
def test_other_persons_are_kept(text: str) -> None:
    assert reason(Turn(text, "A dog.")) is None
    assert reason(Turn(DOG.question, text)) is None


@pytest.mark.parametrize("text", ["A doggggg", "It is 1258364709119534.", "red','green", "red,, green"])
def test_garbled_text_is_rejected(text: str) -> None:
    assert reason(Turn(DOG.question, text)) == "garbled"


@pytest.mark.parametrize("text", ["It is 2019.", "1,000,000 stars", "Route 66", "aaaah", "the year 123456"])
def test_numbers_are_not_garbled(text: str) -> None:
    assert reason(Turn(DOG.question, text)) is None


# -- Grounding --------------------------------------------------------------------------------------------------------

CAPTION = "A grey donkey pulls a cart with pumpkins along a muddy lane, and an old man walks beside it."
MEANING = InstructionFilters(without=("unfinished_answer", "no_reasoning"))


@pytest.mark.parametrize(
    ("question", "answer", "wrong"),
    [
        ("Which animal pulls the cart?", "A grey donkey.", None),
        ("What is the weather like?", "It is cloudy.", None),
        ("How many men are there?", "One.", None),
        ("What are the carts loaded with?", "Pumpkins", None),
        ("Is it the donkey's cart?", "Yes.", None),
        ("Where does the violin lie?", "In the cart.", "ungrounded_question"),
        ("How tall is the mountain?", "50 m", "ungrounded_question"),
        ("What is the donkey's name?", "Dorothy", "ungrounded_answer"),
        ("Who owns the cart?", "The starbucks", "ungrounded_answer"),
    ],
)
def test_questions_and_answers_speak_of_what_is_there(question: str, answer: str, wrong: str | None) -> None:
    assert reason(Turn(question, answer), caption=CAPTION, filters=MEANING) == wrong


def test_of_a_choice_the_right_option_counts() -> None:
    options = ("A white ox", "A donkey", "A horse", "A crocodile")
    question = "What pulls the cart?"
    assert reason(Turn(question, "B", options), task="multiple_choice", caption=CAPTION, filters=MEANING) is None
    wrong = reason(Turn(question, "D", options), task="multiple_choice", caption=CAPTION, filters=MEANING)
    assert wrong == "ungrounded_answer"


@given(st.text(), st.text())
def test_grounding_is_a_share(caption: str, text: str) -> None:
    assert 0 <= Scene(caption).grounded(text) <= 1
    assert Scene(text).grounded(text) == 1


def test_more_grounding_is_asked_for_by_the_recipe() -> None:
    turn = Turn("Which animal pulls the violin of the cart uphill?", "A donkey.")
    assert reason(turn, caption=CAPTION, filters=MEANING) is None
    strict = MEANING.model_copy(update={"min_grounded": 0.9})
    assert reason(turn, caption=CAPTION, filters=strict) == "ungrounded_question"


def test_an_answer_takes_over_no_long_run_of_the_captions_words() -> None:
    said = "The donkey pulls a cart with pumpkins along a muddy lane, it seems."
    for most, wrong in ((9, "copied_caption"), (10, None)):
        filters = MEANING.model_copy(update={"max_copied_words": most})
        assert reason(Turn("What is there?", said), caption=CAPTION, filters=filters) == wrong


@given(st.integers(1, 30), st.integers(0, 5), st.integers(1, 15))
def test_runs_are_counted_in_words(num_words: int, before: int, most: int) -> None:
    caption = " ".join(f"word{number}" for number in range(60))
    said = " ".join([*(f"new{number}" for number in range(before)), *caption.split()[7 : 7 + num_words], "end"])
    assert (Scene(caption).copied(said, most + 1) is not None) == (num_words > most)


def test_a_question_does_not_give_its_answer_away() -> None:
    assert choice("What colour is the green boat?") == "given_away"
    assert choice("Is the boat green or blue?") is None
    assert choice() is None


# -- The recipe's choice ----------------------------------------------------------------------------------------------


def test_every_filter_can_be_left_out_by_its_name() -> None:
    used = {name for task in TASKS.own_names for name in TASKS.get(task).checks}
    assert used == set(CONVERSATION_FILTERS.own_names)
    failing = Turn("What?", "I am not mentioned")
    assert reason(failing) == "caption_talk"
    assert reason(failing, filters=InstructionFilters(without=(*SHAPE, "caption_talk"), min_grounded=0)) == "personal"
    assert (
        reason(failing, filters=InstructionFilters(without=(*SHAPE, "caption_talk", "personal"), min_grounded=0))
        is None
    )
    again = InstructionFilters(without=("repeated_question", "repeated_answer"), min_grounded=0)
    assert reason(DOG, DOG, filters=again) is None


# -- What was seen in the answers of a small model --------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "It is not known who sits there.",
        "It is unclear what the accents represent.",
        "Its purpose remains unknown.",
        "Not enough to say",
        "It cannot be determined.",
        "It's impossible to tell.",
    ],
)
def test_an_answer_that_knows_nothing_answers_no_plain_question(answer: str) -> None:
    assert reason(Turn(DOG.question, answer)) == "not_known"
    assert choice(options=(answer, "Red", "Green", "Blue"), answer="A") == "not_known"
    assert choice(options=(answer, "Red", "Green", "Blue"), answer="B") is None
    assert reason(Turn(DOG.question, answer), task="complex_reasoning") is None


def test_a_loop_is_rejected_and_an_answer_given_again_in_nearly_the_same_words() -> None:
    loop = "The sound of the river carries the sound of the river, and the sound of the river carries the sound of it."
    assert reason(Turn(DOG.question, loop)) == "repetition"
    one = "It seems to be a dream world, a realm where time stands still, and the sparkle of music fills the room."
    other = one.replace("sparkle", "sparklace")
    assert reason(Turn("What is the room made of?", one), Turn("Who made it?", other)) == "repeated_answer"
    assert reason(Turn("What is the room made of?", one), Turn("Who made it?", "Nobody knows who made it.")) is None


def test_unsafe_words_are_rejected() -> None:
    assert reason(Turn(DOG.question, "It is pornographic.")) == "unsafe"
    assert reason(Turn("What is the robin's breast like?", "It is red.")) is None


def test_a_field_name_is_no_option() -> None:
    assert choice(options=("description:", "Red", "Green", "Blue")) == "garbled"
    assert choice("The colour of the boat is:") is None
