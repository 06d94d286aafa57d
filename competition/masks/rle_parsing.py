"""Rows of text ↔ whole numbers, all rows in one pass: what makes a million-row csv cheap.

`int(token)` and `str(number)` cost about 100 ns each; here a number costs about 15 ns either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from competition.masks.rle_formats import RleFormat

MOST_DIGITS = 18  # 10**18 - 1 is the largest run of nines an int64 holds
_FOREIGN_TO_SPACE = bytes(c if chr(c) in "0123456789 \n" else 32 for c in range(256))


@dataclass(frozen=True)
class NumberRows:
    """Numbers of n texts: `values` int64 of all rows in turn, `counts` int64 (n,), `plain` bool (n,).

    A row is plain where it holds ASCII digits and spaces alone and no number over 18 digits;
    the values of a row that is not plain mean nothing.
    """

    values: np.ndarray
    counts: np.ndarray
    plain: np.ndarray


def read_integers(texts: Sequence[str]) -> NumberRows:
    """Numbers of every text; nothing is refused here, a row that is not plain is only marked.

    >>> rows = read_integers(["1 3 10 5", "", "7 +2"])
    >>> rows.counts.tolist(), rows.plain.tolist(), rows.values[:4].tolist()
    ([4, 0, 2], [True, True, False], [1, 3, 10, 5])
    """
    joined = "\n".join(["", *texts, ""])
    if joined.count("\n") != len(texts) + 1:
        joined = "\n".join(["", *(text.replace("\n", "?") for text in texts), ""])
    raw = joined.encode("ascii", "replace")
    characters = np.frombuffer(raw, np.uint8)
    digit = (characters - np.uint8(48)) < 10
    borders = np.flatnonzero(characters == 10)
    changes = np.flatnonzero(digit[1:] != digit[:-1]) + 1
    first, end = changes[0::2], changes[1::2]
    foreign = np.flatnonzero(~(digit | (characters == 32) | (characters == 10)))
    # fromstring in text mode: 15 ns a number, against 120 ns of a list of int().
    values = np.fromstring(raw.translate(_FOREIGN_TO_SPACE), np.int64, sep=" ")[: len(first)]
    too_long = end - first > MOST_DIGITS
    values[too_long] = 0
    plain = np.ones(len(texts), bool)
    plain[np.searchsorted(borders, foreign) - 1] = False
    plain[np.searchsorted(borders, first[too_long]) - 1] = False
    return NumberRows(values, np.diff(np.searchsorted(first, borders)), plain)


def write_integers(values: np.ndarray, counts: np.ndarray, *, empty: str = "") -> list[str]:
    """One text a row: values int64 (sum of counts,) ≥ 0, counts int (n,); `empty` where a count is 0.

    >>> write_integers(np.array([1, 3, 10, 5, 7, 2]), np.array([4, 0, 2]), empty="-")
    ['1 3 10 5', '-', '7 2']
    """
    texts = [empty] * len(counts)
    filled = np.flatnonzero(counts)
    if filled.size == 0:
        return texts
    largest = int(values.max())
    width = len(str(largest))
    rest = values.astype(np.uint32 if largest < 2**32 else np.uint64)
    characters = np.empty((width + 1, len(values)), np.uint8)
    shown = np.ones(characters.shape, bool)
    for place in range(width - 1, -1, -1):
        if place < width - 1:
            np.not_equal(rest, 0, out=shown[place])
        tens = rest // 10
        characters[place] = rest - tens * 10
        rest = tens
    characters[:width] += 48
    characters[width] = 32
    characters[width, np.cumsum(counts[filled]) - 1] = 10
    lines = characters.T[shown.T].tobytes().decode("ascii").split("\n")
    for row, line in zip(filled.tolist(), lines, strict=False):
        texts[row] = line
    return texts


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


def first_fault(text: object, area: int, form: RleFormat) -> str | None:
    """The first fault of a text for a mask of `area` pixels with the legal range; None if legal.

    >>> first_fault("1 4 3 2", 9, RleFormat("rows"))
    "pair 2 '3 2' overlaps the run before it: a start here is 5 to 9"
    >>> first_fault("1 4 6", 9, RleFormat("rows"))
    "3 numbers: the last, '6', has no partner; the text may have been cut"
    """
    if not isinstance(text, str):
        return f"{text!r} is not text: read the file with dtype=str and keep_default_na=False"
    if text.strip(" ") == form.empty:
        return None
    tokens = [token for token in text.split(" ") if token]
    if not tokens:
        return f"no numbers; an empty mask is written {form.empty!r} here"
    for position, token in enumerate(tokens):
        if not (token.isascii() and token.isdigit()):
            return (
                f"token {position + 1}, {token!r} in pair {position // 2 + 1}, is not a number of "
                "the digits 0 to 9 parted by plain spaces"
            )
        if len(token) > MOST_DIGITS:
            return (
                f"token {position + 1}, {token!r} in pair {position // 2 + 1}, has {len(token)} "
                f"digits, and the mask {area} pixels"
            )
    if len(tokens) % 2:
        return (
            f"{len(tokens)} numbers: the last, {tokens[-1]!r}, has no partner; "
            "the text may have been cut"
        )
    walk = _fault_of_gaps if form.relative else _fault_of_starts
    return walk(list(zip(tokens[0::2], tokens[1::2], strict=True)), area, form)


def _fault_of_starts(pairs: list[tuple[str, str]], area: int, form: RleFormat) -> str | None:
    first, last = form.base, form.base + area - 1
    lowest, previous = first, first
    for index, (start_token, length_token) in enumerate(pairs):
        start, length = int(start_token), int(length_token)
        pair = f"pair {index + 1} '{start_token} {length_token}'"
        if not first <= start <= last:
            return f"{pair} starts outside the mask: a start here is {_span(lowest, last)}"
        if start < previous:
            return (
                f"{pair} starts before the pair it follows: a start here is {_span(lowest, last)}; "
                "starts that go down are those of relative text"
            )
        if start < lowest:
            return f"{pair} overlaps the run before it: a start here is {_span(lowest, last)}"
        if not 1 <= length <= last - start + 1:
            return f"{pair}: the length of this run is {_span(1, last - start + 1)}"
        lowest, previous = start + length, start
    return None


def _fault_of_gaps(pairs: list[tuple[str, str]], area: int, form: RleFormat) -> str | None:
    end = 0
    for index, (gap_token, length_token) in enumerate(pairs):
        gap, length = int(gap_token), int(length_token)
        pair = f"pair {index + 1} '{gap_token} {length_token}'"
        if end + gap >= area:
            return (
                f"{pair} starts at pixel {end + gap} of {area}: a gap here is "
                f"{_span(0, area - end - 1)}"
            )
        if not 1 <= length <= area - end - gap:
            return f"{pair}: the length of this run is {_span(1, area - end - gap)}"
        end += gap + length
    return None


def _span(low: int, high: int) -> str:
    return f"{low} to {high}" if low <= high else "no number, since the mask ended before"
