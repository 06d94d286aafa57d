"""Heads fitted on samples of stored logits: each member's, class by class, starting as the identity.

The Dice of one class under a linear decision is made a smooth function of its weights: z = weights ·
features + bias, p = sigmoid(SHARPNESS z). An image's Dice is that of its exact counts changed by the
drawn pixels' p. The mean over images is maximised by L-BFGS (Nocedal 1980), less a penalty on what
differs from the start, so that few pixels change little.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from competition.decoding.head import Head, HeadKind, identity_row
from competition.tuning.pixel_samples import ClassSample, Samples

SHARPNESS = 2.0
"""Of the sigmoid that stands for the decision: a pixel at logit ±2 is decided by .98."""

ROUNDS = 20
"""L-BFGS iterations at most."""

OWN, OTHERS = 1e-4, 1e-2
"""Penalties on the squared distance from the identity, against a Dice between 0 and 1: of a class's
own logit and bias, and of other classes' logits."""

_SMOOTH = 0.1
"""Pixels added to Dice above and below, as a share of the mean labelled area: an image without the
class then gains when what is wrongly predicted shrinks, where Dice itself stays 0."""


@dataclass(frozen=True, eq=False)
class SmoothDice:
    """One class of some images.

    features: float32 (F, P); truth, before: bool (P,), `before` is what the counts decided; weight:
    float32 (P,); starts: int64 places (n,) where the pixels of each of n images begin; labelled,
    predicted, common: float64 (n,) exact counts of the old decision.
    """

    features: np.ndarray
    truth: np.ndarray
    before: np.ndarray
    weight: np.ndarray
    starts: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray
    common: np.ndarray

    @classmethod
    def of(
        cls, sample: ClassSample, features: np.ndarray, before: np.ndarray, counts: np.ndarray
    ) -> "SmoothDice":
        """The images of `sample`; features (F, P), before bool (P,), counts (3, N) of all images."""
        images, starts = np.unique(sample.image, return_index=True)
        return cls(features, sample.truth, before, sample.weight, starts, *counts[:, images])

    def loss(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """1 − mean Dice at decisions z (P,), and its slope by z, float64 (P,)."""
        p = expit(SHARPNESS * z)
        change = self.weight * (p - self.before)
        predicted = self.predicted + np.add.reduceat(change, self.starts)
        common = self.common + np.add.reduceat(change * self.truth, self.starts)
        present = self.labelled[self.labelled > 0]
        smooth = _SMOOTH * float(present.mean()) if len(present) else 1.0
        below = np.maximum(self.labelled + predicted, 0) + smooth
        dice = (2 * common + smooth) / below
        sizes = np.diff(self.starts, append=len(z))
        per_pixel = (2.0 * self.truth - np.repeat(dice, sizes)) / np.repeat(below, sizes)
        slope = -per_pixel * self.weight * SHARPNESS * p * (1 - p) / len(dice)
        return 1 - float(dice.mean()), slope


def best_row(problem: SmoothDice, start: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights and bias float64 (F + 1,) of the best mean Dice less Σ penalty · (row − start)².

    start, penalty: float64 (F + 1,).
    """

    def value(row: np.ndarray) -> tuple[float, np.ndarray]:
        weights = row.astype(np.float32)
        loss, slope = problem.loss(weights[:-1] @ problem.features + weights[-1])
        away = row - start
        by_row = np.append(problem.features @ slope.astype(np.float32), slope.sum())
        return loss + float(penalty @ away**2), by_row + 2 * penalty * away

    if problem.features.shape[1] == 0:
        return start
    return minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x


def fit_heads(kind: HeadKind, samples: Samples, chosen: np.ndarray) -> tuple[Head, ...]:
    """One head a member, fitted on chosen images, bool (N,)."""
    classes = list(enumerate(sample.where(chosen) for sample in samples.classes))
    rows = (
        np.stack([_row(kind, samples, member, k, sample) for k, sample in classes])
        for member in range(len(samples.members))
    )
    return tuple(Head.of_rows(kind, one) for one in rows)


def _row(kind: HeadKind, samples: Samples, member: int, k: int, sample: ClassSample) -> np.ndarray:
    """The row of class k of one member's head."""
    start = identity_row(kind, k, len(samples.classes))
    before = sample.codes[member, k] >= 128
    features = sample.logits(member, features_of(kind, k))
    problem = SmoothDice.of(sample, features, before, samples.counts(member, k))
    penalty = np.where(start == 1, OWN, OTHERS)
    penalty[-1] = OWN
    return best_row(problem, start, penalty)


def features_of(kind: HeadKind, k: int) -> slice:
    """The classes whose logits a head of this kind sees for class k."""
    return slice(k, k + 1) if kind == "scale and bias" else slice(None)
