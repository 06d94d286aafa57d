"""Sheets that a person looks at: labels as read, images that look alike, the examples of a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from competition.data.bands import read_pixels
from competition.data.levels import pictured
from competition.masks import Runs, unpack
from competition.pictures import contact_sheet, fitted, overlay
from competition.project import Project

if TYPE_CHECKING:  # it imports torch
    from competition.training.fit import Task

MOST_LABELLED, MOST_PAIRS, TILE = 12, 20, 420
"""Images and pairs on a sheet, and the longest side of an image there, in pixels."""

_EXAMPLES, _EXAMPLE = 12, 320
"""Examples on a sheet, and the longest side of one there, in pixels."""

_MANY = 8
"""Classes, beyond which their names stand in each other's way."""


def draw_label_sheet(project: Project) -> Path:
    """Write runs/<competition>/labels.png: images on which every class is seen, if any has it, and
    ignored pixels, hatched.

    Each class has its name where it is, so that one which lies on what another name says is seen.
    """
    images = _showing_every_class(project)
    path = project.workspace.runs / "labels.png"
    tiles = []
    for image in images:
        pixels, masks = project.pixels(image), project.labels[image]
        size = fitted(pixels.shape[:2], TILE)
        picture = overlay(pixels, masks, size=size, ignored=project.ignored[image])
        tiles.append(_named(picture, masks, project.classes))
    contact_sheet(
        tiles,
        path,
        columns=3,
        captions=images,
        title=f"labels of {project.competition.name} as they were read",
        legend=project.classes,
        hatched=any(len(project.ignored[image]) for image in images),
    )
    return path


def draw_look_alikes(project: Project, pairs: Sequence[tuple[str, ...]]) -> Path:
    """Write runs/<competition>/look-alikes.png: the first pairs of image ids, a row each."""
    path = project.workspace.runs / "look-alikes.png"
    known = project.everything.set_index("image")
    root, form = project.competition.root, project.competition.data
    images = [image for pair in pairs[:MOST_PAIRS] for image in pair]
    tiles = []
    for image in images:
        pixels = pictured(read_pixels(root, str(known.loc[image, "path"]), form))
        height, width = fitted(pixels.shape[:2], TILE)
        tiles.append(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    captions = [f"{image} ({known.loc[image, 'split']})" for image in images]
    title = f"{min(len(pairs), MOST_PAIRS)} of {len(pairs)} pairs that look alike, in two groups"
    contact_sheet(tiles, path, columns=2, captions=captions, title=title)
    return path


def draw_examples(task: "Task", path: Path, *, title: str) -> None:
    """Write the first examples of a training as its network sees them, augmented and cut, with their
    masks, and ignored pixels hatched.
    """
    from competition.training.fit import training_set_of
    from competition.training.plan import plan_of
    from competition.training.sampler import run_sampler

    training, tiles, shown = task.training, [], []
    dataset, plan = training_set_of(task), plan_of(training.recipe, len(task.train))
    sampler = run_sampler(task.train, training.recipe, plan, seed=training.seed, pseudo=task.pseudo)
    for draw in map(sampler.draw, range(_EXAMPLES)):
        example = dataset[draw]
        pixels = example["images"].numpy().transpose(1, 2, 0)
        pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.uint16)
        masks = Runs.from_dense(unpack(example["planes"].numpy(), len(training.classes)))
        ignored = Runs.from_dense(example["ignored"].numpy() > 0) if "ignored" in example else None
        size = fitted(pixels.shape[:2], _EXAMPLE)
        tiles.append(overlay(pictured(pixels), masks, size=size, ignored=ignored))
        shown.append(task.train.images[draw.index])
    hatched = dataset.ignored_masks == 1
    contact_sheet(
        tiles, path, captions=shown, title=title, legend=training.classes, hatched=hatched
    )


def _showing_every_class(project: Project) -> list[str]:
    """Some training images: first one for each class that was not seen before, then evenly spread.

    Ignored pixels are here a class after the others.
    """
    images = project.rows("train")["image"].tolist()
    both = {image: Runs.stack([project.labels[image], project.ignored[image]]) for image in images}
    present = {image: set(np.flatnonzero(one.area()).tolist()) for image, one in both.items()}
    chosen: list[str] = []
    seen: set[int] = set()
    while len(chosen) < MOST_LABELLED:
        best = max(images, key=lambda image: len(present[image] - seen))
        if not present[best] - seen:
            break
        chosen.append(best)
        seen |= present[best]
    spread = images[:: -(-len(images) // MOST_LABELLED)]
    return list(dict.fromkeys([*chosen, *spread]))[:MOST_LABELLED]


def _named(picture: np.ndarray, masks: Runs, classes: tuple[str, ...]) -> np.ndarray:
    """The picture with each class's name at a pixel in its middle; what all names begin with is left
    out where there are many.
    """
    named, font = picture.copy(), (cv2.FONT_HERSHEY_SIMPLEX, 0.35)
    start = len(_common_start(classes)) if len(classes) > _MANY else 0
    scale = picture.shape[1] / masks.width, picture.shape[0] / masks.height
    for k in np.flatnonzero(masks.area()):
        rows, lefts, rights = masks[k].segments()
        middle = np.searchsorted(np.cumsum(rights - lefts), masks[k].area()[0] / 2)
        name = classes[k][start:] or classes[k]
        (width, height), _ = cv2.getTextSize(name, *font, 1)
        left = (lefts[middle] + rights[middle]) / 2 * scale[0] - width / 2
        bottom = rows[middle] * scale[1] + height / 2
        place = (
            int(np.clip(left, 0, max(0, picture.shape[1] - width))),
            int(np.clip(bottom, height, picture.shape[0] - 2)),
        )
        for colour, thickness in (((20, 20, 20), 3), ((255, 255, 255), 1)):
            cv2.putText(named, name, place, *font, colour, thickness, cv2.LINE_AA)
    return named


def _common_start(names: tuple[str, ...]) -> str:
    """What all of them begin with.

    >>> _common_start(("tooth-11", "tooth-12"))
    'tooth-1'
    """
    first, last = min(names), max(names)
    length = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0
    )
    return first[:length]
