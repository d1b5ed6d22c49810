"""The API for pages about published sets: find and read them, and show what strangers wrote as text.

See "A board of sets" in the documentation; `examples/board` uses nothing else.
"""

from unicorn_hf.builders.figures import Bin
from unicorn_hf.builders.sketch import Common, Share
from unicorn_hf.cards.formats import percent
from unicorn_hf.cards.metadata import REHEARSAL_TAG
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.errors import InputError, UnicornError
from unicorn_hf.hub.copies import common_words, shared_between
from unicorn_hf.hub.failures import hub_address
from unicorn_hf.hub.published import TAG, Listing, PublishedSet, RecipeFacts, UnreadableSet, published_sets
from unicorn_hf.runtime.files import write_text
from unicorn_hf.runtime.generation import Counts
from unicorn_hf.views.facts import facts_of, listed, scores_of
from unicorn_hf.views.pages import MAX_SHORT, hashes, page_script, page_style, page_template, shown_text

__all__ = [
    "MAX_SHORT",
    "REHEARSAL_TAG",
    "TAG",
    "Bin",
    "Common",
    "Counts",
    "InputError",
    "Listing",
    "PublishedSet",
    "RecipeFacts",
    "Share",
    "Statistics",
    "UnicornError",
    "UnreadableSet",
    "common_words",
    "facts_of",
    "hashes",
    "hub_address",
    "listed",
    "page_script",
    "page_style",
    "page_template",
    "percent",
    "published_sets",
    "scores_of",
    "shared_between",
    "shown_text",
    "write_text",
]
