"""Several members' stored logits as one: their weighted mean on the finest grid, or that of their
probabilities, as runs.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

from competition.decoding.head import Head
from competition.errors import InputFault, listed
from competition.inference.quantisation import sigmoid
from competition.inference.store import Geometry, RowSpan, StoredLogits
from competition.masks import Runs
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.from_logits import runs_at_thresholds
from competition.masks.geometry import crop, join_rows
from competition.masks.sampling_grid import Axis, SamplingGrid, logit, sampled

MOST_CODES = 257
"""So many bytes add up to no more than 16 bits hold."""

Weight = float | tuple[float, ...]
"""A member's weight in the blend: one for all classes, or one for each."""

Averaged = Literal[
    "logits",
    "probabilities",
    "geometric mean",
    "root mean square",
    "power mean 3",
    "power mean 4",
]
"""What is averaged at the nodes: logits, or probabilities by a power mean. A mean of probabilities
becomes a logit again before it is resized."""

EXPONENTS: dict[Averaged, int] = {
    "geometric mean": 0,
    "probabilities": 1,
    "root mean square": 2,
    "power mean 3": 3,
    "power mean 4": 4,
}
"""x of the power mean (Σ w p^x)^(1/x), which at 0 is the geometric mean."""

_SUREST = 1e-6
"""Probabilities this near to 0 or 1 are not told from it."""


class Reader(Protocol):
    """What is blended: a Store, or the folds' stores joined."""

    @property
    def images(self) -> tuple[str, ...]: ...

    def geometry(self, image: str) -> Geometry: ...

    def pieces(self, image: str) -> tuple[int, ...]: ...

    def read(self, image: str, rows: RowSpan | None = None) -> StoredLogits: ...


class LastRead:
    """A reader that keeps the image that was read last: several mixtures of it cost one reading."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._read = reader, lru_cache(maxsize=1)(reader.read)

    @property
    def images(self) -> tuple[str, ...]:
        return self._reader.images

    def geometry(self, image: str) -> Geometry:
        return self._reader.geometry(image)

    def pieces(self, image: str) -> tuple[int, ...]:
        return self._reader.pieces(image)

    def read(self, image: str, rows: RowSpan | None = None) -> StoredLogits:
        return self._read(image, rows)


@dataclass(frozen=True)
class LogitGrid:
    """One image's blended logits: `values` codes or float32 logits (K, h, w) on one grid.

    scale, offset: of the codes, None for logits; region: (top, left, height, width) of the image
    in that grid; size: native (height, width).
    """

    values: np.ndarray
    scale: float | None
    offset: float | None
    region: tuple[float, float, float, float]
    size: tuple[int, int]

    def logits(self) -> np.ndarray:
        """float (K, h, w)."""
        return self.values if self.scale is None else self.values * self.scale + self.offset


@dataclass(frozen=True)
class Blend:
    """Members' predictions of the same images, with weights that sum to one. See `blend`.

    heads: one a member, None where its logits are taken as they are; mean: what is averaged.
    """

    members: tuple[Reader, ...]
    weights: tuple[Weight, ...]
    exclusive: bool
    heads: tuple[Head | None, ...]
    mean: Averaged = "logits"

    @property
    def images(self) -> tuple[str, ...]:
        return self.members[0].images

    def pieces(self, image: str, height: int | None = None) -> tuple[RowSpan | None, ...]:
        """Rows of an image, `height` of them (default: native), that are decided together: of most all
        (None); of one that is too large the strips of the member that shows it with the most pixels.
        """
        finest = max(self.members, key=lambda member: _shown(member.geometry(image)))
        return pieces_of(finest, image, height)

    def logit_grid(self, image: str, rows: RowSpan | None = None) -> LogitGrid:
        """The blended logits of an image, or of some of its rows, whose number is its size then; memory
        does not grow with the number of members.

        Codes of one grid that nothing weighs or changes are only added up. Of others, those on
        another grid are resampled bilinearly to the grid that shows the image with the most pixels.
        """
        if self._alike and (total := self._added_codes(image, rows)) is not None:
            return total
        total: LogitGrid | None = None
        for member, weight, head in zip(self.members, self.weights, self.heads, strict=True):
            stored = member.read(image, rows)
            total = _nothing(stored) if total is None else total
            total = _added(total, stored, weight, image, head=head, mean=self.mean)
        assert total is not None  # a blend has a member
        return replace(total, values=_logits(total.values, self.mean))

    @property
    def _alike(self) -> bool:
        """Whether all members count equally, as they are stored."""
        equal = len(set(self.weights)) == 1 and all(head is None for head in self.heads)
        one = len(self.members) == 1
        return equal and (one or self.mean == "logits") and len(self.members) <= MOST_CODES

    def _added_codes(self, image: str, rows: RowSpan | None) -> LogitGrid | None:
        """The mean of all members as the sum of their codes; None if they are of different grids."""
        total: LogitGrid | None = None
        for member in self.members:
            stored = member.read(image, rows)
            place = stored.geometry
            own = LogitGrid(stored.codes, stored.scale, stored.offset, place.region, place.size)
            if total is None:
                total = own
            elif not _same_coding(own, total):
                return None
            elif total.values.dtype == np.uint8:
                total = replace(total, values=np.add(total.values, own.values, dtype=np.uint16))
            else:
                total.values[:] += own.values
        assert total is not None and total.scale is not None  # codes have a scale
        count = len(self.members)
        return total if count == 1 else replace(total, scale=total.scale / count)

    def native_size(self, image: str) -> tuple[int, int]:
        return self.members[0].geometry(image).size

    def shown_size(self, image: str) -> tuple[int, int]:
        """Rows and columns of logits that show an image, of the member with the most of them."""
        regions = [member.geometry(image).region for member in self.members]
        _, _, rows, columns = max(regions, key=lambda region: region[2] * region[3])
        return max(1, round(rows)), max(1, round(columns))

    def runs_at(
        self, image: str, thresholds: np.ndarray, size: tuple[int, int] | None = None
    ) -> list[Runs]:
        """Runs (K, H, W) at each of the probabilities (T,) or (T, K), at `size` (default: native).

        Where classes are exclusive, a pixel belongs to its most probable class or to none.
        """
        pieces = self.pieces(image, None if size is None else size[0])
        parts = [self._runs_of(image, thresholds, size, rows) for rows in pieces]
        return parts[0] if len(parts) == 1 else list(map(join_rows, zip(*parts, strict=True)))

    def _runs_of(
        self, image: str, thresholds: np.ndarray, size: tuple[int, int] | None, rows: RowSpan | None
    ) -> list[Runs]:
        """`runs_at` of some rows."""
        grid = self.logit_grid(image, rows)
        if size is None or rows is not None:
            size = grid.size[0], grid.size[1] if size is None else size[1]
        coding = {"scale": grid.scale, "offset": grid.offset, "region": grid.region}
        found = runs_at_thresholds(grid.values, size, thresholds, **coding)
        if not self.exclusive:
            return found
        winners = label_runs_from_logits(grid.values, size, background=False, **coding)
        return [runs & winners for runs in found]


def pieces_of(reader: Reader, image: str, height: int | None = None) -> tuple[RowSpan | None, ...]:
    """The pieces of one member's prediction of an image, in rows of `height` (default: native)."""
    pieces = reader.pieces(image)
    if len(pieces) == 1:
        return (None,)
    place = reader.geometry(image)
    of = place.size[0] if height is None else height
    share = of / place.region[2]
    ends = [round((end - place.region[0]) * share) for end in itertools.accumulate(pieces[:-1])]
    ends = [min(max(end, 0), of) for end in ends]
    pairs = itertools.pairwise([0, *ends, of])
    return tuple(RowSpan(first, stop, of) for first, stop in pairs if first < stop)


def rows_of(masks: Runs, rows: RowSpan | None) -> Runs:
    """Those rows of masks at the native size; all of them for None."""
    if rows is None:
        return masks
    return crop(masks, rows.first, 0, rows.stop - rows.first, masks.width)


def blend(
    members: Mapping[str, Reader],
    weights: Mapping[str, Weight] | None = None,
    *,
    heads: Mapping[str, Head] | None = None,
    exclusive: bool = False,
    mean: Averaged = "logits",
) -> Blend:
    """Members by name → their blend. InputFault for unequal images.

    weights: equal unless given, one a member or one for each of its classes; heads: of the members
    that have one; mean: what is averaged.
    """
    if not members:
        raise InputFault("an ensemble of no members; predict at least one")
    weights = dict.fromkeys(members, 1.0) if weights is None else weights
    shares = _shares(members, weights)
    _require_same_images(members)
    used = [place for place, name in enumerate(members) if np.any(shares[place] > 0)]
    names = list(members)
    return Blend(
        tuple(members[names[place]] for place in used),
        tuple(_plain(shares[place]) for place in used),
        exclusive,
        tuple((heads or {}).get(names[place]) for place in used),
        mean,
    )


def _shares(members: Mapping[str, Reader], weights: Mapping[str, Weight]) -> np.ndarray:
    """Weights that sum to one, float64 (M, 1) or (M, K)."""
    wrong = InputFault(
        f"weights {dict(weights)!r}; expected a number from 0 up for each of {list(members)}, "
        "or one for each class"
    )
    if set(weights) != set(members):
        raise wrong
    rows = [np.atleast_1d(np.asarray(weights[name], np.float64)) for name in members]
    wide = max(map(len, rows))
    if any(len(row) not in (1, wide) for row in rows):
        raise wrong
    given = np.stack([np.broadcast_to(row, wide) for row in rows])
    if not np.isfinite(given).all() or given.min() < 0 or given.sum(axis=0).min() <= 0:
        raise wrong
    return given / given.sum(axis=0)


def _plain(share: np.ndarray) -> Weight:
    return float(share[0]) if len(share) == 1 else tuple(share.tolist())


def _require_same_images(members: Mapping[str, Reader]) -> None:
    (first, reader), *others = members.items()
    faults = [
        f"image {image!r} is predicted by only one of {first!r} and {name!r}"
        for name, other in others
        for image in sorted(set(reader.images) ^ set(other.images))
    ]
    if faults:
        raise InputFault(listed(faults))


def _nothing(like: StoredLogits) -> LogitGrid:
    """Zeros on the grid of the first member."""
    place = like.geometry
    return LogitGrid(np.zeros(like.codes.shape, np.float32), None, None, place.region, place.size)


def _added(
    total: LogitGrid,
    stored: StoredLogits,
    weight: Weight,
    image: str,
    *,
    head: Head | None,
    mean: Averaged,
) -> LogitGrid:
    """`total` plus a member's weighted logits or probabilities; on one grid it is added to in place.

    Logits class by class, so that what is computed stays in the processor's cache.
    """
    place, shape = stored.geometry, stored.codes.shape
    if place.size != total.size or len(stored.codes) != len(total.values):
        raise InputFault(
            f"image {image!r}: members predicted {len(total.values)} classes at {total.size} and "
            f"{len(stored.codes)} classes at {place.size}; predict again"
        )
    shares = np.broadcast_to(np.asarray(weight, np.float32), len(stored.codes))
    one_grid = shape == total.values.shape and place.region == total.region
    simple = mean == "logits" and (head is None or head.kind == "scale and bias")
    if one_grid and simple:
        _add_codes(total.values, stored, shares, head)
        return total
    values = stored.logits() if head is None else head.applied(stored.logits())
    values = averaged_values(values, mean)
    values *= shares[:, None, None]
    return _sum(total, LogitGrid(values, None, None, place.region, place.size))


def _sum(total: LogitGrid, part: LogitGrid) -> LogitGrid:
    """Both on the grid that shows the image with more pixels."""
    if part.values.shape == total.values.shape and part.region == total.region:
        total.values[:] += part.values
        return total
    fine, coarse = (total, part) if _pixels(total) >= _pixels(part) else (part, total)
    return replace(fine, values=fine.values + on_grid_of(coarse, fine).values)


def _add_codes(
    total: np.ndarray, stored: StoredLogits, shares: np.ndarray, head: Head | None
) -> None:
    """Adds codes · scale + offset, scaled and shifted by the head, times the class's share."""
    classes = len(stored.codes)
    slopes = np.ones(classes) if head is None else np.array(head.mix)[:, 0]
    shifts = np.zeros(classes) if head is None else np.array(head.bias)
    steps = (stored.scale * slopes * shares).astype(np.float32)
    zeros = ((stored.offset * slopes + shifts) * shares).astype(np.float32)
    plane = np.empty(total.shape[1:], np.float32)
    for k, codes in enumerate(stored.codes):
        np.multiply(codes, steps[k], out=plane, dtype=np.float32)
        plane += zeros[k]
        total[k] += plane


def averaged_values(logits: np.ndarray, mean: Averaged) -> np.ndarray:
    """float32 logits → what is averaged in their place: log p, p, p², p³, p⁴, or themselves. It rises
    with them, so that a threshold can be compared with the average as it is.
    """
    if mean == "logits":
        return logits
    probabilities = sigmoid(logits)
    exponent = EXPONENTS[mean]
    return probabilities**exponent if exponent else np.log(np.maximum(probabilities, _SUREST))


def _logits(averages: np.ndarray, mean: Averaged) -> np.ndarray:
    """What was averaged → float32 logits; probabilities are clipped away from 0 and 1."""
    if mean == "logits":
        return averages
    exponent, averages = EXPONENTS[mean], averages.astype(np.float64)
    probabilities = averages ** (1 / exponent) if exponent else np.exp(averages)
    return logit(np.clip(probabilities, _SUREST, 1 - _SUREST)).astype(np.float32)


def _same_coding(one: LogitGrid, other: LogitGrid) -> bool:
    """Whether codes may be added up: of the same classes, on one grid, with one scale and offset."""
    ours, theirs = (
        (grid.values.shape, grid.region, grid.size, grid.scale, grid.offset)
        for grid in (one, other)
    )
    return ours == theirs


def _pixels(grid: LogitGrid) -> float:
    return grid.region[2] * grid.region[3]


def _shown(place: Geometry) -> float:
    return place.region[2] * place.region[3]


def on_grid_of(source: LogitGrid, target: LogitGrid) -> LogitGrid:
    """The logits of `source` at the nodes of `target`'s grid: bilinear, clamped at the border."""
    rows, columns = (
        _seen_from(
            source.values.shape[1 + axis],
            target.values.shape[1 + axis],
            (source.region[axis], source.region[2 + axis]),
            (target.region[axis], target.region[2 + axis]),
        )
        for axis in (0, 1)
    )
    values = sampled(source.values, SamplingGrid(rows, columns))
    return LogitGrid(values, None, None, target.region, target.size)


def _seen_from(
    nodes: int, other_nodes: int, image: tuple[float, float], other_image: tuple[float, float]
) -> Axis:
    """The nodes of one grid as another grid's nodes see them; images are (start, length) in each."""
    share = image[1] / other_image[1]
    return Axis.over(nodes, other_nodes, image[0] - other_image[0] * share, other_nodes * share)
