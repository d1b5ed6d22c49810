"""The registries of all choices that a recipe or a command makes by name.

The classes belong to higher layers, which the registries import by name at their first use.
"""

from typing import TYPE_CHECKING

from unicorn_hf.core.registry import Registry

if TYPE_CHECKING:
    from unicorn_hf.captions.filters import CaptionFilter
    from unicorn_hf.core.encoder import AnyEncoder
    from unicorn_hf.core.engine import AnyEngine
    from unicorn_hf.core.sources import SeedSource
    from unicorn_hf.instructions.filters import ConversationFilter
    from unicorn_hf.instructions.tasks import TaskFamily
    from unicorn_hf.interchange.exports import ExportFormat
    from unicorn_hf.representations.transfers import Transfer

ENGINES = Registry[type["AnyEngine"]]("engine", "unicorn_hf.engines", "unicorn_hf.engines")
ENCODERS = Registry[type["AnyEncoder"]]("encoder", "unicorn_hf.encoders", "unicorn_hf.encoders")
SOURCES = Registry[type["SeedSource"]]("source of seeds", "unicorn_hf.seeds.sources", "unicorn_hf.sources")
EXPORTS = Registry[type["ExportFormat"]]("export format", "unicorn_hf.interchange.exports", "unicorn_hf.exports")
TRANSFERS = Registry[type["Transfer"]]("transfer", "unicorn_hf.representations.transfers", "unicorn_hf.transfers")
TASKS = Registry[type["TaskFamily"]]("task", "unicorn_hf.instructions.tasks", "unicorn_hf.tasks")
CAPTION_FILTERS = Registry[type["CaptionFilter"]](
    "caption filter", "unicorn_hf.captions.filters", "unicorn_hf.caption_filters"
)
CONVERSATION_FILTERS = Registry[type["ConversationFilter"]](
    "conversation filter", "unicorn_hf.instructions.filters", "unicorn_hf.conversation_filters"
)
