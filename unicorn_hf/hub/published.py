"""The sets on the Hub that carry the tag of unicorn-hf: their statistics and recipes, read as data, without their rows.

Strangers made them. Files above `MAX_BYTES` stay unread, figures must be finite, and no set can prevent reading the
others.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from unicorn_hf.builders.repository import RECIPE, STATISTICS
from unicorn_hf.cards.statistics import Statistics, read_statistics
from unicorn_hf.core.errors import InputError, UnicornError
from unicorn_hf.core.problems import first_error
from unicorn_hf.core.recipe import Languages, Parent, Price
from unicorn_hf.core.yaml_text import read_yaml_file
from unicorn_hf.hub.access import check_repo_id, offline_problem
from unicorn_hf.hub.client import hub_api, hub_requests
from unicorn_hf.hub.failures import HubError, diagnose
from unicorn_hf.hub.regenerate import unreadable

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, HfApi

TAG = "unicorn-hf"
"""The tag that every card carries: `cards.metadata.TAGS`."""
MAX_BYTES = {STATISTICS: 2 << 20, RECIPE: 64 << 10}
"""Larger files stay unread: YAML takes seconds for each 64 KiB."""
MIN_NUMBER, MAX_NUMBER = -1, 1e15
"""Only cosines and correlations are negative."""
_THREADS = 8


class RecipeFacts(BaseModel):
    """The part of a recipe that others see. The rest may name packages that are not installed here."""

    title: str = ""
    language: Languages
    parent: Parent | None = None
    price: Price = Price()
    imported: object = None
    """None if captions and conversations come from no file."""

    @property
    def takes_text(self) -> bool:
        """As `Recipe.takes_text`."""
        return self.parent.text == "kept" if self.parent else self.imported is not None


@dataclass(frozen=True)
class PublishedSet:
    """A set on the Hub."""

    info: "DatasetInfo"
    """As the Hub lists it: `id`, `last_modified`, `tags`, `sha`."""
    statistics: Statistics
    recipe: RecipeFacts

    @property
    def name(self) -> str:
        """`ORG/NAME`."""
        return self.info.id


@dataclass(frozen=True)
class UnreadableSet:
    """A set with the tag that cannot be read. Its name may be any text."""

    name: str
    why: str
    may_pass: bool
    """Whether the Hub or the network is the reason."""


@dataclass(frozen=True)
class Listing:
    """The sets that were found, those that changed last first."""

    sets: tuple[PublishedSet, ...]
    unreadable: tuple[UnreadableSet, ...]
    num_left: int
    """Sets that were not read for lack of time."""

    @property
    def num_without_sketch(self) -> int:
        """Sets of earlier or later versions, whose captions this version knows by their rows alone."""
        return sum(one.statistics.known_sketch is None for one in self.sets)

    @property
    def num_found(self) -> int:
        return len(self.sets) + len(self.unreadable) + self.num_left


def published_sets(
    *, tag: str = TAG, most: int = 1000, timeout_s: float = 60.0, limit_s: float | None = None, public: bool = False
) -> Listing:
    """Find sets by the tag and read two small files of each, those that changed last first.

    Args:
        tag: of their cards.
        most: the largest number of sets.
        timeout_s: of a request.
        limit_s: no further set is read after this time.
        public: use no token, and so find only what everybody may read.

    Raises:
        RunError: the Hub does not list the sets.
    """
    if problem := offline_problem():
        raise problem
    api, end = hub_api(public=public), None if limit_s is None else time.monotonic() + limit_s
    with hub_requests(timeout_s):
        found = _listed(api, tag, most)
        with ThreadPoolExecutor(_THREADS) as threads:
            results = list(threads.map(partial(_read, api, end), found))
    return Listing(
        sets=tuple(one for one in results if isinstance(one, PublishedSet)),
        unreadable=tuple(one for one in results if isinstance(one, UnreadableSet)),
        num_left=sum(one is None for one in results),
    )


def read_recipe_facts(path: Path) -> RecipeFacts:
    """
    Raises:
        InputError: it is not a recipe.
    """
    try:
        return RecipeFacts.model_validate(read_yaml_file(path)[0])
    except ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error


def _listed(api: "HfApi", tag: str, most: int) -> "list[DatasetInfo]":
    """What `HfApi.list_datasets` returns, which has no timeout and repeats failed requests for up to a minute."""
    from huggingface_hub import DatasetInfo, constants, get_session

    found: list[dict[str, Any]] = []
    url: str | None = f"{constants.ENDPOINT}/api/datasets"
    expand = ["gated", "lastModified", "sha", "tags"]
    params: dict[str, Any] | None = {"filter": tag, "sort": "lastModified", "limit": most, "expand": expand}
    headers = {"authorization": f"Bearer {api.token}"} if api.token else {}
    # The token goes to no other server.
    while url and url.startswith(f"{constants.ENDPOINT}/") and len(found) < most:
        answer = get_session().get(url, params=params, headers=headers)
        answer.raise_for_status()
        if not (page := answer.json()):
            break
        found += page
        url, params = answer.links.get("next", {}).get("url"), None
    return [DatasetInfo(**{"siblings": None, **item}) for item in found[:most]]  # type: ignore[no-untyped-call]


def _read(api: "HfApi", end: float | None, info: "DatasetInfo") -> PublishedSet | UnreadableSet | None:
    if end is not None and time.monotonic() > end:
        return None
    try:
        check_repo_id(info.id)
        folder = _downloaded(api, info)
        try:
            statistics, recipe = read_statistics(folder / STATISTICS), read_recipe_facts(folder / RECIPE)
        except InputError as error:
            raise unreadable(info.id, folder, error) from error
        _check_numbers([statistics.model_dump(), recipe.model_dump()])
        return PublishedSet(info, statistics, recipe)
    except Exception as error:  # noqa: BLE001 - no stranger's set may prevent reading the others
        problem = error if isinstance(error, UnicornError) else diagnose(error)
        why = problem.message if problem else f"it cannot be read: {type(error).__name__}"
        return UnreadableSet(info.id, why, isinstance(problem, HubError) and problem.passes)


def _downloaded(api: "HfApi", info: "DatasetInfo") -> Path:
    """Download statistics and recipe, unless they are cached; return their folder."""
    from huggingface_hub.hf_api import RepoFile

    if info.gated:
        raise InputError("its files are gated")
    found = api.get_paths_info(info.id, [*MAX_BYTES], repo_type="dataset", revision=info.sha)
    sizes = {file.path: file.size for file in found if isinstance(file, RepoFile)}
    for file, most in MAX_BYTES.items():
        if file not in sizes:
            raise InputError(f"it has no {file}")
        if sizes[file] > most:
            raise InputError(f"{file} has {sizes[file]:,} bytes; {most:,} at most are read")
    paths = [api.hf_hub_download(info.id, file, repo_type="dataset", revision=info.sha) for file in MAX_BYTES]
    return Path(paths[0]).parent


def _check_numbers(value: object) -> None:
    """
    Raises:
        InputError: a number is not finite, or smaller or larger than any figure.
    """
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, int | float) and not MIN_NUMBER <= value < MAX_NUMBER:
        raise InputError("a figure is not a plausible number")
