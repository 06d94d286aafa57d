"""The run-length text of a competition ↔ `Runs`. Nothing else in the package knows about the text.

A text is "start length start length …"; `RleFormat` says what a start counts. Reading is strict.
A text holds numbers of ASCII digits parted by plain spaces (leading, trailing and repeated spaces
are let through: the files of competitions have them), or is the format's empty token. Refused are
odd counts, starts before the first or past the last pixel, lengths below 1, runs past the end,
overlaps, and absolute starts that go down. Runs that touch are read as one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np

from competition.errors import InputFault, listed
from competition.masks.geometry import transpose
from competition.masks.rle_formats import RleFormat
from competition.masks.rle_parsing import Pairs, first_fault, read_pairs, write_integers
from competition.masks.runs import Runs

# So many rows at a time, and fewer where their texts are long: the memory of a call stays flat.
CHUNK_ROWS = 1 << 14
CHUNK_CHARACTERS = 1 << 22

Size = tuple[int, int]


def encode(runs: Runs, format: RleFormat) -> str | list[str]:
    """Text of a mask over (H, W), or the K texts of a stack over (K, H, W).

    >>> encode(Runs.from_dense(np.array([[0, 1, 1], [1, 0, 0]])), RleFormat("rows"))
    '2 3'
    """
    texts = encode_classes(runs, format)
    return texts if len(runs.shape) == 3 else texts[0]


def encode_classes(runs: Runs, format: RleFormat) -> list[str]:
    """The K texts of a stack over (K, H, W); the one of a mask over (H, W)."""
    ordered = transpose(runs) if format.order == "columns" else runs
    area = runs.height * runs.width
    rows = ordered.starts // area
    starts = ordered.starts - rows * area
    lengths = ordered.stops - ordered.starts
    if format.relative:
        firsts = starts.copy()
        same_row = rows[1:] == rows[:-1]
        firsts[1:][same_row] -= (starts + lengths)[:-1][same_row]
    else:
        firsts = starts + format.base
    values = np.stack([firsts, lengths], axis=1).reshape(-1)
    counts = 2 * np.bincount(rows, minlength=runs.classes)
    return write_integers(values, counts, empty=format.empty)


def decode(text: str | Sequence[str], shape: tuple[int, ...], format: RleFormat) -> Runs:
    """Runs of one text over (H, W), or of K texts over (K, H, W); InputFault names the bad pair.

    >>> decode("2 3", (2, 3), RleFormat("rows")).to_dense().astype(int)
    array([[0, 1, 1],
           [1, 0, 0]])
    """
    # What is no text, such as pandas' NaN, is for `read_pairs` to refuse.
    texts = cast("Sequence[str]", [text] if len(shape) == 2 else text)
    if len(shape) == 3 and (isinstance(text, str) or len(texts) != shape[0]):
        raise InputFault(f"a stack of shape {shape} is {shape[0]} texts, found {text!r:.200}")
    height, width = shape[-2:]
    area = height * width
    pairs = read_pairs(texts, np.full(len(texts), area), format)
    faults = [
        f"text {row + 1} of {len(texts)}: {first_fault(texts[row], area, format)}"
        for row in np.flatnonzero(pairs.faulty).tolist()
    ]
    if faults:
        raise InputFault(listed(faults))
    return _placed(pairs.starts, pairs.stops, pairs.rows, tuple(shape), format)


def encode_rows(masks: Sequence[Runs], format: RleFormat) -> list[str]:
    """One text for each mask over (H, W), of any sizes; a million small ones take seconds.

    >>> masks = [Runs.full((2, 2)), Runs.empty((3, 1)), Runs.full((3, 1))]
    >>> encode_rows(masks, RleFormat("columns", empty="-"))
    ['1 4', '-', '1 3']
    """
    texts = [""] * len(masks)
    for first in range(0, len(masks), CHUNK_ROWS):
        chunk = masks[first : first + CHUNK_ROWS]
        for members in _by_shape([mask.shape for mask in chunk]).values():
            stack = Runs.stack([chunk[member] for member in members])
            for member, text in zip(members, encode_classes(stack, format), strict=True):
                texts[first + member] = text
    return texts


def decode_rows(
    texts: Sequence[str],
    shapes: Size | Sequence[Size],
    format: RleFormat,
    *,
    label: Callable[[int], str] | None = None,
) -> list[Runs]:
    """A mask over (H, W) for each text; `shapes` is one size for all, or a size for each.

    All faulty texts are found before InputFault lists them, each under `label(row)`, for example
    "train.csv line 7, image 'a.png', class 'Radius'"; rows count from 0.
    """
    masks: dict[int, Runs] = {}
    for rows, stack in decode_stacks(texts, shapes, format, label=label):
        masks.update(zip(rows.tolist(), _unstacked(stack), strict=True))
    return [masks[row] for row in range(len(texts))]


def decode_stacks(
    texts: Sequence[str],
    shapes: Size | Sequence[Size],
    format: RleFormat,
    *,
    label: Callable[[int], str] | None = None,
) -> Iterator[tuple[np.ndarray, Runs]]:
    """`decode_rows` without an object for each row: (rows (n,), their masks (n, H, W)), and so on.

    A stack for each size among some thousand rows. No stack follows a faulty text, and InputFault
    comes at the end.
    """
    faults: list[str] = []
    for chunk in _chunks(texts, shapes, format):
        faults += _faults(chunk, format, label)
        if not faults:
            yield from _stacks(chunk, format)
    if faults:
        raise InputFault(listed(faults))


def row_faults(
    texts: Sequence[str],
    shapes: Size | Sequence[Size],
    format: RleFormat,
    *,
    label: Callable[[int], str] | None = None,
) -> list[str]:
    """One line for every text that is not legal; builds no masks, so it suits a whole csv.

    >>> row_faults(["1 4", "5 1", "1 2 3"], (2, 2), RleFormat("rows"))
    ["text 2: pair 1 '5 1' starts outside the mask: a start here is 1 to 4",
     "text 3: 3 numbers: the last, '3', has no partner; the text may have been cut"]
    """
    return [
        fault for chunk in _chunks(texts, shapes, format) for fault in _faults(chunk, format, label)
    ]


@dataclass(frozen=True)
class _Chunk:
    """Some rows of a column, read: `first` is the number of the first of them."""

    first: int
    texts: Sequence[str]
    shapes: Sequence[Size]
    pairs: Pairs


def _chunks(
    texts: Sequence[str], shapes: Size | Sequence[Size], format: RleFormat
) -> Iterator[_Chunk]:
    shapes = sizes_of_rows(shapes, len(texts))
    if len(shapes) != len(texts):
        raise InputFault(f"{len(texts)} texts and {len(shapes)} mask sizes do not belong together")
    first = 0
    while first < len(texts):
        last, characters = first, 0
        while last < len(texts) and last - first < CHUNK_ROWS and characters < CHUNK_CHARACTERS:
            characters += len(texts[last]) if isinstance(texts[last], str) else 0
            last += 1
        rows, sizes = texts[first:last], shapes[first:last]
        areas = np.fromiter((h * w for h, w in sizes), np.int64, last - first)
        yield _Chunk(first, rows, sizes, read_pairs(rows, areas, format))
        first = last


def sizes_of_rows(shapes: Size | Sequence[Size], count: int) -> Sequence[Size]:
    """The sizes as they are given for each row, or the one size for all `count` rows."""
    if isinstance(shapes, tuple) and len(shapes) == 2 and not isinstance(shapes[0], tuple):
        return [shapes] * count
    return shapes


def _faults(chunk: _Chunk, format: RleFormat, label: Callable[[int], str] | None) -> list[str]:
    lines = []
    for row in np.flatnonzero(chunk.pairs.faulty).tolist():
        height, width = chunk.shapes[row]
        name = label(chunk.first + row) if label else f"text {chunk.first + row + 1}"
        lines.append(f"{name}: {first_fault(chunk.texts[row], height * width, format)}")
    return lines


def _stacks(chunk: _Chunk, format: RleFormat) -> Iterator[tuple[np.ndarray, Runs]]:
    """The masks of a chunk without faults, a stack for each size, with the numbers of its rows."""
    pairs = chunk.pairs
    groups = [(shape, np.array(members)) for shape, members in _by_shape(chunk.shapes).items()]
    group_of_row = np.empty(len(chunk.texts), np.int64)
    place_of_row = np.empty(len(chunk.texts), np.int64)
    for number, (_, members) in enumerate(groups):
        group_of_row[members] = number
        place_of_row[members] = np.arange(len(members))
    order = np.argsort(group_of_row[pairs.rows], kind="stable")
    bounds = np.searchsorted(group_of_row[pairs.rows][order], np.arange(len(groups) + 1))
    for (shape, members), (begin, end) in zip(groups, pairwise(bounds), strict=True):
        own = order[begin:end]
        rows = place_of_row[pairs.rows[own]]
        shape = (len(members), *shape)
        stack = _placed(pairs.starts[own], pairs.stops[own], rows, shape, format)
        yield chunk.first + members, stack


def _placed(
    starts: np.ndarray,
    stops: np.ndarray,
    rows: np.ndarray,
    shape: tuple[int, ...],
    format: RleFormat,
) -> Runs:
    """Pairs as runs over `shape`, (H, W) or (n, H, W) with n the number of rows."""
    height, width = shape[-2:]
    before = rows * (height * width)
    if format.order == "rows":
        return Runs.trusted(starts + before, stops + before, shape)
    across = Runs.trusted(starts + before, stops + before, (*shape[:-2], width, height))
    return transpose(across)


def _by_shape(shapes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, shape in enumerate(shapes):
        groups.setdefault(tuple(shape), []).append(row)
    return groups


def _unstacked(stack: Runs) -> list[Runs]:
    """The masks of a stack; slices of one pair of arrays, about a microsecond each."""
    count, height, width = stack.shape
    area = height * width
    bounds = np.searchsorted(stack.starts, np.arange(count + 1) * area).tolist()
    before = stack.starts // area * area
    starts, stops = stack.starts - before, stack.stops - before
    return [
        Runs.trusted(starts[begin:end], stops[begin:end], (height, width))
        for begin, end in pairwise(bounds)
    ]
