"""A step is kept only where its gain on data that it was not fitted on is real.

Two tests over groups (people, not images), both must agree: the paired bootstrap, which says how
large the gain is, and the exchange of before and after within groups, which is exact under the null
hypothesis that the step does nothing and so holds its level with few groups too, where the bootstrap
is too bold.

Both take the images as independent. Cross-fitted gains are not: every part was scored by rules that
saw all the other parts, and their common noise makes the gain 1.25 to 1.7 times as uncertain (measured
on candidates that are equal by construction). Deviations are stretched as Nadeau and Bengio (2003)
propose for cross-validation: the variance grows from 1/J to 1/J + 1/(J − 1) with J parts.
"""

import math
from dataclasses import dataclass

import numpy as np

from competition.tuning.measure import Measure

DRAWS = 2000
LEVEL = 0.95
SMALLEST = 5e-5
"""Gains below this do not show in the four digits of a leaderboard: no rule is worth them."""


@dataclass(frozen=True)
class Verdict:
    """The gain of a step, its 95 % interval, the share of draws above 0, and the exchange p-value."""

    gain: float
    low: float
    high: float
    probability: float
    p_value: float

    @property
    def adopted(self) -> bool:
        real = self.probability >= LEVEL and self.p_value <= 1 - LEVEL
        return real and self.gain >= SMALLEST


def judge(
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    measure: Measure,
    *,
    parts: int | None = None,
    seed: int = 0,
) -> Verdict:
    """before, after: what each image adds to the score, (N, K, C); groups: (N,).

    parts: how many parts they are cross-fitted over; None: nothing was fitted on these images.
    """
    first, second = _totals(before, groups), _totals(after, groups)
    whole = measure.overall(np.stack([first.sum(axis=0), second.sum(axis=0)]))
    gain = float(whole[1] - whole[0])
    if np.array_equal(first, second) or len(first) < 2:
        return Verdict(gain, gain, gain, probability=0.5, p_value=1.0)
    generator = np.random.default_rng(seed)
    stretch = 1.0 if parts is None else math.sqrt(1 + parts / (parts - 1))
    drawn = _gains(first, second, _redrawn(len(first), generator), measure)
    drawn = gain + stretch * (drawn - gain)
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Verdict(
        gain,
        float(low),
        float(high),
        probability=float(np.mean((drawn > 0) + 0.5 * (drawn == 0))),
        p_value=_exchange_p_value(first, second, gain / stretch, measure, generator),
    )


@dataclass(frozen=True)
class Difference:
    """How much better one set-up scores than another, with its 95 % interval.

    certain: the interval, widened for the number of comparisons made, is free of 0; `groups` and
    `seeds` say what it was drawn over. With one seed it knows nothing of what another would change.
    """

    gain: float
    low: float
    high: float
    certain: bool
    groups: int
    seeds: int


def differ(
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    measure: Measure,
    *,
    comparisons: int = 1,
) -> Difference:
    """before, after: what each image adds to the score of each training, (S, N, K, C); groups: (N,).

    The s-th trainings of both sides share their seed. Groups and seeds are drawn again, both sides
    alike, so what is hard for both cancels. Seeds are few: their share of the deviation is stretched
    by √(S / (S − 1)), without which two seeds would look 0.7 times as uncertain as they are. With
    several comparisons, each must stand at 5 % divided by their number (Bonferroni).
    """
    pairs = [(_totals(b, groups), _totals(a, groups)) for b, a in zip(before, after, strict=True)]
    seeds, number = len(pairs), len(pairs[0][0])
    whole = np.ones((1, number))
    gain = float(np.mean([_gains(*pair, whole, measure) for pair in pairs]))
    if number < 2:
        return Difference(gain, math.nan, math.nan, False, number, seeds)
    generator = np.random.default_rng(0)
    weights = _redrawn(number, generator)
    by_seed = np.stack([_gains(*pair, weights, measure) for pair in pairs], axis=1)
    drawn = np.sum(by_seed * _seed_weights(seeds, generator), axis=1)
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = (1 - LEVEL) / comparisons / 2
    least, most = np.nanquantile(drawn, [tail, 1 - tail])
    return Difference(gain, float(low), float(high), bool(least > 0 or most < 0), number, seeds)


def _seed_weights(seeds: int, generator: np.random.Generator) -> np.ndarray:
    """The share of each seed in each draw, float64 (DRAWS, S), each row summing to one."""
    if seeds == 1:
        return np.ones((DRAWS, 1))
    share = _redrawn(seeds, generator) / seeds
    return 1 / seeds + math.sqrt(seeds / (seeds - 1)) * (share - 1 / seeds)


def _totals(parts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of each group's images, (G, K, C)."""
    _, place = np.unique(groups, return_inverse=True)
    totals = np.zeros((place.max() + 1, *parts.shape[1:]))
    np.add.at(totals, place, parts)
    return totals


def _redrawn(groups: int, generator: np.random.Generator) -> np.ndarray:
    """How often each group is drawn in as many draws as there are groups, float64 (DRAWS, G)."""
    places = generator.integers(0, groups, (DRAWS, groups))
    places += np.arange(DRAWS)[:, None] * groups
    counts = np.bincount(places.ravel(), minlength=DRAWS * groups)
    return counts.reshape(DRAWS, groups).astype(np.float64)


def _gains(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray, measure: Measure
) -> np.ndarray:
    """Gain of second over first with groups weighted, for each row of weights (D, G): (D,)."""
    scores = [measure.overall(np.tensordot(weights, side, axes=1)) for side in (first, second)]
    return scores[1] - scores[0]


def _exchange_p_value(
    first: np.ndarray,
    second: np.ndarray,
    gain: float,
    measure: Measure,
    generator: np.random.Generator,
) -> float:
    """How often exchanging before and after at random within groups gains as much."""
    swapped = generator.integers(0, 2, (DRAWS, len(first))).astype(float)
    change = np.tensordot(swapped, second - first, axes=1)
    exchanged = first.sum(axis=0) + change, second.sum(axis=0) - change
    gains = measure.overall(exchanged[1]) - measure.overall(exchanged[0])
    return float((1 + np.sum(gains >= gain - 1e-12)) / (DRAWS + 1))
