"""The demo competition's annotators: people, who draw outlines by hand and not all alike."""

from collections.abc import Sequence

import numpy as np

from competition.data import demo_difficulty as difficulty
from competition.data.demo_hand import CLASSES, Bone
from competition.data.demo_xray import View
from competition.masks import Runs, runs_from_polygons


def annotate(
    bones: Sequence[Bone], view: View, random: np.random.Generator, *, bias: float
) -> list[Runs]:
    """The masks (H, W) of one image in the order of CLASSES, as one annotator drew them.

    bias: how far outside the bones this annotator draws, in mm; negative is inside.
    """
    visible = Runs.from_dense(view.field)
    smallest = difficulty.SMALLEST * view.pixels_per_mm**2
    masks = dict.fromkeys(CLASSES, Runs.empty(view.field.shape))
    for bone in bones:
        seen = random.random() >= difficulty.OVERLOOKED.get(bone.name, 0.0)
        if bone.name in masks and seen:
            drawn = _drawn(bone, view, random, bias=bias) & visible
            if drawn.area()[0] >= smallest:
                masks[bone.name] = masks[bone.name] | drawn
    return list(masks.values())


def _drawn(bone: Bone, view: View, random: np.random.Generator, *, bias: float) -> Runs:
    """One bone's mask (H, W), drawn with every second point of its outline."""
    outside = bias + difficulty.GENEROUS.get(bone.name, 0.0)
    outline = bone.outline + outside * _normals(bone.outline)
    clicked = outline[::2]
    clicked = clicked + random.normal(0, difficulty.TREMOR, clicked.shape)
    return runs_from_polygons([view.pixels(clicked)], view.field.shape)


def _normals(outline: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 2) that point outwards from a closed outline (N, 2)."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1)
    normals /= np.maximum(np.hypot(*normals.T), 1e-9)[:, None]
    x, y = outline.T
    clockwise = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0
    return -normals if clockwise else normals
