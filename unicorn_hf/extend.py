"""The API for plugins: the classes to derive from, and the types of their arguments and results.

    import unicorn_hf.extend as hf

    class Lines(hf.ExportFormat): ...

See "Extend it" in the documentation.
"""

from unicorn_hf.captions.filters import CaptionFilter, Draft
from unicorn_hf.core.encoder import AnyEncoder
from unicorn_hf.core.engine import AnyEngine
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.generation import Answer, Encoded, Request
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.prompts import Prompt
from unicorn_hf.core.section import Strings
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.core.task import PairRange, PromptChoice, Weight
from unicorn_hf.instructions.filters import ConversationFilter, Scene
from unicorn_hf.instructions.tasks import QuestionFamily, TaskFamily
from unicorn_hf.instructions.turns import Turn
from unicorn_hf.interchange.exports import BuiltSet, ExportFormat
from unicorn_hf.representations.transfers import Transfer, TransferStatistics

__all__ = [
    "Answer",
    "AnyEncoder",
    "AnyEngine",
    "BuiltSet",
    "CaptionFilter",
    "ConversationFilter",
    "Draft",
    "Encoded",
    "ExportFormat",
    "InputError",
    "PairRange",
    "Prompt",
    "PromptChoice",
    "QuestionFamily",
    "ReadingNotes",
    "Request",
    "RunError",
    "Scene",
    "SeedSource",
    "Strings",
    "TaskFamily",
    "Transfer",
    "TransferStatistics",
    "Turn",
    "Weight",
]
