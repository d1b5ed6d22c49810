"""What is asked of the Hub besides uploads, and how huggingface_hub is to behave meanwhile."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.hub.files import RECIPE, RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# What the Hub itself puts into a new repository.
_EMPTY_REPOSITORY = frozenset({".gitattributes", ".gitignore"})
_RECIPE_SECTIONS = ("captions", "representations")


@dataclass(frozen=True)
class Repository:
    """A data set repository on the Hub, as it stands at one commit."""

    head: str | None
    private: bool
    files: tuple[RemoteFile, ...]

    @property
    def is_empty(self) -> bool:
        return all(file.path in _EMPTY_REPOSITORY for file in self.files)


def hub_api() -> "HfApi":
    """The Hub as huggingface_hub finds it (HF_ENDPOINT), always with the user's token: all of this is about writing."""
    from huggingface_hub import HfApi, get_token

    return HfApi(token=get_token(), library_name="unicorn-hf")


@contextmanager
def library_settings(timeout_s: float) -> Iterator[None]:
    """huggingface_hub with a limit on the Hub's silence, where its 2.x waits for ever, and silent itself.

    Progress and failures are told by who uses this, and the library's warnings show signed addresses. The settings
    are the process's, and are put back at the end.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    session, logger, bars = get_session(), logging.getLogger("huggingface_hub"), not are_progress_bars_disabled()
    timeout, level = session.timeout, logger.level
    session.timeout = timeout_s
    logger.setLevel(logging.ERROR)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        session.timeout = timeout
        logger.setLevel(level)
        if bars:
            enable_progress_bars()


def read_repository(api: "HfApi", repo_id: str, timeout_s: float, revision: str | None = None) -> Repository:
    """The repository at `revision`, the head unless given: commit, files, sizes and hashes, all from one answer."""
    info = api.dataset_info(repo_id, revision=revision, files_metadata=True, timeout=timeout_s)
    files = tuple(
        RemoteFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None, file.blob_id)
        for file in info.siblings or ()
    )
    return Repository(info.sha, bool(info.private), files)


def find_repository(api: "HfApi", repo_id: str, timeout_s: float, revision: str | None = None) -> Repository | None:
    """The same, and None where the Hub says that there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return read_repository(api, repo_id, timeout_s, revision)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            return None
        raise  # 401: what is there is not shown to this token


@dataclass(frozen=True)
class Target:
    """Where a push goes: the branch as it stands, or `main` where there is no such branch yet, or nothing at all."""

    repository: Repository | None
    lacks_branch: bool


def find_target(api: "HfApi", repo_id: str, branch: str | None, timeout_s: float) -> Target:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        found = find_repository(api, repo_id, timeout_s, branch)
    except RevisionNotFoundError:
        return Target(find_repository(api, repo_id, timeout_s), lacks_branch=True)
    return Target(found, lacks_branch=found is None and branch not in (None, "main"))


def made_by_us(api: "HfApi", repo_id: str, repository: Repository) -> bool:
    """Whether its recipe.yaml is a recipe of ours, of whatever version: it has the sections that all of them have."""
    from huggingface_hub import get_session, hf_hub_url

    if not any(file.path == RECIPE for file in repository.files):
        return False
    url = hf_hub_url(repo_id, RECIPE, repo_type="dataset", revision=repository.head)
    response = get_session().get(url, headers={"authorization": f"Bearer {api.token}"})
    response.raise_for_status()
    return all(re.search(rf"^\s*{section}:", response.text, re.MULTILINE) for section in _RECIPE_SECTIONS)


def card_errors(card: str) -> list[str]:
    """What the Hub finds wrong with the metadata of a card; nothing where it takes it. Needs no token."""
    from huggingface_hub import constants, get_session

    body = {"repoType": "dataset", "content": card}
    response = get_session().post(f"{constants.ENDPOINT}/api/validate-yaml", json=body)
    if response.status_code != 400:
        response.raise_for_status()
    return [str(error["message"]) for error in response.json().get("errors", ())]
