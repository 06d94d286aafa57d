"""Distances between outlines, in 2-D over (H, W) and in 3-D over (slices, H, W).

Outlines come from runs and distances from a k-d tree of their points, so no distance map of the
whole volume is made. `spacing` is the size of a pixel along each axis, in mm; 1 where unknown.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from competition.masks.geometry import pad, shift
from competition.masks.intervals import ranges
from competition.masks.runs import Runs
from competition.scoring.surface_elements import element_sizes


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
    holds a piece of surface, whose size `surface_elements` knows from which ones are.
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
