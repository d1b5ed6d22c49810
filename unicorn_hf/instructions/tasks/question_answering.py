"""Questions about the visible, answered in a sentence or two."""

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.task import PairRange, PromptChoice, Weight
from unicorn_hf.instructions.filters import ANY_TEXT, REPEATS, SENTENCES
from unicorn_hf.instructions.tasks.base import QuestionFamily


@TASKS.register("question_answering")
class QuestionAnswering(QuestionFamily):
    """A question, and an answer of a sentence or two."""

    weight: Weight = 199.0
    pairs: PairRange = PairRange(min=6, max=8)
    prompt: PromptChoice = "question_answering-v2"
    max_answer = 400
    checks = (*ANY_TEXT, "not_known", *SENTENCES, *REPEATS)
