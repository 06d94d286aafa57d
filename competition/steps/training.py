"""Folds, training and prediction. torch is imported inside: the other steps do not need it."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from competition import pseudo
from competition.data.folds import describe_folds, make_folds, write_folds
from competition.data.holdout import make_holdout, share_of_groups, write_holdout
from competition.data.placement import PlacedImages, placed_images
from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.freshness import hash_of
from competition.inference.joined import combine_folds
from competition.inference.store import Part, Provenance
from competition.machine import machine_of
from competition.masks import Runs
from competition.progress_bar import duration
from competition.recipes import Recipe
from competition.steps.bench import Bench
from competition.steps.stores import stores
from competition.workspace import read_json


def split(bench: Bench) -> str:
    """Make the folds file where there is none; returns a table that describes the split."""
    project = bench.project
    path = project.workspace.folds
    share = project.competition.split.holdout
    if share is not None and not path.exists() and not project.workspace.holdout.exists():
        rows = make_holdout(project.everything, project.labels, project.competition.split, share)
        write_holdout(rows, project.workspace.holdout)
        vars(project).pop("catalog", None)  # read before: it did not know the holdout
        bench.say(
            f"wrote {project.workspace.holdout}: {len(rows)} images of {rows['group'].nunique()} "
            "groups, kept from every decision; commit it"
        )
    if not path.exists():
        write_folds(make_folds(project.catalog, project.labels, project.competition.split), path)
        bench.say(f"wrote {path}; commit it: a split is part of the result")
    return describe_folds(project.folds, project.labels, classes=project.competition.classes)


def train(bench: Bench, member: Member, fold: int, *, again: bool = False) -> Path:
    """One network on one fold; returns its checkpoint."""
    folder = bench.project.workspace.run(str(member), fold)

    def run() -> dict[str, Any]:
        from competition.training.fit import fit

        recipe = member.adapted(bench.project.recipe(member.recipe))
        task = training_task(bench, member, fold, recipe)
        machine = machine_of().for_precision(recipe.precision)
        bench.say(
            f"{recipe.name}: {len(task.train)} images to train on, {len(task.validation)} held out; "
            f"{machine.line()}"
        )
        fitted = fit(task, folder, machine=machine, say=bench.say, watch=bench.watch)
        return {
            "images": len(task.train),
            "held out": len(task.validation),
            "iterations": task.training.iterations_in_all,
            "ancestors": [one.model_dump() for one in task.training.ancestors],
            "dead classes": list(fitted.dead),
            "machine": machine.recorded(),
        }

    if bench.perform(bench.pipeline.train(member, fold), run, again=again):
        bench.say(_ended(folder))
    return folder / "checkpoint.pt"


def _ended(folder: Path) -> str:
    """What a training that has just ended came to: its time, its last score, its checkpoint."""
    receipt = read_json(folder / "train.json")
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        scores = [row["score"] for row in csv.DictReader(file) if row.get("score")]
    scored = f", score {float(scores[-1]):.4f} on {receipt['held out']} held out" if scores else ""
    seconds = receipt["recorded"]["seconds"]
    return f"trained in {duration(seconds)}{scored}: {folder / 'checkpoint.pt'}"


def train_all(bench: Bench, entry: Entry, *, again: bool = False) -> None:
    """Train every network of the entry, one after another."""
    for member in entry.members:
        for fold in entry.folds:
            train(bench, member, fold, again=again)
    bench.say("next: `podium predict`; `podium run submit` does all that is missing before a csv")


def predict_all(bench: Bench, entry: Entry, *, again: bool = False) -> None:
    """Predict with every network of the entry; each member's test predictions are averaged."""
    for member in entry.members:
        for fold in entry.folds:
            predict(bench, member, fold, again=again)
        average_folds(bench, member, entry.folds)


def training_task(bench: Bench, member: Member, fold: int, recipe: Recipe) -> Any:
    """Everything that `training.fit.fit` needs for one member and fold."""
    from competition.data.loader import Labelled
    from competition.training.checkpoint import Training as Origin
    from competition.training.fit import Task
    from competition.training.plan import plan_of

    project = bench.project
    ancestors, start = _ancestry(bench, member, fold)
    held = project.validation_images(fold)
    held_set = set(held)
    own = tuple(image for image in project.folds["image"] if image not in held_set)
    extra = pseudo_labels(bench, member, fold)
    placed = placed_by_image(bench, recipe, "train")
    if extra:
        placed |= placed_by_image(bench, recipe, "test")
    labels = _Either(project.labels, extra)
    added = further_images(bench, fold)
    if added:
        placed |= placed_by_image(bench, recipe, "extra")
    images, aside = (*own, *added, *extra), ()
    if recipe.best is not None:
        images, aside = set_aside(bench, own, images, recipe, seed=member.seed)
    origin = Origin(
        competition=project.competition.name,
        recipe=recipe,
        classes=project.competition.classes,
        fold=fold,
        seed=member.seed,
        pseudo=member.pseudo,
        images=len(images),
        iterations=plan_of(recipe, len(images)).iterations,
        ancestors=ancestors,
    )
    return Task(
        training=origin,
        train=Labelled(images, placed, labels),
        validation=Labelled(held, placed, project.labels),
        metric=project.competition.metric,
        exclusive=project.competition.exclusive,
        permutation=project.permutation,
        start=start,
        aside=Labelled(aside, placed, project.labels) if aside else None,
    )


def set_aside(
    bench: Bench, own: tuple[str, ...], images: tuple[str, ...], recipe: Recipe, *, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The images to train on, and those of the people by whom the best rounds are chosen.

    own: the training images of the other folds, from which those people are drawn; images: these and
    all others that the network may see.
    """
    assert recipe.best is not None
    project, share = bench.project, recipe.best.aside
    rows = project.part("train")
    rows = rows[rows["image"].isin(own)].sort_values("image", ignore_index=True)
    chosen = share_of_groups(rows, project.labels, share, seed=seed)
    if chosen.all() or not chosen.any():
        raise InputFault(
            f"best.aside = {share} of recipe {recipe.name!r} sets {int(chosen.sum())} of {len(rows)} "
            "training images aside; some must be set aside and some left to train on"
        )
    people = set(rows["group"][chosen])
    left = tuple(image for image in images if project.groups[image] not in people)
    bench.say(f"{int(chosen.sum())} training images set aside, to choose the best rounds by")
    return left, tuple(rows["image"][chosen])


def _ancestry(bench: Bench, member: Member, fold: int) -> tuple[tuple[Any, ...], Any]:
    """The members that this one goes on from, first one first, and the weights of the last.

    InputFault where that one was trained on another fold or split, or with another seed: its
    networks would have seen what this one is validated on, or the fold's score be of a mixture.
    """
    from competition.training.checkpoint import Ancestor, load

    if member.continued is None:
        return (), None
    project, folder = bench.project, bench.project.workspace.run(member.continued, fold)
    network, training = load(folder / "checkpoint.pt", classes=project.competition.classes)
    split = read_json(folder / "train.json")["inputs"]["fold"]
    if training.fold != fold or split != bench.pipeline.split(fold):
        raise InputFault(
            f"{member.continued!r} was trained on another split than fold {fold} is now, and may "
            f"have seen its held-out images; train it again before going on from it"
        )
    if training.seed != member.seed:
        raise InputFault(
            f"{member.continued!r} has seed {training.seed} and {member} has {member.seed}; "
            "go on from the member with the same seed"
        )
    digest = (folder / "checkpoint.pt.sha256").read_text().strip()
    parent = Ancestor(member=member.continued, sha256=digest, iterations=training.iterations_in_all)
    return (*training.ancestors, parent), network.state_dict()


def predict(bench: Bench, member: Member, fold: int, *, again: bool = False) -> None:
    """Out-of-fold and test predictions of one network, as stores beside its checkpoint."""
    project = bench.project
    folder = project.workspace.run(str(member), fold)

    def run() -> dict[str, Any]:
        from competition.training.checkpoint import load

        checkpoint = folder / "checkpoint.pt"
        network, training = load(checkpoint, classes=project.competition.classes)
        settings = prediction_settings(bench, training.recipe)
        settings.machine.apply()
        digest = (folder / "checkpoint.pt.sha256").read_text().strip()
        parts: dict[Part, tuple[str, tuple[str, ...]]] = {
            "oof": ("train", project.validation_images(fold))
        }
        for part in bench.pipeline.averaged():
            parts[part] = part, tuple(project.part(part)["image"])
        for part, (part_of_catalog, images) in parts.items():
            provenance = Provenance(
                member=str(member),
                recipe=training.recipe.name,
                recipe_sha256=hash_of(training.recipe.model_dump(mode="json")),
                folds=(fold,),
                part=part,
                classes=training.classes,
                checkpoints=(digest,),
            )
            placed = _placed(bench, training.recipe, part_of_catalog)
            _write_store(bench, network, placed, folder / part, images, provenance, settings)
        return {"machine": settings.machine.recorded()}

    bench.perform(bench.pipeline.predict(member, fold), run, again=again)


def average_folds(bench: Bench, member: Member, folds: tuple[int, ...]) -> None:
    """The mean over folds of one member's predictions of test images and of the holdout."""
    for part in bench.pipeline.averaged():

        def run(part: str = part) -> None:
            target = bench.pipeline.mean_folder(member, folds, part)
            combine_folds(stores(bench, member, folds, part), target)

        bench.perform(bench.pipeline.mean(member, folds, part), run, again=False)


def pseudo_labels(bench: Bench, member: Member, fold: int) -> Mapping[str, Runs]:
    """Labels of the member's pseudo round that this fold's network may see; empty without one."""
    if member.pseudo is None:
        return {}
    project = bench.project
    labels, receipt = pseudo.load_round(
        project.workspace.pseudo(member.pseudo), project.competition, project.sizes
    )
    pseudo.refuse_leak(labels, project.validation_images(fold), groups=project.groups)
    held_out = set(project.part("holdout")["image"])
    pseudo.refuse_leak(labels, held_out, groups=project.groups, where="the holdout")
    leak = pseudo.indirect_leak(receipt.origin, fold)
    if leak:
        bench.say(f"note: {leak}; the out-of-fold score may be flattered")
    return labels


def further_images(bench: Bench, fold: int) -> tuple[str, ...]:
    """The extra images that this fold's network is trained on; says how many it may not see."""
    project = bench.project
    if project.competition.data.extra_images is None:
        return ()
    allowed, every = project.extra_images(fold), len(project.part("extra"))
    left_out = every - len(allowed)
    why = f"; {left_out} left out, of the groups that fold {fold} holds out" if left_out else ""
    bench.say(f"{len(allowed)} extra images{why}")
    return allowed


def placed_by_image(bench: Bench, recipe: Recipe, split: str) -> dict[str, PlacedImages]:
    placed = _placed(bench, recipe, split)
    return dict.fromkeys(placed.rows, placed)


def prediction_settings(bench: Bench, recipe: Recipe) -> Any:
    """`inference.predict.Settings` of a recipe: its batch and numbers, and the mirrors allowed."""
    from competition.inference.predict import Settings

    flips = bench.pipeline.flips()
    return Settings(
        batch=recipe.batch,
        machine=machine_of().for_precision(recipe.precision),
        permutation=None if flips is None else tuple(flips),
    )


class _Either(Mapping[str, Runs]):
    """Two sets of labels as one; reads each where it lies."""

    def __init__(self, first: Mapping[str, Runs], second: Mapping[str, Runs]) -> None:
        self.first, self.second = first, second

    def __getitem__(self, image: str) -> Runs:
        return self.first[image] if image in self.first else self.second[image]

    def __iter__(self) -> Iterator[str]:
        yield from (*self.first, *self.second)

    def __len__(self) -> int:
        return len(self.first) + len(self.second)


def _placed(bench: Bench, recipe: Recipe, part: str) -> PlacedImages:
    rows = bench.project.part(part)
    data = bench.project.competition
    with bench.watch(f"laying out {part} images", len(rows)) as advance:
        return placed_images(
            rows,
            data.root,
            bench.project.workspace.cache,
            form=(recipe.size, recipe.fit),
            depth=data.data.depth,
            advance=advance,
        )


def _write_store(
    bench: Bench,
    network: Any,
    placed: PlacedImages,
    folder: Path,
    images: tuple[str, ...],
    provenance: Provenance,
    settings: Any,
) -> None:
    from competition.inference.predict import predict_store

    title = f"predicting {provenance.member} {provenance.part}"
    with bench.watch(title, len(images)) as advance:
        predict_store(
            [network],
            placed,
            folder,
            images=images,
            provenance=provenance,
            settings=settings,
            advance=advance,
        )
