"""The demo's annotators: people, who draw outlines by hand and not all alike. Lengths are mm."""

from collections.abc import Sequence

import numpy as np

from competition.demo.anatomy import CLASSES, Bone
from competition.demo.xray import HandView
from competition.masks import Runs, runs_from_polygons

TREMOR = 0.5  # standard deviation of an outline's points
BIAS = 0.45  # standard deviation of how far outside all bones one annotator draws
GENEROUS = {"Pisiform": 0.9, "Sesamoid": 1.0, "Lunate": 0.5}  # all draw these so far outside
OVERLOOKED = {"Sesamoid": 0.2}  # probability that a bone is not drawn at all
SMALLEST_REST = 8.0  # mm²; less of a bone at the border of the image is not annotated


def annotate(
    bones: Sequence[Bone], view: HandView, random: np.random.Generator, *, bias: float
) -> list[Runs]:
    """The masks (H, W) of one image in the order of CLASSES, as one annotator drew them.

    bias: how far outside the bones this annotator draws, in mm; negative is inside.
    """
    visible = Runs.from_dense(view.field)
    masks = dict.fromkeys(CLASSES, Runs.empty(view.field.shape))
    for bone in bones:
        seen = random.random() >= OVERLOOKED.get(bone.name, 0.0)
        if bone.name in masks and seen:
            outside = bias + GENEROUS.get(bone.name, 0.0)
            clicked = (bone.outline + outside * _normals(bone.outline))[::2]
            clicked = clicked + random.normal(0, TREMOR, clicked.shape)
            drawn = (
                runs_from_polygons([view.pixels(clicked)], view.field.shape, "centres") & visible
            )
            if drawn.area()[0] >= SMALLEST_REST * view.pixels_per_mm**2:
                masks[bone.name] = masks[bone.name] | drawn
    return list(masks.values())


def _normals(outline: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 2) that point outwards from a closed outline (N, 2)."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1)
    normals /= np.maximum(np.hypot(*normals.T), 1e-9)[:, None]
    x, y = outline.T
    clockwise = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0
    return -normals if clockwise else normals
