"""Labels of a competition as `Runs` per image: read by their format's reader, and kept in one file."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import pandas as pd

from competition.data.catalog import with_labels
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.annotators import annotator_files, read_annotators
from competition.data.readers.ignored import ignore_files, read_ignored
from competition.masks import Runs
from competition.spec import Competition
from competition.workspace import Workspace, file_state, text_sha256, whole_file


class LabelReader(Protocol):
    """A module of `readers`."""

    def files(self, competition: Competition, images: pd.DataFrame) -> list[Path]: ...

    def read(self, competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]: ...


def _reader(competition: Competition) -> LabelReader:
    """The reader named after the kind of the labels; the spec knows the kinds, and this no list."""
    name = competition.labels.kind.replace("-", "_")
    return cast("LabelReader", import_module(f"competition.data.readers.{name}"))


def read_labels(competition: Competition, catalog: pd.DataFrame) -> "LabelCache":
    """Runs (K, H, W) of every training and extra image, at its own size; K and its order are the spec's.

    `.ignored` has the pixels that do not count, from the labels themselves and from `ignore_files`:
    they are of no class. `.annotators` has the masks of several annotators, of images that have some.

    Every fault is found before InputFault lists them: label files or rows that are missing, that
    belong to no image or stand twice, classes that the spec does not know (with the nearest name),
    texts and polygons that do not fit the image, masks of another size.
    """
    images = with_labels(catalog)
    found, further = (
        _reader(competition).read(competition, images),
        read_ignored(competition, images),
    )
    labels = {image: one.ignoring(further.get(image)) for image, one in found.items()}
    drawn = read_annotators(competition, images)
    return LabelCache.of(
        labels, {image: masks.without(labels[image].ignored) for image, masks in drawn.items()}
    )


def label_files(competition: Competition, catalog: pd.DataFrame) -> list[Path]:
    """The files that `read_labels` reads, whether they exist or not; in the catalog's order."""
    images = with_labels(catalog)
    return [
        *_reader(competition).files(competition, images),
        *ignore_files(competition, images),
        *annotator_files(competition, images),
    ]


_VERSION = 3
"""Part of the key: raised when a reader changes what it makes of the same files."""


_BLOCK = 2**20


class RunBlock(NamedTuple):
    """Runs of several images: int64 (M,) each. images: the place of a run's image; starts, stops: in
    the plane of its class, counted in pixels.
    """

    images: np.ndarray
    classes: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    heights: np.ndarray
    widths: np.ndarray


class PackedRuns(Mapping[str, Runs]):
    """image -> Runs (K, H, W), in the catalog's order, as slices of two arrays for all images.

    `starts` and `stops` int64 (M,); `offsets` int64 (N + 1,): image n has runs offsets[n] up to
    offsets[n + 1]; `shapes` int64 (N, 3). Cheap to hand to worker processes.
    """

    def __init__(self, images: list[str], arrays: dict[str, np.ndarray]) -> None:
        self._row = {image: row for row, image in enumerate(images)}
        self._arrays = arrays
        self._areas: np.ndarray | None = None

    @classmethod
    def packed(cls, runs: Mapping[str, Runs]) -> "PackedRuns":
        """The same masks."""
        if isinstance(runs, PackedRuns):
            return runs
        masks = list(runs.values())
        counts = np.array([len(mask) for mask in masks], dtype=np.int64)
        none = [np.empty(0, np.int64)]
        arrays = {
            "starts": np.concatenate([mask.starts for mask in masks] or none),
            "stops": np.concatenate([mask.stops for mask in masks] or none),
            "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            "shapes": np.array([mask.shape for mask in masks], dtype=np.int64).reshape(-1, 3),
        }
        return PackedRuns(list(runs), arrays)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What they are made of."""
        return self._arrays

    def blocks(self) -> Iterator[RunBlock]:
        """All runs, about a million at a time, those of an image together and in their order."""
        offsets, shapes = self._arrays["offsets"], self._arrays["shapes"]
        first = 0
        while first < len(self):
            last = int(np.searchsorted(offsets, offsets[first] + _BLOCK, side="right")) - 1
            last = min(max(last, first + 1), len(self))
            begin, end = offsets[first], offsets[last]
            counts = np.diff(offsets[first : last + 1])
            images = np.repeat(np.arange(first, last), counts)
            heights, widths = shapes[images, 1], shapes[images, 2]
            starts, stops = (self._arrays[key][begin:end] for key in ("starts", "stops"))
            classes, starts = np.divmod(starts, heights * widths)
            stops = stops - classes * (heights * widths)
            yield RunBlock(images, classes, starts, stops, heights, widths)
            first = last

    def totals(self, amounts: Callable[[RunBlock], np.ndarray]) -> np.ndarray:
        """What all runs of an image and class add up to: float64 (N, K). amounts: of each run (M,)."""
        classes = int(self._arrays["shapes"][:, 0].max(initial=0))
        sums = np.zeros(len(self) * classes)
        for block in self.blocks():
            first = int(block.images[0]) * classes if len(block.images) else 0
            found = np.bincount(
                block.images * classes + block.classes - first, np.asarray(amounts(block), float)
            )
            sums[first : first + len(found)] += found
        return sums.reshape(len(self), classes)

    def areas(self, images: Iterable[str] | None = None) -> np.ndarray:
        """Pixels of each class: int64 (N, K) of all images, or of those named, in their order."""
        if self._areas is None:
            self._areas = self.totals(lambda block: block.stops - block.starts).astype(np.int64)
        return self._areas if images is None else self._areas[[self._row[one] for one in images]]

    def shared_areas(self, images: Iterable[str] | None = None) -> np.ndarray:
        """Pixels that classes share, each counted once less than it has classes: int64 (N,), of images
        as for `areas`.
        """
        union = np.zeros(len(self))
        for block in self.blocks():
            order = np.lexsort((block.starts, block.images))
            plane = int((block.heights * block.widths).max(initial=0))
            base = block.images[order] * plane  # images lie one behind another
            starts, stops = block.starts[order] + base, block.stops[order] + base
            reached = np.maximum.accumulate(np.concatenate([[0], stops[:-1]]))
            new = np.maximum(stops - np.maximum(starts, reached), 0)
            union += np.bincount(block.images[order], new, len(self))
        shared = self.areas().sum(axis=1) - union.astype(np.int64)
        return shared if images is None else shared[[self._row[one] for one in images]]

    def __getitem__(self, image: str) -> Runs:
        row, arrays = self._row[image], self._arrays
        begin, end = arrays["offsets"][row : row + 2]
        shape = tuple(arrays["shapes"][row].tolist())
        return Runs.trusted(arrays["starts"][begin:end], arrays["stops"][begin:end], shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


_ARRAYS = ("starts", "stops", "offsets", "shapes")
_IGNORED, _ANNOTATORS = "ignored_", "annotators_"
"""Begin the names of the arrays of ignored pixels, and of the annotators' masks, in the file."""


class LabelCache(PackedRuns):
    """image -> Runs (K, H, W) of the classes; `ignored`: image -> Runs (1, H, W) of the pixels that do
    not count, which are of no class; `annotators`: image -> Runs (R * K, H, W) of those that have masks
    of R annotators, one annotator's classes after another's.
    """

    def __init__(
        self,
        images: list[str],
        arrays: dict[str, np.ndarray],
        ignored: dict[str, np.ndarray],
        annotators: PackedRuns,
    ) -> None:
        super().__init__(images, arrays)
        self.ignored, self.annotators = PackedRuns(images, ignored), annotators

    @classmethod
    def of(
        cls, labels: Mapping[str, PixelLabels], annotators: Mapping[str, Runs] | None = None
    ) -> "LabelCache":
        """The same labels, packed."""
        classes = PackedRuns.packed({image: one.classes for image, one in labels.items()})
        ignored = PackedRuns.packed({image: one.ignored for image, one in labels.items()})
        drawn = PackedRuns.packed(annotators or {})
        return cls(list(labels), classes.arrays, ignored.arrays, drawn)

    @classmethod
    def load(cls, path: Path, key: str) -> "LabelCache | None":
        """What `save` wrote under `key`; None where the file is absent, damaged or of another key."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["key"]) != key:
                    return None
                annotated = file[f"{_ANNOTATORS}images"].tolist()
                return cls(
                    file["images"].tolist(),
                    {name: file[name] for name in _ARRAYS},
                    {name: file[_IGNORED + name] for name in _ARRAYS},
                    PackedRuns(annotated, {n: file[_ANNOTATORS + n] for n in _ARRAYS}),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, path: Path, key: str) -> None:
        with whole_file(path, "wb") as file:
            images = np.array(list(self._row), dtype=str)
            content: dict[str, Any] = {"key": np.array(key), "images": images, **self.arrays}
            content |= {_IGNORED + name: array for name, array in self.ignored.arrays.items()}
            content |= {_ANNOTATORS + n: array for n, array in self.annotators.arrays.items()}
            content[f"{_ANNOTATORS}images"] = np.array(list(self.annotators), dtype=str)
            np.savez(file, **content)


def load_labels(
    competition: Competition, workspace: Workspace, catalog: pd.DataFrame
) -> LabelCache:
    """Labels of the training images, from `workspace.cache` while nothing they depend on changed."""
    cached = LabelCache.load(_place(workspace), labels_key(competition, catalog))
    if cached is None:
        cached = read_labels(competition, catalog)
        keep_labels(cached, competition, workspace, catalog)
    return cached


def keep_labels(
    labels: LabelCache, competition: Competition, workspace: Workspace, catalog: pd.DataFrame
) -> None:
    """Write labels that were read of these images for `load_labels`."""
    labels.save(_place(workspace), labels_key(competition, catalog))


def _place(workspace: Workspace) -> Path:
    return workspace.cache / "labels.npz"


def labels_key(competition: Competition, catalog: pd.DataFrame) -> str:
    """sha256 of all that labels depend on: files (by size and time), images, classes, their coding."""
    images = with_labels(catalog)
    spec = competition.model_dump(mode="json", include={"classes", "labels", "submission"})
    depends = {
        "version": _VERSION,
        "spec": spec,
        "images": images[["image", "path", "height", "width"]].values.tolist(),
        "files": [[str(path), *file_state(path)] for path in label_files(competition, catalog)],
    }
    return text_sha256(json.dumps(depends))
