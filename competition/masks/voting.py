"""The hard vote of several masks, decided on their sorted run boundaries."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor, isfinite, lcm

from competition.errors import InputFault
from competition.masks import intervals
from competition.masks.runs import Runs

_TICKS = 2**52  # a float64 holds no finer share of the sum
_LARGEST_SUM = 2**62


def weighted_vote(
    masks: Sequence[Runs], *, weights: Sequence[float] | None = None, threshold: float = 0.5
) -> Runs:
    """Inside where the weights of the masks that hold the pixel exceed threshold × all weights.

    `masks`: n Runs of one shape; `weights`: n numbers >= 0, not all 0, one each by default;
    `threshold` in [0, 1). A sum exactly at the threshold is outside, and weights are read as the
    decimals they print as, so that .1 + .2 ties with .3.

    >>> import numpy as np
    >>> masks = [Runs.from_dense(np.array([row])) for row in ([1, 1, 0], [1, 0, 0], [0, 0, 1])]
    >>> weighted_vote(masks).to_dense().astype(int)
    array([[1, 0, 0]])
    """
    shapes = sorted({mask.shape for mask in masks})
    if len(shapes) != 1:
        raise InputFault(f"a vote of masks of shapes {shapes!r}; one or more of one shape can vote")
    if not 0 <= threshold < 1:
        raise InputFault(f"a vote at threshold {threshold!r}; must be ≥ 0 and < 1")
    shares = _shares([1] * len(masks) if weights is None else weights, len(masks))
    bar = floor(Fraction(str(threshold)) * sum(shares)) + 1
    members = [(mask.starts, mask.stops) for mask in masks]
    inside = intervals.at_least(members, shares, bar, (masks[0].classes, masks[0].plane))
    return Runs.trusted(*inside, shapes[0])


def _shares(weights: Sequence[float], count: int) -> list[int]:
    """Whole numbers in the ratio of the weights; rounded to 2**-52 of their sum where too fine."""
    if len(weights) != count:
        raise InputFault(f"{len(weights)} weights for {count} masks")
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InputFault(f"weights {list(weights)!r}; each must be ≥ 0, and one > 0")
    exact = [Fraction(str(weight)) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact))
    if scale * sum(exact) < _LARGEST_SUM:
        return [int(weight * scale) for weight in exact]
    return [round(weight / sum(exact) * _TICKS) for weight in exact]
