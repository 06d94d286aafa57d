"""How an image lies in the network's input, and the images of a competition laid so, kept on disk."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from competition.data.bands import all_pixel_files, read_pixels
from competition.data.catalog import sizes_of
from competition.data.levels import RGB
from competition.data.pages import file_of
from competition.errors import InputFault
from competition.machine import usable_cpus
from competition.masks import Runs, planes_from_runs, runs_from_logits
from competition.masks.geometry import crop, pad, resize_area
from competition.spec import PixelForm
from competition.workspace import (
    file_state,
    in_turn,
    require_space,
    text_sha256,
    whole_folder,
)

GridSize = tuple[int, int]
PixelWindow = tuple[int, int, int, int]
"""Top, left, height, width in laid-out pixels; what lies beyond the image is black and of no class."""
PixelKind = tuple[int, str]
"""Channels, and the name of a dtype."""

_ANY = 1e-12
"""Less than one pixel of any image covers."""


@dataclass(frozen=True)
class Letterbox:
    """An image of `native` size (H, W), resized to `resized`, at the top left of `size` (h, w)."""

    native: GridSize
    resized: GridSize
    size: GridSize

    @classmethod
    def of(cls, native: GridSize, size: GridSize, fit: Literal["stretch", "pad"]) -> "Letterbox":
        """`stretch` fills the size; `pad` keeps the aspect and pads bottom and right.

        >>> Letterbox.of((100, 200), (64, 64), "pad").resized
        (32, 64)
        """
        if fit == "stretch":
            return cls(native, size, size)
        shrink = min(size[0] / native[0], size[1] / native[1])
        resized = tuple(max(1, round(side * shrink)) for side in native)
        return cls(native, (resized[0], resized[1]), size)

    @classmethod
    def scaled(cls, native: GridSize, scale: float) -> "Letterbox":
        """At a scale of its own size, with nothing beside it.

        >>> Letterbox.scaled((100, 201), 0.5).size
        (50, 100)
        """
        height, width = (max(1, round(side * scale)) for side in native)
        return cls(native, (height, width), (height, width))

    def region(self, grid: GridSize) -> tuple[float, float, float, float]:
        """(top, left, height, width) of the image in a logit grid (h', w') over the whole input."""
        down, across = grid[0] / self.size[0], grid[1] / self.size[1]
        return (0.0, 0.0, self.resized[0] * down, self.resized[1] * across)

    def image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) → (h, w, C) of the same dtype, uint8 or uint16: by area when it shrinks, bilinear
        when it grows.
        """
        shrinks = self.resized[0] < self.native[0] or self.resized[1] < self.native[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        # OpenCV shrinks at most four channels by area, and drops the axis of a single one.
        groups = np.split(image, range(3, image.shape[2], 3), axis=2)
        resized = np.dstack(
            [cv2.resize(group, self.resized[::-1], interpolation=how) for group in groups]
        )
        if self.resized == self.size:
            return resized
        letterboxed = np.zeros((*self.size, image.shape[2]), image.dtype)
        letterboxed[: self.resized[0], : self.resized[1]] = resized
        return letterboxed

    def planes(self, runs: Runs, window: PixelWindow | None = None) -> np.ndarray:
        """Runs (K, H, W) → uint8 bit planes (P, h, w), or of a window; a pixel is inside by area
        coverage ≥ ½.
        """
        if window is None:
            return self._padded(planes_from_runs(runs, size=self.resized))
        return planes_from_runs(self._within(window, runs, coverage=0.5))

    def touched(self, runs: Runs, window: PixelWindow | None = None) -> np.ndarray:
        """Runs (1, H, W) → uint8 (1, h, w), or of a window: 1 where any part of the pixel is covered."""
        if window is None:
            return self._padded(planes_from_runs(resize_area(runs, self.resized, coverage=_ANY)))
        return planes_from_runs(self._within(window, runs, coverage=_ANY))

    def _within(self, window: PixelWindow, runs: Runs, *, coverage: float) -> Runs:
        """The masks in a window of the resized image, without a dense pixel."""
        if self.resized != self.native:
            runs = resize_area(runs, self.resized, coverage=coverage)
        (top, left, height, width), (high, wide) = window, self.resized
        first, last = max(top, 0), min(top + height, high)
        begin, end = max(left, 0), min(left + width, wide)
        if first >= last or begin >= end:
            return Runs.empty((runs.classes, height, width))
        part = crop(runs, first, begin, last - first, end - begin)
        return pad(part, first - top, top + height - last, begin - left, left + width - end)

    def reached(self, runs: Runs) -> Runs:
        """Runs (K, H, W) → what is decided of them after a network that tells at every pixel of the size
        how much of it is covered: the most that one can reach there.
        """
        return runs_from_logits(self.covered(runs), self.native, 0.5)

    def covered(self, runs: Runs) -> np.ndarray:
        """Logits float32 (K, h, w) of a resized image, 0 where a class covers half of a pixel."""
        shares = [
            cv2.resize(
                mask.to_dense().astype(np.float32),  # one class at a time: all are half a gigabyte
                self.resized[::-1],
                interpolation=cv2.INTER_AREA,
            )
            for mask in runs
        ]
        return np.stack(shares) - np.float32(0.5)

    def _padded(self, planes: np.ndarray) -> np.ndarray:
        if self.resized == self.size:
            return planes
        letterboxed = np.zeros((len(planes), *self.size), np.uint8)
        letterboxed[:, : self.resized[0], : self.resized[1]] = planes
        return letterboxed


@dataclass(frozen=True)
class LetterboxedImages:
    """All images of one split, laid into the network's input: a memory-mapped (N, h, w, C), uint8 or
    uint16.

    Pickled, it names its file and opens that again: numpy would write out every pixel.
    """

    rows: dict[str, int]
    letterboxes: dict[str, Letterbox]
    pixels: np.memmap
    stacks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Rows of the slices from before an image to after it, its own among them; empty where images
    are shown alone.
    """

    @classmethod
    def open(
        cls,
        rows: dict[str, int],
        letterboxes: dict[str, Letterbox],
        file: Path,
        kind: PixelKind = (3, "uint8"),
        stacks: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    ) -> "LetterboxedImages":
        """InputFault where the file is not of these images any more. kind: channels and dtype."""
        pixels = np.load(file, mmap_mode="r")
        expected = (len(rows), *next(iter(letterboxes.values())).size, kind[0])
        if (pixels.shape, pixels.dtype.name) != (expected, kind[1]):
            raise InputFault(
                f"{file} holds {pixels.dtype} {pixels.shape}, expected {expected} of {kind[1]}: "
                "another step has made it anew; run this one again"
            )
        return cls(rows, letterboxes, pixels, dict(stacks))

    def __reduce__(self) -> tuple[Any, ...]:
        file = self.pixels.filename
        assert file is not None  # `open` maps one
        kind = self.pixels.shape[3], self.pixels.dtype.name
        return self.open, (self.rows, self.letterboxes, Path(file), kind, self.stacks)

    def __getitem__(self, image: str) -> np.ndarray:
        """(h, w, C); with neighbours (h, w, slices · C), slice by slice."""
        if not self.stacks:
            return self.alone(image)
        return np.concatenate([self.pixels[row] for row in self.stacks[image]], axis=2)

    def alone(self, image: str) -> np.ndarray:
        """(h, w, C) without neighbours."""
        return self.pixels[self.rows[image]]


def letterboxed_images(
    catalog: pd.DataFrame,
    root: Path,
    cache: Path,
    *,
    form: tuple[GridSize, Literal["stretch", "pad"]],
    pixels: PixelForm = RGB,
    advance: Callable[[], None] = lambda: None,
) -> LetterboxedImages:
    """The images of `catalog` (rows of one split) at the network's size, from the cache or made now.

    form: the network's (h, w) and how an image is fitted into it; pixels: as for `read_pixels`.
    The cache is one folder per split and form; it is made anew when a file's size or time changed,
    or what is kept of its pixels.
    `advance` is called once an image that had to be made.
    """
    size, fit = form
    natives = sizes_of(catalog)
    letterboxes = {image: Letterbox.of(native, size, fit) for image, native in natives.items()}
    key = cache_key(catalog, root, pixels)
    split = "-".join(sorted(set(catalog["split"])))
    kind = pixels.channels, f"uint{pixels.bits}"
    folder = cache / f"{split}-{size[0]}x{size[1]}-{fit}"
    note = folder / "key.txt"
    # Networks that are trained side by side come to it at once.
    with in_turn(cache / f"{folder.name}.lock"):
        if not (note.is_file() and note.read_text() == key):
            shape, dtype = (len(catalog), *size, kind[0]), np.dtype(kind[1])
            require_space(cache, int(np.prod(shape)) * dtype.itemsize + 2**20)

            def letterboxed(image: str, path: str) -> np.ndarray:
                laid = letterboxes[image].image(read_pixels(root, path, pixels))
                advance()
                return laid

            with whole_folder(folder) as working:
                _lay_out(catalog, working / "pixels.npy", (shape, dtype), letterboxed)
                (working / "key.txt").write_text(key)
    rows = {image: row for row, image in enumerate(catalog["image"])}
    stacks = slice_stacks(catalog, pixels.neighbours) if pixels.neighbours else {}
    return LetterboxedImages.open(rows, letterboxes, folder / "pixels.npy", kind, stacks)


def slice_stacks(catalog: pd.DataFrame, neighbours: int) -> dict[str, tuple[int, ...]]:
    """Rows of the slices around each image of a volume; at its ends the last slice is repeated."""
    found = {}
    for _, slices in catalog.reset_index(drop=True).groupby("volume", sort=False):
        ordered = slices.sort_values("slice")
        rows, last = ordered.index.tolist(), len(ordered) - 1
        for place, image in enumerate(ordered["image"]):
            around = range(place - neighbours, place + neighbours + 1)
            found[image] = tuple(rows[min(max(one, 0), last)] for one in around)
    return found


def cache_key(catalog: pd.DataFrame, root: Path, form: PixelForm) -> str:
    """Of the files and of what is kept of them; of depth alone as it was when there was no more."""
    paths = all_pixel_files(catalog["path"], form)
    states = {file: file_state(root / file) for file in map(file_of, paths)}
    files = [(path, *states[file_of(path)]) for path in paths]
    further = form.pixels.model_copy(update={"depth": None, "neighbours": 0}).chosen()
    return text_sha256(json.dumps([form.depth, files, *([further] if further else [])]))


def _lay_out(
    catalog: pd.DataFrame,
    file: Path,
    array: tuple[tuple[int, ...], np.dtype],
    letterboxed: Callable[[str, str], np.ndarray],
) -> None:
    """Every image into its row. The map ends with this function: Windows renames no mapped file."""
    pixels = np.lib.format.open_memmap(file, mode="w+", shape=array[0], dtype=array[1])

    def lay(task: tuple[int, str, str]) -> None:
        row, image, path = task
        pixels[row] = letterboxed(image, path)

    tasks = list(zip(range(len(catalog)), catalog["image"], catalog["path"], strict=True))
    with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
        list(pool.map(lay, tasks))
    pixels.flush()
