"""From a built folder to a data set repository on the Hub, whole or not at all, whatever happens on the way."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unicorn_hf.core.errors import InputError, RunError, UnicornError
from unicorn_hf.hub.access import check_repo_id, ownership_problem, problem_here, with_command
from unicorn_hf.hub.client import (
    Repository,
    card_errors,
    find_repository,
    hub_api,
    library_settings,
    read_repository,
)
from unicorn_hf.hub.failures import Failure, diagnose, hub_address, shown
from unicorn_hf.hub.files import CARD, Difference, LocalFile, difference, published_paths

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

SILENCE_TIMEOUT_S = 180.0
"""A Hub that says nothing for so long is given up for this attempt; a commit of many files may take a minute."""
ANSWER_TIMEOUT_S = 60.0
"""For the list of a repository's files."""
FIRST_WAIT_S = 1.0
LONGEST_BACKOFF_S = 60.0
LONGEST_ASKED_WAIT_S = 900.0
"""A Hub that asks for more is not waited for: the push ends and says so."""
ATTEMPTS_BEFORE_CONTACT = 3
BATCH_FILES = 64
BATCH_BYTES = 1 << 30

PushStage = Literal["reading", "uploading", "committing", "checking", "waiting"]


@dataclass(frozen=True)
class PushProgress:
    """How far a push is. Files that the Hub holds already count as done."""

    stage: PushStage
    num_files: int
    total_files: int
    num_bytes: int
    total_bytes: int
    note: str = ""
    """While waiting: why, and for how long."""


@dataclass(frozen=True)
class PushResult:
    """What the Hub holds after a push; every published file was compared with it by size and hash."""

    repo_id: str
    url: str
    commit: str
    """The commit that holds the data set: a new one, or the one found where nothing had changed."""
    load_line: str
    num_files_sent: int
    num_files_reused: int
    """Files that were there already."""
    num_files_deleted: int
    num_bytes_sent: int
    left_out: tuple[str, ...]
    """Files of the folder that are no part of a published data set; they were not read."""

    @property
    def changed(self) -> bool:
        return bool(self.num_files_sent or self.num_files_deleted)


ProgressCallback = Callable[[PushProgress], None]


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    overwrite: bool = False,
    on_progress: ProgressCallback | None = None,
    max_attempts: int = 8,
    first_wait_s: float = FIRST_WAIT_S,
) -> PushResult:
    """Make the Hub's repository `repo_id` hold the data set in `folder`, creating the repository if there is none.

    The data goes up first, then one commit puts all of it, the card and the removal of stale shards in place: readers
    see the old set or the new one, never half of one. Killed at any moment, the same call goes on where it was; on an
    unchanged folder it makes no commit. What passes by itself (a lost connection, 412, 429, 5xx) is tried again with
    growing waits, or the wait that the Hub asks for, until `max_attempts` in a row have brought nothing.

    `private` holds for a repository that is created here; one that exists and is public is then refused. A repository
    with files of another origin is refused unless `overwrite`, which replaces the card and data and leaves the rest.
    Only the files of a published data set are sent: no work file, log, hidden file or link.

    Raises:
        InputError: no such name, no finished build, another's repository, a card that the Hub refuses; nothing was
            written.
        RunError: the Hub, the token or the network; the advice ends with the command that completes the push later.
    """
    check_repo_id(repo_id)
    paths, left_out = published_paths(folder)
    push = _Push(folder, repo_id, private, overwrite, on_progress or (lambda progress: None))
    if problem := problem_here():
        raise push.error(problem.message, problem.advice)
    push.read(paths)
    commit = push.until_done(max_attempts, first_wait_s)
    return PushResult(
        repo_id=repo_id,
        url=f"{hub_address()}/datasets/{repo_id}",
        commit=commit,
        load_line=f'load_dataset("{repo_id}", "pretrain")',
        num_files_sent=len(push.sent),
        num_files_reused=len(paths) - len(push.sent),
        num_files_deleted=len(push.deleted),
        num_bytes_sent=sum(push.sent.values()),
        left_out=tuple(left_out),
    )


@dataclass
class _Push:
    """One push: what to send, and what has been done about it in all attempts so far."""

    folder: Path
    repo_id: str
    private: bool
    overwrite: bool
    report: ProgressCallback
    files: list[LocalFile] = field(default_factory=list)
    pending: dict[str, int] = field(default_factory=dict)
    """Sizes by path, of files that this attempt has still to send."""
    sent: dict[str, int] = field(default_factory=dict)
    """Sizes by path, of files that this push has sent."""
    deleted: set[str] = field(default_factory=set)
    admitted: bool = False
    """The repository exists and may be written to."""
    card_accepted: bool = False

    def error(self, message: str, advice: str, kind: type[UnicornError] = RunError) -> UnicornError:
        """An error whose advice ends with the command for later."""
        return kind(
            message,
            with_command(advice, self.folder, self.repo_id, private=self.private, overwrite=self.overwrite),
        )

    def read(self, paths: list[str]) -> None:
        for num_read, path in enumerate(paths):
            self.report(PushProgress("reading", num_read, len(paths), 0, 0))
            self.files.append(LocalFile.read(self.folder, path))

    def until_done(self, max_attempts: int, first_wait_s: float) -> str:
        """Attempt after attempt until one leaves the Hub holding what it should; the commit that holds it."""
        api, fruitless = hub_api(), 0
        while True:
            done_before = self.done()
            try:
                with library_settings(SILENCE_TIMEOUT_S):
                    return self.attempt(api)
            except Exception as error:  # huggingface_hub wraps what fails below it
                if (failure := diagnose(error)) is None:
                    raise
                fruitless = 1 if self.done() > done_before else fruitless + 1
                attempts_left = (max_attempts if self.done() else ATTEMPTS_BEFORE_CONTACT) - fruitless
                wait_s = failure.wait_s or min(first_wait_s * 2 ** (fruitless - 1), LONGEST_BACKOFF_S)
                if not failure.passes or attempts_left <= 0 or wait_s > LONGEST_ASKED_WAIT_S:
                    raise self.given_up(failure) from error
            self.tell("waiting", f"{failure.reason}; next try in {wait_s:.0f} s, {attempts_left} left")
            time.sleep(wait_s)

    def done(self) -> int:
        """Grows with every step that need not be taken again."""
        return self.admitted + len(self.sent)

    def given_up(self, failure: Failure) -> UnicornError:
        asked = f"; it asks to be left alone for {failure.wait_s:.0f} s" if failure.wait_s else ""
        return self.error(failure.reason + asked, failure.advice)

    def attempt(self, api: "HfApi") -> str:
        """Compare with the Hub and change what differs. Safe to repeat: what an attempt before did is found done."""
        repository = self.repository(api)
        change = difference(self.files, repository.files)
        self.pending = {file.path: file.size for file in change.to_send}
        if not change:
            self.tell("checking")
            return repository.head or ""
        self.check_card()
        commit = self.commit(api, self.upload(api, change), change.to_delete, repository.head)
        self.verify(api, commit)
        return commit

    def repository(self, api: "HfApi") -> Repository:
        """The repository to write to, created where there is none, refused where it is not ours to write to."""
        found = find_repository(api, self.repo_id, ANSWER_TIMEOUT_S)
        if found is None:
            api.create_repo(self.repo_id, repo_type="dataset", private=self.private or None, exist_ok=True)
            found = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S)
        if not self.admitted:
            if problem := ownership_problem(api, self.repo_id, found, private=self.private, overwrite=self.overwrite):
                raise self.error(problem.message, problem.advice, InputError)
            self.admitted = True
        return found

    def check_card(self) -> None:
        """Ask the Hub whether it takes the card: before the data is sent, not after."""
        if not self.card_accepted:
            errors = card_errors((self.folder / CARD).read_text("utf-8"))
            if errors:
                message = f"the Hub does not take the card, {self.folder / CARD}: {'; '.join(errors)}"
                raise self.error(message, "Mend its metadata, the lines between --- and ---.", InputError)
            self.card_accepted = True

    def upload(self, api: "HfApi", change: Difference) -> "list[CommitOperationAdd]":
        """Give the Hub the bytes of all large files. It keeps them apart until a commit names them.

        The operations are made afresh: huggingface_hub notes in them what it did, and refuses to use one twice.
        """
        from huggingface_hub import CommitOperationAdd

        additions: list[CommitOperationAdd] = []
        self.tell("uploading")
        for batch in _batches(change.to_send):
            operations = [CommitOperationAdd(file.path, str(file.source)) for file in batch]
            try:
                api.preupload_lfs_files(self.repo_id, operations, repo_type="dataset", free_memory=False)
            except (ValueError, RuntimeError) as error:  # a file refused; Xet failing in an hf_xet of old
                if diagnose(error):
                    raise
                raise self.error(f"the Hub did not take a file: {shown(str(error))}", "Mend what it names.") from error
            additions += operations
            for file in batch:
                self.sent[file.path] = self.pending.pop(file.path)
            self.tell("uploading")
        return additions

    def commit(
        self, api: "HfApi", additions: "list[CommitOperationAdd]", stale: tuple[str, ...], head: str | None
    ) -> str:
        """One commit on top of `head`; where another came in between, the Hub answers 412 and writes nothing."""
        from huggingface_hub import CommitOperationDelete

        self.tell("committing")
        self.deleted.update(stale)
        return api.create_commit(
            self.repo_id,
            [*additions, *(CommitOperationDelete(path, is_folder=False) for path in stale)],
            commit_message="Push with unicorn-hf",
            repo_type="dataset",
            parent_commit=head,
        ).oid

    def verify(self, api: "HfApi", commit: str) -> None:
        """Compare what the commit holds with what was read here, by size and hash."""
        self.tell("checking")
        found = read_repository(api, self.repo_id, ANSWER_TIMEOUT_S, revision=commit)
        if wrong := difference(self.files, found.files).paths:
            raise self.error(
                f"the Hub holds something else than was sent: {', '.join(wrong[:3])}, {len(wrong)} in all",
                "See that nothing else writes to the folder or the repository.",
            )

    def tell(self, stage: PushStage, note: str = "") -> None:
        total = sum(file.size for file in self.files)
        num_files, num_bytes = len(self.files) - len(self.pending), total - sum(self.pending.values())
        self.report(PushProgress(stage, num_files, len(self.files), num_bytes, total, note))


def _batches(files: Iterable[LocalFile]) -> Iterator[list[LocalFile]]:
    """So many files, or bytes, that progress is seen and the store's signed addresses are used while they hold."""
    batch: list[LocalFile] = []
    for file in files:
        batch.append(file)
        if len(batch) == BATCH_FILES or sum(f.size for f in batch) >= BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
