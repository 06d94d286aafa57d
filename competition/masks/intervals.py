"""Half-open intervals as two int64 arrays, starts and stops: the arithmetic under `Runs`.

Intervals live on the flat C-order offsets of K planes of `plane` pixels each, and none crosses a plane.
Nothing here loops over intervals, rows or planes. Everything rests on one identity: with all starts
sorted (S) and all stops sorted (E), independently of each other, the offsets covered at least m times
are the union of [S[i + m - 1], E[i]) over all i. (With a starts and b stops at or below x, x is covered
a - b times; i = b proves one direction, a >= i + m and b <= i the other.) Two sorts of bare numbers
replace the sweep over marked events.
"""

from collections.abc import Sequence

import numpy as np

from competition.masks.dense import Intervals, intervals_from_dense


def joined(starts: np.ndarray, stops: np.ndarray, plane: int) -> Intervals:
    """Touching or overlapping neighbours become one; both arrays must be sorted.

    The end of one plane and the beginning of the next touch, and stay apart.
    """
    if len(starts) < 2:
        return starts, stops
    gap = starts[1:] > stops[:-1]
    touching = np.flatnonzero(starts[1:] == stops[:-1])
    if len(touching):
        gap[touching[starts[touching + 1] % plane == 0]] = True
    if gap.all():
        return starts, stops
    firsts = np.flatnonzero(gap) + 1
    return starts[np.append(0, firsts)], stops[np.append(firsts - 1, len(stops) - 1)]


def covered(starts: np.ndarray, stops: np.ndarray, plane: int, times: int = 1) -> Intervals:
    """What at least `times` of the given intervals cover; input in any order, output canonical.

    The input is usually a few sorted arrays in a row, which the stable sort merges in linear time.
    """
    starts, stops = np.sort(starts, kind="stable"), np.sort(stops, kind="stable")
    if times > 1:
        starts, stops = starts[times - 1 :], stops[: max(len(stops) - times + 1, 0)]
        kept = starts < stops
        starts, stops = starts[kept], stops[kept]
    return joined(starts, stops, plane)


def subtracted(first: Intervals, second: Intervals, plane: int) -> Intervals:
    """What `first` covers and `second` does not; both canonical.

    The complement of `second` on the whole line is its stops read as starts and its starts read as
    stops; the one start at minus infinity is S[0] of the identity above and so never needed.
    """
    starts = np.sort(np.concatenate([first[0], second[1]]), kind="stable")
    stops = np.sort(np.concatenate([first[1], second[0]]), kind="stable")
    kept = starts < stops
    return joined(starts[kept], stops[kept], plane)


def complement(starts: np.ndarray, stops: np.ndarray, plane: int, planes: int) -> Intervals:
    """The gaps of canonical intervals, plane by plane."""
    edges = np.arange(planes + 1, dtype=np.int64) * plane
    gap_starts = np.sort(np.concatenate([stops, edges[:-1]]), kind="stable")
    gap_stops = np.sort(np.concatenate([starts, edges[1:]]), kind="stable")
    kept = gap_starts < gap_stops
    return gap_starts[kept], gap_stops[kept]


def levels(positions: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The running total of steps along a line: (starts, stops, totals) of its nonzero stretches.

    Steps come in any order and add up to 0.

    >>> levels(np.array([2, 7, 2, 5]), np.array([1, -1, 3, -3]))
    (array([2, 5]), array([5, 7]), array([4, 1]))
    """
    order = np.argsort(positions, kind="stable")
    positions, totals = positions[order], np.cumsum(steps[order])
    stretches = (positions[1:] > positions[:-1]) & (totals[:-1] != 0)
    held = np.flatnonzero(stretches)
    return positions[held], positions[held + 1], totals[held]


def cut_at_planes(
    starts: np.ndarray, stops: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals cut at every multiple of `width`: (row, left, right) of each piece, in order.

    >>> cut_at_planes(np.array([1, 9]), np.array([7, 10]), 4)
    (array([0, 1, 2]), array([1, 0, 1]), array([4, 3, 2]))
    """
    firsts, lasts = starts // width, (stops - 1) // width
    if np.array_equal(firsts, lasts):
        base = firsts * width
        return firsts, starts - base, stops - base
    counts = lasts - firsts + 1
    rows = ranges(firsts, counts)
    ends = np.cumsum(counts)
    lefts, rights = np.zeros_like(rows), np.full_like(rows, width)
    lefts[ends - counts] = starts - firsts * width
    rights[ends - 1] = stops - lasts * width
    return rows, lefts, rights


def ranges(firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The ranges [first, first + count) one after the other.

    >>> ranges(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(firsts - ends + counts, counts)


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
        return covered(starts, stops, planes[1], -(-bar // weights[0]))
    positions = np.concatenate([edges for member in members for edges in member])
    steps = np.array([step for weight in weights for step in (weight, -weight)], np.int64)
    steps = np.repeat(steps, np.repeat([len(starts) for starts, _ in members], 2))
    starts, stops, totals = levels(positions, steps)
    inside = totals >= bar
    return joined(starts[inside], stops[inside], planes[1])


def difference(first: Intervals, second: Intervals, planes: Planes) -> Intervals:
    """What `first` covers and `second` does not."""
    if (len(first[0]) + len(second[0])) * _CROWDED > planes[0] * planes[1]:
        return _counted([first, second], [1, -1], 1, planes)
    return subtracted(first, second, planes[1])


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
    return intervals_from_dense((totals[:-1] >= bar).reshape(planes[0], 1, planes[1]))
