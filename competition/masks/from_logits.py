"""Runs at the native size straight from low-resolution logits, without the dense upsampling.

The result equals the float64 formula `F.interpolate(logits, size, mode="bilinear",
align_corners=False) > logit(threshold)` except where a value lies within 4 float32 ulp (of the
largest corner logit or threshold) of the threshold; a value equal to the threshold is outside.
Only the cells whose corners disagree about the threshold are computed; see `undecided.py`.
"""

import itertools
from typing import Protocol

import numpy as np

from competition.masks.exclusive import label_runs_from_logits
from competition.masks.levels import (
    CODES,
    Numbers,
    above,
    checked_finite,
    class_count,
    code_scale,
    node_levels,
    per_class,
)
from competition.masks.raster import Raster, Region
from competition.masks.runs import Runs
from competition.masks.undecided import (
    BlockCrossings,
    PlaneCrossings,
    divided_cells,
    rows_inside,
    undecided_cells,
)

NODES_AT_ONCE = 1 << 16
"""Nodes looked at together: small planes one by one cost more in calls than in work (measured: 19
thresholds of 14 classes at 64² took 1.3 to 1.7 times as long)."""

__all__ = [
    "label_runs_from_logits",
    "runs_at_thresholds",
    "runs_from_logits",
]


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
    levels = node_levels(per_class(thresholds, classes), *code_scale(logits, scale, offset))
    nodes, raster = np.ascontiguousarray(logits), Raster.over(logits.shape[1:], size, region)
    at_once = max(1, NODES_AT_ONCE // max(1, nodes[:1].size))
    if at_once > 1:
        groups, crossings = [levels], [BlockCrossings(SmallPlanes(nodes, levels, raster))]
    else:
        groups = np.split(levels, len(levels))
        divided = _OneLevel(nodes, levels) if len(levels) == 1 else _ManyLevels(nodes, levels)
        crossings = [
            PlaneCrossings(LargePlanes(nodes, level, raster, divided, t))
            for t, level in enumerate(groups)
        ]
    in_turn = np.arange(groups[0].size).reshape(len(groups[0]), classes).T.reshape(-1)
    for first in range(0, in_turn.size, at_once):
        block = in_turn[first : first + at_once]
        for index in block[block < classes].tolist():
            checked_finite(nodes[index], f"class {index}")
        for one in crossings:
            one.add_block(block)
    return [
        runs
        for one, group in zip(crossings, groups, strict=True)
        for runs in _split(one.runs(), len(group))
    ]


def _split(runs: Runs, parts: int) -> list[Runs]:
    """Runs (T * K, H, W) as T of (K, H, W)."""
    if parts == 1:
        return [runs]
    shape = (runs.classes // parts, runs.height, runs.width)
    plane = shape[0] * shape[1] * shape[2]
    borders = np.searchsorted(runs.starts, np.arange(parts + 1) * plane)
    pieces = (slice(*pair) for pair in itertools.pairwise(borders))
    return [
        Runs.trusted(runs.starts[piece] - part * plane, runs.stops[piece] - part * plane, shape)
        for part, piece in enumerate(pieces)
    ]


class _Divided(Protocol):
    """The cells of a class that a level divides."""

    def at(self, level: int, kind: int) -> tuple[np.ndarray, bool]:
        """As `Field.undecided`; classes are asked for in turn, each at all levels."""


class _OneLevel:
    """`_Divided` of levels (1, K). Only the rows that hold something are looked at."""

    def __init__(self, nodes: np.ndarray, levels: np.ndarray) -> None:
        self._nodes, self._levels = nodes, levels[0]
        self._inside = np.empty(nodes.shape[1:], bool)

    def at(self, level: int, kind: int) -> tuple[np.ndarray, bool]:
        """See `_Divided`."""
        above(self._nodes[kind], self._levels[kind], self._inside)
        rows = rows_inside(self._inside)
        inside = self._inside[rows]
        cells = undecided_cells(inside) + rows.start * inside.shape[1]
        return cells, bool(inside[:, 0].any() or inside[:, -1].any())


class _ManyLevels:
    """`_Divided` of levels (T, K): all cells that any of a class's levels divides are found at once,
    by how many of the levels each node is above.
    """

    def __init__(self, nodes: np.ndarray, levels: np.ndarray) -> None:
        self._nodes, self._rising = nodes, np.sort(levels, axis=0)
        self._places = levels.argsort(axis=0, kind="stable").argsort(axis=0)
        self._inside = np.empty(nodes.shape[1:], bool)
        self._known: int | None = None

    def at(self, level: int, kind: int) -> tuple[np.ndarray, bool]:
        """See `_Divided`."""
        if self._known != kind:
            self._look(kind)
        place = self._places[level, kind]
        chosen = (self._lowest <= place) & (place < self._highest)
        return self._cells[chosen], bool(place < self._at_edge)

    def _look(self, kind: int) -> None:
        levels = self._rising[:, kind]
        above(self._nodes[kind], levels[0], self._inside)
        rows = rows_inside(self._inside)
        ranks = _ranks_of(self._nodes[kind, rows], levels)
        cells, self._lowest, self._highest = divided_cells(ranks)
        self._cells = cells + rows.start * ranks.shape[1]
        self._at_edge = ranks[:, [0, -1]].max(initial=0)
        self._known = kind


def _ranks_of(nodes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How many of the levels (T,) each node is above, unsigned like nodes; of codes by a table."""
    most = int(nodes.max(initial=0)) if nodes.dtype.type in CODES else nodes.size
    if most < nodes.size:
        return _counted(np.arange(most + 1, dtype=nodes.dtype), levels).take(nodes)
    return _counted(nodes, levels)


def _counted(nodes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    inside, ranks = (
        np.empty(nodes.shape, bool),
        np.zeros(nodes.shape, np.min_scalar_type(len(levels))),
    )
    for level in levels:
        ranks += above(nodes, level, inside)
    return ranks


class GridField:
    """`Nodes` of one grid at T levels of K classes, T · K, level by level."""

    def __init__(self, nodes: np.ndarray, levels: np.ndarray, raster: Raster) -> None:
        """nodes (K, h, w) as stored, C-contiguous; levels float64 (T, K) in the units of the nodes."""
        self.nodes, self.levels, self.raster = nodes, levels.reshape(-1), raster
        self.classes = levels.size
        self._first_node = np.tile(np.arange(len(nodes)) * nodes[:1].size, len(levels))

    def values(self, index: np.ndarray, node: np.ndarray) -> np.ndarray:
        """See `Nodes`."""
        nodes = self.nodes.reshape(-1)[self._first_node[index] + node]
        return np.subtract(nodes, self.levels[index], dtype=np.float64)


class SmallPlanes(GridField):
    """A `BlockField`: classes and levels are looked at together."""

    def undecided_in(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `BlockField`."""
        inside = np.empty((len(classes), *self.raster.grid), bool)
        for index, out in zip(classes.tolist(), inside, strict=True):
            above(self.nodes[index % len(self.nodes)], self.levels[index], out)
        return undecided_cells(inside), (inside[:, :, 0] | inside[:, :, -1]).any(axis=1)


class LargePlanes(GridField):
    """A `Field` at one of several levels; fields of the others share what it finds of a class."""

    def __init__(
        self, nodes: np.ndarray, levels: np.ndarray, raster: Raster, divided: _Divided, place: int
    ) -> None:
        """levels float64 (1, K); place: of these among the levels of `divided`."""
        super().__init__(nodes, levels, raster)
        self._divided, self._place = divided, place

    def undecided(self, index: int) -> tuple[np.ndarray, bool]:
        """See `Field`."""
        return self._divided.at(self._place, index)
