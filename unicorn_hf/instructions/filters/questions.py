"""Filters of questions."""

import re

from unicorn_hf.core.choices import CONVERSATION_FILTERS
from unicorn_hf.core.finder import Finder
from unicorn_hf.core.languages import found_in
from unicorn_hf.core.sentences import ends_with_question_mark
from unicorn_hf.instructions.filters.base import ConversationFilter, Scene
from unicorn_hf.instructions.turns import Turn

_REQUESTS = Finder(
    re.compile(
        r"^(?:please )?(?:describe|name|explain|list|identify|tell|give|compare|count|choose|pick|select|complete"
        r"|estimate|suggest|imagine|predict|state|point out|infer|summari[sz]e|discuss)\b"
    )
)
_TO_COMPLETE = re.compile(r"_{2,}|[:：]$")


@CONVERSATION_FILTERS.register("not_a_question")
class NotAQuestion(ConversationFilter):
    """A question must ask for something."""

    def check(self, turn: Turn, scene: Scene) -> str | None:
        asks = (
            ends_with_question_mark(turn.question)
            or _TO_COMPLETE.search(turn.question)
            or found_in(scene.language, "asks", turn.question, _REQUESTS)
        )
        return None if asks else turn.question[-80:]
