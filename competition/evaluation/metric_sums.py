"""The competition's metric as sums: what an image adds, and the score of what was added.

A mean over images adds (score, 1), or (0, 0) where the metric skips the image; a metric over pooled
pixels adds its counts. Either way the score of any set of images is a function of one sum, so a
threshold sweep, a fold and a bootstrap draw are all sums of the same rows.
"""

from dataclasses import dataclass

import numpy as np

from competition.errors import InputFault
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.masks import Runs
from competition.scoring import (
    CONNECTED_COMPONENTS,
    Metric,
    ObjectRule,
    dice_statistics,
    score_from_statistics,
    score_image,
)
from competition.settings import Settings
from competition.spec import Competition


class Score(Settings):
    """A score with its 95 % bootstrap interval over groups (None with fewer than two groups)."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        between = "" if self.low is None else f" ({self.low:.4f} to {self.high:.4f})"
        return f"{self.value:.4f}{between}"


@dataclass(frozen=True)
class MetricSums:
    """What images add to the score of `metric`, and the score of such sums.

    spacing: mm of a pixel down and across, for metrics of distances; objects: how a predicted mask
    becomes objects, for metrics of those. In sums more is always better: where the metric is a
    distance they hold it with its sign turned. Shape letters: N images, K classes, C numbers that
    are added up (2 for a mean, 3 for pooled pixels).
    """

    metric: Metric
    spacing: tuple[float, float] = (1.0, 1.0)
    objects: ObjectRule = CONNECTED_COMPONENTS

    def __post_init__(self) -> None:
        if self.metric.over_volumes:
            raise InputFault(
                f"{self.metric.name!r} sees the slices of a scan as one volume; what is added up "
                "here are single images, so it can neither be tuned for nor scored here"
            )

    @classmethod
    def of(cls, competition: Competition) -> "MetricSums":
        spacing = competition.data.spacing or (1.0, 1.0)
        return cls(competition.metric, spacing, competition.objects)

    @property
    def pooled(self) -> bool:
        return self.metric.over == "pixels"

    @property
    def sign(self) -> int:
        return 1 if self.metric.higher_is_better else -1

    def of_image(self, truth: Runs, prediction: Runs, *, ignored: Runs | None = None) -> np.ndarray:
        """What one image adds, float64 (K, C): see `from_counts`.

        ignored: pixels (1, H, W) that do not count: they are taken away from both masks before
        anything is counted, matched or measured.
        """
        if ignored is not None:
            truth, prediction = truth.without(ignored), prediction.without(ignored)
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

        >>> dice = MetricSums(Metric(name="dice"))
        >>> dice.from_counts(np.array([1, 0]), np.array([2, 0]), np.array([2, 0]))
        array([[0.5, 1. ],
               [1. , 1. ]])
        """
        if self.pooled:
            return np.stack([intersection, truth, predicted], axis=-1).astype(np.float64)
        return self.from_scores(score_from_statistics(intersection, truth, predicted, self.metric))

    def per_class(self, sums: np.ndarray) -> np.ndarray:
        """Score of each class from sums (..., K, C), more is better; NaN where nothing is counted."""
        if self.pooled:
            return score_from_statistics(sums[..., 0], sums[..., 1], sums[..., 2], self.metric)
        return _ratio(sums[..., 0], sums[..., 1])

    def overall(self, sums: np.ndarray) -> np.ndarray:
        """The score from sums (..., K, C), more is better: a mean over all counted, or over classes."""
        if self.pooled:
            classes = self.per_class(sums)
            counted = ~np.isnan(classes)
            return _ratio(np.where(counted, classes, 0.0).sum(axis=-1), counted.sum(axis=-1))
        return _ratio(sums[..., 0].sum(axis=-1), sums[..., 1].sum(axis=-1))

    def value(self, sums: np.ndarray) -> float:
        """The score of images from their sums (N, K, C), as the metric has it."""
        return self.sign * float(self.overall(sums.sum(axis=0)))

    def score(self, sums: np.ndarray, groups: np.ndarray) -> Score:
        """The score of images (N, K, C) with its bootstrap interval over groups (N,)."""
        _, totals = group_totals(sums, groups)
        low = high = np.nan
        if len(totals) > 1:
            drawn = self.sign * self.overall(resampled(totals, np.random.default_rng(0)))
            low, high = bounds(drawn).tolist()
        if np.isnan(low):
            return Score(value=self.value(sums), low=None, high=None)
        return Score(value=self.value(sums), low=low, high=high)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(total, np.float64) / count
