"""Contact sheets of decided test images: spread evenly, and those that are disputed most."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from competition.inference.disagreement import disputed_share, inside
from competition.inference.store import Store
from competition.masks import Runs
from competition.pictures import beside, contact_sheet, fitted, glowing, overlay
from competition.project import Project

_SHEET, _DISPUTED = 12, 6
"""Test images on each sheet."""
_LONGEST = 320
"""The longest side of an image on a sheet, in pixels."""

Decided = Callable[..., Runs]
"""(image, size=None) → its masks (K, H, W) under the decisions, at that size or the native one."""


def draw_sheet(project: Project, decided: Decided, path: Path) -> None:
    """A contact sheet of test images, evenly spread, with their decided masks."""
    images = list(project.rows("test")["image"])
    chosen = images[:: -(-len(images) // _SHEET)]
    tiles = []
    for image in chosen:
        pixels = project.pixels(image)
        tiles.append(overlay(pixels, decided(image), size=fitted(pixels.shape[:2], _LONGEST)))
    contact_sheet(
        tiles,
        path,
        captions=chosen,
        title=f"{path.stem} of {project.competition.name}",
        legend=project.classes,
    )
    project.say(f"drew {path}")


def draw_disputed(
    project: Project, readers: Mapping[str, Store], decided: Decided, path: Path
) -> dict[str, float]:
    """A sheet of the test images on which folds and views disagree most: masks, and where.

    Returns each test image's share of disputed pixels, 0 to 1, the mean over members.
    """
    shares = {image: disputed_part(readers, image) for image in project.rows("test")["image"]}
    chosen = sorted(shares, key=shares.__getitem__, reverse=True)[:_DISPUTED]
    tiles = []
    for image in chosen:
        pixels = project.pixels(image)
        size = fitted(pixels.shape[:2], _LONGEST)
        where = glowing(pixels, disagreement_picture(readers, image, size), size=size)
        tiles.append(beside([overlay(pixels, decided(image), size=size), where]))
    contact_sheet(
        tiles,
        path,
        columns=2,
        captions=[f"{i}: {shares[i]:.1%} disputed" for i in chosen],
        title=f"most disputed test images of {project.competition.name}",
        legend=project.classes,
    )
    average = float(np.mean(list(shares.values())))
    project.say(f"drew {path}; {average:.2%} of the test pixels are disputed by folds or views")
    return shares


def disputed_part(readers: Mapping[str, Store], image: str) -> float:
    """Share of an image's pixels that are disputed, 0 to 1, the mean over members."""
    shares = [
        disputed_share(store.disagreement(image), store.geometry(image).region)
        for store in readers.values()
    ]
    return float(np.mean(shares))


def disagreement_picture(
    readers: Mapping[str, Store], image: str, size: tuple[int, int]
) -> np.ndarray:
    """uint8 of `size`: the mean over members of what shows the image."""
    planes = [
        cv2.resize(inside(store.disagreement(image), store.geometry(image).region), size[::-1])
        for store in readers.values()
    ]
    return np.mean(planes, axis=0).round().astype(np.uint8)
