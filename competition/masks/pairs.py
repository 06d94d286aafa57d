"""The start-length pairs of many texts at once, checked: the fast half of the strict grammar.

`grammar.py` is the other half: it words the fault of a row that is marked here. Both must agree on
which texts are legal, and a property test holds them to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from competition.masks.formats import RleFormat
from competition.masks.integers import read_integers


@dataclass(frozen=True)
class Pairs:
    """Runs of n texts in the pixel order of the text; a faulty row has none.

    starts, stops: int64, half-open, counted from the first pixel of the row's own mask, ascending
    within a row and never touching. rows: int64, the text each run is from. faulty: bool (n,).
    """

    starts: np.ndarray
    stops: np.ndarray
    rows: np.ndarray
    faulty: np.ndarray


def read_pairs(texts: Sequence[str], areas: np.ndarray, format: RleFormat) -> Pairs:
    """Pairs of every legal text; areas int64 (n,) is the number of pixels of each mask."""
    texts = [text if isinstance(text, str) else "?" for text in texts]
    numbers = read_integers(texts)
    empty = np.fromiter((text.strip(" ") == format.empty for text in texts), bool, len(texts))
    paired = numbers.plain & (numbers.counts > 0) & (numbers.counts % 2 == 0) & ~empty
    values = numbers.values[np.repeat(paired, numbers.counts)]
    rows = np.repeat(np.arange(len(texts)), np.where(paired, numbers.counts // 2, 0))
    limits = areas[rows]
    # A number past the end is a fault already; clipped, it cannot overflow a running sum.
    firsts = np.minimum(values[0::2], limits + 1)
    lengths = np.minimum(values[1::2], limits + 1)
    same_row = rows[1:] == rows[:-1]
    starts = _starts_of_gaps(firsts, lengths, rows) if format.relative else firsts - format.base
    stops = starts + lengths
    bad = (starts < 0) | (lengths < 1) | (stops > limits)
    bad[1:] |= same_row & (starts[1:] < stops[:-1])
    faulty = ~(paired | empty)
    faulty[rows[bad]] = True
    touching = same_row & (starts[1:] == stops[:-1])
    legal = ~faulty[rows]
    opens, closes = legal.copy(), legal
    opens[1:] &= ~touching
    closes[:-1] &= ~touching
    return Pairs(starts[opens], stops[closes], rows[opens], faulty)


def _starts_of_gaps(gaps: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Starts within each row, from the gap before each run: all int64 (n,)."""
    ends = np.cumsum(gaps + lengths)
    new_row = np.ones(rows.size, bool)
    new_row[1:] = rows[1:] != rows[:-1]
    before = (ends - gaps - lengths)[new_row]
    return (
        ends - lengths - np.repeat(before, np.diff(np.append(np.flatnonzero(new_row), rows.size)))
    )
