"""What heads and weights are fitted on: the pixels that they can change, gathered in one pass.

Of each image and class those grid pixels are open on which some member is undecided, members
disagree, or all are surely wrong. They are drawn up to a number, and so are a few of the settled
ones; each stands for `weight` pixels. Counts of a new decision are exact counts of the old one plus
the weighted changes on the sample (a difference estimator): exact where nothing changes, unbiased
everywhere. Memory does not grow with the size of images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from competition.errors import InputFault, listed
from competition.inference.codes import OFFSET, SCALE, quantise
from competition.inference.store import Geometry, StoredLogits
from competition.masks import Runs
from competition.masks.geometry import resize_nearest
from competition.tuning.ensemble import Field, Reader, resampled
from competition.tuning.head import AROUND
from competition.tuning.passes import over_images

Result = TypeVar("Result")

BAND = 48
"""A member is undecided within so many codes of one half: ±3 logits."""

BYTES, PIXELS = 128 << 20, 15_000
"""What a sample may take at most: memory of all, and drawn open pixels of one class."""

_FEWEST, _MOST = 24, 2000
"""Open pixels of an image and class, at least and at most."""


@dataclass(frozen=True, eq=False)
class ClassSample:
    """Drawn pixels of one class, in the order of the images.

    image: int64 (P,) places of their images; codes: uint8 (M, F, P), the F = K + 8 features are all
    classes' codes there and the class's own at the eight neighbours; truth: bool (P,); weight:
    float32 (P,) pixels that each stands for; decided: bool (P,) what the equal mean of the members
    says of the class there.
    """

    image: np.ndarray
    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    decided: np.ndarray

    @classmethod
    def of(
        cls, kind: int, image: np.ndarray, codes: np.ndarray, truth: np.ndarray, weight: np.ndarray
    ) -> "ClassSample":
        """Pixels drawn for class `kind`."""
        return cls(image, codes, truth, weight, mean_decision(codes[:, kind]))

    def where(self, chosen: np.ndarray) -> "ClassSample":
        """Those of chosen images, bool (N,); the places stay those of all images."""
        kept = np.flatnonzero(chosen[self.image])
        return ClassSample(
            self.image[kept],
            self.codes.take(kept, axis=-1),
            self.truth[kept],
            self.weight[kept],
            self.decided[kept],
        )

    def logits(self, member: int, features: slice = slice(None)) -> np.ndarray:
        """float32 (F, P)."""
        return self.codes[member, features] * np.float32(SCALE) + np.float32(OFFSET)


@dataclass(frozen=True, eq=False)
class Samples:
    """N images × K classes of M members, counted on the grid of the logits.

    labelled: int64 (N, K) true pixels; predicted, common: int64 (M + 1, N, K) pixels that each
    member and, last, their equal mean predict at one half, and those of them that are true;
    one_grid: whether all members have one grid, so that neighbours mean the same to all.
    """

    images: tuple[str, ...]
    members: tuple[str, ...]
    classes: tuple[ClassSample, ...]
    labelled: np.ndarray
    predicted: np.ndarray
    common: np.ndarray
    one_grid: bool

    def counts(self, decider: int, place: int) -> np.ndarray:
        """float64 (3, N): labelled, predicted and common pixels of class `place`, by a member or,
        with -1, by the mean.
        """
        rows = self.labelled, self.predicted[decider], self.common[decider]
        return np.stack([row[:, place] for row in rows]).astype(np.float64)


def draw(
    members: Mapping[str, Reader], truth: Mapping[str, Runs], *, pixels: int | None = None
) -> Samples:
    """One pass over the images; `pixels`: at most so many open ones of an image and class."""
    return draw_beside(lambda image: None, members, truth, pixels=pixels)[0]


def draw_beside(
    other: Callable[[str], Result],
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    *,
    pixels: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Samples, list[Result]]:
    """`draw`, and other(image) of every image, called when the image has just been read."""
    readers = list(members.values())
    images = readers[0].images
    missing = [image for image in images if image not in truth]
    if missing:
        raise InputFault(
            listed([f"image {image!r} is predicted but not labelled" for image in missing])
        )

    def work(place: int, image: str) -> tuple[_Row, Result]:
        codes, labels, alike = _aligned([r.read(image) for r in readers], truth[image])
        most = pixels or affordable(len(images), codes.shape[1], len(readers))
        row = _drawn(codes, labels, most, alike, generator=np.random.default_rng(place))
        return row, other(image)

    both = over_images(work, images, advance=advance)
    rows, others = [row for row, _ in both], [found for _, found in both]
    counts = np.stack([row.counts for row in rows])
    samples = Samples(
        images,
        tuple(members),
        tuple(_joined(k, [row.parts[k] for row in rows]) for k in range(counts.shape[1])),
        labelled=counts[:, :, 0],
        predicted=np.moveaxis(counts[:, :, 1::2], 2, 0),
        common=np.moveaxis(counts[:, :, 2::2], 2, 0),
        one_grid=all(row.one_grid for row in rows),
    )
    return samples, others


def affordable(images: int, classes: int, members: int) -> int:
    """Open pixels of an image and class that `BYTES` and `PIXELS` allow.

    >>> affordable(340, 32, 5)
    44
    """
    by_memory = BYTES // (images * classes * members * (classes + len(AROUND)))
    return int(np.clip(min(by_memory, PIXELS // images), _FEWEST, _MOST))


@dataclass(frozen=True, eq=False)
class _Row:
    """One image: parts by class, counts int64 (K, 1 + 2 (M + 1)), and whether all had one grid."""

    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    counts: np.ndarray
    one_grid: bool


def _joined(kind: int, parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> ClassSample:
    """Codes (M, F, p), truth (p,) and weight (p,) of each image → one sample of class `kind`."""
    codes, truth, weight = (list(column) for column in zip(*parts, strict=True))
    image = np.repeat(np.arange(len(parts)), [len(part) for part in truth])
    joined = np.concatenate(codes, axis=-1), np.concatenate(truth), np.concatenate(weight)
    return ClassSample.of(kind, image, *joined)


def _aligned(stored: Sequence[StoredLogits], truth: Runs) -> tuple[np.ndarray, np.ndarray, bool]:
    """All members' codes uint8 (M, K, h, w) on the finest grid, cut to the image; truth (K, h, w)."""
    places = [(s.codes.shape, s.geometry.region) for s in stored]
    finest = max(stored, key=lambda one: one.geometry.region[2] * one.geometry.region[3])
    like = _field(finest)
    codes = np.stack(
        [
            _codes(one)
            if place == (finest.codes.shape, finest.geometry.region)
            else quantise(resampled(_field(one), like).values)
            for one, place in zip(stored, places, strict=True)
        ]
    )
    top, left, height, width = _window(finest.geometry)
    if (truth.height, truth.width) != finest.geometry.size:
        raise InputFault(
            f"predicted as {finest.geometry.size}, labelled as {(truth.height, truth.width)}; "
            "the images or labels have changed: predict again"
        )
    labels = resize_nearest(truth, (height, width)).to_dense()
    codes = codes[:, :, top : top + height, left : left + width]
    return codes, labels.reshape(-1, height, width), len(set(places)) == 1


def _window(geometry: Geometry) -> tuple[int, int, int, int]:
    """The whole grid pixels that show the image: top, left, height, width."""
    top, left, height, width = geometry.region
    rows, columns = (round(top), round(top + height)), (round(left), round(left + width))
    return rows[0], columns[0], max(1, rows[1] - rows[0]), max(1, columns[1] - columns[0])


def _field(stored: StoredLogits) -> Field:
    place = stored.geometry
    return Field(stored.logits(), None, None, place.region, place.size)


def _codes(stored: StoredLogits) -> np.ndarray:
    same = (stored.scale, stored.offset) == (SCALE, OFFSET)
    return stored.codes if same else quantise(stored.logits())


def _drawn(
    codes: np.ndarray,
    truth: np.ndarray,
    pixels: int,
    one_grid: bool,
    *,
    generator: np.random.Generator,
) -> _Row:
    """Draws of one image: codes uint8 (M, K, h, w), truth bool (K, h, w)."""
    flat = codes.reshape(*codes.shape[:2], -1)
    parts, counts = [], []
    for kind, labels in enumerate(truth):
        own, inside = flat[:, kind], labels.reshape(-1)
        rows = _busy_rows(codes[:, kind], labels)
        busy = slice(rows.start * labels.shape[1], rows.stop * labels.shape[1])
        counts.append(_counts(own[:, busy], inside[busy]))
        places, weight = _places(own, inside, busy, pixels, generator)
        beside = own[:, _around(places, labels.shape)]
        features = np.concatenate([flat[:, :, places], beside], axis=1)
        parts.append((features, inside[places], weight))
    return _Row(parts, np.array(counts), one_grid)


def _busy_rows(codes: np.ndarray, truth: np.ndarray) -> slice:
    """From the first to the last row in which a class is labelled or not surely absent."""
    busy = codes.max(axis=(0, 2)) > 127 - BAND
    busy |= truth.any(axis=1)
    found = np.flatnonzero(busy)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def _counts(codes: np.ndarray, truth: np.ndarray) -> list[int]:
    """True pixels, then predicted and true predicted ones of each member and of the mean."""
    found = [int(np.count_nonzero(truth))]
    for decided in (*(codes >= 128), mean_decision(codes)):
        found += [int(np.count_nonzero(decided)), int(np.count_nonzero(decided & truth))]
    return found


def mean_decision(codes: np.ndarray) -> np.ndarray:
    """Whether the equal mean of codes uint8 (M, …) is above one half: bool (…)."""
    return codes.sum(axis=0, dtype=np.uint16) * np.uint16(2) > 255 * len(codes)


def _places(
    codes: np.ndarray,
    truth: np.ndarray,
    busy: slice,
    pixels: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Drawn pixels, ascending, and how many each stands for, float32; none outside busy is open."""
    lowest, highest = codes[:, busy].min(axis=0), codes[:, busy].max(axis=0)
    settled = np.ones(truth.size, bool)
    settled[busy] = np.where(truth[busy], lowest >= 128 + BAND, highest <= 127 - BAND)
    open_ = busy.start + np.flatnonzero(~settled[busy])
    settled_count = truth.size - len(open_)
    few = max(1, pixels // 8)
    rest = generator.integers(0, settled.size, 4 * few)
    rest = np.unique(rest[settled[rest]][:few])
    share = max(1.0, len(open_) / pixels)
    if share > 1:
        open_ = generator.choice(open_, pixels, replace=False, shuffle=False)
    places = np.concatenate([open_, rest])
    weight = np.full(len(places), share, np.float32)
    weight[len(open_) :] = settled_count / max(1, len(rest))
    return places, weight


def _around(places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The eight neighbours of flat places, clamped at the border: int64 (8, P)."""
    rows, columns = np.divmod(places, size[1])
    return np.stack(
        [
            np.clip(rows + down, 0, size[0] - 1) * size[1]
            + np.clip(columns + right, 0, size[1] - 1)
            for down, right in AROUND
        ]
    )
