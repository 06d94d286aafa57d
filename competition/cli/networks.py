"""Commands on networks: training and prediction, and the machine that they run on."""

from typing import TYPE_CHECKING

import typer

from competition.cli.options import (
    Json,
    app,
    echo_json,
    forcible,
    on_entry,
    on_first_recipe,
    on_machine,
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


@app.command()
@on_first_recipe
@on_machine("device", "dtype", "workers", "start_method", "threads", "keep_memory")
@forcible
def train(project: "Project", entry: "Entry", force: bool) -> None:
    """Train networks: by default the ensemble's first recipe, on each of its folds.

    A run that was stopped goes on from its last whole epoch.
    """
    from competition import steps

    steps.train_entry(project, entry, force=force)


@app.command()
@on_entry
@on_machine("device", "dtype", "threads", "keep_memory")
@forcible
def predict(project: "Project", entry: "Entry", force: bool) -> None:
    """Predict out of fold and test images with every network of the ensemble."""
    from competition import steps

    steps.predict_entry(project, entry, force=force)
