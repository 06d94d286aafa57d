"""Predictions of a network, as stores beside its checkpoint. torch is imported where it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from competition.data.letterbox import letterboxed_images
from competition.data.scaled import LaidOutImages, scaled_images
from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.freshness import hash_of
from competition.inference.guided_filter import refine_store
from competition.inference.joined_stores import combine_folds
from competition.inference.store import PredictedSplit, Provenance, Store
from competition.inference.views import refuse_unsquare
from competition.machine import machine_of
from competition.project import Project
from competition.recipes import Recipe
from competition.steps.prediction_stores import stores
from competition.workspace import file_sha256

if TYPE_CHECKING:
    from competition.training.checkpoint import Training


def predict_entry(project: Project, entry: Entry, *, force: bool = False) -> None:
    """Predict with every network of the entry, and refine what is asked for; each member's test
    predictions are averaged. First their views are chosen, where that is asked for.
    """
    if project.pipeline.chooses_views:
        from competition.steps.chosen_views import choose_views

        choose_views(project, entry)
    for member in dict.fromkeys([*entry.networks, *entry.members]):
        one = refine_predictions if member.refined else predict_network
        for fold in entry.folds:
            one(project, member, fold, force=force)
        if member in entry.members:
            average_folds(project, member, entry.folds)


def _refuse_anothers(checkpoint: Path, training: "Training", member: Member, fold: int) -> None:
    """InputFault where a checkpoint lies in a folder that is not its own: of another fold, it would be
    scored on images that it was trained on.
    """
    own: dict[str, Any] = {
        "fold": training.fold,
        "pseudo round": training.pseudo,
        "seed": training.seed,
    }
    asked: dict[str, Any] = {"fold": fold, "pseudo round": member.pseudo, "seed": member.seed}
    if member.soup:
        own["seed"], asked["seed"] = training.soup, member.soup
    others = [f"{what} {own[what]}, not {asked[what]}" for what in own if own[what] != asked[what]]
    if others:
        raise InputFault(
            f"{checkpoint} was copied from elsewhere: it says that it is of {', '.join(others)}; "
            "`podium train --force` makes the one that belongs here"
        )


def predict_network(project: Project, member: Member, fold: int, *, force: bool = False) -> None:
    """Out-of-fold and test predictions of one network, as stores beside its checkpoint."""
    folder = project.workspace.run(str(member), fold)

    def run() -> dict[str, Any]:
        from competition.inference.predict import predict_store
        from competition.training.checkpoint import load_checkpoint

        checkpoint = folder / "checkpoint.pt"
        network, training = load_checkpoint(
            checkpoint, classes=project.classes, pixels=project.competition.data
        )
        _refuse_anothers(checkpoint, training, member, fold)
        views = project.views_of(member, fold)
        settings = prediction_settings(project, training.recipe, views)
        settings.machine.apply()
        digest = file_sha256(checkpoint)
        wanted: dict[PredictedSplit, tuple[str, tuple[str, ...]]] = {
            "oof": ("train", project.validation_images(fold))
        }
        for split in project.pipeline.predicted():
            wanted[split] = split, tuple(project.rows(split)["image"])
        for split, (rows_of, images) in wanted.items():
            provenance = provenance_of(member, training, split, (digest,))
            images_of = letterboxed(project, training.recipe, rows_of)
            title = f"predicting {provenance.member} {split}"
            with project.watch(title, len(images)) as advance:
                predict_store(
                    [network],
                    images_of,
                    folder / split,
                    images=images,
                    provenance=provenance,
                    settings=settings,
                    advance=advance,
                )
        return {"machine": settings.machine.recorded()}

    project.perform(project.pipeline.predict(member, fold), run, force=force)


def provenance_of(
    member: Member, training: Any, split: PredictedSplit, checkpoints: tuple[str, ...]
) -> Provenance:
    """What a store of one network notes. training: its `checkpoint.Training`; checkpoints: the sha256
    of its file.
    """
    return Provenance(
        member=str(member),
        recipe=training.recipe.name,
        recipe_sha256=hash_of(training.recipe.model_dump(mode="json")),
        folds=(training.fold,),
        part=split,
        classes=training.classes,
        checkpoints=checkpoints,
    )


def refine_predictions(project: Project, member: Member, fold: int, *, force: bool = False) -> None:
    """The predictions of a refined member: those of its network, which must be there, by the images."""
    folder, source = (project.workspace.run(str(m), fold) for m in (member, member.network))

    def run() -> None:
        from competition.training.checkpoint import load_checkpoint

        refinement = project.competition.ensemble.refine
        assert refinement is not None  # else no member of an entry is refined
        checkpoint = source / "checkpoint.pt"
        _, training = load_checkpoint(
            checkpoint, classes=project.classes, pixels=project.competition.data
        )
        for split in ("oof", *project.pipeline.predicted()):
            store = Store.open(source / split, classes=project.classes)
            images_of = letterboxed(project, training.recipe, "train" if split == "oof" else split)
            with project.watch(f"refining {member} {split}", len(store)) as advance:
                refine_store(
                    store,
                    images_of,
                    folder / split,
                    member=str(member),
                    refinement=refinement,
                    advance=advance,
                )

    project.perform(project.pipeline.predict(member, fold), run, force=force)


def average_folds(project: Project, member: Member, folds: tuple[int, ...]) -> None:
    """The mean over folds of one member's predictions of test images and of the holdout."""
    for split in project.pipeline.averaged():

        def run(split: str = split) -> None:
            target = project.pipeline.mean_folder(member, folds, split)
            combine_folds(stores(project, member, folds, split), target)

        project.perform(project.pipeline.mean(member, folds, split), run, force=False)


def prediction_settings(
    project: Project,
    recipe: Recipe,
    views: tuple[str, ...] | None = None,
    *,
    alone: bool = False,
) -> Any:
    """`inference.predict.PredictionSettings` of a recipe: its batch and dtype, and the views.

    views: all that the competition allows unless given; alone: without the image as it is.
    """
    from competition.inference.predict import PredictionSettings

    views = project.views if views is None else views
    refuse_unsquare(views, recipe.size)
    return PredictionSettings(
        batch=recipe.batch,
        machine=machine_of().for_precision(recipe.precision),
        views=views,
        permutation=project.permutation,
        alone=alone,
        tile=recipe.size,
        overlap=0.0 if recipe.tiles is None else recipe.tiles.overlap,
    )


def letterboxed(project: Project, recipe: Recipe, split: str) -> LaidOutImages:
    """The images of a split of the catalog at the size that the recipe's network sees, or at the scale
    of its tiles.
    """
    rows = project.rows(split)
    competition = project.competition
    with project.watch(f"letterboxing {split} images", len(rows)) as advance:
        if recipe.tiles is not None:
            return scaled_images(
                rows,
                competition.root,
                project.workspace.cache,
                scale=recipe.tiles.scale,
                pixels=competition.data,
                advance=advance,
            )
        return letterboxed_images(
            rows,
            competition.root,
            project.workspace.cache,
            form=(recipe.size, recipe.fit),
            pixels=competition.data,
            advance=advance,
        )
