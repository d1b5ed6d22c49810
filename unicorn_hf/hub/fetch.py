"""Download the published files of a data set from the Hub, all from one commit."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from unicorn_hf.builders import original
from unicorn_hf.builders.places import work_dir_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.links import check_links
from unicorn_hf.hub.access import check_repo_id, offline_problem
from unicorn_hf.hub.client import hub_api, hub_requests, read_repository

_ANSWER_TIMEOUT_S = 60.0
_SILENCE_TIMEOUT_S = 180.0
PAPERS = ("README.md", "recipe.yaml", "statistics.json", "run.json", "transfer.safetensors")
"""The metadata files of a set."""
FIGURES = ("recipe.yaml", "statistics.json", "run.json")
"""Those that `compare` reads of a set with a sketch."""
EVERYTHING = (*PAPERS, "pretrain/*.parquet", "instruction/*.parquet")
COMPARED = (*EVERYTHING, *original.FILES.values())
"""With the original release."""


def local_folder(source: str, revision: str | None = None, *, patterns: Sequence[str] = EVERYTHING) -> Path:
    """Return the folder `source`, or download the Hub's data set `source` unless it is cached.

    The name of a downloaded folder is its commit.

    Raises:
        InputError: `source` is neither, does not exist, has no such revision, or links to files outside it.
        RunError: the Hub or the network failed.
    """
    if Path(source).is_dir():
        if revision:
            raise InputError(f"{source} is a folder, and has no revision {revision}")
        check_links(Path(source))
        return Path(source)
    try:
        check_repo_id(source)
    except InputError:
        begun = work_dir_of(Path(source)).is_dir()
        advice = f"Its build has not ended: see unicorn-hf status {shlex.quote(source)}" if begun else ""
        raise InputError(f"{source} is neither a folder nor ORG/NAME on the Hub", advice) from None
    return _downloaded(source, revision, patterns)


def _downloaded(repo_id: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if problem := offline_problem():
        raise problem
    api = hub_api()
    with hub_requests(_SILENCE_TIMEOUT_S):
        try:
            # Resolve the commit first: with a branch name, huggingface_hub could return an older download.
            commit = read_repository(api, repo_id, _ANSWER_TIMEOUT_S, revision).head
            return Path(
                api.snapshot_download(repo_id, repo_type="dataset", revision=commit, allow_patterns=list(patterns))
            )
        except RevisionNotFoundError as error:
            raise InputError(f"the data set {repo_id} has no branch, tag or commit {revision}") from error
        except RepositoryNotFoundError as error:
            raise InputError(
                f"there is no data set {repo_id} on the Hub that this token may read", "Check its name, or log in."
            ) from error
