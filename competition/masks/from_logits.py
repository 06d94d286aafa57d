"""Runs at the native size straight from low-resolution logits, without the dense upsampling.

The result equals the float64 formula `F.interpolate(logits, size, mode="bilinear",
align_corners=False) > logit(threshold)` except where a value lies within 4 float32 ulp (of the
largest corner logit or threshold) of the threshold; a value equal to the threshold is outside.
Only the cells whose corners disagree about the threshold are computed; see `isoline_cells.py`.
"""

import itertools

import numpy as np

from competition.masks.isoline_cells import Crossings, cells_crossed, divided_cells, rows_inside
from competition.masks.runs import Runs
from competition.masks.sampling_grid import (
    CODES,
    Numbers,
    Region,
    SamplingGrid,
    above,
    checked_finite,
    class_count,
    code_scale,
    node_levels,
    per_class,
)

NODES_AT_ONCE = 1 << 16
"""Nodes looked at together: small planes one by one cost more in calls than in work (measured: 19
thresholds of 14 classes at 64² took 1.3 to 1.7 times as long)."""


def runs_from_logits(
    logits: np.ndarray,
    size: tuple[int, int],
    threshold: Numbers = 0.5,
    *,
    scale: Numbers | None = None,
    offset: Numbers | None = None,
    region: Region | None = None,
) -> Runs:
    """Runs (K, H, W) of the classes whose resized logit is above logit(threshold).

    logits: float (K, h, w), or uint8 or uint16 codes with logit = code * scale + offset (then the
    threshold is turned into a code and compared there); size: (H, W) of the result;
    threshold: probability in [0, 1], one for all or one per class; scale, offset: one or per class;
    region: (top, left, height, width) in logit pixels, the part of the grid that shows the image,
    where the network's input was padded (sampling goes on into the padding, clamped at the grid).
    InputFault for wrong shapes and types, thresholds outside [0, 1] and non-finite logits.

    >>> runs_from_logits(np.array([[[-1.0, 3.0]]], np.float32), (1, 4)).to_dense().astype(int)
    array([[[0, 0, 1, 1]]])
    """
    thresholds = np.atleast_1d(np.asarray(threshold, np.float64))[None]
    options = {"scale": scale, "offset": offset, "region": region}
    return runs_at_thresholds(logits, size, thresholds, **options)[0]


def runs_at_thresholds(
    logits: np.ndarray,
    size: tuple[int, int],
    thresholds: Numbers,
    *,
    scale: Numbers | None = None,
    offset: Numbers | None = None,
    region: Region | None = None,
) -> list[Runs]:
    """The Runs (K, H, W) of each threshold of (T,) or (T, K), in one pass over the logits.

    Everything else as for `runs_from_logits`.
    """
    classes = class_count(logits)
    # Thresholds in the units of what is stored: (T, K) logits, or codes, so that nodes are compared as
    # they lie and nothing is converted.
    levels = node_levels(per_class(thresholds, classes), *code_scale(logits, scale, offset))
    nodes, grid = np.ascontiguousarray(logits), SamplingGrid.over(logits.shape[1:], size, region)
    # A plane is a class at a threshold, plane t * K + k. They are gone through class by class, each at
    # all of its thresholds in turn, small ones many at a time.
    in_turn = np.arange(levels.size).reshape(len(levels), classes).T.reshape(-1)
    at_once = max(1, NODES_AT_ONCE // max(1, nodes[:1].size))
    field = (_SmallPlanes if at_once > 1 else _LargePlanes)(nodes, levels, grid)
    crossings = Crossings(field)
    for first in range(0, in_turn.size, at_once):
        planes = in_turn[first : first + at_once]
        for k in planes[planes < classes].tolist():
            checked_finite(nodes[k], f"class {k}")
        crossings.add(planes)
    return _split(crossings.runs(), len(levels))


def _split(runs: Runs, count: int) -> list[Runs]:
    """Runs (T * K, H, W) as T of (K, H, W)."""
    if count == 1:
        return [runs]
    shape = (runs.classes // count, runs.height, runs.width)
    plane = shape[0] * shape[1] * shape[2]
    borders = np.searchsorted(runs.starts, np.arange(count + 1) * plane)
    pieces = (slice(*pair) for pair in itertools.pairwise(borders))
    return [
        Runs.trusted(runs.starts[piece] - place * plane, runs.stops[piece] - place * plane, shape)
        for place, piece in enumerate(pieces)
    ]


class _Planes:
    """K classes at T levels each: what both kinds of `CellField` here share."""

    def __init__(self, nodes: np.ndarray, levels: np.ndarray, grid: SamplingGrid) -> None:
        """nodes (K, h, w) as stored, C-contiguous; levels float64 (T, K) in the units of the nodes."""
        self.nodes, self.levels, self.grid = nodes, levels, grid
        self.planes = levels.size
        self._first_node = np.tile(np.arange(len(nodes)) * nodes[:1].size, len(levels))

    def values(self, plane: np.ndarray, node: np.ndarray) -> np.ndarray:
        """See `CellField`."""
        nodes = self.nodes.reshape(-1)[self._first_node[plane] + node]
        return np.subtract(nodes, self.levels.reshape(-1)[plane], dtype=np.float64)


class _SmallPlanes(_Planes):
    """Many planes are looked at together: one by one they would cost more in calls than in work."""

    def crossed_cells(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `CellField`."""
        inside = np.empty((len(planes), *self.grid.node_shape), bool)
        for plane, out in zip(planes.tolist(), inside, strict=True):
            t, k = divmod(plane, len(self.nodes))
            above(self.nodes[k], self.levels[t, k], out)
        return cells_crossed(inside), (inside[:, :, 0] | inside[:, :, -1]).any(axis=1)


class _LargePlanes(_Planes):
    """One plane at a time; a class at several levels is looked at once for all of them.

    The cells that any level crosses are found by how many of the levels each node is above; a level
    that p others lie below crosses those whose lowest corner is above p of them at most, and whose
    highest is above more.
    """

    def __init__(self, nodes: np.ndarray, levels: np.ndarray, grid: SamplingGrid) -> None:
        super().__init__(nodes, levels, grid)
        self._rising = np.sort(levels, axis=0)
        self._places = levels.argsort(axis=0, kind="stable").argsort(axis=0)
        self._inside = np.empty(nodes.shape[1:], bool)
        self._known: int | None = None

    def crossed_cells(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `CellField`; of one plane."""
        t, k = divmod(int(planes[0]), len(self.nodes))
        if len(self.levels) == 1:
            # Only the rows that hold something are looked at.
            rows = self._rows(k, self.levels[0, k])
            inside = self._inside[rows]
            cells = cells_crossed(inside) + rows.start * inside.shape[1]
            return cells, np.array([inside[:, 0].any() or inside[:, -1].any()])
        if self._known != k:
            rows = self._rows(k, self._rising[0, k])
            ranks = _ranks_of(self.nodes[k, rows], self._rising[:, k])
            cells, self._lowest, self._highest = divided_cells(ranks)
            self._cells = cells + rows.start * ranks.shape[1]
            self._at_edge = ranks[:, [0, -1]].max(initial=0)
            self._known = k
        place = self._places[t, k]
        chosen = (self._lowest <= place) & (place < self._highest)
        return self._cells[chosen], np.array([place < self._at_edge])

    def _rows(self, k: int, level: float) -> slice:
        """The rows of class k in which anything is above the level."""
        above(self.nodes[k], level, self._inside)
        return rows_inside(self._inside)


def _ranks_of(nodes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How many of the levels (T,) each node is above, unsigned like nodes; of codes by a table."""
    most = int(nodes.max(initial=0)) if nodes.dtype.type in CODES else nodes.size
    if most < nodes.size:
        return _counted(np.arange(most + 1, dtype=nodes.dtype), levels).take(nodes)
    return _counted(nodes, levels)


def _counted(nodes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    inside = np.empty(nodes.shape, bool)
    ranks = np.zeros(nodes.shape, np.min_scalar_type(len(levels)))
    for level in levels:
        ranks += above(nodes, level, inside)
    return ranks
