"""The mean of several models' predictions as runs, computed only where the models leave it open.

Where every model is above its threshold at all four corners, so is every weighted mean of them,
of logits and of probabilities alike, anywhere inside; the same below. Only the other cells are
computed. Predictions on different grids meet on the mesh of all their grid lines: inside a cell of
that mesh each of them is bilinear, and so is their mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from competition.errors import InputFault
from competition.masks.levels import (
    Numbers,
    above,
    checked_finite,
    class_count,
    code_scale,
    logit,
    node_levels,
    per_class,
)
from competition.masks.raster import Axis, Raster, Region
from competition.masks.runs import Runs
from competition.masks.undecided import PlaneCrossings

Kind = Literal["logits", "probabilities"]


@dataclass(frozen=True, eq=False)
class LogitGrid:
    """One model's prediction of one image, as `runs_from_logits` takes it.

    logits: float (K, h, w), or uint8 or uint16 codes with scale and offset; region: (top, left, height,
    width) in logit pixels, the part that shows the image, None for all of it.
    """

    logits: np.ndarray
    scale: Numbers | None = None
    offset: Numbers | None = None
    region: Region | None = None


def mean_runs_from_logits(
    grids: Sequence[LogitGrid],
    size: tuple[int, int],
    threshold: Numbers = 0.5,
    *,
    weights: Sequence[float] | None = None,
    kind: Kind = "logits",
) -> Runs:
    """Runs (K, H, W) where the weighted mean of several models is above the threshold.

    grids: one per model, of the same K classes, of any sizes; size: (H, W) of the result;
    threshold: probability in [0, 1], one for all or one per class; weights: one per model, above 0
    (default: equal); kind: "logits" compares the mean of the resized logits with logit(threshold),
    "probabilities" maps each logit to a probability first, then resizes, then takes the mean.

    >>> one = LogitGrid(np.array([[[-1.0, 3.0]]], np.float32))
    >>> two = LogitGrid(np.array([[[-1.0, -1.0, -1.0, 9.0]]], np.float32))
    >>> mean_runs_from_logits([one, two], (1, 4)).to_dense().astype(int)
    array([[[0, 0, 1, 1]]])
    """
    classes = _classes(grids)
    shares = _shares(weights, len(grids))
    thresholds = per_class(np.atleast_1d(np.asarray(threshold, np.float64))[None], classes)[0]
    if kind not in ("logits", "probabilities"):
        raise InputFault(f"a mean of {kind!r}; logits and probabilities are possible")
    members = [_Member(grid, thresholds, kind) for grid in grids]
    rasters = [Raster.over(grid.logits.shape[1:], size, grid.region) for grid in grids]
    crossings = PlaneCrossings(MeanField(members, shares, rasters))
    for index in range(classes):
        for number, member in enumerate(members):
            checked_finite(member.nodes[index], f"model {number}, class {index}")
        crossings.add(index)
    return crossings.runs()


class _Member:
    """The nodes of one model as differences from the threshold, in logits or probabilities."""

    def __init__(self, grid: LogitGrid, thresholds: np.ndarray, kind: Kind) -> None:
        self.nodes = np.ascontiguousarray(grid.logits)
        self.steps, zeros = code_scale(grid.logits, grid.scale, grid.offset)
        self.level = node_levels(thresholds, self.steps, zeros)
        self.thresholds, self.logits = thresholds, logit(thresholds)
        self.kind = kind

    def values(self, index: np.ndarray, node: np.ndarray) -> np.ndarray:
        """float64: class `index` at flat nodes (h * w), above 0 exactly where `above` says so."""
        flat = index * self.nodes[0].size + node
        difference = np.subtract(self.nodes.reshape(-1)[flat], self.level[index], dtype=np.float64)
        difference *= self.steps[index]
        if self.kind == "logits":
            return difference
        return _probability_difference(difference, self.logits[index], self.thresholds[index])


def _probability_difference(
    difference: np.ndarray, level: np.ndarray, threshold: np.ndarray
) -> np.ndarray:
    """sigmoid(level + difference) - threshold, where threshold = sigmoid(level), float64.

    As a product (with s(x) = sigmoid(x): s(x) - s(l) = (1 - s(l)) s(x) (1 - exp(l - x))), because
    its sign is that of the difference whatever is rounded, which a subtraction cannot promise.
    """
    smaller = np.exp(-np.abs(level + difference))
    tail, body = smaller / (1 + smaller), 1 / (1 + smaller)
    sigmoid = np.where(level + difference > 0, body, tail)
    rest = np.where(level + difference > 0, tail, body)
    size = -np.expm1(-np.abs(difference))
    return np.where(difference > 0, (1 - threshold) * sigmoid * size, -threshold * rest * size)


class MeanField:
    """The weighted mean of members on the mesh of all their grids: a `Field`."""

    def __init__(
        self, members: Sequence[_Member], shares: np.ndarray, rasters: Sequence[Raster]
    ) -> None:
        """shares: float64 (models,) adding up to 1; rasters: the members' own."""
        self.members, self.shares = members, shares
        self.classes = len(members[0].nodes)
        rows, row_places = _mesh([raster.rows for raster in rasters])
        columns, column_places = _mesh([raster.columns for raster in rasters])
        self.raster = Raster(rows, columns)
        self.places = list(zip(row_places, column_places, strict=True))

    def undecided(self, index: int) -> tuple[np.ndarray, bool]:
        """See `Field`."""
        sides = self._sides(index)
        every, some = next(sides)
        for own_every, own_some in sides:
            every &= own_every
            some |= own_some
        open_ = some & ~every
        open_[:, -1] = False
        return np.flatnonzero(open_), bool(some[:, 0].any() or some[:, -1].any())

    def _sides(self, index: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`_cell_sides` of each member, on the mesh."""
        for member, (row, column) in zip(self.members, self.places, strict=True):
            own_every, own_some = _cell_sides(above(member.nodes[index], member.level[index]))
            if not (row.whole and column.whole):
                own_every = own_every[np.ix_(row.lower, column.lower)]
                own_some = own_some[np.ix_(row.lower, column.lower)]
            yield own_every, own_some

    def values(self, index: np.ndarray, node: np.ndarray) -> np.ndarray:
        """See `Field`."""
        row, column = np.divmod(node, self.raster.grid[1])
        total = np.zeros(np.broadcast_shapes(np.shape(index), np.shape(node)))
        for member, share, places in zip(self.members, self.shares, self.places, strict=True):
            total += share * _member_values(member, index, row, column, places)
        return total


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the nodes of a mesh lie on one axis of a member's grid.

    lower, upper: int64 (mesh nodes,) the member's nodes on both sides; weights: float64 share of
    the upper one; whole: whether mesh and member have the same nodes.
    """

    lower: np.ndarray
    upper: np.ndarray
    weights: np.ndarray
    whole: bool


def _mesh(axes: Sequence[Axis]) -> tuple[Axis, list[_Places]]:
    """One axis with the nodes of all, and where its nodes lie on each."""
    first = axes[0]
    if all(np.array_equal(axis.positions, first.positions) for axis in axes):
        index = np.arange(first.nodes)
        return first, [_Places(index, index, np.zeros(first.nodes), True)] * len(axes)
    every = np.concatenate([axis.positions for axis in axes])
    positions, index = np.unique(every, return_inverse=True)
    parts = np.split(index, np.cumsum([axis.nodes for axis in axes])[:-1])
    places = [_placed(positions, part) for part in parts]
    return Axis.at(positions, first.pixels), places


def _placed(positions: np.ndarray, own: np.ndarray) -> _Places:
    """Places on the axis whose nodes are the mesh nodes `own` (ascending indices)."""
    mesh, last = np.arange(len(positions)), len(own) - 1
    lower = np.clip(np.searchsorted(own, mesh, side="right") - 1, 0, last)
    upper = np.minimum(lower + 1, last)
    start, stop = positions[own[lower]], positions[own[upper]]
    between = (positions > start) & (stop > start)
    gap = np.where(stop > start, stop - start, 1.0)
    weights = np.where(between, (positions - start) / gap, 0.0)
    return _Places(lower, upper, weights, len(own) == len(positions))


def _member_values(
    member: _Member,
    index: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    places: tuple[_Places, _Places],
) -> np.ndarray:
    """float64: one member at the mesh nodes (row, column)."""
    rows, columns = places
    width = member.nodes.shape[2]
    top, left = rows.lower[row] * width, columns.lower[column]
    if rows.whole and columns.whole:
        return member.values(index, top + left)
    bottom, right = rows.upper[row] * width, columns.upper[column]
    down, along = rows.weights[row], columns.weights[column]
    start = (1 - down) * member.values(index, top + left) + down * member.values(
        index, bottom + left
    )
    stop = (1 - down) * member.values(index, top + right) + down * member.values(
        index, bottom + right
    )
    return (1 - along) * start + along * stop


def _cell_sides(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each cell of bool (h, w): whether all its corners are inside, and whether one is."""
    every, some = inside.copy(), inside.copy()
    every[:-1] &= inside[1:]
    some[:-1] |= inside[1:]
    every[:, :-1] &= every[:, 1:]
    some[:, :-1] |= some[:, 1:]
    return every, some


def _classes(grids: Sequence[LogitGrid]) -> int:
    counts = {class_count(grid.logits) for grid in grids}
    if len(counts) != 1:
        raise InputFault(
            f"a mean of {len(grids)} predictions with {sorted(counts)!r} classes; "
            "one or more of the same classes are asked for"
        )
    return counts.pop()


def _shares(weights: Sequence[float] | None, models: int) -> np.ndarray:
    """Weights as float64 (models,) that add up to 1."""
    given = np.ones(models) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (models,) or not np.isfinite(given).all() or not (given > 0).all():
        raise InputFault(f"weights {weights!r}; {models} numbers above 0 are asked for")
    return given / given.sum()
