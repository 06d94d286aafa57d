"""Commands on submissions, and how they score."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from competition.cli.options import (
    File,
    Json,
    Plain,
    app,
    echo_json,
    forcible,
    on_entry,
    on_teachers,
)
from competition.errors import InputFault, as_called

if TYPE_CHECKING:
    from competition.entry import Entry
    from competition.project import Project

CsvArguments = Annotated[
    list[Path] | None,
    typer.Argument(metavar="CSV", help="Submissions, whoever wrote them", show_default=False),
]
Csvs = Annotated[
    list[Path] | None, typer.Option("--csv", help="A submission, as an option; may be repeated")
]


@app.command()
@on_entry
@forcible
def submit(
    project: "Project",
    entry: "Entry",
    force: bool,
    plain: Plain = False,
    despite_verdict: Annotated[
        bool,
        typer.Option("--despite-verdict", help="Also with a pseudo round that was not adopted"),
    ] = False,
) -> None:
    """Write the submission in the sample's form, read it back, and only then let it appear.

    Beside the csv lie its receipt, a contact sheet of test images with their masks, and its report.
    """
    from competition import steps

    if not despite_verdict:
        steps.refuse_unadopted(project, entry)
    typer.echo(str(steps.submit_and_report(project, entry, plain=plain, force=force)))


@app.command()
@on_entry
@forcible
def report(project: "Project", entry: "Entry", force: bool, plain: Plain = False) -> None:
    """Put everything to look at into one HTML file, which opens anywhere.

    Scores, decisions, training curves, the worst classes, groups and images, labels that the networks
    contradict, disagreement, folds, the pseudo round, this submission against the others. What is not
    there yet is said in its place. `submit` makes it too.
    """
    from competition import steps

    typer.echo(str(steps.report_entry(project, entry, plain=plain, force=force)))


@app.command()
@on_entry
def holdout(project: "Project", entry: "Entry", plain: Plain = False) -> None:
    """Score the entry on the holdout: once, at the end.

    Every score is written down in submissions/<competition>/holdout.json.
    """
    from competition import steps

    typer.echo(str(steps.score_holdout(project, entry, plain=plain)))


@app.command()
@on_teachers
@forcible
def pseudo(
    project: "Project",
    entry: "Entry",
    force: bool,
    round_name: Annotated[str, typer.Option("--round", help="Name of the round")] = "round1",
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help="A submission csv to take the labels from, instead of the predictions; "
            "repeated: their vote, pixels that more than half of them have",
        ),
    ] = None,
    all_folds: Annotated[
        bool,
        typer.Option(
            "--all-folds",
            help="Every student learns from all folds' networks, which saw what it is validated on",
        ),
    ] = False,
    per_fold: Annotated[
        bool,
        typer.Option(
            "--per-fold",
            help="A student learns from the networks of its own fold alone, as usual",
        ),
    ] = False,
    measure: Annotated[
        str | None,
        typer.Option(
            help="What is taken for confidence: expected-dice, decided, margin or agreement",
            show_default="expected-dice",
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Of each class, and of its empty, small and large masks, the surest share",
            show_default="0.7",
        ),
    ] = None,
    least: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least confidence of a class", show_default="0.0"),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="LOW,HIGH: a pixel with a probability between them does not count",
            show_default="0.3,0.7",
        ),
    ] = None,
    soft: Annotated[
        bool,
        typer.Option("--soft", help="Probabilities are the targets: no pixel is ignored for them"),
    ] = False,
    hard: Annotated[bool, typer.Option("--hard", help="Masks are the targets, as usual")] = False,
    batch_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Of each batch of a student, the share of the round's images; 0: as they come",
            show_default="0.0",
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="A class that is common among the labels and in no mask of the round is ignored",
        ),
    ] = False,
    refuse_missing: Annotated[
        bool,
        typer.Option("--refuse-missing", help="Such a class stops the round, as usual"),
    ] = False,
) -> None:
    """Turn confident test predictions into training labels: pseudo/<competition>/<round>.

    How it is made is as it was when it was made before, where nothing else is given; the teachers are
    those that are named. `podium run pseudo` goes on: it trains students and judges the round.
    """
    from competition import steps

    asked = {
        "all_folds": _one_of(all_folds=all_folds, per_fold=per_fold),
        "measure": measure,
        "share": share,
        "least": least,
        "levels": levels,
        "soft": _one_of(soft=soft, hard=hard),
        "batch_share": batch_share,
        "allow_missing": _one_of(allow_missing=allow_missing, refuse_missing=refuse_missing),
    }
    settings = steps.round_settings(project, entry, round_name, source or (), asked)
    typer.echo(steps.make_pseudo_round(project, round_name, settings, force=force).text())


def _one_of(**switches: bool) -> bool | None:
    """Of an option and its opposite: whether the first is given, None where neither is."""
    (on, off), (first, second) = switches.values(), (name.replace("_", "-") for name in switches)
    if on and off:
        raise InputFault(f"--{first} and --{second} are opposites; give one of them")
    return True if on else False if off else None


@app.command()
@on_entry
@forcible
def verdict(project: "Project", entry: "Entry", force: bool) -> None:
    """Judge a pseudo round: its students against their teachers, out of fold, as `tune` judges a step.

    `submit` takes a round only where it was adopted.
    """
    from competition import steps

    typer.echo(steps.judge_round(project, entry, force=force).text())


@app.command()
def export_labels(
    folder: Annotated[Path, typer.Argument(help="Folder to write, which is not there yet")],
    round_name: Annotated[
        str | None,
        typer.Option(
            "--round", help="Labels of this pseudo round", show_default="the competition's own"
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold", "-f", help="Of a round with a teacher for each fold: whose student's labels"
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Masks of this submission", show_default="the competition's own labels"),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(help="polygons (a JSON file beside each image) or coco (one file of all)"),
    ] = "polygons",
    images: Annotated[
        bool, typer.Option("--images", help="Copy the images too, to the same paths in the folder")
    ] = False,
    competition: File = None,
) -> None:
    """Write labels as files that annotation tools and other programs read, without losing a pixel.

    They are read back and compared before the folder appears; what the files have no word for is said.
    """
    from competition import steps
    from competition.project import Project

    source = steps.ExportSource(round_name, fold, csv)
    project = Project.open(competition)
    typer.echo(steps.export_label_files(project, source, folder, kind, with_images=images))


@app.command()
def score(
    solution: Annotated[Path, typer.Option(help="The organisers' answers, with a Usage column")],
    words: CsvArguments = None,
    csv: Csvs = None,
    competition: File = None,
    as_json: Json = False,
) -> None:
    """Score submissions against a solution: Public, Private, by class, present and absent masks."""
    from competition.project import Project
    from competition.solution import score_file

    paths = _submissions(words, csv)
    project = Project.open(competition)
    scored = [
        (p, score_file(project.competition, p, solution, project.sizes, slices=project.slices))
        for p in paths
    ]
    if as_json:
        rows = [{"file": str(path), **table.model_dump(mode="json")} for path, table in scored]
        echo_json({"solution": str(solution), "submissions": rows})
        return
    for path, table in scored:
        typer.echo(table.text() if len(scored) == 1 else f"{path}: {table.summary()}")
    for line in scored[0][1].beside_lines() if len(scored) > 1 else []:
        typer.echo(line)


@app.command()
def vote(
    words: CsvArguments = None,
    csv: Csvs = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            "-w",
            help="Weight of each, words first, in their order; repeated",
            show_default="equal",
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
    from competition.project import Project
    from competition.submission import Ballots, write_vote

    paths = _submissions(words, csv)
    project = Project.open(competition)
    target = project.workspace.submission(name)
    ballots = Ballots.of(paths, weight or (), threshold)
    made = write_vote(project.competition, ballots, project.sample, project.sizes, target)
    typer.echo(
        f"wrote {target}: {made.rows} rows of {made.images} images, {made.empty} empty; vote of "
        f"{len(paths)} files, read back and equal to what was meant"
    )


def _submissions(words: list[Path] | None, options: list[Path] | None) -> list[Path]:
    """The files named as words, then those named by --csv."""
    paths = [*(words or ()), *(options or ())]
    if not paths:
        raise InputFault("no submission is named; name one or more, as CSV or as --csv CSV")
    return paths


@app.command()
def leaderboard(
    competition: File = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write it as a csv for spreadsheets")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every submission: out of fold, expected Private, Public, Private, decisions kept.

    Below it: how far Public and Private may differ by the split alone, and how sure the order is.
    """
    from competition.leaderboard import read_leaderboard
    from competition.project import Project

    project = Project.open(competition)
    spec = project.competition
    board = read_leaderboard(project.workspace.submissions, project.metric_sums, spec.classes)
    echo_json(board.document()) if as_json else typer.echo(as_called(board.text()))
    if csv is not None:
        board.write_csv(csv)


@app.command()
@on_entry
def status(project: "Project", entry: "Entry", as_json: Json = False) -> None:
    """Show each step of the submission: done, outdated, running or to do, and why."""
    from competition.pipeline import states, states_document, states_text
    from competition.workspace import who_holds

    found = states(project.pipeline.stages("report", entry))
    holders = {step.name: who_holds(project.workspace.lock(step.name)) for step, _ in found}
    running = {name: words for name, words in holders.items() if words}
    if as_json:
        echo_json({"entry": entry.name, "steps": states_document(found, running)})
    else:
        typer.echo(states_text(found, running))
