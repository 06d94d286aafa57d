"""How far the predictions of an image are apart: folds, and test-time views within a fold.

The *disagreement* of a pixel is √Σₖ Var(pₖ): how far the vector of its classes' probabilities lies
from its mean over them, as a root mean square, 0 where all say the same. Over folds it is the
law of total variance: the mean over folds of the variance of their views, plus the variance of
the folds, each taken as the probability of its mean logit. A plane stores it as uint8, 255 for 1
and more.
"""

from collections.abc import Iterable
from functools import reduce

import numpy as np

from competition.inference.quantisation import probabilities

FULL_CODE = 255
"""Code of a disagreement of 1."""

DISPUTED = 0.25
"""A pixel is disputed from here on: as when two views say .25 and .75."""


def plane_of(variance: np.ndarray) -> np.ndarray:
    """uint8 plane of a disagreement from its square, float (…, h, w).

    >>> plane_of(np.array([[0.0, 0.25, 4.0]]))
    array([[  0, 128, 255]], dtype=uint8)
    """
    spread = np.sqrt(np.clip(variance, 0, 1))
    return np.rint(FULL_CODE * spread).astype(np.uint8)


def disputed_share(plane: np.ndarray, region: tuple[float, float, float, float]) -> float:
    """Share of the image's pixels with a disagreement of `DISPUTED` or more, 0 to 1.

    plane: uint8 (h, w); region: (top, left, height, width) of the image in it, padding left out.
    """
    shown = inside(plane, region)
    return float(np.mean(shown >= DISPUTED * FULL_CODE))


def inside(plane: np.ndarray, region: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a plane (h, w) that shows the image, at least one pixel."""
    top, left, height, width = region
    rows = slice(int(top), max(int(top) + 1, round(top + height)))
    columns = slice(int(left), max(int(left) + 1, round(left + width)))
    return plane[rows, columns]


class FoldMean:
    """Mean codes and disagreement of one image, fold by fold; holds sums alone.

    Sums are of integer codes, so that the only loss is one rounding to the nearest code.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._codes = np.zeros(shape, np.uint16)
        self._probabilities = np.zeros(shape, np.float32)
        self._within = np.zeros(shape[1:], np.float32)
        self._squares = np.zeros(shape[1:], np.float32)
        self._folds = 0

    def add(self, codes: np.ndarray, disagreement: np.ndarray) -> None:
        """One fold: codes uint8 (K, h, w), its own disagreement uint8 (h, w)."""
        table = probabilities()
        for total, mean, plane in zip(self._codes, self._probabilities, codes, strict=True):
            probability = table[plane]
            total += plane
            mean += probability
            self._squares += probability * probability
        self._within += np.square(disagreement / np.float32(FULL_CODE))
        self._folds += 1

    def codes(self) -> np.ndarray:
        """uint8 (K, h, w): the mean, rounded."""
        folds = np.uint16(self._folds)
        return ((self._codes + folds // np.uint16(2)) // folds).astype(np.uint8)

    def disagreement(self) -> np.ndarray:
        """uint8 (h, w) over folds and views."""
        means = _sum_of_squares(self._probabilities) / self._folds**2
        return plane_of((self._within + self._squares) / self._folds - means)


def _sum_of_squares(planes: Iterable[np.ndarray]) -> np.ndarray:
    """float (h, w), class by class: no second array of all classes."""
    return reduce(np.add, (plane * plane for plane in planes))
