"""Shapes chosen per class: what each would add is gathered in one pass at the thresholds chosen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from competition.masks import Runs
from competition.tuning.chain import Stage
from competition.tuning.evidence import Evidence, Key, View
from competition.tuning.measure import Measure
from competition.tuning.passes import over_images
from competition.tuning.shapes import SHAPES, Shape, in_every_shape, resolved
from competition.tuning.statistics import Statistics
from competition.tuning.thresholds import Rules, best

STEPS: dict[str, tuple[Shape, ...]] = {
    "opening or closing": ("opening", "closing"),
    "holes filled": ("holes filled",),
    "components": (
        "largest component",
        "components from 12",
        "components from 50",
        "components from 200",
        "components from 800",
    ),
}
"""Steps in the order in which they are judged; a class has one shape, the best of those offered."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Images under fixed thresholds and empty rules.

    shaped: float64 (N, K, S, C) what each adds in each of `SHAPES`; kept: bool (N, K) what the
    empty rules leave.
    """

    statistics: Statistics
    rules: Rules
    shaped: np.ndarray
    kept: np.ndarray

    def where(self, chosen: np.ndarray) -> "Scene":
        return Scene(
            self.statistics.where(chosen), self.rules, self.shaped[chosen], self.kept[chosen]
        )

    def fit(self, steps: Iterable[str]) -> Rules:
        """The rules with the best shape of each class among those that the steps offer."""
        offered = [0, *(SHAPES.index(shape) for step in steps for shape in STEPS[step])]
        masks = self.shaped[:, :, offered]
        empty = self.statistics.empty[:, :, None]
        sums = np.where(self.kept[..., None, None], masks, empty).sum(axis=0)
        scores = self.statistics.measure.per_class(sums.swapaxes(0, 1)).T
        return replace(self.rules, shape=np.array([offered[best(row)] for row in scores]))

    def outcome(self, rules: Rules) -> np.ndarray:
        """What each image and class adds in the shapes of the rules, float64 (N, K, C)."""
        chosen = self.shaped[:, np.arange(self.shaped.shape[1]), rules.shape]
        return np.where(self.kept[..., None], chosen, self.statistics.empty)


Wanted = list[tuple[View, Rules]]

Levels = tuple[tuple[int, ...], ...]
"""For each class the places of thresholds in the grid."""


@dataclass(frozen=True, eq=False)
class ShapeStatistics:
    """What images add in each shape: by key and place of the image, float64 (T, S, K, C) at the
    levels of the key.
    """

    levels: Mapping[Key, Levels]
    parts: Mapping[tuple[Key, int], np.ndarray]

    def scene(self, view: View, rules: Rules) -> Scene:
        """All images of a view under rules that were announced before the pass."""
        kinds = np.arange(view.statistics.classes)
        rows = [self._row(key, place, rules, kinds) for place, key in enumerate(view.keys)]
        kept = view.statistics.areas[:, kinds, rules.top] >= rules.minimum
        return Scene(view.statistics, rules, np.stack(rows), kept)

    def _row(self, key: Key, place: int, rules: Rules, kinds: np.ndarray) -> np.ndarray:
        levels = self.levels[key]
        at = [levels[kind].index(int(rules.threshold[kind])) for kind in kinds]
        return self.parts[key, place][at, :, kinds]


def gather_shapes(
    evidence: Evidence, wanted: Wanted, *, advance: Callable[[], None] = lambda: None
) -> ShapeStatistics:
    """One pass over the images at the thresholds of all wanted views and rules."""
    levels = _levels(wanted)
    source, images = evidence.source, evidence.mixer.samples.images
    grid = np.array(wanted[0][0].statistics.thresholds)
    blends = {key: evidence.blend(key) for key in levels}

    def work(place: int, image: str) -> dict[tuple[Key, int], np.ndarray]:
        truth, keys = source.truth[image], {view.keys[place] for view, _ in wanted}
        return {
            (key, place): shape_parts(
                blends[key].runs_at(image, grid[_rectangle(levels[key])]),
                truth,
                source.measure,
                exclusive=source.exclusive,
            )
            for key in keys
        }

    rows = over_images(work, images, advance=advance)
    return ShapeStatistics(levels, {key: part for one in rows for key, part in one.items()})


def _levels(wanted: Wanted) -> dict[Key, Levels]:
    """Every threshold of each class that some wanted rules cut a key's images at."""
    found: dict[Key, list[set[int]]] = {}
    for view, rules in wanted:
        for key in set(view.keys):
            sets = found.setdefault(key, [set() for _ in rules.threshold])
            for own, level in zip(sets, rules.threshold.tolist(), strict=True):
                own.add(level)
    return {key: tuple(tuple(sorted(own)) for own in sets) for key, sets in found.items()}


def _rectangle(levels: Levels) -> np.ndarray:
    """int64 (T, K): the levels of each class, the last repeated where it has fewer than others.

    >>> _rectangle(((9,), (4, 7)))
    array([[9, 4],
           [9, 7]])
    """
    longest = max(map(len, levels))
    return np.array([own + own[-1:] * (longest - len(own)) for own in levels]).T


def shape_parts(
    masks: Sequence[Runs], truth: Runs, measure: Measure, *, exclusive: bool
) -> np.ndarray:
    """What T masks (K, H, W) of an image add in each shape, float64 (T, S, K, C)."""
    together = Runs.stack([mask for one in masks for mask in one])
    labels = truth.select(list(range(truth.classes)) * len(masks))
    plain = measure.parts(labels, together)
    columns = []
    for shaped in in_every_shape(together).values():
        if exclusive and shaped != together:
            shaped = _resolved(masks, shaped)
        columns.append(plain if shaped == together else measure.parts(labels, shaped))
    return np.stack([one.reshape(len(masks), truth.classes, -1) for one in columns], axis=1)


def _resolved(masks: Sequence[Runs], shaped: Runs) -> Runs:
    """`resolved` of each of T masks (K, H, W), shaped (T · K, H, W)."""
    kinds = masks[0].classes
    parts = (shaped.select(range(n * kinds, (n + 1) * kinds)) for n in range(len(masks)))
    pairs = zip(masks, parts, strict=True)
    return Runs.stack([mask for pair in pairs for mask in resolved(*pair)])


@dataclass(frozen=True, eq=False)
class ShapeFits:
    """The `Chain` of shapes. scenes: for each part all images under rules fitted without it."""

    whole: Scene
    scenes: Mapping[int, Scene]
    parts: np.ndarray
    names: tuple[str, ...] = tuple(STEPS)
    stage: Stage = "shapes"

    @property
    def measure(self) -> Measure:
        return self.whole.statistics.measure

    def crossed(self, steps: tuple[str, ...]) -> np.ndarray:
        """See `Chain`."""
        result = np.empty_like(self.whole.statistics.empty)
        for part in np.unique(self.parts).tolist():
            scene, own = self.scenes[part], self.parts == part
            rules = scene.where(~own).fit(steps)
            result[own] = scene.where(own).outcome(rules)
        return result

    def apparent(self, steps: tuple[str, ...]) -> float:
        """See `Chain`."""
        return self.measure.score(self.whole.outcome(self.whole.fit(steps)))
