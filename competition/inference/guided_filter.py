"""Stored predictions refined by the image: the guided filter (He, Sun & Tang, "Guided image filtering",
ECCV 2010).

In each window the probability is fitted as a line of the image's brightness, and a pixel takes the
mean of the lines of all windows that it lies in. So a border moves onto an edge of the image that is
near it; where there is none, probabilities are averaged.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from competition.data.letterbox import GridSize, LetterboxedImages
from competition.inference.quantisation import CLIP, sigmoid
from competition.inference.store import Geometry, Store, StoreWriter
from competition.masks.sampling_grid import Axis, SamplingGrid, sampled
from competition.spec import Refinement

_SUREST = float(sigmoid(np.array(CLIP, np.float64)))
"""The highest probability that a store holds."""


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
    images: LetterboxedImages,
    folder: Path,
    *,
    member: str,
    refinement: Refinement,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write the probabilities of a store, refined by its images, as one of a member's; whole or not at
    all. It has the size that the network saw: coarser logits are enlarged, and disagreement with them.
    An image at a time, class by class; `advance` is called once an image.
    """
    provenance = store.provenance.model_copy(update={"member": member})
    with StoreWriter(folder, provenance) as writer:
        for image in store.images:
            letterbox = images.letterboxes[image]
            height, width = letterbox.resized
            guide = _brightness(images.pixels[images.rows[image], :height, :width])
            logits = np.stack([_at_size(one, letterbox.size) for one in store.read(image).logits()])
            for plane in logits[:, :height, :width]:  # what is beside them is padding
                plane[:] = _refined(plane, guide, refinement)
            geometry = Geometry(letterbox.native, letterbox.region(letterbox.size))
            disagreement = _at_size(store.disagreement(image), letterbox.size)
            writer.add(image, logits, geometry, disagreement=disagreement)
            advance()


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
