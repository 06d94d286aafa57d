"""Commands on networks: training and prediction."""

from typing import TYPE_CHECKING, Annotated

import typer

from competition.cli.options import app, forcible, on_entry, on_first_recipe
from competition.machine import ask

if TYPE_CHECKING:
    from competition.entry import Entry
    from competition.steps import Bench


@app.command()
@on_first_recipe
@forcible
def train(
    bench: "Bench",
    entry: "Entry",
    again: bool,
    workers: Annotated[
        int | None,
        typer.Option(help="Loader processes", show_default="0 on a CPU, up to 8 beside a GPU"),
    ] = None,
) -> None:
    """Train networks: by default the ensemble's first recipe, on each of its folds.

    A run that was stopped goes on from its last whole epoch.
    """
    from competition import steps

    if workers is not None:
        ask("workers", str(workers))
    steps.train_all(bench, entry, again=again)


@app.command()
@on_entry
@forcible
def predict(bench: "Bench", entry: "Entry", again: bool) -> None:
    """Predict out of fold and test images with every network of the ensemble."""
    from competition import steps

    steps.predict_all(bench, entry, again=again)
