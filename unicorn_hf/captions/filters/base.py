"""What a filter of captions is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from unicorn_hf.captions.filters.draft import Draft
from unicorn_hf.core.section import Section


class CaptionFilter(Section, ABC):
    """A filter of captions, registered in `core.choices.CAPTION_FILTERS` under the reason that it rejects with.

    Its fields are its bounds, which are keys of `captions.filters` in a recipe.
    """

    taken_keys: ClassVar[tuple[str, ...]] = ()
    """Its keys that a published recipe may bring, beside those that are numbers or yes and no."""

    @abstractmethod
    def check(self, draft: Draft) -> str | None:
        """What is wrong with the caption, for the rejection; None if nothing is."""
