"""Handles the events that workers send."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unicorn_hf.pipeline.planning import Plan
from unicorn_hf.runtime.files import write_json
from unicorn_hf.runtime.journal import Journal

_MACHINES = "machines.json"


@dataclass(frozen=True)
class EngineBuilt:
    """An engine that a worker process built; the process keeps it until it needs another."""

    identity: str
    pid: int
    seconds: float
    machine: str


@dataclass
class Events:
    """Writes events to the journal, and notes for the user."""

    plan: Plan
    journal: Journal
    max_cost: float | None
    engines: list[EngineBuilt] = field(default_factory=list)
    told_no_usage: bool = False

    def __call__(self, event: dict[str, Any]) -> None:
        self.journal.event(event)
        match event["event"]:
            case "engine_built":
                self.engines.append(EngineBuilt(event["engine"], event["pid"], event["seconds"], event["machine"]))
                self._remember_machine(event["machine"])
            case "dashboard":
                who = "" if self.plan.place.scheduler else " (every user of this machine can open it)"
                self.journal.note(f"Dask's dashboard: {event['link']}{who}")
            case "stuck":
                self.journal.note(f"replacing a worker: no new row of {event['partition']} for {event['seconds']:g} s")
            case "ended_badly":
                self.journal.note(
                    f"{event['partition']}: {event['requests']} requests will be retried in smaller batches:"
                    f" {event['why']}"
                )
            case "no_usage" if not self.told_no_usage:
                self.told_no_usage = True
                by_token = self.plan.recipe.price.is_by_token
                cost = "; --max-cost uses this estimate too" if by_token and self.max_cost else ""
                self.journal.note(
                    "the server does not report token counts (usage); they are estimated from text length, one per"
                    f" three bytes, usually too many{cost}"
                )

    def _remember_machine(self, machine: str) -> None:
        known = machines(self.plan.work_dir)
        if machine not in known:
            write_json(self.plan.work_dir / _MACHINES, [*known, machine])


def machines(work_dir: Path) -> list[str]:
    """The machines that a build's engines ran on, in all runs."""
    try:
        return sorted(json.loads((work_dir / _MACHINES).read_bytes()))
    except (FileNotFoundError, ValueError):  # Only the card uses it, and names no machine then.
        return []
