"""Masks as counts: pixels outside, then inside, then outside … in turn, as COCO and CVAT have them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from competition.errors import InputFault
from competition.masks.geometry import transpose
from competition.masks.runs import Runs

_BITS = 5
_MORE, _SIGN = 1 << _BITS, 1 << (_BITS - 1)
_FIRST, _BEYOND = 48, 112
"""Signs of a compressed text: "0" to "o", 6 bits each."""
_LONGEST = 8
"""Signs of one number; no mask has one of more than 40 bits."""


def runs_from_counts(
    counts: Sequence[int] | np.ndarray, size: tuple[int, int], order: Literal["rows", "columns"]
) -> Runs:
    """Runs (H, W) of counts of pixels outside and inside in turn, the first of them outside.

    Pixels are counted along rows (CVAT) or along columns (COCO). InputFault unless they are whole
    numbers ≥ 0 that add up to H · W.

    >>> runs_from_counts([1, 2, 3], (2, 3), "columns").to_dense().astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    height, width = size
    lengths = _checked(counts, height * width)
    if lengths.sum() != height * width:
        raise InputFault(
            f"the counts add up to {lengths.sum()} pixels; {height} × {width} = {height * width} are "
            "expected"
        )
    ends = np.cumsum(lengths)
    starts, stops = ends[:-1:2], ends[1::2]
    held = starts < stops
    if order == "rows":
        return Runs.from_unsorted(starts[held], stops[held], size)
    return transpose(Runs.from_unsorted(starts[held], stops[held], (width, height)))


def counts_from_runs(runs: Runs, order: Literal["rows", "columns"]) -> list[int]:
    """Runs (H, W) as counts that `runs_from_counts` takes, without a last one of 0.

    >>> counts_from_runs(Runs.from_dense(np.array([[0, 1, 0], [1, 0, 0]])), "columns")
    [1, 2, 3]
    """
    if len(runs.shape) != 2:
        raise InputFault(f"counts of a mask of shape {runs.shape}; (height, width) is asked for")
    along = transpose(runs) if order == "columns" else runs
    ends = np.stack([along.starts, along.stops], axis=1).ravel()
    counts = np.diff(np.concatenate([[0], ends, [along.plane]])).tolist()
    return counts if counts[-1] else counts[:-1]


def _checked(counts: Sequence[int] | np.ndarray, pixels: int) -> np.ndarray:
    found: Any = np.asarray(counts) if len(counts) else np.empty(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputFault(f"the counts {str(counts)[:60]!r} are not a list of whole numbers")
    if len(found) and not (found.min() >= 0 and found.max() <= pixels):
        wrong = int(found.min() if found.min() < 0 else found.max())
        raise InputFault(f"the counts hold {wrong}; each must be ≥ 0 and ≤ {pixels}")
    return found.astype(np.int64)


def counts_from_text(text: str) -> np.ndarray:
    """int64 counts of COCO's compressed text; InputFault where it is none or was cut.

    Each number is written in signs of 6 bits, low ones first: 5 bits of the number, and whether more
    follow; its last sign's fifth bit is its sign. From the fourth number on it is the difference to
    the last but one before it.

    >>> counts_from_text("123O1")
    array([1, 2, 3, 1, 4])
    """
    try:
        signs = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
    except UnicodeEncodeError:
        signs = np.zeros(1, np.int64)
    if len(signs) and not (signs.min() >= _FIRST and signs.max() < _BEYOND):
        raise InputFault(f"the text {text[:40]!r} is no compressed counts: it holds other signs")
    signs -= _FIRST
    lasts = np.flatnonzero(signs < _MORE)
    if len(signs) and (not len(lasts) or lasts[-1] != len(signs) - 1):
        raise InputFault(f"the compressed counts end in the midst of a number, {text[-8:]!r}")
    firsts = np.concatenate([np.zeros(min(1, len(lasts)), np.int64), lasts[:-1] + 1])
    if len(lasts) and (lasts - firsts).max() >= _LONGEST:
        raise InputFault(f"the compressed counts hold a number of more than {_LONGEST} signs")
    return _summed(_numbers(signs, firsts, lasts))


def _numbers(signs: np.ndarray, firsts: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """The numbers that lie between these signs, int64."""
    if not len(lasts):
        return np.empty(0, np.int64)
    places = np.arange(len(signs)) - np.repeat(firsts, lasts - firsts + 1)
    numbers = np.add.reduceat((signs & (_MORE - 1)) << (_BITS * places), firsts)
    negative = (signs[lasts] & _SIGN) != 0
    return numbers - (negative.astype(np.int64) << (_BITS * (lasts - firsts + 1)))


def _summed(numbers: np.ndarray) -> np.ndarray:
    """Differences to the last but one added up; the first number of all stands alone."""
    counts = numbers.copy()
    counts[1::2] = np.cumsum(numbers[1::2])
    counts[2::2] = np.cumsum(numbers[2::2])
    return counts
