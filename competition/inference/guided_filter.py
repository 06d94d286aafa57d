"""Stored predictions refined by the image: the guided filter (He, Sun & Tang, "Guided image filtering",
ECCV 2010).

In each window the probability is fitted as a line of the image's brightness, and a pixel takes the
mean of the lines of all windows that it lies in. So a border moves onto an edge of the image that is
near it; where there is none, probabilities are averaged.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from competition.data.letterbox import GridSize
from competition.data.scaled import LaidOutImages, ScaledImages
from competition.inference.quantisation import CLIP, quantise, sigmoid
from competition.inference.store import Geometry, RowSpan, Store, StoreWriter
from competition.masks.sampling_grid import Axis, SamplingGrid, sampled
from competition.spec import Refinement

_SUREST = float(sigmoid(np.array(CLIP, np.float64)))
"""The highest probability that a store holds."""

_STRIP = 512
"""Rows of an image at a scale that are refined together."""


def guided_filter(
    guide: np.ndarray, values: np.ndarray, *, radius: int, epsilon: float
) -> np.ndarray:
    """float64 (h, w): values (h, w) filtered along the edges of guide (h, w), both floats.

    Windows are squares of 2 · radius + 1 pixels, cut at the border of the image. epsilon: what is added
    to the variance of the guide in a window: above it an edge is kept, below it values are averaged.
    """
    guide, values = (np.asarray(one, np.float64) for one in (guide, values))
    side = 2 * radius + 1

    def total(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(
            plane, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
        )

    counts = total(np.ones_like(guide))

    def mean(plane: np.ndarray) -> np.ndarray:
        return total(plane) / counts

    brightness, level = mean(guide), mean(values)
    variance = mean(guide * guide) - brightness**2
    slope = (mean(guide * values) - brightness * level) / (variance + epsilon)
    return mean(slope) * guide + mean(level - slope * brightness)


def refine_store(
    store: Store,
    images: LaidOutImages,
    folder: Path,
    *,
    member: str,
    refinement: Refinement,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write the probabilities of a store, refined by its images, as one of a member's; whole or not at
    all. It has the size that the network saw: coarser logits are enlarged, and disagreement with them.
    An image at a time, class by class, one at a scale strip by strip; `advance` is called once an image.
    """
    provenance = store.provenance.model_copy(update={"member": member})
    if isinstance(images, ScaledImages):
        with StoreWriter(folder, provenance, strips=True) as writer:
            for image in store.images:
                letterbox = images.letterboxes[image]
                geometry = Geometry(letterbox.native, letterbox.region(letterbox.size))
                strips = _refined_strips(store, images, image, refinement)
                writer.add_strips(image, strips, geometry, letterbox.size)
                advance()
        return
    with StoreWriter(folder, provenance) as writer:
        for image in store.images:
            letterbox = images.letterboxes[image]
            height, width = letterbox.resized
            guide = _brightness(images.alone(image)[:height, :width])
            logits = np.stack([_at_size(one, letterbox.size) for one in store.read(image).logits()])
            for plane in logits[:, :height, :width]:  # what is beside them is padding
                plane[:] = _refined(plane, guide, refinement)
            geometry = Geometry(letterbox.native, letterbox.region(letterbox.size))
            disagreement = _at_size(store.disagreement(image), letterbox.size)
            writer.add(image, logits, geometry, disagreement=disagreement)
            advance()


def _refined_strips(
    store: Store, images: ScaledImages, image: str, refinement: Refinement
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Codes uint8 (K, rows, w) and disagreement uint8 (rows, w) of an image at a scale; as of the whole,
    since what a row is made of lies no further than two radii away.
    """
    height, width = images.letterboxes[image].size
    reach = 2 * refinement.radius
    for first in range(0, height, _STRIP):
        stop = min(first + _STRIP, height)
        around = RowSpan(max(0, first - reach), min(height, stop + reach), height)
        window = around.first, 0, around.stop - around.first, width
        guide = _brightness(images.alone(image, window))
        stored = store.read(image, around)
        grid = SamplingGrid.over(stored.codes.shape[1:], guide.shape, stored.geometry.region)
        own = slice(first - around.first, stop - around.first)
        logits = [
            _refined(plane, guide, refinement)[own] for plane in sampled(stored.logits(), grid)
        ]
        spread = store.disagreement(image, around)[None].astype(np.float32)
        yield quantise(np.stack(logits)), np.rint(sampled(spread, grid)[0, own]).astype(np.uint8)


def _at_size(plane: np.ndarray, size: GridSize) -> np.ndarray:
    """Enlarged bilinearly, of the same dtype; as it is where it has the size."""
    if plane.shape == tuple(size):
        return plane
    axes = [Axis.over(n, nodes, 0.0, n) for n, nodes in zip(plane.shape, size, strict=True)]
    values = sampled(plane[None].astype(np.float32), SamplingGrid(*axes))[0]
    return (np.rint(values) if plane.dtype == np.uint8 else values).astype(plane.dtype)


def _brightness(pixels: np.ndarray) -> np.ndarray:
    """float64 (h, w) from 0 to 1: the mean of the channels of (h, w, C), uint8 or uint16."""
    return pixels.mean(axis=2) / np.iinfo(pixels.dtype).max


def _refined(logits: np.ndarray, guide: np.ndarray, refinement: Refinement) -> np.ndarray:
    """Of one class, (h, w)."""
    probabilities = sigmoid(logits.astype(np.float64))
    found = guided_filter(
        guide, probabilities, radius=refinement.radius, epsilon=refinement.epsilon
    )
    found = np.clip(found, 1 - _SUREST, _SUREST)  # a line leads beyond 0 and 1
    return np.log(found / (1 - found))
