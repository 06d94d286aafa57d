"""How much surface lies in the corner between 4 pixels or 8 voxels, by which of them are inside.

Marching squares and marching cubes (Lorensen & Cline 1987) with the triangles that Nikolov et al.
2018 (arXiv 1809.04430) chose for surface Dice. Of the 256 ways to choose voxels of a 2 × 2 × 2 cube
only 14 differ by more than a turn, a mirror or an exchange of inside and outside, so 14 are given.

A code is the sum of the weights of the pixels inside: 2**(n - 1) for the first of the n in C order,
1 for the last.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import permutations, product

import numpy as np

Corner = tuple[int, ...]

# Triangles of each case by their normals: area in a cube of side 1, sides along the three axes.
_EIGHTH, _QUARTER = (0.125, 0.125, 0.125), (0.25, 0.25, 0.25)
_TRIANGLES: dict[int, list[tuple[float, float, float]]] = {
    0b00000000: [],
    0b00000001: [_EIGHTH],
    0b00000011: [(0.25, 0.25, 0.0)] * 2,
    0b00000110: [_EIGHTH] * 2,
    0b00000111: [(0.5, 0.0, 0.0), _QUARTER, _EIGHTH],
    0b00001111: [(0.5, 0.0, 0.0)] * 2,
    0b00010110: [_EIGHTH] * 3,
    0b00010111: [_EIGHTH, _EIGHTH, _QUARTER, _QUARTER],
    0b00011000: [_EIGHTH] * 2,
    0b00011001: [(0.0, 0.25, 0.25), (0.0, 0.25, 0.25), _EIGHTH],
    0b00011011: [_EIGHTH, (0.375, 0.375, 0.375), (0.0, 0.25, 0.25), (0.25, 0.0, 0.25)],
    0b00011110: [(0.5, 0.0, 0.0), _EIGHTH, _QUARTER, _EIGHTH],
    0b00111100: [(0.25, 0.25, 0.0)] * 4,
    0b01101001: [_EIGHTH] * 4,
}


def element_sizes(spacing: Sequence[float]) -> np.ndarray:
    """Length in mm (2-D, float64 (16,)) or area in mm² (3-D, (256,)) of surface for each code.

    >>> element_sizes((2.0, 1.0))[[0b0000, 0b0011, 0b0101, 0b1111]]
    array([0., 1., 2., 0.])
    """
    return _lengths(*spacing) if len(spacing) == 2 else _areas(spacing)


def _lengths(down: float, across: float) -> np.ndarray:
    """One pixel inside is cut off by half a diagonal, two neighbours by a straight line."""
    half_diagonal = 0.5 * np.hypot(down, across)
    lengths = np.full(16, half_diagonal)
    lengths[[0b0000, 0b1111]] = 0.0
    lengths[[0b0011, 0b1100]] = across
    lengths[[0b0101, 0b1010]] = down
    lengths[[0b0110, 0b1001]] = 2 * half_diagonal
    return lengths


def _areas(spacing: Sequence[float]) -> np.ndarray:
    # A normal is as long as its triangle is large: an axis scales with the other two sides.
    sides = np.prod(spacing) / np.asarray(spacing, float)
    return np.linalg.norm(_normals() * sides, axis=-1).sum(axis=-1)


@cache
def _normals() -> np.ndarray:
    """Normals without their signs of at most four triangles for each code: float64 (256, 4, 3)."""
    normals = np.zeros((256, 4, 3))
    for case, triangles in _TRIANGLES.items():
        for axes, turned in _symmetries():
            code = _code(turned(corner) for corner in _inside(case))
            for position, triangle in enumerate(triangles):
                turned_triangle = [triangle[axis] for axis in axes]
                normals[[code, 255 - code], position] = turned_triangle
    return normals


def _symmetries() -> Iterator[tuple[Sequence[int], Callable[[Corner], Corner]]]:
    """The 48 turns and mirrors of the cube: the axis that each axis shows, and the move itself."""
    for axes in permutations(range(3)):
        for mirrored in product((0, 1), repeat=3):
            yield (
                axes,
                lambda corner, axes=axes, mirrored=mirrored: tuple(
                    corner[axis] ^ flip for axis, flip in zip(axes, mirrored, strict=True)
                ),
            )


def _inside(code: int) -> list[Corner]:
    corners = product((0, 1), repeat=3)
    return [corner for index, corner in enumerate(corners) if code & (128 >> index)]


def _code(corners: Iterator[Corner]) -> int:
    return sum(128 >> (4 * z + 2 * y + x) for z, y, x in corners)
