"""Averages of the weights along a run: the moving one, and the equal one of its last rounds (SWA).

SWA (Izmailov et al. 2018) takes the plain mean of the weights at the ends of the last rounds. Running
means and variances of batch normalisation belong to none of the networks that were averaged, so they
are measured anew on the training images.
"""

from collections.abc import Callable, Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from competition.models import SegmentationNetwork
from competition.recipes import Recipe

Move = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]
"""(averages, current, updates so far) → averages moved in place; counters are taken over."""


class MovingAverage(WeightAveraging):
    """Lightning's, which leaves the average to the module also where a resumed run has no step left."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_end(trainer, pl_module)


class EqualAverage(MovingAverage):
    """The plain mean of the weights at the ends of the rounds from `first` on.

    Validations before that are of the network as it is.
    """

    def __init__(self, first: int) -> None:
        super().__init__(multi_avg_fn=_equal, use_buffers=True)
        self.first = first

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None and epoch_idx >= self.first

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._has_begun(trainer):
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._has_begun(trainer):
            super().on_validation_epoch_end(trainer, pl_module)

    def _has_begun(self, trainer: Trainer) -> bool:
        """A round is validated before its weights are averaged, so the first one that counts is not."""
        return trainer.current_epoch > self.first


def average_of(recipe: Recipe, rounds: int) -> MovingAverage:
    """What the recipe asks for: `swa` last rounds, all of them where there are fewer, or `ema`."""
    if recipe.swa is not None:
        return EqualAverage(max(0, rounds - recipe.swa))
    return MovingAverage(multi_avg_fn=moving_average(recipe.ema), use_buffers=True)


def moving_average(decay: float) -> Move:
    """The decay grows to `decay` by (1 + n) / (10 + n) in n updates.

    Without the growth, the average of a short run still carries its first, random steps (teeth,
    fold 0: .28 after 384 steps at 256² without it, .54 after 320 steps at 192² with it).
    """

    def move(averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor) -> None:
        _move(averages, current, 1 - min(decay, float((1 + updates) / (10 + updates))))

    return move


def measure_norms(network: SegmentationNetwork, loader: DataLoader) -> None:
    """Replace the running means and variances of batch normalisation by those over the loader.

    loader: batches with "images" uint8 (B, 3, h, w). Everything else stays in evaluation mode, so
    that nothing random is in it. A network without batch normalisation stays as it is.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean over batches
        norm.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for batch in loader:
            network(network.normalised(batch["images"].to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _equal(averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor) -> None:
    _move(averages, current, 1 / (1 + float(updates)))


def _move(averages: Sequence[Tensor], current: Sequence[Tensor], share: float) -> None:
    for average, value in zip(averages, current, strict=True):
        if average.is_floating_point():
            average.lerp_(value, share)
        else:
            average.copy_(value)
