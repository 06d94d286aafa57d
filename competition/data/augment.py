"""What a training image and its targets go through: mirroring, then geometry, then intensity.

Targets ride as bit planes (8 classes a channel), so geometry is applied once and not once a class.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations
import cv2
import numpy as np

from competition.data.letterbox import Letterbox
from competition.masks import Runs
from competition.masks.geometry import crop
from competition.recipes import Augmentation, Sampling


def transform(settings: Augmentation, further: Sequence[Any] = ()) -> albumentations.Compose:
    """Geometry and intensity for `image` (h, w, C), uint8 or float32 in 0…1, and `mask`, uint8 bit
    planes (h, w, P).

    further: transforms after those of the settings, see `recipes.further_transforms`.
    """
    shift = settings.shift
    geometry = albumentations.Affine(
        scale=(1 - settings.scale, 1 + settings.scale),
        translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
        rotate=(-settings.rotate, settings.rotate),
        balanced_scale=True,
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        p=1.0,
    )
    intensity = albumentations.RandomBrightnessContrast(
        brightness_limit=settings.intensity, contrast_limit=settings.intensity, p=0.8
    )
    grain = albumentations.OneOf(
        [albumentations.GaussianBlur(blur_limit=(3, 5)), albumentations.GaussNoise()],
        p=settings.noise,
    )
    return albumentations.Compose([geometry, intensity, grain, *further])


def mirror(
    image: np.ndarray, planes: np.ndarray, permutation: tuple[int, ...], sets: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror left and right, and let the paired classes change places.

    image (h, w, C); planes (P, h, w) uint8: first those of the classes, `sets` times, further ones
    being mirrored alone; permutation (K,) as `Competition` gives it.
    """
    planes = planes[:, :, ::-1]
    if permutation != tuple(range(len(permutation))):
        count = -(-len(permutation) // 8)
        groups = np.split(planes, [place * count for place in range(1, sets + 1)])
        bits = [np.unpackbits(one, axis=0, bitorder="little") for one in groups[:sets]]
        exchanged = [np.packbits(one[list(permutation)], axis=0, bitorder="little") for one in bits]
        planes = np.concatenate([*exchanged, groups[-1]])
    return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(planes)


class Turns(NamedTuple):
    """Further ways to show an image that the competition allows, and how often an image is mirrored
    upside down; all quarter turns are equally often.
    """

    probability: float = 0.0
    vertical: bool = False
    quarter: bool = False

    def applied(
        self, image: np.ndarray, planes: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same change of image (h, w, C) and planes (P, h, w); by halves where h and w differ.

        What is not allowed draws no random number.
        """
        if self.vertical and random.random() < self.probability:
            image, planes = image[::-1], planes[:, ::-1]
        if self.quarter and self.probability > 0:
            quarters = int(random.integers(4))
            square = image.shape[0] == image.shape[1]
            quarters = quarters if square else 2 * (quarters // 2)
            image, planes = np.rot90(image, quarters), np.rot90(planes, quarters, axes=(1, 2))
        return np.ascontiguousarray(image), np.ascontiguousarray(planes)


NO_TURNS = Turns()


def augment(
    image: np.ndarray,
    planes: np.ndarray,
    *,
    change: albumentations.Compose,
    flip: tuple[float, tuple[int, ...]],
    seed: tuple[int, int, int],
    turns: Turns = NO_TURNS,
    sets: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """One augmented example; the same (run seed, epoch, index) gives the same example anywhere.

    albumentations 2.0.8 repeats one random stream in every worker and epoch unless it is seeded
    for each example. `flip` is the probability of mirroring and the permutation of classes. The image,
    (h, w, C), keeps its dtype, uint8 or uint16. `sets` is as for `mirror`.
    """
    random = np.random.default_rng(seed)
    if random.random() < flip[0]:
        image, planes = mirror(image, planes, flip[1], sets)
    image, planes = turns.applied(image, planes, random)
    change.set_random_seed(int(random.integers(2**31)))
    # albumentations 2.0.8 has no noise for uint16; as float32, whose 24 bits lose none of 16, it has all
    # it does, by the same draws.
    deep = image.dtype == np.uint16
    shown = image.astype(np.float32) / 65535 if deep else image
    changed = change(image=shown, mask=np.ascontiguousarray(planes.transpose(1, 2, 0)))
    mask, shown = changed["mask"], changed["image"]
    if deep:
        shown = np.rint(shown.clip(0, 1) * 65535).astype(np.uint16)
    return shown, np.ascontiguousarray(mask.transpose(2, 0, 1))


CropSize = tuple[int, int]


def random_crop(
    image: np.ndarray,
    planes: np.ndarray,
    sampling: Sampling,
    *,
    extent: CropSize,
    positive: bool | None,
    random: np.random.Generator,
    of_classes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The same random window of image (h, w, C) and bit planes uint8 (P, h, w).

    extent: height and width, from the top left, that the image itself takes; what is padded beyond
    it is left out as far as the crop's size allows. positive: the window must show a mask, or none
    (one with the fewest pixels of masks, where every window shows some); None: as `sampling` says.
    of_classes: how many of the planes hold masks; None: all.
    """
    assert sampling.crop is not None
    size = sampling.crop
    limit = (max(size[0], extent[0]), max(size[1], extent[1]))
    inside = np.any(planes[:of_classes, : limit[0], : limit[1]], axis=0)
    if positive is None and random.random() < sampling.centred:
        positive = True
    if positive is None:
        top, left = (int(random.integers(a - b + 1)) for a, b in zip(limit, size, strict=True))
    elif positive:
        top, left = around_mask(inside, size, random)
    else:
        top, left = beside_masks(inside, size, random)
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    window = image[rows, columns], planes[:, rows, columns]
    return np.ascontiguousarray(window[0]), np.ascontiguousarray(window[1])


def around_mask(inside: np.ndarray, size: CropSize, random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a window centred on a random pixel of `inside` bool (h, w), as far as the
    border allows; anywhere where there is none.
    """
    pixels = np.flatnonzero(inside)
    chosen = random.integers(inside.size) if not len(pixels) else random.choice(pixels)
    centre = divmod(int(chosen), inside.shape[1])
    ends = zip(centre, size, inside.shape, strict=True)
    top, left = (min(max(0, c - s // 2), whole - s) for c, s, whole in ends)
    return top, left


def beside_masks(
    inside: np.ndarray, size: CropSize, random: np.random.Generator
) -> tuple[int, int]:
    """Top and left of a random one of the windows that hold the fewest pixels of `inside`."""
    sums = cv2.integral(inside.astype(np.uint8))  # int32 (h + 1, w + 1): of all above and left
    down, right = size
    counts = (
        sums[down:, right:] - sums[:-down, right:] - sums[down:, :-right] + sums[:-down, :-right]
    )
    fewest = np.flatnonzero(counts == counts.min())
    top, left = divmod(int(random.choice(fewest)), counts.shape[1])
    return top, left


_CANDIDATES = 16
"""Of places for a part without masks, of which the one with the fewest is taken."""


def place_of_part(
    masks: Runs,
    letterbox: Letterbox,
    size: CropSize,
    *,
    centred: float,
    positive: bool | None,
    random: np.random.Generator,
) -> CropSize:
    """Top and left, in laid-out pixels, of a random part of an image at a scale.

    masks: (K, H, W) at the native size; centred, positive: as those of `random_crop`,
    but that the part with the fewest pixels of masks is sought among a few. An image that is smaller
    lies at the top left, as it does in prediction.
    """
    room = [max(0, whole - side) for whole, side in zip(letterbox.resized, size, strict=True)]

    def anywhere() -> CropSize:
        return int(random.integers(room[0] + 1)), int(random.integers(room[1] + 1))

    if positive is None and random.random() < centred:
        positive = True
    if positive is None or not len(masks):
        return anywhere()
    masks = masks.any_mask()
    if positive:
        ends = np.cumsum(masks.stops - masks.starts)
        pixel = int(random.integers(ends[-1]))  # counted along the masks
        run = int(np.searchsorted(ends, pixel, side="right"))
        row, column = divmod(int(masks.stops[run] - ends[run] + pixel), masks.width)
        centre = [
            int((at + 0.5) * laid / native)
            for at, laid, native in zip(
                (row, column), letterbox.resized, letterbox.native, strict=True
            )
        ]
        top, left = (
            min(max(0, at - side // 2), most)
            for at, side, most in zip(centre, size, room, strict=True)
        )
        return top, left
    share = [
        laid / native for laid, native in zip(letterbox.resized, letterbox.native, strict=True)
    ]

    def pixels_of_masks(place: CropSize) -> int:
        begin = [int(at / s) for at, s in zip(place, share, strict=True)]
        extent = [
            min(max(1, round(side / s)), whole - at)
            for side, s, whole, at in zip(size, share, letterbox.native, begin, strict=True)
        ]
        return int(crop(masks, begin[0], begin[1], extent[0], extent[1]).area()[0])

    return min((anywhere() for _ in range(_CANDIDATES)), key=pixels_of_masks)


def signed_distances(masks: np.ndarray) -> np.ndarray:
    """Distance of each pixel to its mask's edge, in pixels: masks (K,h,w) bool → float32 (K,h,w).

    Outside: to the nearest pixel of the mask; inside: one less than to the nearest outside it,
    negative (Kervadec et al. 2019). An empty or full mask has no edge: all 0.

    >>> signed_distances(np.array([[[0, 0, 1, 1, 1]]], bool)).tolist()
    [[[2.0, 1.0, 0.0, -1.0, -2.0]]]
    """
    distances = np.zeros(masks.shape, np.float32)
    for plane, mask in zip(distances, masks, strict=True):
        if not mask.any() or mask.all():
            continue
        inside = mask.astype(np.uint8)
        to_mask = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        to_rest = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        plane[...] = np.where(mask, 1 - to_rest, to_mask)
    return distances
