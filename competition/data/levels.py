"""What files hold becomes what is kept of it: as many channels, and values from black to white."""

from pathlib import Path

import numpy as np

from competition.data.pages import PAGES_KEY
from competition.errors import InputFault
from competition.spec import PixelForm

RGB = PixelForm()
"""Three channels of 8 bits: what is kept unless a competition file says otherwise."""


def declared_bits(dtype: np.dtype) -> int:
    """Bits of a value as `counted` gives those of an array unless it is told."""
    return 16 if dtype.name == "uint16" else 8


def counted(values: np.ndarray, depth: int | None = None) -> tuple[np.ndarray, int | None]:
    """Stored values of any shape as `kept` takes them, and the bits that hold them: 8, or `depth` of
    uint16; None of decimals, of signed numbers and of those of 32 bits and more.
    """
    if values.dtype.name == "uint8":
        return values, 8
    if values.dtype.name == "uint16":
        return values.astype(np.int32), depth or 16
    return (values.astype(np.int64) if values.dtype.kind == "u" else values), None


def kept(values: np.ndarray, bits: int | None, form: PixelForm, path: Path) -> np.ndarray:
    """uint8 or uint16 (H, W, C) as `form` says, of the values (H, W) or (H, W, n) of a file.

    bits: of values that are counts 0…2**bits - 1; None: nothing says which of them is black and which
    is white (decimals, signed numbers), so that `form.range` must, or they are shares of white, 0…1.
    With a range values are clipped to it; without one, counts keep their high bits, or are spread
    where more bits are kept than there are. InputFault for another number of channels and for values
    that do not fit.
    """
    values = _of_channels(values, form.channels, path)
    if form.range:
        return _between(values, form, path)
    if bits is None:
        return _shares_of_white(values, form, path)
    dtype = np.dtype(f"uint{form.bits}")
    if values.dtype == dtype and bits == form.bits:
        return np.array(values)  # every value fits
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**bits:
        raise InputFault(
            f"{path} has values {low}…{high}; {bits} bits hold 0…{2**bits - 1}: check depth in [data]"
        )
    if bits >= form.bits or form.bits == 8:
        return (values >> max(bits - form.bits, 0)).astype(dtype)
    return np.rint(values.astype(np.float64) * (form.white / (2**bits - 1))).astype(dtype)


def pictured(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3), for eyes, of uint8 or uint16 (H, W, C): the first three channels, or the first
    one as grey where there are fewer; of 16 bits the high eight.
    """
    shown = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    shown = (shown >> 8).astype(np.uint8) if shown.dtype == np.uint16 else shown
    return np.ascontiguousarray(shown)


def _of_channels(values: np.ndarray, channels: int, path: Path) -> np.ndarray:
    """(H, W, C); grey is repeated for three channels, three equal ones are one."""
    found = 1 if values.ndim == 2 else values.shape[2]
    if values.ndim == 2:
        values = values[..., None]
    if found == channels:
        return values
    if (found, channels) == (1, 3):
        return np.broadcast_to(values, (*values.shape[:2], 3))
    if (found, channels) == (3, 1):
        if (values == values[..., :1]).all():
            return values[..., :1]
        raise InputFault(
            f"{path} is a colour image; one channel (channels = 1 in [data], and each of bands) is for "
            "grey ones"
        )
    count = "1 channel" if found == 1 else f"{found} channels"
    slices = f"; where they are slices, {PAGES_KEY}" if path.suffix == ".npy" else ""
    raise InputFault(f"{path} has {count}, expected {channels}: check channels in [data]{slices}")


def _between(values: np.ndarray, form: PixelForm, path: Path) -> np.ndarray:
    """`form.range` says which values are black and white; what lies beyond is clipped."""
    values = values.astype(np.float64)
    _refuse_nan(values, path)
    low, high = np.array(form.range).T  # one of all channels, or one for each
    shares = np.clip((values - low) / (high - low), 0, 1)
    return np.rint(shares * form.white).astype(f"uint{form.bits}")


def _shares_of_white(values: np.ndarray, form: PixelForm, path: Path) -> np.ndarray:
    low, high = values.min(), values.max()
    if values.dtype.kind != "f":
        raise InputFault(
            f"{path} has signed values {low}…{high}: nothing says which of them is black and which is "
            "white; set range = [black, white] in [data]"
        )
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise InputFault(
            f"{path} has decimals {low:g}…{high:g}; expected 0…1: nothing says which of them is black "
            "and which is white; set range = [black, white] in [data]"
        )
    return np.rint(values.astype(np.float64) * form.white).astype(f"uint{form.bits}")


def _refuse_nan(values: np.ndarray, path: Path) -> None:
    strange = int(np.isnan(values).sum())
    if strange:
        raise InputFault(
            f"{path} has {strange} values that are no number (NaN); range in [data] places numbers "
            "alone: write others in their place, such as black"
        )
