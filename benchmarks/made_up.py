"""Made-up competitions that the real ones at hand are unlike, as an organiser's download each.

regions   every pixel has one of ten classes, which exclude each other; there is no background
roads     lines of three pixels on 1024×1024, among wide bands and short lines of the same grey
rare      lesions on one image in twenty, so that 95 % of the masks are empty
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator, default_rng

Sample = tuple[np.ndarray, np.ndarray]
"""uint8 (h, w, 3) RGB, and uint8 (h, w): a class's number, or 255 where a lone class is."""


def run(kind: str, out: Path, seed: int) -> None:
    """Write images, masks and sample submission of a competition to a folder that isn't there yet."""
    make, labelled, unlabelled = KINDS[kind]
    rng = default_rng(seed)
    for folder in ("train/images", "train/masks", "test/images"):
        (out / folder).mkdir(parents=True)
    rows = []
    for number in range(labelled + unlabelled):
        image, mask = make(rng, number)
        part, stem = ("train" if number < labelled else "test"), f"{kind}{number:04d}"
        cv2.imwrite(str(out / part / "images" / f"{stem}.png"), image[..., ::-1])
        if part == "train":
            cv2.imwrite(str(out / part / "masks" / f"{stem}.png"), mask)
        elif kind == "regions":
            rows += [{"image": stem, "class": name, "rle": ""} for name in REGIONS]
        else:
            rows.append({"image": stem, "rle": ""})
    if kind == "regions":
        (out / "classes.txt").write_text("\n".join(REGIONS) + "\n")
    pd.DataFrame(rows).to_csv(out / "sample_submission.csv", index=False)


REGIONS = ("water", "meadow", "forest", "crop", "soil", "rock", "roof", "asphalt", "sand", "snow")
_COLOURS = default_rng(7).uniform(60, 190, (len(REGIONS), 3))
_GRAIN = np.geomspace(1, 12, len(REGIONS))[default_rng(8).permutation(len(REGIONS))]


def regions(rng: Generator, number: int) -> Sample:
    """Patches of a dozen sites with bent borders; a class is a colour and the size of its grain."""
    side = 256
    y, x = np.mgrid[:side, :side].astype(float)
    y, x = y + 12 * smooth(rng, side, 20), x + 12 * smooth(rng, side, 20)
    sites = rng.uniform(0, side, (14, 2))
    nearest = ((y[..., None] - sites[:, 0]) ** 2 + (x[..., None] - sites[:, 1]) ** 2).argmin(-1)
    chosen = rng.choice(len(REGIONS), 6, replace=False)
    mask = chosen[rng.integers(len(chosen), size=len(sites))][nearest]
    grains = np.stack([smooth(rng, side, one) for one in _GRAIN])
    grain = np.take_along_axis(grains, mask[None], 0)[0]
    shade = 1 + 0.25 * smooth(rng, side, 80)
    colours = _COLOURS + rng.normal(0, 12, _COLOURS.shape)
    image = (colours[mask] + 22 * grain[..., None]) * shade[..., None]
    return noisy(rng, image, 8), mask.astype(np.uint8)


THREE_PIXELS = 2
"""Thickness by which OpenCV draws lines three pixels wide; by 3 they are five."""


def roads(rng: Generator, number: int) -> Sample:
    """Bent lines of three pixels; a river and some dashes have their grey and aren't roads."""
    side = 1024
    image = 110 + 25 * smooth(rng, side, 40) + 12 * smooth(rng, side, 3)
    image = np.repeat(image[..., None], 3, 2)
    image += rng.normal(0, 8, 3)
    grey = 175 + rng.normal(0, 10)
    cv2.polylines(image, [walk(rng, side)], False, (grey,) * 3, int(rng.integers(18, 34)))
    for _ in range(40):
        start, angle = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
        end = start + rng.uniform(8, 20) * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(
            image, start.astype(int).tolist(), end.astype(int).tolist(), (grey,) * 3, THREE_PIXELS
        )
    mask = np.zeros((side, side), np.uint8)
    for _ in range(rng.integers(4, 9)):
        cv2.polylines(mask, [walk(rng, side)], False, 255, THREE_PIXELS)
    image = np.where(mask[..., None] > 0, grey + 10 * smooth(rng, side, 30)[..., None], image)
    return noisy(rng, image, 10), mask


def rare(rng: Generator, number: int) -> Sample:
    """Tissue with bright vessels' cuts; every twentieth image has a lesion, which is mottled."""
    side = 256
    image = 120 + 30 * smooth(rng, side, 30) + 10 * smooth(rng, side, 4)
    distances = np.hypot(*(np.mgrid[:side, :side] - rng.uniform(30, side - 30, (2, 1, 1))))
    for _ in range(5):
        centre, size = rng.uniform(0, side, 2).astype(int).tolist(), int(rng.integers(6, 14))
        cv2.circle(image, centre, size, 175 + rng.normal(0, 8), -1)
    mask = np.zeros((side, side), np.uint8)
    if number % 20 == 0:
        inside = distances < rng.uniform(14, 26) * (1 + 0.25 * smooth(rng, side, 12))
        mask[inside] = 255
        image = np.where(inside, 165 + 28 * smooth(rng, side, 2), image)
    return noisy(rng, np.repeat(cv2.GaussianBlur(image, (0, 0), 0.8)[..., None], 3, 2), 8), mask


def smooth(rng: Generator, side: int, scale: float) -> np.ndarray:
    """Noise of one size of grain, in pixels; float64 (side, side) of mean 0 and deviation 1."""
    small = max(4, int(side / scale))
    noise = cv2.resize(rng.normal(size=(small, small)), (side, side), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def walk(rng: Generator, side: int) -> np.ndarray:
    """A bent way across the image, int32 (P, 1, 2)."""
    start, angle = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
    angles = angle + np.cumsum(rng.normal(0, 0.12, 2 * side // 16))
    steps = 16 * np.stack([np.cos(angles), np.sin(angles)], 1)
    return (start + np.cumsum(steps, 0)).astype(np.int32)[:, None]


def noisy(rng: Generator, image: np.ndarray, deviation: float) -> np.ndarray:
    """As a camera's bytes."""
    return np.clip(image + rng.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


KINDS: dict[str, tuple[Callable[[Generator, int], Sample], int, int]] = {
    "regions": (regions, 160, 40),
    "roads": (roads, 40, 10),
    "rare": (rare, 600, 100),
}
"""How an image is made, and how many have labels and how many have none."""
