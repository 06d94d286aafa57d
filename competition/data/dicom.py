"""DICOM files, as scanners write them: by pydicom, from the extra `dicom`."""

import math
import struct
import warnings
from collections.abc import MutableSequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from competition.data.pages import PAGES_KEY, Page, refuse_axis, require_page
from competition.errors import InputFault, in_one_line

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class Window:
    """Which values become black and which white (DICOM PS3.3, C.11.2.1): `shape` is the
    VOI LUT Function, LINEAR, LINEAR_EXACT or SIGMOID.
    """

    centre: float
    width: float
    shape: str

    def brightness(self, values: np.ndarray) -> np.ndarray:
        """float64 0…1 of values of any shape, after the rescale slope and intercept."""
        match self.shape:
            case "LINEAR":  # whole numbers: from centre - width / 2 to centre + width / 2 - 1
                share = (values - (self.centre - 0.5)) / max(self.width - 1, 1e-9) + 0.5
            case "LINEAR_EXACT":
                share = (values - self.centre) / self.width + 0.5
            case _:
                steps = np.clip(-4 * (values - self.centre) / self.width, -700, 700)
                share = 1 / (1 + np.exp(steps))
        return np.clip(share, 0, 1)


@dataclass(frozen=True)
class DicomImage:
    """A DICOM file of one picture, or one of its frames, with its header read and nothing decoded.

    size: (height, width) in pixels; mode: its photometric interpretation; bits: stored of a value;
    slope, intercept: what the window's values are of the stored ones.
    """

    path: Path
    size: tuple[int, int]
    mode: str
    bits: int
    signed: bool
    slope: float
    intercept: float
    window: Window | None
    frame: int | None
    format: ClassVar[str] = "DICOM"

    @classmethod
    def opened(cls, path: Path, page: Page | None = None) -> Self:
        """InputFault without pydicom; ValueError or OSError for a file that is no such picture, or that
        has several and none is asked for.
        """
        header, frames = _header(path)
        if page is None and frames != 1:
            raise ValueError(f"it holds {frames} pictures; expected one: {PAGES_KEY}")
        if page is not None:
            require_page(page.number, frames, "frames")
        try:
            facts = _facts(header)
        except _damage(_pydicom()) as error:
            raise ValueError(in_one_line(error)) from error
        return cls(path, **facts, frame=None if page is None else page.number)

    @classmethod
    def pages(cls, path: Path, axis: int | None) -> int:
        """How many frames a file has; raises as `opened` does."""
        refuse_axis(axis, "frames")
        return _header(path)[1]

    @property
    def depth(self) -> int:
        """Bits of a value as `values` gives it unless it is told: a window leaves 8."""
        return self.bits if self.window is None else 8

    def rescaled(self) -> np.ndarray:
        """(H, W) in the unit of its rescale slope and intercept, such as Hounsfield units, without a
        window; or RGB (H, W, 3).
        """
        pixels = self._decoded()
        return pixels * self.slope + self.intercept if self.mode in _GREY else pixels

    def values(self, depth: int | None = None, *, kept: int = 8) -> tuple[np.ndarray, int]:
        """Unsigned (H, W), 0 black, or (H, W, 3) RGB, and the bits that hold them.

        A window gives as many bits as are kept. Without one the stored values keep their `bits`, or
        `depth` where that is fewer; signed ones are counted from the lowest.
        """
        pixels, bits = self._decoded(), min(self.bits, depth or self.bits)
        if self.mode not in _GREY:
            return pixels, bits
        if self.window is not None:
            shares = self.window.brightness(pixels * self.slope + self.intercept)
            values, bits = np.rint(shares * (2**kept - 1)).astype(np.int32), kept
            turned = False
        else:
            values = pixels.astype(np.int32) + (2 ** (bits - 1) if self.signed else 0)
            turned = self.slope < 0
        if turned != (self.mode == "MONOCHROME1"):
            values = 2**bits - 1 - values
        return values, bits

    def _decoded(self) -> np.ndarray:
        """The stored values, (H, W) or RGB (H, W, 3)."""
        dicom, others = _pydicom(), ""
        try:
            several = self.frame is not None
            dataset = dicom.dcmread(self.path, stop_before_pixels=several)
            others = self._other_decoders(dicom, dataset.file_meta.TransferSyntaxUID)
            source = self.path if several else dataset  # of a path the one frame is read alone
            pixels = dicom.pixels.pixel_array(source, index=self.frame)  # YBR becomes RGB
        except InputFault:
            raise
        except _damage(dicom) as error:
            raise InputFault(
                f"{self.path} is damaged: {in_one_line(error)}; download it again{others}"
            ) from error
        expected = self.size if self.mode in _GREY else (*self.size, 3)
        if pixels.shape != expected:
            raise InputFault(
                f"{self.path} is damaged: pixels of the shape {pixels.shape}, and its header says "
                f"{expected}; download it again"
            )
        return pixels

    def _other_decoders(self, dicom: ModuleType, syntax: "UID") -> str:
        """What else may decode a compression, as the end of a sentence; InputFault where no installed
        package does.
        """
        try:
            decoder = dicom.pixels.get_decoder(syntax)
        except NotImplementedError:
            raise InputFault(
                f"{self.path} is compressed as {syntax.name!r}, which pydicom does not decode; save it "
                "uncompressed"
            ) from None
        ways = "; ".join(decoder.missing_dependencies)
        if decoder.is_available:
            return f", or, where that does not help, install one of: {ways}" if ways else ""
        raise InputFault(
            f"{self.path} is compressed as {syntax.name}; save it uncompressed, or install what decodes "
            f"it, one of: {ways}"
        )


def _pydicom() -> ModuleType:
    try:
        import pydicom
        import pydicom.errors
        import pydicom.pixels
    except ImportError as error:
        raise InputFault(
            "images that end in .dcm need pydicom: python -m pip install 'podium[dicom]'"
        ) from error
    # What it warns of is either harmless or a fault that is told once.
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _damage(dicom: ModuleType) -> tuple[type[Exception], ...]:
    """What pydicom raises where bytes are not what they should be."""
    return (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
        dicom.errors.BytesLengthException,
        dicom.errors.InvalidDicomError,
    )


def dicom_spacing(path: Path) -> tuple[float, float] | None:
    """mm between rows and between columns, as the header has them (of a projection at the detector);
    None where it does not say. Raises as `DicomImage.opened`.
    """
    header, _ = _header(path)
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        told = header.get(name)
        if told is not None and len(told) == 2 and all(0 < float(side) < math.inf for side in told):
            return float(told[0]), float(told[1])
    return None


def _header(path: Path) -> tuple["Dataset", int]:
    """What a file says before its pixels, and its number of frames; see `DicomImage.opened`."""
    dicom = _pydicom()
    try:
        header = dicom.dcmread(path, stop_before_pixels=True)
        return header, int(header.get("NumberOfFrames") or 1)
    except FileNotFoundError:
        raise
    except dicom.errors.InvalidDicomError:
        raise ValueError("it does not begin as DICOM does") from None
    except _damage(dicom) as error:
        raise ValueError(in_one_line(error)) from error


def _facts(header: "Dataset") -> dict[str, Any]:
    """The fields of a `DicomImage`; ValueError for what is missing or is not read."""
    if "ModalityLUTSequence" in header:
        raise ValueError("its values stand for those of a table (Modality LUT), which is not read")
    mode = str(_required(header, "PhotometricInterpretation"))
    if mode not in (*_GREY, *_COLOURS):
        raise ValueError(f"its pixels are {mode}; expected {', '.join((*_GREY, *_COLOURS))}")
    size = int(_required(header, "Rows")), int(_required(header, "Columns"))
    if not all(size):
        raise ValueError(f"it has {size[0]} × {size[1]} pixels")
    bits = int(_required(header, "BitsStored"))
    if not 8 <= bits <= 16:
        raise ValueError(f"its values have {bits} bits; expected 8 to 16")
    slope = _number(header, "RescaleSlope")
    if slope == 0:
        raise ValueError("its RescaleSlope is 0")
    return {
        "size": size,
        "mode": mode,
        "bits": bits,
        "signed": bool(_required(header, "PixelRepresentation")),
        "slope": 1.0 if slope is None else slope,
        "intercept": _number(header, "RescaleIntercept") or 0.0,
        "window": _window(header),
    }


def _required(header: "Dataset", name: str) -> Any:
    value = header.get(name)
    if value is None:
        raise ValueError(f"its header has no {name}; is it cut off?")
    return value


def _window(header: "Dataset") -> Window | None:
    """The first window of a file that has one: a centre and a width."""
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if centre is None or width is None:
        return None
    shape = str(header.get("VOILUTFunction") or "LINEAR")
    if shape not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"its VOILUTFunction is {shape}; expected LINEAR, LINEAR_EXACT or SIGMOID")
    if width < 1 if shape == "LINEAR" else width <= 0:
        raise ValueError(f"its WindowWidth is {width:g}")
    return Window(centre, width, shape)


def _number(header: "Dataset", name: str) -> float | None:
    """The value, of several the first; None where there is none."""
    value = header.get(name)
    if isinstance(value, MutableSequence):
        value = value[0] if value else None
    if value is None:
        return None
    if not math.isfinite(value):
        raise ValueError(f"its {name} is {value}")
    return float(value)
