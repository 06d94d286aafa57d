"""Many classes in few channels: class k is bit k % 8 of uint8 plane k // 8.

29 classes ride through augmentation as 4 channels: geometry is applied once, not 29 times.
"""

from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from competition.errors import InputFault
from competition.masks.dense import painted
from competition.masks.geometry import resize_area, resize_nearest
from competition.masks.intervals import levels
from competition.masks.runs import Runs

if TYPE_CHECKING:
    import torch

_BITS = 8


def planes_from_runs(
    runs: Runs, size: tuple[int, int] | None = None, mode: Literal["area", "nearest"] = "area"
) -> np.ndarray:
    """uint8 planes (ceil(K / 8), h, w) at `size` (h, w), by default the size of the mask.

    `mode`: "area" sets a pixel where the class covers at least half of it, "nearest" takes the source
    pixel under its centre; see `resize_area` and `resize_nearest`.

    >>> planes_from_runs(Runs.from_label_map(np.array([[0, 1, 9]]), 9))
    array([[[0, 1, 0]],
           [[0, 0, 1]]], dtype=uint8)
    """
    if mode not in ("area", "nearest"):
        raise InputFault(f"mode {mode!r}; expected 'area' or 'nearest'")
    if size is not None and tuple(size) != (runs.height, runs.width):
        runs = (resize_area if mode == "area" else resize_nearest)(runs, size)
    classes = runs.starts // runs.plane
    planes = classes // _BITS
    base = (planes - classes) * runs.plane
    bits = np.left_shift(1, classes - planes * _BITS)
    positions = np.concatenate([runs.starts + base, runs.stops + base])
    starts, stops, sums = levels(positions, np.concatenate([bits, -bits]))
    count = -(-runs.classes // _BITS)
    flat = painted(starts, stops, sums.astype(np.uint8), count * runs.plane)
    return flat.reshape(count, runs.height, runs.width)


@overload
def unpack(planes: np.ndarray, classes: int) -> np.ndarray: ...
@overload
def unpack(planes: "torch.Tensor", classes: int) -> "torch.Tensor": ...
def unpack(planes: "np.ndarray | torch.Tensor", classes: int) -> "np.ndarray | torch.Tensor":
    """uint8 planes (P, h, w) or (B, P, h, w) -> bool (K, h, w) or (B, K, h, w), on their device.

    >>> unpack(np.array([[[5]]], np.uint8), 3).ravel()
    array([ True, False,  True])
    """
    if planes.ndim not in (3, 4) or planes.shape[-3] != -(-classes // _BITS):
        raise InputFault(
            f"bit planes of shape {tuple(planes.shape)} for {classes} classes; "
            f"(…, {-(-classes // _BITS)}, height, width) is asked for"
        )
    numbers = np.arange(classes)
    if isinstance(planes, np.ndarray):
        bits = np.left_shift(1, numbers % _BITS).astype(np.uint8)
        return (planes[..., numbers // _BITS, :, :] & bits[:, None, None]) != 0
    import torch

    places = torch.from_numpy(numbers).to(planes.device)
    bits = torch.bitwise_left_shift(torch.ones_like(places), places % _BITS).to(torch.uint8)
    return (planes.index_select(-3, places // _BITS) & bits[:, None, None]) != 0
