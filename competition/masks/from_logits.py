"""Runs at the native size straight from low-resolution logits, without the dense upsampling.

The result equals the float64 formula `F.interpolate(logits, size, mode="bilinear",
align_corners=False) > logit(threshold)` except where a value lies within 4 float32 ulp (of the
largest corner logit or threshold) of the threshold; a value equal to the threshold is outside.
Only the cells whose corners disagree about the threshold are computed; see `undecided.py`.
"""

import numpy as np

from competition.masks.exclusive import label_runs_from_logits
from competition.masks.levels import (
    Numbers,
    above,
    checked_finite,
    class_count,
    code_scale,
    node_levels,
    per_class,
)
from competition.masks.mean_from_logits import LogitGrid, mean_runs_from_logits
from competition.masks.raster import Raster, Region
from competition.masks.runs import Runs
from competition.masks.undecided import Crossings, rows_inside, undecided_cells

__all__ = [
    "LogitGrid",
    "label_runs_from_logits",
    "mean_runs_from_logits",
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

    logits: float (K, h, w), or uint8 codes with logit = code * scale + offset (then the threshold
    is turned into a code and compared there); size: (H, W) of the result;
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
    occupied = _OccupiedRows(nodes, levels.min(axis=0))
    crossings = [Crossings(GridField(nodes, level, raster, occupied)) for level in levels]
    for index, plane in enumerate(nodes):
        checked_finite(plane, f"class {index}")
        for one in crossings:
            one.add(index)
    return [one.runs() for one in crossings]


class _OccupiedRows:
    """The rows that hold something at the lowest of several levels: no other row does at any."""

    def __init__(self, nodes: np.ndarray, level: np.ndarray) -> None:
        self._nodes, self._level = nodes, level
        self._inside = np.empty(nodes.shape[1:], bool)
        self._known: tuple[int | None, slice] = (None, slice(0, 0))

    def of(self, index: int) -> slice:
        """See `rows_inside`; looked at once for all levels, which ask class after class."""
        if self._known[0] != index:
            above(self._nodes[index], self._level[index], self._inside)
            self._known = (index, rows_inside(self._inside))
        return self._known[1]


class GridField:
    """The nodes of one grid, counted from a level per class: the `Field` of one prediction."""

    def __init__(
        self, nodes: np.ndarray, level: np.ndarray, raster: Raster, occupied: _OccupiedRows
    ) -> None:
        """nodes (K, h, w) as stored, C-contiguous; level float64 (K,) in the units of the nodes."""
        self.nodes, self.level, self.raster = nodes, level, raster
        self.classes = len(nodes)
        self._occupied = occupied

    def undecided(self, index: int) -> tuple[np.ndarray, bool]:
        """See `Field`."""
        rows = self._occupied.of(index)
        inside = above(self.nodes[index, rows], self.level[index])
        cells = undecided_cells(inside) + rows.start * inside.shape[1]
        return cells, bool(inside[:, 0].any() or inside[:, -1].any())

    def values(self, index: np.ndarray, node: np.ndarray) -> np.ndarray:
        """See `Field`."""
        height, width = self.raster.grid
        nodes = self.nodes.reshape(-1)[index * (height * width) + node]
        return np.subtract(nodes, self.level[index], dtype=np.float64)
