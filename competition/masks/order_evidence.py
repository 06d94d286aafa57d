"""What pixels say about the order of a text: compactness, the edges of images, and a vote on them."""

from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np

from competition.errors import InputFault
from competition.masks.intervals import ranges
from competition.masks.morphology import boundary
from competition.masks.runs import Runs
from competition.masks.transpose import transpose

Certainty = Literal["proven", "near certain", "likely", "unknown"]
CERTAINTIES: tuple[Certainty, ...] = ("unknown", "likely", "near certain", "proven")
MOST_IMAGES = 200


@dataclass(frozen=True)
class Finding:
    """A value, None where nothing tells, how sure it is, and a line with the figures."""

    value: Any
    certainty: Certainty
    line: str


def from_compactness(pairs: list[tuple[int, Runs, Runs]]) -> Finding:
    """Perimeter over root of area, which transposing leaves as it is on a square."""
    ragged = np.array(
        [
            [_raggedness(mask) for mask in masks]
            for _, *masks in pairs
            if masks[0].height != masks[0].width
        ]
    ).reshape(-1, 2)
    if not len(ragged):
        return Finding(None, "unknown", "all images are square, so compactness is blind")
    value, certainty = vote(np.log(ragged[:, 1] / ragged[:, 0]), ("columns", "rows"))
    by_columns, by_rows = np.median(ragged, axis=0)
    line = (
        f"perimeter over root of area of {len(ragged)} masks is {by_columns:.1f} by columns, "
        f"{by_rows:.1f} by rows (medians)"
    )
    return Finding(value, certainty, line)


def _raggedness(mask: Runs) -> float:
    """Perimeter in pixel sides over the root of the area: 4 for a square, more for shreds."""
    sides = 2 * (len(mask.segments()[0]) + len(transpose(mask).segments()[0]))
    return sides / float(np.sqrt(mask.area()[0]))


def from_image_edges(
    pairs: list[tuple[int, Runs, Runs]], images: list[np.ndarray | None]
) -> Finding:
    """How much steeper an image is along the outline of a mask than elsewhere."""
    pictured = [(image, masks) for row, *masks in pairs if (image := images[row]) is not None]
    steepness = np.array(
        [
            [_steepness_along(gradient, mask) for mask in masks]
            for image, masks in pictured[:MOST_IMAGES]
            for gradient in [_gradient(image, (masks[0].height, masks[0].width))]
        ]
    ).reshape(-1, 2)
    if not len(steepness):
        return Finding(None, "unknown", "no images to compare outlines with")
    value, certainty = vote(steepness[:, 0] - steepness[:, 1], ("columns", "rows"))
    by_columns, by_rows = np.median(steepness, axis=0)
    line = (
        f"along the outlines {len(steepness)} images are {by_columns:.2f} times as steep as "
        f"elsewhere by columns, {by_rows:.2f} times by rows (medians)"
    )
    return Finding(value, certainty, line)


def _gradient(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Magnitude of the grey gradient over its mean, float64 (H * W,); zero for a flat image."""
    if image.shape[:2] != shape:
        raise InputFault(f"an image of {image.shape[:2]} pixels beside a mask of {shape}")
    grey = image.astype(float).reshape(*shape, -1).mean(axis=2)
    slopes = [np.gradient(grey, axis=axis) for axis in (0, 1) if shape[axis] > 1]
    magnitude = np.sqrt(sum(np.square(slope) for slope in slopes))
    return (magnitude / max(float(magnitude.mean()), 1e-12)).ravel()


def _steepness_along(gradient: np.ndarray, mask: Runs) -> float:
    outline = boundary(mask)
    return float(gradient[ranges(outline.starts, outline.stops - outline.starts)].mean())


def vote(advantages: np.ndarray, choices: tuple[Any, Any]) -> tuple[Any, Certainty]:
    """The first choice where advantages (n,) are above 0, the second below, by a sign test.

    Also near certain: three or more that all agree and are twice as good (log advantage over .7).
    """
    against = advantages[advantages != 0]
    ahead, count = int((against > 0).sum()), against.size
    fewer = min(ahead, count - ahead)
    # Two-sided: how often fair coins would agree as much or more.
    chance = min(1.0, 2 * sum(comb(count, k) for k in range(fewer + 1)) / 2**count)
    choice = choices[0] if 2 * ahead > count else choices[1]
    strong = count >= 3 and fewer == 0 and float(np.abs(against).mean()) > np.log(2)
    if chance < 1e-6 or strong:
        return choice, "near certain"
    return (choice, "likely") if chance < 0.01 else (None, "unknown")
