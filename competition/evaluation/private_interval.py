"""What the private leaderboard will say, and how far to trust the order of our submissions.

The Private score is of other groups than ours: both samples have noise. Groups are drawn twice from
those that we know, once as many as were scored out of fold, once as many as are Private; the difference
of the two scores is how far Private may lie from out of fold.

What is submitted is the mean of the folds' networks, what was scored is one of them at a time. For a
squared error the gain of a mean over its members is exactly their mean distance from it (the ambiguity
decomposition, Krogh & Vedelsby 1995), which needs no labels. Other scores gain some *rate* of that
distance. So: the distance of the folds' masks from the mean's is measured on test images with the
competition's own metric, and the rate on labelled images, where several members (recipes) and their
mean are known both against each other and against the truth. With one member the rate is `USUAL`.
Folds differ otherwise than recipes do; `TRANSFER` is what that adds to the rate's standard error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from pydantic import Field

from competition.evaluation.bootstrap import DRAWS, LEVEL, bounds, group_totals, resampled
from competition.evaluation.groups import GroupSums
from competition.evaluation.metric_sums import Masks, MetricSums
from competition.evaluation.part_differences import PartDifference
from competition.evaluation.significance import stretch
from competition.masks import Runs
from competition.settings import Settings

"""Image → masks (K, H, W)."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error."""

    value: float
    error: float


USUAL = Estimate(0.1, 0.1)
"""The rate where one member says nothing about it; see docs/tuning.md for where it was measured."""

TRANSFER = 0.08
"""Standard deviation of the folds' rate from the members' one; measured in the same place."""

NO_SHIFT = Estimate(0.0, 0.0)
"""One fold: the network that was scored is the one that predicts the test images."""


def member_sums(
    images: Sequence[str],
    mean: Masks,
    singles: Sequence[Masks],
    metric_sums: MetricSums,
    *,
    truth: Masks | None = None,
    ignored: Mapping[str, Runs] = MappingProxyType({}),
) -> np.ndarray:
    """What images add to the score of the mean and of S single predictions, float64 (N, 1 + S, K, C).

    Against `truth`; without it against the mean, as if that were the truth: how far they are apart.
    ignored: by image the pixels (1, H, W) that do not count.
    """

    def masks(image: str) -> list[Runs]:
        return [mean(image), *(single(image) for single in singles)]

    return metric_sums.of_images(images, truth, masks, ignored=ignored)


def averaging_rate(
    apart: np.ndarray, scored: np.ndarray, groups: np.ndarray, metric_sums: MetricSums
) -> Estimate:
    """Gain in score per distance from the mean, from `member_sums` of labelled images: against the
    mean (apart) and against the truth (scored); groups (N,).

    Its error is that of a bootstrap over groups. A distance of nothing says nothing: `USUAL`.
    """
    _, totals = group_totals(np.stack([apart, scored], axis=1), groups)  # (G, 2, 1 + S, K, C)
    distance, gain = _mean_less_singles(totals.sum(axis=0), metric_sums)
    if len(totals) < 2 or not distance > 1e-9:
        return USUAL
    drawn = _mean_less_singles(resampled(totals, np.random.default_rng(0)), metric_sums)
    distances, gains = drawn[drawn[:, 0] > 1e-9].T
    error = math.hypot(float(np.nanstd(gains / distances)), TRANSFER)
    return Estimate(float(gain / distance), error)


def fold_shift(apart: np.ndarray, rate: Estimate, metric_sums: MetricSums) -> Estimate:
    """Expected score of the mean over folds less that of one network.

    apart: `member_sums` of the folds' test masks against their mean.
    """
    distance = float(_mean_less_singles(apart.sum(axis=0), metric_sums))
    return Estimate(metric_sums.sign * distance * rate.value, distance * rate.error)


def _mean_less_singles(sums: np.ndarray, metric_sums: MetricSums) -> np.ndarray:
    """Score of the mean less the average score of the singles, from sums (…, 1 + S, K, C): (…,)."""
    scores = metric_sums.overall(sums)
    return scores[..., 0] - scores[..., 1:].mean(axis=-1)


@dataclass(frozen=True)
class BoardSize:
    """How many groups, each as large as ours on average, are Public and Private."""

    public: int
    private: int

    @classmethod
    def of(cls, groups: int, images: int, share: float, sums: GroupSums) -> "BoardSize":
        """From the test set's groups and images and the public share of it.

        Where the test set does not say which group an image is of, each is a group there; images
        count for as many groups as ours would be.
        """
        alike = max(2, min(groups, round(images / float(sums.images.mean()))))
        public = min(alike - 1, max(1, round(share * alike)))
        return cls(public, alike - public)


class PrivateInterval(Settings):
    """What Private will be, with 95 % confidence; spread: |Public − Private| stays below it in 95 %
    of splits like this one; differs: where the test images are unlike the training images, for which
    no such interval holds.
    """

    value: float
    low: float
    high: float
    shift: float = Field(description="by how much the mean over folds is better than one of them")
    shift_error: float = Field(description="standard error of the shift")
    spread: float
    groups: int = Field(description="that were scored out of fold")
    public_groups: int
    private_groups: int
    differs: tuple[PartDifference, ...] = ()

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def private_interval(
    sums: GroupSums,
    metric_sums: MetricSums,
    size: BoardSize,
    shift: Estimate,
    *,
    differs: tuple[PartDifference, ...] = (),
    seed: int = 0,
) -> PrivateInterval:
    """The prediction interval of Private from out-of-fold sums; needs two groups or more.

    differs: noted beside it; nobody knows by how much that would have to widen it.
    """
    generator = np.random.default_rng(seed)
    count = len(sums.names)
    ours, public, private = (
        metric_sums.sign * metric_sums.overall(resampled(sums.sums, generator, size=drawn))
        for drawn in (count, size.public, size.private)
    )
    wide = _small_sample_stretch(count)
    error = wide * (private - ours) + generator.normal(0, shift.error, DRAWS)
    value = metric_sums.value(sums.sums) + shift.value
    most = 1.0 if metric_sums.sign > 0 else math.inf  # a score; a distance has no end
    value, low, high = np.clip([value, *(value + bounds(error))], 0.0, most).tolist()
    return PrivateInterval(
        value=value,
        low=low,
        high=high,
        shift=shift.value,
        shift_error=shift.error,
        spread=float(np.nanquantile(np.abs(wide * (public - private)), LEVEL)),
        groups=count,
        public_groups=size.public,
        private_groups=size.private,
        differs=differs,
    )


@dataclass(frozen=True, eq=False)
class RankedSums:
    """One submission's out-of-fold sums; parts: held-out parts that its rules were cross-fitted over,
    None where nothing was fitted; see `significance`.
    """

    sums: GroupSums
    parts: int | None


def probability_better(
    first: RankedSums, second: RankedSums, metric_sums: MetricSums, *, seed: int = 0
) -> float | None:
    """How probably `first` is the better one, from the same draws of groups for both.

    None where they were not scored on the same groups, or on fewer than two.
    """
    one, other = first.sums, second.sums
    same = one.names == other.names and np.array_equal(one.images, other.images)
    if not same or len(one.names) < 2:
        return None
    both = np.stack([one.sums, other.sums], axis=1)
    drawn = metric_sums.overall(resampled(both, np.random.default_rng(seed)))
    whole = metric_sums.overall(both.sum(axis=0))
    gain = float(whole[0] - whole[1])
    parts = [ranked.parts for ranked in (first, second) if ranked.parts is not None]
    wide = _small_sample_stretch(len(one.names)) * stretch(min(parts) if parts else None)
    gains = gain + wide * (drawn[:, 0] - drawn[:, 1] - gain)
    return float(np.mean((gains > 1e-12) + 0.5 * (np.abs(gains) <= 1e-12)))


def ranking(entries: Sequence[RankedSums], metric_sums: MetricSums) -> np.ndarray:
    """float64 (S, S): how probably the row's submission is better than the column's; NaN unknown."""
    table = np.full((len(entries), len(entries)), np.nan)
    for row, one in enumerate(entries):
        for column, other in enumerate(entries[:row]):
            found = probability_better(one, other, metric_sums)
            if found is not None:
                table[row, column], table[column, row] = found, 1 - found
    return table


def _small_sample_stretch(groups: int) -> float:
    """√(G/(G−1)) · t/z with G − 1 degrees of freedom: the bootstrap of few groups is too bold."""
    from scipy.special import ndtri, stdtrit  # a quarter of a second, for those who need it

    quantile = (1 + LEVEL) / 2
    small = stdtrit(groups - 1, quantile) / ndtri(quantile)
    return float(small * math.sqrt(groups / (groups - 1)))
