"""From a built folder to the Hugging Face Hub."""

from unicorn_hf.hub.access import AccessProblem, check_access, check_repo_id
from unicorn_hf.hub.push import ProgressCallback, PushProgress, PushResult, push_folder

__all__ = [
    "AccessProblem",
    "ProgressCallback",
    "PushProgress",
    "PushResult",
    "check_access",
    "check_repo_id",
    "push_folder",
]
