"""Requests to the Hub other than uploads, and settings of huggingface_hub."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unicorn_hf.core.errors import UnicornError
from unicorn_hf.hub.failures import diagnose
from unicorn_hf.hub.files import RECIPE, RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The Hub's own files in a new repository.
_EMPTY_REPOSITORY = frozenset({".gitattributes", ".gitignore"})
_RECIPE_SECTIONS = ("captions", "representations")


@dataclass(frozen=True)
class Repository:
    """A data set repository on the Hub at one commit."""

    head: str | None
    private: bool
    files: tuple[RemoteFile, ...]

    @property
    def is_empty(self) -> bool:
        return all(file.path in _EMPTY_REPOSITORY for file in self.files)


def hub_api(*, public: bool = False) -> "HfApi":
    """Return the client of huggingface_hub (HF_ENDPOINT) with the user's token, which writes require.

    Args:
        public: use no token.
    """
    from huggingface_hub import HfApi, get_token

    return HfApi(token=False if public else get_token(), library_name="unicorn-hf")


@contextmanager
def hub_requests(timeout_s: float) -> Iterator[None]:
    """Give huggingface_hub a timeout, which its 2.x lacks, and silence it: its warnings would show signed URLs.

    The settings are global to the process and restored at the end.

    Raises:
        HubError: a request in the block failed.
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
    except UnicornError:
        raise
    except Exception as error:
        if failure := diagnose(error):
            raise failure from error
        raise
    finally:
        session.timeout = timeout
        logger.setLevel(level)
        if bars:
            enable_progress_bars()


def read_repository(api: "HfApi", repo_id: str, timeout_s: float, revision: str | None = None) -> Repository:
    """Read the repository at `revision`, by default the head: commit, files, sizes and hashes, from one response."""
    info = api.dataset_info(repo_id, revision=revision, files_metadata=True, timeout=timeout_s)
    files = tuple(
        RemoteFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None, file.blob_id)
        for file in info.siblings or ()
    )
    return Repository(info.sha, bool(info.private), files)


def find_repository(api: "HfApi", repo_id: str, timeout_s: float, revision: str | None = None) -> Repository | None:
    """Read the repository; None if the Hub says that it does not exist."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return read_repository(api, repo_id, timeout_s, revision)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            return None
        raise  # 401: the repository may exist but be hidden from this token


@dataclass(frozen=True)
class Target:
    """The target of a push: the branch, or `main` if the branch does not exist, or None without a repository."""

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
    """Whether its recipe.yaml comes from any version of unicorn-hf: it has the sections that all versions write."""
    from huggingface_hub import get_session, hf_hub_url

    if not any(file.path == RECIPE for file in repository.files):
        return False
    url = hf_hub_url(repo_id, RECIPE, repo_type="dataset", revision=repository.head)
    response = get_session().get(url, headers={"authorization": f"Bearer {api.token}"})
    response.raise_for_status()
    return all(re.search(rf"^\s*{section}:", response.text, re.MULTILINE) for section in _RECIPE_SECTIONS)


def card_errors(card: str) -> list[str]:
    """The Hub's errors for the metadata of a card; empty if it is valid. Requires no token."""
    from huggingface_hub import constants, get_session

    body = {"repoType": "dataset", "content": card}
    response = get_session().post(f"{constants.ENDPOINT}/api/validate-yaml", json=body)
    if response.status_code != 400:
        response.raise_for_status()
    return [str(error["message"]) for error in response.json().get("errors", ())]
