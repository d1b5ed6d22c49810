"""Check whether a push can succeed, before hours of work."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.http import proxy_problem
from unicorn_hf.hub.client import Repository, find_repository, hub_api, hub_requests, made_by_us
from unicorn_hf.hub.failures import LOG_IN, HubError, hub_address
from unicorn_hf.hub.files import CARD
from unicorn_hf.hub.options import DEFAULTS, PushOptions

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CHECK_TIMEOUT_S = 10.0
_NAME = r"(?=.{1,96}(?:/|$))[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"


def check_repo_id(repo_id: str) -> None:
    """Check the format of a repository name, without the Hub.

    Raises:
        InputError: `repo_id` is invalid.
    """
    if not re.fullmatch(f"{_NAME}/{_NAME}", repo_id) or re.search(r"\.\.|--|\.git$", repo_id):
        raise InputError(
            f"{repo_id!r} is not the name of a repository",
            "It has the form ORG/NAME: letters, digits, '-', '_' and '.', as in my-name/unicorn.",
        )


def check_access(repo_id: str, options: PushOptions = DEFAULTS, *, folder: Path | str = "DIR") -> RunError | None:
    """Return the error of a push to `repo_id` now; None if there is no known problem.

    For the start of a build: it sends two or three requests, waits at most 10 seconds for each, retries none, changes
    nothing and prints nothing. It cannot detect problems that only a write shows (a quota, a right that the Hub does
    not list). The advice names `folder`.

    Raises:
        InputError: `repo_id` is not of the form ORG/NAME.
    """
    check_repo_id(repo_id)
    problem = problem_here() or _problem_there(repo_id, options)
    return RunError(problem.message, with_command(problem.advice, folder, repo_id, options)) if problem else None


def with_command(advice: str, folder: Path | str, repo_id: str, options: PushOptions) -> str:
    """Append the command for a later push to `advice`."""
    return f"{advice}\nThen: {shlex.join(['unicorn-hf', 'push', str(folder), repo_id, *options.flags()])}"


def problem_here() -> RunError | None:
    """A problem that prevents writing to the Hub, found without requests."""
    from huggingface_hub import get_token

    no_token = RunError(f"there is no token for the Hub at {hub_address()}", LOG_IN)
    return offline_problem() or (no_token if get_token() is None else None)


def offline_problem() -> RunError | None:
    """A problem that prevents any request to the Hub."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return RunError("the Hub is disabled: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set", "Unset it.")
    problem = proxy_problem()
    return RunError(problem.message, problem.advice) if problem else None


def _problem_there(repo_id: str, options: PushOptions) -> RunError | None:
    """A problem that the Hub's responses show."""
    api = hub_api()
    try:
        with hub_requests(CHECK_TIMEOUT_S):
            if problem := rights_problem(api.whoami(), repo_id):
                return problem
            repository = find_repository(api, repo_id, CHECK_TIMEOUT_S)
            return ownership_problem(api, repo_id, repository, options) if repository else None
    except HubError as failure:
        return failure


def ownership_problem(api: "HfApi", repo_id: str, repository: Repository, options: PushOptions) -> RunError | None:
    """Why an existing repository must not be changed: it is public despite `private`, or contains others' files."""
    if options.private and not repository.private:
        return RunError(
            f"{repo_id} exists and is public: everyone could see the data",
            "Make it private in its settings on the Hub, choose another name, or omit --private.",
        )
    # People review a pull request before it replaces anything.
    if options.overwrite or options.pr or repository.is_empty or made_by_us(api, repo_id, repository):
        return None
    return RunError(
        f"{repo_id} contains files that unicorn-hf did not make",
        f"Choose another name, or pass --overwrite: it replaces {CARD} and the data files, and keeps the other files.",
    )


def rights_problem(who: dict[str, Any], repo_id: str) -> RunError | None:
    """Why the Hub's `whoami` response forbids writing to `repo_id`; unspecified rights count as allowed."""
    namespace = repo_id.partition("/")[0]
    writable = [who["name"], *(org["name"] for org in who.get("orgs", []) if org.get("roleInOrg") != "read")]
    if namespace.lower() not in (name.lower() for name in writable):
        return RunError(
            f"the token belongs to {who['name']}, who has no write access to {namespace}",
            f"Choose one of these before the slash: {', '.join(writable)}. Or log in as another user.",
        )
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not _scope_allows(token, repo_id)):
        return RunError(f"the token of {who['name']} has no write access to {repo_id}", LOG_IN)
    return None


def _scope_allows(token: dict[str, Any], repo_id: str) -> bool:
    names = {repo_id.lower(), repo_id.partition("/")[0].lower()}
    scopes = (token.get("fineGrained") or {}).get("scoped")
    return scopes is None or any(
        scope.get("entity", {}).get("name", "").lower() in names and "repo.write" in scope.get("permissions", ())
        for scope in scopes
    )
