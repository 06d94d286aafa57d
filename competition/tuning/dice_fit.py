"""The Dice of one class under a linear decision, as a smooth function of its weights, and its best.

z = weights · features + bias, p = sigmoid(SHARPNESS z). An image's Dice is that of its exact counts
changed by the drawn pixels' p. The mean over images is maximised by L-BFGS (Nocedal 1980), less a
penalty on what differs from the start, so that few pixels change little.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

SHARPNESS = 2.0
"""Of the sigmoid that stands for the decision: a pixel at logit ±2 is decided by .98."""

ROUNDS = 20
"""L-BFGS iterations at most."""

_SMOOTH = 0.1
"""Pixels added to Dice above and below, as a share of the mean labelled area: an image without the
class then gains when what is wrongly predicted shrinks, where Dice itself stays 0."""


@dataclass(frozen=True, eq=False)
class Problem:
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

    def smooth_pixels(self) -> float:
        present = self.labelled[self.labelled > 0]
        return _SMOOTH * float(present.mean()) if len(present) else 1.0

    def loss(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """1 − mean Dice at decisions z (P,), and its slope by z, float64 (P,)."""
        p = expit(SHARPNESS * z)
        change = self.weight * (p - self.before)
        predicted = self.predicted + np.add.reduceat(change, self.starts)
        common = self.common + np.add.reduceat(change * self.truth, self.starts)
        smooth = self.smooth_pixels()
        below = np.maximum(self.labelled + predicted, 0) + smooth
        dice = (2 * common + smooth) / below
        sizes = np.diff(self.starts, append=len(z))
        per_pixel = (2.0 * self.truth - np.repeat(dice, sizes)) / np.repeat(below, sizes)
        slope = -per_pixel * self.weight * SHARPNESS * p * (1 - p) / len(dice)
        return 1 - float(dice.mean()), slope


def best_row(problem: Problem, start: np.ndarray, penalty: np.ndarray) -> np.ndarray:
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
