"""Making what is missing before a goal: every step a command, every command a process of its own.

A process a step frees the GPU's memory, and each can be repeated by hand as it is echoed. The faces
of this module are `podium run GOAL`, the tasks of a checkout, and a notebook:

    from competition.runner import Runner
    Runner().reach("submit")
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from competition.engines import CommandWords, Job, run_step, run_together
from competition.entry import NO_ROUND, Entry, entry_of
from competition.errors import InputFault
from competition.experiment import AblationChoice, experiment_of
from competition.machine import shares_of
from competition.pipeline import Goal, Pipeline, Stage, options_of
from competition.project import ACTIVE, Project, competition_file, demo_folder


@dataclass(frozen=True)
class Runner:
    """The steps of one competition, run in the order in which they need each other.

    file: the competition file, as it was given (None: the one in force in the current folder);
    step: an engine, which carries out one command (see `engines.py`); jobs: networks that are trained
    side by side, each by a process with its share of the machine.
    """

    file: Path | None = None
    step: Callable[[CommandWords], None] = run_step
    jobs: int = 1
    begun: float = field(default_factory=time.time)
    """Seconds since 1970: a plan counts from here."""
    asked: set[str] = field(default_factory=set)
    """Commands that were carried out, or shown, already."""

    @property
    def project(self) -> Project:
        """Opened anew at each use: steps run in between, and what they write is read once only."""
        self.write_demo()
        return Project.open(self.file)

    def run(self, words: CommandWords) -> None:
        """One command on this competition."""
        self.asked.add(words[0])
        self.step(self._words(words))

    def _words(self, words: CommandWords) -> list[str]:
        chosen = [] if self.file is None else ["--competition", str(self.file)]
        return [*words, *chosen]

    def write_demo(self) -> None:
        """Write the demo competition where it is the one in force and is not there yet."""
        own = competition_file(self.file, Path.cwd())
        if own == demo_folder(Path.cwd()) / ACTIVE and not own.exists():
            self.step(["demo"])

    def reach(
        self,
        goal: Goal,
        entry: Entry | None = None,
        *,
        plain: bool = False,
        made: Collection[str] = (),
    ) -> None:
        """The goal and whatever is missing before it; entry: the competition file's own; made: pseudo
        rounds that were made, or shown, just before.
        """
        stages = self._before(goal, entry, plain=plain, made=made)
        *before, last = stages
        self._perform(before)
        self.run(last.command)

    def plan(self, words: CommandWords = ()) -> None:
        """The plan, where the file leaves its recipe to one and it is not there, or where something is
        asked of it; words: options of the command `plan`.
        """
        project = self.project
        if words and not project.plans:
            raise InputFault(
                f"[ensemble] recipes = {list(project.competition.ensemble.recipes)} are not planned; "
                'minutes are for recipes = ["auto"]'
            )
        if not project.plans or "plan" in self.asked:
            return
        if words or Pipeline(project).plan().state().kind != "fresh":
            self.split()
            self.run(["plan", *words, "--begun", f"{self.begun:.3f}"])

    def prepare(self, goal: Goal, entry: Entry | None = None, *, plain: bool = False) -> None:
        """Whatever is missing before the goal, but not the goal itself."""
        stages = self._before(goal, entry, plain=plain)
        self._perform(stages[:-1] if stages[-1].command[0] == goal else stages)

    def prepare_ablation(self, choice: AblationChoice, solution: Path | None = None) -> None:
        """Train, predict and, where there is a solution, submit and score the trials not done yet.

        solution: by default the data's solution.csv, where there is one.
        """
        self.split()
        project = self.project
        lying = project.competition.root / "solution.csv"
        answers = solution or (lying if lying.is_file() else None)
        pipeline = Pipeline(project)
        experiment = experiment_of(project.competition, choice)
        self._perform(pipeline.ablation_stages(experiment, submitted=answers is not None))
        unscored = pipeline.unscored(experiment) if answers else []
        if unscored:
            self.run(["score", *map(str, unscored), "--solution", str(answers)])

    def _before(
        self, goal: Goal, entry: Entry | None, *, plain: bool, made: Collection[str] = ()
    ) -> list[Stage]:
        """The stages that lead to the goal, the goal's own the last."""
        if entry is None or entry.is_planned:
            self.plan()
        self.split()
        project = self.project
        wanted = entry_of(project.competition) if entry is None else entry
        return Pipeline(project).stages(goal, wanted, plain=plain, made=made)

    def split(self) -> None:
        """The folds, first of all: a project that was opened before them knows no holdout."""
        if "folds" in self.asked:
            return
        self.write_demo()
        project = Project.open(self.file, planned=False)  # folds rest on no plan, damaged or not
        if Pipeline(project).folds().state().kind != "fresh":
            self.run(["folds"])

    def train_together(self, stage: Stage, *, force: bool = False) -> None:
        """The networks of a stage of trainings that are not done yet, side by side; force: all."""
        missing = [part for part in stage.parts if force or not part.is_fresh()]
        again = ["--force"] if force else []
        names = (part.steps[0].name.removeprefix("train ") for part in missing)
        jobs = [
            Job(name, self._words([*part.command, *again]))
            for name, part in zip(names, missing, strict=True)
        ]
        if jobs:
            run_together(jobs, shares_of(min(self.jobs, len(jobs))))

    def _perform(self, stages: Iterable[Stage]) -> None:
        behind = False
        for stage in stages:
            # `plan` has seen to these two. What was only shown leaves all behind it to be done.
            if stage.command not in (("folds",), ("plan",)) and (behind or not stage.is_fresh()):
                if self.jobs > 1 and stage.parts:
                    self.train_together(stage)
                else:
                    self.run(stage.command)
                behind = behind or not stage.is_fresh()


def run_demo(
    options: CommandWords = (),
    *,
    short: bool = False,
    step: Callable[[CommandWords], None] = run_step,
) -> Path:
    """The main job on the demo competition, from its data to the leaderboard.

    Each model alone, their ensemble, tuned thresholds and a pseudo round, scored against the demo's
    solution; options: of the command `demo`. Returns the sheet of test images.
    """
    step(["demo", *options])
    file = (demo_folder(Path.cwd(), short=short) / ACTIVE).relative_to(Path.cwd())
    runner = Runner(file, step)
    runner.run(["doctor"])
    spec, space = runner.project.competition, runner.project.workspace
    runner.reach("submit", entry_of(spec, pseudo=NO_ROUND))
    first, *_ = alone = [(recipe,) for recipe in spec.ensemble.recipes]
    for recipes in ((), *alone):
        runner.reach("submit", entry_of(spec, recipes=recipes, pseudo=NO_ROUND), plain=True)
    student = entry_of(spec, recipes=first, pseudo="round1")
    # Networks of seconds may miss a class that is common.
    runner.run(["pseudo", "--round", "round1", "--allow-missing"])
    runner.prepare("submit", student, plain=True)
    # Adopted or not: the demo has the answers, by which the verdict can be seen to be right.
    runner.run(["submit", *options_of(student), "--plain", "--despite-verdict"])
    written = sorted(space.submissions.relative_to(Path.cwd()).glob("*.csv"))
    solution = file.with_name("solution.csv")
    runner.run(["score", *map(str, written), "--solution", str(solution)])
    runner.run(["leaderboard"])
    return space.submission("main").with_suffix(".png").relative_to(Path.cwd())
