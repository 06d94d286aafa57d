"""What one step of training and of validation does: loss, optimiser, schedule, scores."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from competition.errors import InputFault
from competition.masks import unpack
from competition.models import SegmentationNetwork
from competition.models.dry_run import dry_run
from competition.models.fine_tuning import blocks_before
from competition.recipes import Optimizer, Recipe, Schedule
from competition.training.losses import UNKNOWN_CONTEXT, LossContext, build_loss, total_loss


class ImageScores(NamedTuple):
    """What validation finds on one image, for each class (K,).

    scores: float64, NaN where the metric skips a class; or pixel counts (K, 3), as `aggregate`
    takes them. labelled: whether the image has the class; hit: whether any pixel of it was found.
    """

    scores: np.ndarray
    labelled: np.ndarray
    hit: np.ndarray


TIMMS = {"adan": "adanw", "lion": "lion", "muon": "muon"}
"""timm's name of an optimizer; all with decoupled weight decay."""

ImageScorer = Callable[[str, np.ndarray | Tensor], ImageScores | None]
"""(image, logits (K,h',w') float32, on a card a tensor) → its scores; of tiles None, but for the last
of an image."""


class TrainingStep:
    """The network with its loss, optimiser and schedule: what a trainer calls, whichever it is.

    Holds no training data, and knows no trainer.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        *,
        classes: int,
        steps: int,
        seed: int,
        context: LossContext = UNKNOWN_CONTEXT,
        fused: bool = True,
    ) -> None:
        """steps: optimizer steps of the whole run, which the schedule spans; context: what
        the loss needs of the competition; fused: the optimizer passes over memory once, which a
        scaled loss (float16) does not allow: gradients are clipped between unscaling and stepping.
        """
        self.network, self.recipe = network, recipe
        self.classes, self.steps, self.seed, self.fused = classes, steps, seed, fused
        self.total_of = build_loss(recipe.loss, context)
        self._encoder = network.body.published_parts()
        self._learnt = [p for part in self._encoder for p in part.parameters() if p.requires_grad]
        self._holding = False

    def loss(self, batch: Mapping[str, Tensor], *, step: int, index: int) -> Tensor:
        """Of one batch, the index-th of its round, after so many optimizer steps of the run.

        Dropout depends on (seed, step, index), so that a resumed run repeats it.
        """
        _seed((self.seed * 1_000_003 + step) * 1009 + index, batch["images"].device.type)
        self._hold(still=step < round(self.recipe.schedule.frozen * self.steps))
        output = self.network(self._shown(batch["images"], step))
        targets, distances, ignored = self._asked_for(batch, output.logits.shape[-2:])
        return total_loss(
            self.total_of,
            output,
            targets,
            auxiliary=getattr(self.recipe.network, "auxiliary", 0.0),
            presence=self.recipe.network.presence,
            distances=distances,
            ignored=ignored,
        )

    def require_finite(self, loss: float, step: int) -> None:
        """InputFault for one that is not: every weight will be NaN after it."""
        if not math.isfinite(loss):
            raise InputFault(
                f"the loss is {loss} at step {step}; nothing was saved: lower "
                f"optimizer.learning_rate ({self.recipe.optimizer.learning_rate}) or look for a "
                "broken image with `podium doctor`"
            )

    def _hold(self, *, still: bool) -> None:
        """Freeze the encoder, or let go of it: weights, statistics of norms, dropout. While it is frozen
        this is said at every step, since a trainer puts the whole network into training mode.
        """
        if not still and not self._holding:
            return
        for weight in self._learnt:
            weight.requires_grad_(not still)
        for part in self._encoder:
            part.train(not still)
        self._holding = still

    def _shown(self, images: Tensor, step: int) -> Tensor:
        """Pixels (B,C,h,w) → what the network sees at this step, at half the size at first."""
        small = step < round(self.recipe.schedule.halved * self.steps)
        shown = self.network.normalised(images)
        return halved(shown) if small else shown

    def _asked_for(
        self, batch: Mapping[str, Tensor], size: torch.Size
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Targets and distances (B,K,h,w) of a batch and which pixels are ignored, bool (B,1,h,w) or
        of each class (B,K,h,w), or at `size` where the loss is taken there: a cell that holds an
        ignored pixel is ignored.

        None for the last where none is: such a batch is what it would be without the key.
        """
        targets, distances = unpack(batch["planes"], self.classes), batch.get("distances")
        ignored = batch["ignored"] > 0 if "ignored" in batch else None
        if "ignored_planes" in batch:
            ignored = unpack(batch["ignored_planes"], self.classes) > 0
        if ignored is not None and not ignored.any():
            ignored = None
        if self.recipe.loss_at == "image":
            return targets, distances, ignored
        coarse = [None if one is None else averaged(one, size) for one in (distances, ignored)]
        return averaged(targets, size), coarse[0], None if coarse[1] is None else coarse[1] > 0

    def validate_with(self, *scorers: ImageScorer) -> None:
        """One for each validation loader; `image_scores` holds what each has found."""
        self.scorers, self.image_scores = scorers, [[] for _ in scorers]

    def validate(
        self, batch: Mapping[str, Any], loader: int, network: SegmentationNetwork | None = None
    ) -> None:
        """Hands each image's logits to the scorer of its loader; network: an average of this one."""
        network = network or self.network
        logits = _where_masks_are_made(network(network.normalised(batch["images"])).logits.float())
        scorer, image_scores = self.scorers[loader], self.image_scores[loader]
        found = (scorer(*pair) for pair in zip(batch["image"], logits, strict=True))
        image_scores += [scores for scores in found if scores is not None]

    def clip(self) -> None:
        """The norm of the gradients, unscaled ones."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip)

    def optimizer(self, device: str) -> tuple[torch.optim.Optimizer, LambdaLR]:
        """With its schedule, to be stepped together; device: its kind, "cpu", "cuda", "mps"."""
        fused = self.fused and device in ("cpu", "cuda")
        chosen = self.recipe.optimizer
        shares = rate_shares(self.recipe, self.classes)
        optimizer = build_optimizer(self.network, chosen, fused=fused, shares=shares)
        share = partial(factor, steps=self.steps, schedule=self.recipe.schedule)
        return optimizer, LambdaLR(optimizer, share)


def _where_masks_are_made(logits: Tensor) -> Tensor | np.ndarray:
    """On a card, which has float64 and is faster at it than one core; others' come to the host."""
    return logits if logits.is_cuda else logits.cpu().numpy()


def _seed(number: int, device: str) -> None:
    """What `torch.manual_seed` does for a device; that asks for every other kind too, .26 ms a step."""
    torch.default_generator.manual_seed(number)
    if device == "cuda":
        torch.cuda.manual_seed(number)
    elif device == "mps":
        torch.mps.manual_seed(number)


def rate_shares(recipe: Recipe, classes: int) -> dict[str, float]:
    """Each weight whose learning rate is not the recipe's, by name: its share of it."""
    chosen = recipe.optimizer
    if chosen.encoder_rate == chosen.layer_decay == 1:
        return {}
    depths = blocks_before(dry_run(recipe, classes), recipe.input_sizes[-1])
    last = max(depths.values())
    return {
        name: chosen.encoder_rate * chosen.layer_decay ** (last + 1 - depth)
        for name, depth in depths.items()
    }


def build_optimizer(
    network: torch.nn.Module,
    chosen: Optimizer,
    *,
    fused: bool,
    shares: Mapping[str, float] = MappingProxyType({}),
) -> torch.optim.Optimizer:
    """The optimizer that a recipe names. fused: one pass over memory for all weights, where torch has
    that; shares: of the learning rate, for weights that have less of it.
    """
    groups = parameter_groups(network, chosen, shares)
    match chosen.name:
        case "adamw":
            return torch.optim.AdamW(groups, lr=chosen.learning_rate, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=chosen.learning_rate, fused=fused)
        case "adan" | "lion" | "muon":
            from timm.optim import create_optimizer_v2  # not at the top: most recipes need none

            return create_optimizer_v2(groups, opt=TIMMS[chosen.name], lr=chosen.learning_rate)
        case "sgd":
            momentum = 0.9 if chosen.momentum is None else chosen.momentum
            return torch.optim.SGD(
                groups, lr=chosen.learning_rate, momentum=momentum, nesterov=momentum > 0
            )


def halved(images: Tensor) -> Tensor:
    """Images (B,C,h,w) → (B,C,⌈h/2⌉,⌈w/2⌉), each pixel the mean of those that it covers."""
    return averaged(images, tuple(-(-side // 2) for side in images.shape[-2:]))


def averaged(planes: Tensor, size: Sequence[int]) -> Tensor:
    """Planes (B,K,h,w) of any type → float (B,K,*size), h and w not smaller: means over pixels."""
    height, width = size
    return functional.adaptive_avg_pool2d(planes.float(), (height, width))


def parameter_groups(
    network: torch.nn.Module, chosen: Optimizer, shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Weights decay; biases and the scales of normalisation do not. Those of the whole learning rate
    first, then the others by their share of it.
    """
    learnt = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    groups = []
    for share in sorted({1.0, *shares.values()}, reverse=True):
        alike = [p for name, p in learnt if shares.get(name, 1.0) == share]
        decayed, plain = [p for p in alike if p.ndim > 1], [p for p in alike if p.ndim <= 1]
        rate = share * chosen.learning_rate
        groups += [
            {"params": decayed, "weight_decay": chosen.weight_decay, "lr": rate},
            {"params": plain, "weight_decay": 0.0, "lr": rate},
        ]
    return groups


def factor(step: int, steps: int, schedule: Schedule) -> float:
    """Share of the learning rate at `step` of `steps`: linear warm-up, then half cosines.

    >>> [round(factor(s, 10, Schedule(warmup=0.2, final=0.0)), 2) for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    >>> twice = Schedule(warmup=0.0, final=0.0, restarts=1)
    >>> [round(factor(s, 8, twice), 2) for s in range(9)]
    [1.0, 0.85, 0.5, 0.15, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = _within_cosine((step - warmup) / max(1, steps - warmup), schedule)
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2


def _within_cosine(progress: float, schedule: Schedule) -> float:
    """How far along its own cosine a run is that has gone `progress` (0 … 1) of all of them."""
    lengths = [schedule.stretch**cosine for cosine in range(schedule.restarts + 1)]
    ends = [end / sum(lengths) for end in accumulate(lengths)]
    for length, end in zip(lengths, ends, strict=True):
        if progress < end - 1e-9:  # a step that rounding puts a hair before an end is behind it
            return 1 - (end - progress) * sum(lengths) / length
    return 1.0
