"""Polygons as annotators draw them, to runs and back without losing a pixel."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from competition.errors import InputFault, listed
from competition.masks import intervals
from competition.masks.geometry import crop
from competition.masks.morphology import components, fill_holes
from competition.masks.runs import Runs

_REACH = 10  # images: an annotator's hand slips over the edge, not this far


Coordinates = Literal["centres", "edges"]
"""Where the point (0, 0) is in the first pixel: at its centre (cv2) or at its corner (COCO, CVAT)."""


def runs_from_polygons(
    polygons: Sequence[np.ndarray],
    size: tuple[int, int],
    coordinates: Coordinates = "edges",
) -> Runs:
    """The union of filled polygons as Runs of `size` (H, W).

    `polygons`: arrays (n, 2) of [x, y] vertices, whole numbers or floats, n >= 1. Each is filled alone,
    for cv2 turns the overlap of polygons given together into a hole; what lies out of the image is cut
    off. Coordinates that are not finite, or beyond ten times the image, are refused before any C code
    sees them.

    "centres": vertices are pixels (floats are rounded, halves up), and the pixels of the polygon are
    those that cv2.fillPoly draws: its outline belongs to it, one or two vertices make a point or a
    line. "edges": vertices are points of the plane, and a pixel belongs to the polygon that encloses
    its centre, by the even-odd rule; of two that share an edge exactly one has each pixel along it.

    >>> square = np.array([[1, 0], [2, 0], [2, 1], [1, 1]])
    >>> runs_from_polygons([square], (3, 4)).to_dense().astype(int)
    array([[0, 1, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    >>> runs_from_polygons([square], (3, 4), "centres").to_dense().astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    rings, empty = _checked(polygons, size), Runs.empty(size)
    if coordinates == "edges":
        return _united([_enclosed(ring, *size) for ring in rings], empty)
    return _united([_filled([_rounded(ring)], *size) for ring in rings], empty)


def runs_from_rings(shapes: Sequence[Sequence[np.ndarray]], size: tuple[int, int]) -> Runs:
    """The union of shapes with holes as Runs of `size` (H, W), for files that list holes (GeoJSON).

    A shape is its outline and then its holes, each a ring as `runs_from_polygons` takes a polygon. All
    rings belong to the shape, as in cv2: a hole begins inside of its ring.
    """
    counts = [len(rings) for rings in shapes]
    rings = map(_rounded, _checked([ring for rings in shapes for ring in rings], size))
    drawn = [[next(rings) for _ in range(count)] for count in counts if count]
    return _united([_filled(shape, *size) for shape in drawn], Runs.empty(size))


def _united(drawn: Sequence[intervals.Intervals], empty: Runs) -> Runs:
    if not drawn:
        return empty
    starts = np.concatenate([one[0] for one in drawn])
    stops = np.concatenate([one[1] for one in drawn])
    return Runs.trusted(*intervals.covered(starts, stops, empty.plane), empty.shape)


def _filled(rings: Sequence[np.ndarray], height: int, width: int) -> intervals.Intervals:
    """Intervals of one shape over (height, width), drawn on a canvas no larger than itself.

    The canvas ends where the shape or the image does, so cv2 clips as it would on the whole image.
    """
    vertices = np.concatenate(rings)
    first = np.maximum(vertices.min(axis=0), 0)
    beyond = np.minimum(vertices.max(axis=0) + 1, (width, height))
    if (first >= beyond).any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    canvas = np.zeros(tuple(beyond - first)[::-1], np.uint8)
    cv2.fillPoly(canvas, [(ring - first).astype(np.int32) for ring in rings], 1)
    rows, lefts, rights = Runs.from_dense(canvas.view(bool)).segments()
    base = (rows + first[1]) * width + first[0]
    return base + lefts, base + rights


def _enclosed(ring: np.ndarray, height: int, width: int) -> intervals.Intervals:
    """Intervals, over (height, width), of the pixels whose centres a ring (n, 2) of [x, y] encloses.

    Each edge crosses the centre lines of the rows from its upper end up to, and without, its lower
    one: so each row is crossed an even number of times, and what lies between two crossings is inside.
    """
    ends = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
    # from above to below whichever way the ring goes: neighbours then compute one crossing
    upward = ends[:, 0, 1] > ends[:, 1, 1]
    ends[upward] = ends[upward, ::-1]
    first, beyond = np.clip(np.ceil(ends[:, :, 1] - 0.5), 0, height).astype(np.int64).T
    counts = beyond - first
    left, top = np.repeat(ends[:, 0], counts, axis=0).T
    right, bottom = np.repeat(ends[:, 1], counts, axis=0).T
    rows = np.arange(counts.sum()) + np.repeat(first - (counts.cumsum() - counts), counts)
    crossings = left + (rows + 0.5 - top) * (right - left) / (bottom - top)
    columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)
    starts, stops = np.sort(rows * width + columns).reshape(-1, 2).T
    return starts[starts < stops], stops[starts < stops]


def _rounded(ring: np.ndarray) -> np.ndarray:
    return np.floor(ring + 0.5).astype(np.int64)


def _checked(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Each polygon as float64 (n, 2); all faulty ones are named in one fault."""
    checked, faults = [], []
    for index, polygon in enumerate(polygons):
        try:
            checked.append(_checked_vertices(polygon, size))
        except InputFault as fault:
            faults.append(f"polygon {index} {fault}")
    if faults:
        raise InputFault(listed(faults))
    return checked


def _checked_vertices(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    try:
        vertices = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise InputFault(f"is no array of [x, y] numbers: {fault}") from None
    if vertices.ndim != 2 or vertices.shape[1] != 2 or not len(vertices):
        raise InputFault(f"has shape {vertices.shape}; (vertices, 2), one at least, is asked for")
    limit = _REACH * np.array([size[1], size[0]])
    wrong = ~(np.abs(vertices) <= limit).all(axis=1)  # NaN compares false
    if wrong.any():
        raise InputFault(
            f"has the vertex {vertices[wrong][0].tolist()!r}; x within ±{limit[0]}, y within "
            f"±{limit[1]} is expected in an image of {size[0]} × {size[1]} (height × width)"
        )
    return vertices


def polygons_from_runs(runs: Runs, coordinates: Coordinates = "centres") -> list[np.ndarray]:
    """Runs (H, W) as simple polygons, int32 (n, 2) of [x, y], that `runs_from_polygons` fills back
    when it is told the same coordinates.

    A layout that lists polygons has no word for a hole, and annotators cut such shapes open. So does
    this. "centres": a component with holes is cut between pixel rows, each hole met by a cut. No band
    between two cuts encloses a hole then, each is what its outline fills, and their union is the
    component. "edges": a polygon is a chain of runs, one a row, in rows that follow each other. Its
    outline along the pixels' edges crosses the centre line of each row twice, at the ends of the run
    there, so it encloses these pixels and no others; every run is in one chain.
    Vertices on a straight (or diagonal) stretch are left out, which changes no pixel.
    """
    if len(runs.shape) != 2:
        raise InputFault(f"polygons of a mask of shape {runs.shape}; (height, width) is asked for")
    if coordinates == "edges":
        return _edge_outlines(runs)
    return [outline for layer in _layers_without_holes(runs) for outline in _outlines(layer)]


def _edge_outlines(runs: Runs) -> list[np.ndarray]:
    """The outline, along the edges of the pixels, of each chain of runs."""
    rows, lefts, rights = runs.segments()
    outlines = []
    for chain in _chains(rows, lefts, rights, runs.width):
        tops = np.repeat(rows[chain], 2)
        tops[1::2] += 1
        down = np.stack([np.repeat(lefts[chain], 2), tops], axis=1)
        up = np.stack([np.repeat(rights[chain], 2), tops], axis=1)[::-1]
        ring = np.concatenate([down, up])
        across = ring[:, 0]
        straight = (across == np.roll(across, 1)) & (across == np.roll(across, -1))
        outlines.append(ring[~straight].astype(np.int32))
    return outlines


def _chains(rows: np.ndarray, lefts: np.ndarray, rights: np.ndarray, width: int) -> list[list[int]]:
    """Indices of the runs of each chain, from above; runs cut at the row ends, int64 (N,), in order.

    A run goes on to the first one below that shares a column with it; where several go on to one, the
    others end there.
    """
    below = (rows + 1) * (width + 1)
    starts, stops = rows * (width + 1) + lefts, rows * (width + 1) + rights
    first = np.searchsorted(stops, below + lefts, side="right")
    goes_on = np.flatnonzero(first < np.searchsorted(starts, below + rights))
    follows = np.full(len(rows), -1)
    follows[first[goes_on]] = goes_on
    chains: list[list[int]] = []
    chain_of: list[int] = []
    for index, before in enumerate(follows.tolist()):
        if before < 0:
            chain_of.append(len(chains))
            chains.append([index])
        else:
            chain_of.append(chain_of[before])
            chains[chain_of[before]].append(index)
    return chains


def rings_from_runs(runs: Runs) -> list[list[np.ndarray]]:
    """Runs (H, W) as shapes with holes, that `runs_from_rings` fills back: for each 8-connected
    component its outline, then its holes, int32 (n, 2) of [x, y].
    """
    if len(runs.shape) != 2:
        raise InputFault(f"rings of a mask of shape {runs.shape}; (height, width) is asked for")
    if not len(runs):
        return []
    contours, parents = _contours(runs, cv2.RETR_CCOMP)
    shapes = {index: [ring] for index, ring in enumerate(contours) if parents[index] < 0}
    for ring, parent in zip(contours, parents, strict=True):
        if parent >= 0:
            shapes[parent].append(ring)
    return list(shapes.values())


def _outlines(runs: Runs) -> list[np.ndarray]:
    """The outer contour of each 8-connected component."""
    return _contours(runs, cv2.RETR_EXTERNAL)[0] if len(runs) else []


def _contours(runs: Runs, mode: int) -> tuple[list[np.ndarray], list[int]]:
    """cv2's contours of a mask that is not empty; for each the contour that it is a hole of, or -1."""
    top, left, bottom, right = runs.bounding_boxes()[0].tolist()
    canvas = crop(runs, top, left, bottom - top, right - left).to_dense().view(np.uint8)
    contours, tree = cv2.findContours(canvas, mode, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    return [contour.reshape(-1, 2) for contour in contours], tree[0, :, 3].tolist()


def _layers_without_holes(runs: Runs) -> list[Runs]:
    """The mask as one or two disjoint masks without holes, whose union it is.

    Bands of a component that touch lie in different layers, so that each keeps its own outline;
    components without a hole stay whole, in the first layer.
    """
    pieces = components(runs)
    filled = fill_holes(pieces.runs)
    # Filling a hole makes one run of two or more.
    pierced = np.diff(pieces.runs.class_bounds()) != np.diff(filled.class_bounds())
    if not pierced.any():
        return [runs]
    holes = components(filled - pieces.runs, connectivity=4).runs.bounding_boxes()
    cut = pieces.select(np.flatnonzero(pierced)).runs.any_mask()
    rows, lefts, rights = cut.segments()
    odd = np.searchsorted(_cuts(holes), rows) % 2 == 1
    base = rows[odd] * runs.width
    merged = intervals.joined(base + lefts[odd], base + rights[odd], runs.plane)
    second = Runs.trusted(*merged, runs.shape)
    return [runs - second, second]


def _cuts(boxes: np.ndarray) -> np.ndarray:
    """The rows to cut after: the fewest cuts that meet every hole, in ascending order.

    A hole of rows [top, bottom) is met by a cut after any row from top - 1 to bottom - 1: it then
    lies open at the end of a band. Taking the last such row, hole by hole from above, is the
    classic rule for the fewest points that stab all intervals.
    """
    cuts: list[int] = []
    for top, bottom in sorted(boxes[:, [0, 2]].tolist(), key=lambda rows: rows[1]):
        if not cuts or cuts[-1] < top - 1:
            cuts.append(bottom - 1)
    return np.array(cuts)
