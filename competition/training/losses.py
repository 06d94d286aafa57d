"""Losses of logits and targets (B,K,h,w), all computed in float32.

In float16 the sums of a Dice overflow from 512² pixels on, and its quotient becomes NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from competition.errors import InputFault
from competition.models.base import Output, enlarged
from competition.recipes import LossTerm
from competition.scoring.metrics import Metric

PIXEL_AXES = (-2, -1)


def term_values(
    term: LossTerm,
    logits: Tensor,
    targets: Tensor,
    *,
    of_classes: tuple[float, ...] | None,
    distances: Tensor | None,
    ignored: Tensor | None = None,
) -> Tensor:
    """The term's mean over images and classes, the classes weighted by `of_classes`.

    ignored: bool (B,1,h,w) or (B,K,h,w), pixels that are 0 in the targets and surely absent in the
    logits: no term is wrong there, and a mean over pixels is one over the others of the batch.
    """
    counted = 1.0 if ignored is None else (~ignored).float().mean().clamp(min=1e-12)
    weights = None if of_classes is None else logits.new_tensor(of_classes)
    match term.name:
        case "bce":
            return _mean(bce(logits, targets), weights) / counted
        case "focal":
            assert term.alpha is not None and term.gamma is not None  # by the name's defaults
            values = focal(logits, targets, alpha=term.alpha, gamma=term.gamma)
            return _mean(values, weights) / counted
        case "dice" | "jaccard" | "tversky" | "focal-tversky":
            return _overlap(term, logits, targets, weights, counted)
        case "lovasz":
            return _lovasz(term, logits, targets, weights, counted)
        case "cross-entropy":
            return cross_entropy(logits, targets, weights, ignored)
        case "boundary":
            if distances is None:
                raise InputFault("the boundary loss needs distance maps, which the loader prepares")
            values = boundary_loss(_probabilities(term, logits), distances)
            return _mean(values, weights) / counted
    raise InputFault(f"the loss term {term.name!r} has no values before it is resolved")


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, its mean over each image and class: (B,K)."""
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return loss.mean(PIXEL_AXES)


def focal(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """α_t · (1 − p_t)^γ · BCE (Lin et al. 2017), its mean over each image and class: (B,K)."""
    wrong = logits * torch.rsub(targets, 1, alpha=2)  # logit of the wrong answer: 1 − p_t, BCE
    loss = wrong.sigmoid() ** gamma * functional.softplus(wrong)
    inside = torch.einsum("bkhw,bkhw->bk", loss, targets) / targets[0, 0].numel()
    return (1 - alpha) * loss.mean(PIXEL_AXES) + (
        2 * alpha - 1
    ) * inside  # α_t is α inside, else 1 − α


def cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor | None, ignored: Tensor | None = None
) -> Tensor:
    """Cross-entropy over background and the classes, for masks that do not overlap.

    Background has the logit 0, so that a class wins a pixel only where its own logit is above 0;
    it weighs 1. ignored: bool (B,1,h,w) or (B,K,h,w), pixels that weigh nothing, for any class.
    """
    labels = torch.where(targets.amax(1) >= 0.5, targets.argmax(1) + 1, 0)
    if weights is not None:
        weights = torch.cat([weights.new_ones(1), weights])
    if ignored is None:
        return functional.cross_entropy(_with_background(logits), labels, weights)
    counted = (~ignored.any(1)).float()
    shares = counted if weights is None else weights[labels] * counted
    losses = functional.cross_entropy(_with_background(logits), labels, reduction="none")
    return (losses * shares).sum() / shares.sum().clamp(min=1e-12)


def boundary_loss(probabilities: Tensor, distances: Tensor) -> Tensor:
    """Mean of p · signed distance to the true edge (Kervadec et al. 2019): (B,K), in pixels.

    It falls below 0 as masks get right, and an empty mask has a minimum too: add it to a Dice.
    """
    return (probabilities * distances.float()).mean(PIXEL_AXES)


def overlap_losses(term: LossTerm, overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """The loss of each fraction from TP, Σp and Σt of any equal shape.

    Dice (Milletari et al. 2016) 1 − (2TP + ε) / (Σp + Σt + ε); Jaccard 1 − (TP + ε) / (Σp + Σt −
    TP + ε); Tversky (Salehi et al. 2017) 1 − (TP + ε) / (TP + αFP + βFN + ε); Focal-Tversky
    (Abraham & Khan 2019) its γ-th root, or by `form` its γ-th power.
    """
    match term.name:
        case "dice":
            return 1 - (2 * overlap + term.epsilon) / (predicted + true + term.epsilon)
        case "jaccard":
            return 1 - (overlap + term.epsilon) / (predicted + true - overlap + term.epsilon)
        case "tversky" | "focal-tversky":
            assert term.alpha is not None and term.beta is not None  # by the name's defaults
            errors = term.alpha * (predicted - overlap) + term.beta * (true - overlap)
            loss = errors / (overlap + errors + term.epsilon)
            if term.name == "tversky":
                return loss
            assert term.gamma is not None
            if term.form == "power":
                return loss**term.gamma
            return loss.clamp(min=1e-7) ** (1 / term.gamma)  # the root's slope at 0 is infinite
    raise InputFault(f"the loss term {term.name!r} is no fraction of overlaps")


def lovasz_extension(errors: Tensor, true: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss (Berman et al. 2018), over the last axis.

    errors: ≥ 0, float32; true: 0 or 1; both (…, pixels). Pixels are taken from the largest error
    on; each weighs its error by what the Jaccard loss rises when it is wrong too. Where errors are
    0 or 1 it is 1 − IoU. Where no pixel is true it is the largest error.
    """
    errors, order = errors.sort(-1, descending=True)
    # Counted in whole numbers: float32 loses ones from 2^24 pixels on.
    true = true.long().gather(-1, order)
    total = true.sum(-1, keepdim=True)
    union = total + (1 - true).cumsum(-1)
    jaccard = 1 - (total - true.cumsum(-1)) / union
    rise = torch.diff(jaccard, dim=-1, prepend=torch.zeros_like(jaccard[..., :1]))
    return (errors * rise).sum(-1)


def _overlap(
    term: LossTerm,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    counted: Tensor | float,
) -> Tensor:
    """counted: share of the pixels that count, 0 … 1, by which a BCE is divided."""
    probabilities = _probabilities(term, logits)
    sums = [
        torch.einsum("bkhw,bkhw->bk", probabilities, targets),
        probabilities.sum(PIXEL_AXES),
        targets.sum(PIXEL_AXES),
    ]
    if term.over == "batch":
        sums = [count.sum(0, keepdim=True) for count in sums]
    losses = overlap_losses(term, *sums)
    if term.empty == "bce":
        losses = torch.where(sums[-1] > 0, losses, _bce_like(losses, logits, targets) / counted)
    return _mean(losses, weights, counted=sums[-1] > 0 if term.empty == "skip" else None)


def _lovasz(
    term: LossTerm,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    counted: Tensor | float,
) -> Tensor:
    """By softmax of |p − t|, by sigmoid of the hinge 1 − x·(2t − 1), as in its paper.

    A pixel belongs to a class that covers half of it: masks averaged to the logits' size are no
    sets. counted: as for `_overlap`. An ignored pixel's error is 0, so it has no part.
    """
    true = (targets >= 0.5).float()
    if term.exclusive:
        errors = (_probabilities(term, logits) - true).abs()
    else:
        errors = functional.relu(1 - logits * (2 * true - 1))
    errors, true = (
        values.movedim(0, 1).flatten(1)[None] if term.over == "batch" else values.flatten(2)
        for values in (errors, true)
    )
    losses, there = lovasz_extension(errors, true), true.any(-1)
    if term.empty == "bce":
        losses = torch.where(there, losses, _bce_like(losses, logits, targets) / counted)
    return _mean(losses, weights, counted=there if term.empty == "skip" else None)


def _bce_like(losses: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """BCE in the shape of `losses`: (B,K), or (1,K) over the batch."""
    values = bce(logits, targets)
    return values if values.shape == losses.shape else values.mean(0, keepdim=True)


def _probabilities(term: LossTerm, logits: Tensor) -> Tensor:
    return _with_background(logits).softmax(1)[:, 1:] if term.exclusive else logits.sigmoid()


def _with_background(logits: Tensor) -> Tensor:
    """Logits (B,K,h,w) → (B,1+K,h,w), background first, at 0."""
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)


def _mean(values: Tensor, weights: Tensor | None, counted: Tensor | None = None) -> Tensor:
    """Weighted mean of values (B,K) over the counted cells; 0 where none is."""
    if weights is None and counted is None:
        return values.mean()
    shares = torch.ones_like(values) if weights is None else weights.expand_as(values)
    if counted is not None:
        shares = shares * counted
    return (values * shares).sum() / shares.sum().clamp(min=1e-12)


DEEP_SUPERVISION_DECAY = 0.5
"""Each coarser auxiliary output weighs half of the one before it (Isensee et al. 2021)."""


SURELY_ABSENT = -1e4
"""The logit of ignored pixels: its probability is 0 in float32, and so is every term there."""

Loss = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""(logits (B,K,h',w'), targets (B,K,h,w) 0 or 1, distances, ignored) → scalar float32.

Coarser logits are enlarged to the targets' size first. `distances` (B,K,h,w): signed distances to each
mask's edge in pixels, negative inside; for the boundary term alone, else None. `ignored`: bool
(B,1,h,w), or of each class (B,K,h,w), pixels that have no part in it; None: all have.
"""


@dataclass(frozen=True)
class LossContext:
    """What a loss may need of the competition and its training images."""

    metric: Metric | None = None
    exclusive: bool | None = None
    """Whether a pixel has at most one class; None: not known, and not checked."""
    frequencies: Sequence[float] | None = None
    """Share of all training pixels that each class has."""


UNKNOWN_CONTEXT = LossContext()


def build_loss(terms: tuple[LossTerm, ...], context: LossContext = UNKNOWN_CONTEXT) -> Loss:
    """The weighted sum of `terms`. InputFault where a term needs what `context` lacks."""
    _check(terms, context)
    resolved = [_resolved(term, context) for term in terms]
    weights = [class_weights(term.class_weights, context.frequencies) for term in terms]

    def loss(
        logits: Tensor,
        targets: Tensor,
        distances: Tensor | None = None,
        ignored: Tensor | None = None,
    ) -> Tensor:
        # Targets lie channel by channel; logits in another order cost 1.5 times as much (CPU).
        logits = enlarged(logits.float(), (targets.shape[-2], targets.shape[-1])).contiguous()
        targets = targets.float()
        if ignored is not None:
            logits = logits.masked_fill(ignored, SURELY_ABSENT)
            targets = targets.masked_fill(ignored, 0)
        options = {"distances": distances, "ignored": ignored}
        total = logits.new_zeros(())
        with torch.autocast(logits.device.type, enabled=False):
            for term, of_classes in zip(resolved, weights, strict=True):
                total = total + term.weight * term_values(
                    term, logits, targets, of_classes=of_classes, **options
                )
        return total

    return loss


def needs_distances(terms: tuple[LossTerm, ...]) -> bool:
    """Whether the loader must prepare distance maps (`data.augment.signed_distances`)."""
    return any(term.name == "boundary" for term in terms)


def total_loss(
    loss: Loss,
    output: Output,
    targets: Tensor,
    *,
    auxiliary: float,
    presence: float = 0.0,
    distances: Tensor | None = None,
    ignored: Tensor | None = None,
) -> Tensor:
    """The loss of the logits, plus `auxiliary` times that of the first auxiliary output.

    Each further auxiliary output weighs half as much; the presence head adds `presence` times the
    BCE of whether a class is in the image at all, which an image without a pixel that counts does
    not tell. ignored: as in `Loss`.
    """
    total = loss(output.logits, targets, distances, ignored)
    for depth, logits in enumerate(output.auxiliary):
        weight = auxiliary * DEEP_SUPERVISION_DECAY**depth
        total = total + weight * loss(logits, targets, distances, ignored)
    if output.presence is not None:
        told = None
        if ignored is not None:
            targets = targets.masked_fill(ignored, 0)
            told = (~ignored).flatten(2).any(-1).float()
        there = (targets.flatten(2).amax(-1) > 0).float()
        total = total + presence * functional.binary_cross_entropy_with_logits(
            output.presence.float(), there, told
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


def _check(terms: tuple[LossTerm, ...], context: LossContext) -> None:
    for term in terms:
        if term.class_weights != "equal" and context.frequencies is None:
            raise InputFault(
                f"loss term {term.name!r} weighs classes by frequency, which nobody counted"
            )
        if context.exclusive is False and (term.exclusive or term.name == "cross-entropy"):
            raise InputFault(
                f"loss term {term.name!r} gives a pixel one class, but classes of this "
                "competition overlap; use bce, or exclusive = false"
            )


def _resolved(term: LossTerm, context: LossContext) -> LossTerm:
    """The term itself; for "metric", the one that softens the competition's score."""
    if term.name != "metric":
        return term
    metric = context.metric
    if metric is None:
        raise InputFault("the loss term 'metric' needs the competition's metric")
    if metric.rule.softened is None:
        raise InputFault(
            f"no loss softens the metric {metric.name!r}; name dice or jaccard instead"
        )
    return LossTerm(
        weight=term.weight,
        class_weights=term.class_weights,
        epsilon=metric.eps or 1e-6,
        over="batch" if metric.over == "pixels" else "image",
        **metric.rule.softened(metric),
    )
