"""Push a built folder to the Hugging Face Hub."""

from unicorn_hf.hub.access import AccessProblem, check_access, check_repo_id
from unicorn_hf.hub.options import PushOptions
from unicorn_hf.hub.push import ProgressCallback, PushPlan, PushProgress, PushResult, plan_push, push_folder

__all__ = [
    "AccessProblem",
    "ProgressCallback",
    "PushOptions",
    "PushPlan",
    "PushProgress",
    "PushResult",
    "check_access",
    "check_repo_id",
    "plan_push",
    "push_folder",
]
