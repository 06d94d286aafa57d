"""Short names for people: each task makes what is missing before it, then does its own step.

A task echoes and runs `python -m competition STEP …`, one process a step, so that every step can
be repeated by hand. Options that are not here are on the commands: `python -m competition --help`.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from invoke import Exit, task

COMPETITION = "competition file (default: ./competition.toml, else the built-in demo)"
ENTRY = {
    "competition": COMPETITION,
    "recipe": "recipe; may be repeated (default: the ensemble's)",
    "fold": "fold; may be repeated (default: the ensemble's)",
    "pseudo": "train with this pseudo-label round too; 'none' for none",
    "no_pretrained": "start from scratch, not from published weights",
    "continue_from": "start from the weights of this trained member, a folder of runs/",
}
MEMORY_KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""glibc gives large tensors back to the kernel at every step of a training on a CPU; keeping them
made a step 1.5 to 2.9 times faster (docs/training.md). Must be set before Python starts."""


@task(help=ENTRY | {"workers": "loader processes"}, iterable=["recipe", "fold"])
def train(
    c,
    competition="",
    recipe=None,
    fold=None,
    pseudo="",
    no_pretrained=False,
    continue_from="",
    workers="",
):
    """Train networks: the ensemble's first recipe, or --recipe, on every fold or --fold."""
    extra = ["--workers", workers] if workers else []
    first = _first_recipe(competition, recipe)
    _reach("train", competition, (first, fold, pseudo, no_pretrained, continue_from), extra=extra)


@task(help=ENTRY, iterable=["recipe", "fold"])
def predict(
    c, competition="", recipe=None, fold=None, pseudo="", no_pretrained=False, continue_from=""
):
    """Predict out of fold and test images with every network of the ensemble."""
    _reach("predict", competition, (recipe, fold, pseudo, no_pretrained, continue_from))


@task(help=ENTRY, iterable=["recipe", "fold"])
def ensemble(
    c, competition="", recipe=None, fold=None, pseudo="", no_pretrained=False, continue_from=""
):
    """Score every member and their mean out of fold."""
    _reach("ensemble", competition, (recipe, fold, pseudo, no_pretrained, continue_from))


@task(help=ENTRY, iterable=["recipe", "fold"])
def tune(
    c, competition="", recipe=None, fold=None, pseudo="", no_pretrained=False, continue_from=""
):
    """Choose thresholds and empty rules out of fold; report them cross-fitted."""
    _reach("tune", competition, (recipe, fold, pseudo, no_pretrained, continue_from))


@task(help=ENTRY | {"plain": "thresholds of one half, for comparison"}, iterable=["recipe", "fold"])
def submit(
    c,
    competition="",
    recipe=None,
    fold=None,
    pseudo="",
    no_pretrained=False,
    continue_from="",
    plain=False,
):
    """Write the checked submission; whatever is missing before it is made first."""
    chosen = (recipe, fold, pseudo, no_pretrained, continue_from)
    _reach("submit", competition, chosen, extra=["--plain"] if plain else [])


@task(help=ENTRY | {"plain": "thresholds of one half"}, iterable=["recipe", "fold"])
def holdout(
    c,
    competition="",
    recipe=None,
    fold=None,
    pseudo="",
    no_pretrained=False,
    continue_from="",
    plain=False,
):
    """Score the entry on the untouched part of the labels: once, at the end."""
    _reach("tune", competition, (recipe, fold, pseudo, no_pretrained, continue_from))
    words = _options(recipe, fold, pseudo, no_pretrained, continue_from)
    _step(["holdout", *words, *(["--plain"] if plain else [])], competition)


@task(
    name="pseudo",
    help={
        "competition": COMPETITION,
        "round_name": "name of the round (default: round1)",
        "source": "a submission csv to take the labels from, instead of the predictions",
        "confidence": "least share of decided pixels of an image (default: 0.9)",
        "no_pretrained": "networks from scratch",
    },
)
def pseudo_labels(
    c, competition="", round_name="round1", source="", confidence=0.9, no_pretrained=False
):
    """Turn confident test predictions into labels that `train --pseudo ROUND` uses."""
    if not source:
        _reach("tune", competition, (None, None, "none", no_pretrained, ""))
    words = ["pseudo", "--round", round_name, "--confidence", str(confidence)]
    words += ["--from", source] if source else []
    words += ["--no-pretrained"] if no_pretrained else []
    _step(words, competition)


@task(help={"competition": COMPETITION})
def doctor(c, competition=""):
    """Prove the data before anything is trained."""
    _demo_data(competition)
    _step(["doctor"], competition)


@task(help={"competition": COMPETITION})
def folds(c, competition=""):
    """Split the labelled images by group, once; the file belongs in git."""
    _demo_data(competition)
    _step(["folds"], competition)


@task(
    help={
        "csv": "submission to score",
        "solution": "the answers, with a Usage column",
        "competition": COMPETITION,
    }
)
def score(c, csv, solution="", competition=""):
    """Score a submission: Public, Private, by class, present and absent masks."""
    _step(["score", csv, *(["--solution", solution] if solution else [])], competition)


@task(
    help={
        "csv": "submission that votes; repeat for each",
        "competition": COMPETITION,
        "weight": "weight of each, in their order (default: equal)",
        "name": "name of the result (default: vote)",
    },
    iterable=["csv", "weight"],
)
def vote(c, csv=None, weight=None, name="vote", competition=""):
    """Write the hard vote of submissions: --csv A.csv --csv B.csv."""
    words = [*(csv or ()), *(word for one in weight or () for word in ("--weight", one))]
    _step(["vote", *words, "--name", name], competition)


@task(help={"competition": COMPETITION})
def leaderboard(c, competition=""):
    """List every submission with its out-of-fold, Public and Private score."""
    _demo_data(competition)
    _step(["leaderboard"], competition)


@task(
    help={
        "name": "losses, aux, pooling, skips, resampling, norm, head, resolution, pseudo, schedule",
        "competition": COMPETITION,
        "fold": ENTRY["fold"],
        "seed": "seed; may be repeated: several tell noise from difference",
        "variant": "lay the changes of [variants.NAME] over all of its recipes",
        "full": "the recipes in full size, for a GPU, not their twins for CPUs",
        "solution": "the answers, for Public and Private (default: the data's solution.csv)",
        "no_pretrained": ENTRY["no_pretrained"],
    },
    iterable=["fold", "seed"],
)
def ablation(
    c,
    name,
    competition="",
    fold=None,
    seed=None,
    variant="",
    full=False,
    solution="",
    no_pretrained=False,
):
    """Compare recipes of an experiment on the same folds and seeds, beside the published figures."""
    choice = (name, full, variant or None, _numbers(fold), _numbers(seed, "--seed"))
    project = _project(competition)
    answers = Path(solution) if solution else project.competition.root / "solution.csv"
    answers = answers if solution or answers.is_file() else None
    _reach_ablation(project, competition, (*choice, not no_pretrained), answers)
    words = ["ablation", "--name", name, *_options(None, fold, "", no_pretrained)]
    words += [word for number in seed or () for word in ("--seed", number)]
    words += ["--full"] if full else []
    _step([*words, *(["--variant", variant] if variant else [])], competition)


@task(help=ENTRY, iterable=["recipe", "fold"])
def status(
    c, competition="", recipe=None, fold=None, pseudo="", no_pretrained=False, continue_from=""
):
    """Show each step of the submission: fresh, stale or missing, and why."""
    _demo_data(competition)
    _step(["status", *_options(recipe, fold, pseudo, no_pretrained, continue_from)], competition)


@task(help={"short": "a few people and epochs: shows that every step runs, not how well"})
def demo(c, short=False):
    """The main job on the demo competition: folds to leaderboard, in minutes on 2 cores."""
    name = "demo-short" if short else "demo"
    file = str(Path("runs") / name / "data" / "competition.toml")
    _step(["demo", *(["--short"] if short else [])])
    _step(["doctor"], file)
    _reach("submit", file, (None, None, "none", False, ""))
    recipes = [[name] for name in _project(file).competition.ensemble.recipes]
    for chosen in (None, *recipes):
        _reach("submit", file, (chosen, None, "none", False, ""), extra=["--plain"])
    _reach("submit", file, (recipes[0], None, "round1", False, ""), extra=["--plain"])
    solution = str(Path(file).with_name("solution.csv"))
    written = sorted(str(path) for path in (Path("submissions") / name).glob("*.csv"))
    _step(["score", *written, "--solution", solution], file)
    _step(["leaderboard"], file)
    print(f"look at {Path('submissions') / name / 'main.png'}")


@task(help={"long": "also the slow tests: fuzzing, kill loops, properties"})
def test(c, long=False):
    """Run the tests."""
    chosen = [] if long else ["-m", "not long"]
    processes = ["-n", str(min(4, os.cpu_count() or 1)), "--dist=loadfile"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes that each thread would wait in turn
    _run([sys.executable, "-m", "pytest", *processes, *chosen], folder=Path(__file__).parent)


@task(
    help={
        "preset": "hand-bone, salt or folders",
        "data": "folder of the download",
        "name": "name of the competition",
        "target": "file to write",
        "set": "a value that the preset has otherwise: metric.name=dice; may be repeated",
    },
    iterable=["set"],
)
def new(c, preset, data, name="", target="competition.toml", set=None):
    """Write a competition.toml for a download and prove that it reads the data."""
    words = ["new", "--preset", preset, "--data", data, "--target", target]
    words += ["--name", name] if name else []
    _step([*words, *(word for change in set or () for word in ("--set", change))])


def _reach(goal, competition, chosen, extra=()):
    """Run the stages up to `goal` that are not fresh; the last one takes the extra options."""
    from competition.entry import entry_of
    from competition.errors import PodiumError
    from competition.pipeline import Pipeline

    project = _project(competition)
    recipe, fold, pseudo, no_pretrained, continue_from = chosen
    try:
        entry = entry_of(
            project.competition,
            recipes=tuple(recipe or ()),
            folds=_numbers(fold),
            pseudo=pseudo or None,
            pretrained=not no_pretrained,
            continued=continue_from or None,
        )
        stages = Pipeline(project).stages(goal, entry, plain="--plain" in extra)
        for stage in stages:
            last = stage is stages[-1]
            if last or not stage.is_fresh():
                words = [word for word in extra if word not in stage.command] if last else []
                _step([*stage.command, *words], competition)
    except PodiumError as error:
        raise Exit(f"error: {error}", error.exit_code) from error


def _reach_ablation(project, competition, choice, solution):
    """Train, predict and, where there is a solution, submit and score the trials not done yet."""
    from competition.errors import PodiumError
    from competition.experiment import Choice, experiment_of
    from competition.pipeline import Pipeline

    pipeline = Pipeline(project)
    try:
        experiment = experiment_of(project.competition, Choice(*choice))
        for stage in pipeline.ablation_stages(experiment, submitted=solution is not None):
            if not stage.is_fresh():
                _step(list(stage.command), competition)
        unscored = pipeline.unscored(experiment) if solution else []
    except PodiumError as error:
        raise Exit(f"error: {error}", error.exit_code) from error
    if unscored:
        _step(["score", *map(str, unscored), "--solution", str(solution)], competition)


def _first_recipe(competition, recipe):
    """The recipes asked for, or the ensemble's first one."""
    return recipe or [_project(competition).competition.ensemble.recipes[0]]


def _project(competition):
    """The active competition, opened; the demo's data is written first where it is needed."""
    from competition.errors import PodiumError
    from competition.project import Project

    _demo_data(competition)
    try:
        return Project.open(Path(competition) if competition else None)
    except PodiumError as error:
        raise Exit(f"error: {error}", error.exit_code) from error


def _numbers(given, option="--fold"):
    """invoke hands over texts; a fold that stays a text would match no row."""
    try:
        return tuple(int(number) for number in given or ())
    except ValueError:
        raise Exit(f"error: {option} {given!r}: expected a number", 2) from None


def _options(recipe, fold, pseudo, no_pretrained, continue_from):
    words = [word for name in recipe or () for word in ("--recipe", name)]
    words += [word for number in fold or () for word in ("--fold", number)]
    words += ["--pseudo", pseudo] if pseudo else []
    words += ["--continue-from", continue_from] if continue_from else []
    return [*words, *(["--no-pretrained"] if no_pretrained else [])]


def _demo_data(competition):
    """Write the demo competition where it is the active one and is not there yet."""
    from competition.project import competition_file, demo_folder

    own = competition_file(Path(competition) if competition else None, Path.cwd())
    if own.parent == demo_folder(Path.cwd()) and not own.exists():
        _step(["demo"])


def _step(words, competition=""):
    """Echo and run one command of the package."""
    chosen = ["--competition", competition] if competition else []
    print(f"$ python -m competition {shlex.join([*words, *chosen])}", flush=True)
    _run([sys.executable, "-m", "competition", *words, *chosen])


def _run(command, folder=None):
    done = subprocess.run(command, env=MEMORY_KEPT | os.environ, cwd=folder, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
