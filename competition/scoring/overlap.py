"""Dice, IoU and F-beta from three counts of pixels: the intersection and the two areas.

The counts are all that a score needs, and they add up over images. So a sweep over thresholds or
small components keeps them, int64, and turns them into scores in one step at the end.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from competition.masks.runs import Runs, intersection_area

Empty = Literal["one", "zero", "skip"]
EMPTY_SCORE: dict[str, float] = {"one": 1.0, "zero": 0.0, "skip": float("nan")}


def dice_statistics(truth: Runs, prediction: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of (intersection, truth, prediction) of each class: three int64 (K,).

    >>> truth, prediction = (Runs.from_dense(np.array([row])) for row in ([1, 1, 0], [0, 1, 1]))
    >>> dice_statistics(truth, prediction)
    (array([1]), array([2]), array([2]))
    """
    return intersection_area(truth, prediction), truth.area(), prediction.area()


def dice_from_statistics(
    intersection: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    eps: float = 0.0,
    empty: Empty = "one",
) -> np.ndarray:
    """(2 I + eps) / (T + P + eps), float64, for counts of any equal shape.

    Where truth and prediction are both empty the rule decides: 1, 0, or NaN for "skip".

    >>> dice_from_statistics(np.array([1, 0, 0]), np.array([2, 0, 0]), np.array([2, 0, 3]))
    array([0.5, 1. , 0. ])
    """
    return f_beta_from_statistics(intersection, truth, prediction, beta=1.0, eps=eps, empty=empty)


def f_beta_from_statistics(
    intersection: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    beta: float,
    eps: float = 0.0,
    empty: Empty = "one",
) -> np.ndarray:
    """((1 + b²) I + eps) / (b² T + P + eps) with b = beta; beta below 1 favours precision."""
    top = (1 + beta**2) * np.asarray(intersection) + eps
    bottom = beta**2 * np.asarray(truth) + np.asarray(prediction) + eps
    return _ratio(top, bottom, _both_empty(truth, prediction), empty)


def iou_from_statistics(
    intersection: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    eps: float = 0.0,
    empty: Empty = "one",
) -> np.ndarray:
    """(I + eps) / (T + P − I + eps), the Jaccard index."""
    union = np.asarray(truth) + np.asarray(prediction) - np.asarray(intersection)
    both_empty = _both_empty(truth, prediction)
    return _ratio(np.asarray(intersection) + eps, union + eps, both_empty, empty)


def _both_empty(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return (np.asarray(truth) == 0) & (np.asarray(prediction) == 0)


def _ratio(top: np.ndarray, bottom: np.ndarray, both_empty: np.ndarray, empty: Empty) -> np.ndarray:
    score = top / np.where(both_empty, 1.0, bottom)
    return np.where(both_empty, EMPTY_SCORE[empty], score)


def mean_precision_from_statistics(
    intersection: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    thresholds: Sequence[float],
    empty: Empty = "one",
) -> np.ndarray:
    """Share of the thresholds that the IoU of the whole mask exceeds, strictly.

    >>> counts = np.array([3]), np.array([5]), np.array([3])
    >>> mean_precision_from_statistics(*counts, thresholds=(0.5, 0.55, 0.6, 0.65))
    array([0.5])
    """
    intersection = np.asarray(intersection)
    union = np.asarray(truth) + np.asarray(prediction) - intersection
    hits = np.sum([exceeds(intersection, union, one) for one in thresholds], axis=0)
    both_empty = _both_empty(truth, prediction)
    return _ratio(hits, np.full(union.shape, len(thresholds)), both_empty, empty)


def frequency_weighted(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean of the scores (K,) of classes, each weighted by its true pixels (K,); NaN not counted.

    >>> frequency_weighted(np.array([0.9, 0.5, np.nan]), np.array([300, 100, 0]))
    0.8
    """
    counted = ~np.isnan(scores)
    return float(np.average(scores[counted], weights=truth[counted]))


def exceeds(intersection: np.ndarray, union: np.ndarray, threshold: float) -> np.ndarray:
    """intersection / union > threshold, in whole numbers: an IoU of 3/5 does not exceed 0.6.

    `np.arange(0.5, 1, 0.05)` holds 0.6000000000000001; the decimal that was meant is taken here.
    """
    meant = Fraction(str(threshold)).limit_denominator(10_000)
    return intersection * meant.denominator > meant.numerator * union
