"""Whether a push could succeed, asked before hours of work go into what is to be pushed."""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.http import proxy_problem
from unicorn_hf.hub.client import Repository, find_repository, hub_api, library_settings, made_by_us
from unicorn_hf.hub.failures import LOG_IN, diagnose, hub_address
from unicorn_hf.hub.files import CARD
from unicorn_hf.hub.options import DEFAULTS, PushOptions

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CHECK_TIMEOUT_S = 10.0
_NAME = r"(?=.{1,96}(?:/|$))[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"


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


def check_repo_id(repo_id: str) -> None:
    """Ask nobody, but know the form of a name that the Hub takes.

    Raises:
        InputError: `repo_id` has not got it.
    """
    if not re.fullmatch(f"{_NAME}/{_NAME}", repo_id) or re.search(r"\.\.|--|\.git$", repo_id):
        raise InputError(
            f"{repo_id!r} is not the name of a repository",
            "It has the form ORG/NAME: letters, digits, '-', '_' and '.', as in my-name/unicorn.",
        )


def check_access(repo_id: str, options: PushOptions = DEFAULTS, *, folder: Path | str = "DIR") -> AccessProblem | None:
    """Why a push to `repo_id` would fail as things stand; None where nothing speaks against it.

    For the start of a build: it asks the Hub two or three questions, waits 10 seconds at most for each answer, tries
    none twice, changes nothing and prints nothing. What only a write would show (a quota, a right that the Hub does
    not list) it cannot know. `folder` is what the advice names.

    Raises:
        InputError: `repo_id` has not got the form ORG/NAME.
    """
    check_repo_id(repo_id)
    problem = problem_here() or _problem_there(repo_id, options)
    if problem is None:
        return None
    return replace(problem, advice=with_command(problem.advice, folder, repo_id, options))


def with_command(advice: str, folder: Path | str, repo_id: str, options: PushOptions) -> str:
    """`advice`, and the command that pushes later what is not pushed now."""
    return f"{advice}\nThen: {shlex.join(['unicorn-hf', 'push', str(folder), repo_id, *options.flags()])}"


def problem_here() -> AccessProblem | None:
    """What keeps anyone from writing to the Hub, known without a single request."""
    from huggingface_hub import get_token

    if problem := offline_problem():
        return problem
    if get_token() is None:
        return AccessProblem(f"there is no token for the Hub at {hub_address()}", LOG_IN)
    return None


def offline_problem() -> AccessProblem | None:
    """What keeps anyone from asking the Hub anything."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return AccessProblem("the Hub is switched off: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set", "Unset it.")
    if problem := proxy_problem():
        return AccessProblem(problem.message, problem.advice)
    return None


def _problem_there(repo_id: str, options: PushOptions) -> AccessProblem | None:
    """What the Hub's answers say against it."""
    api = hub_api()
    try:
        with library_settings(CHECK_TIMEOUT_S):
            if problem := rights_problem(api.whoami(), repo_id):
                return problem
            repository = find_repository(api, repo_id, CHECK_TIMEOUT_S)
            if repository is None:
                return None
            return ownership_problem(api, repo_id, repository, options)
    except Exception as error:
        if (failure := diagnose(error)) is None:
            raise
        return AccessProblem(failure.reason, failure.advice)


def ownership_problem(api: "HfApi", repo_id: str, repository: Repository, options: PushOptions) -> AccessProblem | None:
    """Why nothing may be written into a repository that exists: public where private was asked, or another's work."""
    if options.private and not repository.private:
        return AccessProblem(
            f"{repo_id} exists and is public: what is pushed there can be seen by everyone",
            "Make it private in its settings on the Hub, take another name, or leave out --private.",
        )
    # What a pull request proposes is looked at before it replaces anything.
    if options.overwrite or options.pr or repository.is_empty or made_by_us(api, repo_id, repository):
        return None
    return AccessProblem(
        f"{repo_id} holds files that unicorn-hf did not put there",
        f"Take another name, or give --overwrite: that replaces {CARD} and the data files, and keeps the other files.",
    )


def rights_problem(who: dict[str, Any], repo_id: str) -> AccessProblem | None:
    """What the Hub's answer to `whoami` says against writing to `repo_id`; what it leaves open counts as allowed."""
    namespace = repo_id.partition("/")[0]
    writable = [who["name"], *(org["name"] for org in who.get("orgs", []) if org.get("roleInOrg") != "read")]
    if namespace.lower() not in (name.lower() for name in writable):
        return AccessProblem(
            f"the token belongs to {who['name']}, who may not write under {namespace}",
            f"Names that can come before the slash: {', '.join(writable)}. Or log in as someone else.",
        )
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not _scope_allows(token, repo_id)):
        return AccessProblem(f"the token of {who['name']} may read, but not write to {repo_id}", LOG_IN)
    return None


def _scope_allows(token: dict[str, Any], repo_id: str) -> bool:
    names = {repo_id.lower(), repo_id.partition("/")[0].lower()}
    scopes = (token.get("fineGrained") or {}).get("scoped")
    return scopes is None or any(
        scope.get("entity", {}).get("name", "").lower() in names and "repo.write" in scope.get("permissions", ())
        for scope in scopes
    )
