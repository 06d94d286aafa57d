"""Planning the recipe for the time at hand. torch is imported where it is needed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from competition.entry import entry_of
from competition.errors import InputFault, MachineFault
from competition.machine import Machine, machine_of, memory_for_steps
from competition.planning.choice import (
    Choice,
    MachineFacts,
    PlannedUntil,
    PlanRequest,
    TimeGiven,
    choose,
)
from competition.planning.data_facts import data_facts, representative
from competition.planning.plan_file import write_plan
from competition.planning.step_costs import Probe, StepCosts
from competition.progress_bar import duration
from competition.project import Project
from competition.recipes import recipe_named
from competition.recipes.planned import AUTO, PlanFile, read_plan
from competition.recipes.weights_file import weights_file
from competition.steps.folds import refuse_faulty_data
from competition.workspace import held

USUAL_ON_CPUS, USUAL_ON_CARDS = 60.0, 180.0
"""Minutes, where nobody says how many there are."""
PROBED = 16
"""Images that steps are measured on."""


class TimeAsked(NamedTuple):
    """minutes: None for the usual ones; begun: when it began, in seconds since 1970; folds: empty for
    those that fit.
    """

    minutes: float | None = None
    until: PlannedUntil = "submit"
    begun: float | None = None
    folds: tuple[int, ...] = ()


def plan_recipe(project: Project, asked: TimeAsked, *, force: bool = False) -> Path:
    """Measure, choose and write the plan, unless it is there; returns its file.

    InputFault where the one that is there was made for another time: networks may be trained by it.
    MachineFault where another process plans at the moment.
    """
    with held(project.workspace.lock("plan"), "plan"):
        return _planned(project, asked, force=force)


def _planned(project: Project, asked: TimeAsked, *, force: bool) -> Path:
    path = project.workspace.plan
    if path.is_file() and not force:
        _refuse_another(read_plan(path), asked, path)
        project.say(f"plan: done already; {path}")
        return path
    begun = time.time() if asked.begun is None else asked.begun
    folds = entry_of(project.competition, folds=asked.folds).folds  # refuses what is no fold
    refuse_faulty_data(project, otherwise="nothing was planned")
    machine = machine_of()
    minutes = _minutes(project, asked, machine)
    others = [name for name in project.competition.ensemble.recipes if name != AUTO]
    if others:
        project.say(f"note: {', '.join(others)} take time of their own, which is not planned")
    project.say("plan: measuring what steps cost here, for a minute or so")
    choice_for = _chooser(project, machine, fresh=force)

    def chosen() -> tuple[TimeGiven, Choice]:
        given = TimeGiven(60 * minutes, asked.until, time.time() - begun)
        own = project.competition.ensemble.folds is not None
        asks = PlanRequest(
            given,
            folds,
            parts=project.competition.split.folds,
            all_folds=own or bool(asked.folds),
            views=len(project.views),
            seeds=len(project.competition.ensemble.seeds),
        )
        return given, choice_for(asks)

    chosen()  # times what it asks for, which takes of the time that is left
    given, choice = chosen()
    write_plan(path, choice, given, machine.line())
    _tell(project, path, choice, minutes)
    return path


def _minutes(project: Project, asked: TimeAsked, machine: Machine) -> float:
    if asked.minutes is not None:
        return asked.minutes
    usual = USUAL_ON_CPUS if machine.kind == "cpu" else USUAL_ON_CARDS
    project.say(f"plan: for {usual:g} minutes, the usual; --minutes or --hours says otherwise")
    return usual


def _chooser(project: Project, machine: Machine, *, fresh: bool) -> Callable[[PlanRequest], Choice]:
    """Everything that a choice rests on but the time. fresh: no step is taken from what was timed."""
    start, networks = _seconds_to_start(), _networks(project, machine)
    training = project.rows("train")
    training = training[training["image"].isin(project.folds["image"])]
    predicted = sum(len(project.rows(split)) for split in project.pipeline.predicted())
    facts = data_facts(project.competition, training, predicted, project.labels)
    names = list(training["image"])
    shown = representative(names, project.labels.areas(names))[:PROBED]
    probe = Probe(project.competition, training[training["image"].isin(shown)], project.labels)
    kept = project.workspace.cache / "step-costs.json"
    costs = StepCosts(probe, machine, kept, say=project.say, fresh=fresh)
    found = MachineFacts(machine.kind, memory_for_steps(machine), start)
    return lambda asks: choose(facts, found, costs.of, asks, networks)


def _tell(project: Project, path: Path, choice: Choice, minutes: float) -> None:
    project.say(path.read_text(encoding="utf-8"))
    whole = sum(choice.seconds.values())
    project.say(f"planned: {duration(whole)} of {duration(60 * minutes)}; wrote {path}; commit it")
    if whole > 1.1 * 60 * minutes:
        project.say(
            f"warning: {minutes:g} minutes are too few for this machine and these data: the least that "
            f"does anything takes {duration(whole)}"
        )


def _refuse_another(plan: PlanFile, asked: TimeAsked, path: Path) -> None:
    """InputFault where a plan is not the one that is asked for."""
    there = f"{plan.minutes:g} minutes until {plan.until}, folds {list(plan.folds)}"
    time_differs = asked.minutes is not None and (asked.minutes, asked.until) != (
        plan.minutes,
        plan.until,
    )
    if time_differs or set(asked.folds) - set(plan.folds):
        raise InputFault(
            f"{path} is a plan for {there}; `podium plan --force` with the time and folds that you want "
            "plans anew (what was trained by this one is then out of date), or leave both out to go on"
        )


def _networks(project: Project, machine: Machine) -> dict[str, bool]:
    """The networks that the plan may take, and whether published weights of theirs are at hand."""
    found: dict[str, bool] = {}
    if machine.kind != "cpu" and _has_weights("upernet"):
        found["upernet"] = True
    try:
        weights_file(recipe_named("unet-lite0", {}).weights)
        found["light-unet-lite0" if machine.kind == "cpu" else "unet-lite0"] = True
    except InputFault as fault:
        project.say(f"note: {fault}")
        found["unet-resnet18"] = _has_weights("unet-resnet18")
    return found


def _seconds_to_start() -> float:
    """What a training imports, timed: before anything else here needs it."""
    started = time.perf_counter()
    from competition.training import fit  # noqa: F401

    return time.perf_counter() - started


def _has_weights(name: str) -> bool:
    """Whether the hub's weights of a recipe's encoder are here, or can be fetched."""
    from competition.models import build

    try:
        build(recipe_named(name, {}).network, 1, pretrained=True)
    except MachineFault:
        return False
    return True
