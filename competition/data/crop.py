"""Crops: the part of a laid-out training image that one example shows."""

import cv2
import numpy as np

from competition.recipes import Sampling

Size = tuple[int, int]


def cut(
    image: np.ndarray,
    planes: np.ndarray,
    sampling: Sampling,
    *,
    extent: Size,
    positive: bool | None,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The same random window of image uint8 (h, w, 3) and bit planes uint8 (P, h, w).

    extent: height and width, from the top left, that the image itself takes; what is padded beyond
    it is left out as far as the crop's size allows. positive: the window must show a mask, or none
    (one with the fewest pixels of masks, where every window shows some); None: as `sampling` says.
    """
    assert sampling.crop is not None
    size = sampling.crop
    limit = (max(size[0], extent[0]), max(size[1], extent[1]))
    inside = np.any(planes[:, : limit[0], : limit[1]], axis=0)
    if positive is None and random.random() < sampling.centred:
        positive = True
    if positive is None:
        top, left = (int(random.integers(a - b + 1)) for a, b in zip(limit, size, strict=True))
    elif positive:
        top, left = around_mask(inside, size, random)
    else:
        top, left = beside_masks(inside, size, random)
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    return np.ascontiguousarray(image[rows, columns]), np.ascontiguousarray(
        planes[:, rows, columns]
    )


def around_mask(inside: np.ndarray, size: Size, random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a window centred on a random pixel of `inside` bool (h, w), as far as the
    border allows; anywhere where there is none.
    """
    pixels = np.flatnonzero(inside)
    chosen = random.integers(inside.size) if not len(pixels) else random.choice(pixels)
    centre = divmod(int(chosen), inside.shape[1])
    ends = zip(centre, size, inside.shape, strict=True)
    top, left = (min(max(0, c - s // 2), whole - s) for c, s, whole in ends)
    return top, left


def beside_masks(inside: np.ndarray, size: Size, random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a random one of the windows that hold the fewest pixels of `inside`."""
    sums = cv2.integral(inside.astype(np.uint8))  # int32 (h + 1, w + 1): of all above and left
    down, right = size
    counts = (
        sums[down:, right:] - sums[:-down, right:] - sums[down:, :-right] + sums[:-down, :-right]
    )
    fewest = np.flatnonzero(counts == counts.min())
    top, left = divmod(int(random.choice(fewest)), counts.shape[1])
    return top, left
