"""Where the pixels of a result lie between the nodes of a low-resolution grid.

A pixel samples the grid at `node = start + (pixel + .5) * length / pixels - .5` (half-pixel
centres, clamped at the border of the grid, as `F.interpolate(align_corners=False)`).
"""

from collections.abc import Sequence
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
class SamplingGrid:
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
    def node_shape(self) -> tuple[int, int]:
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


def sampled(nodes: np.ndarray, grid: SamplingGrid) -> np.ndarray:
    """Nodes (K, h, w) at all pixels of a grid, float32 (K, H, W): for small rasters.

    >>> sampled(np.array([[[0.0, 4.0]]]), SamplingGrid.over((1, 2), (1, 4)))
    array([[[0., 1., 3., 4.]]], dtype=float32)
    """
    found = np.empty((len(nodes), *grid.size), np.float32)
    for plane, out in zip(nodes, found, strict=True):
        out[:] = sampled_columns(sampled_rows(plane, grid.rows, slice(None)), grid.columns)
    return found


BEYOND = 1e300
"""Stands for the infinite logit of the thresholds 0 and 1: differences from it stay finite."""

CODES = (np.uint8, np.uint16)

Numbers = float | Sequence[float] | np.ndarray


def class_count(logits: np.ndarray) -> int:
    """K of logits (K, h, w); InputFault for another shape or type."""
    if logits.ndim != 3 or min(logits.shape[1:]) < 1:
        raise InputFault(f"logits of shape {logits.shape!r}; (classes, height, width) is asked for")
    if logits.dtype not in CODES and logits.dtype.kind != "f":
        raise InputFault(
            f"logits of {logits.dtype}; float, or uint8 or uint16 codes with scale and offset"
        )
    return logits.shape[0]


def logit(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) in float64, ±BEYOND at 1 and 0; InputFault outside [0, 1].

    >>> logit(np.array([0.0, 0.5, 1.0]))
    array([-1.e+300,  0.e+000,  1.e+300])
    """
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        found = np.unique(probabilities[wrong])[:10].tolist()
        raise InputFault(f"thresholds {found!r}; probabilities from 0 to 1 are asked for")
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probabilities) - np.log1p(-probabilities), -BEYOND, BEYOND)


def per_class(thresholds: Numbers, classes: int) -> np.ndarray:
    """Thresholds float64 (T, K) from (T,) or (T, K) or (T, 1); InputFault for other shapes."""
    found = np.asarray(thresholds, np.float64)
    rows = found[:, None] if found.ndim == 1 else found
    if rows.ndim != 2 or rows.shape[1] not in (1, classes):
        raise InputFault(
            f"thresholds of shape {found.shape!r} for {classes} classes; "
            "one number, or one per class, is asked for"
        )
    return np.broadcast_to(rows, (len(rows), classes))


def code_scale(
    logits: np.ndarray, scale: Numbers | None, offset: Numbers | None
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of logits (K, h, w) as float64 (K,): of codes those given, else 1, 0.

    InputFault if they are missing, given for float logits, not finite, or the scale not above 0.
    """
    if logits.dtype not in CODES:
        if scale is not None or offset is not None:
            raise InputFault(
                f"scale and offset belong to codes, uint8 or uint16, and these are {logits.dtype}"
            )
        return np.ones(len(logits)), np.zeros(len(logits))
    if scale is None or offset is None:
        raise InputFault(f"{logits.dtype} codes need the scale and offset they were stored with")
    both = [np.asarray(value, np.float64) for value in (scale, offset)]
    if any(value.shape not in ((), (1,), (len(logits),)) for value in both):
        raise InputFault(
            f"scale of shape {both[0].shape!r} and offset of shape {both[1].shape!r}; "
            f"one number, or one for each of {len(logits)} classes, is asked for"
        )
    if not all(np.isfinite(value).all() for value in both) or not (both[0] > 0).all():
        raise InputFault(
            f"scale {scale!r} and offset {offset!r}; finite ones, the scale above 0, are asked for"
        )
    steps, zeros = (np.broadcast_to(value, len(logits)) for value in both)
    return steps, zeros


def node_levels(thresholds: np.ndarray, steps: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """Levels of the stored nodes, float64 like thresholds (…, K): inside is node > level."""
    return np.clip((logit(thresholds) - zeros) / steps, -BEYOND, BEYOND)


def above(nodes: np.ndarray, level: float, out: np.ndarray | None = None) -> np.ndarray:
    """Bool: nodes > level, compared exactly in the type of the nodes.

    Nodes are stored values, so they are above `level` exactly when they are above the largest
    value of their own type that is not above `level`.

    >>> above(np.array([3, 4], np.uint8), 3.7)
    array([False,  True])
    """
    own_type = nodes.dtype.type
    if own_type in CODES:
        if level < 0:
            return np.greater_equal(nodes, own_type(0), out=out)
        return np.greater(nodes, own_type(min(np.floor(level), np.iinfo(own_type).max)), out=out)
    with np.errstate(over="ignore"):
        own = own_type(level)
    if own > level:
        own = np.nextafter(own, own_type(-np.inf))
    return np.greater(nodes, own, out=out)


def checked_finite(nodes: np.ndarray, name: str) -> None:
    """InputFault if a value of (h, w) is NaN or infinite: NaN > t is False, an empty mask."""
    if nodes.dtype.kind != "f":
        return
    # Finite sums of squares prove every value finite in one pass; only else look closer.
    if np.isfinite(np.einsum("ij,ij->i", nodes, nodes)).all() or np.isfinite(nodes).all():
        return
    row, column = np.argwhere(~np.isfinite(nodes))[0]
    count = nodes.size - int(np.isfinite(nodes).sum())
    raise InputFault(
        f"the logits of {name} hold {count} non-finite values of {nodes.size}, "
        f"the first {float(nodes[row, column])!r} at row {row}, column {column}; "
        "a mask cannot be cut from them: look at the checkpoint and the training loss"
    )
