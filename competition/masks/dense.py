"""Dense pixels to intervals and back; called through `Runs`, and knows only bare arrays.

Reading (29, 2048, 2048) is bound by memory: one pass over its 122 MB (4 ms) finds the pages that hold
anything; those alone are read again, in blocks that stay in the processor's cache. Nothing of the size
of the input is made.
"""

from collections.abc import Iterator

import numpy as np

from competition.errors import InputFault

Intervals = tuple[np.ndarray, np.ndarray]
"""Starts and stops, int64: half-open, sorted; see `intervals.py`."""

_PAGE = 1 << 12  # elements
_GAP = 16  # pages: fewer empty ones are sooner read than jumped over
_BLOCK = 64  # pages: 256 KiB of bool, in the second-level cache; half and double measured slower
_PIXELS_PER_RUN = 32  # with fewer, work by the pixel is faster (measured)
WORD = 8
_SHORT = 1 << 15
_CROWDED = 4  # one word in four with an edge: looking at every pixel is faster


def intervals_from_dense(array: np.ndarray) -> Intervals:
    """Canonical intervals of the nonzero elements of a number array (H, W) or (K, H, W)."""
    plane = array.shape[-2] * array.shape[-1]
    flat = np.ascontiguousarray(array).ravel()
    starts, stops = _flat_intervals(flat)
    borders = np.arange(plane, flat.size, plane, dtype=np.int64)
    crossed = borders[(flat[borders - 1] != 0) & (flat[borders] != 0)]
    if len(crossed):
        starts = np.sort(np.concatenate([starts, crossed]))
        stops = np.sort(np.concatenate([stops, crossed]))
    return starts, stops


def _flat_intervals(flat: np.ndarray) -> Intervals:
    """Maximal stretches of nonzero elements of a flat array, wherever classes end."""
    starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    steps = np.zeros(_BLOCK * _PAGE, np.uint8)
    before, end = 0, 0
    for first, beyond in _blocks(flat):
        if before and first > end:
            stops.append(np.array([end]))
            before = 0
        pixels = _inside(flat[first:beyond]).view(np.uint8)
        used = steps[: len(pixels) + -len(pixels) % WORD]
        np.bitwise_xor(pixels[1:], pixels[:-1], out=used[1 : len(pixels)])
        used[0] = pixels[0] ^ before
        used[len(pixels) :] = 0
        edges = true_offsets(used.view(bool))
        starts.append(edges[before::2] + first)
        stops.append(edges[1 - before :: 2] + first)
        before, end = int(pixels[-1]), beyond
    if before:
        stops.append(np.array([end]))
    return np.concatenate(starts), np.concatenate(stops)


def _blocks(flat: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ascending pieces [first, beyond) of a flat array, out of which every element is zero."""
    if 0 < flat.size <= _BLOCK * _PAGE:
        yield 0, flat.size
        return
    whole = flat.size // _PAGE
    pages = flat[: whole * _PAGE].view(np.uint8).reshape(whole, _PAGE * flat.itemsize)
    held = np.append(np.bitwise_or.reduce(pages, axis=1), flat.size > whole * _PAGE)
    live = np.flatnonzero(held)
    opens = np.diff(live, prepend=-_GAP - 1) > _GAP
    closes = np.append(opens[1:], True)[: len(live)]
    for first, last in zip(live[opens].tolist(), live[closes].tolist(), strict=True):
        for page in range(first, last + 1, _BLOCK):
            yield page * _PAGE, min(min(page + _BLOCK, last + 1) * _PAGE, flat.size)


def _inside(values: np.ndarray) -> np.ndarray:
    """Which elements of a block count as inside; NaN is neither and refused."""
    if values.dtype == bool:
        return values
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise InputFault("a mask holds NaN, which is neither inside nor outside")
    return values != 0


def true_offsets(steps: np.ndarray) -> np.ndarray:
    """np.flatnonzero of a bool array of whole words, by words where few of them hold anything."""
    words = steps.view(np.uint64)
    held = np.flatnonzero(words != 0)
    if len(held) * _CROWDED > len(words):
        return np.flatnonzero(steps)
    offsets = np.flatnonzero(words[held].view(bool))
    return held[offsets // WORD] * WORD + offsets % WORD


def crowded(runs: int, pixels: int) -> bool:
    """Whether so many runs lie in so many pixels that work on pixels is less work."""
    return runs * _PIXELS_PER_RUN > pixels


def dense_from_intervals(starts: np.ndarray, stops: np.ndarray, size: int) -> np.ndarray:
    """Bool array (size,), True inside the canonical intervals."""
    if not crowded(len(starts), size):
        return painted(starts, stops, np.ones(len(starts), bool), size)
    depth = np.zeros(size + 1, np.int8)
    depth[starts] = 1
    depth[stops] -= 1  # 0 where one class ends and the next begins: still inside
    return np.cumsum(depth, dtype=np.int8, out=depth)[:-1].view(bool)


def painted(starts: np.ndarray, stops: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Flat array (size,) of the values' dtype: values[i] on [starts[i], stops[i]), 0 elsewhere.

    The intervals are sorted and do not overlap.
    """
    lengths = np.empty(2 * len(starts) + 1, np.int64)
    lengths[1::2] = stops - starts
    lengths[2:-1:2] = starts[1:] - stops[:-1]
    lengths[0] = starts[0] if len(starts) else size
    lengths[-1] = size - stops[-1] if len(starts) else size
    colours = np.zeros(len(lengths), values.dtype)
    colours[1::2] = values
    return np.repeat(colours, lengths)


def intervals_from_labels(labels: np.ndarray, classes: int) -> Intervals:
    """Canonical intervals over (classes, H, W) of integer labels (H, W): 0 background, k + 1 class k.

    One pass finds the stretches of one value, whatever the number of classes; a stable sort of the
    stretches by value brings the classes together.
    """
    flat = np.ascontiguousarray(labels).ravel()
    steps = np.zeros(flat.size + -flat.size % WORD, bool)
    np.not_equal(flat[1:], flat[:-1], out=steps[1 : flat.size])
    changes = true_offsets(steps)
    edges = np.concatenate([np.zeros(1, np.int64), changes, np.array([flat.size])])
    values = flat[edges[:-1]]
    if int(values.min()) < 0 or int(values.max()) > classes:
        found = np.unique(values[(values < 0) | (values > classes)])[:10].tolist()
        raise InputFault(f"a label map holds {found!r}; values must be ≥ 0 and ≤ {classes}")
    values = values.astype(np.int16 if classes < _SHORT else np.int64)  # short: sorted by radix
    order = np.argsort(values, kind="stable")[np.count_nonzero(values == 0) :]
    starts = edges[order]
    order += 1
    stops = edges[order]
    members = np.bincount(values, minlength=classes + 1)[1:]
    base = np.repeat(np.arange(classes) * flat.size, members)
    starts += base
    stops += base
    return starts, stops
