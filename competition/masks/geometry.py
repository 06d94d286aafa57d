"""Geometry on runs: crop, pad, shift, flip and resize, without a dense pixel."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np

from competition.errors import InputFault
from competition.masks import intervals
from competition.masks.runs import Runs


def crop(runs: Runs, top: int, left: int, height: int, width: int) -> Runs:
    """The window of `height` × `width` pixels whose first pixel is (top, left); inside the image."""
    if (
        height < 1
        or width < 1
        or not (0 <= top <= runs.height - height and 0 <= left <= runs.width - width)
    ):
        raise InputFault(
            f"a window of {height} × {width} at row {top}, column {left} "
            f"of an image of {runs.height} × {runs.width}"
        )
    return _moved(runs, -top, -left, (height, width))


def pad(runs: Runs, top: int, bottom: int, left: int, right: int) -> Runs:
    """The image with that many pixels of background added on each side (all >= 0)."""
    if min(top, bottom, left, right) < 0:
        raise InputFault(f"padding {(top, bottom, left, right)!r}; each must be ≥ 0")
    size = (runs.height + top + bottom, runs.width + left + right)
    return _moved(runs, top, left, size)


def join_rows(strips: Sequence[Runs]) -> Runs:
    """Masks of strips of rows, top to bottom, of one width and as many classes → those of all rows.

    >>> join_rows([Runs.full((2, 1, 3)), Runs.empty((2, 2, 3))]).area()
    array([3, 3])
    """
    height, width = sum(strip.height for strip in strips), strips[0].width
    starts, stops, above = [], [], 0
    for strip in strips:
        moved = strip.starts // strip.plane * (height * width - strip.plane) + above * width
        starts.append(strip.starts + moved)
        stops.append(strip.stops + moved)
        above += strip.height
    ends = [np.sort(np.concatenate(one), kind="stable") for one in (starts, stops)]
    return _from_sorted(ends[0], ends[1], strips[0], (height, width))


def shift(runs: Runs, down: int, right: int) -> Runs:
    """Moved inside an image of the same size: what leaves it is lost, what enters is background."""
    return _moved(runs, down, right, (runs.height, runs.width))


def _moved(runs: Runs, down: int, right: int, size: tuple[int, int]) -> Runs:
    rows, lefts, rights = runs.segments()
    classes = rows // runs.height
    lines = rows - classes * runs.height + down
    lefts = np.maximum(lefts + right, 0)
    rights = np.minimum(rights + right, size[1])
    kept = (lines >= 0) & (lines < size[0]) & (lefts < rights)
    base = (classes * size[0] + lines)[kept] * size[1]
    return _from_sorted(base + lefts[kept], base + rights[kept], runs, size)


def _from_sorted(
    starts: np.ndarray, stops: np.ndarray, source: Runs, size: tuple[int, int]
) -> Runs:
    merged = intervals.joined(starts, stops, size[0] * size[1])
    return Runs.trusted(*merged, (*source.shape[:-2], *size))


def flip_horizontal(runs: Runs, swap: Sequence[int] | None = None) -> Runs:
    """Mirrored left to right; then class k of the result is what class swap[k] was mirrored to.

    `swap`: a permutation of the K classes, for classes that change their name in the mirror (the
    left first molar is the right first molar of the mirror image).
    """
    rows, lefts, rights = runs.segments()
    base = rows * runs.width
    starts, stops = base + runs.width - rights, base + runs.width - lefts
    mirrored = _from_sorted(np.sort(starts), np.sort(stops), runs, (runs.height, runs.width))
    if swap is None:
        return mirrored
    if sorted(swap) != list(range(runs.classes)):
        raise InputFault(f"swap {list(swap)!r} is no permutation of the {runs.classes} classes")
    swapped = mirrored.select(swap)
    return Runs.trusted(swapped.starts, swapped.stops, runs.shape)


def flip_vertical(runs: Runs) -> Runs:
    """Mirrored top to bottom."""
    rows, lefts, rights = runs.segments()
    classes = rows // runs.height
    base = (2 * classes * runs.height + runs.height - 1 - rows) * runs.width
    size = (runs.height, runs.width)
    return _from_sorted(np.sort(base + lefts), np.sort(base + rights), runs, size)


def resize_nearest(runs: Runs, size: tuple[int, int]) -> Runs:
    """Each target pixel takes the source pixel under its centre: floor((i + 1/2) · H / h).

    The formula of `F.interpolate(mode="nearest-exact")` in whole numbers. A centre exactly between two
    source pixels takes the second, which float arithmetic misses now and then.
    """
    height, width = _checked_size(size)
    rows, lefts, rights = runs.segments()
    columns, lines = _targets(runs.width, width), _targets(runs.height, height)
    lefts, rights = columns[lefts], columns[rights]
    classes = rows // runs.height
    sources = rows - classes * runs.height
    counts = np.where(lefts < rights, lines[sources + 1] - lines[sources], 0)
    base = intervals.ranges(classes * height + lines[sources], counts) * width
    starts, stops = base + np.repeat(lefts, counts), base + np.repeat(rights, counts)
    shape = (*runs.shape[:-2], height, width)
    return Runs.trusted(*intervals.covered(starts, stops, height * width), shape)


def _targets(source: int, target: int) -> np.ndarray:
    """int64 (source + 1,): how many of the target pixels have their centre before source edge x."""
    centres = (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)
    return np.searchsorted(centres, np.arange(source + 1))


def resize_area(runs: Runs, size: tuple[int, int], coverage: float = 0.5) -> Runs:
    """A target pixel is inside where the mask covers at least `coverage` of its area.

    `size`: target (h, w), smaller or larger; `coverage` in (0, 1], read as the decimal it prints as.
    Areas are counted in whole 1 / (h · w) parts of a source pixel, of which a target pixel has H · W:
    no rounding, and a share exactly at `coverage` is inside.
    """
    height, width = _checked_size(size)
    if not 0 < coverage <= 1:
        raise InputFault(f"a coverage of {coverage!r}; it must be > 0 and ≤ 1")
    lines, edges, lengths = _edges_over_lines(runs, height)
    starts, stops, areas = intervals.levels(
        *_area_steps(lines, edges, lengths, (runs.width, width))
    )
    inside = areas >= ceil(Fraction(str(coverage)) * runs.plane)
    starts, stops = starts[inside], stops[inside]
    spare = starts // (width + 1)  # the lines above, each laid out with one pixel more
    merged = intervals.joined(starts - spare, stops - spare, height * width)
    return Runs.trusted(*merged, (*runs.shape[:-2], height, width))


def _edges_over_lines(runs: Runs, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends of every segment, once for each target line it reaches: (line, column, length).

    In units of 1 / `height` source lines: source line y spans [y h, (y + 1) h), target line i
    [i H, (i + 1) H). `length` is what they share, negative for the right end.
    """
    rows, lefts, rights = runs.segments()
    classes = rows // runs.height
    tops = (rows - classes * runs.height) * height
    firsts = tops // runs.height
    counts = (tops + height - 1) // runs.height - firsts + 1
    lines = intervals.ranges(firsts, counts)
    tops, lefts, rights = (np.repeat(values, counts) for values in (tops, lefts, rights))
    shared = np.minimum(tops + height, (lines + 1) * runs.height)
    shared -= np.maximum(tops, lines * runs.height)
    lines += np.repeat(classes * height, counts)
    edges = np.concatenate([lefts, rights])
    return np.concatenate([lines, lines]), edges, np.concatenate([shared, -shared])


def _area_steps(
    lines: np.ndarray, edges: np.ndarray, lengths: np.ndarray, widths: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where, along lines of w + 1 target pixels, the area per pixel changes, and by how much.

    An edge at source column x lies in target pixel j = x w // W and takes part of it; every pixel
    from j + 1 on is taken in its whole width, until the other edge gives it back.
    """
    source, target = widths
    edges = edges * target
    columns = edges // source
    share = (columns + 1) * source - edges
    positions = lines * (target + 1) + columns
    steps = np.concatenate([lengths * share, lengths * (source - share)])
    return np.concatenate([positions, positions + 1]), steps


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise InputFault(f"a target size of {size!r}; height and width must be ≥ 1")
    return int(size[0]), int(size[1])


_LARGEST_OFFSET = 2**62


def transpose(runs: Runs) -> Runs:
    """The same masks over (W, H), or (K, W, H).

    >>> mask = Runs.from_dense(np.array([[1, 1, 0], [0, 1, 0]]))
    >>> transpose(mask).to_dense().astype(int)
    array([[1, 0],
           [1, 1],
           [0, 0]])
    """
    height, width = runs.height, runs.width
    shape = (*runs.shape[:-2], width, height)
    area = height * width
    # Each class gets room for area + 1 rows: then the row number of a pixel, added to
    # column * height, is its place among the column-major offsets of all classes at once.
    room = (area + 1) * width if runs.classes > 1 else area
    if runs.classes * room > _LARGEST_OFFSET:
        return Runs.stack([transpose(mask) for mask in runs])
    moved = (runs.starts // area) * (room - area)
    starts, stops = runs.starts + moved, runs.stops + moved
    ends = np.concatenate([starts, stops, starts + width, stops + width])
    ends.sort(kind="stable")  # a merge sort: takes sorted stretches as they are, twice as fast
    changes = _once(ends)
    pixels = intervals.ranges(changes[0::2], changes[1::2] - changes[0::2])
    rows = pixels // width
    borders = (pixels - rows * width) * height + rows
    borders.sort()
    # What leaves the bottom of a column and what enters the top of the next are one place.
    borders = _once(borders)
    borders -= borders // (area + 1)
    return Runs.trusted(borders[0::2].copy(), borders[1::2].copy(), shape)


def _once(ordered: np.ndarray) -> np.ndarray:
    """Values of an ascending array that occur once; the others occur twice and cancel."""
    if ordered.size == 0:
        return ordered
    differs = ordered[1:] != ordered[:-1]
    keep = np.ones(ordered.size, bool)
    keep[1:] = differs
    keep[:-1] &= differs
    return ordered[keep]
