"""Is a gain real? Paired tests over groups (patients, scans), which are drawn again, not images.

`step_gain` judges a fitted step by two tests that must agree: the paired bootstrap, which says how
large the gain is, and the permutation of before and after within groups, which is exact under the null
hypothesis that the step does nothing and so holds its level with few groups too, where the bootstrap
is too bold. `training_gain` compares two recipes over seeds.

Cross-fitted gains are not independent: every held-out part was scored by rules that saw all the other
parts, and their common noise makes the gain 1.25 to 1.7 times as uncertain (measured on candidates that
are equal by construction). Deviations are stretched as Nadeau and Bengio (2003) propose for
cross-validation: the variance grows from 1/J to 1/J + 1/(J − 1) with J parts.
"""

import math
from dataclasses import dataclass

import numpy as np

from competition.evaluation.bootstrap import DRAWS, LEVEL, bounds, group_totals, resampled
from competition.evaluation.metric_sums import MetricSums

LEAST_GAIN = 5e-5
"""Gains below this do not show in the four digits of a leaderboard: no rule is worth them."""


@dataclass(frozen=True)
class Gain:
    """How much better one way scores than another, with its 95 % interval over `groups` and `seeds`.

    probability: share of bootstrap draws above 0; p_value: of the permutation test (NaN where none
    was made). With one seed nothing is known of what another training would change.
    """

    gain: float
    low: float
    high: float
    significant: bool
    probability: float
    p_value: float
    groups: int
    seeds: int = 1


def stretch(parts: int | None) -> float:
    """How much wider a cross-fitted gain over so many held-out parts spreads; 1 where none is, or where
    one part is all there is, so that nothing was fitted.
    """
    return 1.0 if parts is None or parts < 2 else math.sqrt(1 + parts / (parts - 1))


def step_gain(
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    metric_sums: MetricSums,
    *,
    parts: int | None = None,
    seed: int = 0,
) -> Gain:
    """before, after: what each image adds to the score, (N, K, C); groups: (N,).

    parts: how many held-out parts they are cross-fitted over; None: nothing was fitted on these.
    """
    both = np.stack([before, after], axis=1)
    _, totals = group_totals(both, groups)
    gain = float(_gains(totals.sum(axis=0), metric_sums))
    count = len(totals)
    if np.array_equal(totals[:, 0], totals[:, 1]) or count < 2:
        return Gain(gain, gain, gain, False, probability=0.5, p_value=1.0, groups=count)
    generator = np.random.default_rng(seed)
    wide = stretch(parts)
    drawn = gain + wide * (_gains(resampled(totals, generator), metric_sums) - gain)
    low, high = bounds(drawn).tolist()
    probability = float(np.mean((drawn > 0) + 0.5 * (drawn == 0)))
    p_value = _permutation_p_value(totals, gain / wide, metric_sums, generator)
    significant = bootstrap_keeps(gain, probability) and p_value <= 1 - LEVEL
    return Gain(gain, low, high, significant, probability, p_value, count)


def bootstrap_keeps(gain: float, probability: float) -> bool:
    """Whether the first test keeps a step: it gains in enough draws, and enough to show."""
    return probability >= LEVEL and gain >= LEAST_GAIN


def training_gain(
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    metric_sums: MetricSums,
    *,
    comparisons: int = 1,
) -> Gain:
    """before, after: what each image adds to the score of each training, (S, N, K, C); groups: (N,).

    The s-th trainings of both sides share their seed. Groups and seeds are drawn again, both sides
    alike, so what is hard for both cancels. Seeds are few: their share of the deviation is stretched
    by √(S / (S − 1)), without which two seeds would look 0.7 times as uncertain as they are. With
    several comparisons, each must stand at 5 % divided by their number (Bonferroni).
    """
    both = np.stack([before, after], axis=2)  # (S, N, 2, K, C)
    _, totals = group_totals(both.swapaxes(0, 1), groups)  # (G, S, 2, K, C)
    count, seeds = totals.shape[:2]
    gain = float(np.mean(_gains(totals.sum(axis=0), metric_sums)))
    if count < 2:
        return Gain(gain, math.nan, math.nan, False, math.nan, math.nan, count, seeds)
    generator = np.random.default_rng(0)
    by_seed = _gains(resampled(totals, generator), metric_sums)  # (D, S)
    drawn = np.sum(by_seed * _seed_weights(seeds, generator), axis=1)
    low, high = bounds(drawn).tolist()
    least, most = bounds(drawn, level=1 - (1 - LEVEL) / comparisons).tolist()
    probability = float(np.mean((drawn > 0) + 0.5 * (drawn == 0)))
    significant = least > 0 or most < 0
    return Gain(gain, low, high, significant, probability, math.nan, count, seeds)


def _seed_weights(seeds: int, generator: np.random.Generator) -> np.ndarray:
    """The share of each seed in each draw, float64 (DRAWS, S), each row summing to one."""
    if seeds == 1:
        return np.ones((DRAWS, 1))
    share = resampled(np.eye(seeds), generator) / seeds
    return 1 / seeds + math.sqrt(seeds / (seeds - 1)) * (share - 1 / seeds)


def _gains(sums: np.ndarray, metric_sums: MetricSums) -> np.ndarray:
    """Gain of the second side over the first, from sums (…, 2, K, C): (…,)."""
    scores = metric_sums.overall(sums)
    return scores[..., 1] - scores[..., 0]


def _permutation_p_value(
    totals: np.ndarray, gain: float, metric_sums: MetricSums, generator: np.random.Generator
) -> float:
    """How often exchanging before and after at random within groups (G, 2, K, C) gains as much."""
    swapped = generator.integers(0, 2, (DRAWS, len(totals))).astype(float)
    change = np.tensordot(swapped, totals[:, 1] - totals[:, 0], axes=1)
    whole = totals.sum(axis=0)
    gains = _gains(np.stack([whole[0] + change, whole[1] - change], axis=1), metric_sums)
    return float((1 + np.sum(gains >= gain - 1e-12)) / (DRAWS + 1))
