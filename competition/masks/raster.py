"""Where the pixels of a result lie between the nodes of a low-resolution grid.

A pixel samples the grid at `node = start + (pixel + .5) * length / pixels - .5` (half-pixel
centres, clamped at the border of the grid, as `F.interpolate(align_corners=False)`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from competition.errors import InputFault

Region = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Axis:
    """Where the pixels of one axis of the result lie between the nodes of a grid.

    positions: float64 (nodes,) pixel coordinate of each node (pixel centres at 0, 1, …), ascending;
    cells: int64 (pixels,) node at or before each pixel; weights: float64 (pixels,) share in [0, 1)
    of the node after it, 0 where the pixel lies beyond the first or the last node;
    borders: int64 (nodes + 1,) first pixel of each cell: cell c holds borders[c]:borders[c + 1].
    """

    positions: np.ndarray
    cells: np.ndarray
    weights: np.ndarray
    borders: np.ndarray

    @classmethod
    def over(cls, nodes: int, pixels: int, start: float = 0.0, length: float | None = None) -> Self:
        """`pixels` spread evenly over `length` nodes from `start` (default: all nodes).

        >>> Axis.over(2, 4).weights
        array([0.  , 0.25, 0.75, 0.  ])
        """
        length = float(nodes if length is None else length)
        # One exact numerator (integers below 2**53) and one division: no rounded scale times index.
        numerator = (2 * np.arange(pixels) + 1) * length + (2 * start - 1) * pixels
        cells = np.floor(numerator / (2 * pixels))
        weights = (numerator - cells * (2 * pixels)) / (2 * pixels)
        positions = (np.arange(nodes) + (0.5 - start)) * (pixels / length) - 0.5
        return cls._clamped(positions, cells, weights)

    @classmethod
    def at(cls, positions: np.ndarray, pixels: int) -> Self:
        """`pixels` between nodes at any ascending positions, float64 (nodes,)."""
        pixel = np.arange(pixels)
        cells = np.searchsorted(positions, pixel, side="right") - 1
        lower = np.clip(cells, 0, max(0, len(positions) - 2))
        upper = np.minimum(lower + 1, len(positions) - 1)
        gap = np.where(upper > lower, positions[upper] - positions[lower], 1.0)
        return cls._clamped(positions, cells, (pixel - positions[lower]) / gap)

    @classmethod
    def _clamped(cls, positions: np.ndarray, cells: np.ndarray, weights: np.ndarray) -> Self:
        nodes = len(positions)
        between = (cells >= 0) & (cells < nodes - 1)
        cells = np.clip(cells, 0, nodes - 1).astype(np.int64)
        borders = np.searchsorted(cells, np.arange(nodes + 1))
        return cls(positions, cells, np.where(between, weights, 0.0), borders)

    @property
    def nodes(self) -> int:
        return len(self.positions)

    @property
    def pixels(self) -> int:
        return len(self.cells)

    @property
    def upper(self) -> np.ndarray:
        """int64 (pixels,): the node after each pixel's cell begins, clamped to the grid."""
        return np.minimum(self.cells + 1, self.nodes - 1)

    def spread(self, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every pixel of the given cells (n,): its index among them and the pixel, int64 both."""
        counts = self.borders[cell + 1] - self.borders[cell]
        which = np.repeat(np.arange(cell.size), counts)
        first = self.borders[cell] - (np.cumsum(counts) - counts)
        return which, np.arange(which.size) + first[which]

    def first_pixel_after(
        self, cell: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> np.ndarray:
        """First pixel on the right end's side of the crossing in each cell, int64 (n,).

        left, right: float64 (n,) values at the two nodes of `cell`, exactly one of them above 0.
        Zero itself lies below: a value equal to the threshold is outside.
        """
        position = left / (left - right)
        position *= (self.positions[1:] - self.positions[:-1])[cell]
        position += self.positions[cell]
        after = np.ceil(position)
        pixel = after.astype(np.int64)
        pixel += (right > 0) & (after == position)
        np.maximum(pixel, self.borders[cell], out=pixel)
        return np.minimum(pixel, self.borders[cell + 1], out=pixel)


@dataclass(frozen=True, eq=False)
class Raster:
    """One grid seen through the pixels of a result: its two axes."""

    rows: Axis
    columns: Axis

    @classmethod
    def over(
        cls, grid: tuple[int, int], size: tuple[int, int], region: Region | None = None
    ) -> Self:
        """grid (h, w) nodes, size (H, W) pixels; region (top, left, height, width) in nodes.

        InputFault for a size without pixels and a region without extent or outside the grid.
        """
        if len(size) != 2 or min(size) < 1:
            raise InputFault(f"size {size!r}; (height, width) in pixels is asked for")
        top, left, height, width = region or (0.0, 0.0, *grid)
        # A rounded region may end the last bit of a float beyond the grid.
        room = (1 + 1e-9) * np.array(grid)
        fits = min(top, left) >= 0 and top + height <= room[0] and left + width <= room[1]
        if not (fits and height > 0 and width > 0):
            raise InputFault(
                f"region {region!r} of logits of {grid!r}; (top, left, height, width) inside is "
                "asked for"
            )
        return cls(
            Axis.over(grid[0], size[0], top, height), Axis.over(grid[1], size[1], left, width)
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) nodes."""
        return self.rows.nodes, self.columns.nodes

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        return self.rows.pixels, self.columns.pixels

    @property
    def area(self) -> int:
        """Pixels of the result."""
        return self.rows.pixels * self.columns.pixels


def sampled_rows(plane: np.ndarray, rows: Axis, block: slice) -> np.ndarray:
    """The pixel rows of a block at the node columns of a plane (h, w): float64 (rows, w)."""
    lower = rows.weights[block, None]
    values = np.multiply(plane[rows.cells[block]], 1.0 - lower, dtype=np.float64)
    values += np.multiply(plane[rows.upper[block]], lower, dtype=np.float64)
    return values


def sampled_columns(values: np.ndarray, columns: Axis) -> np.ndarray:
    """Rows (n, w) of nodes at the pixels of the columns: (n, W)."""
    found = values[:, columns.cells] * (1.0 - columns.weights)
    found += values[:, columns.upper] * columns.weights
    return found


def sampled(nodes: np.ndarray, raster: Raster) -> np.ndarray:
    """Nodes (K, h, w) at all pixels of a raster, float32 (K, H, W): for small rasters.

    >>> sampled(np.array([[[0.0, 4.0]]]), Raster.over((1, 2), (1, 4)))
    array([[[0., 1., 3., 4.]]], dtype=float32)
    """
    found = np.empty((len(nodes), *raster.size), np.float32)
    for plane, out in zip(nodes, found, strict=True):
        out[:] = sampled_columns(sampled_rows(plane, raster.rows, slice(None)), raster.columns)
    return found
