"""One command per step, in pipeline order: parse, call one function, say what was written."""

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from competition.entry import NO_ROUND, Entry, entry_of
from competition.errors import InputFault
from competition.project import Project, demo_folder

app = typer.Typer(
    help="From the organisers' download to a checked submission, one command a step.\n\n"
    "Each command does its own step only and skips what is fresh; `invoke STEP` first makes what "
    "is missing before it. Without a competition.toml everything runs on the built-in demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_console = Console(stderr=True)

File = Annotated[
    Path | None,
    typer.Option("--competition", "-c", help="Competition file [default: ./competition.toml, or "
                 "the demo's]", show_default=False),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", "-r", help="Recipe; may be repeated [default: as above]",
                 show_default=False),
]
Folds = Annotated[
    list[int] | None,
    typer.Option("--fold", "-f", help="Fold; may be repeated [default: the ensemble's]",
                 show_default=False),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Seed; may be repeated [default: the ensemble's]",
                 show_default=False),
]
Pseudo = Annotated[
    str | None,
    typer.Option("--pseudo", help="Train with this pseudo-label round too; 'none' for none "
                 "[default: the ensemble's]", show_default=False),
]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained/--no-pretrained",
                 help="Start from published weights where the recipe does, or from scratch"),
]
Continued = Annotated[
    str | None,
    typer.Option("--continue-from", help="Members that start from the weights of this trained one "
                 "(a folder of runs/COMPETITION), fold by fold", show_default=False),
]
Again = Annotated[bool, typer.Option("--again", help="Do it even where it is fresh")]


def _bench(given: Path | None):
    from competition.steps import Bench

    return Bench.of(Project.open(given), say=typer.echo, watch=_watch)


@contextmanager
def _watch(title: str, units: int) -> Iterator[Callable[[], None]]:
    """A progress bar on the terminal; nothing where the output is a file."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console, transient=True, disable=not _console.is_terminal) as progress:
        task = progress.add_task(title, total=units)
        yield lambda: progress.advance(task)


def _entry(
    bench, recipes: list[str] | None, folds: list[int] | None, seeds: list[int] | None,
    *, pseudo: str | None, pretrained: bool, continued: str | None = None,
) -> Entry:
    return entry_of(
        bench.project.competition, recipes=tuple(recipes or ()), folds=tuple(folds or ()),
        seeds=tuple(seeds or ()), pseudo=pseudo, pretrained=pretrained, continued=continued,
    )


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of the generated people")] = 0,
    short: Annotated[bool, typer.Option(
        "--short", help="Few people and epochs: to see that every step runs, not how well"
    )] = False,
    again: Again = False,
) -> None:
    """Write the demo competition: generated X-rays of hands, with labels, sample and solution."""
    from competition.data.demo import make_demo, make_short_demo

    folder = demo_folder(Path.cwd(), short=short)
    if (folder / "competition.toml").exists() and not again:
        typer.echo(f"fresh: {folder}")
        return
    (make_short_demo if short else make_demo)(folder, seed=seed)
    typer.echo(f"wrote {folder}")


@app.command()
def new(
    preset: Annotated[str, typer.Option(help="hand-bone, salt or folders")],
    data: Annotated[Path, typer.Option(help="Folder of the organisers' download")],
    name: Annotated[str | None, typer.Option(help="Name of the competition [default: the folder's]",
                                             show_default=False)] = None,
    target: Annotated[Path, typer.Option(help="File to write")] = Path("competition.toml"),
    change: Annotated[list[str] | None, typer.Option(
        "--set", help="A value that the preset has otherwise, such as metric.name=dice; may be "
        "repeated", show_default=False
    )] = None,
) -> None:
    """Write a commented competition.toml for a download, prove that it reads it, say what it found."""
    from competition.new import new_competition

    own_name = re.sub(r"[^a-z0-9_-]+", "-", data.resolve().name.lower()).strip("-")
    changes = dict(_assignment(text) for text in change or ())
    typer.echo(new_competition(preset, data, target, name or own_name, changes=changes))


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
    csv: Annotated[Path | None, typer.Option(
        help="Check this submission instead, whoever wrote it", show_default=False
    )] = None,
) -> None:
    """Prove the data before anything is trained: files, sizes, ids, order, duplicates."""
    from competition.doctor import examine
    from competition.submission import check_order, check_submission

    project = Project.open(competition)
    if csv is not None:
        check_submission(project.competition, csv, project.sample, project.sizes)
        typer.echo(f"{csv}: the sample's rows, every text legal")
        report = check_order(project.competition, csv, project.part("test"))
    else:
        report = examine(project.competition, project.workspace, progress=_console.is_terminal)
    typer.echo(report.text())
    if report.errors:
        raise InputFault(f"{len(report.errors)} errors above; repair the data and run it again")


@app.command()
def folds(competition: File = None) -> None:
    """Split the labelled images by group, once; folds/<competition>.csv belongs in git."""
    from competition.steps import split

    typer.echo(split(_bench(competition)))


@app.command()
def train(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    workers: Annotated[int | None, typer.Option(
        help="Loader processes [default: 0 on a CPU, up to 8 beside a GPU]", show_default=False
    )] = None,
    again: Again = False,
) -> None:
    """Train networks: by default the ensemble's first recipe, on each of its folds.

    A run that was stopped goes on from its last whole epoch.
    """
    from competition import steps

    bench = _bench(competition)
    recipes = recipe or [bench.project.competition.ensemble.recipes[0]]
    entry = _entry(
        bench, recipes, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    for member in entry.members:
        for number in entry.folds:
            steps.train(bench, member, number, workers=workers, again=again)


@app.command()
def predict(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    again: Again = False,
) -> None:
    """Predict out of fold and test images with every network of the ensemble."""
    from competition import steps

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    for member in entry.members:
        for number in entry.folds:
            steps.predict(bench, member, number, again=again)
        steps.average_folds(bench, member, entry.folds)


@app.command()
def ensemble(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    again: Again = False,
) -> None:
    """Score every member and their mean out of fold."""
    from competition import steps

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(steps.weigh(bench, entry, again=again).text())


@app.command()
def tune(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    groups: Annotated[int, typer.Option(
        min=0, help="Also print so many groups (people, scans), the worst first"
    )] = 0,
    again: Again = False,
) -> None:
    """Choose thresholds and empty rules out of fold, keep what helps, report it cross-fitted.

    Figures and groups.csv, the score of every group, lie beside decisions.json.
    """
    from competition import steps

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(steps.tune(bench, entry, again=again).text())
    if groups:
        typer.echo(steps.by_group(bench, entry).text(groups))


@app.command()
def submit(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    plain: Annotated[bool, typer.Option(
        "--plain", help="Thresholds of one half, for comparison, not the tuned decisions"
    )] = False,
    again: Again = False,
) -> None:
    """Write the submission in the sample's form, read it back, and only then let it appear.

    Beside the csv lie its receipt and a contact sheet of test images with their masks.
    """
    from competition import steps

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(str(steps.submit(bench, entry, plain=plain, again=again)))


@app.command()
def holdout(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
    plain: Annotated[bool, typer.Option(
        "--plain", help="Thresholds of one half, not the tuned decisions"
    )] = False,
) -> None:
    """Score the entry on the untouched part of the labels: once, at the end.

    Every taking is written down in submissions/<competition>/holdout.json.
    """
    from competition import steps

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    typer.echo(str(steps.score_holdout(bench, entry, plain=plain)))


@app.command()
def pseudo(
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pretrained: Pretrained = True,
    teachers: Annotated[str, typer.Option(
        "--pseudo", help="Round that the teachers were trained with, for a second round"
    )] = NO_ROUND,
    round_name: Annotated[str, typer.Option("--round", help="Name of the round")] = "round1",
    source: Annotated[Path | None, typer.Option(
        "--from", help="A submission csv to take the labels from, instead of the predictions",
        show_default=False,
    )] = None,
    confidence: Annotated[float, typer.Option(
        min=0, max=1, help="Least share of decided pixels (p < .2 or > .8) of an image"
    )] = 0.9,
    again: Again = False,
) -> None:
    """Turn confident test predictions into training labels: pseudo/<competition>/<round>."""
    from competition import steps

    bench = _bench(competition)
    entry = _entry(bench, recipe, fold, seed, pseudo=teachers, pretrained=pretrained)
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
    weight: Annotated[list[float] | None, typer.Option(
        "--weight", "-w", help="Weight of each, in their order [default: equal]", show_default=False
    )] = None,
    threshold: Annotated[float, typer.Option(
        min=0, max=1, help="Inside where more than this share of the weights is"
    )] = 0.5,
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
    csv: Annotated[Path | None, typer.Option(
        help="Also write it as a csv for spreadsheets", show_default=False
    )] = None,
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
    competition: File = None, recipe: Recipes = None, fold: Folds = None, seed: Seeds = None,
    pseudo: Pseudo = None, pretrained: Pretrained = True, continued: Continued = None,
) -> None:
    """Show each step of the submission: fresh, stale or missing, and why."""
    from competition.pipeline import states

    bench = _bench(competition)
    entry = _entry(
        bench, recipe, fold, seed, pseudo=pseudo, pretrained=pretrained, continued=continued
    )
    for step, state in states(bench.pipeline.stages("submit", entry)):
        typer.echo(f"{state.kind:8}{step.name}" + (f"  ({state.why})" if state.why else ""))


@app.command()
def ablation(
    name: Annotated[str, typer.Option(help="losses, aux, pooling, skips, resampling, norm, head, "
                                      "resolution, pseudo or schedule")],
    competition: File = None, fold: Folds = None, seed: Seeds = None,
    full: Annotated[bool, typer.Option(
        "--full", help="The recipes in full size, for a GPU, not their twins for CPUs"
    )] = False,
    variant: Annotated[str | None, typer.Option(
        help="Lay the changes of [variants.NAME] over all of its recipes", show_default=False
    )] = None,
    pretrained: Pretrained = True, again: Again = False,
) -> None:
    """Print the table of an ablation from its trials' predictions: scores, differences, noise.

    `invoke ablation` first trains, predicts and submits what is missing.
    """
    from competition import steps
    from competition.experiment import Choice, experiment_of

    bench = _bench(competition)
    choice = Choice(name, full, variant, tuple(fold or ()), tuple(seed or ()), pretrained)
    experiment = experiment_of(bench.project.competition, choice)
    typer.echo(steps.compare_trials(bench, experiment, again=again))


@app.command()
def models(
    competition: File = None,
    recipe: Recipes = None,
    published: Annotated[bool, typer.Option(
        "--published", help="The cost table of the ResNet18-UNet: published, recounted, and real"
    )] = False,
) -> None:
    """Print what a recipe's network costs: logit size, parameters, operations, memory.

    By default of the ensemble's recipes; measured on a copy without weights.
    """
    from competition.models.complexity import complexity_text, measure_recipe
    from competition.models.published import published_text

    if published:
        typer.echo(published_text())
        return
    project = Project.open(competition)
    names = recipe or project.competition.ensemble.recipes
    classes = len(project.competition.classes)
    costs = {name: measure_recipe(project.recipe(name), classes) for name in names}
    typer.echo(complexity_text(costs))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of a trained network")],
    folder: Annotated[Path | None, typer.Option(
        help="Where to write [default: beside the checkpoint]", show_default=False
    )] = None,
    competition: File = None,
) -> None:
    """Write a trained network as ONNX and torch.export, checked against torch on this machine."""
    from competition.export import export as write
    from competition.training.checkpoint import load

    project = Project.open(competition)
    network, training = load(checkpoint, classes=project.competition.classes)
    size, channels = training.recipe.size, training.recipe.network.channels
    made = write(network, folder or checkpoint.parent, size=size, channels=channels)
    typer.echo(
        f"wrote {made.onnx} and {made.program}; largest difference from torch "
        f"{made.difference:.1e} of the largest logit; {made.speed:.2f} times torch's speed"
    )
