"""Commands on networks: training, soups and prediction, and the machine that they run on."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from competition.cli.options import (
    File,
    Json,
    app,
    echo_json,
    forcible,
    logging_to,
    on_entry,
    on_first_recipe,
    on_machine,
    on_soups,
    open_project,
    time_given,
)
from competition.machine import MACHINE_SETTINGS

if TYPE_CHECKING:
    from competition.entry import Entry
    from competition.project import Project


@app.command()
@on_machine(*(setting.name for setting in MACHINE_SETTINGS))
def machine(as_json: Json = False) -> None:
    """Show what this machine has, what is chosen of it, why, and how to choose otherwise."""
    from competition.machine import machine_of

    found = machine_of()
    if as_json:
        echo_json({"found": found.found, "chosen": found.recorded(), "why": found.why})
    else:
        typer.echo(found.text())


class Until(StrEnum):
    """What a plan's time is for."""

    TRAIN = "train"
    SUBMIT = "submit"


@app.command()
@time_given
@on_machine("device", "dtype", "workers", "threads", "keep_memory")
@forcible
def plan(
    minutes: float | None,
    force: bool,
    competition: File = None,
    until: Annotated[
        Until,
        typer.Option(help="What must be done by then: the networks trained, or a csv submitted"),
    ] = Until.SUBMIT,
    fold: Annotated[
        list[int] | None,
        typer.Option("--fold", "-f", help="Fold; may be repeated", show_default="as many as fit"),
    ] = None,
    begun: Annotated[float | None, typer.Option(hidden=True)] = None,
) -> None:
    """Plan the recipe for the time at hand: real steps are timed here, and each choice has its reason.

    Written once, to folds/COMPETITION.plan.toml, so that runs can be resumed and repeated.
    """
    from competition import steps

    asked = steps.TimeAsked(minutes, until.value, begun, tuple(fold or ()))
    steps.plan_recipe(open_project(competition, planned=not force), asked, force=force)


@app.command()
@on_first_recipe
@logging_to
@on_machine("device", "dtype", "workers", "start_method", "threads", "keep_memory")
@forcible
def train(project: "Project", entry: "Entry", force: bool) -> None:
    """Train networks: by default the ensemble's first recipe, on each of its folds.

    A run that was stopped goes on from the last line of its history: an epoch, or a validation.
    """
    from competition import steps

    steps.train_entry(project, entry, force=force)


@app.command()
@on_soups
@on_machine("device", "dtype", "threads", "keep_memory")
@forcible
def soup(project: "Project", entry: "Entry", force: bool) -> None:
    """Average the weights of each recipe's seeds to one network a fold, a member of its own.

    For each fold the seeds are chosen greedily by the scores of the other folds: the best one, then
    each further one that does not lower the score. `--soup` of the other commands takes it in.
    """
    from competition import steps

    steps.make_soups(project, entry, force=force)


@app.command()
@on_entry
@on_machine("device", "dtype", "threads", "keep_memory")
@forcible
def predict(project: "Project", entry: "Entry", force: bool) -> None:
    """Predict out of fold and test images with every network of the ensemble."""
    from competition import steps

    steps.predict_entry(project, entry, force=force)
