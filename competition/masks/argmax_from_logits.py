"""Exclusive classes: the argmax of resized logits as runs, computed where the winner is open.

Inside a cell every class is between its corners, so a class that wins at all four corners (ties go
to the lowest index, as in `torch.argmax`) wins everywhere between them. The other cells are
computed pixel by pixel in float64. Positions where the winner changes become the runs.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from competition.errors import InputFault
from competition.masks.isoline_cells import BLOCK
from competition.masks.runs import Runs
from competition.masks.sampling_grid import (
    Numbers,
    Region,
    SamplingGrid,
    checked_finite,
    class_count,
    code_scale,
    sampled_columns,
    sampled_rows,
)

NOISY_WINNERS = 0.1
"""Share of cells that an isoline crosses above which computing every pixel costs less (measured)."""


def label_runs_from_logits(
    logits: np.ndarray,
    size: tuple[int, int],
    *,
    background: bool,
    scale: Numbers | None = None,
    offset: Numbers | None = None,
    region: Region | None = None,
) -> Runs:
    """Runs (K, H, W) of the class with the largest resized logit at each pixel.

    logits: float (K, h, w), or uint8 or uint16 codes with logit = code * scale + offset;
    size: (H, W); background: whether class 0 of the logits is background: then it is left out and
    the result has K - 1 classes, class k of the logits being class k - 1 of the result; region: as
    for `runs_from_logits`. Ties go to the lowest class. InputFault for non-finite logits.

    >>> logits = np.array([[[4.0, 0.0]], [[0.0, 2.0]]], np.float32)
    >>> label_runs_from_logits(logits, (1, 4), background=False).to_dense().astype(int)
    array([[[1, 1, 0, 0]],
           [[0, 0, 1, 1]]])
    """
    classes = class_count(logits)
    if classes == 0 or (background and classes == 1):
        raise InputFault(f"logits of {classes} classes: nothing is left to win")
    nodes = _comparable(logits, scale, offset)
    grid = SamplingGrid.over(nodes.shape[1:], size, region)
    winners = _winners(nodes)
    cells = _open_cells(winners)
    if cells.size <= NOISY_WINNERS * winners.size:
        positions, labels = _sparse_changes(nodes, winners, cells, grid)
    else:
        positions, labels = _dense_changes(nodes, grid)
    keys = np.sort(positions * classes + labels)
    return labelled_runs(keys, (classes, *grid.size), background)


def _comparable(logits: np.ndarray, scale: Numbers | None, offset: Numbers | None) -> np.ndarray:
    """Nodes (K, h, w) whose order between classes is that of the logits."""
    for index, plane in enumerate(logits):
        checked_finite(plane, f"class {index}")
    steps, zeros = code_scale(logits, scale, offset)
    if np.ptp(steps) == 0 and np.ptp(zeros) == 0:
        return np.ascontiguousarray(logits)
    return logits * steps[:, None, None] + zeros[:, None, None]


def _winners(nodes: np.ndarray) -> np.ndarray:
    """Index of the largest of (K, h, w), int16 (h, w), the lowest index among equals."""
    best, winners = nodes[0].copy(), np.zeros(nodes.shape[1:], np.int16)
    for index in range(1, len(nodes)):
        np.copyto(winners, np.int16(index), where=nodes[index] > best)
        np.maximum(best, nodes[index], out=best)
    return winners


def _open_cells(winners: np.ndarray) -> np.ndarray:
    """Flat indices of the cells (h, w) whose corners have several winners, int64, ascending."""
    below = np.concatenate([winners[1:], winners[-1:]])
    mixed = winners != below
    along = winners[:, 1:] != winners[:, :-1]
    mixed[:, :-1] |= along | mixed[:, 1:]
    mixed[:-1, :-1] |= along[1:]
    return np.flatnonzero(mixed)


def _sparse_changes(
    nodes: np.ndarray, winners: np.ndarray, cells: np.ndarray, grid: SamplingGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (flat over H * W) and the winner from there on, unsorted, int64 both.

    Nothing between two positions changes the winner; some repeat the winner before them.
    """
    rows, columns = grid.rows, grid.columns
    open_ = np.zeros(winners.shape, bool)
    open_.reshape(-1)[cells] = True
    starts = np.flatnonzero(~open_[rows.cells, columns.cells[0]])
    found = [(starts * columns.pixels, winners[rows.cells[starts], columns.cells[0]])]
    pixels = -(-grid.area // winners.size)
    step = max(1, BLOCK // max(len(nodes), pixels))
    blocks = (cells[first : first + step] for first in range(0, cells.size, step))
    found += [_cell_changes(nodes, block, grid) for block in blocks]
    found.append(_changes_after(winners, open_, cells, grid))
    positions, changed = _joined(found)
    return positions.astype(np.int64), changed.astype(np.int64)


def _joined(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions and winners as one pair."""
    positions, winners = zip(*found, strict=True)
    return np.concatenate(positions), np.concatenate(winners)


def _changes_after(
    winners: np.ndarray, open_: np.ndarray, cells: np.ndarray, grid: SamplingGrid
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels after open cells that lie in decided cells, and their winners.

    Decided neighbours share corners and so their winner: it changes only across an open cell.
    """
    rows, columns = grid.rows, grid.columns
    row, column = np.divmod(cells, columns.nodes)
    pixel = columns.borders[column + 1]
    column = columns.cells[np.minimum(pixel, columns.pixels - 1)]
    closed = np.flatnonzero((pixel < columns.pixels) & ~open_[row, column])
    which, pixel_row = rows.spread(row[closed])
    which = closed[which]
    return pixel_row * columns.pixels + pixel[which], winners[row[which], column[which]]


def _cell_changes(
    nodes: np.ndarray, cells: np.ndarray, grid: SamplingGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and winners of the pixels of open cells, int64 both, each pixel one entry.

    A class whose highest corner is not above another's lowest cannot win in a cell, unless it is
    as high and comes first: few are left. (Stored codes are clipped, so equals are common.)
    """
    planes = nodes.reshape(len(nodes), -1)
    corners = [planes.take(corner, axis=1) for corner in _corners(cells, grid)]
    lowest, highest = np.minimum.reduce(corners), np.maximum.reduce(corners)
    sure, index = lowest.max(axis=0), np.arange(len(nodes))[:, None]
    running = (highest > sure) | ((highest == sure) & (index <= lowest.argmax(axis=0)))
    counts = running.sum(axis=0)
    found = []
    for count in np.unique(counts):
        chosen = np.flatnonzero(counts == count)
        classes = np.nonzero(running[:, chosen].T)[1].reshape(-1, count).T
        ends = np.stack([corner[classes, chosen] for corner in corners], axis=1)
        found.append(_contest(cells[chosen], classes, ends.astype(np.float64), grid))
    return _joined(found)


def _corners(cells: np.ndarray, grid: SamplingGrid) -> list[np.ndarray]:
    """Flat nodes at the top left, top right, bottom left and bottom right of cells."""
    row, column = np.divmod(cells, grid.columns.nodes)
    right = np.where(column + 1 < grid.columns.nodes, 1, 0)
    below = np.where(row + 1 < grid.rows.nodes, grid.columns.nodes, 0)
    return [cells, cells + right, cells + below, cells + right + below]


def _contest(
    cells: np.ndarray, classes: np.ndarray, ends: np.ndarray, grid: SamplingGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and winners of all pixels of cells (n,) that `classes` (c, n), ascending, contest.

    ends: float64 (c, 4, n) logits of these classes at the corners, in the order of `_corners`.
    """
    rows, columns = grid.rows, grid.columns
    row, column = np.divmod(cells, columns.nodes)
    which, pixel_row = rows.spread(row)
    within, pixel = columns.spread(column[which])
    down, along = rows.weights[pixel_row], columns.weights[pixel]
    best, winner = np.full(pixel.size, -np.inf), np.zeros(pixel.size, np.int64)
    for contestant, (top, top_right, bottom, bottom_right) in zip(classes, ends, strict=True):
        left = (1 - down) * top[which] + down * bottom[which]
        right = (1 - down) * top_right[which] + down * bottom_right[which]
        value = (1 - along) * left[within] + along * right[within]
        np.copyto(winner, contestant[which[within]], where=value > best)
        np.maximum(best, value, out=best)
    return pixel_row[within] * columns.pixels + pixel, winner


def _dense_changes(nodes: np.ndarray, grid: SamplingGrid) -> tuple[np.ndarray, np.ndarray]:
    """Positions and winners wherever the winner changes, rows in blocks, int64 both."""
    found = []
    for first, labels in _dense_blocks(nodes, grid):
        flat = labels.reshape(-1)
        changes = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        found.append((changes + first * grid.columns.pixels, flat[changes].astype(np.int64)))
    return _joined(found)


def _dense_blocks(nodes: np.ndarray, grid: SamplingGrid) -> Iterator[tuple[int, np.ndarray]]:
    """First row and winners int16 (rows, W) of blocks of rows that cover the result."""
    columns = grid.columns
    step = max(1, BLOCK // max(columns.pixels, columns.nodes))
    for first in range(0, grid.rows.pixels, step):
        rows = slice(first, first + step)
        planes = (sampled_columns(sampled_rows(one, grid.rows, rows), columns) for one in nodes)
        best = next(planes)
        labels = np.zeros(best.shape, np.int16)
        for index, value in enumerate(planes, start=1):
            np.copyto(labels, np.int16(index), where=value > best)
            np.maximum(best, value, out=best)
        yield first, labels


def labelled_runs(keys: np.ndarray, shape: tuple[int, int, int], background: bool) -> Runs:
    """Runs (K, H, W), or (K - 1, H, W) without the background, from the changes of winner.

    keys: int64 position * K + winner from that position on, ascending, over the whole (H, W).
    """
    classes, height, width = shape
    area = height * width
    positions, labels = np.divmod(keys, classes)
    changed = np.flatnonzero(np.diff(labels, prepend=-1))
    starts, labels = positions[changed], labels[changed]
    stops = np.append(starts[1:], area)
    first = int(background)
    kept = np.flatnonzero(labels >= first)
    kept = kept[np.argsort(labels[kept], kind="stable")]
    base = (labels[kept] - first) * area
    return Runs.trusted(starts[kept] + base, stops[kept] + base, (classes - first, height, width))
