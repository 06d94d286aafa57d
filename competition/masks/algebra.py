"""Set algebra and votes on the intervals of several masks: by their sorted edges, or by counting.

Sorting takes time by the edge and none by the pixel. Real masks have a run per hundreds of pixels, and
are sorted. White noise has one per four and is counted pixel by pixel, which keeps runs from ever being
the slower choice.
"""

from collections.abc import Sequence

import numpy as np

from competition.masks import dense, intervals
from competition.masks.intervals import Intervals

_CROWDED = 8  # pixels to a run of all members together: with fewer, counting is faster (measured)

Planes = tuple[int, int]  # how many, and pixels of each


def at_least(
    members: Sequence[Intervals], weights: Sequence[int], bar: int, planes: Planes
) -> Intervals:
    """Where the whole-number weights of the covering members add up to `bar` >= 1 or more.

    Members are canonical intervals over the same planes; the result is too.
    """
    if sum(len(starts) for starts, _ in members) * _CROWDED > planes[0] * planes[1]:
        return _counted(members, weights, bar, planes)
    if min(weights) == max(weights):
        starts = np.concatenate([starts for starts, _ in members])
        stops = np.concatenate([stops for _, stops in members])
        return intervals.covered(starts, stops, planes[1], -(-bar // weights[0]))
    positions = np.concatenate([edges for member in members for edges in member])
    steps = np.array([step for weight in weights for step in (weight, -weight)], np.int64)
    steps = np.repeat(steps, np.repeat([len(starts) for starts, _ in members], 2))
    starts, stops, totals = intervals.levels(positions, steps)
    inside = totals >= bar
    return intervals.joined(starts[inside], stops[inside], planes[1])


def difference(first: Intervals, second: Intervals, planes: Planes) -> Intervals:
    """What `first` covers and `second` does not."""
    if (len(first[0]) + len(second[0])) * _CROWDED > planes[0] * planes[1]:
        return _counted([first, second], [1, -1], 1, planes)
    return intervals.subtracted(first, second, planes[1])


def _counted(
    members: Sequence[Intervals], weights: Sequence[int], bar: int, planes: Planes
) -> Intervals:
    """`at_least` through the total at every pixel, in the narrowest integer that holds it."""
    reach = np.min_scalar_type(-sum(abs(weight) for weight in weights) - 1)
    totals = np.zeros(planes[0] * planes[1] + 1, reach)
    for (starts, stops), weight in zip(members, weights, strict=True):
        totals[starts] += weight  # the starts of one member differ, so no step is lost
        totals[stops] -= weight
    np.cumsum(totals, dtype=reach, out=totals)
    return dense.intervals_from_dense((totals[:-1] >= bar).reshape(planes[0], 1, planes[1]))
