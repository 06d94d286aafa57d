"""Each term of a loss by itself: logits and targets float32 (B,K,h,w) → scalar.

TP, FP, FN below are soft counts: sums of p·t, p·(1−t), (1−p)·t over the pixels of an image.
"""

import torch
from torch import Tensor
from torch.nn import functional

from competition.errors import InputFault
from competition.recipes import LossTerm

PIXELS = (-2, -1)


def term_values(
    term: LossTerm,
    logits: Tensor,
    targets: Tensor,
    *,
    of_classes: tuple[float, ...] | None,
    distances: Tensor | None,
) -> Tensor:
    """The term's mean over images and classes, the classes weighted by `of_classes`."""
    weights = None if of_classes is None else logits.new_tensor(of_classes)
    match term.name:
        case "bce":
            return _mean(bce(logits, targets), weights)
        case "focal":
            assert term.alpha is not None and term.gamma is not None  # by the name's defaults
            return _mean(focal(logits, targets, alpha=term.alpha, gamma=term.gamma), weights)
        case "dice" | "jaccard" | "tversky" | "focal-tversky":
            return _overlap(term, logits, targets, weights)
        case "cross-entropy":
            return cross_entropy(logits, targets, weights)
        case "boundary":
            if distances is None:
                raise InputFault("the boundary loss needs distance maps, which the loader prepares")
            return _mean(boundary(_probabilities(term, logits), distances), weights)
    raise InputFault(f"the loss term {term.name!r} has no values before it is resolved")


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, its mean over each image and class: (B,K)."""
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return loss.mean(PIXELS)


def focal(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """α_t · (1 − p_t)^γ · BCE (Lin et al. 2017), its mean over each image and class: (B,K)."""
    wrong = logits * torch.rsub(targets, 1, alpha=2)  # logit of the wrong answer: 1 − p_t, BCE
    loss = wrong.sigmoid() ** gamma * functional.softplus(wrong)
    inside = torch.einsum("bkhw,bkhw->bk", loss, targets) / targets[0, 0].numel()
    return (1 - alpha) * loss.mean(PIXELS) + (2 * alpha - 1) * inside  # α_t is α inside, else 1 − α


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Cross-entropy over background and the classes, for masks that do not overlap.

    Background has the logit 0, so that a class wins a pixel only where its own logit is above 0;
    it weighs 1.
    """
    labels = torch.where(targets.amax(1) >= 0.5, targets.argmax(1) + 1, 0)
    if weights is not None:
        weights = torch.cat([weights.new_ones(1), weights])
    return functional.cross_entropy(_with_background(logits), labels, weights)


def boundary(probabilities: Tensor, distances: Tensor) -> Tensor:
    """Mean of p · signed distance to the true edge (Kervadec et al. 2019): (B,K), in pixels.

    It falls below 0 as masks get right, and an empty mask has a minimum too: add it to a Dice.
    """
    return (probabilities * distances.float()).mean(PIXELS)


def overlap_losses(term: LossTerm, overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """The loss of each fraction from TP, Σp and Σt of any equal shape.

    Dice (Milletari et al. 2016) 1 − (2TP + ε) / (Σp + Σt + ε); Jaccard 1 − (TP + ε) / (Σp + Σt −
    TP + ε); Tversky (Salehi et al. 2017) 1 − (TP + ε) / (TP + αFP + βFN + ε); Focal-Tversky
    (Abraham & Khan 2019) its γ-th root.
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
            return loss.clamp(min=1e-7) ** (1 / term.gamma)  # the root's slope at 0 is infinite
    raise InputFault(f"the loss term {term.name!r} is no fraction of overlaps")


def _overlap(term: LossTerm, logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    probabilities = _probabilities(term, logits)
    sums = [
        torch.einsum("bkhw,bkhw->bk", probabilities, targets),
        probabilities.sum(PIXELS),
        targets.sum(PIXELS),
    ]
    there = sums[-1] > 0
    if term.over == "batch":
        sums = [count.sum(0, keepdim=True) for count in sums]
        there = there.any(0, keepdim=True)
    losses = overlap_losses(term, *sums)
    match term.empty:
        case "count":
            return _mean(losses, weights)
        case "skip":
            return _mean(losses, weights, counted=there)
        case "bce":
            return _mean(torch.where(there, losses, _bce_like(losses, logits, targets)), weights)


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
