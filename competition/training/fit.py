"""Training one network on one fold: `fit` → checkpoint.pt, history.csv; resumes where it was killed.

The checkpoint is the moving average of the weights at the last step, or the mean of the last rounds, or
of those that score best on people set aside. It is never chosen by its validation score, which would be
optimistic by the choice.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from torch import Tensor
from torch.utils.data import DataLoader

from competition.data.loader import Labelled, PlainSet, TrainingSet, plain_loader, training_loader
from competition.errors import InputFault
from competition.masks.from_logits import runs_from_logits
from competition.models import SegmentationNetwork, build
from competition.models.dry_run import dry_run
from competition.models.precision import numbers_of
from competition.recipes import Recipe
from competition.scoring.metrics import Metric, score_image
from competition.scoring.overlap import dice_statistics
from competition.training.averaging import average_of, measure_norms
from competition.training.best_rounds import BestRounds
from competition.training.checkpoint import Training, save
from competition.training.losses import Surroundings, needs_distances
from competition.training.module import Judge, SegmentationModule, Verdict
from competition.training.plan import Plan, plan_of
from competition.training.progress import Progress
from competition.training.sampler import run_sampler
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
    start: Mapping[str, Tensor] | None = None
    """Weights to go on from; None: published or random ones."""
    aside: Labelled | None = None
    """What the best rounds are chosen by, where the recipe asks for them."""


class Fitted(NamedTuple):
    """What a run made. dead: classes that its last validations did not find at all."""

    checkpoint: Path
    dead: tuple[str, ...]


def fit(
    task: Task, folder: Path, *, workers: int | None = None, say: Callable[[str], None] = print
) -> Fitted:
    """Train `task` and write checkpoint.pt and history.csv into `folder`.

    workers: loader processes; None: as many as the machine is good for.
    A run that was killed goes on from the last whole round, and ends with the weights that the
    straight run would have had (same machine, versions and thread count).
    """
    _refuse_empty_sides(task)
    remove_orphans(folder)
    _hush_advice()
    recipe, seed = task.training.recipe, task.training.seed
    plan, metric = plan_of(recipe, len(task.train)), judged_metric(task.metric)
    distances = len(task.training.classes) if needs_distances(recipe.loss) else 0
    loader = training_loader(
        TrainingSet(
            task.train, recipe, permutation=task.permutation, seed=seed, distances=distances
        ),
        run_sampler(task.train, recipe, plan, seed=seed),
        batch=recipe.batch,
        workers=good_workers() if workers is None else workers,
    )
    progress = Progress(folder, task.training, plan, metric, say)
    resumed = progress.unfinished()
    module = _module(task, steps=plan.iterations)
    judged = [task.validation] if task.aside is None else [task.validation, task.aside]
    module.judge_with(*(judge_at_native_size(side, metric) for side in judged))
    best = None if recipe.best is None else BestRounds(recipe.best.rounds, metric)
    trainer = _trainer(recipe, plan, [best] if best else [], progress)
    trainer.fit(module, loader, [_plain(side, recipe.batch) for side in judged], ckpt_path=resumed)
    if best is not None:
        module.network.load_state_dict(best.mean())
        say(best.said())
    if recipe.swa is not None or best is not None:
        measure_norms(module.network, _plain(task.train, recipe.batch))
    checkpoint = folder / "checkpoint.pt"
    save(checkpoint, module.network, task.training)
    progress.clear()
    return Fitted(checkpoint, progress.dead())


def good_workers() -> int:
    """None beside a CPU training, which uses every core itself; up to eight beside a GPU."""
    return min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0


def judge_at_native_size(labelled: Labelled, metric: Metric) -> Judge:
    """Scores logits as the leaderboard would: decided at p = .5, at the image's native size."""

    def judge(image: str, logits: np.ndarray) -> Verdict:
        placement, truth = labelled.placed[image].placements[image], labelled.runs[image]
        region = placement.region(logits.shape[-2:])
        predicted = runs_from_logits(logits, placement.native, 0.5, region=region)
        counts = np.stack(dice_statistics(truth, predicted), axis=1)
        scores = counts if metric.counts_pixels else score_image(truth, predicted, metric)
        return Verdict(scores, labelled=counts[:, 1] > 0, hit=counts[:, 0] > 0)

    return judge


def judged_metric(metric: Metric) -> Metric:
    """The competition's own; Dice of the slices where it sees volumes, which no batch holds whole."""
    return Metric(name="dice") if metric.over_volumes else metric


def _module(task: Task, *, steps: int) -> SegmentationModule:
    recipe = task.training.recipe
    return SegmentationModule(
        _network(task).to(memory_format=torch.channels_last),
        recipe,
        classes=len(task.training.classes),
        steps=steps,
        seed=task.training.seed,
        surroundings=surroundings_of(task),
    )


def _network(task: Task) -> SegmentationNetwork:
    """As the recipe builds it, or with the weights of the member that is continued."""
    recipe, start = task.training.recipe, task.start
    dry_run(recipe, len(task.training.classes))
    torch.manual_seed(task.training.seed)
    pretrained = recipe.pretrained and start is None
    network = build(recipe.network, len(task.training.classes), pretrained=pretrained)
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


def surroundings_of(task: Task) -> Surroundings:
    """What the loss may need: the metric, whether classes exclude each other, their frequencies."""
    runs = [task.train.runs[image] for image in task.train.images]
    pixels = sum(one.height * one.width for one in runs)
    areas = np.sum([one.area() for one in runs], axis=0)
    return Surroundings(task.metric, task.exclusive, (areas / pixels).tolist())


_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""As Lightning names them; the last one scales the loss."""


def _trainer(recipe: Recipe, plan: Plan, first: Sequence[Callback], progress: Progress) -> Trainer:
    """first: callbacks that see the network as it was validated."""
    bar = [TQDMProgressBar(leave=True)] if sys.stderr.isatty() else []
    return Trainer(
        max_epochs=plan.rounds,
        precision=_PRECISION[numbers_of(recipe)],
        accumulate_grad_batches=recipe.accumulate,
        check_val_every_n_epoch=plan.validate_every,
        num_sanity_val_steps=0,
        callbacks=[*first, average_of(recipe, plan.rounds), progress, *bar],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=bool(bar),
        use_distributed_sampler=False,
    )


def _plain(labelled: Labelled, batch: int) -> DataLoader:
    """The images as they are, those that lie where the first one does: the organisers' own."""
    placed = labelled.placed[labelled.images[0]]
    images = tuple(image for image in labelled.images if labelled.placed[image] is placed)
    return plain_loader(PlainSet(images, placed), batch=batch)


def _refuse_empty_sides(task: Task) -> None:
    fold = task.training.fold
    if not len(task.train):
        raise InputFault(f"fold {fold} leaves no image to train on; check the folds file")
    if not len(task.validation):
        raise InputFault(f"no image in fold {fold}; check the folds file")


def _hush_advice() -> None:
    """Silence Lightning's advice on loggers and workers, which is settled here on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
