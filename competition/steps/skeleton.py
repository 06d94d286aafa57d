"""Centre lines of elongated masks (roads, vessels, roots): how long and how wide they are."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.skeleton import skeletonize, thickness
from competition.pictures import contact_sheet, fitted, overlay
from competition.project import Project
from competition.submission import read_submission
from competition.workspace import whole_file

_SHEET, _LONGEST = 12, 320
"""Images on the sheet, and the longest side of one there, in pixels."""

SKELETON_COLUMNS = ("image", "class", "area", "length", "mean", "p05", "median", "p95", "most")


def measure_skeletons(project: Project, target: Path, *, submission: Path | None = None) -> str:
    """Write a row for each image and class with a mask, and a sheet of centre lines beside it.

    submission: whose masks are measured; None: the training labels. area: pixels of the mask; length:
    pixels of its centre line; the others: its thickness along the line, in pixels. Returns a line.
    """
    masks = _masks(project, submission)
    rows = 0
    with project.watch("measuring skeletons", len(masks)) as advance, whole_file(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SKELETON_COLUMNS)
        for image in masks:
            areas, widths = masks[image].area(), thickness(masks[image])
            for name, area, width in zip(project.classes, areas.tolist(), widths, strict=True):
                if area:
                    shares = np.percentile(width, [5, 50, 95])
                    found = (width.mean(), *shares, width.max())
                    writer.writerow((image, name, area, len(width), *(f"{v:.2f}" for v in found)))
                    rows += 1
            advance()
    sheet = target.with_suffix(".png")
    _draw(project, masks, sheet)
    return f"wrote {target}: {rows} masks of {len(masks)} images; look at {sheet}"


def _masks(project: Project, submission: Path | None) -> Mapping[str, Runs]:
    if submission is not None:
        found = read_submission(project.competition, submission, project.sizes)
        size = project.competition.submission.size
        if size is not None:
            raise InputFault(
                f"{submission} holds masks of {size[0]} × {size[1]} pixels, whatever the image's size "
                "([submission] size): widths in them are not those of the images"
            )
        return found
    return {image: project.labels[image] for image in project.rows("train")["image"]}


def _draw(project: Project, masks: Mapping[str, Runs], path: Path) -> None:
    """Centre lines over images, evenly spread."""
    images = list(masks)
    images = images[:: -(-len(images) // _SHEET)]
    tiles = []
    for image in images:
        pixels = project.pixels(image)
        size = fitted(pixels.shape[:2], _LONGEST)
        tiles.append(overlay(pixels, skeletonize(masks[image]), size=size, fill=1.0))
    contact_sheet(tiles, path, captions=images, title="centre lines", legend=project.classes)
