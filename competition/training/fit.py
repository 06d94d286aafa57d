"""Training one network on one fold: `fit` → checkpoint.pt, history.csv; resumes where it was killed.

The checkpoint is the moving average of the weights at the last step. It is never chosen by its
validation score, which would be optimistic by the choice.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from competition.data.loader import Labelled, PlainSet, TrainingSet, plain_loader, training_loader
from competition.errors import InputFault
from competition.masks.from_logits import runs_from_logits
from competition.models import build
from competition.models.precision import numbers_of
from competition.recipes import Recipe
from competition.scoring.metrics import Metric, aggregate, score_image
from competition.training.checkpoint import Training, hash_file, read_torch, save, write_torch
from competition.training.losses import Surroundings, needs_distances
from competition.training.module import Judge, SegmentationModule
from competition.workspace import remove_orphans, write_text


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


def fit(task: Task, folder: Path, *, workers: int | None = None) -> Path:
    """Train `task` and write checkpoint.pt and history.csv into `folder`; returns the checkpoint.

    workers: loader processes; None: as many as the machine is good for.
    A run that was killed goes on from the last whole epoch, and ends with the weights that the
    straight run would have had (same machine, versions and thread count).
    """
    _refuse_empty_sides(task)
    remove_orphans(folder)
    _hush_advice()
    recipe, seed = task.training.recipe, task.training.seed
    distances = len(task.training.classes) if needs_distances(recipe.loss) else 0
    loader = training_loader(
        TrainingSet(
            task.train, recipe, permutation=task.permutation, seed=seed, distances=distances
        ),
        batch=recipe.batch, seed=seed, workers=good_workers() if workers is None else workers,
    )
    module = _module(task, steps=recipe.schedule.epochs * len(loader))
    module.judge_with(judge_at_native_size(task.validation, task.metric))
    progress = Progress(folder, task)
    trainer = _trainer(recipe, progress)
    resumed = progress.unfinished()
    trainer.fit(module, loader, _validation_loader(task), ckpt_path=resumed)
    checkpoint = folder / "checkpoint.pt"
    save(checkpoint, module.network, task.training)
    progress.clear()
    return checkpoint


def good_workers() -> int:
    """None beside a CPU training, which uses every core itself; up to eight beside a GPU."""
    return min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0


def judge_at_native_size(labelled: Labelled, metric: Metric) -> Judge:
    """Scores logits as the leaderboard would: decided at p = .5, at the image's native size."""

    def judge(image: str, logits: np.ndarray) -> np.ndarray:
        placement = labelled.placed[image].placements[image]
        region = placement.region(logits.shape[-2:])
        predicted = runs_from_logits(logits, placement.native, 0.5, region=region)
        return score_image(labelled.runs[image], predicted, metric)

    return judge


class Progress(Callback):
    """After each epoch: one line of history, and a checkpoint from which the run can go on."""

    def __init__(self, folder: Path, task: Task) -> None:
        self.history_file, self.last = folder / "history.csv", folder / "last.pt"
        self.task = task
        self.rows: list[dict[str, float]] = []

    def unfinished(self) -> str | None:
        """The checkpoint of a killed run of the same settings; InputFault where they differ."""
        if not self.last.is_file():
            return None
        begun = read_torch(self.last)["podium_training"]
        wanted = self.task.training.model_dump(mode="json")
        changed = sorted(changes(begun, wanted))
        if changed:
            listed = "; ".join(changed)
            raise InputFault(
                f"{self.last} was begun with other settings ({listed}); set them back to go on, "
                f"or delete {self.last.name} to start anew"
            )
        return str(self.last)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rows.append(self._row(trainer, pl_module))
        write_text(self.history_file, _csv(self.rows))
        content = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        content["podium_training"] = self.task.training.model_dump(mode="json")
        write_torch(self.last, content)
        if not sys.stderr.isatty():
            print(_line(self.rows[-1], trainer.max_epochs or 0), flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def clear(self) -> None:
        """The run is finished: what it could be resumed from is not needed any more."""
        hash_file(self.last).unlink(missing_ok=True)
        self.last.unlink(missing_ok=True)

    def _row(self, trainer: Trainer, module: LightningModule) -> dict[str, float]:
        row = {
            "epoch": float(trainer.current_epoch + 1),
            "step": float(trainer.global_step),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "train_loss": float(trainer.callback_metrics["train_loss_epoch"]),
        }
        if module.judged:
            scores = np.stack(module.judged)
            row["score"] = aggregate(scores, self.task.metric)
            for place, name in enumerate(self.task.training.classes):
                row[f"score[{name}]"] = float(np.nanmean(scores[:, place]))
            module.judged.clear()
        return row


def changes(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """Every setting that differs, as `key before → after`.

    >>> changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b 1 → 3']
    """
    found = []
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += changes(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} → {new}")
    return found


def _module(task: Task, *, steps: int) -> SegmentationModule:
    recipe = task.training.recipe
    torch.manual_seed(task.training.seed)
    network = build(recipe.network, len(task.training.classes), pretrained=recipe.pretrained)
    network = network.to(memory_format=torch.channels_last)
    return SegmentationModule(
        network, recipe, classes=len(task.training.classes), steps=steps,
        seed=task.training.seed, surroundings=surroundings_of(task),
    )


def surroundings_of(task: Task) -> Surroundings:
    """What the loss may need: the metric, whether classes exclude each other, their frequencies."""
    runs = [task.train.runs[image] for image in task.train.images]
    pixels = sum(one.height * one.width for one in runs)
    areas = np.sum([one.area() for one in runs], axis=0)
    return Surroundings(task.metric, task.exclusive, (areas / pixels).tolist())


def _trainer(recipe: Recipe, progress: Progress) -> Trainer:
    average = WeightAveraging(multi_avg_fn=moving_average(recipe.ema), use_buffers=True)
    bar = [TQDMProgressBar(leave=True)] if sys.stderr.isatty() else []
    return Trainer(
        max_epochs=recipe.schedule.epochs,
        precision="bf16-mixed" if numbers_of(recipe) == "bf16" else "32-true",
        gradient_clip_val=recipe.optimizer.clip,
        check_val_every_n_epoch=min(recipe.validate_every, recipe.schedule.epochs),
        num_sanity_val_steps=0,
        callbacks=[average, progress, *bar],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=bool(bar),
        use_distributed_sampler=False,
    )


def moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]:
    """(averages, current, updates so far) → averages moved in place; counters are taken over.

    The decay grows to `decay` by (1 + n) / (10 + n) in n updates.

    Without the growth, the average of a short run still carries its first, random steps (teeth,
    fold 0: .28 after 384 steps at 256² without it, .54 after 320 steps at 192² with it).
    """

    def move(averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor) -> None:
        kept = min(decay, float((1 + updates) / (10 + updates)))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - kept)
            else:
                average.copy_(value)

    return move


def _validation_loader(task: Task) -> DataLoader:
    first = task.validation.images[0]
    dataset = PlainSet(task.validation.images, task.validation.placed[first])
    return plain_loader(dataset, batch=task.training.recipe.batch)


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


def _line(row: dict[str, float], epochs: int) -> str:
    score = f"  score {row['score']:.4f}" if "score" in row else ""
    return f"epoch {row['epoch']:.0f}/{epochs}  loss {row['train_loss']:.4f}{score}"


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    pd.DataFrame(rows).to_csv(text, index=False)
    return text.getvalue()
