"""Stores of several networks on images of teeth: what `benchmarks/tuning.py` decides from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.fields import capsule
from competition.inference.quantisation import quantise
from competition.inference.store import (
    Geometry,
    Provenance,
    RowSpan,
    Store,
    StoredLogits,
    StoreWriter,
)
from competition.masks import Runs

GRID, CLASSES, MODELS, DRAWN = 512, 32, 5, 20
"""Pixels of a side, classes, models, and images that are drawn; more names than these share them."""

_PRESENT = 0.85
"""Share of images in which a class is."""


@dataclass(frozen=True, eq=False)
class Repeated:
    """A store whose images are read under many names: each is read and unpacked every time."""

    store: Store
    names: int

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(f"image-{place}" for place in range(self.names))

    def _home(self, image: str) -> str:
        return self.store.images[int(image.removeprefix("image-")) % len(self.store.images)]

    def geometry(self, image: str) -> Geometry:
        return self.store.geometry(self._home(image))

    def pieces(self, image: str) -> tuple[int, ...]:
        return self.store.pieces(self._home(image))

    def read(self, image: str, rows: RowSpan | None = None) -> StoredLogits:
        return self.store.read(self._home(image), rows)


def drawn(folder: Path) -> list[Runs]:
    """Writes the stores of five models below the folder; the labels of their images."""
    fields = [_shapes(np.random.default_rng(place)) for place in range(DRAWN)]
    for model in range(MODELS):
        _write(folder / f"model-{model}", model, fields)
    return [Runs.from_dense(field > 0) for field in fields]


def opened(folder: Path) -> list[Store]:
    """The stores that `drawn` wrote there."""
    return [Store.open(folder / f"model-{model}", classes=_names()) for model in range(MODELS)]


def _shapes(generator: np.random.Generator) -> np.ndarray:
    """float32 (K, h, w): blobs of 20 to 60 pixels; absent ones are far below 0."""
    field = np.full((CLASSES, GRID, GRID), -8, np.float32)
    for plane in field:
        if generator.random() < _PRESENT:
            plane[:] = capsule(generator, GRID, np.array((0.1, 0.07)))
    return field


def _names() -> tuple[str, ...]:
    return tuple(f"tooth-{place}" for place in range(CLASSES))


def _write(folder: Path, model: int, fields: list[np.ndarray]) -> None:
    """A model sees shapes moved, with borders wrong by smooth noise, and some faint ghosts."""
    provenance = Provenance(
        member=folder.name,
        recipe="drawn",
        recipe_sha256="0",
        folds=(0,),
        part="oof",
        classes=_names(),
    )
    with StoreWriter(folder, provenance) as writer:
        for place, field in enumerate(fields):
            generator = np.random.default_rng((model, place))
            whole = (0.0, 0.0, float(GRID), float(GRID))
            codes = np.stack([quantise(_seen(plane, generator)) for plane in field])
            writer.add(f"drawn-{place}", codes, Geometry((GRID, GRID), whole))


def _seen(plane: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    moved = np.roll(plane, tuple(generator.integers(-1, 2, 2)), (0, 1))
    return moved * generator.uniform(0.6, 1.0) - 0.4 + 1.5 * _smooth(generator)


def _smooth(generator: np.random.Generator) -> np.ndarray:
    noise = torch.from_numpy(generator.normal(0, 1, (1, 1, 24, 24)).astype(np.float32))
    return functional.interpolate(noise, (GRID, GRID), mode="bilinear")[0, 0].numpy()
