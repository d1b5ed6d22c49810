"""Questions that need several steps, answered with the reasoning."""

from unicorn_hf.core.choices import TASKS
from unicorn_hf.core.task import PairRange, PromptChoice, Weight
from unicorn_hf.instructions.filters import ANY_TEXT, REPEATS, SENTENCES
from unicorn_hf.instructions.tasks.base import QuestionFamily


@TASKS.register("complex_reasoning")
class ComplexReasoning(QuestionFamily):
    """A question that needs several steps, and the reasoning. The answer may say what is unknown."""

    weight: Weight = 100.0
    pairs: PairRange = PairRange(min=2, max=4)
    prompt: PromptChoice = "complex_reasoning-v2"
    max_answer = 800
    checks = (*ANY_TEXT, *SENTENCES, "no_reasoning", *REPEATS)
