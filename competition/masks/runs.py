"""`Runs`: a mask as the sorted list of its stretches, the value that travels the whole pipeline."""

import hashlib
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from competition.errors import InputFault
from competition.masks import dense, intervals

Shape = tuple[int, ...]

_LARGEST = 2**62  # offsets leave a bit of int64 for sums


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Runs:
    """Half-open stretches [start, stop) of flat C-order offsets over (H, W) or (K, H, W).

    `starts` and `stops` are read-only int64 arrays (N,). They are canonical: sorted, never empty,
    runs of one class never touch or overlap, and no run crosses from one class into the next; a run
    may go on from the end of one pixel row to the beginning of the next. So two masks are equal
    exactly when their arrays are.

    >>> mask = Runs.from_dense(np.array([[0, 1, 1], [1, 0, 0]]))
    >>> mask
    Runs(1 run, 3 pixels, shape (2, 3))
    >>> mask.starts, mask.stops
    (array([1]), array([4]))
    >>> (~mask).to_dense().astype(int)
    array([[1, 0, 0],
           [0, 1, 1]])
    """

    starts: np.ndarray
    stops: np.ndarray
    shape: Shape

    # numpy would take the classes for a sequence: `mask | array` is an error.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        shape = _checked_shape(self.shape)
        starts, stops = _checked_offsets(self.starts, self.stops, shape)
        plane = shape[-2] * shape[-1]
        close = np.flatnonzero(starts[1:] <= stops[:-1])
        faulty = close[(starts[close + 1] < stops[close]) | (starts[close + 1] % plane != 0)]
        if len(faulty):
            first = int(faulty[0])
            pair = [(int(starts[i]), int(stops[i])) for i in (first, first + 1)]
            raise InputFault(
                f"runs {first} and {first + 1} are {pair!r}: runs must be sorted and apart; "
                "Runs.from_unsorted sorts and merges"
            )
        self._set(starts, stops, shape)

    def _set(self, starts: np.ndarray, stops: np.ndarray, shape: Shape) -> None:
        starts.flags.writeable = False
        stops.flags.writeable = False
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "stops", stops)
        object.__setattr__(self, "shape", shape)

    @classmethod
    def trusted(cls, starts: np.ndarray, stops: np.ndarray, shape: Shape) -> Self:
        """Runs of int64 arrays known to be canonical and written by nobody else; unchecked."""
        runs = object.__new__(cls)
        runs._set(starts, stops, shape)
        return runs

    @classmethod
    def from_unsorted(cls, starts: np.ndarray, stops: np.ndarray, shape: Shape) -> Self:
        """The union of runs in any order, touching and overlapping ones merged."""
        shape = _checked_shape(shape)
        starts, stops = _checked_offsets(starts, stops, shape)
        starts.sort()
        stops.sort()
        return cls.trusted(*intervals.covered(starts, stops, shape[-2] * shape[-1]), shape)

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        """No pixel of any class."""
        return cls.trusted(np.empty(0, np.int64), np.empty(0, np.int64), _checked_shape(shape))

    @classmethod
    def full(cls, shape: Shape) -> "Runs":
        """Every pixel of every class."""
        return ~cls.empty(shape)

    @classmethod
    def from_dense(cls, array: np.ndarray) -> "Runs":
        """Runs of the nonzero elements of a bool or number array (H, W) or (K, H, W), any layout."""
        array = np.asarray(array)
        shape = _checked_shape(array.shape)
        if array.dtype.kind not in "biuf":
            raise InputFault(f"a mask of {array.dtype} values; expected bool, integer or float")
        turned = array.swapaxes(-1, -2)
        if turned.flags.c_contiguous and not array.flags.c_contiguous:
            across = Runs.trusted(*dense.intervals_from_dense(turned), turned.shape)
            if not dense.crowded(len(across), array.size):
                return _transposed(across)
        return cls.trusted(*dense.intervals_from_dense(array), shape)

    @classmethod
    def from_label_map(cls, labels: np.ndarray, classes: int) -> Self:
        """Integer labels (H, W), 0 background and k + 1 class k -> Runs (classes, H, W).

        >>> Runs.from_label_map(np.array([[0, 2, 2]]), 2).to_dense().astype(int)
        array([[[0, 0, 0]],
               [[0, 1, 1]]])
        """
        labels = np.asarray(labels)
        if labels.ndim != 2 or labels.dtype.kind not in "biu":
            raise InputFault(
                f"a label map of shape {labels.shape} and type {labels.dtype}; "
                "integers of shape (height, width) are asked for"
            )
        shape = _checked_shape((classes, *labels.shape))
        return cls.trusted(*dense.intervals_from_labels(labels, classes), shape)

    @classmethod
    def stack(cls, masks: Sequence["Runs"]) -> Self:
        """Masks (H, W), or stacks (K, H, W), of one size -> one stack, in the order given."""
        sizes = sorted({mask.shape[-2:] for mask in masks})
        if len(sizes) != 1:
            raise InputFault(
                f"masks of sizes {sizes!r} cannot be stacked; "
                "one or more of a single size (height, width) can"
            )
        counts = np.array([mask.classes for mask in masks])
        base = (np.cumsum(counts) - counts) * math.prod(sizes[0])
        base = np.repeat(base, [len(mask) for mask in masks])
        starts = np.concatenate([mask.starts for mask in masks]) + base
        stops = np.concatenate([mask.stops for mask in masks]) + base
        return cls.trusted(starts, stops, (int(counts.sum()), *sizes[0]))

    def to_dense(self) -> np.ndarray:
        """Bool array of the shape."""
        flat = dense.dense_from_intervals(self.starts, self.stops, math.prod(self.shape))
        return flat.reshape(self.shape)

    @property
    def classes(self) -> int:
        """K of (K, H, W); 1 of (H, W)."""
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def height(self) -> int:
        """H, in pixels."""
        return self.shape[-2]

    @property
    def width(self) -> int:
        """W, in pixels."""
        return self.shape[-1]

    @property
    def plane(self) -> int:
        """Pixels of one class, H × W: class k has the offsets from k · plane on."""
        return self.shape[-2] * self.shape[-1]

    def class_bounds(self) -> np.ndarray:
        """int64 (K + 1,): the runs of class k are those from bounds[k] up to bounds[k + 1]."""
        edges = np.arange(self.classes + 1, dtype=np.int64) * self.plane
        return np.searchsorted(self.starts, edges)

    def segments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The runs cut at the row ends: (row, left, right), int64, in order.

        Rows count over all classes: class k has those from k · H on. `right` is exclusive.
        """
        return intervals.cut_at_planes(self.starts, self.stops, self.width)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator["Runs"]:
        return (self[index] for index in range(self.classes))

    def __getitem__(self, index: int) -> "Runs":
        """Class `index` alone, as (H, W)."""
        chosen = self.select([operator.index(index)])
        return Runs.trusted(chosen.starts, chosen.stops, self.shape[-2:])

    def select(self, indices: Sequence[int] | np.ndarray) -> "Runs":
        """The classes at `indices` as (len, H, W), in that order and as often as they are named."""
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (-self.classes <= chosen.min() and chosen.max() < self.classes):
            raise IndexError(f"classes {indices!r} of a mask with {self.classes} classes")
        chosen = chosen % max(self.classes, 1)
        bounds = self.class_bounds()
        counts = bounds[chosen + 1] - bounds[chosen]
        members = intervals.ranges(bounds[chosen], counts)
        base = np.repeat((np.arange(len(chosen)) - chosen) * self.plane, counts)
        shape = (len(chosen), *self.shape[-2:])
        return Runs.trusted(self.starts[members] + base, self.stops[members] + base, shape)

    def only(self, kept: np.ndarray) -> "Runs":
        """The same with the classes emptied that are not kept, bool (K,)."""
        chosen = np.repeat(kept, np.diff(self.class_bounds()))
        return Runs.trusted(self.starts[chosen], self.stops[chosen], self.shape)

    def without(self, pixels: "Runs") -> "Runs":
        """Every class but for `pixels` (H, W) or (1, H, W); the same value where there are none.

        >>> Runs.full((2, 1, 3)).without(Runs.from_dense(np.array([[0, 1, 0]]))).area()
        array([2, 2])
        """
        if not len(pixels):
            return self
        everywhere = pixels.select([0] * self.classes)
        return self - Runs.trusted(everywhere.starts, everywhere.stops, self.shape)

    def any_mask(self) -> "Runs":
        """(H, W): inside where any class is."""
        base = self.starts // self.plane * self.plane
        union = intervals.covered(self.starts - base, self.stops - base, self.plane)
        return Runs.trusted(*union, self.shape[-2:])

    def area(self) -> np.ndarray:
        """Pixels of each class, int64 (K,)."""
        total = np.zeros(len(self) + 1, np.int64)
        np.cumsum(self.stops - self.starts, out=total[1:])
        return np.diff(total[self.class_bounds()])

    def bounding_boxes(self) -> np.ndarray:
        """int64 (K, 4): top, left, bottom, right, the last two exclusive; zeros where empty."""
        rows, lefts, rights = self.segments()
        bounds = np.searchsorted(rows, np.arange(self.classes + 1) * self.height)
        present = np.flatnonzero(np.diff(bounds))
        boxes = np.zeros((self.classes, 4), np.int64)
        if len(present):
            firsts, tops = bounds[present], present * self.height
            boxes[present, 0] = rows[firsts] - tops
            boxes[present, 1] = np.minimum.reduceat(lefts, firsts)
            boxes[present, 2] = rows[bounds[present + 1] - 1] - tops + 1
            boxes[present, 3] = np.maximum.reduceat(rights, firsts)
        return boxes

    def __or__(self, other: "Runs") -> "Runs":
        return self._where(other, 1)

    def __and__(self, other: "Runs") -> "Runs":
        return self._where(other, 2)

    def _where(self, other: "Runs", members: int) -> "Runs":
        """Where one or both `members` of the pair are."""
        if not isinstance(other, Runs):
            return NotImplemented
        _check_same_shape(self, other)
        pair = [(self.starts, self.stops), (other.starts, other.stops)]
        found = intervals.at_least(pair, (1, 1), members, (self.classes, self.plane))
        return Runs.trusted(*found, self.shape)

    def __sub__(self, other: "Runs") -> "Runs":
        if not isinstance(other, Runs):
            return NotImplemented
        _check_same_shape(self, other)
        pair = (self.starts, self.stops), (other.starts, other.stops)
        return Runs.trusted(*intervals.difference(*pair, (self.classes, self.plane)), self.shape)

    def __xor__(self, other: "Runs") -> "Runs":
        if not isinstance(other, Runs):
            return NotImplemented
        return (self | other) - (self & other)

    def __invert__(self) -> "Runs":
        gaps = intervals.complement(self.starts, self.stops, self.plane, self.classes)
        return Runs.trusted(*gaps, self.shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Runs):
            return NotImplemented
        return (
            self.shape == other.shape
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.stops, other.stops)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.starts.tobytes(), self.stops.tobytes()))

    def sha256(self) -> str:
        """Hexadecimal digest of shape and runs, the same on every machine."""
        digest = hashlib.sha256(repr(self.shape).encode())
        digest.update(self.starts.astype("<i8").tobytes())
        digest.update(self.stops.astype("<i8").tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        pixels = int((self.stops - self.starts).sum())
        plural = "" if len(self) == 1 else "s"
        return f"Runs({len(self)} run{plural}, {pixels} pixels, shape {self.shape})"

    def __reduce__(self) -> tuple:
        # A pickled array comes back writable; through `trusted` it does not.
        return Runs.trusted, (self.starts, self.stops, self.shape)


def intersection_area(first: Runs, second: Runs) -> np.ndarray:
    """Pixels that both masks hold, per class: int64 (K,)."""
    return (first & second).area()


def _transposed(runs: Runs) -> Runs:
    from competition.masks.geometry import transpose  # built on this module

    return transpose(runs)


def _checked_shape(shape: Shape) -> Shape:
    sides = tuple(operator.index(side) for side in shape)
    if len(sides) not in (2, 3) or min(sides[-2:]) < 1 or min(sides) < 0:
        raise InputFault(
            f"a mask of shape {sides!r}; (height, width) or (classes, height, width), "
            "height and width from 1, is asked for"
        )
    if math.prod(sides) > _LARGEST:
        raise InputFault(f"a mask of shape {sides!r} has more than {_LARGEST} pixels")
    return sides


def _checked_offsets(starts: np.ndarray, stops: np.ndarray, shape: Shape) -> intervals.Intervals:
    """Private int64 copies; each run holds a pixel, lies in the shape and inside one class."""
    starts, stops = _offsets(starts), _offsets(stops)
    if len(starts) != len(stops):
        raise InputFault(f"{len(starts)} run starts and {len(stops)} run stops")
    size, plane = math.prod(shape), shape[-2] * shape[-1]
    wrong = (starts < 0) | (stops <= starts) | (stops > size)
    wrong |= starts // plane != (stops - 1) // plane
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputFault(
            f"run {index} is [{starts[index]}, {stops[index]}); a run holds at least one pixel, "
            f"lies in 0 to {size} and inside one class of {plane} pixels"
        )
    return starts, stops


def _offsets(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "iu"):
        raise InputFault(
            f"run offsets of type {values.dtype} and shape {values.shape}; "
            "integers in one dimension are asked for"
        )
    return values.astype(np.int64)


def _check_same_shape(first: Runs, second: Runs) -> None:
    if first.shape != second.shape:
        raise InputFault(
            f"masks of shapes {first.shape!r} and {second.shape!r} cannot be combined; "
            "one shape is asked for"
        )


def fingerprints(runs: Runs) -> np.ndarray:
    """uint64 (K,): equal for equal masks of one size, 0 for no pixel, the same on every machine.

    The sum over a mask's runs of a mixed (start, stop). Two masks that differ by accident agree
    once in 2**64 times; against intent there is `Runs.sha256`, some 50 times as dear.

    >>> first = Runs.from_dense(np.array([[1, 0], [0, 1]]))
    >>> found = fingerprints(Runs.stack([first, Runs.empty((2, 2)), first]))
    >>> bool(found[0] == found[2] != 0), int(found[1])
    (True, 0)
    """
    bounds = runs.class_bounds()
    before = np.repeat(np.arange(runs.classes) * runs.plane, np.diff(bounds))
    words = _mixed((runs.stops - before).astype(np.uint64))
    words = _mixed(words ^ (runs.starts - before).astype(np.uint64))
    totals = np.zeros(len(words) + 1, np.uint64)
    np.cumsum(words, out=totals[1:])  # wraps, as the difference does
    return totals[bounds[1:]] - totals[bounds[:-1]]


def _mixed(words: np.ndarray) -> np.ndarray:
    """The step and finisher of splitmix64 (Steele, Lea and Flood, 2014): every bit moves all."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
