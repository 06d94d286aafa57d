"""Training one network on one fold: `fit` → checkpoint.pt, history.csv; resumes where it was killed.

The checkpoint is the moving average of the weights at the last step, or the mean of the last rounds, or
of those that score best on groups set aside. It is never chosen by its validation score, which would be
optimistic by the choice.
"""

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from competition.data.loader import Labelled, PlainSet, TrainingSet, plain_loader, training_loader
from competition.data.scaled import ScaledImages
from competition.errors import InputFault
from competition.inference.store import Geometry
from competition.inference.tiles import Blending, StripMasks, TileSet, Tiling
from competition.machine import Machine, machine_of
from competition.masks import Runs
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.from_logits import runs_from_logits
from competition.masks.from_logits_torch import label_runs_from_tensor, runs_from_tensor
from competition.models import SegmentationNetwork, build
from competition.models.dry_run import dry_run
from competition.progress_bar import Watch, unwatched
from competition.recipes import Recipe
from competition.scoring.metrics import Metric, score_image
from competition.scoring.overlap import dice_statistics
from competition.training.checkpoint import Training, save_checkpoint
from competition.training.losses import LossContext, needs_distances
from competition.training.plan import plan_of
from competition.training.progress import EachRound, Progress, metric_over, unseen
from competition.training.sampler import (
    BatchShare,
    RunSampler,
    run_sampler,
    share_without_mask,
    without_mask_note,
)
from competition.training.step import ImageScorer, ImageScores, TrainingStep
from competition.training.trainer import Loaders, run_training
from competition.training.weight_averaging import BestRounds, measure_norms
from competition.workspace import remove_orphans


@dataclass(frozen=True)
class Task:
    """All that one training needs: the images of both sides, and what the organisers fixed."""

    training: Training
    train: Labelled
    validation: Labelled
    metric: Metric
    exclusive: bool
    permutation: tuple[int, ...] | None
    """Of the classes under mirroring; None where mirroring is forbidden."""
    turns: tuple[str, ...] = ()
    """Which of `vertical_flip` and `quarter_turns` are allowed."""
    start: Mapping[str, Tensor] | None = None
    """Weights to go on from; None: published or random ones."""
    aside: Labelled | None = None
    """What the best rounds are chosen by, where the recipe asks for them."""
    pseudo: BatchShare | None = None
    """Which images are pseudo-labelled, where their share of a batch is given."""


class Trained(NamedTuple):
    """What a run made. dead: classes that its last validations did not find at all."""

    checkpoint: Path
    dead: tuple[str, ...]


def fit(
    task: Task,
    folder: Path,
    *,
    machine: Machine | None = None,
    say: Callable[[str], None] = print,
    watch: Watch = unwatched,
    each_round: EachRound = unseen,
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> Trained:
    """Train `task` and write checkpoint.pt and history.csv into `folder`.

    machine: what computes, and in which dtype; None: as it is found. A run that was killed goes on
    from the last whole round, and ends with the weights that the straight run would have had (same
    machine, versions and thread count); another dtype than it began with is refused. each_round: is
    told the history as it grows; inputs: hashes of what the task was made from, by name: a run that
    was killed goes on with the same ones only.
    """
    _refuse_empty_sides(task)
    remove_orphans(folder)
    machine = (machine or machine_of()).for_precision(task.training.recipe.precision)
    machine.apply()
    try:
        metric = task.metric.of_slices
        plan = plan_of(task.training.recipe, len(task.train))
        progress = Progress(folder, task.training, plan, metric, machine, say, each_round, inputs)
        return _fitted(task, folder, progress, watch)
    finally:
        gc.collect()  # networks, optimizers and what they register hold each other


def _fitted(task: Task, folder: Path, progress: Progress, watch: Watch) -> Trained:
    recipe, plan, metric = task.training.recipe, progress.plan, progress.metric
    machine, say = progress.machine, progress.say
    resumed = progress.unfinished()
    step = TrainingStep(
        _network(task).to(memory_format=torch.channels_last),
        recipe,
        classes=len(task.training.classes),
        steps=plan.iterations,
        seed=task.training.seed,
        context=loss_context_of(task),
        fused=machine.dtype != "float16",
    )
    validated = [task.validation] if task.aside is None else [task.validation, task.aside]
    scorers = [scorer_at_native_size(side, metric, exclusive=task.exclusive) for side in validated]
    tiling = tiling_of(step.network, recipe)
    if tiling is not None:
        scorers = [
            tile_scorer(side, metric, tiling, exclusive=task.exclusive) for side in validated
        ]
    step.validate_with(*scorers)
    sampler = run_sampler(task.train, recipe, plan, seed=task.training.seed, pseudo=task.pseudo)
    if resumed is None:
        empty = share_without_mask(sampler, task.train, recipe.batch)
        if empty:
            say(without_mask_note(empty, recipe))
    best = None if recipe.best is None else BestRounds(recipe.best.rounds, metric)
    with watch(f"training {recipe.name} fold {task.training.fold}", plan.iterations) as bar:
        progress.advance = bar
        # Loader processes draw their first batches as soon as the loader is made.
        sampler.set_epoch(progress.rounds_done())
        loader = _training_loader(task, sampler, machine, say)
        shown = [plain_images(side, recipe.batch, tiling) for side in validated]
        loaders = Loaders(loader, shown)
        run_training(step, loaders, progress, best=best, resumed=resumed)
    if best is not None:
        step.network.load_state_dict(best.mean())
        say(best.said())
    if recipe.swa is not None or best is not None:
        with machine.autocast():
            measure_norms(step.network, plain_images(task.train, recipe.batch, tiling))
    checkpoint = folder / "checkpoint.pt"
    save_checkpoint(checkpoint, step.network, task.training)
    progress.clear()
    return Trained(checkpoint, progress.dead())


def _training_loader(
    task: Task, sampler: RunSampler, machine: Machine, say: Callable[[str], None]
) -> DataLoader:
    recipe, dataset = task.training.recipe, training_set_of(task)
    for why in dataset.left_out:
        say(f"left out of augmentation.preset = {recipe.augmentation.preset!r}: {why}")
    return training_loader(dataset, sampler, batch=recipe.batch, machine=machine)


def training_set_of(task: Task) -> TrainingSet:
    """The examples of a training, by their `Draw`."""
    recipe = task.training.recipe
    distances = len(task.training.classes) if needs_distances(recipe.loss) else 0
    return TrainingSet(
        task.train,
        recipe,
        permutation=task.permutation,
        seed=task.training.seed,
        distances=distances,
        turns=task.turns,
    )


def scorer_at_native_size(labelled: Labelled, metric: Metric, *, exclusive: bool) -> ImageScorer:
    """Scores logits as the leaderboard would: decided at p = .5, at the image's native size, without
    the pixels that do not count. exclusive: a pixel is of its most probable class or of none, as
    `Blend.runs_at` has it.
    """

    def score_image_of(image: str, logits: np.ndarray | Tensor) -> ImageScores:
        letterbox = labelled.letterboxed[image].letterboxes[image]
        grid = int(logits.shape[-2]), int(logits.shape[-1])
        geometry = Geometry(letterbox.native, letterbox.region(grid))
        predicted = _decided(logits, geometry, exclusive=exclusive)
        return _scored(labelled, image, predicted, metric)

    return score_image_of


def tile_scorer(
    labelled: Labelled, metric: Metric, tiling: Tiling, *, exclusive: bool
) -> ImageScorer:
    """Scores images of which the tiles come one by one, in the order of their cover: blended, and then
    as `scorer_at_native_size`.
    """
    open_: dict[str, tuple[Blending, StripMasks]] = {}

    def score_tile_of(image: str, logits: np.ndarray | Tensor) -> ImageScores | None:
        if image not in open_:
            open_.clear()  # of a validation that was broken off
            letterbox = labelled.letterboxed[image].letterboxes[image]
            cover = tiling.cover(letterbox.size)
            masks = StripMasks(
                cover.geometry(letterbox.native), cover.grid, partial(_decided, exclusive=exclusive)
            )
            open_[image] = Blending(cover), masks
        blending, masks = open_[image]
        strip = blending.add(logits.cpu().numpy() if isinstance(logits, Tensor) else logits)
        if strip is not None:
            masks.add(strip)
        if not blending.done:
            return None
        del open_[image]
        return _scored(labelled, image, masks.runs(), metric)

    return score_tile_of


def _decided(logits: np.ndarray | Tensor, place: Geometry, *, exclusive: bool) -> Runs:
    """Masks (K, H, W) at p = .5 of logits (K, h', w') in which an image, or some rows, lie so; those of
    a tensor are made where it lies, and the same.
    """
    if isinstance(logits, Tensor):
        predicted = runs_from_tensor(logits, place.size, 0.5, region=place.region)
        if exclusive:
            predicted &= label_runs_from_tensor(
                logits, place.size, background=False, region=place.region
            )
        return predicted
    predicted = runs_from_logits(logits, place.size, 0.5, region=place.region)
    if exclusive:
        predicted &= label_runs_from_logits(
            logits, place.size, background=False, region=place.region
        )
    return predicted


def _scored(labelled: Labelled, image: str, predicted: Runs, metric: Metric) -> ImageScores:
    ignored = labelled.ignored.get(image)
    if ignored is not None:
        predicted = predicted.without(ignored)
    return _scores_of(labelled.runs[image], predicted, metric)


def _scores_of(truth: Runs, predicted: Runs, metric: Metric) -> ImageScores:
    counts = np.stack(dice_statistics(truth, predicted), axis=1)
    scores = counts if metric.counts_pixels else score_image(truth, predicted, metric)
    return ImageScores(scores, labelled=counts[:, 1] > 0, hit=counts[:, 0] > 0)


def empty_score(task: Task) -> float | None:
    """What masks that are all empty score on the held-out images, as validation scores them; None
    where nothing is counted.
    """
    metric, labels = task.metric.of_slices, task.validation.runs
    truths = (labels[image] for image in task.validation.images)
    empties = [_scores_of(truth, Runs.empty(truth.shape), metric) for truth in truths]
    found = metric_over(empties, metric)
    return None if math.isnan(found) else found


def _network(task: Task) -> SegmentationNetwork:
    """As the recipe builds it, or with the weights of the member that is continued."""
    recipe, start = task.training.recipe, task.start
    _refuse_random_encoder(recipe, known=recipe.pretrained or start is not None)
    dry_run(recipe, len(task.training.classes))
    torch.manual_seed(task.training.seed)
    pretrained = recipe.pretrained and start is None
    network = build(
        recipe.network, len(task.training.classes), pretrained=pretrained, weights=recipe.weights
    )
    if start is not None:
        try:
            network.load_state_dict(start, strict=True)
        except RuntimeError as error:
            parent = task.training.ancestors[-1].member
            raise InputFault(
                f"recipe {recipe.name!r} cannot go on from {parent!r}, whose network is another: "
                f"{str(error).splitlines()[1].strip()}; give both recipes the same network"
            ) from error
    return network


def _refuse_random_encoder(recipe: Recipe, *, known: bool) -> None:
    """known: whether the encoder begins with weights that are worth keeping."""
    kept = {"network.lora": recipe.network.lora, "schedule.frozen": recipe.schedule.frozen}
    asked = " and ".join(key for key, value in kept.items() if value)
    if asked and not known:
        raise InputFault(
            f"recipe {recipe.name!r}: {asked} would keep the encoder as it begins, and from scratch it "
            "begins with random weights: set it to 0, or train with published ones"
        )


def loss_context_of(task: Task) -> LossContext:
    """What the loss may need: the metric, whether classes exclude each other, their frequencies
    among the pixels that count.
    """
    runs = [task.train.runs[image] for image in task.train.images]
    pixels = np.full(runs[0].classes, sum(one.height * one.width for one in runs), float)
    for image in task.train.images:
        ignored = task.train.ignored.get(image)
        pixels -= 0 if ignored is None else ignored.area()  # of all classes, or of each
    areas = np.sum([one.area() for one in runs], axis=0)
    return LossContext(task.metric, task.exclusive, (areas / np.maximum(pixels, 1)).tolist())


def tiling_of(network: SegmentationNetwork, recipe: Recipe) -> Tiling | None:
    """How a recipe's images are cut into tiles; None where they are shown whole."""
    if recipe.tiles is None:
        return None
    return Tiling.of(network, recipe.size, recipe.tiles.overlap)


def plain_images(labelled: Labelled, batch: int, tiling: Tiling | None = None) -> DataLoader:
    """Loads the images as they are, or their tiles, those that lie where the first one does: the
    organisers' own.
    """
    letterboxed = labelled.letterboxed[labelled.images[0]]
    images = tuple(image for image in labelled.images if labelled.letterboxed[image] is letterboxed)
    if isinstance(letterboxed, ScaledImages):
        assert tiling is not None  # images at a scale are of a recipe with tiles
        return plain_loader(TileSet(images, letterboxed, tiling), batch=batch)
    return plain_loader(PlainSet(images, letterboxed), batch=batch)


def _refuse_empty_sides(task: Task) -> None:
    fold = task.training.fold
    if not len(task.train):
        raise InputFault(f"fold {fold} leaves no image to train on; check the folds file")
    if not len(task.validation):
        raise InputFault(f"no image in fold {fold}; check the folds file")
