"""Morphology on runs: components, holes, small objects, dilation and erosion, all classes at once."""

from collections.abc import Sequence

import numpy as np

from competition.errors import InputFault
from competition.masks import intervals
from competition.masks.objects import Objects
from competition.masks.runs import Runs

Segments = tuple[np.ndarray, np.ndarray, np.ndarray]


def components(runs: Runs, connectivity: int = 8) -> Objects:
    """The connected components of every class; connectivity 4 (edges) or 8 (edges and corners).

    Ordered by class, then by first pixel in row-major order.
    """
    rows, lefts, rights = segments = runs.segments()
    numbers, count = _numbered(segments, runs.height, runs.width, connectivity)
    classes = rows // runs.height
    owners = np.empty(count, np.int64)
    owners[numbers] = classes
    base = ((numbers - classes) * runs.height + rows) * runs.width
    starts, stops = np.sort(base + lefts), np.sort(base + rights)
    starts, stops = intervals.joined(starts, stops, runs.plane)
    return Objects(Runs.trusted(starts, stops, (count, runs.height, runs.width)), owners)


def _numbered(
    segments: Segments, height: int, width: int, connectivity: int
) -> tuple[np.ndarray, int]:
    """The component of each segment, counted from 0 in order of first segments, and their number.

    Segments are (row, left, right) as `Runs.segments` gives them; rows y and y + 1 are neighbours
    unless a class of `height` rows ends between them.
    """
    if connectivity not in (4, 8):
        raise InputFault(f"connectivity {connectivity!r}; expected 4 or 8")
    rows, lefts, rights = segments
    lines = rows + rows // height
    above, below = _neighbours((lines, lefts, rights), width, 1 if connectivity == 8 else 0)
    roots = _roots(len(rows), above, below)
    is_root = roots == np.arange(len(roots))
    return (np.cumsum(is_root) - 1)[roots], int(np.count_nonzero(is_root))


def _neighbours(segments: Segments, width: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of segments (above, below) in neighbouring rows that meet, by two sorted searches.

    Rows are laid out with a free pixel on either side, so that reaching one further (`reach` 1,
    corners) never reaches into another row.
    """
    rows, lefts, rights = segments
    stride = width + 2
    starts = rows * stride + lefts + 1
    stops = starts + (rights - lefts)
    firsts = np.searchsorted(stops, starts + (stride - reach), side="right")
    ends = np.searchsorted(starts, stops + (stride + reach), side="left")
    counts = np.maximum(ends - firsts, 0)
    return np.repeat(np.arange(len(rows)), counts), intervals.ranges(firsts, counts)


def _roots(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The smallest member of the connected component of each of `count` nodes, by their edges.

    Every round hooks the root of each edge's larger component to the smaller one and then shortens all
    paths, so a few rounds do, whatever the shape (Shiloach and Vishkin 1982).
    """
    parent = np.arange(count)
    while len(first):
        low = np.minimum(parent[first], parent[second])
        high = np.maximum(parent[first], parent[second])
        apart = low != high
        first, second, low, high = first[apart], second[apart], low[apart], high[apart]
        np.minimum.at(parent, high, low)
        shorter = parent[parent]
        while not np.array_equal(shorter, parent):
            parent, shorter = shorter, shorter[shorter]
    return parent


def fill_holes(runs: Runs) -> Runs:
    """Background that cannot reach the image's edge by steps along pixel edges becomes inside.

    Only gaps between two segments of a row can be holes; all other background is open already, and
    so is a gap that it touches in the row above or below.
    """
    rows, lefts, rights = runs.segments()
    same = rows[1:] == rows[:-1]
    gaps = (rows[1:][same], rights[:-1][same], lefts[1:][same])
    if not len(gaps[0]):
        return runs
    begins = np.flatnonzero(np.concatenate([[True], ~same]))
    ends = np.append(begins[1:], len(rows)) - 1
    outer = (rows[begins], lefts[begins], rights[ends])
    is_open = _meets_outside(gaps, outer, runs.height)
    numbers, count = _numbered(gaps, runs.height, runs.width, 4)
    component_is_open = np.zeros(count, bool)
    component_is_open[numbers[is_open]] = True
    hole = ~component_is_open[numbers]
    base = gaps[0][hole] * runs.width
    starts = np.concatenate([runs.starts, base + gaps[1][hole]])
    stops = np.concatenate([runs.stops, base + gaps[2][hole]])
    return Runs.trusted(*intervals.covered(starts, stops, runs.plane), runs.shape)


def _meets_outside(gaps: Segments, outer: Segments, height: int) -> np.ndarray:
    """Which gaps touch, in the row above or below, what lies left and right of all segments there.

    `outer`: for every row with segments its first left and last right end.
    """
    meets = np.zeros(len(gaps[0]), bool)
    classes = gaps[0] // height
    for step in (-1, 1):
        rows = gaps[0] + step
        index = np.minimum(np.searchsorted(outer[0], rows), len(outer[0]) - 1)
        held = (outer[0][index] == rows) & (rows // height == classes)
        meets |= ~held | (gaps[1] < outer[1][index]) | (gaps[2] > outer[2][index])
    return meets


def remove_small(runs: Runs, minimum_area: int | Sequence[int], connectivity: int = 8) -> Runs:
    """Without the components of fewer than `minimum_area` pixels (one number, or one per class)."""
    minimum = np.asarray(minimum_area)
    if minimum.shape not in ((), (runs.classes,)):
        raise InputFault(f"{minimum.size} minimum areas for {runs.classes} classes")
    objects = components(runs, connectivity)
    bars = np.broadcast_to(minimum, (runs.classes,))[objects.classes]
    return _united(objects, objects.runs.area() >= bars, runs)


def largest(runs: Runs, connectivity: int = 8) -> Runs:
    """The largest component of each class; of equals the one whose first pixel comes first."""
    objects = components(runs, connectivity)
    order = np.lexsort((-objects.runs.area(), objects.classes))
    firsts = np.unique(objects.classes[order], return_index=True)[1]
    kept = np.zeros(len(objects), bool)
    kept[order[firsts]] = True
    return _united(objects, kept, runs)


def _united(objects: Objects, kept: np.ndarray, source: Runs) -> Runs:
    united = objects.select(np.flatnonzero(kept)).to_classes(source.classes)
    return Runs.trusted(united.starts, united.stops, source.shape)


def dilate(runs: Runs, radius: int = 1) -> Runs:
    """Grown by `radius` pixels in all eight directions: a square of 2 radius + 1 around each pixel."""
    _check_radius(radius)
    rows, lefts, rights = runs.segments()
    lefts, rights = np.maximum(lefts - radius, 0), np.minimum(rights + radius, runs.width)
    base = (rows + _rows_added(rows, runs, radius)) * runs.width
    return _over_rows(base + lefts, base + rights, runs, radius, every=False)


def erode(runs: Runs, radius: int = 1, *, beyond_is_inside: bool = True) -> Runs:
    """Shrunk by `radius` pixels in all eight directions: what a square of 2 radius + 1 fits around.

    What lies beyond the image counts as inside (as in OpenCV), so that opening never adds and
    closing never removes; with `beyond_is_inside=False` the image's edge erodes too (as in scipy).
    """
    _check_radius(radius)
    rows, lefts, rights = runs.segments()
    lefts, rights = lefts + radius, rights - radius
    if beyond_is_inside:
        lefts = np.where(lefts == radius, 0, lefts)
        rights = np.where(rights == runs.width - radius, runs.width, rights)
    kept = lefts < rights
    base = (rows + _rows_added(rows, runs, radius)) * runs.width
    starts, stops = (base + lefts)[kept], (base + rights)[kept]
    if beyond_is_inside and radius:
        plane = (runs.height + 2 * radius) * runs.width
        tops = np.arange(runs.classes) * plane
        bottoms = tops + (runs.height + radius) * runs.width
        beyond = np.concatenate([tops, bottoms])
        starts = np.concatenate([starts, beyond])
        stops = np.concatenate([stops, beyond + radius * runs.width])
    return _over_rows(starts, stops, runs, radius, every=True)


def _check_radius(radius: int) -> None:
    if radius < 0:
        raise InputFault(f"a radius of {radius!r}; it must be ≥ 0")


def _rows_added(rows: np.ndarray, runs: Runs, radius: int) -> np.ndarray:
    """How far down each row moves when every class gets `radius` rows above and below."""
    return rows // runs.height * (2 * radius) + radius


def _over_rows(
    starts: np.ndarray, stops: np.ndarray, runs: Runs, radius: int, *, every: bool
) -> Runs:
    """Inside where one (or `every`) row from `radius` above to `radius` below is.

    Takes intervals with `radius` more rows above and below each class, in any order; the result has
    the shape of `runs`. A window of n rows is two windows of fewer rows, one of them moved down.
    """
    plane = (runs.height + 2 * radius) * runs.width
    starts, stops = intervals.covered(starts, stops, plane)
    held, times = 1, 2 if every else 1
    while held < 2 * radius + 1:
        step = min(held, 2 * radius + 1 - held)
        down = step * runs.width
        ends = (starts // plane + 1) * plane
        stays = starts + down < ends
        moved = (starts[stays] + down, np.minimum(stops + down, ends)[stays])
        both = np.concatenate([starts, moved[0]]), np.concatenate([stops, moved[1]])
        starts, stops = intervals.covered(*both, plane, times)
        held += step
    classes = starts // plane
    first = classes * plane + (2 * radius) * runs.width
    kept = stops > first
    base = (classes * runs.plane - first)[kept]
    starts = np.maximum(starts, first)[kept] + base
    return Runs.trusted(starts, stops[kept] + base, runs.shape)


def opening(runs: Runs, radius: int = 1) -> Runs:
    """Eroded, then dilated: what is thinner than 2 radius + 1 go."""
    return dilate(erode(runs, radius), radius)


def closing(runs: Runs, radius: int = 1) -> Runs:
    """Dilated, then eroded: gaps thinner than 2 radius + 1 go."""
    return erode(dilate(runs, radius), radius)


def boundary(runs: Runs) -> Runs:
    """Pixels with one of their eight neighbours outside the mask or beyond the image."""
    return runs - erode(runs, beyond_is_inside=False)
