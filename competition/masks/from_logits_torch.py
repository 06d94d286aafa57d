"""Runs from logits that lie on a device: the work stays there, only run boundaries come back.

Step by step the float64 arithmetic of `isoline_cells.py` and `argmax_from_logits.py`, so that the runs
are the same, bit for bit. There is no dense path: a device takes noise in blocks as quickly as all
else.
"""

from dataclasses import dataclass

import numpy as np
import torch

from competition.errors import InputFault
from competition.masks.argmax_from_logits import labelled_runs
from competition.masks.runs import Runs
from competition.masks.sampling_grid import (
    Axis,
    Numbers,
    Region,
    SamplingGrid,
    code_scale,
    node_levels,
    per_class,
)

PIXELS_AT_ONCE = 1 << 20
"""Values computed at a time: 8 MB an array, a few hundred MB in all at the worst."""


def runs_from_tensor(
    logits: torch.Tensor,
    size: tuple[int, int],
    threshold: Numbers = 0.5,
    *,
    scale: Numbers | None = None,
    offset: Numbers | None = None,
    region: Region | None = None,
) -> Runs:
    """`runs_from_logits` of a tensor (K, h, w) on any device with float64, floats or uint8 codes.

    >>> runs_from_tensor(torch.tensor([[[-1.0, 3.0]]]), (1, 4)).to_dense().astype(int)
    array([[[0, 0, 1, 1]]])
    """
    nodes = _checked(logits)
    steps, zeros = code_scale(_described(logits), scale, offset)
    thresholds = per_class(np.atleast_1d(np.asarray(threshold, np.float64))[None], len(logits))
    level = node_levels(thresholds, steps, zeros)[0]
    grid = SamplingGrid.over((logits.shape[1], logits.shape[2]), size, region)
    rows, columns = (_DeviceAxis.of(axis, logits.device) for axis in (grid.rows, grid.columns))
    inside = (
        nodes > torch.from_numpy(_own_level(level, nodes.dtype)).to(nodes.device)[:, None, None]
    )
    level = torch.from_numpy(level).to(logits.device)
    cells = _mixed(inside)[:, :, :-1].nonzero()
    found = [_edge_crossings(nodes, level, rows, columns)]
    blocks = cells.split(max(1, PIXELS_AT_ONCE // rows.widest))
    found += [_cell_crossings(nodes, level, block, (rows, columns)) for block in blocks]
    positions, counts = torch.unique(torch.cat(found), return_counts=True)
    positions = positions[counts % 2 == 1].cpu().numpy()
    starts, stops = positions[0::2], positions[1::2]
    index = starts // (grid.area + 1)
    return Runs.trusted(starts - index, stops - index, (len(logits), *grid.size))


def label_runs_from_tensor(
    logits: torch.Tensor,
    size: tuple[int, int],
    *,
    background: bool,
    scale: Numbers | None = None,
    offset: Numbers | None = None,
    region: Region | None = None,
) -> Runs:
    """`label_runs_from_logits` of a tensor (K, h, w) on any device with float64."""
    nodes = _comparable(logits, scale, offset)
    classes = len(nodes)
    grid = SamplingGrid.over((logits.shape[1], logits.shape[2]), size, region)
    rows, columns = (_DeviceAxis.of(axis, logits.device) for axis in (grid.rows, grid.columns))
    winners = nodes.argmax(0)
    open_ = _mixed(winners[None])[0]
    found = [
        _closed_starts(winners, open_, (rows, columns)),
        _closed_after(winners, open_, (rows, columns)),
    ]
    pixels = rows.widest * columns.widest
    blocks = open_.nonzero().split(max(1, PIXELS_AT_ONCE // (pixels * classes)))
    found += [_cell_winners(nodes, block, (rows, columns)) for block in blocks]
    keys = torch.cat([position * classes + winner for position, winner in found]).sort().values
    winner = keys % classes
    changed = torch.ones_like(winner, dtype=torch.bool)
    changed[1:] = winner[1:] != winner[:-1]
    return labelled_runs(keys[changed].cpu().numpy(), (classes, *grid.size), background)


@dataclass(frozen=True, eq=False)
class _DeviceAxis:
    """The arrays of an `Axis` on a device; see there."""

    positions: torch.Tensor
    cells: torch.Tensor
    upper: torch.Tensor
    weights: torch.Tensor
    borders: torch.Tensor
    widest: int

    @classmethod
    def of(cls, axis: Axis, device: torch.device) -> "_DeviceAxis":
        arrays = (axis.positions, axis.cells, axis.upper, axis.weights, axis.borders)
        widest = int(np.diff(axis.borders).max())
        return cls(*(torch.from_numpy(array).to(device) for array in arrays), widest)

    @property
    def pixels(self) -> int:
        return len(self.cells)

    @property
    def nodes(self) -> int:
        return len(self.positions)

    def spread(self, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Axis.spread`."""
        counts = self.borders[cell + 1] - self.borders[cell]
        which = torch.repeat_interleave(counts)
        first = self.borders[cell] - (counts.cumsum(0) - counts)
        return which, torch.arange(len(which), device=cell.device) + first[which]

    def first_pixel_after(
        self, cell: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> torch.Tensor:
        """As `Axis.first_pixel_after`."""
        position = left / (left - right)
        position = position * (self.positions[1:] - self.positions[:-1])[cell]
        position = position + self.positions[cell]
        after = position.ceil()
        pixel = after.long() + ((right > 0) & (after == position)).long()
        return pixel.maximum(self.borders[cell]).minimum(self.borders[cell + 1])


Axes = tuple[_DeviceAxis, _DeviceAxis]


def _checked(logits: torch.Tensor) -> torch.Tensor:
    """Nodes (K, h, w) as float64-exact floats or codes; InputFault as for arrays."""
    if logits.ndim != 3 or min(logits.shape[1:]) < 1:
        raise InputFault(
            f"logits of shape {tuple(logits.shape)!r}; (classes, height, width) is asked for"
        )
    if logits.dtype == torch.uint8:
        return logits.detach()
    if not logits.is_floating_point():
        raise InputFault(f"logits of {logits.dtype}; float, or uint8 codes with scale and offset")
    bad = ~torch.isfinite(logits).flatten(1).all(1)
    if bad.any():
        raise InputFault(
            f"the logits of class {int(bad.nonzero()[0])} hold non-finite values; a mask cannot be "
            "cut from them: look at the checkpoint and the training loss"
        )
    # Half precision widens without loss; the threshold would not fit into it.
    return logits.detach().float() if logits.dtype != torch.float64 else logits.detach()


def _comparable(
    logits: torch.Tensor, scale: Numbers | None, offset: Numbers | None
) -> torch.Tensor:
    """Nodes (K, h, w) whose order between classes is that of the logits."""
    nodes = _checked(logits)
    steps, zeros = code_scale(_described(logits), scale, offset)
    if len(logits) == 0 or (np.ptp(steps) == 0 and np.ptp(zeros) == 0):
        return nodes
    steps, zeros = (
        torch.tensor(value, device=logits.device)[:, None, None] for value in (steps, zeros)
    )
    return nodes.double() * steps + zeros


def _described(logits: torch.Tensor) -> np.ndarray:
    """An array of the classes and the type of a tensor, without its values."""
    kind = np.uint8 if logits.dtype == torch.uint8 else np.float32
    return np.empty((len(logits), 0, 0), kind)


def _own_level(level: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Levels (K,) in the type that nodes are compared in, rounded down: node > level stays exact."""
    if dtype == torch.uint8:
        return np.floor(np.clip(level, -1, 255)).astype(np.int16)
    if dtype == torch.float64:
        return level
    with np.errstate(over="ignore"):
        own = level.astype(np.float32)
    return np.where(own > level, np.nextafter(own, np.float32(-np.inf)), own)


def _mixed(sides: torch.Tensor) -> torch.Tensor:
    """Bool (K, h, w): the cells whose corners differ, the last row and column repeated."""
    mixed = torch.zeros_like(sides, dtype=torch.bool)
    along = sides[:, :, 1:] != sides[:, :, :-1]
    mixed[:, :, :-1] |= along
    mixed[:, :-1, :-1] |= along[:, 1:]
    down = sides[:, 1:] != sides[:, :-1]
    mixed[:, :-1] |= down
    mixed[:, :-1, :-1] |= down[:, :, 1:]
    return mixed


def _cell_crossings(
    nodes: torch.Tensor, level: torch.Tensor, cells: torch.Tensor, axes: Axes
) -> torch.Tensor:
    """Positions over (K, H * W + 1) where pixel rows change sides in cells (n, 3), int64."""
    rows, columns = axes
    index, row, column = cells.unbind(1)
    bottom = (row + 1).clamp(max=rows.nodes - 1)
    corners = ((row, column), (bottom, column), (row, column + 1), (bottom, column + 1))
    ends = [nodes[index, *corner].double() - level[index] for corner in corners]
    which, pixel_row = rows.spread(row)
    lower = rows.weights[pixel_row]
    upper = 1.0 - lower
    left = upper * ends[0][which] + lower * ends[1][which]
    right = upper * ends[2][which] + lower * ends[3][which]
    crossed = ((left > 0) != (right > 0)).nonzero()[:, 0]
    which, pixel_row = which[crossed], pixel_row[crossed]
    pixel = columns.first_pixel_after(column[which], left[crossed], right[crossed])
    area = rows.pixels * columns.pixels
    return index[which] * (area + 1) + pixel_row * columns.pixels + pixel


def _edge_crossings(
    nodes: torch.Tensor, level: torch.Tensor, rows: _DeviceAxis, columns: _DeviceAxis
) -> torch.Tensor:
    """Positions over (K, H * W + 1) where pixel rows begin and end inside, int64."""
    ends = nodes[:, :, [0, -1]].double() - level[:, None, None]
    lower = rows.weights[:, None]
    inside = ends[:, rows.cells] * (1.0 - lower) + ends[:, rows.upper] * lower > 0
    index, pixel_row, last = inside.nonzero().unbind(1)
    area = rows.pixels * columns.pixels
    return index * (area + 1) + (pixel_row + last) * columns.pixels


def _closed_starts(winners: torch.Tensor, open_: torch.Tensor, axes: Axes) -> tuple:
    """Positions and winners of the pixel rows that begin in a decided cell."""
    rows, columns = axes
    first = columns.cells[0]
    pixel_row = (~open_[rows.cells, first]).nonzero()[:, 0]
    return pixel_row * columns.pixels, winners[rows.cells[pixel_row], first]


def _closed_after(winners: torch.Tensor, open_: torch.Tensor, axes: Axes) -> tuple:
    """Positions and winners of the decided pixels that follow an open cell."""
    rows, columns = axes
    row, column = open_.nonzero().unbind(1)
    pixel = columns.borders[column + 1]
    column = columns.cells[pixel.clamp(max=columns.pixels - 1)]
    closed = ((pixel < columns.pixels) & ~open_[row, column]).nonzero()[:, 0]
    which, pixel_row = rows.spread(row[closed])
    which = closed[which]
    return pixel_row * columns.pixels + pixel[which], winners[row[which], column[which]]


def _cell_winners(nodes: torch.Tensor, cells: torch.Tensor, axes: Axes) -> tuple:
    """Positions and winners of all pixels of open cells (n, 2)."""
    rows, columns = axes
    row, column = cells.unbind(1)
    bottom = (row + 1).clamp(max=rows.nodes - 1)
    after = (column + 1).clamp(max=columns.nodes - 1)
    which, pixel_row = rows.spread(row)
    within, pixel = columns.spread(column[which])
    down, along = rows.weights[pixel_row], columns.weights[pixel]
    left, right = (
        (1 - down) * nodes[:, row, side].double()[:, which]
        + down * nodes[:, bottom, side].double()[:, which]
        for side in (column, after)
    )
    values = (1 - along) * left[:, within] + along * right[:, within]
    return pixel_row[within] * columns.pixels + pixel, values.argmax(0)
