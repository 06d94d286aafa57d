"""Commands on what is handed in, and what came of it."""

from pathlib import Path
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
from competition.entry import NO_ROUND
from competition.project import Project


@app.command()
def submit(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Thresholds of one half, for comparison, not the tuned decisions"
        ),
    ] = False,
    again: Again = False,
) -> None:
    """Write the submission in the sample's form, read it back, and only then let it appear.

    Beside the csv lie its receipt and a contact sheet of test images with their masks.
    """
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(str(steps.submit(bench, entry, plain=plain, again=again)))


@app.command()
def holdout(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Thresholds of one half, not the tuned decisions")
    ] = False,
) -> None:
    """Score the entry on the untouched part of the labels: once, at the end.

    Every taking is written down in submissions/<competition>/holdout.json.
    """
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(str(steps.score_holdout(bench, entry, plain=plain)))


@app.command()
def pseudo(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pretrained: Pretrained = True,
    teachers: Annotated[
        str,
        typer.Option(
            "--pseudo", help="Round that the teachers were trained with, for a second round"
        ),
    ] = NO_ROUND,
    round_name: Annotated[str, typer.Option("--round", help="Name of the round")] = "round1",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A submission csv to take the labels from, instead of the predictions",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Least share of decided pixels (p < .2 or > .8) of an image"
        ),
    ] = 0.9,
    again: Again = False,
) -> None:
    """Turn confident test predictions into training labels: pseudo/<competition>/<round>."""
    from competition import steps

    bench = bench_of(competition)
    entry = entry_from(bench, recipe, fold, seed, pseudo=teachers, pretrained=pretrained)
    choice = steps.Round(round_name, source, confidence)
    typer.echo(steps.label_test_images(bench, entry, choice, again=again).text())


@app.command()
def score(
    csv: Annotated[list[Path], typer.Argument(help="Submissions to score")],
    solution: Annotated[Path, typer.Option(help="The organisers' answers, with a Usage column")],
    competition: File = None,
) -> None:
    """Score submissions against a solution: Public, Private, by class, present and absent masks."""
    from competition.solution import score_file

    project = Project.open(competition)
    for path in csv:
        table = score_file(project.competition, path, solution, project.sizes)
        typer.echo(table.text() if len(csv) == 1 else f"{path}: {table.summary()}")


@app.command()
def vote(
    csv: Annotated[list[Path], typer.Argument(help="Submissions that vote, whoever wrote them")],
    weight: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            "-w",
            help="Weight of each, in their order [default: equal]",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Inside where more than this share of the weights is"),
    ] = 0.5,
    name: Annotated[str, typer.Option(help="Name of the submission")] = "vote",
    competition: File = None,
) -> None:
    """Write the hard vote of submissions, row by image and class, checked like any other."""
    from competition.submission import Ballots, write_vote

    project = Project.open(competition)
    target = project.workspace.submission(name)
    ballots = Ballots.of(csv, weight or (), threshold)
    made = write_vote(project.competition, ballots, project.sample, project.sizes, target)
    typer.echo(
        f"wrote {target}: {made.rows} rows of {made.images} images, {made.empty} empty; vote of "
        f"{len(csv)} files, read back and equal to what was meant"
    )


@app.command()
def leaderboard(
    competition: File = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Also write it as a csv for spreadsheets", show_default=False),
    ] = None,
) -> None:
    """List every submission: out of fold, expected Private, Public, Private, decisions kept.

    Below it: how far Public and Private may differ by the split alone, and how sure the order is.
    """
    from competition.leaderboard import read_leaderboard
    from competition.tuning.measure import Measure

    project = Project.open(competition)
    spec = project.competition
    board = read_leaderboard(project.workspace.submissions, Measure.of(spec), spec.classes)
    typer.echo(board.text())
    if csv is not None:
        board.write_csv(csv)


@app.command()
def status(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
) -> None:
    """Show each step of the submission: fresh, stale or missing, and why."""
    from competition.pipeline import states

    bench = bench_of(competition)
    entry = entry_from(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    for step, state in states(bench.pipeline.stages("submit", entry)):
        typer.echo(f"{state.kind:8}{step.name}" + (f"  ({state.why})" if state.why else ""))
