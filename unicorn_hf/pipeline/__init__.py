"""Composes the stages: recipe to seeds, captions, instructions, representations, published folder."""

from unicorn_hf.pipeline.cleaning import clean
from unicorn_hf.pipeline.events import EngineBuilt
from unicorn_hf.pipeline.measure import measure_gap, measure_overlap, set_encoder
from unicorn_hf.pipeline.planning import Plan, plan
from unicorn_hf.pipeline.publish import check_set, push_dataset, write_card
from unicorn_hf.pipeline.requests import Collected, collect_answers, export_requests
from unicorn_hf.pipeline.run import BuildResult, build, execute

__all__ = [
    "BuildResult",
    "Collected",
    "EngineBuilt",
    "Plan",
    "build",
    "check_set",
    "clean",
    "collect_answers",
    "execute",
    "export_requests",
    "measure_gap",
    "measure_overlap",
    "plan",
    "push_dataset",
    "set_encoder",
    "write_card",
]
