"""The interface of caption filters."""

from abc import ABC, abstractmethod
from typing import ClassVar

from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.section import Section


class CaptionFilter(Section, ABC):
    """A caption filter, registered in `core.choices.CAPTION_FILTERS` under its rejection reason.

    Its fields are its bounds, which are keys of `captions.filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that may be read from a published recipe, in addition to numbers and booleans."""

    @abstractmethod
    def check(self, draft: Draft) -> str | None:
        """The error in the caption, for the rejection; None if it passes."""
