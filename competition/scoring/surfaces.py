"""Distances between outlines, in 2-D over (H, W) and in 3-D over (slices, H, W).

Outlines come from runs and distances from a k-d tree of their points, so no distance map of the
whole volume is made. `spacing` is the size of a pixel along each axis, in mm; 1 where unknown.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import permutations, product

import numpy as np

from competition.masks.geometry import pad, shift
from competition.masks.intervals import ranges
from competition.masks.runs import Runs


def outline(mask: Runs) -> Runs:
    """Pixels of which a face neighbour is outside the mask or beyond the image (as scipy, monai)."""
    inner = mask
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inner &= shift(mask, down, right)
    if len(mask.shape) == 3:
        inner = inner & _through(mask, 1) & _through(mask, -1)
    return mask - inner


def hausdorff_95(truth: Runs, prediction: Runs, spacing: Sequence[float]) -> float:
    """95th percentile of the distances between two outlines, the larger of both directions.

    0 where both masks are empty, and the diagonal of the image where one of them is.
    """
    if not len(truth) and not len(prediction):
        return 0.0
    if not len(truth) or not len(prediction):
        return diagonal(truth.shape, spacing)
    points = [_points(outline(mask), spacing) for mask in (truth, prediction)]
    there, back = _nearest(points[0], points[1]), _nearest(points[1], points[0])
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def hausdorff(truth: Runs, prediction: Runs, spacing: Sequence[float]) -> float:
    """Hausdorff distance of two sets of pixels: how far a pixel of one can be from the other.

    Unlike the distance of outlines it is not large where a mask has a small hole the other lacks.
    0 where both are empty, and the diagonal of the image where one of them is.
    """
    if not len(truth) and not len(prediction):
        return 0.0
    if not len(truth) or not len(prediction):
        return diagonal(truth.shape, spacing)
    directed = (
        _nearest(_points(one - other, spacing), _points(outline(other), spacing))
        for one, other in ((truth, prediction), (prediction, truth))
    )
    return float(max(distances.max(initial=0.0) for distances in directed))


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of the diagonal of an image or volume, the bound of every distance in it."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def surface_dice(
    truth: Runs, prediction: Runs, *, tolerance: float, spacing: Sequence[float]
) -> float:
    """Share of both surfaces that lies within `tolerance` mm of the other one; NaN for no surface.

    Nikolov et al. 2018 (arXiv 1809.04430): every corner between pixels of which some are inside
    holds a piece of surface, whose size `element_sizes` knows from which ones are.
    At tolerance 0 a piece counts where the other mask has a piece at the same corner.
    """
    corners, sizes = zip(*(_surface(mask, spacing) for mask in (truth, prediction)), strict=True)
    total = sizes[0].sum() + sizes[1].sum()
    if total == 0:
        return float("nan")
    if tolerance == 0:
        near = [np.isin(corners[0], corners[1]), np.isin(corners[1], corners[0])]
    else:
        grid = tuple(side + 1 for side in truth.shape)
        points = [_located(corner, grid, spacing) for corner in corners]
        near = [
            _nearest(points[0], points[1]) <= tolerance,
            _nearest(points[1], points[0]) <= tolerance,
        ]
    return float((sizes[0][near[0]].sum() + sizes[1][near[1]].sum()) / total)


def _surface(mask: Runs, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Flat offset, in the grid one larger each way, and size of each piece of surface."""
    sizes = element_sizes(spacing)
    grid = tuple(side + 1 for side in mask.shape)
    corners = _corners(outline(mask))
    places = np.stack(np.unravel_index(corners, grid), axis=1)
    codes = np.zeros(len(corners), np.int64)
    for step in product((0, 1), repeat=len(grid)):
        codes = 2 * codes + _inside(mask, places + step - 1)
    kept = codes != len(sizes) - 1
    return corners[kept], sizes[codes[kept]]


def _corners(edges: Runs) -> np.ndarray:
    """Flat offsets of all corners of the pixels, in the grid one larger each way, ascending."""
    grid = pad(edges, 0, 1, 0, 1)
    grid |= shift(grid, 0, 1)
    grid |= shift(grid, 1, 0)
    if len(edges.shape) == 3:
        area = grid.height * grid.width
        taller = (grid.classes + 1, grid.height, grid.width)
        grid = Runs.trusted(grid.starts, grid.stops, taller) | Runs.trusted(
            grid.starts + area, grid.stops + area, taller
        )
    return ranges(grid.starts, grid.stops - grid.starts)


def _inside(mask: Runs, places: np.ndarray) -> np.ndarray:
    """Whether pixels (N, 2 or 3) are in the mask; those beyond the image are not."""
    within = np.all((places >= 0) & (places < mask.shape), axis=1)
    offsets = np.ravel_multi_index(tuple(places[within].T), mask.shape)
    run = np.searchsorted(mask.starts, offsets, side="right") - 1
    inside = np.zeros(len(places), bool)
    inside[within] = (run >= 0) & (offsets < mask.stops[run])
    return inside


def _through(volume: Runs, slices: int) -> Runs:
    """Moved along the first axis; what leaves the volume is lost."""
    move = slices * volume.height * volume.width
    starts, stops = volume.starts + move, volume.stops + move
    end = volume.classes * volume.height * volume.width
    kept = (starts >= 0) & (stops <= end)
    return Runs.trusted(starts[kept], stops[kept], volume.shape)


def _points(mask: Runs, spacing: Sequence[float]) -> np.ndarray:
    return _located(ranges(mask.starts, mask.stops - mask.starts), mask.shape, spacing)


def _located(offsets: np.ndarray, shape: Sequence[int], spacing: Sequence[float]) -> np.ndarray:
    """Coordinates of flat offsets, in mm: float64 (N, 2 or 3)."""
    return np.stack(np.unravel_index(offsets, shape), axis=1) * np.asarray(spacing, float)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others; infinite where there are none."""
    from scipy.spatial import KDTree

    if not len(others) or not len(points):
        return np.full(len(points), np.inf)
    return KDTree(others).query(points)[0]


Corner = tuple[int, ...]

# Triangles of each case by their normals: area in a cube of side 1, sides along the three axes.
_EIGHTH, _QUARTER = (0.125, 0.125, 0.125), (0.25, 0.25, 0.25)
_TRIANGLES: dict[int, list[tuple[float, float, float]]] = {
    0b00000000: [],
    0b00000001: [_EIGHTH],
    0b00000011: [(0.25, 0.25, 0.0)] * 2,
    0b00000110: [_EIGHTH] * 2,
    0b00000111: [(0.5, 0.0, 0.0), _QUARTER, _EIGHTH],
    0b00001111: [(0.5, 0.0, 0.0)] * 2,
    0b00010110: [_EIGHTH] * 3,
    0b00010111: [_EIGHTH, _EIGHTH, _QUARTER, _QUARTER],
    0b00011000: [_EIGHTH] * 2,
    0b00011001: [(0.0, 0.25, 0.25), (0.0, 0.25, 0.25), _EIGHTH],
    0b00011011: [_EIGHTH, (0.375, 0.375, 0.375), (0.0, 0.25, 0.25), (0.25, 0.0, 0.25)],
    0b00011110: [(0.5, 0.0, 0.0), _EIGHTH, _QUARTER, _EIGHTH],
    0b00111100: [(0.25, 0.25, 0.0)] * 4,
    0b01101001: [_EIGHTH] * 4,
}


def element_sizes(spacing: Sequence[float]) -> np.ndarray:
    """Length in mm (2-D, float64 (16,)) or area in mm² (3-D, (256,)) of surface for each code.

    >>> element_sizes((2.0, 1.0))[[0b0000, 0b0011, 0b0101, 0b1111]]
    array([0., 1., 2., 0.])
    """
    return _lengths(*spacing) if len(spacing) == 2 else _areas(spacing)


def _lengths(down: float, across: float) -> np.ndarray:
    """One pixel inside is cut off by half a diagonal, two neighbours by a straight line."""
    half_diagonal = 0.5 * np.hypot(down, across)
    lengths = np.full(16, half_diagonal)
    lengths[[0b0000, 0b1111]] = 0.0
    lengths[[0b0011, 0b1100]] = across
    lengths[[0b0101, 0b1010]] = down
    lengths[[0b0110, 0b1001]] = 2 * half_diagonal
    return lengths


def _areas(spacing: Sequence[float]) -> np.ndarray:
    # A normal is as long as its triangle is large: an axis scales with the other two sides.
    sides = np.prod(spacing) / np.asarray(spacing, float)
    return np.linalg.norm(_normals() * sides, axis=-1).sum(axis=-1)


@cache
def _normals() -> np.ndarray:
    """Normals without their signs of at most four triangles for each code: float64 (256, 4, 3)."""
    normals = np.zeros((256, 4, 3))
    for case, triangles in _TRIANGLES.items():
        for axes, turned in _symmetries():
            code = _code(turned(corner) for corner in _corners_inside(case))
            for position, triangle in enumerate(triangles):
                turned_triangle = [triangle[axis] for axis in axes]
                normals[[code, 255 - code], position] = turned_triangle
    return normals


def _symmetries() -> Iterator[tuple[Sequence[int], Callable[[Corner], Corner]]]:
    """The 48 turns and mirrors of the cube: the axis that each axis shows, and the move itself."""
    for axes in permutations(range(3)):
        for mirrored in product((0, 1), repeat=3):
            yield (
                axes,
                lambda corner, axes=axes, mirrored=mirrored: tuple(
                    corner[axis] ^ flip for axis, flip in zip(axes, mirrored, strict=True)
                ),
            )


def _corners_inside(code: int) -> list[Corner]:
    corners = product((0, 1), repeat=3)
    return [corner for index, corner in enumerate(corners) if code & (128 >> index)]


def _code(corners: Iterator[Corner]) -> int:
    return sum(128 >> (4 * z + 2 * y + x) for z, y, x in corners)
