"""What the private leaderboard will say, and how far to trust the order of our submissions.

The Private score is that of other people than ours: both samples have noise. Groups are drawn twice
from those that we know, once as many as were scored out of fold, once as many as are Private; the
difference of the two scores is how far Private may lie from out of fold. What is submitted is the
mean of the folds' networks, what was scored is one of them at a time: `averaging.py` says by how much
the mean is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from competition.tuning.averaging import Shift
from competition.tuning.groups import GroupSums
from competition.tuning.measure import Measure
from competition.tuning.record import Record

DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class BoardSize:
    """How many groups, each as large as ours on average, are Public and Private."""

    public: int
    private: int

    @classmethod
    def of(cls, groups: int, images: int, share: float, sums: GroupSums) -> "BoardSize":
        """From the test part's groups and images and the public share of it.

        Where the test part does not say whose an image is, each is a group there; images count for
        as many groups as ours would be.
        """
        alike = max(2, min(groups, round(images / float(sums.images.mean()))))
        public = min(alike - 1, max(1, round(share * alike)))
        return cls(public, alike - public)


class Expected(Record):
    """What Private will be, with 95 % confidence; spread: |Public − Private| stays below it in 95 %
    of splits like this one.
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

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def expect_private(
    sums: GroupSums, measure: Measure, size: BoardSize, shift: Shift, *, seed: int = 0
) -> Expected:
    """The prediction interval of Private from out-of-fold sums; needs two groups or more.

    Deviations are stretched by √(G/(G−1)) · t/z with G − 1 degrees of freedom, since the bootstrap
    of few groups is too sure of itself.
    """
    generator = np.random.default_rng(seed)
    count = len(sums.names)
    ours, public, private = (
        _drawn(sums, measure, drawn, generator) for drawn in (count, size.public, size.private)
    )
    wide = _stretch(count)
    unsure = generator.normal(0, shift.error, DRAWS)
    error = wide * (private - ours) + unsure
    value = measure.sign * float(measure.overall(sums.parts.sum(axis=0))) + shift.value
    around = np.nanquantile(error, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    most = 1.0 if measure.sign > 0 else math.inf  # a score; a distance has no end
    value, low, high = np.clip([value, *(value + around)], 0.0, most).tolist()
    spread = np.nanquantile(np.abs(wide * (public - private)), LEVEL)
    return Expected(
        value=value,
        low=low,
        high=high,
        shift=shift.value,
        shift_error=shift.error,
        spread=float(spread),
        groups=count,
        public_groups=size.public,
        private_groups=size.private,
    )


def probability_better(
    first: GroupSums,
    second: GroupSums,
    measure: Measure,
    *,
    parts: int | None = None,
    seed: int = 0,
) -> float | None:
    """How probably `first` is the better one, from the same draws of groups for both.

    None where they were not scored on the same groups, or on fewer than two. parts: how many parts
    rules were cross-fitted over, None where nothing was fitted; see `acceptance`.
    """
    same = first.names == second.names and np.array_equal(first.images, second.images)
    if not same or len(first.names) < 2:
        return None
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(first.names), _even(len(first.names)), size=DRAWS)
    drawn = _weighted(first, measure, weights) - _weighted(second, measure, weights)
    whole = measure.overall(np.stack([first.parts.sum(axis=0), second.parts.sum(axis=0)]))
    gain = float(whole[0] - whole[1])
    wide = _stretch(len(first.names)) * (1 if parts is None else math.sqrt(1 + parts / (parts - 1)))
    drawn = gain + wide * (drawn - gain)
    return float(np.mean((drawn > 1e-12) + 0.5 * (np.abs(drawn) <= 1e-12)))


@dataclass(frozen=True, eq=False)
class Candidate:
    """One submission's out-of-fold sums; parts: see `probability_better`."""

    sums: GroupSums
    parts: int | None


def ranking(entries: Sequence[Candidate], measure: Measure) -> np.ndarray:
    """float64 (S, S): how probably the row's submission is better than the column's; NaN unknown."""
    table = np.full((len(entries), len(entries)), np.nan)
    for row, one in enumerate(entries):
        for column, other in enumerate(entries[:row]):
            parts = [p for p in (one.parts, other.parts) if p is not None]
            found = probability_better(
                one.sums, other.sums, measure, parts=min(parts) if parts else None
            )
            if found is not None:
                table[row, column], table[column, row] = found, 1 - found
    return table


def _drawn(
    sums: GroupSums, measure: Measure, groups: int, generator: np.random.Generator
) -> np.ndarray:
    """Scores of so many groups drawn with replacement, float64 (DRAWS,)."""
    weights = generator.multinomial(groups, _even(len(sums.names)), size=DRAWS)
    return measure.sign * _weighted(sums, measure, weights)


def _weighted(sums: GroupSums, measure: Measure, weights: np.ndarray) -> np.ndarray:
    """More-is-better scores with groups taken (D, G) times: (D,)."""
    return measure.overall(np.tensordot(weights.astype(float), sums.parts, axes=1))


def _even(groups: int) -> np.ndarray:
    return np.full(groups, 1 / groups)


def _stretch(groups: int) -> float:
    from scipy.special import ndtri, stdtrit  # a quarter of a second, for those who need it

    quantile = (1 + LEVEL) / 2
    small = stdtrit(groups - 1, quantile) / ndtri(quantile)
    return float(small * math.sqrt(groups / (groups - 1)))
