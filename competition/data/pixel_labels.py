"""What the labels of one image say of its pixels: their classes, and which of them do not count."""

from dataclasses import dataclass

import numpy as np

from competition.masks import Runs


@dataclass(frozen=True)
class PixelLabels:
    """classes: Runs (K, H, W) in the order of the spec; ignored: Runs (1, H, W), the pixels that do
    not count.

    What a reader gives may have classes on ignored pixels; `read_labels` takes them away.
    """

    classes: Runs
    ignored: Runs

    @classmethod
    def of(cls, classes: Runs, ignored: Runs | None = None) -> "PixelLabels":
        """ignored: (H, W), or (N, H, W) of which a pixel in any is ignored; None: no pixel is."""
        if ignored is None or not len(ignored):
            return cls(classes, Runs.empty((1, classes.height, classes.width)))
        return cls(classes, Runs.stack([ignored.any_mask()]))

    def ignoring(self, further: Runs | None) -> "PixelLabels":
        """The same with further pixels (1, H, W) ignored, and no class on any that is."""
        ignored = self.ignored if further is None else self.ignored | further
        return PixelLabels(self.classes.without(ignored), ignored)


def value_counts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a mask image, ascending, and how many pixels each has: as `np.unique` gives them,
    which sorts every pixel, where counting is enough.

    >>> value_counts(np.array([[7, 0], [7, 7]], np.uint8))
    (array([0, 7], dtype=uint8), array([1, 3]))
    """
    if values.dtype not in (np.uint8, np.uint16):
        return np.unique(values, return_counts=True)
    counts = np.bincount(values.ravel())
    found = np.flatnonzero(counts)
    return found.astype(values.dtype), counts[found]
