"""Labels that lie turned or mirrored on their own image: a few of them hide behind every mean."""

from collections.abc import Callable, Sequence

import numpy as np

from competition.doctor.report import Diagnosis, Report
from competition.masks import Runs
from competition.masks.geometry import resize_nearest
from competition.masks.intervals import ranges
from competition.masks.morphology import boundary
from competition.masks.rle_order_proof import relative_gradient

WAYS_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 180°": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.T,
}
"""How a mask may lie on its image, as what becomes of the image (H, W) below it; the last where the
image is square."""

_LONGEST = 256
_TELLING = 1.3
"""How much steeper images must be along outlines as they are than otherwise, in the median."""
_ENOUGH = 20
_MUCH, _TWICE = 1.15, 2.0
"""How much better an image must fit than a right one does, or how much at the most. Among 324 X-rays of
teeth and 521 microscopy images none does; of their labels turned on purpose see docs/data.md."""


def outline_steepness(image: np.ndarray, mask: Runs) -> np.ndarray | None:
    """How much steeper an image is along its outlines than elsewhere: float64 (5,), of `WAYS_ROUND`,
    NaN where a way is not possible. image: uint8 or uint16 (H, W, C); mask (K, H, W). None without
    outlines.
    """
    height, width = image.shape[:2]
    shrunk = max(1.0, max(height, width) / _LONGEST)
    size = max(1, round(height / shrunk)), max(1, round(width / shrunk))
    small = resize_nearest(mask, size)
    if not len(small):
        return None
    rows, columns = (
        (2 * np.arange(n) + 1) * whole // (2 * n)
        for n, whole in zip(size, image.shape, strict=False)
    )
    gradient = relative_gradient(image[np.ix_(rows, columns)], size).reshape(size)
    outline = boundary(boundary(small).any_mask())
    pixels = np.divmod(ranges(outline.starts, outline.stops - outline.starts), size[1])
    square = size[0] == size[1]
    return np.array(
        [
            way(gradient)[pixels].mean() if square or name != "transposed" else np.nan
            for name, way in WAYS_ROUND.items()
        ]
    )


def check_outlines(images: Sequence[str], found: Sequence[np.ndarray]) -> Report:
    """Images whose outlines fit far better another way round, where outlines tell at all.

    found: `outline_steepness` of each image.
    """
    if len(found) < _ENOUGH:
        return Report()
    values = np.stack(found)
    plain = values[:, 0]
    median, low = np.quantile(plain, [0.5, 0.1])
    findings = []
    for k, name in enumerate(list(WAYS_ROUND)[1:], 1):
        known = ~np.isnan(values[:, k])
        if not known.any():
            continue
        telling = float(np.median(plain[known] / np.maximum(values[known, k], 1e-9)))
        if telling < _TELLING:
            continue
        better = values[:, k] / np.maximum(plain, 1e-9)
        best = np.nanargmax(values, axis=1) == k
        # It fits as badly as others do this way round, and this way round as well as others do.
        exchanged = (plain <= np.quantile(values[known, k], 0.9)) & (values[:, k] >= low)
        odd = np.flatnonzero(known & best & exchanged & (better > min(_MUCH * telling, _TWICE)))
        if len(odd):
            first = int(odd[np.argmax(better[odd])])
            findings.append(
                Diagnosis(
                    "outlines",
                    f"labels of {len(odd)} images look {name}, such as {images[first]!r}: along their "
                    f"outlines it is {plain[first]:.2f} times as steep as elsewhere, and "
                    f"{values[first, k]:.2f} times the other way round ({median:.2f} in the median): "
                    "look at them, and name those that are wrong in exclude of [data]",
                    tuple(images[i] for i in odd),
                )
            )
    return Report(doubtful=tuple(findings))
