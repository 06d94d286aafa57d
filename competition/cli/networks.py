"""Commands on networks: training and prediction."""

from typing import Annotated

import typer

from competition.cli.options import (
    Again,
    Continued,
    File,
    Folds,
    Pretrained,
    Pseudo,
    Recipes,
    Seeds,
    app,
    bench_of,
    entry_from,
)
from competition.machine import ask


@app.command()
def train(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Loader processes [default: 0 on a CPU, up to 8 beside a GPU]", show_default=False
        ),
    ] = None,
    again: Again = False,
) -> None:
    """Train networks: by default the ensemble's first recipe, on each of its folds.

    A run that was stopped goes on from its last whole epoch.
    """
    from competition import steps

    bench = bench_of(competition)
    recipes = recipe or [bench.project.competition.ensemble.recipes[0]]
    entry = entry_from(
        bench, recipes, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    if workers is not None:
        ask("workers", str(workers))
    steps.train_all(bench, entry, again=again)


@app.command()
def predict(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    again: Again = False,
) -> None:
    """Predict out of fold and test images with every network of the ensemble."""
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    steps.predict_all(bench, entry, again=again)
