"""Examples made of several images: mosaic, CutMix, copy-paste.

Pixels and bit planes are taken together and never blended: a pixel keeps what it shows and its classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from competition.masks import unpack
from competition.recipes import Augmentation

_CENTRE = (0.3, 0.7)
"""Between which shares of the sides the four parts of a mosaic meet."""


class Laid(NamedTuple):
    """image (h, w, C); planes uint8 (P, h, w), those of the classes first; extent: height and width,
    from the top left, that the image itself takes.
    """

    image: np.ndarray
    planes: np.ndarray
    extent: tuple[int, int]


def mixed(
    one: Laid,
    partner: Callable[[], Laid],
    settings: Augmentation,
    *,
    classes: int,
    anywhere: bool,
    random: np.random.Generator,
) -> Laid:
    """An example with what `settings` asks for of other images, each of which `partner` draws.

    classes: how many there are; anywhere: whether a part may be shown at another place than its own.
    """
    if random.random() < settings.mosaic:
        one = mosaic([one, partner(), partner(), partner()], anywhere=anywhere, random=random)
    if random.random() < settings.cutmix:
        one = cut_mix(one, partner(), random=random)
    if random.random() < settings.copy_paste:
        one = copy_paste(one, partner(), classes=classes, random=random)
    return one


def mosaic(four: list[Laid], *, anywhere: bool, random: np.random.Generator) -> Laid:
    """Parts of four images around a random point, in any order (as in YOLOv4, Bochkovskiy et al. 2020,
    but at the scale that they have).

    anywhere: each part is a random window of its image; else the one that lies there.
    """
    height, width = four[0].image.shape[:2]
    row, column = (int(side * random.uniform(*_CENTRE)) for side in (height, width))
    image, planes = np.empty_like(four[0].image), np.empty_like(four[0].planes)
    corners = [
        (rows, columns)
        for rows in (slice(0, row), slice(row, height))
        for columns in (slice(0, column), slice(column, width))
    ]
    for (rows, columns), chosen in zip(corners, random.permutation(4), strict=True):
        part = four[chosen]
        top, left = rows.start, columns.start
        if anywhere:
            high, wide = rows.stop - rows.start, columns.stop - columns.start
            top = int(random.integers(max(1, part.extent[0] - high + 1)))
            left = int(random.integers(max(1, part.extent[1] - wide + 1)))
        there = (
            slice(top, top + rows.stop - rows.start),
            slice(left, left + columns.stop - columns.start),
        )
        image[rows, columns], planes[:, rows, columns] = part.image[there], part.planes[:, *there]
    return Laid(image, planes, (height, width))


def cut_mix(one: Laid, other: Laid, *, random: np.random.Generator) -> Laid:
    """A rectangle of another image at its own place: its share of the area is uniform before it is cut
    at the border (Yun et al. 2019, with α = 1).
    """
    share = random.random() ** 0.5
    spans = []
    for side, *ends in zip(one.image.shape[:2], one.extent, other.extent, strict=False):
        centre, half = random.random() * side, share * side / 2
        spans.append(slice(max(0, round(centre - half)), min(*ends, round(centre + half))))
    inside = np.zeros(one.image.shape[:2], bool)
    inside[tuple(spans)] = True
    return _pasted(one, other, inside)


def copy_paste(one: Laid, other: Laid, *, classes: int, random: np.random.Generator) -> Laid:
    """Objects of one class of another image, at their own place: of the class's components each with
    probability ½, and one at least (Ghiasi et al. 2021). Their pixels bring all that they are of.
    """
    masks = unpack(other.planes[: -(-classes // 8)], classes)
    masks = masks[:, : one.extent[0], : one.extent[1]]
    present = np.flatnonzero(masks.any(axis=(1, 2)))
    if not len(present):
        return one
    chosen = masks[random.choice(present)].astype(np.uint8)
    count, components = cv2.connectedComponents(chosen, connectivity=8)
    taken = random.random(count) < 0.5
    taken[1 + random.integers(count - 1)] = True
    taken[0] = False  # what is around them
    inside = np.zeros(one.image.shape[:2], bool)
    inside[: masks.shape[1], : masks.shape[2]] = taken[components]
    return _pasted(one, other, inside)


def _pasted(one: Laid, other: Laid, inside: np.ndarray) -> Laid:
    """Pixels and planes of another image where `inside` bool (h, w) says so."""
    image = np.where(inside[..., None], other.image, one.image)
    return Laid(image, np.where(inside, other.planes, one.planes), one.extent)
