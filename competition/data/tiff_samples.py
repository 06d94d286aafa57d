"""TIFF of pixels that Pillow has no mode for, such as five bands, read by tifffile (extra `tiff`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Self

import numpy as np

from competition.data.levels import counted, declared_bits
from competition.data.pages import PAGES_KEY, Page, refuse_axis, require_page
from competition.errors import InputFault

_ORIENTATION = 274
_READ_AHEAD = 2**24
"""Bytes of a file that are read before they are decoded."""


@dataclass(frozen=True)
class TiffSamples:
    """A TIFF, or one of its pages, with its header read and nothing decoded.

    size: (height, width) in pixels; mode: its number of samples a pixel and their dtype.
    """

    path: Path
    size: tuple[int, int]
    samples: int
    dtype: np.dtype
    page: int
    format: ClassVar[str] = "TIFF"

    @classmethod
    def opened(cls, path: Path, page: Page | None = None) -> Self:
        """InputFault without tifffile; ValueError or OSError for a file that is no such picture."""
        number = 0 if page is None else page.number
        tifffile = _tifffile()
        try:
            with tifffile.TiffFile(path) as file:
                pages = len(file.pages)
                found = file.pages[min(number, pages - 1)]
                height, width, samples = found.imagelength, found.imagewidth, found.samplesperpixel
                first = file.pages[0].imagelength, file.pages[0].imagewidth
                dtype = found.dtype
        except OSError:
            raise
        except Exception as error:  # a damaged file ends in whatever its bytes stumble upon
            raise ValueError(f"its header is damaged: {error}") from error
        if page is None and pages != 1:
            raise ValueError(f"it holds {pages} pictures; expected one: {PAGES_KEY}")
        require_page(number, pages, "pages")
        if (height, width) != first:
            raise ValueError(
                f"page {number} has {height} × {width} pixels and the first {first[0]} × {first[1]}: "
                "they are no slices of one volume"
            )
        if dtype is None or dtype.kind not in "uif" or dtype.itemsize > 8:
            raise ValueError(f"its values are of {dtype}; expected whole numbers or decimals")
        return cls(path, (height, width), samples, dtype, number)

    @classmethod
    def pages(cls, path: Path, axis: int | None) -> int:
        """How many pages a file has; raises as `opened` does."""
        refuse_axis(axis, "pages")
        cls.opened(path, Page(0))
        with _tifffile().TiffFile(path) as file:
            return len(file.pages)

    @property
    def mode(self) -> str:
        return f"{self.samples} × {self.dtype.name}"

    @property
    def depth(self) -> int:
        """Bits of a value as `values` gives it unless it is told."""
        return declared_bits(self.dtype)

    def values(self, depth: int | None = None) -> tuple[np.ndarray, int | None]:
        """(H, W) or (H, W, samples), and the bits that hold them, as `counted` has it."""
        tifffile = _tifffile()
        try:
            with tifffile.TiffFile(self.path) as file:
                page = file.pages[self.page]
                array = page.asarray()
                planar = self.samples > 1 and int(page.planarconfig) == 2
        except Exception as error:  # as above
            raise InputFault(
                f"{self.path} cannot be decoded: {error}; download it again, or install what it names"
            ) from error
        array = np.moveaxis(array, 0, -1) if planar else array
        expected = (*self.size, self.samples) if self.samples > 1 else self.size
        if array.shape != expected:
            raise InputFault(f"{self.path} is damaged: pixels of the shape {array.shape}")
        return counted(array, depth)

    def strips(self, depth: int | None = None) -> Iterator[tuple[np.ndarray, int | None]] | None:
        """`values` of some rows at a time, top to bottom, without the whole in memory; None where its
        pixels are not told by the numbers alone (a palette, white is zero, alpha, YCbCr) or lie turned
        or channel by channel.
        """
        with _tifffile().TiffFile(self.path) as file:
            page = file.pages[self.page]
            kind = 1 if self.samples == 1 else 2
            turned = page.tags.valueof(_ORIENTATION, 1) != 1
            if page.photometric != kind or page.extrasamples or page.planarconfig != 1 or turned:
                return None
        return self._strips(depth)

    def _strips(self, depth: int | None) -> Iterator[tuple[np.ndarray, int | None]]:
        height, width = self.size
        try:
            with _tifffile().TiffFile(self.path) as file:
                page = file.pages[self.page]
                rows = page.tilelength if page.is_tiled else page.rowsperstrip
                rows = min(rows, height)
                first, strip = 0, np.zeros((rows, width, self.samples), self.dtype)
                for segment, place, _ in page.segments(maxworkers=1, buffersize=_READ_AHEAD):
                    top, left = place[2], place[3]
                    if top != first:
                        yield self._counted(strip[: height - first], depth)
                        first, strip = top, np.zeros_like(strip)
                    if segment is not None:  # one that a file leaves out is black
                        part = segment.reshape(segment.shape[-3:])[: height - top, : width - left]
                        strip[: part.shape[0], left : left + part.shape[1]] = part
                yield self._counted(strip[: height - first], depth)
        except Exception as error:  # a damaged file ends in whatever its bytes stumble upon
            raise InputFault(
                f"{self.path} cannot be decoded: {error}; download it again, or install what it names"
            ) from error

    def _counted(self, strip: np.ndarray, depth: int | None) -> tuple[np.ndarray, int | None]:
        return counted(strip[..., 0] if self.samples == 1 else strip, depth)

    def numbers(self) -> np.ndarray:
        """InputFault: a mask has one channel."""
        raise InputFault(f"{self.path} is a picture of {self.mode}; a mask has one channel")


def has_tiff_header(path: Path) -> bool:
    """Whether a file begins as TIFF and BigTIFF do."""
    with open(path, "rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _tifffile() -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        raise InputFault(
            "TIFF images of this kind need tifffile: python -m pip install 'podium[tiff]'"
        ) from error
    return tifffile
