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

from competition.masks.dense import WORD, true_offsets
from competition.masks.runs import Runs
from competition.masks.sampling_grid import SamplingGrid, sampled_rows

BLOCK = 1 << 15
"""Values computed at a time (256 KB an array): bounds the extra memory and fits the cache."""

CELLS_AT_ONCE = 1 << 12
"""Crossed cells gathered before they are computed together: arrays of more would be given back to
the kernel and faulted in again by every step (measured: a tenth of the whole)."""

NOISY_CELLS = 0.2
"""Share of crossed cells above which evaluating every node costs less than gathering (measured)."""


class CellField(Protocol):
    """Planes of values over the nodes of one grid, counted from their thresholds: inside is above 0.

    A plane is a class at a threshold; they are numbered from 0.
    """

    grid: SamplingGrid
    planes: int

    def values(self, plane: np.ndarray, node: np.ndarray) -> np.ndarray:
        """float64 like `node`: of `plane` at the flat nodes (h * w). Same bits for same nodes."""

    def crossed_cells(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of n planes, int64: the cells whose corners are not all on one side, ascending, flat over
        (n, h, w), the last column left out; and whether a pixel row may begin or end inside, bool (n,).
        """


def cells_crossed(inside: np.ndarray) -> np.ndarray:
    """Flat indices of the cells whose corners disagree, int64, ascending.

    inside: bool (…, h, w) C-contiguous, the nodes above the threshold of one plane or several. Cell
    (r, c) has the corners r, r + 1 and c, c + 1; the last row of cells repeats its nodes (the
    clamped border). The last column has one node only and is never crossed along a row, so it is
    left out.

    >>> cells_crossed(np.array([[0, 0, 0], [0, 0, 1]], dtype=bool))
    array([1, 4])
    """
    size, nodes = inside.size, inside.view(np.uint8)
    flat, along = nodes.reshape(-1), np.zeros(inside.shape, np.uint8)
    np.bitwise_xor(flat[1:], flat[:-1], out=along.reshape(-1)[:-1])
    flags = np.zeros(size + -size % WORD, np.uint8)
    flags[:size] = along.reshape(-1)
    mixed = flags[:size].reshape(inside.shape)
    mixed[..., :-1, :] |= along[..., 1:, :]
    mixed[..., :-1, :] |= nodes[..., 1:, :] ^ nodes[..., :-1, :]
    mixed[..., -1] = 0
    return true_offsets(flags.view(bool))


def divided_cells(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells whose corners differ in rank, as `cells_crossed` counts them, and the lowest and
    the highest rank of each one's corners.

    ranks: unsigned (h, w) C-contiguous, how many of some levels a node is above. The level that p
    others are not above divides a cell where lowest <= p < highest.

    >>> divided_cells(np.array([[0, 0, 0], [0, 0, 2]], dtype=np.uint8))
    (array([1, 4]), array([0, 0], dtype=uint8), array([2, 2], dtype=uint8))
    """
    lowest, highest = (_over_corners(of_two, ranks) for of_two in (np.minimum, np.maximum))
    flags = np.zeros(ranks.size + -ranks.size % WORD, np.uint8)
    mixed = flags[: ranks.size].reshape(ranks.shape)
    mixed[:, :-1] = lowest[:, :-1] != highest[:, :-1]
    cells = true_offsets(flags.view(bool))
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


def cell_crossings(field: CellField, cells: np.ndarray) -> np.ndarray:
    """Where pixel rows change sides inside the given cells, int64, unsorted.

    cells: flat indices over (planes, h, w). A position is a flat offset over (planes, H * W + 1): one
    slot more a plane, so that the end of one is not the beginning of the next.
    """
    height, width = field.grid.node_shape
    counts = np.diff(field.grid.rows.borders)[cells // width % height]
    found = [np.empty(0, np.int64)]
    for count in np.flatnonzero(np.bincount(counts)):
        alike = cells[counts == count]
        found.append(_crossings_of(field, alike, int(count)))
    return np.concatenate(found)


def _crossings_of(field: CellField, cells: np.ndarray, count: int) -> np.ndarray:
    """`cell_crossings` of cells that hold `count` pixel rows each."""
    rows, columns = field.grid.rows, field.grid.columns
    row, column = np.divmod(cells, columns.nodes)
    plane, row = np.divmod(row, rows.nodes)
    # The four corners; the last row of cells repeats its nodes (the clamped border).
    node = row * columns.nodes + column
    below = node + np.where(row + 1 < rows.nodes, columns.nodes, 0)
    ends = [field.values(plane, corner) for corner in (node, below, node + 1, below + 1)]
    # Bilinear is linear along a pixel row: interpolate down both sides of the cell (count, cells) …
    pixel_row = rows.borders[row] + np.arange(count)[:, None]
    lower = rows.weights[pixel_row]
    upper = 1.0 - lower
    left = upper * ends[0] + lower * ends[1]
    right = upper * ends[2] + lower * ends[3]
    # … and where the two sides disagree, the row changes sides once, at a pixel that is solved for.
    crossed = np.flatnonzero((left > 0) != (right > 0))
    which = crossed % cells.size
    left, right, pixel_row = (side.reshape(-1)[crossed] for side in (left, right, pixel_row))
    pixel = columns.first_pixel_after(column[which], left, right)
    return plane[which] * (field.grid.area + 1) + pixel_row * columns.pixels + pixel


def row_crossings(field: CellField, plane: int) -> np.ndarray:
    """Every change of side of one noisy plane, int64 flat offsets over (H * W), unsorted.

    The same formula at every node of every pixel row, in blocks of rows.
    """
    rows, columns = field.grid.rows, field.grid.columns
    nodes = _columns_of(field, plane, np.arange(columns.nodes))
    step = max(1, BLOCK // columns.nodes)
    found = []
    for first in range(0, rows.pixels, step):
        values = sampled_rows(nodes, rows, slice(first, first + step))
        inside = values > 0
        crossed = np.flatnonzero(inside[:, 1:] != inside[:, :-1])
        row, cell = np.divmod(crossed, max(1, columns.nodes - 1))
        pixel = columns.first_pixel_after(cell, values[row, cell], values[row, cell + 1])
        found.append((row + first) * columns.pixels + pixel)
        found.append(_border_crossings(inside[:, 0], inside[:, -1], first, columns.pixels))
    return np.concatenate(found)


def edge_crossings(field: CellField, plane: int) -> np.ndarray:
    """Where the pixel rows of one plane begin inside and where they end inside, int64."""
    rows, columns = field.grid.rows, field.grid.columns
    ends = _columns_of(field, plane, np.array([0, columns.nodes - 1]))
    inside = sampled_rows(ends, rows, slice(0, None)) > 0
    return _border_crossings(inside[:, 0], inside[:, 1], 0, columns.pixels)


def _columns_of(field: CellField, plane: int, columns: np.ndarray) -> np.ndarray:
    """float64 (h, columns): one plane at all node rows and the node columns given."""
    height, width = field.grid.node_shape
    return field.values(np.array(plane), np.arange(height)[:, None] * width + columns)


def _border_crossings(first: np.ndarray, last: np.ndarray, start: int, pixels: int) -> np.ndarray:
    """Flat offsets where rows begin and end inside; first, last: bool (rows,) sides of their ends,
    start: the first of these rows; pixels: the width of a row.
    """
    begins = (np.flatnonzero(first) + start) * pixels
    ends = (np.flatnonzero(last) + start + 1) * pixels
    return np.concatenate([begins, ends])


def runs_of_crossings(positions: np.ndarray, area: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops (flat over K * area) from changes of side in any order.

    positions: int64, flat over (K, area + 1). Two changes at one position are none: an empty run,
    or a run that goes on.

    >>> runs_of_crossings(np.array([6, 2, 3, 3, 9, 4]), 4)
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


class Crossings:
    """Where pixel rows change sides, collected plane by plane in any order.

    Cells are few: they are kept until `CELLS_AT_ONCE` of them are there, whatever planes they are of,
    and computed together.
    """

    def __init__(self, field: CellField) -> None:
        self.field = field
        self._nodes = field.grid.node_shape[0] * field.grid.node_shape[1]
        self._waiting: list[np.ndarray] = []
        self._positions = [np.empty(0, np.int64)]

    def add(self, planes: np.ndarray) -> None:
        """The changes of some planes, int64."""
        cells, at_edge = self.field.crossed_cells(planes)
        counts = np.diff(np.searchsorted(cells, np.arange(len(planes) + 1) * self._nodes))
        # White noise has a crossing in nearly every cell: such a plane is computed whole, row by row.
        noisy = counts > NOISY_CELLS * self._nodes
        for plane in planes[noisy].tolist():
            self._add_positions(row_crossings(self.field, plane), plane)
        # Elsewhere a row changes sides inside crossed cells only, or at its two ends.
        for plane in planes[at_edge & ~noisy].tolist():
            self._add_positions(edge_crossings(self.field, plane), plane)
        # Cells counted within this call become cells counted over all planes.
        cells += np.repeat((planes - np.arange(len(planes))) * self._nodes, counts)
        self._waiting.append(cells[np.repeat(~noisy, counts)] if noisy.any() else cells)
        if sum(map(len, self._waiting)) > CELLS_AT_ONCE:
            self._compute()

    def runs(self) -> Runs:
        """Runs (planes, H, W) of everything added."""
        self._compute()
        starts, stops = runs_of_crossings(np.concatenate(self._positions), self.field.grid.area)
        return Runs.trusted(starts, stops, (self.field.planes, *self.field.grid.size))

    def _add_positions(self, offsets: np.ndarray, plane: int) -> None:
        """offsets: flat over the (H * W) of one plane."""
        self._positions.append(offsets + plane * (self.field.grid.area + 1))

    def _compute(self) -> None:
        cells = np.concatenate([np.empty(0, np.int64), *self._waiting])
        self._waiting = []
        for first in range(0, cells.size, CELLS_AT_ONCE):
            block = cells[first : first + CELLS_AT_ONCE]
            self._positions.append(cell_crossings(self.field, block))
