"""Logits as uint8 codes, and codes as compressed bytes and back."""

import numpy as np
import zstandard

from competition.errors import InputFault

CLIP = 8.0
"""Logits are kept between ±8: probabilities of .0003 and .9997."""
SCALE = 2 * CLIP / 255
OFFSET = -CLIP
"""logit = code · SCALE + OFFSET. The code step is .063; 127 and 128 lie on either side of p = .5,
so that a threshold of .5 decides every pixel as it would before quantisation."""

ZSTD_LEVEL = 1
"""Of zstd: higher levels are slower on differences of codes and no smaller
(docs/performance-store.md)."""

_ROWS = 16
"""Rows of all planes that are added up together: they lie side by side and stay in the cache."""


def quantise(logits: np.ndarray) -> np.ndarray:
    """uint8 codes of float logits of any shape: clipped to ±CLIP, rounded to the nearest code.

    A logit above 0 gets a code of 128 or more, one below 0 a code of 127 or less. NaN is an
    InputFault: thresholded later it would look like an empty mask.

    >>> quantise(np.array([-100.0, -0.001, 0.001, 8.0], np.float32))
    array([  0, 127, 128, 255], dtype=uint8)
    """
    scaled = np.multiply(logits, np.float32(1 / SCALE), dtype=np.float32)
    if np.isnan(scaled.min(initial=0)):
        count = int(np.isnan(scaled).sum())
        raise InputFault(f"{count} of {scaled.size} logits are NaN: the network is broken")
    scaled += np.float32(-OFFSET / SCALE + 0.5)
    np.clip(scaled, 0, 255.5, out=scaled)
    return scaled.astype(np.uint8)


def probabilities() -> np.ndarray:
    """float32 (256,): the probability that each code stands for."""
    return sigmoid(np.arange(256) * SCALE + OFFSET).astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logits → probabilities; as a tangent, which does not overflow."""
    return (np.tanh(logits / 2) + 1) / 2


def packed(planes: np.ndarray) -> bytes:
    """uint8 (P, h, w) → one zstd frame with a checksum.

    Each row is stored as its difference (modulo 256) from the row above: logits are smooth, so that
    small numbers remain, and those compress.
    """
    differences = planes.copy()
    differences[:, 1:] -= planes[:, :-1]
    frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    return frame.compress(differences.data if differences.size else b"")


def unpacked(frame: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The planes uint8 (P, h, w) of a frame; ValueError where it is damaged or of another size.

    >>> planes = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    >>> np.array_equal(unpacked(packed(planes), (2, 3, 4)), planes)
    True
    """
    size = int(np.prod(shape))
    try:
        if zstandard.frame_content_size(frame) != size:  # before a false size takes the memory
            raise ValueError(f"a frame of other than {size} bytes")
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    differences = np.frombuffer(content, np.uint8).reshape(shape)
    planes = np.empty(shape, np.uint8)
    above = np.zeros((shape[0], shape[2]), np.uint8)
    for first in range(0, shape[1], _ROWS):
        rows = differences[:, first : first + _ROWS].swapaxes(0, 1).copy()
        rows[0] += above
        for row in range(1, len(rows)):  # np.add.accumulate takes six times as long
            np.add(rows[row - 1], rows[row], out=rows[row])
        planes[:, first : first + _ROWS] = rows.swapaxes(0, 1)
        above = rows[-1]
    return planes
