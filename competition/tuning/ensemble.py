"""Several members' stored logits as one: the weighted mean on the finest member's grid, as runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from competition.errors import InputFault, listed
from competition.inference.store import Geometry, StoredLogits
from competition.masks import Runs
from competition.masks.from_logits import label_runs_from_logits, runs_at_thresholds


class Reader(Protocol):
    """What is blended: a Store, or the folds' stores joined."""

    @property
    def images(self) -> tuple[str, ...]: ...

    def geometry(self, image: str) -> Geometry: ...

    def read(self, image: str) -> StoredLogits: ...


@dataclass(frozen=True)
class Field:
    """One image's blended logits: `values` uint8 codes or float32 logits (K, h, w) on one grid.

    scale, offset: of the codes, None for logits; region: (top, left, height, width) of the image
    in that grid; size: native (height, width).
    """

    values: np.ndarray
    scale: float | None
    offset: float | None
    region: tuple[float, float, float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Blend:
    """Members' predictions of the same images, with weights that sum to one. See `blend`."""

    members: tuple[Reader, ...]
    weights: tuple[float, ...]
    exclusive: bool

    @property
    def images(self) -> tuple[str, ...]:
        return self.members[0].images

    def field(self, image: str) -> Field:
        """The blended logits of an image; memory does not grow with the number of members.

        One member stays as it is stored. Of several, those on another grid are resampled
        bilinearly to the grid that shows the image with the most pixels.
        """
        if len(self.members) == 1:
            stored = self.members[0].read(image)
            place = stored.geometry
            return Field(stored.codes, stored.scale, stored.offset, place.region, place.size)
        parts = zip(self.members, self.weights, strict=True)
        total = _nothing(self.members[0].read(image))
        for member, weight in parts:
            total = _added(total, member.read(image), weight, image)
        return total

    def native_size(self, image: str) -> tuple[int, int]:
        return self.members[0].geometry(image).size

    def runs_at(
        self, image: str, thresholds: np.ndarray, size: tuple[int, int] | None = None
    ) -> list[Runs]:
        """Runs (K, H, W) at each of the probabilities (T,) or (T, K), at `size` (default: native).

        Where classes are exclusive, a pixel belongs to its most probable class or to none.
        """
        field = self.field(image)
        size = size or field.size
        found = runs_at_thresholds(
            field.values, size, thresholds, scale=field.scale, offset=field.offset,
            region=field.region,
        )
        if not self.exclusive:
            return found
        winners = label_runs_from_logits(
            field.values, size, background=False, scale=field.scale, offset=field.offset,
            region=field.region,
        )
        return [runs & winners for runs in found]


def blend(
    members: Mapping[str, Reader],
    weights: Mapping[str, float] | None = None,
    *,
    exclusive: bool = False,
) -> Blend:
    """Members by name → their blend; equal weights unless given. InputFault for unequal images."""
    if not members:
        raise InputFault("an ensemble of no members; predict at least one")
    weights = dict.fromkeys(members, 1.0) if weights is None else weights
    if set(weights) != set(members) or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise InputFault(
            f"weights {dict(weights)!r}; expected a number from 0 up for each of {list(members)}"
        )
    _require_same_images(members)
    used = [name for name in members if weights[name] > 0]
    total = sum(weights[name] for name in used)
    return Blend(
        tuple(members[name] for name in used),
        tuple(weights[name] / total for name in used),
        exclusive,
    )


def _require_same_images(members: Mapping[str, Reader]) -> None:
    (first, reader), *others = members.items()
    faults = [
        f"image {image!r} is predicted by only one of {first!r} and {name!r}"
        for name, other in others
        for image in sorted(set(reader.images) ^ set(other.images))
    ]
    if faults:
        raise InputFault(listed(faults))


def _nothing(like: StoredLogits) -> Field:
    """Zeros on the grid of the first member."""
    place = like.geometry
    return Field(np.zeros(like.codes.shape, np.float32), None, None, place.region, place.size)


def _added(total: Field, stored: StoredLogits, weight: float, image: str) -> Field:
    """`total` plus a member's weighted logits; on one grid it is added to in place.

    Class by class, so that what is computed stays in the processor's cache.
    """
    place, grid = stored.geometry, stored.codes.shape
    if place.size != total.size or len(stored.codes) != len(total.values):
        raise InputFault(
            f"image {image!r}: members predicted {len(total.values)} classes at {total.size} and "
            f"{len(stored.codes)} classes at {place.size}; predict again"
        )
    if grid != total.values.shape or place.region != total.region:
        part = Field(stored.logits() * np.float32(weight), None, None, place.region, place.size)
        fine, coarse = (total, part) if _pixels(total) >= _pixels(part) else (part, total)
        return replace(fine, values=fine.values + resampled(coarse, fine).values)
    plane = np.empty(grid[1:], np.float32)
    for kind, codes in enumerate(stored.codes):
        np.multiply(codes, np.float32(stored.scale * weight), out=plane, dtype=np.float32)
        plane += np.float32(stored.offset * weight)
        total.values[kind] += plane
    return total


def _pixels(field: Field) -> float:
    return field.region[2] * field.region[3]


def resampled(source: Field, target: Field) -> Field:
    """The logits of `source` at the nodes of `target`'s grid: bilinear, clamped at the border."""
    rows, columns = (
        _positions(
            target.values.shape[1 + axis], target.region[axis], target.region[2 + axis],
            source.region[axis], source.region[2 + axis], source.values.shape[1 + axis],
        )
        for axis in (0, 1)
    )
    values = _interpolated(_interpolated(source.values, rows, axis=1), columns, axis=2)
    return Field(values, None, None, target.region, target.size)


def _positions(
    nodes: int, start: float, length: float, from_start: float, from_length: float, from_nodes: int
) -> np.ndarray:
    """Where target nodes fall on the source axis, float64 (nodes,), half-pixel centres."""
    share = (np.arange(nodes) + 0.5 - start) / length
    return np.clip(from_start + share * from_length - 0.5, 0, from_nodes - 1)


def _interpolated(values: np.ndarray, positions: np.ndarray, *, axis: int) -> np.ndarray:
    """float32 values linearly interpolated along one axis of (K, h, w)."""
    lower = np.floor(positions).astype(np.int64)
    upper = np.minimum(lower + 1, values.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(positions)
    share = (positions - lower).astype(np.float32).reshape(shape)
    below = values.take(lower, axis=axis)
    return below + (values.take(upper, axis=axis) - below) * share
