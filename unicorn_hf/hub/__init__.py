"""Push a built folder to the Hugging Face Hub."""

from unicorn_hf.hub.access import check_access, check_repo_id
from unicorn_hf.hub.options import PushOptions
from unicorn_hf.hub.push import PushPlan, PushResult, plan_push, push_folder

__all__ = ["PushOptions", "PushPlan", "PushResult", "check_access", "check_repo_id", "plan_push", "push_folder"]
