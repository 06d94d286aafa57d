"""How large an input has to be for images with a mask to be told from images without one.

What the truth shrunk and enlarged again loses says how sharp edges can be. It does not say whether what
a mask shows can still be recognised: a texture of two pixels is gone in an image shrunk to a third,
however wide the mask. Where most images have no mask, that decides: whatever looks alike costs a whole
image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from competition.data.letterbox import GridSize
from competition.masks import Runs

LARGEST = 512
"""Side up to which images are kept, and sizes are measured; larger ones count as the last of these."""
WINDOWS = (5, 9, 17)
"""Sides of the squares whose mean and deviation describe a pixel."""
OF_EACH = 1000
"""Pixels of an image, inside its masks and outside, that the two are told apart by."""
ALL = 0.999
"""From this share on larger sizes are not looked at."""


class ShownImage(NamedTuple):
    """An image, grey float32 (h, w) in 0 … 1, and whether it has a mask at each pixel, bool (h, w)."""

    grey: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray, truth: Runs) -> "ShownImage":
        """pixels: uint8 or uint16 (H, W, C); both shrunk to `LARGEST` where they are larger."""
        shrink = min(1.0, LARGEST / max(pixels.shape[:2]))
        height, width = (max(1, round(side * shrink)) for side in pixels.shape[:2])
        grey = pixels.mean(axis=2, dtype=np.float32) / np.iinfo(pixels.dtype).max
        inside = np.zeros(pixels.shape[:2], np.float32)
        for mask in truth:  # one at a time: all may be half a gigabyte
            inside = np.maximum(inside, mask.to_dense())
        return cls(_resized(grey, (height, width)), _resized(inside, (height, width)) >= 0.5)


def told_apart(shown: Sequence[ShownImage], sizes: Sequence[GridSize]) -> dict[GridSize, float]:
    """Size → share of pairs of an image with a mask and one without, in which the first has the pixel
    that looks more like the inside of a mask.

    What that looks like is a linear discriminant of grey, mean, deviation and slope around a pixel,
    found in every second image and looked for in the others, both ways; .5 is chance. 1 where a
    half has no pixel of one kind. A network sees more than these: what they tell, it can learn.
    """
    found: dict[GridSize, float] = {}
    share = 0.0
    for size in sizes:
        small = max(size) <= LARGEST or not found
        if share < ALL and small:
            share = float(np.mean([_share(shown, size, half) for half in (0, 1)]))
        found[size] = 1.0 if share >= ALL else share
    return found


def _share(shown: Sequence[ShownImage], size: GridSize, half: int) -> float:
    """One way: found in every second image from `half` on, looked for in the others."""
    kinds = (
        [one for one in shown if one.inside.any()],
        [one for one in shown if not one.inside.any()],
    )
    known = [one for kind in kinds for one in kind[half::2]]
    features = [_features(one.grey, size) for one in known]
    masks = [_resized(one.inside.astype(np.float32), size) >= 0.5 for one in known]
    inside = np.concatenate([_some(f[m]) for f, m in zip(features, masks, strict=True)])
    outside = np.concatenate([_some(f[~m]) for f, m in zip(features, masks, strict=True)])
    if not (len(inside) and len(outside)):
        return 1.0
    mean, deviation = outside.mean(axis=0), outside.std(axis=0) + 1e-6
    inside, outside = (inside - mean) / deviation, (outside - mean) / deviation
    spread = np.cov(inside.T) + np.cov(outside.T) + 0.05 * np.eye(len(mean))
    weights = np.linalg.solve(spread, inside.mean(axis=0) - outside.mean(axis=0)) / deviation
    side = max(3, min(size) // 32) | 1

    def strongest(one: ShownImage) -> float:
        response = (_features(one.grey, size) @ weights).astype(np.float32)
        return float(cv2.blur(response, (side, side)).max())

    first, second = (np.array([strongest(one) for one in kind[1 - half :: 2]]) for kind in kinds)
    if not (len(first) and len(second)):
        return 1.0
    return float((first[:, None] > second).mean())


def _features(grey: np.ndarray, size: GridSize) -> np.ndarray:
    """(h, w) → float32 (h', w', F) at `size`: what a pixel's surroundings are like, and its squares."""
    image = _resized(grey, size)
    maps = [image]
    for side in WINDOWS:
        mean = cv2.blur(image, (side, side))
        square = cv2.blur(image * image, (side, side))
        maps += [mean, np.sqrt(np.maximum(square - mean * mean, 0))]
    down = np.abs(np.diff(image, axis=0, append=image[-1:]))
    across = np.abs(np.diff(image, axis=1, append=image[:, -1:]))
    maps.append(cv2.blur(down + across, WINDOWS[:1] * 2))
    plain = np.stack(maps, axis=-1)
    return np.concatenate([plain, plain**2], axis=-1)


def _some(pixels: np.ndarray) -> np.ndarray:
    """At most `OF_EACH` of (N, F), evenly."""
    return pixels[:: max(1, len(pixels) // OF_EACH)]


def _resized(image: np.ndarray, size: GridSize) -> np.ndarray:
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how)
