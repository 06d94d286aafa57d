"""Several stores as one: all folds' out-of-fold images, or the mean of the folds' test images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from competition.errors import InputFault, listed
from competition.inference.disagreement import FoldMean
from competition.inference.store import (
    Geometry,
    Provenance,
    RowSpan,
    Store,
    StoredLogits,
    StoreWriter,
)


class JoinedStores:
    """Stores with different images, read as one: the out-of-fold predictions of all folds, or a
    network's of test and unlabelled images.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = tuple(stores)
        if not self.stores:
            raise InputFault("no prediction store to read; predict first")
        self._home: dict[str, Store] = {}
        twice = []
        for store in self.stores:
            twice += [image for image in store.images if image in self._home]
            self._home |= dict.fromkeys(store.images, store)
        if twice:
            folders = ", ".join(str(store.folder) for store in self.stores)
            raise InputFault(listed([f"image {image!r} is in two of {folders}" for image in twice]))
        self.images = tuple(self._home)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return image in self._home

    def geometry(self, image: str) -> Geometry:
        return self._store(image).geometry(image)

    def grid_of(self, image: str) -> tuple[int, int]:
        return self._store(image).grid_of(image)

    def pieces(self, image: str) -> tuple[int, ...]:
        return self._store(image).pieces(image)

    def read(self, image: str, rows: RowSpan | None = None) -> StoredLogits:
        return self._store(image).read(image, rows)

    def disagreement(self, image: str, rows: RowSpan | None = None) -> np.ndarray:
        """As a store's."""
        return self._store(image).disagreement(image, rows)

    def _store(self, image: str) -> Store:
        if image not in self._home:
            raise InputFault(f"image {image!r} is in none of the {len(self.stores)} stores")
        return self._home[image]


def combine_folds(stores: Sequence[Store], target: Path) -> None:
    """Write the mean of several folds' logits of the same images, as one store in `target`.

    Streams: holds the sums and one fold's codes of one image, or of a strip of it, at a time.
    """
    first, *rest = stores
    for store in rest:
        _require_alike(first, store)
    provenance = _merged([store.provenance for store in stores])
    with StoreWriter(target, provenance, strips=first.strips) as writer:
        for image in first.images:
            means = _means(stores, image)
            writer.add_strips(image, means, first.geometry(image), first.grid_of(image))


def _means(stores: Sequence[Store], image: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Codes and disagreement over folds, of an image or of each strip of it; one fold's at a time."""
    first = stores[0]
    for strip, rows in enumerate(first.strip_rows(image)):
        mean = FoldMean((len(first.provenance.classes), rows, first.grid_of(image)[1]))
        for store in stores:
            mean.add(*store.views(image, strip))
        yield mean.codes(), mean.disagreement()


def _require_alike(first: Store, other: Store) -> None:
    if set(first.images) != set(other.images):
        odd = sorted(set(first.images) ^ set(other.images))
        faults = [
            f"image {image!r} is in only one of {first.folder}, {other.folder}" for image in odd
        ]
        raise InputFault(listed(faults))
    ours, theirs = (
        (s.grid, s.provenance.classes, s.provenance.member, s.scale, s.offset)
        for s in (first, other)
    )
    if ours != theirs:
        raise InputFault(f"{other.folder} has {theirs}, {first.folder} has {ours}")
    odd = [image for image in first.images if _place(first, image) != _place(other, image)]
    if odd:
        raise InputFault(
            listed([f"image {i!r}: two geometries in the folds to merge" for i in odd])
        )


def _place(store: Store, image: str) -> tuple[Geometry, tuple[int, int], tuple[int, ...]]:
    return store.geometry(image), store.grid_of(image), store.strip_rows(image)


def _merged(provenances: Sequence[Provenance]) -> Provenance:
    folds = tuple(fold for p in provenances for fold in p.folds)
    checkpoints = tuple(name for p in provenances for name in p.checkpoints)
    return provenances[0].model_copy(update={"folds": folds, "checkpoints": checkpoints})
