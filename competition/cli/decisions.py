"""Commands on what is decided out of fold."""

from typing import TYPE_CHECKING, Annotated

import typer

from competition.cli.options import app, forcible, on_entry, on_machine

if TYPE_CHECKING:
    from competition.entry import Entry
    from competition.steps import Bench


@app.command()
@on_entry
@forcible
def ensemble(bench: "Bench", entry: "Entry", again: bool) -> None:
    """Score every member and their mean out of fold."""
    from competition import steps

    typer.echo(steps.weigh(bench, entry, again=again).text())


@app.command()
@on_entry
@on_machine("processes", "keep_memory")
@forcible
def tune(
    bench: "Bench",
    entry: "Entry",
    again: bool,
    groups: Annotated[
        int, typer.Option(min=0, help="Also print so many groups (people, scans), the worst first")
    ] = 0,
) -> None:
    """Choose thresholds and empty rules out of fold, keep what helps, report it cross-fitted.

    Figures and groups.csv, the score of every group, lie beside decisions.json.
    """
    from competition import steps

    typer.echo(steps.tune(bench, entry, again=again).text())
    if groups:
        typer.echo(steps.by_group(bench, entry).text(groups))
