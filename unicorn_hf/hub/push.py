"""Push a built folder to a data set repository on the Hub, atomically."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.hub.access import check_repo_id, ownership_problem, problem_here, rights_problem, with_command
from unicorn_hf.hub.client import Repository, Target, card_errors, find_target, hub_api, hub_requests, read_repository
from unicorn_hf.hub.failures import HubError, diagnose, hub_address, shown
from unicorn_hf.hub.files import CARD, Difference, LocalFile, difference, published_paths
from unicorn_hf.hub.options import DEFAULTS, PushOptions
from unicorn_hf.runtime.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi

    from unicorn_hf.hub.copies import NearCopy

SILENCE_TIMEOUT_S = 180.0
"""Timeout of one attempt without any response; a commit of many files may take a minute."""
ANSWER_TIMEOUT_S = 60.0
"""Timeout for the list of a repository's files."""
FIRST_WAIT_S = 1.0
LONGEST_BACKOFF_S = 60.0
LONGEST_ASKED_WAIT_S = 900.0
"""If the Hub asks for a longer wait, the push ends and says so."""
ATTEMPTS_BEFORE_CONTACT = 3
COMMIT_MESSAGE = "Push with unicorn-hf"
BATCH_FILES = 64
BATCH_BYTES = 1 << 30


@dataclass(frozen=True)
class PushResult:
    """The state of the Hub after a push; size and hash of every published file were verified."""

    repo_id: str
    url: str
    commit: str
    """The commit of the data set: a new one, or the existing one if nothing changed."""
    load_line: str
    num_files_sent: int
    num_files_reused: int
    """Files that the Hub already had."""
    num_files_deleted: int
    num_bytes_sent: int
    left_out: tuple[str, ...]
    """Files of the folder that are not part of a published data set; they were not read."""
    pull_request: str | None = None
    """The URL of the pull request with the commit, if one was requested and anything differs."""
    near_copies: "tuple[NearCopy, ...]" = ()
    """Sets of other repositories that have most of the captions; searched if something changed."""

    @property
    def page(self) -> str:
        """The data set's page."""
        return self.url.partition("/tree/")[0]

    @property
    def changed(self) -> bool:
        return bool(self.num_files_sent or self.num_files_deleted)


@dataclass(frozen=True)
class PushPlan:
    """The actions of a push in the current state."""

    repo_id: str
    creates_repository: bool
    creates_branch: bool
    to_send: tuple[LocalFile, ...]
    to_delete: tuple[str, ...]
    to_keep: tuple[str, ...]
    """Files of the repository that stay unchanged: existing files of the data set, and others' files."""
    left_out: tuple[str, ...]
    """Files of the folder that are not part of a published data set."""
    near_copies: "tuple[NearCopy, ...]" = ()
    """Sets of other repositories that have most of the captions."""


def push_folder(
    folder: Path,
    repo_id: str,
    options: PushOptions = DEFAULTS,
    *,
    progress: Progress | None = None,
    max_attempts: int = 8,
    first_wait_s: float = FIRST_WAIT_S,
) -> PushResult:
    """Push the data set in `folder` to the Hub's repository `repo_id`; create the repository if necessary.

    The push uploads the data first; then one commit adds all of it and the card, and deletes stale shards: readers see
    the old set or the new one. After a kill, the same call resumes; if nothing changed, it makes no commit. Transient
    failures (a lost connection, 412, 429, 5xx) are retried with exponential backoff, or after the wait that the Hub
    requests, until `max_attempts` in a row make no progress.

    A repository with files of another origin is refused unless `options.overwrite`, which replaces the card and data
    and keeps the rest. Only the files of a published data set are sent: no work file, log, hidden file or link.

    Before it uploads, it searches the published sets for near copies, and warns of them in `progress`.

    Raises:
        InputError: an invalid name, an unfinished build, others' repository, a card that the Hub refuses, or a tag on
            another commit; nothing was written.
        RunError: the Hub, the token or the network failed; the advice ends with the command that completes the push.
    """
    push = _opened(folder, repo_id, options, progress or Progress())
    commit = push.until_done(max_attempts, first_wait_s)
    push.progress.finish()
    url = f"{hub_address()}/datasets/{repo_id}"
    revision = push.proposed or options.tag or options.branch
    said = f', revision="{revision}"' if revision else ""
    return PushResult(
        repo_id=repo_id,
        url=f"{url}/tree/{revision}" if revision else url,
        commit=commit,
        load_line=f'load_dataset("{repo_id}", "pretrain"{said})',
        num_files_sent=len(push.sent),
        num_files_reused=len(push.files) - len(push.sent),
        num_files_deleted=len(push.deleted),
        num_bytes_sent=sum(push.sent.values()),
        left_out=push.left_out,
        pull_request=f"{url}/discussions/{push.proposed.rpartition('/')[2]}" if push.proposed else None,
        near_copies=push.copies or (),
    )


def plan_push(folder: Path, repo_id: str, options: PushOptions = DEFAULTS) -> PushPlan:
    """Return the actions of `push_folder`, without writing anything.

    Raises:
        InputError, RunError: like `push_folder`, for problems that are known before.
    """
    push = _opened(folder, repo_id, options, Progress())
    try:
        with hub_requests(SILENCE_TIMEOUT_S):
            return push.plan(hub_api())
    except HubError as failure:
        raise push.given_up(failure) from failure


def _opened(folder: Path, repo_id: str, options: PushOptions, progress: Progress) -> "_Push":
    check_repo_id(repo_id)
    options.check()
    paths, left_out = published_paths(folder)
    push = _Push(folder, repo_id, options, progress, tuple(left_out))
    if problem := problem_here():
        raise push.error(problem.message, problem.advice)
    progress.start("push", len(paths), unit="files")
    push.files += [LocalFile.read(folder, path) for path in paths]
    return push


@dataclass
class _Push:
    """One push: its files, and its progress over all attempts."""

    folder: Path
    repo_id: str
    options: PushOptions
    progress: Progress
    left_out: tuple[str, ...]
    """The skipped files of the folder."""
    files: list[LocalFile] = field(default_factory=list)
    pending: dict[str, int] = field(default_factory=dict)
    """Sizes by path of files that this attempt still has to send."""
    sent: dict[str, int] = field(default_factory=dict)
    """Sizes by path of files that this push has sent."""
    deleted: set[str] = field(default_factory=set)
    admitted: bool = False
    """The repository exists and is writable."""
    card_accepted: bool = False
    copies: "tuple[NearCopy, ...] | None" = None
    """Sets of other repositories that have most of the captions; None before they are searched."""
    proposed: str | None = None
    """The reference of the pull request with the commit, such as `refs/pr/3`."""

    def error(self, message: str, advice: str, kind: type[UnicornError] = RunError) -> UnicornError:
        """Return an error whose advice ends with the command for a later push."""
        return kind(message, with_command(advice, self.folder, self.repo_id, self.options))

    def until_done(self, max_attempts: int, first_wait_s: float) -> str:
        """Retry until an attempt succeeds, and return the commit."""
        api, fruitless = hub_api(), 0
        while True:
            done_before = self.done()
            try:
                with hub_requests(SILENCE_TIMEOUT_S):
                    return self.attempt(api)
            except HubError as failure:
                fruitless = 1 if self.done() > done_before else fruitless + 1
                attempts_left = (max_attempts if self.done() else ATTEMPTS_BEFORE_CONTACT) - fruitless
                wait_s = failure.wait_s or min(first_wait_s * 2 ** (fruitless - 1), LONGEST_BACKOFF_S)
                if not failure.passes or attempts_left <= 0 or wait_s > LONGEST_ASKED_WAIT_S:
                    raise self.given_up(failure) from failure
                self.progress.note(f"{failure.message}; next try in {wait_s:.0f} s, {attempts_left} left")
            time.sleep(wait_s)

    def done(self) -> int:
        """A number that grows with every completed step."""
        return self.admitted + len(self.sent)

    def given_up(self, failure: HubError) -> UnicornError:
        asked = f"; it asks for a wait of {failure.wait_s:.0f} s" if failure.wait_s else ""
        return self.error(failure.message + asked, failure.advice)

    def attempt(self, api: "HfApi") -> str:
        """Compare with the Hub and apply the difference. Idempotent: it skips the work of earlier attempts."""
        repository = self.repository(api)
        change = difference(self.files, repository.files)
        self.pending = {file.path: file.size for file in change.to_send}
        self.check_tag(api, change, repository.head)
        if change and self.options.pr and (found := self.proposal(api)):
            self.pending = {}
            return found
        if not change:
            self.tell()
            return self.tagged(api, repository.head or "")
        self.check_card()
        if self.copies is None:
            self.copies = self.near_copies()
            for copy in self.copies:
                self.progress.note(f"warning: you are about to publish {copy.words}")
        made = self.commit(api, self.upload(api, change), change.to_delete, repository.head)
        self.verify(api, made.pr_revision or made.oid)
        self.proposed = made.pr_revision
        return self.tagged(api, made.oid)

    def plan(self, api: "HfApi") -> PushPlan:
        if not self.options.pr and (problem := rights_problem(api.whoami(), self.repo_id)):
            raise self.error(problem.message, problem.advice)
        target = self.target(api)
        if target.repository:
            self.admit(api, target.repository)
        held = target.repository.files if target.repository else ()
        change = difference(self.files, held)
        self.check_card()
        if target.repository:
            self.check_tag(api, change, target.repository.head)
        return PushPlan(
            repo_id=self.repo_id,
            creates_repository=target.repository is None,
            creates_branch=target.lacks_branch,
            to_send=change.to_send,
            to_delete=change.to_delete,
            to_keep=tuple(file.path for file in held if file.path not in change.paths),
            left_out=self.left_out,
            near_copies=self.near_copies() if change else (),
        )

    def repository(self, api: "HfApi") -> Repository:
        """Return the repository, created if necessary; raise if it must not be changed."""
        branch, target = self.options.branch, self.target(api)
        found = target.repository
        if found is None:
            api.create_repo(self.repo_id, repo_type="dataset", private=self.options.private or None, exist_ok=True)
            found = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S)
        if not self.admitted:
            self.admit(api, found)
        if branch and target.lacks_branch:
            api.create_branch(self.repo_id, branch=branch, repo_type="dataset", exist_ok=True)
            found = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S, branch)
        return found

    def admit(self, api: "HfApi", repository: Repository) -> None:
        if problem := ownership_problem(api, self.repo_id, repository, self.options):
            raise self.error(problem.message, problem.advice, InputError)
        self.admitted = True

    def target(self, api: "HfApi") -> Target:
        found = find_target(api, self.repo_id, self.options.branch, ANSWER_TIMEOUT_S)
        if self.options.pr and not found.repository:
            raise InputError(f"there is no {self.repo_id} to open a pull request in", "Omit --pr to create it.")
        return found

    def proposal(self, api: "HfApi") -> str | None:
        """The commit of an open pull request of unicorn-hf with exactly this data set, if there is one."""
        opened = api.get_repo_discussions(
            self.repo_id, repo_type="dataset", discussion_type="pull_request", discussion_status="open"
        )
        for found in opened:
            if found.title == COMMIT_MESSAGE and found.git_reference:
                held = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S, found.git_reference)
                if not difference(self.files, held.files):
                    self.proposed = found.git_reference
                    return held.head
        return None

    def check_tag(self, api: "HfApi", change: Difference, head: str | None) -> None:
        """Refuse a tag that exists on another commit, before the upload."""
        stands_on = self.tagged_commit(api)
        if stands_on is not None and (change or stands_on != head):
            raise self.error(
                f"the tag {self.options.tag} of {self.repo_id} is on another commit ({stands_on[:8]})",
                "Choose another tag, or delete that one on the Hub.",
                InputError,
            )

    def tagged(self, api: "HfApi", commit: str) -> str:
        """Tag the commit unless it has the tag."""
        if self.options.tag and self.tagged_commit(api) != commit:
            api.create_tag(self.repo_id, tag=self.options.tag, revision=commit, repo_type="dataset")
        return commit

    def tagged_commit(self, api: "HfApi") -> str | None:
        if not self.options.tag:
            return None
        tags = api.list_repo_refs(self.repo_id, repo_type="dataset").tags
        return next((tag.target_commit for tag in tags if tag.name == self.options.tag), None)

    def check_card(self) -> None:
        """Have the Hub validate the card before the upload."""
        if not self.card_accepted:
            errors = card_errors((self.folder / CARD).read_text("utf-8"))
            if errors:
                message = f"the Hub refuses the card {self.folder / CARD}: {'; '.join(errors)}"
                raise self.error(message, "Fix its metadata, the lines between --- and ---.", InputError)
            self.card_accepted = True

    def near_copies(self) -> "tuple[NearCopy, ...]":
        # Here, because `load_dataset("unicorn")` imports this package, and works without those that read captions.
        from unicorn_hf.hub.copies import near_copies

        return near_copies(self.folder, self.repo_id, self.progress)

    def upload(self, api: "HfApi", change: Difference) -> "list[CommitOperationAdd]":
        """Upload all large files. The Hub keeps them invisible until a commit names them.

        The operations are new in each attempt: huggingface_hub stores its state in them and refuses to reuse them.
        """
        from huggingface_hub import CommitOperationAdd

        additions: list[CommitOperationAdd] = []
        self.tell()
        for batch in _batches(change.to_send):
            operations = [CommitOperationAdd(file.path, str(file.source)) for file in batch]
            try:
                api.preupload_lfs_files(
                    self.repo_id,
                    operations,
                    repo_type="dataset",
                    revision=self.options.branch,
                    create_pr=self.options.pr,
                    free_memory=False,
                )
            except (ValueError, RuntimeError) as error:  # a refused file; a failure of Xet in an old hf_xet
                if diagnose(error):
                    raise
                message = f"the Hub refused a file: {shown(str(error))}"
                raise self.error(message, "Fix the problem that it names.") from error
            additions += operations
            for file in batch:
                self.sent[file.path] = self.pending.pop(file.path)
            self.tell()
        return additions

    def commit(
        self, api: "HfApi", additions: "list[CommitOperationAdd]", stale: tuple[str, ...], head: str | None
    ) -> "CommitInfo":
        """Make one commit on top of `head`; if another came first, the Hub answers 412 and writes nothing."""
        from huggingface_hub import CommitOperationDelete

        self.deleted.update(stale)
        return api.create_commit(
            self.repo_id,
            [*additions, *(CommitOperationDelete(path, is_folder=False) for path in stale)],
            commit_message=COMMIT_MESSAGE,
            repo_type="dataset",
            revision=self.options.branch,
            create_pr=self.options.pr,
            parent_commit=head,
        )

    def verify(self, api: "HfApi", revision: str) -> None:
        """Compare the commit with the local files, by size and hash."""
        found = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S, revision=revision)
        if wrong := difference(self.files, found.files).paths:
            raise self.error(
                f"the Hub has other content than was sent: {', '.join(wrong[:3])}, {len(wrong)} in total",
                "Check that nothing else writes to the folder or the repository.",
            )

    def tell(self) -> None:
        """Report how many files the Hub has."""
        self.progress.known(len(self.files) - len(self.pending), 0)


def _batches(files: Iterable[LocalFile]) -> Iterator[list[LocalFile]]:
    """Batches small enough to show progress and to use the store's signed URLs before they expire."""
    batch: list[LocalFile] = []
    for file in files:
        batch.append(file)
        if len(batch) == BATCH_FILES or sum(f.size for f in batch) >= BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
