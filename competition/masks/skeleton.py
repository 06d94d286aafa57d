"""Centre lines of elongated masks, such as roads and vessels, and how wide they are along them."""

import cv2
import numpy as np

from competition.masks.runs import Runs

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Row and column of the eight neighbours, clockwise from the one above."""

_SIDES = (0, 4, 2, 6)
"""Places of the neighbours above, below, right and left: the order in which borders are taken off."""


def skeletonize(runs: Runs) -> Runs:
    """The centre lines of every class, one pixel wide: Runs of the same shape (H, W) or (K, H, W).

    Border pixels are taken off, one side of the mask after another, as long as neither the number
    of 8-connected components nor that of holes changes and no line gets shorter (Rosenfeld 1975). So
    components and holes of a mask are those of its skeleton; a hair of the outline may become a spur.

    >>> bar = np.zeros((5, 9), bool); bar[1:4, 1:8] = True
    >>> skeletonize(Runs.from_dense(bar)).to_dense().astype(int)
    array([[0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 0, 0]])
    """
    lines = [_replaced(one, _thinned(dense)) for one, dense in _cropped(runs)]
    return lines[0] if len(runs.shape) == 2 else Runs.stack(lines) if lines else runs


def thickness(runs: Runs) -> list[np.ndarray]:
    """Widths along the centre line of each class, in pixels: float32 (pixels of its skeleton,).

    Twice the distance to the nearest pixel outside, less one: exact for odd widths, and one less
    for even ones, whose middle lies between two pixels. What lies beyond the image is outside.

    >>> bar = np.zeros((9, 40), bool); bar[2:7] = True
    >>> float(np.median(thickness(Runs.from_dense(bar))[0]))
    5.0
    """
    return [_widths(dense) for _, dense in _cropped(runs)]


def _cropped(runs: Runs) -> list[tuple[Runs, np.ndarray]]:
    """Each class as Runs (H, W), and densely: uint8 of its bounding box with a free pixel around it."""
    found = []
    for one in [runs] if len(runs.shape) == 2 else runs:
        top, left, bottom, right = one.bounding_boxes()[0]
        dense = one.to_dense()[top:bottom, left:right].view(np.uint8)
        found.append((one, np.pad(dense, 1)))
    return found


def _replaced(one: Runs, dense: np.ndarray) -> Runs:
    """The class with a bounding box of other content, as `_cropped` made it."""
    top, left, bottom, right = one.bounding_boxes()[0]
    canvas = np.zeros(one.shape, bool)
    canvas[top:bottom, left:right] = dense[1:-1, 1:-1]
    return Runs.from_dense(canvas)


def _widths(dense: np.ndarray) -> np.ndarray:
    distances = cv2.distanceTransform(dense, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return 2 * distances[_thinned(dense) > 0] - 1


def _thinned(dense: np.ndarray) -> np.ndarray:
    """uint8 (h, w) of 0 and 1, its frame free → its skeleton. Looks at mask pixels alone."""
    mask = dense.ravel().copy()
    steps = [row * dense.shape[1] + column for row, column in _AROUND]
    left = np.flatnonzero(mask)
    before = -1
    while len(left) != before:
        before = len(left)
        for side in _SIDES:
            border = left[mask[left + steps[side]] == 0]
            around = sum(mask[border + step] << place for place, step in enumerate(steps))
            mask[border[_REMOVABLE[around]]] = 0
            left = left[mask[left] > 0]
    return mask.reshape(dense.shape)


def _removable() -> np.ndarray:
    """bool (256,): whether a pixel may go, by the bits of its eight neighbours.

    It must have two or more (else it ends a line), and they must be one 8-connected component with the
    background on one side: walking around the pixel meets a gap exactly once.
    """
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    edges, after, next_edges = bits[:, ::2], bits[:, 1::2], np.roll(bits[:, ::2], -1, axis=1)
    gaps = ((edges == 0) & ((after | next_edges) == 1)).sum(axis=1)
    return (gaps == 1) & (bits.sum(axis=1) >= 2)


_REMOVABLE = _removable()
