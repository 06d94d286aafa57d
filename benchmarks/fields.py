"""Mask sets to measure on: network outputs as they look on three kinds of competition."""

from dataclasses import dataclass

import numpy as np

from competition.masks import Runs
from competition.masks.from_logits import runs_from_logits


@dataclass(frozen=True, eq=False)
class MaskSet:
    """One image's prediction and label.

    logits: float32 (K, h, w); truth: Runs (K, H, W), the label at native size.
    """

    name: str
    logits: np.ndarray
    truth: Runs

    @property
    def size(self) -> tuple[int, int]:
        return self.truth.height, self.truth.width


def bones(classes: int = 29, grid: int = 512, scale: int = 4, *, parts: int = 1) -> MaskSet:
    """Elongated bones, rounded at both ends, `parts` of them in each class; some overlap."""
    return _shapes("bones", (classes, grid, parts), (0.16, 0.04), scale)


def teeth(classes: int = 32, grid: int = 512, scale: int = 4) -> MaskSet:
    """Compact blobs side by side, larger than bones and touching each other."""
    return _shapes("teeth", (classes, grid, 1), (0.13, 0.09), scale)


def noise(classes: int = 4, grid: int = 512, scale: int = 4) -> MaskSet:
    """White noise: an untrained network, the worst case for anything that skips."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(classes, grid, grid)).astype(np.float32)
    label = generator.normal(size=(classes, grid, grid)).astype(np.float32)
    size = (grid * scale, grid * scale)
    return MaskSet("noise", logits, runs_from_logits(label, size))


def _shapes(
    name: str, counts: tuple[int, int, int], extent: tuple[float, float], scale: int
) -> MaskSet:
    """Signed distances to capsules with wavy borders; the label is the same shape moved a little.

    counts: (classes, grid, parts); extent: (length, width) as a share of the grid.
    """
    classes, grid, parts = counts
    generator = np.random.default_rng(0)
    logits = np.full((classes, grid, grid), -8, np.float32)
    label = logits.copy()
    for plane, moved in zip(logits, label, strict=True):
        for _ in range(parts):
            shape = capsule(generator, grid, np.array(extent) / np.sqrt(parts))
            np.maximum(plane, shape, out=plane)
            np.maximum(moved, np.roll(shape, (2, -1), (0, 1)) + 0.3, out=moved)
    return MaskSet(name, logits, runs_from_logits(label, (grid * scale, grid * scale)))


def capsule(generator: np.random.Generator, grid: int, extent: np.ndarray) -> np.ndarray:
    """float32 (grid, grid): logits of one rounded stick, 0 on its border, ±8 away from it."""
    length, width = extent * grid * generator.uniform(0.7, 1.3, 2)
    angle, centre = generator.uniform(0, np.pi), generator.uniform(0.15, 0.85, 2) * grid
    rows, columns = np.mgrid[:grid, :grid].astype(np.float32)
    rows, columns = rows - centre[0], columns - centre[1]
    along = np.cos(angle) * rows + np.sin(angle) * columns
    across = np.cos(angle) * columns - np.sin(angle) * rows
    outside = np.hypot(np.maximum(np.abs(along) - length / 2, 0), across)
    wave = 0.05 * width * np.sin(along / 5) * np.cos(across / 7)
    return np.clip((width / 2 - outside + wave) * 1.5, -8, 8).astype(np.float32)
