"""Commands on what is decided out of fold."""

from typing import TYPE_CHECKING, Annotated

import typer

from competition.cli.options import app, forcible, on_entry, on_machine

if TYPE_CHECKING:
    from competition.entry import Entry
    from competition.project import Project


@app.command()
@on_entry
@forcible
def ensemble(project: "Project", entry: "Entry", force: bool) -> None:
    """Score every member and their mean out of fold."""
    from competition import steps

    typer.echo(steps.score_ensemble(project, entry, force=force).text())


@app.command()
@on_entry
@on_machine("processes", "keep_memory")
@forcible
def tune(
    project: "Project",
    entry: "Entry",
    force: bool,
    groups: Annotated[
        int,
        typer.Option(min=0, help="Also print so many groups (patients, scans), the worst first"),
    ] = 0,
) -> None:
    """Fit heads, weights, thresholds and post-processing out of fold; keep significant steps.

    The score that is reported is nested cross-validation: everything decided again without each part.

    Figures and groups.csv, the score of every group, lie beside decisions.json.
    """
    from competition import steps

    typer.echo(steps.tune_entry(project, entry, force=force).text())
    if groups:
        typer.echo(steps.group_table(project, entry).text(groups))


@app.command()
@on_entry
def view(
    project: "Project",
    entry: "Entry",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of 127.0.0.1; 0: any free one",
            show_default="the first free one from 8501 on",
        ),
    ] = None,
) -> None:
    """Look at labels, predictions and rounds in a browser on this machine, worst first, and mark them.

    Masks are cut anew at any threshold. Marks go to pseudo/COMPETITION/marks.csv, which
    the next pseudo round reads, and `exclude` in [data] where it names that file.
    """
    from competition.viewer.scenes import Viewer
    from competition.viewer.serve import serve

    serve(Viewer(project, entry), port=port, say=typer.echo)
