"""NIfTI volumes (.nii, .nii.gz), of which an image is one slice: by nibabel, from the extra `nifti`.

Values are as stored, in the order of the file: nothing is turned to the patient's axes. Of the two axes
that the slices leave, the first is the columns of the image and the second its rows, as SimpleITK and
nnU-Net have them; along the usual axis 2 an array of (x, y, z) gives images of y rows and x columns.
"""

import struct
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np

from competition.data.levels import counted, declared_bits
from competition.data.pages import PAGES_KEY, Page, require_page
from competition.errors import InputFault, in_one_line
from competition.workspace import file_state

_AXIS = 2
"""Along which slices lie, unless it is told."""

_CLOSE = 1e-3
"""Affines are those of one grid where they differ by no more, in mm."""


@dataclass(frozen=True)
class NiftiImage:
    """One slice of a volume with its header read; its values stay in the file until they are asked for.

    size: (height, width) in pixels; mode: the stored dtype; slope, intercept: what the values are of
    the stored ones.
    """

    path: Path
    volume: Any
    shape: tuple[int, int, int]
    page: Page
    format: ClassVar[str] = "NIfTI"

    @classmethod
    def opened(cls, path: Path, page: Page | None) -> Self:
        """InputFault without nibabel; ValueError or OSError for a file that is no such volume, or that
        has several slices and none is asked for.
        """
        volume, shape = _volume(path)
        axis = _AXIS if page is None or page.axis is None else page.axis
        if page is None and shape[axis] != 1:
            raise ValueError(f"it holds {shape[axis]} slices; {PAGES_KEY}")
        number = 0 if page is None else page.number
        require_page(number, shape[axis], "slices")
        return cls(path, volume, shape, Page(number, axis))

    @classmethod
    def pages(cls, path: Path, axis: int | None) -> int:
        """How many slices a file has; raises as `opened` does."""
        return _volume(path)[1][_AXIS if axis is None else axis]

    @property
    def size(self) -> tuple[int, int]:
        columns, rows = (side for axis, side in enumerate(self.shape) if axis != self.page.axis)
        return rows, columns

    @property
    def mode(self) -> str:
        return self.volume.get_data_dtype().name

    @property
    def scaled(self) -> bool:
        """Whether the values are others than the stored ones."""
        return (self.volume.dataobj.slope, self.volume.dataobj.inter) != (1, 0)

    @property
    def depth(self) -> int:
        """Bits of a value as `values` gives it unless it is told."""
        return declared_bits(self.volume.get_data_dtype())

    def values(self, depth: int | None = None) -> tuple[np.ndarray, int | None]:
        """(H, W) and the bits that hold them, as `counted` has it; None of what has a slope or an
        intercept.
        """
        return (self.real(), None) if self.scaled else counted(self._stored(), depth)

    def real(self) -> np.ndarray:
        """float64 (H, W): the values that are meant, such as Hounsfield units; stored · slope +
        intercept.
        """
        values = self._stored().astype(np.float64)
        return values * self.volume.dataobj.slope + self.volume.dataobj.inter

    def numbers(self) -> np.ndarray:
        """The numbers of a mask: int32 (H, W). Decimals are read where all of them are whole."""
        values = self.real()
        low, high = float(values.min()), float(values.max())
        if not (low >= -(2**31) and high < 2**31 and (values == np.rint(values)).all()):
            raise InputFault(
                f"{self.path} has values {low:g}…{high:g} that are not all whole numbers of 32 bits; a "
                "mask has such"
            )
        return values.astype(np.int32)

    def _stored(self) -> np.ndarray:
        """(H, W), a copy in the machine's byte order."""
        try:
            stored = _stored_values(self.path, self.volume)
        except _damage(_nibabel()) as error:
            raise InputFault(
                f"{self.path} is damaged: {in_one_line(error)}; download it again"
            ) from error
        one = np.take(stored.reshape(self.shape, order="F"), self.page.number, axis=self.page.axis)
        return np.ascontiguousarray(one.T.astype(one.dtype.newbyteorder("=")))


def nifti_spacing(path: Path, axis: int | None) -> tuple[float, float, float]:
    """mm between slices, rows and columns, as the header has them; raises as `NiftiImage.opened`."""
    volume, _ = _volume(path)
    sides = [float(side) for side in (*volume.header.get_zooms(), 1, 1, 1)[:3]]
    slices = sides.pop(_AXIS if axis is None else axis)
    columns, rows = sides
    return slices, rows, columns


def require_same_grid(labels: Path, image: Path) -> None:
    """InputFault where a volume of labels lies otherwise in space than the volume of its images: its
    affine says so, which tells origin, spacing and orientation. Shapes are compared where they are read.
    """
    ours, theirs = (_volume(path)[0].affine for path in (labels, image))
    if np.allclose(ours, theirs, rtol=0, atol=_CLOSE):
        return
    axes = _nibabel().aff2axcodes
    differ = f"orientation {''.join(axes(ours))} and {''.join(axes(theirs))}"
    if axes(ours) == axes(theirs):
        rows, columns = np.argwhere(np.abs(ours - theirs) > _CLOSE)[0]
        differ = f"{ours[rows, columns]:g} and {theirs[rows, columns]:g} in row {rows + 1} of it"
    raise InputFault(
        f"{labels} lies otherwise in space than its image {image}: affines differ ({differ}); resample "
        "the labels to the image"
    )


_KEPT: OrderedDict[tuple[Path, tuple[int, int, int]], np.ndarray] = OrderedDict()
_KEPT_VOLUMES = 2
"""An image's and its label's, or, while several threads go on, one volume and the next."""
_LOCK = threading.Lock()


def _stored_values(path: Path, volume: Any) -> np.ndarray:
    """The stored array of a whole volume: mapped where the file is not compressed. A compressed one is
    decompressed once, and the last ones are kept: its slices are asked for one after another.
    """
    if not path.name.lower().endswith(".gz"):
        return volume.dataobj.get_unscaled()
    key = (path, file_state(path))
    with _LOCK:
        if key not in _KEPT:
            while len(_KEPT) >= _KEPT_VOLUMES:
                _KEPT.popitem(last=False)
            _KEPT[key] = volume.dataobj.get_unscaled()
        _KEPT.move_to_end(key)
        return _KEPT[key]


def _volume(path: Path) -> tuple[Any, tuple[int, int, int]]:
    """The file with its header read, and its shape with three axes."""
    nibabel = _nibabel()
    try:
        volume = nibabel.load(path)
        shape = tuple(int(side) for side in volume.shape)
    except FileNotFoundError:
        raise
    except _damage(nibabel) as error:
        raise ValueError(in_one_line(error)) from error
    plain = (*shape, 1) if len(shape) == 2 else shape
    if len(plain) < 3 or any(side != 1 for side in plain[3:]) or not all(plain):
        raise ValueError(f"its array has the shape {shape}; expected (x, y, z), one value each")
    if volume.get_data_dtype().kind not in "iuf":
        raise ValueError(f"its values are {volume.get_data_dtype()}; expected one number each")
    return volume, (plain[0], plain[1], plain[2])


def _nibabel() -> ModuleType:
    try:
        import nibabel
        import nibabel.filebasedimages
        import nibabel.spatialimages
    except ImportError as error:
        raise InputFault(
            "images that end in .nii or .nii.gz need nibabel: python -m pip install 'podium[nifti]'"
        ) from error
    return nibabel


def _damage(nibabel: ModuleType) -> tuple[type[Exception], ...]:
    """What nibabel raises where bytes are not what they should be."""
    return (
        ArithmeticError,
        EOFError,
        OSError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
    )
