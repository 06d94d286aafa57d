"""The competition's metric as sums: what an image adds, and the score of what was added.

A mean over images adds (score, 1), or (0, 0) where the metric skips the image; a metric over pooled
pixels adds its counts. Either way the score of any set of images is a function of one sum, so a
threshold sweep, a fold and a bootstrap draw are all sums of the same rows.
"""

from dataclasses import dataclass

import numpy as np

from competition.errors import InputFault
from competition.masks import Runs
from competition.scoring import (
    CONNECTED_PARTS,
    Metric,
    ObjectRule,
    dice_statistics,
    interval,
    score_from_statistics,
    score_image,
)
from competition.scoring.bootstrap import Interval, pooled_interval
from competition.spec import Competition


@dataclass(frozen=True)
class Measure:
    """What images add to the score of `metric`, and the score of such sums.

    spacing: mm of a pixel down and across, for metrics of distances; objects: how a predicted mask
    becomes objects, for metrics of those. In sums more is always better:
    where the metric is a distance they hold it with its sign turned.
    """

    metric: Metric
    spacing: tuple[float, float] = (1.0, 1.0)
    objects: ObjectRule = CONNECTED_PARTS

    def __post_init__(self) -> None:
        if self.metric.over_volumes:
            raise InputFault(
                f"{self.metric.name!r} sees the slices of a scan as one volume; what is added up "
                "here are single images, so it can neither be tuned for nor scored here"
            )

    @classmethod
    def of(cls, competition: Competition) -> "Measure":
        spacing = competition.data.spacing or (1.0, 1.0)
        return cls(competition.metric, spacing, competition.objects)

    @property
    def pooled(self) -> bool:
        return self.metric.over == "pixels"

    @property
    def sign(self) -> int:
        return 1 if self.metric.higher_is_better else -1

    def parts(self, truth: Runs, prediction: Runs) -> np.ndarray:
        """What one image adds, float64 (K, C): see `from_counts`."""
        if self.metric.counts_pixels:
            return self.from_counts(*dice_statistics(truth, prediction))
        options = {"spacing": self.spacing, "objects": self.objects}
        return self.from_scores(score_image(truth, prediction, self.metric, **options))

    def from_scores(self, scores: np.ndarray) -> np.ndarray:
        """What images of these scores (...) add, NaN where the metric skips one: (..., 2)."""
        counted = ~np.isnan(scores)
        return np.stack([np.where(counted, self.sign * scores, 0.0), counted], axis=-1)

    def from_counts(
        self, intersection: np.ndarray, truth: np.ndarray, predicted: np.ndarray
    ) -> np.ndarray:
        """What images add, float64 (..., 2) or, pooled, (..., 3), from counts of equal shape (...).

        >>> dice = Measure(Metric(name="dice"))
        >>> dice.from_counts(np.array([1, 0]), np.array([2, 0]), np.array([2, 0]))
        array([[0.5, 1. ],
               [1. , 1. ]])
        """
        if self.pooled:
            return np.stack([intersection, truth, predicted], axis=-1).astype(np.float64)
        scores = score_from_statistics(intersection, truth, predicted, self.metric)
        return self.from_scores(scores)

    def per_class(self, sums: np.ndarray) -> np.ndarray:
        """Score of each class from sums (..., K, C); NaN where nothing is counted."""
        if self.pooled:
            return score_from_statistics(sums[..., 0], sums[..., 1], sums[..., 2], self.metric)
        return _ratio(sums[..., 0], sums[..., 1])

    def overall(self, sums: np.ndarray) -> np.ndarray:
        """The score from sums (..., K, C): a mean over all that is counted, or over classes."""
        if self.pooled:
            return self.per_class(sums).mean(axis=-1)
        return _ratio(sums[..., 0].sum(axis=-1), sums[..., 1].sum(axis=-1))

    def score(self, parts: np.ndarray) -> float:
        """The score of images from their parts (N, K, C), as the metric has it."""
        return self.sign * float(self.overall(parts.sum(axis=0)))

    def interval(self, parts: np.ndarray, groups: np.ndarray) -> Interval:
        """The score of images (N, K, C) with its 95 % bootstrap interval over groups (N,)."""
        if self.pooled:
            return pooled_interval(parts, groups, self.metric)
        scores = np.where(parts[..., 1] > 0, self.sign * parts[..., 0], np.nan)
        return interval(scores, groups)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(total, np.float64) / count
