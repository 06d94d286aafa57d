"""Images at one scale, each of its own size: laid out once, read window by window.

Large files are read strip by strip where their format allows it (arrays, and TIFFs by tifffile), so that
no image has to fit into memory, here or later.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from competition.data.bands import read_pixels
from competition.data.catalog import sizes_of
from competition.data.images import PIXEL_LIMIT
from competition.data.letterbox import (
    Letterbox,
    LetterboxedImages,
    PixelKind,
    PixelWindow,
    cache_key,
    slice_stacks,
)
from competition.data.levels import RGB
from competition.data.strips import LARGE, resized_strips, strips_of
from competition.errors import InputFault
from competition.machine import usable_cpus
from competition.spec import PixelForm
from competition.workspace import in_turn, require_space, whole_folder


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

    def window(self, image: str, window: PixelWindow) -> np.ndarray:
        """(height, width, C) of a part of it, as `__getitem__`; black beyond the image."""
        if not self.stacks:
            return self._read(image, window)
        shown = [self._names[row] for row in self.stacks[image]]
        return np.concatenate([self._read(one, window) for one in shown], axis=2)

    def alone(self, image: str, window: PixelWindow | None = None) -> np.ndarray:
        """(h, w, C) without neighbours, or a window of it."""
        return self._read(image, window or (0, 0, *self.letterboxes[image].size))

    def _read(self, image: str, window: PixelWindow) -> np.ndarray:
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
    folder = cache / f"{split}-scale-{scale!r}"
    note = folder / "key.txt"
    # Networks that are trained side by side come to it at once.
    with in_turn(cache / f"{folder.name}.lock"):
        if not (note.is_file() and note.read_text(encoding="utf-8") == key):
            require_space(cache, size + 2**20)
            with whole_folder(folder) as working:
                file = working / "pixels.raw"
                with open(file, "wb") as empty:
                    empty.truncate(size)

                def lay(row: tuple[str, str]) -> None:
                    image, path = row
                    with file.open("r+b") as target:
                        target.seek(starts[image])
                        _write_scaled(root, path, pixels, letterboxes[image], target)
                    advance()

                with ThreadPoolExecutor(max_workers=usable_cpus()) as pool:
                    list(pool.map(lay, zip(catalog["image"], catalog["path"], strict=True)))
                (working / "key.txt").write_text(key, encoding="utf-8")
    rows = {image: row for row, image in enumerate(catalog["image"])}
    stacks = slice_stacks(catalog, pixels.neighbours) if pixels.neighbours else {}
    return ScaledImages(rows, letterboxes, folder / "pixels.raw", kind, starts, stacks)


def _write_scaled(
    root: Path, path: str, form: PixelForm, letterbox: Letterbox, target: BinaryIO
) -> None:
    """The pixels of an image, row by row; those of a large one strip by strip."""
    height, width = letterbox.native
    strips = None if form.bands or height * width < LARGE else strips_of(root / path, form)
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
        strips = resized_strips(strips, letterbox.native, letterbox.resized)
    target.writelines(np.ascontiguousarray(strip).data for strip in strips)
