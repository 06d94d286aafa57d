"""`podium run GOAL`: the commands again, each after whatever is missing before it."""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from competition.cli.options import (
    APP_SETTINGS,
    Group,
    app,
    first_line,
    logging_to,
    on_entry,
    on_first_recipe,
    on_machine,
    on_soups,
    on_teachers,
    parameter,
    time_given,
    with_options,
)
from competition.cli.words import words_of
from competition.machine import MACHINE_SETTINGS as MACHINE

if TYPE_CHECKING:
    from competition.engines import Engine

every_setting = on_machine(*(setting.name for setting in MACHINE))
HELP = (
    "Make whatever is missing before a goal, then the goal: one process a step.\n\n"
    "Each step is echoed as the command that repeats it; what is done is not done again. A goal "
    "has the options of its command."
)
run = typer.Typer(help=HELP, **APP_SETTINGS)
Values = Mapping[str, Any]
Before = Callable[[Any, Values], None]
"""Makes what is missing before a goal, given a `Runner` and the goal's options by name."""


def _nothing(runner: Any, values: Values) -> None:
    """The demo's data at most, which `_reached` looks for."""


def _before(goal: str, group: Group) -> Before:
    """What a goal of an entry needs; the group says which entry the options mean."""

    def before(runner: Any, values: Values) -> None:
        _, entry = group.made(values)
        runner.prepare(goal, entry, plain=values.get("plain", False))

    return before


def _before_plan(runner: Any, values: Values) -> None:
    runner.split()


def _before_submit(runner: Any, values: Values) -> None:
    """Whether there is anything to submit, before it costs hours."""
    runner.project.require_test_part("nothing to submit")
    _before("submit", on_entry)(runner, values)


def _before_pseudo(runner: Any, values: Values) -> None:
    """The teachers' predictions, unless the labels come from a csv."""
    if not values["source"]:
        runner.project.require_images_to_label()
        _before("ensemble", on_teachers)(runner, values)  # which needs the same: predictions


def _after_pseudo(runner: Any, values: Values) -> None:
    """Students of the round, in the place of the teachers, and the verdict."""
    from competition.entry import entry_of

    runner.reach(
        "verdict",
        entry_of(
            runner.project.competition,
            recipes=tuple(values["recipe"] or ()),
            folds=tuple(values["fold"] or ()),
            seeds=tuple(values["seed"] or ()),
            pseudo=values["round_name"],
            pretrained=values["pretrained"],
        ),
        made=(values["round_name"],),
    )


def _before_ablation(runner: Any, values: Values) -> None:
    from competition.experiment import AblationChoice

    numbers = {name: tuple(values[name] or ()) for name in ("fold", "seed")}
    choice = AblationChoice(
        values["name"],
        values["full"],
        values["variant"],
        numbers["fold"],
        numbers["seed"],
        values["pretrained"],
    )
    runner.prepare_ablation(choice, values["solution"])


GOALS: dict[str, Before] = {
    "doctor": _nothing,
    "folds": _nothing,
    "plan": _before_plan,
    "train": _before("train", on_first_recipe),
    "soup": _before("soup", on_soups),
    "predict": _before("predict", on_entry),
    "ensemble": _before("ensemble", on_entry),
    "tune": _before("tune", on_entry),
    "submit": _before_submit,
    "report": _before("report", on_entry),
    "holdout": _before("submit", on_entry),  # what is scored there is what would be submitted
    "pseudo": _before_pseudo,
    "verdict": _before("verdict", on_entry),
    "ablation": _before_ablation,
}

AFTER: dict[str, Before] = {"pseudo": _after_pseudo}
"""What a goal goes on to."""

Answers = Annotated[
    Path | None,
    typer.Option(
        help="The answers, by which the trials get a Public and a Private score",
        show_default="the data's solution.csv",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What carries out the missing steps: local (a process each) or show (print them only)",
    ),
]
_engine = parameter("engine", EngineName, default="local")
Jobs = Annotated[
    int,
    typer.Option(
        min=1,
        help="Networks to train side by side: on a card each, or each with its share of the cores",
    ),
]
_jobs = parameter("jobs", Jobs, default=1)
FURTHER = {
    "ablation": [parameter("solution", Answers)],
    "train": time_given.options,
    "submit": time_given.options,
}
"""Options of what is made before a goal, which the goal's own command has no use for."""


def _plan_words(name: str, values: Values) -> list[str]:
    """What is asked of the plan before a goal: options of `podium plan`."""
    minutes = time_given.made(values)[0] if name in ("train", "submit") else None
    if minutes is None:
        return []
    folds = [word for fold in values["fold"] or () for word in ("--fold", str(fold))]
    return ["--minutes", f"{minutes:g}", "--until", name, *folds]


def _reached(name: str, before: Before) -> Callable[..., None]:
    """The body of `run NAME`: what is missing, then the command as it was given."""

    def reached(**values: Any) -> None:
        for group in (every_setting, logging_to):
            group.made({one.name: values.get(one.name) for one in group.options})
        from competition.errors import InputFault
        from competition.runner import Runner

        engine = _engine_named(values.get("engine", "local"))
        # Under --json standard output belongs to the goal's document alone.
        aside = partial(engine, stdout=sys.stderr) if values.get("as_json") else engine
        jobs = values.get("jobs", 1)
        runner = Runner(values["competition"], aside, jobs)
        if jobs > 1 and values.get("engine") != "local":
            raise InputFault(f"--jobs {jobs} is for --engine local, not {values['engine']!r}")
        runner.write_demo()
        own_recipes = values.get("recipe") or values.get("source") or values.get("name")
        if before not in (_nothing, _before_plan) and not own_recipes:
            runner.plan(_plan_words(name, values))
        before(runner, values)
        if name == "train" and jobs > 1:
            _, entry = on_first_recipe.made(values)
            *_, trainings = runner.project.pipeline.stages("train", entry)
            runner.train_together(trainings, force=values["force"])
            return
        parameters = typer.main.get_group(app).commands[name].params
        engine([name, *words_of(parameters, values)])
        AFTER.get(name, _nothing)(runner, values)

    return reached


def _engine_named(name: str) -> "Engine":
    from competition.engines import ENGINES
    from competition.errors import InputFault, nearest

    if name not in ENGINES:
        raise InputFault(f"no engine {name!r}; {nearest(name, ENGINES, all_by='--help')}")
    return ENGINES[name]


def _whole_demo(**values: Any) -> None:
    """The main job on the demo competition, from its data to the leaderboard: minutes on 2 cores.

    Each model, their ensemble, tuned thresholds and a pseudo-label round, all scored.
    """
    from competition.runner import run_demo, run_step

    parameters = typer.main.get_group(app).commands["demo"].params
    sheet = run_demo(words_of(parameters, values), short=values["short"], step=run_step)
    typer.echo(f"look at {sheet}")


def _missing(before: Before, options: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Options that steps before a goal heed, though its own command does not."""
    own = {one.name for one in options}
    trains = before is not _before_plan
    further = [*(logging_to.options if trains else []), *every_setting.options]
    return [one for one in further if one.name not in own]


def _add_goals() -> None:
    """A goal for each of GOALS, in the order of the commands and with their options."""
    for info in app.registered_commands:
        command = info.callback
        assert inspect.isfunction(command)
        name = command.__name__
        options = list(inspect.signature(command).parameters.values())
        if name == "demo":
            body = _whole_demo
        elif name in GOALS:
            before = GOALS[name]
            body = _reached(name, before)
            body.__doc__ = command.__doc__
            options += FURTHER.get(name, [])
            trains = [] if before is _before_plan else [_jobs]
            options += [] if before is _nothing else [_engine, *trains, *_missing(before, options)]
        else:
            continue
        run.command(name, short_help=first_line(body))(with_options(body, options))


_add_goals()
app.add_typer(run, name="run", short_help=HELP.partition("\n")[0])
