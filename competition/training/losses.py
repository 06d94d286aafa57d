"""Losses of logits and targets (B,K,h,w), all computed in float32.

In float16 the sums of a Dice overflow from 512² pixels on, and its quotient becomes NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import torch
from torch import Tensor
from torch.nn import functional

from competition.errors import InputFault
from competition.models.network import Output, enlarged
from competition.recipes import LossTerm
from competition.recipes.losses import ClassWeights, Over
from competition.scoring.metrics import Metric
from competition.training.loss_terms import term_values

DEEP_SUPERVISION_DECAY = 0.5
"""Each coarser auxiliary output weighs half of the one before it (Isensee et al. 2021)."""


class Loss(Protocol):
    """Logits (B,K,h',w'), targets (B,K,h,w) 0 or 1 → scalar float32.

    Coarser logits are enlarged to the targets' size first. `distances` (B,K,h,w): signed
    distances to each mask's edge in pixels, negative inside; for the boundary term alone.
    """

    def __call__(
        self, logits: Tensor, targets: Tensor, distances: Tensor | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class Surroundings:
    """What a loss may need of the competition and its training images."""

    metric: Metric | None = None
    exclusive: bool | None = None
    """Whether a pixel has at most one class; None: not known, and not checked."""
    frequencies: Sequence[float] | None = None
    """Share of all training pixels that each class has."""


UNKNOWN = Surroundings()


class _Common(TypedDict):
    """What the terms that soften a metric take from it and from the term that named it."""

    weight: float
    class_weights: ClassWeights
    epsilon: float
    over: Over


def build_loss(terms: tuple[LossTerm, ...], surroundings: Surroundings = UNKNOWN) -> Loss:
    """The weighted sum of `terms`. InputFault where a term needs what `surroundings` lack."""
    _check(terms, surroundings)
    resolved = [_resolved(term, surroundings) for term in terms]
    weights = [class_weights(term.class_weights, surroundings.frequencies) for term in terms]

    def loss(logits: Tensor, targets: Tensor, distances: Tensor | None = None) -> Tensor:
        # Targets lie channel by channel; logits in another order cost 1.5 times as much (CPU).
        logits = enlarged(logits.float(), (targets.shape[-2], targets.shape[-1])).contiguous()
        targets = targets.float()
        total = logits.new_zeros(())
        with torch.autocast(logits.device.type, enabled=False):
            for term, of_classes in zip(resolved, weights, strict=True):
                total = total + term.weight * term_values(
                    term, logits, targets, of_classes=of_classes, distances=distances
                )
        return total

    return loss


def needs_distances(terms: tuple[LossTerm, ...]) -> bool:
    """Whether the loader must prepare distance maps (`data.distances.signed_distances`)."""
    return any(term.name == "boundary" for term in terms)


def total_loss(
    loss: Loss,
    output: Output,
    targets: Tensor,
    *,
    auxiliary: float,
    presence: float = 0.0,
    distances: Tensor | None = None,
) -> Tensor:
    """The loss of the logits, plus `auxiliary` times that of the first auxiliary output.

    Each further auxiliary output weighs half as much; the presence head adds `presence` times the
    BCE of whether a class is in the image at all.
    """
    total = loss(output.logits, targets, distances)
    for depth, logits in enumerate(output.auxiliary):
        weight = auxiliary * DEEP_SUPERVISION_DECAY**depth
        total = total + weight * loss(logits, targets, distances)
    if output.presence is not None:
        there = (targets.flatten(2).amax(-1) > 0).float()
        total = total + presence * functional.binary_cross_entropy_with_logits(
            output.presence.float(), there
        )
    return total


def class_weights(rule: str, frequencies: Sequence[float] | None) -> tuple[float, ...] | None:
    """Weights with mean 1 from the share of pixels of each class; None: all equal.

    A class that never occurs weighs as much as the rarest that does.

    >>> class_weights("inverse", [0.3, 0.1])
    (0.5, 1.5)
    """
    if rule == "equal" or frequencies is None:
        return None
    shares = torch.tensor(frequencies, dtype=torch.float64)
    if not (shares > 0).any():
        raise InputFault("class weights need at least one class with a labelled pixel")
    shares = shares.clamp(min=float(shares[shares > 0].min()))
    inverse = shares.reciprocal() if rule == "inverse" else shares.rsqrt()
    return tuple(round(weight, 12) for weight in (inverse / inverse.mean()).tolist())


def _check(terms: tuple[LossTerm, ...], surroundings: Surroundings) -> None:
    for term in terms:
        if term.class_weights != "equal" and surroundings.frequencies is None:
            raise InputFault(
                f"loss term {term.name!r} weighs classes by frequency, which nobody counted"
            )
        if surroundings.exclusive is False and (term.exclusive or term.name == "cross-entropy"):
            raise InputFault(
                f"loss term {term.name!r} gives a pixel one class, but classes of this "
                "competition overlap; use bce, or exclusive = false"
            )


def _resolved(term: LossTerm, surroundings: Surroundings) -> LossTerm:
    """The term itself; for "metric", the one that softens the competition's score."""
    if term.name != "metric":
        return term
    metric = surroundings.metric
    if metric is None:
        raise InputFault("the loss term 'metric' needs the competition's metric")
    common: _Common = {
        "weight": term.weight,
        "class_weights": term.class_weights,
        "epsilon": metric.eps or 1e-6,
        "over": "batch" if metric.over == "pixels" else "image",
    }
    match metric.name:
        case "dice":
            return LossTerm(name="dice", **common)
        case "iou":
            return LossTerm(name="jaccard", **common)
        case "f-beta":
            assert metric.beta is not None  # the metric needs it
            false_positives = 1 / (1 + metric.beta**2)
            return LossTerm(
                name="tversky", alpha=false_positives, beta=1 - false_positives, **common
            )
        case _:
            raise InputFault(
                f"no loss softens the metric {metric.name!r}; name dice or jaccard instead"
            )
