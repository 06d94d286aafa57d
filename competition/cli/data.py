"""Commands on the data: the demo, a new competition, its proof, its split."""

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from competition.cli.options import File, Json, app, echo_json, forcible, open_project, say, watch
from competition.errors import InputFault, as_called

if TYPE_CHECKING:
    from competition.doctor import Report
    from competition.new.values import FoundValue
    from competition.project import Project


@app.command()
@forcible
def demo(
    force: bool,
    seed: Annotated[int, typer.Option(help="Seed of the generated patients")] = 0,
    short: Annotated[
        bool,
        typer.Option(
            "--short", help="Few images and epochs: to see that every step runs, not how well"
        ),
    ] = False,
) -> None:
    """Write the demo competition: generated X-rays of hands, with labels, sample and solution."""
    from competition.demo import make_demo, make_short_demo
    from competition.project import demo_folder

    folder = demo_folder(Path.cwd(), short=short)
    if (folder / "competition.toml").exists() and not force:
        typer.echo(f"{folder}: done already")
        return
    (make_short_demo if short else make_demo)(folder, seed=seed)
    typer.echo(f"wrote {folder}")


# Off the folder, as new.write does it: its import costs what --help need not wait for.
_PRESETS = sorted(file.stem for file in (Path(__file__).parents[1] / "presets").glob("*.toml"))


@app.command()
def new(
    data: Annotated[Path, typer.Option(help="Folder of the organisers' download")],
    preset: Annotated[
        str | None,
        typer.Option(help=", ".join(_PRESETS), show_default="searched for in the download"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the competition", show_default="the folder's"),
    ] = None,
    target: Annotated[Path, typer.Option(help="File to write")] = Path("competition.toml"),
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A value said beforehand, such as metric.name=dice; may be repeated",
        ),
    ] = None,
) -> None:
    """Write a commented competition.toml for a download, prove that it reads it, say what it found.

    It looks at images, masks, csv and annotation files, and writes behind each value where it comes
    from. What the data do not tell is asked on a terminal; otherwise its line is marked, and every
    command but doctor stops until it is answered. --preset names a layout that is known.
    """
    from competition.new.write import new_competition
    from competition.project import Project

    own_name = re.sub(r"[^a-z0-9_-]+", "-", data.resolve().name.lower()).strip("-")
    changes = dict(_assignment(text) for text in change or ())
    asked = {"ask": _ask} if _someone_is_there() else {}
    made = new_competition(preset, data, target, name or own_name, changes=changes, **asked)
    typer.echo(made.text)
    folder = target.resolve().parent
    project = Project.open(target, folder, say=say, watch=watch, unsettled=True)
    project.begin_with(made.catalog, made.labels)
    _show_labels(project)


def _someone_is_there() -> bool:
    return sys.stdin.isatty()


def _ask(key: str, value: "FoundValue") -> str | None:
    """One question on the terminal: a number of the list, or a value; return leaves it open."""
    typer.echo(f"{key}: {value.why}")
    for number, one in enumerate(value.candidates, 1):
        typer.echo(f"  {number}  {one}")
    left = "leave it open" if value.marked else value.candidates[0]
    answer = typer.prompt(f"number or value (return: {left})", default="", show_default=False)
    if answer.isdigit() and 1 <= int(answer) <= len(value.candidates):
        return value.candidates[int(answer) - 1]
    return answer.strip() or None


def _assignment(text: str) -> tuple[str, Any]:
    """`key=value`, the value as TOML, or as text where it is not."""
    key, sign, value = text.partition("=")
    if not sign:
        raise InputFault(f"--set {text!r}: expected key=value, such as metric.name=dice")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


@app.command()
def doctor(
    competition: File = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Check this submission instead, whoever wrote it"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove the data before anything is trained: files, sizes, ids, order, duplicates."""
    from competition.doctor import Report, examined
    from competition.project import Project
    from competition.submission import check_submission, check_text_order

    project = Project.open(competition, unsettled=True)
    questions = project.competition.questions
    for question in questions:
        typer.echo(f"open: {as_called(question)}", err=as_json)
    if csv is not None:
        check_submission(project.competition, csv, project.sample, project.sizes)
        fact = Report.fact(str(csv), "the sample's rows, every text legal")
        report = fact + check_text_order(project.competition, csv, project.rows("test"))
    else:
        report = examined(
            project.competition, project.workspace, project.catalog_if_any, watch=watch
        )
    echo_json(report.document()) if as_json else typer.echo(
        as_called(report.text(questions=len(questions)))
    )
    if csv is None and not as_json:
        _show_labels(project)
        _show_look_alikes(project, report)
    if report.errors:
        raise InputFault(f"{len(report.errors)} errors above; repair the data and run it again")


def _show_labels(project: "Project") -> None:
    """The sheet of labels, or why there is none: labels that cannot be read are the doctor's to tell."""
    from competition.steps import draw_label_sheet

    try:
        sheet = draw_label_sheet(project)
    except InputFault as fault:
        typer.echo(f"no picture of the labels: {fault}")
        return
    typer.echo(f"look at {sheet}: labels with the names that they were read by")


def _show_look_alikes(project: "Project", report: "Report") -> None:
    from competition.steps import draw_look_alikes

    pairs = [finding.images for finding in report.doubtful if finding.kind == "look-alikes"]
    if pairs:
        typer.echo(f"look at {draw_look_alikes(project, pairs)}: images that look alike")


@app.command()
def folds(competition: File = None) -> None:
    """Split the labelled images by group, once; folds/<competition>.csv belongs in git."""
    from competition.steps import make_split

    typer.echo(make_split(open_project(competition)))


@app.command()
def skeleton(
    competition: File = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Measure the masks of this submission", show_default="the labels"),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="File to write", show_default="runs/COMPETITION/skeleton.csv"),
    ] = None,
) -> None:
    """Measure elongated masks (roads, vessels): length of the centre line, thickness along it.

    One row for each image and class, and a sheet of centre lines beside the csv.
    """
    from competition.steps import measure_skeletons

    project = open_project(competition)
    path = target or project.workspace.runs / "skeleton.csv"
    typer.echo(measure_skeletons(project, path, submission=csv))
