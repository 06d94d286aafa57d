"""Commands on what is decided out of fold."""

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


@app.command()
def ensemble(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    again: Again = False,
) -> None:
    """Score every member and their mean out of fold."""
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(steps.weigh(bench, entry, again=again).text())


@app.command()
def tune(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    groups: Annotated[
        int, typer.Option(min=0, help="Also print so many groups (people, scans), the worst first")
    ] = 0,
    again: Again = False,
) -> None:
    """Choose thresholds and empty rules out of fold, keep what helps, report it cross-fitted.

    Figures and groups.csv, the score of every group, lie beside decisions.json.
    """
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(steps.tune(bench, entry, again=again).text())
    if groups:
        typer.echo(steps.by_group(bench, entry).text(groups))
