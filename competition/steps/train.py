"""Training networks. torch is imported where it is needed: other steps can do without it."""

import csv
import time
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from competition.data.holdout import share_of_groups
from competition.data.leaks import refuse_leak
from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.machine import machine_of
from competition.masks import Runs
from competition.pictures import history_curves
from competition.progress_bar import duration
from competition.project import Project
from competition.pseudo.rounds import RoundLabels, read_round
from competition.recipes import Recipe
from competition.recipes.planned import AUTO, PlanFile, read_plan
from competition.steps.data_sheets import draw_examples
from competition.steps.folds import refuse_faulty_data
from competition.steps.predict import letterboxed
from competition.steps.pseudo import round_labels
from competition.training.logs import LoggedRun, asked_logs, logging_of
from competition.workspace import file_sha256, read_json

if TYPE_CHECKING:  # it imports torch
    from competition.training.progress import HistoryRow

SHARE_FOR_CURVES = 0.01
"""Of a training's time, for drawing its curves on the way."""


def train_network(project: Project, member: Member, fold: int, *, force: bool = False) -> Path:
    """One network on one fold; returns its checkpoint."""
    folder = project.workspace.run(str(member), fold)
    logs = asked_logs()

    def run() -> dict[str, Any]:
        from competition.models.dry_run import dry_run
        from competition.training.fit import empty_score, fit

        recipe = member.adapted(project.recipe(member.recipe))
        dry_run(recipe, len(project.classes))  # before anything is drawn or written
        task = training_task(project, member, fold, recipe)
        machine = machine_of().for_precision(recipe.precision)
        project.say(
            f"{recipe.name}: {len(task.train)} images to train on, {len(task.validation)} held out; "
            f"{machine.line()}"
        )
        marked = project.competition.marked
        if marked:
            project.say(f"{len(marked)} images are left out, as their labels are marked wrong")
        leak = None
        if member.pseudo is not None:
            folder_of = project.workspace.pseudo(member.pseudo)
            leak = read_round(folder_of, project.competition).indirect_leak(fold)
        if member.recipe == AUTO and project.plans:
            plan, seeds = read_plan(project.workspace.plan), project.competition.ensemble.seeds
            networks = len(plan.folds) * len(seeds)
            project.say(_planned(plan, networks, task.training.iterations))
        # The state of a run holds the recipe itself, and is compared with it key by key.
        read = project.pipeline.train(member, fold).inputs()
        inputs = {name: digest for name, digest in read.items() if name != "recipe"}
        settings = {
            **recipe.model_dump(mode="json"),
            "seed": member.seed,
            "images": len(task.train),
        }
        runs, name = project.workspace.runs, project.competition.name
        curves = _Curves(folder / "curves.png", f"{name}: {member} fold {fold}")
        examples = f"{name}: the first examples of {member} fold {fold}"
        draw_examples(task, folder / "examples.png", title=examples)
        with logging_of(logs, LoggedRun(name, str(member), fold, runs, folder, settings)) as told:

            def each_round(rows: "Sequence[HistoryRow]") -> None:
                curves.grow(rows)
                told(rows)

            fitted = fit(
                task,
                folder,
                machine=machine,
                say=project.say,
                watch=project.watch,
                each_round=each_round,
                inputs=inputs,
            )
        curves.draw()
        return {
            "images": len(task.train),
            "held out": len(task.validation),
            "iterations": task.training.iterations_in_all,
            "ancestors": [one.model_dump() for one in task.training.ancestors],
            "dead classes": list(fitted.dead),
            "indirect leak": leak,
            "empty submission": empty_score(task),
            "machine": machine.recorded(),
        }

    if project.perform(project.pipeline.train(member, fold), run, force=force):
        project.say(_ended(folder))
    return folder / "checkpoint.pt"


class _Curves:
    """A training's curves.png, drawn anew after a validation unless that would cost too much."""

    def __init__(self, path: Path, title: str) -> None:
        self.path, self.title = path, title
        # Half a second is what a drawing takes about; from the first one on it is known.
        self.begun, self.spent, self.last = time.monotonic(), 0.0, 0.5
        self.rows: Sequence[HistoryRow] = ()
        self.drawn = 0

    def grow(self, rows: "Sequence[HistoryRow]") -> None:
        """All rows so far; drawn where a validation was the last that happened."""
        self.rows = rows
        if not rows:
            return
        allowed = SHARE_FOR_CURVES * (time.monotonic() - self.begun)
        if "score" in rows[-1] and self.spent + self.last <= allowed:
            self.draw()

    def draw(self) -> None:
        """Of the rows so far, unless they are drawn."""
        if self.drawn == len(self.rows):
            return
        begun = time.monotonic()
        history_curves(self.path, self.rows, title=self.title)
        self.last = time.monotonic() - begun
        self.spent, self.drawn = self.spent + self.last, len(self.rows)


def _planned(plan: PlanFile, networks: int, steps: int) -> str:
    """How long one of so many networks is planned to take, and when it ends then."""
    parts = (plan.seconds.get(part, 0.0) for part in ("training", "validation"))
    seconds = sum(parts) / networks
    ends = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    return f"planned: {steps} steps in {duration(seconds)}, until {ends}"


def _ended(folder: Path) -> str:
    """What a training that has just ended came to: its time, its last score and that of empty masks,
    its checkpoint.
    """
    receipt = read_json(folder / "train.json")
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        scores = [row["score"] for row in csv.DictReader(file) if row.get("score")]
    empty = receipt["empty submission"]
    nothing = "" if empty is None else f" (an empty submission {empty:.4f})"
    on_what = f" on {receipt['held out']} held out{nothing}"
    scored = f", score {float(scores[-1]):.4f}{on_what}" if scores else ""
    seconds = receipt["recorded"]["seconds"]
    return f"trained in {duration(seconds)}{scored}: {folder / 'checkpoint.pt'}"


def train_entry(project: Project, entry: Entry, *, force: bool = False) -> None:
    """Train every network of the entry, one after another; not on data that the doctor calls wrong."""
    for member in entry.trained:
        project.recipe(member.recipe)  # what is wrong with it is told before the data are looked at
    refuse_faulty_data(project, otherwise="nothing was trained")
    for member in entry.trained:
        for fold in entry.folds:
            train_network(project, member, fold, force=force)
    project.say("next: `podium predict`; `podium run submit` does all that is missing before a csv")


def training_task(project: Project, member: Member, fold: int, recipe: Recipe) -> Any:
    """Everything that `training.fit.fit` needs for one member and fold."""
    from competition.data.loader import Labelled
    from competition.training.checkpoint import Training, pixels_noted
    from competition.training.fit import Task
    from competition.training.plan import plan_of
    from competition.training.sampler import BatchShare

    ancestors, start = _ancestry(project, member, fold)
    held = project.validation_images(fold)
    held_set = set(held)
    own = tuple(image for image in project.folds["image"] if image not in held_set)
    (extra, unsure, soft), share = pseudo_labels(project, member, fold)
    added = further_images(project, fold)
    labels = ChainMap(extra, cast("MutableMapping[str, Runs]", project.labels))
    ignored = project.ignored
    if unsure:
        ignored = ChainMap(unsure, cast("MutableMapping[str, Runs]", ignored))
    drawn = project.labels.annotators
    if soft:
        drawn = ChainMap(soft, cast("MutableMapping[str, Runs]", drawn))
    pixels = {}
    for split in (
        "train",
        *(project.pipeline.unlabelled() if extra else ()),
        *(["extra"] if added else []),
    ):
        images_of = letterboxed(project, recipe, split)
        pixels |= dict.fromkeys(images_of.rows, images_of)
    images, aside = (*own, *added, *extra), ()
    if recipe.best is not None:
        images, aside = set_aside(project, own, images, recipe, seed=member.seed)
    training = Training(
        competition=project.competition.name,
        recipe=recipe,
        classes=project.classes,
        fold=fold,
        seed=member.seed,
        pseudo=member.pseudo,
        images=len(images),
        iterations=plan_of(recipe, len(images)).iterations,
        ancestors=ancestors,
        pixels=pixels_noted(project.competition.data),
    )
    return Task(
        training=training,
        train=Labelled(images, pixels, labels, ignored, drawn),
        validation=Labelled(held, pixels, project.labels, project.ignored),
        metric=project.competition.metric,
        exclusive=project.exclusive,
        permutation=project.permutation,
        turns=project.competition.turns,
        start=start,
        aside=Labelled(aside, pixels, project.labels, project.ignored) if aside else None,
        pseudo=BatchShare(frozenset(extra), share) if share else None,
    )


def set_aside(
    project: Project, own: tuple[str, ...], images: tuple[str, ...], recipe: Recipe, *, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The images to train on, and those of the groups by which the best rounds are chosen.

    own: the training images of the other folds, from which those groups are drawn; images: these and
    all others that the network may see.
    """
    assert recipe.best is not None
    share = recipe.best.aside
    rows = project.rows("train")
    rows = rows[rows["image"].isin(own)].sort_values("image", ignore_index=True)
    chosen = share_of_groups(rows, project.labels, share, seed=seed)
    if chosen.all() or not chosen.any():
        raise InputFault(
            f"best.aside = {share} of recipe {recipe.name!r} sets {int(chosen.sum())} of {len(rows)} "
            "training images aside; some must be set aside and some left to train on"
        )
    groups = set(rows["group"][chosen])
    left = tuple(image for image in images if project.groups[image] not in groups)
    project.say(f"{int(chosen.sum())} training images set aside, to choose the best rounds by")
    return left, tuple(rows["image"][chosen])


def _ancestry(project: Project, member: Member, fold: int) -> tuple[tuple[Any, ...], Any]:
    """The members that this one goes on from, first one first, and the weights of the last.

    InputFault where that one was trained on another fold or split, or with another seed: its
    networks would have seen what this one is validated on, or the fold's score be of a mixture.
    """
    from competition.training.checkpoint import Ancestor, load_checkpoint

    if member.continued is None:
        return (), None
    folder = project.workspace.run(member.continued, fold)
    network, training = load_checkpoint(
        folder / "checkpoint.pt", classes=project.classes, pixels=project.competition.data
    )
    split = read_json(folder / "train.json")["inputs"]["fold"]
    if training.fold != fold or split != project.pipeline.split(fold):
        raise InputFault(
            f"{member.continued!r} was trained on another split than fold {fold} is now, and may "
            f"have seen its held-out images; train it again before going on from it"
        )
    if training.seed != member.seed:
        raise InputFault(
            f"{member.continued!r} has seed {training.seed} and {member} has {member.seed}; "
            "go on from the member with the same seed"
        )
    digest = file_sha256(folder / "checkpoint.pt")
    parent = Ancestor(member=member.continued, sha256=digest, iterations=training.iterations_in_all)
    return (*training.ancestors, parent), network.state_dict()


def pseudo_labels(project: Project, member: Member, fold: int) -> tuple[RoundLabels, float]:
    """What this fold's network learns from the member's pseudo round, and its share of a batch (0:
    as the images come); nothing without one.
    """
    if member.pseudo is None:
        return RoundLabels({}, {}, {}), 0.0
    labels, receipt = round_labels(project, member.pseudo, fold)
    refuse_leak(labels.masks, project.validation_images(fold), groups=project.groups)
    held_out = set(project.rows("holdout")["image"])
    refuse_leak(labels.masks, held_out, groups=project.groups, where="the holdout")
    project.say(
        f"{len(labels.masks)} images of {member.pseudo}, teacher {receipt.teacher_of(fold)}"
    )
    leak = receipt.indirect_leak(fold)
    if leak:
        project.say(f"note: {leak}; the out-of-fold score may be flattered")
    return labels, receipt.settings.batch_share


def further_images(project: Project, fold: int) -> tuple[str, ...]:
    """The extra images that this fold's network is trained on; says how many it may not see."""
    if project.competition.data.extra_images is None:
        return ()
    allowed, every = project.extra_images(fold), len(project.rows("extra"))
    left_out = every - len(allowed)
    why = f"; {left_out} left out, of the groups that fold {fold} holds out" if left_out else ""
    project.say(f"{len(allowed)} extra images{why}")
    return allowed
