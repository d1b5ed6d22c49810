"""Seeds from labels in a file."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.section import Strings
from unicorn_hf.seeds.sources.file import InFile
from unicorn_hf.seeds.templates import expanded, with_label


@SOURCES.register("labels")
class LabelSource(InFile):
    """Domain-specific seeds: the labels of a file, one per line, inserted into templates (`{label}`)."""

    taken_keys = ("templates", "num_templates")
    kind: Literal["labels"]
    templates: Annotated[Strings, Field(min_length=1), AfterValidator(with_label)]
    num_templates: PositiveInt = 10
    """Templates drawn for each label, without repetition; all if there are fewer."""
    domain: str

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        seeds = expanded(self.texts(None, notes), self.templates, self.num_templates, random_seed)
        return islice(seeds, self.limit)
