"""Large images read strip by strip, where their format allows it: arrays, and TIFFs by tifffile."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from competition.data.bands import read_pixels
from competition.data.images import PIXEL_LIMIT, STRIP_ENDINGS, image_size
from competition.data.levels import kept
from competition.data.npy import NpyImage
from competition.data.pages import file_and_page
from competition.data.tiff_samples import TiffSamples
from competition.spec import PixelForm

LARGE = 2**25
"""Pixels of an image, 5,793², from which on its file is read strip by strip."""

_ROWS = 256
"""Of an array, read at a time."""


def overview(root: Path, path: str, form: PixelForm) -> np.ndarray:
    """An image to look at: as `read_pixels` has it, but one that is too large to be decoded whole is
    shrunk to a picture of about `LARGE` pixels, strip by strip.
    """
    if form.bands or not path.lower().endswith(STRIP_ENDINGS):
        return read_pixels(root, path, form)
    native = image_size(root / path)
    if native[0] * native[1] <= PIXEL_LIMIT or (strips := strips_of(root / path, form)) is None:
        return read_pixels(root, path, form)
    shrink = (LARGE / (native[0] * native[1])) ** 0.5
    size = max(1, round(native[0] * shrink)), max(1, round(native[1] * shrink))
    return np.concatenate(list(resized_strips(strips, native, size)))


def strips_of(path: Path, form: PixelForm) -> Iterator[np.ndarray] | None:
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


def resized_strips(
    strips: Iterable[np.ndarray], native: tuple[int, int], resized: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Strips (n, W, C) of a `native` image (H, W) → those of the `resized` one, of the same dtype: as
    `Letterbox.image` has it, but for its rounding between the two axes.
    """
    (height, width), (rows, columns) = native, resized
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
    size = (columns, len(strip))
    return np.dstack([cv2.resize(group, size, interpolation=how) for group in groups])
