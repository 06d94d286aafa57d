"""Arrays saved by numpy (.npy) as images and masks."""

from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import ClassVar, Self

import numpy as np

from competition.data.levels import counted, declared_bits
from competition.data.pages import Page, require_page
from competition.errors import InputFault


@dataclass(frozen=True)
class NpyImage:
    """An array file, or a slice of it, with its header read; its values stay in the file until they are
    asked for.

    size: (height, width) in pixels; mode: its dtype.
    """

    path: Path
    array: np.ndarray
    format: ClassVar[str] = "NPY"

    @classmethod
    def opened(cls, path: Path, page: Page | None = None) -> Self:
        """ValueError or OSError for a file that is cut off, holds objects, or has no image's shape."""
        array = _mapped(path)
        if page is not None:
            slices = np.moveaxis(array, _slice_axis(array, page.axis), 0)
            require_page(page.number, len(slices), "slices")
            array = slices[page.number]
        if array.ndim not in (2, 3, 4) or not array.size:
            raise ValueError(
                f"its array has the shape {array.shape}; expected (H, W), (H, W, channels), or one "
                "axis more and frame in [data]"
            )
        return cls(path, array)

    @classmethod
    def pages(cls, path: Path, axis: int | None) -> int:
        """How many slices an array (slices, H, W) or (slices, H, W, 3) has, or one whose slices lie
        along another axis; raises as `opened` does.
        """
        array = _mapped(path)
        return array.shape[_slice_axis(array, axis)]

    @property
    def size(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]

    @property
    def mode(self) -> str:
        return self.array.dtype.name

    @property
    def depth(self) -> int:
        """Bits of a value as `values` gives it unless it is told."""
        return declared_bits(self.array.dtype)

    def at(self, frame: int) -> Self:
        """The image at one place of the last axis; InputFault where there is no such place."""
        places = self.array.shape[-1]
        if self.array.ndim < 3 or frame >= places:
            raise InputFault(
                f"{self.path} has the shape {self.array.shape}; frame = {frame} in [data] asks for a "
                f"place on a third axis or a fourth"
            )
        return replace(self, array=self.array[..., frame])

    def values(self, depth: int | None = None) -> tuple[np.ndarray, int | None]:
        """(H, W) or (H, W, channels), and the bits that hold them, as `counted` has it."""
        array = self._plain()
        known = self.mode in ("uint8", "uint16") or array.dtype.kind in "if"
        if not known or array.dtype.itemsize > 8:
            raise InputFault(
                f"{self.path} is an array of {self.mode}; expected uint8, uint16, decimals, or signed "
                "numbers"
            )
        return counted(array, depth)

    def numbers(self) -> np.ndarray:
        """The numbers of a mask: uint8, uint16 or int32 (H, W)."""
        array = self._plain()
        if array.shape[2:] not in ((), (3,)):
            raise InputFault(
                f"{self.path} has the shape {array.shape}; a mask is (H, W) or (H, W, 1)"
            )
        if array.ndim == 3:
            raise InputFault(
                f"{self.path} is a colour picture ({self.mode}); a mask has one channel"
            )
        if array.dtype.kind not in "biu":
            raise InputFault(f"{self.path} is an array of {self.mode}; a mask has whole numbers")
        if array.dtype.kind == "b":
            return array.astype(np.uint8)
        if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
            return array.astype(array.dtype.newbyteorder("="))
        low, high = int(array.min()), int(array.max())
        if low < -(2**31) or high >= 2**31:
            raise InputFault(f"{self.path} has values {low}…{high}; a mask has numbers of 32 bits")
        return array.astype(np.int32)

    def _plain(self) -> np.ndarray:
        """Without a third axis of one channel; InputFault for one axis more."""
        if self.array.ndim == 4:
            raise InputFault(
                f"{self.path} has the shape {self.array.shape}; frame in [data] says which place of "
                "its last axis is the image"
            )
        return self.array[..., 0] if self.array.shape[2:] == (1,) else self.array


def last_axis_masks(path: Path) -> list[np.ndarray]:
    """The masks of an array (H, W, R) or (H, W, 1, R), as `NpyImage.numbers` has each, (H, W)."""
    try:
        array = _mapped(path)
    except (OSError, ValueError) as error:
        raise InputFault(f"{path} is not an array that can be read: {error}") from error
    if array.ndim not in (3, 4) or array.shape[2:-1] not in ((), (1,)) or not array.size:
        raise InputFault(
            f"{path} has the shape {array.shape}; expected (H, W, R) or (H, W, 1, R), R annotators"
        )
    return [NpyImage(path, array[..., one]).numbers() for one in range(array.shape[-1])]


def _mapped(path: Path) -> np.ndarray:
    """The whole array, which stays in the file."""
    try:
        return np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (ArithmeticError, SyntaxError, TypeError, TokenError) as error:
        raise ValueError(f"its header is damaged: {error}") from error


def _slice_axis(array: np.ndarray, axis: int | None) -> int:
    """Along which slices lie: the first one, unless it is told."""
    if array.ndim not in (3, 4):
        raise ValueError(
            f"its array has the shape {array.shape}; expected (slices, H, W) or (slices, H, W, 3)"
        )
    return 0 if axis is None else axis
