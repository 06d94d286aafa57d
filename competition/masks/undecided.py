"""Which cells of a bilinear grid a threshold divides, and where in each.

Between four neighbouring nodes the value never leaves the range of its corners, so a cell whose
corners lie on one side of the threshold is decided without computing anything inside it. Along a
pixel row a cell is linear: it is crossed once where its two ends disagree, and never otherwise.

Everything is counted from the threshold (`node - threshold` in float64). That makes rounding
harmless: the sum of two values above zero stays above zero, so a cell that its corners decide is
decided the same way by the formula, and the crossings of a row always pair up.
"""

from typing import Protocol

import numpy as np

from competition.masks.raster import Raster, sampled_rows
from competition.masks.runs import Runs

BLOCK = 1 << 15
"""Values computed at a time (256 KB an array): bounds the extra memory and fits the cache."""

CELLS_AT_ONCE = 1 << 12
"""Undecided cells gathered before they are computed together: arrays of more would be given back to
the kernel and faulted in again by every step (measured: a tenth of the whole)."""

NOISY = 0.2
"""Share of undecided cells above which evaluating every node costs less than gathering (measured)."""

_WORD = 8


class Nodes(Protocol):
    """K classes over the nodes of one raster, counted from their thresholds: inside is above 0."""

    raster: Raster
    classes: int

    def values(self, index: np.ndarray, node: np.ndarray) -> np.ndarray:
        """float64 like `node`: class `index` at the flat nodes (h * w). Same bits for same nodes."""


class Field(Nodes, Protocol):
    """Nodes that are looked at class by class."""

    def undecided(self, index: int) -> tuple[np.ndarray, bool]:
        """Flat indices (h * w) of the undecided cells of a class, int64, the last column left out;
        and whether a row may begin or end inside. Cells left out must be on one side by `values`.
        """


def undecided_cells(inside: np.ndarray) -> np.ndarray:
    """Flat indices of the cells whose corners disagree, int64, ascending.

    inside: bool (…, h, w) C-contiguous, the nodes above the threshold of one plane or several. Cell
    (r, c) has the corners r, r + 1 and c, c + 1; the last row of cells repeats its nodes (the
    clamped border). The last column has one node only and is never crossed along a row, so it is
    left out.

    >>> undecided_cells(np.array([[0, 0, 0], [0, 0, 1]], dtype=bool))
    array([1, 4])
    """
    size, nodes = inside.size, inside.view(np.uint8)
    flat, along = nodes.reshape(-1), np.zeros(inside.shape, np.uint8)
    np.bitwise_xor(flat[1:], flat[:-1], out=along.reshape(-1)[:-1])
    flags = np.zeros(size + -size % _WORD, np.uint8)
    flags[:size] = along.reshape(-1)
    mixed = flags[:size].reshape(inside.shape)
    mixed[..., :-1, :] |= along[..., 1:, :]
    mixed[..., :-1, :] |= nodes[..., 1:, :] ^ nodes[..., :-1, :]
    mixed[..., -1] = 0
    return _set_bytes(flags)


def divided_cells(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells whose corners differ in rank, as `undecided_cells` counts them, and the lowest and
    the highest rank of each one's corners.

    ranks: unsigned (h, w) C-contiguous, how many of some levels a node is above. The level that p
    others are not above divides a cell where lowest <= p < highest.

    >>> divided_cells(np.array([[0, 0, 0], [0, 0, 2]], dtype=np.uint8))
    (array([1, 4]), array([0, 0], dtype=uint8), array([2, 2], dtype=uint8))
    """
    lowest, highest = (_over_corners(of_two, ranks) for of_two in (np.minimum, np.maximum))
    flags = np.zeros(ranks.size + -ranks.size % _WORD, np.uint8)
    mixed = flags[: ranks.size].reshape(ranks.shape)
    mixed[:, :-1] = lowest[:, :-1] != highest[:, :-1]
    cells = _set_bytes(flags)
    return cells, lowest.reshape(-1)[cells], highest.reshape(-1)[cells]


def _over_corners(of_two: np.ufunc, ranks: np.ndarray) -> np.ndarray:
    """of_two, np.minimum or np.maximum, over each cell's corners; the last column means nothing."""
    along, both = ranks.copy(), np.empty_like(ranks)
    of_two(ranks.reshape(-1)[1:], ranks.reshape(-1)[:-1], out=along.reshape(-1)[:-1])
    of_two(along[1:], along[:-1], out=both[:-1])
    both[-1:] = along[-1:]
    return both


def rows_inside(inside: np.ndarray) -> slice:
    """The rows of bool (h, w) from one before the first True to one after the last, in the array.

    All cells that a True node touches begin in these rows. Empty where there is none.

    >>> rows_inside(np.array([[0], [0], [1], [0], [0]], dtype=bool))
    slice(1, 4, None)
    """
    flags, (height, width) = inside.tobytes(), inside.shape
    first = flags.find(1)
    if first < 0:
        return slice(0, 0)
    return slice(max(first // width - 1, 0), min(flags.rfind(1) // width + 2, height))


def _set_bytes(flags: np.ndarray) -> np.ndarray:
    """np.flatnonzero of 0 and 1 as uint8 (n,), few of them 1, n whole words: word by word first."""
    words = flags.view(np.uint64)
    held = np.flatnonzero(words != 0)
    places = np.flatnonzero(words[held].view(bool))
    return held[places // _WORD] * _WORD + places % _WORD


def cell_crossings(field: Nodes, cells: np.ndarray) -> np.ndarray:
    """Where pixel rows change sides inside the given cells, int64, unsorted.

    cells: flat indices over (K, h, w). A position is a flat offset over (K, H * W + 1): one slot
    more per class, so that the end of one class is not the beginning of the next.
    """
    height, width = field.raster.grid
    counts = np.diff(field.raster.rows.borders)[cells // width % height]
    found = [np.empty(0, np.int64)]
    for count in np.flatnonzero(np.bincount(counts)):
        alike = cells[counts == count]
        found.append(_crossings_of(field, alike, int(count)))
    return np.concatenate(found)


def _crossings_of(field: Nodes, cells: np.ndarray, count: int) -> np.ndarray:
    """`cell_crossings` of cells that hold `count` pixel rows each."""
    rows, columns = field.raster.rows, field.raster.columns
    row, column = np.divmod(cells, columns.nodes)
    index, row = np.divmod(row, rows.nodes)
    node = row * columns.nodes + column
    below = node + np.where(row + 1 < rows.nodes, columns.nodes, 0)
    ends = [field.values(index, corner) for corner in (node, below, node + 1, below + 1)]
    pixel_row = rows.borders[row] + np.arange(count)[:, None]
    lower = rows.weights[pixel_row]
    upper = 1.0 - lower
    left = upper * ends[0] + lower * ends[1]
    right = upper * ends[2] + lower * ends[3]
    crossed = np.flatnonzero((left > 0) != (right > 0))
    which = crossed % cells.size
    left, right, pixel_row = (part.reshape(-1)[crossed] for part in (left, right, pixel_row))
    pixel = columns.first_pixel_after(column[which], left, right)
    return index[which] * (field.raster.area + 1) + pixel_row * columns.pixels + pixel


def row_crossings(field: Nodes, index: int) -> np.ndarray:
    """Every change of side of one noisy class, int64 flat offsets over (H * W), unsorted.

    The same formula at every node of every pixel row, in blocks of rows.
    """
    rows, columns = field.raster.rows, field.raster.columns
    plane = _plane(field, index, np.arange(columns.nodes))
    step = max(1, BLOCK // columns.nodes)
    found = []
    for first in range(0, rows.pixels, step):
        values = sampled_rows(plane, rows, slice(first, first + step))
        inside = values > 0
        crossed = np.flatnonzero(inside[:, 1:] != inside[:, :-1])
        row, cell = np.divmod(crossed, max(1, columns.nodes - 1))
        pixel = columns.first_pixel_after(cell, values[row, cell], values[row, cell + 1])
        found.append((row + first) * columns.pixels + pixel)
        found.append(_border_crossings(inside[:, 0], inside[:, -1], first, columns.pixels))
    return np.concatenate(found)


def edge_crossings(field: Nodes, index: int) -> np.ndarray:
    """Where the pixel rows of one class begin inside and where they end inside, int64."""
    rows, columns = field.raster.rows, field.raster.columns
    ends = _plane(field, index, np.array([0, columns.nodes - 1]))
    inside = sampled_rows(ends, rows, slice(0, None)) > 0
    return _border_crossings(inside[:, 0], inside[:, 1], 0, columns.pixels)


def _plane(field: Nodes, index: int, columns: np.ndarray) -> np.ndarray:
    """float64 (h, columns): one class at all node rows and the node columns given."""
    height, width = field.raster.grid
    return field.values(np.array(index), np.arange(height)[:, None] * width + columns)


def _border_crossings(first: np.ndarray, last: np.ndarray, start: int, pixels: int) -> np.ndarray:
    """Flat offsets where rows begin and end inside; first, last: bool (rows,) sides of their ends,
    start: the first of these rows; pixels: the width of a row.
    """
    begins = (np.flatnonzero(first) + start) * pixels
    ends = (np.flatnonzero(last) + start + 1) * pixels
    return np.concatenate([begins, ends])


def paired(positions: np.ndarray, area: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops (flat over K * area) from changes of side in any order.

    positions: int64, flat over (K, area + 1). Two changes at one position are none: an empty run,
    or a run that goes on.

    >>> paired(np.array([6, 2, 3, 3, 9, 4]), 4)
    (array([2, 5]), array([4, 8]))
    """
    positions = np.sort(positions)
    first = np.flatnonzero(np.diff(positions, prepend=-1))
    if first.size < positions.size:
        odd = np.diff(first, append=positions.size) % 2 == 1
        positions = positions[first[odd]]
    starts, stops = positions[0::2], positions[1::2]
    index = starts // (area + 1)
    return starts - index, stops - index


class BlockField(Nodes, Protocol):
    """Nodes of small planes, which are looked at together."""

    def undecided_in(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Field.undecided` of n classes, int64: cells flat over (n, h, w), and bool (n,)."""


class Crossings:
    """The changes of side of some nodes, collected class by class in any order."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self._grid = nodes.raster.grid[0] * nodes.raster.grid[1]
        self._pending: list[np.ndarray] = []
        self._positions = [np.empty(0, np.int64)]

    def _add_positions(self, offsets: np.ndarray, index: int) -> None:
        """offsets: flat over the (H * W) of class `index`."""
        self._positions.append(offsets + index * (self.nodes.raster.area + 1))

    def _add_cells(self, cells: np.ndarray) -> None:
        self._pending.append(cells)
        if sum(map(len, self._pending)) > CELLS_AT_ONCE:
            self._compute()

    def _compute(self) -> None:
        cells = np.concatenate([np.empty(0, np.int64), *self._pending])
        self._pending = []
        for first in range(0, cells.size, CELLS_AT_ONCE):
            part = cells[first : first + CELLS_AT_ONCE]
            self._positions.append(cell_crossings(self.nodes, part))

    def runs(self) -> Runs:
        """Runs (K, H, W) of everything added."""
        self._compute()
        starts, stops = paired(np.concatenate(self._positions), self.nodes.raster.area)
        return Runs.trusted(starts, stops, (self.nodes.classes, *self.nodes.raster.size))


class PlaneCrossings(Crossings):
    """Those of a `Field`."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self.field = field

    def add(self, index: int) -> None:
        """One class: undecided cells are kept for later, a noisy class is done at once."""
        cells, at_edge = self.field.undecided(index)
        if cells.size > NOISY * self._grid:
            self._add_positions(row_crossings(self.field, index), index)
            return
        if at_edge:
            self._add_positions(edge_crossings(self.field, index), index)
        self._add_cells(cells + index * self._grid)

    def add_block(self, classes: np.ndarray) -> None:
        """`add` of some classes, int64."""
        for index in classes.tolist():
            self.add(index)


class BlockCrossings(Crossings):
    """Those of a `BlockField`."""

    def __init__(self, field: BlockField) -> None:
        super().__init__(field)
        self.field = field

    def add_block(self, classes: np.ndarray) -> None:
        """Some classes, int64: cells as `PlaneCrossings.add` takes them."""
        cells, at_edge = self.field.undecided_in(classes)
        counts = np.diff(np.searchsorted(cells, np.arange(len(classes) + 1) * self._grid))
        noisy = counts > NOISY * self._grid
        for index in classes[noisy].tolist():
            self._add_positions(row_crossings(self.field, index), index)
        for index in classes[at_edge & ~noisy].tolist():
            self._add_positions(edge_crossings(self.field, index), index)
        moved = (classes - np.arange(len(classes))) * self._grid
        cells += np.repeat(moved, counts)
        self._add_cells(cells[np.repeat(~noisy, counts)] if noisy.any() else cells)
