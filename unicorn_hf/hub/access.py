"""Whether a push could succeed, asked before hours of work go into what is to be pushed."""

import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.hub.failures import LOG_IN, diagnose, hub_address
from unicorn_hf.hub.files import CARD, RECIPE, RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CHECK_TIMEOUT_S = 10.0
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
# What the Hub itself, or a form on its pages, puts into a new repository.
_EMPTY_REPOSITORY = frozenset({".gitattributes", ".gitignore"})


@dataclass(frozen=True)
class AccessProblem:
    """Why a push would fail, and what to do about it."""

    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}"

    def error(self) -> RunError:
        """The same as an error, for the moment when the push is really wanted."""
        return RunError(self.message, self.advice)


@dataclass(frozen=True)
class Repository:
    """A data set repository on the Hub, as it stands at one commit."""

    head: str | None
    private: bool
    files: tuple[RemoteFile, ...]

    @property
    def is_empty(self) -> bool:
        return all(file.path in _EMPTY_REPOSITORY for file in self.files)


def check_repo_id(repo_id: str) -> str:
    """`repo_id` again, if it has the form ORG/NAME that the Hub takes; else `InputError`. Asks nobody."""
    part = f"(?=.{{1,96}}(?:/|$)){_PART}"
    if not re.fullmatch(f"{part}/{part}", repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith(".git"):
        raise InputError(
            f"{repo_id!r} is not the name of a repository.",
            "It has the form ORG/NAME: letters, digits, '-', '_' and '.', as in my-name/unicorn.",
        )
    return repo_id


def with_command(advice: str, folder: Path | str, repo_id: str, *, private: bool, overwrite: bool) -> str:
    """`advice`, and the command that pushes later what is not pushed now."""
    flags = [name for name, on in (("--private", private), ("--overwrite", overwrite)) if on]
    return f"{advice}\nThen: {shlex.join(['unicorn-hf', 'push', str(folder), repo_id, *flags])}"


def check_access(
    repo_id: str, *, private: bool = False, overwrite: bool = False, folder: Path | str = "DIR"
) -> AccessProblem | None:
    """Why a push to `repo_id` would fail as things stand; None where nothing speaks against it.

    For the start of a build: it asks the Hub two questions, gives up on each after 10 seconds, changes nothing and
    prints nothing. What only a write would show (a quota, a fine-grained right that the Hub does not list) it cannot
    know. `folder` is what the advice names. Raises `InputError` where `repo_id` has not got the form ORG/NAME.
    """
    check_repo_id(repo_id)
    problem = problem_here() or _problem_there(repo_id, private, overwrite)
    if problem is None:
        return None
    advice = with_command(problem.advice, folder, repo_id, private=private, overwrite=overwrite)
    return replace(problem, advice=advice)


def problem_here() -> AccessProblem | None:
    """What keeps anyone from writing to the Hub, known without a single request."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return AccessProblem("The Hub is switched off: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set.", "Unset it.")
    if get_token() is None:
        return AccessProblem(f"There is no token for the Hub at {hub_address()}.", LOG_IN)
    return None


def hub_api() -> "HfApi":
    """The Hub as huggingface_hub finds it (HF_ENDPOINT), always with the user's token: all of this is about writing."""
    from huggingface_hub import HfApi, get_token

    return HfApi(token=get_token(), library_name="unicorn-hf")


@contextmanager
def library_settings(timeout_s: float) -> Iterator[None]:
    """huggingface_hub with a limit on the Hub's silence, where its 2.x waits for ever, and silent itself.

    Progress and failures are told by who uses this, and the library's warnings show signed addresses. The
    settings are the process's, and are put back at the end.
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


def read_repository(
    api: "HfApi", repo_id: str, *, revision: str | None = None, timeout_s: float = CHECK_TIMEOUT_S
) -> Repository | None:
    """The repository at `revision` (the head unless given), all from one answer; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.dataset_info(repo_id, revision=revision, files_metadata=True, timeout=timeout_s)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            return None
        raise
    files = tuple(
        RemoteFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None, file.blob_id)
        for file in info.siblings or ()
    )
    return Repository(info.sha, bool(info.private), files)


def ownership_problem(
    api: "HfApi", repo_id: str, repository: Repository, *, private: bool, overwrite: bool
) -> AccessProblem | None:
    """Why nothing may be written into a repository that exists: public where private was asked, or another's work."""
    if private and not repository.private:
        return AccessProblem(
            f"{repo_id} exists and is public: what is pushed there can be seen by everyone.",
            "Make it private in its settings on the Hub, take another name, or leave out --private.",
        )
    if overwrite or repository.is_empty or _made_by_us(api, repo_id, repository):
        return None
    return AccessProblem(
        f"{repo_id} holds files that unicorn-hf did not put there.",
        f"Take another name, or give --overwrite: that replaces {CARD} and the data files, and keeps the other files.",
    )


def card_errors(card: str) -> list[str]:
    """What the Hub finds wrong with the metadata of a card; nothing where it takes it. Needs no token."""
    from huggingface_hub import constants, get_session

    body = {"repoType": "dataset", "content": card}
    response = get_session().post(f"{constants.ENDPOINT}/api/validate-yaml", json=body)
    if response.status_code != 400:
        response.raise_for_status()
    return [str(error["message"]) for error in response.json().get("errors", ())]


def _made_by_us(api: "HfApi", repo_id: str, repository: Repository) -> bool:
    """Whether its recipe.yaml is a recipe of ours, of whatever version: it has the sections that all of them have."""
    from huggingface_hub import get_session, hf_hub_url

    if not any(file.path == RECIPE for file in repository.files):
        return False
    url = hf_hub_url(repo_id, RECIPE, repo_type="dataset", revision=repository.head)
    response = get_session().get(url, headers={"authorization": f"Bearer {api.token}"})
    response.raise_for_status()
    return all(re.search(rf"^\s*{key}:", response.text, re.MULTILINE) for key in ("captions", "representations"))


def _problem_there(repo_id: str, private: bool, overwrite: bool) -> AccessProblem | None:
    api = hub_api()
    try:
        with library_settings(CHECK_TIMEOUT_S):
            if problem := rights_problem(api.whoami(), repo_id):
                return problem
            repository = read_repository(api, repo_id)
            if repository is None:
                return None
            return ownership_problem(api, repo_id, repository, private=private, overwrite=overwrite)
    except Exception as error:
        if (failure := diagnose(error)) is None:
            raise
        return AccessProblem(failure.reason, failure.advice)


def rights_problem(who: dict[str, Any], repo_id: str) -> AccessProblem | None:
    """What the Hub's answer to `whoami` says against writing to `repo_id`; what it leaves open counts as allowed."""
    namespace = repo_id.partition("/")[0]
    writable = [who["name"], *(org["name"] for org in who.get("orgs", []) if org.get("roleInOrg") != "read")]
    if namespace.lower() not in (name.lower() for name in writable):
        return AccessProblem(
            f"The token belongs to {who['name']}, who may not write under {namespace}.",
            f"Names that can come before the slash: {', '.join(writable)}. Or log in as someone else.",
        )
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not _scope_allows(token, repo_id)):
        return AccessProblem(f"The token of {who['name']} may read, but not write to {repo_id}.", LOG_IN)
    return None


def _scope_allows(token: dict[str, Any], repo_id: str) -> bool:
    names = {repo_id.lower(), repo_id.partition("/")[0].lower()}
    scopes = (token.get("fineGrained") or {}).get("scoped")
    return scopes is None or any(
        scope.get("entity", {}).get("name", "").lower() in names and "repo.write" in scope.get("permissions", ())
        for scope in scopes
    )
