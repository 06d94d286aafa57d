"""Images at one scale, each of its own size: laid out once, read window by window.

Large files are read strip by strip where their format allows it (arrays, and TIFFs by tifffile), so that
no image has to fit into memory, here or later.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pandas as pd

from competition.data.bands import read_pixels
from competition.data.catalog import sizes_of
from competition.data.images import PIXEL_LIMIT, image_size
from competition.data.letterbox import (
    GridSize,
    Letterbox,
    LetterboxedImages,
    PixelKind,
    Window,
    cache_key,
    slice_stacks,
)
from competition.data.levels import RGB, kept
from competition.data.npy import NpyImage
from competition.data.pages import file_and_page
from competition.data.tiff_samples import TiffSamples
from competition.errors import InputFault
from competition.machine import usable_cpus
from competition.spec import PixelForm
from competition.workspace import require_space, whole_folder

LARGE = 2**25
"""Pixels of an image, 5,793², from which on its file is read strip by strip."""

_ROWS = 256
"""Of an array, read at a time."""


@dataclass(frozen=True)
class ScaledImages:
    """All images of one split at one scale, one after the other in a file of uint8 or uint16.

    A window is read from the file and nothing of it is kept: what is mapped and touched would stay in
    the memory of the process.
    """

    rows: dict[str, int]
    letterboxes: dict[str, Letterbox]
    file: Path
    kind: PixelKind
    starts: dict[str, int]
    """The first byte of each image in the file."""
    stacks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """As those of `LetterboxedImages`."""

    def __getitem__(self, image: str) -> np.ndarray:
        """(h, w, C); with neighbours (h, w, slices · C), slice by slice."""
        return self.window(image, (0, 0, *self.letterboxes[image].size))

    def window(self, image: str, window: Window) -> np.ndarray:
        """(height, width, C) of a part of it, as `__getitem__`; black beyond the image."""
        if not self.stacks:
            return self._read(image, window)
        shown = [self._names[row] for row in self.stacks[image]]
        return np.concatenate([self._read(one, window) for one in shown], axis=2)

    def alone(self, image: str, window: Window | None = None) -> np.ndarray:
        """(h, w, C) without neighbours, or a window of it."""
        return self._read(image, window or (0, 0, *self.letterboxes[image].size))

    def _read(self, image: str, window: Window) -> np.ndarray:
        (top, left, height, width), (high, wide) = window, self.letterboxes[image].size
        rows = slice(max(top, 0), min(top + height, high))
        columns = slice(max(left, 0), min(left + width, wide))
        found = np.zeros((height, width, self.kind[0]), self.kind[1])
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return found
        try:
            mapped = np.memmap(
                self.file, self.kind[1], "r", self.starts[image], (high, wide, self.kind[0])
            )
        except (OSError, ValueError) as error:
            raise InputFault(
                f"{self.file} does not hold image {image!r} ({error}): another step has made it anew; "
                "run this one again"
            ) from error
        inside = found[rows.start - top :, columns.start - left :]
        part = mapped[rows, columns]
        inside[: part.shape[0], : part.shape[1]] = part
        return found

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.rows)


LaidOutImages = LetterboxedImages | ScaledImages
"""Images as a network takes them: all of one size, or all at one scale."""


def _starts_of(
    letterboxes: dict[str, Letterbox], images: Iterable[str], kind: PixelKind
) -> tuple[dict[str, int], int]:
    """Image → the first of its bytes in the file, in this order; and the bytes of all."""
    starts, place = {}, 0
    for image in images:
        starts[image] = place
        high, wide = letterboxes[image].size
        place += high * wide * kind[0] * np.dtype(kind[1]).itemsize
    return starts, place


def scaled_images(
    catalog: pd.DataFrame,
    root: Path,
    cache: Path,
    *,
    scale: float,
    pixels: PixelForm = RGB,
    advance: Callable[[], None] = lambda: None,
) -> ScaledImages:
    """The images of `catalog` (rows of one split) at a scale, from the cache or made now.

    scale: laid-out pixels for each native one, along a side. Everything else as `letterboxed_images`.
    """
    letterboxes = {
        image: Letterbox.scaled(native, scale) for image, native in sizes_of(catalog).items()
    }
    kind = pixels.channels, f"uint{pixels.bits}"
    starts, size = _starts_of(letterboxes, catalog["image"], kind)
    key = cache_key(catalog, root, pixels)
    split = "-".join(sorted(set(catalog["split"])))
    folder = cache / f"{split}-scale-{scale:g}"
    note = folder / "key.txt"
    if not (note.is_file() and note.read_text() == key):
        require_space(cache, size + 2**20)
        with whole_folder(folder) as working:
            file = working / "pixels.raw"
            with open(file, "wb") as empty:
                empty.truncate(size)

            def lay(row: tuple[str, str]) -> None:
                image, path = row
                with open(file, "r+b") as target:
                    target.seek(starts[image])
                    _write_scaled(root, path, pixels, letterboxes[image], target)
                advance()

            with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
                list(pool.map(lay, zip(catalog["image"], catalog["path"], strict=True)))
            (working / "key.txt").write_text(key)
    rows = {image: row for row, image in enumerate(catalog["image"])}
    stacks = slice_stacks(catalog, pixels.neighbours) if pixels.neighbours else {}
    return ScaledImages(rows, letterboxes, folder / "pixels.raw", kind, starts, stacks)


def _write_scaled(
    root: Path, path: str, form: PixelForm, letterbox: Letterbox, target: BinaryIO
) -> None:
    """The pixels of an image, row by row; those of a large one strip by strip."""
    height, width = letterbox.native
    strips = None if form.bands or height * width < LARGE else _strips(root / path, form)
    if strips is None:
        if height * width > PIXEL_LIMIT:
            raise InputFault(
                f"{root / path} has {height} × {width} pixels; more than {PIXEL_LIMIT:,} are read from "
                "a TIFF (grey or RGB, upright) or an array (.npy) alone: save it as a tiled TIFF"
            )
        pixels = read_pixels(root, path, form)
        whole = pixels if letterbox.resized == letterbox.native else letterbox.image(pixels)
        target.write(np.ascontiguousarray(whole).data)
        return
    if letterbox.resized != letterbox.native:
        strips = _resampled(strips, letterbox)
    target.writelines(np.ascontiguousarray(strip).data for strip in strips)


def _strips(path: Path, form: PixelForm) -> Iterator[np.ndarray] | None:
    """The rows of an image, some at a time, top to bottom, each (n, W, C) as `form` says; None of a
    file that has to be read whole.
    """
    file, page = file_and_page(path)
    if file.lower().endswith(".npy"):
        height = image_size(path)[0]

        def rows() -> Iterator[np.ndarray]:
            for first in range(0, height, _ROWS):
                array = NpyImage.opened(Path(file), page)  # anew: what is touched stays in memory
                array = array if form.frame is None else array.at(form.frame)
                part = replace(array, array=array.array[first : first + _ROWS])
                values, bits = part.values(form.depth)
                yield kept(values, bits, form, path)

        return rows()
    if page is not None or not file.lower().endswith((".tif", ".tiff")):
        return None
    found = TiffSamples.opened(Path(file))
    strips = found.strips(form.depth)
    return None if strips is None else (kept(values, bits, form, path) for values, bits in strips)


def _resampled(strips: Iterable[np.ndarray], letterbox: Letterbox) -> Iterator[np.ndarray]:
    """Strips (n, W, C) of an image → those of the resized one, of the same dtype: as
    `Letterbox.image` has it, but for its rounding between the two axes.
    """
    (height, width), (rows, columns) = letterbox.native, letterbox.resized
    shrinks = rows < height or columns < width
    spans = _spans(height, rows, shrinks=shrinks)
    buffer, first, done = None, 0, 0
    for strip in strips:
        across = _across(strip, columns, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        buffer = across if buffer is None else np.concatenate([buffer, across])
        known, made = first + len(buffer), []
        while done < rows and spans[done][0] + len(spans[done][1]) <= known:
            start, weights = spans[done]
            taken = buffer[start - first : start - first + len(weights)]
            made.append(np.tensordot(weights, taken, axes=1))
            done += 1
        if made:
            yield np.rint(np.stack(made)).clip(0, np.iinfo(strip.dtype).max).astype(strip.dtype)
        needed = spans[done][0] if done < rows else known
        buffer, first = buffer[max(0, needed - first) :].copy(), max(first, min(needed, known))


def _spans(source: int, target: int, *, shrinks: bool) -> list[tuple[int, np.ndarray]]:
    """Of each target row: the first source row that it is made of, and the weights float32 of those."""
    found = []
    for row in range(target):
        if shrinks:
            begin, end = row * source / target, (row + 1) * source / target
            rows = np.arange(int(begin), min(source, int(np.ceil(end - 1e-9))))
            weights = np.minimum(rows + 1, end) - np.maximum(rows, begin)
        else:
            centre = min(max((row + 0.5) * source / target - 0.5, 0), source - 1)
            rows = np.arange(int(centre), min(source, int(centre) + 2))
            weights = np.maximum(0, 1 - np.abs(rows - centre))
        found.append((int(rows[0]), (weights / weights.sum()).astype(np.float32)))
    return found


def _across(strip: np.ndarray, columns: int, how: int) -> np.ndarray:
    """(n, W, C) → float32 (n, columns, C)."""
    values = strip.astype(np.float32)
    groups = np.split(values, range(3, values.shape[2], 3), axis=2)
    size: GridSize = (columns, len(strip))
    return np.dstack([cv2.resize(group, size, interpolation=how) for group in groups])
