"""What every step works with: the project, its graph, and how to tell a person about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from competition.freshness import Step
from competition.pipeline import Pipeline
from competition.progress_bar import Watch, unwatched
from competition.project import Project


@dataclass(frozen=True)
class Bench:
    """What every step works with."""

    project: Project
    pipeline: Pipeline
    say: Callable[[str], None] = print
    watch: Watch = unwatched

    @classmethod
    def of(
        cls, project: Project, say: Callable[[str], None] = print, watch: Watch = unwatched
    ) -> "Bench":
        return cls(project, Pipeline(project), say, watch)

    def perform(self, step: Step, run: Callable[[], dict[str, Any] | None], *, again: bool) -> bool:
        """Do a step unless it is fresh; returns whether it was done."""
        state = step.state()
        if state.kind == "fresh" and not again:
            self.say(f"{step.name}: done already")
            return False
        self.say(f"{step.name}: {state.beginning()}")
        step.perform(run)
        return True
