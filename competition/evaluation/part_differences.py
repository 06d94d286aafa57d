"""Where the test images are unlike the training images, in size and colours: what needs no labels.

Each measure of an image (height, width, mean and deviation of each channel) is compared between the
parts by the two-sample Kolmogorov–Smirnov test, which sees another middle and another spread alike, with
p divided by the number of measures (Bonferroni). Images of one group are alike, so that groups are
counted and not images: with few groups nothing is sure, and nothing is said.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from competition.settings import Settings

SURE = 0.01
"""Of parts that were drawn alike at most so many are called unlike."""

_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class MeasuredPart:
    """sizes: float64 (N, 2), height and width; means, deviations: float64 (N, C) of each channel, in
    0…255; groups: how many the images are of.
    """

    sizes: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    groups: int


class PartDifference(Settings):
    """A measure whose values differ. train, test: the tenth, fiftieth and ninetieth percentile."""

    what: str
    train: tuple[float, float, float]
    test: tuple[float, float, float]
    distance: float = Field(description="Kolmogorov–Smirnov, 0 to 1")
    p_value: float

    def __str__(self) -> str:
        return f"{self.what} {_spread(self.train)} in training, {_spread(self.test)} in test"


def channel_measures(pixels: np.ndarray, white: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel of an image (H, W, C), in 0…255: each float64 (C,).

    Of large images some rows and columns are enough.
    """
    few = pixels[:: max(1, len(pixels) // 512), :: max(1, pixels.shape[1] // 512)]
    scale = 255 / white
    return few.mean(axis=(0, 1)) * scale, few.std(axis=(0, 1)) * scale


def part_differences(
    train: MeasuredPart, test: MeasuredPart, *, channels: Sequence[str] = ()
) -> tuple[PartDifference, ...]:
    """What is surely different, the largest difference first; channels: their names, if any."""
    from scipy.special import kolmogorov  # a quarter of a second, for those who need it

    ours, theirs = _measures(train, test, channels)
    weight = math.sqrt(train.groups * test.groups / (train.groups + test.groups))
    found = []
    for what, values in ours.items():
        distance = _distance(values, theirs[what])
        p_value = min(1.0, len(ours) * float(kolmogorov(weight * distance)))
        if p_value <= SURE:
            shown = {"train": _percentiles(values), "test": _percentiles(theirs[what])}
            found.append(PartDifference(what=what, distance=distance, p_value=p_value, **shown))
    return tuple(sorted(found, key=lambda one: -one.distance))


def unlike_text(differences: Sequence[PartDifference]) -> str:
    """One line that names what differs and by how much, and what follows for the interval."""
    return (
        "the test images are unlike the training images (median, 10 % to 90 %): "
        f"{'; '.join(map(str, differences))}. The interval of Private holds for test images like the "
        "training ones: Private may lie outside of it"
    )


def _measures(
    train: MeasuredPart, test: MeasuredPart, channels: Sequence[str]
) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    """Values (N,) by what they are of; grey images in three equal channels have one."""
    count = train.means.shape[1]
    grey = all(
        np.array_equal(values, np.repeat(values[:, :1], count, axis=1))
        for part in (train, test)
        for values in (part.means, part.deviations)
    )
    names = list(channels) or (
        list(_COLOURS) if count == 3 else [f"channel {c}" for c in range(count)]
    )
    names = ["grey"] if grey else names

    def by_name(part: MeasuredPart) -> dict[str, np.ndarray]:
        found = {"height": part.sizes[:, 0], "width": part.sizes[:, 1]}
        found |= {f"mean of {name}": part.means[:, c] for c, name in enumerate(names)}
        return found | {
            f"deviation of {name}": part.deviations[:, c] for c, name in enumerate(names)
        }

    return by_name(train), by_name(test)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest distance between two empirical distributions of values, (N,) and (M,).

    >>> _distance(np.array([1, 2, 3, 4]), np.array([2, 3, 4, 5])), _distance(np.ones(2), np.ones(3))
    (0.25, 0.0)
    """
    places = np.concatenate([one, other])
    shares = [
        np.searchsorted(np.sort(values), places, side="right") / len(values)
        for values in (one, other)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (10, 50, 90)).tolist()
    return low, middle, high


def _spread(percentiles: tuple[float, float, float]) -> str:
    low, middle, high = (f"{value:.0f}" for value in percentiles)
    return middle if low == high else f"{middle} ({low} to {high})"
