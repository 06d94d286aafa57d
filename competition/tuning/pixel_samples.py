"""What heads and weights are fitted on: the pixels that they can change, gathered in one pass.

Of each image and class those grid pixels are open on which some member is undecided, members
disagree, or all are surely wrong. They are drawn up to a number, and so are a few of the settled
ones; each stands for `weight` pixels. Counts of a new decision are exact counts of the old one plus
the weighted changes on the sample (a difference estimator): exact where nothing changes, unbiased
everywhere. Memory does not grow with the size of images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from competition.decoding.blend import LogitGrid, Reader, on_grid_of, pieces_of, rows_of
from competition.decoding.threshold_sweep import require_labels
from competition.errors import InputFault
from competition.inference.quantisation import OFFSET, SCALE, quantise
from competition.inference.store import Geometry, RowSpan, StoredLogits
from competition.masks import Runs
from competition.masks.geometry import resize_nearest
from competition.tuning.parallel import over_images

Beside = TypeVar("Beside")

BAND = 48
"""A member is undecided within so many codes of probability 0.5: ±3 logits."""

BYTES, PIXELS = 128 << 20, 15_000
"""What a sample may take at most: memory of all, and drawn open pixels of one class."""

_FEWEST, _MOST = 24, 2000
"""Open pixels of an image and class, at least and at most."""


@dataclass(frozen=True, eq=False)
class ClassSample:
    """Drawn pixels of one class, in the order of the images.

    image: int64 (P,) places of their images; codes: uint8 (M, K, P) of all classes there; truth: bool
    (P,); weight: float32 (P,) pixels that each stands for; decided: bool (P,) what the equal mean of
    the members says of the class there.
    """

    image: np.ndarray
    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    decided: np.ndarray

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

    def logits(self, member: int, classes: slice = slice(None)) -> np.ndarray:
        """float32 (F, P) of the classes asked for."""
        return self.codes[member, classes] * np.float32(SCALE) + np.float32(OFFSET)


@dataclass(frozen=True, eq=False)
class Samples:
    """N images × K classes of M members, counted on the grid of the logits.

    labelled: int64 (N, K) true pixels; predicted, common: int64 (M + 1, N, K) pixels that each
    member and, last, their equal mean predict at threshold 0.5, and those of them that are true.
    """

    images: tuple[str, ...]
    members: tuple[str, ...]
    classes: tuple[ClassSample, ...]
    labelled: np.ndarray
    predicted: np.ndarray
    common: np.ndarray

    def counts(self, decider: int, k: int) -> np.ndarray:
        """float64 (3, N): labelled, predicted and common pixels of class k, by a member or, with -1,
        by the mean.
        """
        rows = self.labelled, self.predicted[decider], self.common[decider]
        return np.stack([row[:, k] for row in rows]).astype(np.float64)

    def counts_after(self, k: int, sample: ClassSample, decided: np.ndarray) -> np.ndarray:
        """Labelled, predicted and common pixels of class k in all images: float64 (3, N).

        decided: bool (P,) the new decision at the drawn pixels of `sample`. The difference estimator:
        what the mean of the members counts exactly, plus what changed on the sample, each changed
        pixel as many times as it stands for.
        """
        labelled, predicted, common = self.counts(-1, k)
        change = sample.weight * (decided.astype(np.int8) - sample.decided)
        images = len(self.images)
        predicted = predicted + np.bincount(sample.image, change, images)
        common = common + np.bincount(sample.image, change * sample.truth, images)
        # Counts are whole numbers, and no set is larger than one that holds it: an estimate may be.
        predicted, common = np.maximum(np.rint(predicted), 0), np.maximum(np.rint(common), 0)
        return np.stack([labelled, predicted, np.minimum(common, np.minimum(predicted, labelled))])


def draw(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    *,
    ignored: Mapping[str, Runs] = MappingProxyType({}),
    pixels: int | None = None,
) -> Samples:
    """One pass over the images; `pixels`: at most so many open ones of an image and class.

    ignored: by image the pixels (1, H, W) that do not count; none of them is drawn or counted.
    """
    return draw_beside(lambda image: None, members, truth, ignored=ignored, pixels=pixels)[0]


def draw_beside(
    other: Callable[[str], Beside],
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    *,
    ignored: Mapping[str, Runs] = MappingProxyType({}),
    pixels: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Samples, list[Beside]]:
    """`draw`, and other(image) of every image, called when the image has just been read."""
    readers = list(members.values())
    images = readers[0].images
    require_labels(images, truth)

    def work(place: int, image: str) -> tuple[list[_Drawn], Beside]:
        pieces = max((pieces_of(reader, image) for reader in readers), key=len)
        most = pixels or affordable(len(images), truth[image].classes, len(readers))
        most = max(1, most // len(pieces))
        generator = np.random.default_rng(place)
        drawn = []
        for rows in pieces:  # of an image that is too large each strip is a stratum of its own
            hidden = ignored.get(image)
            codes, labels, counted = _aligned(
                [reader.read(image, rows) for reader in readers],
                _rows_of(truth[image], rows),
                None if hidden is None else rows_of(hidden, rows),
            )
            drawn.append(
                [
                    _drawn(codes, k, (labels[k], counted), most, generator)
                    for k in range(len(labels))
                ]
            )
        return list(map(_together, zip(*drawn, strict=True))), other(image)

    both = over_images(work, images, advance=advance)
    rows = [row for row, _ in both]
    counts = np.array([[drawn.counts for drawn in row] for row in rows])
    samples = Samples(
        images,
        tuple(members),
        tuple(_joined(k, [row[k] for row in rows]) for k in range(counts.shape[1])),
        labelled=counts[:, :, 0],
        predicted=np.moveaxis(counts[:, :, 1::2], 2, 0),
        common=np.moveaxis(counts[:, :, 2::2], 2, 0),
    )
    return samples, [found for _, found in both]


def affordable(images: int, classes: int, members: int) -> int:
    """Open pixels of an image and class that `BYTES` and `PIXELS` allow.

    >>> affordable(340, 32, 5)
    44
    """
    by_memory = BYTES // (images * classes * members * classes)
    return int(np.clip(min(by_memory, PIXELS // images), _FEWEST, _MOST))


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Of one image and class: codes (M, K, p), truth (p,), weight (p,), and whole counts: true
    pixels, then predicted and common ones of each member and of the mean.
    """

    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    counts: list[int]


def _together(pieces: Sequence[_Drawn]) -> _Drawn:
    """The draws of the pieces of an image and class as one."""
    if len(pieces) == 1:
        return pieces[0]
    return _Drawn(
        np.concatenate([one.codes for one in pieces], axis=-1),
        np.concatenate([one.truth for one in pieces]),
        np.concatenate([one.weight for one in pieces]),
        np.sum([one.counts for one in pieces], axis=0).tolist(),
    )


def _rows_of(truth: Runs, rows: RowSpan | None) -> Runs:
    """As `rows_of`; labels of another height than was predicted are left for `_aligned` to refuse."""
    return truth if rows is not None and truth.height != rows.of else rows_of(truth, rows)


def _joined(k: int, drawn: Sequence[_Drawn]) -> ClassSample:
    """The draws of every image → one sample of class k."""
    codes = np.concatenate([one.codes for one in drawn], axis=-1)
    return ClassSample(
        np.repeat(np.arange(len(drawn)), [len(one.truth) for one in drawn]),
        codes,
        np.concatenate([one.truth for one in drawn]),
        np.concatenate([one.weight for one in drawn]),
        mean_decision(codes[:, k]),
    )


def _aligned(
    stored: Sequence[StoredLogits], truth: Runs, ignored: Runs | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """All members' codes uint8 (M, K, h, w) on the finest grid, cut to the image; truth bool
    (K, h, w); which pixels count, bool (h, w), None where all do. One that does not has the code 0.
    """
    places = [(s.codes.shape, s.geometry.region) for s in stored]
    finest = max(stored, key=lambda one: one.geometry.region[2] * one.geometry.region[3])
    like = _logit_grid(finest)
    codes = np.stack(
        [
            _codes(one)
            if place == (finest.codes.shape, finest.geometry.region)
            else quantise(on_grid_of(_logit_grid(one), like).values)
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
    counted = None
    if ignored is not None and len(ignored):
        counted = ~resize_nearest(ignored, (height, width)).to_dense()[0]
        # Surely absent and labelled so: neither counted nor open.
        codes, labels = codes * counted, labels & counted
    return codes, labels.reshape(-1, height, width), counted


def _window(geometry: Geometry) -> tuple[int, int, int, int]:
    """The whole grid pixels that show the image: top, left, height, width."""
    top, left, height, width = geometry.region
    rows, columns = (round(top), round(top + height)), (round(left), round(left + width))
    return rows[0], columns[0], max(1, rows[1] - rows[0]), max(1, columns[1] - columns[0])


def _logit_grid(stored: StoredLogits) -> LogitGrid:
    place = stored.geometry
    return LogitGrid(stored.logits(), None, None, place.region, place.size)


def _codes(stored: StoredLogits) -> np.ndarray:
    same = (stored.scale, stored.offset) == (SCALE, OFFSET)
    return stored.codes if same else quantise(stored.logits())


def _drawn(
    codes: np.ndarray,
    k: int,
    labelled: tuple[np.ndarray, np.ndarray | None],
    pixels: int,
    generator: np.random.Generator,
) -> _Drawn:
    """The draw of class k of one image: codes uint8 (M, K, h, w); labelled: truth bool (h, w), and
    which pixels count, as in `_aligned`.
    """
    truth, counted = labelled
    flat = codes.reshape(*codes.shape[:2], -1)
    own, inside = flat[:, k], truth.reshape(-1)
    rows = _busy_rows(codes[:, k], truth)
    busy = slice(rows.start * truth.shape[1], rows.stop * truth.shape[1])
    counts = [int(np.count_nonzero(inside))]
    for decided in (*(own[:, busy] >= 128), mean_decision(own[:, busy])):
        counts += [int(np.count_nonzero(decided)), int(np.count_nonzero(decided & inside[busy]))]
    # Settled: every member is sure (outside of ±BAND) and right. All others are open; outside of the
    # busy rows everything is settled.
    lowest, highest = own[:, busy].min(axis=0), own[:, busy].max(axis=0)
    settled = np.ones(inside.size, bool)
    settled[busy] = np.where(inside[busy], lowest >= 128 + BAND, highest <= 127 - BAND)
    open_ = busy.start + np.flatnonzero(~settled[busy])
    settled_count = inside.size - len(open_)
    if counted is not None:
        settled &= counted.reshape(-1)
        settled_count -= int(counted.size - np.count_nonzero(counted))
    few = max(1, pixels // 8)
    rest = generator.integers(0, settled.size, 4 * few)
    rest = np.unique(rest[settled[rest]][:few])
    share = max(1.0, len(open_) / pixels)  # of open pixels for each one that is drawn
    if share > 1:
        open_ = generator.choice(open_, pixels, replace=False, shuffle=False)
    places = np.concatenate([open_, rest])
    weight = np.full(len(places), share, np.float32)
    weight[len(open_) :] = settled_count / max(1, len(rest))
    return _Drawn(flat[:, :, places], inside[places], weight, counts)


def _busy_rows(codes: np.ndarray, truth: np.ndarray) -> slice:
    """From the first to the last row in which a class is labelled or not surely absent."""
    busy = codes.max(axis=(0, 2)) > 127 - BAND
    busy |= truth.any(axis=1)
    found = np.flatnonzero(busy)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def mean_decision(codes: np.ndarray) -> np.ndarray:
    """Whether the equal mean of codes uint8 (M, …) is above probability 0.5: bool (…)."""
    return codes.sum(axis=0, dtype=np.uint16) * np.uint16(2) > 255 * len(codes)
