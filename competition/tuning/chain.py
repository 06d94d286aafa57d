"""Thresholds and empty rules: each step fitted on other folds, kept if it helps, reported honestly.

Three numbers answer three questions. *Apparent*: how rules score on the images that they were
fitted on (too good). *Gain* of a step: fitted on the other parts, scored on its own; this decides.
*Cross-fitted* score of the chain: the whole choice, acceptance included, is made again without the
images that it is scored on; this is what to expect.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from competition.errors import InputFault, listed
from competition.tuning.acceptance import Verdict, judge
from competition.tuning.measure import Measure
from competition.tuning.statistics import Statistics
from competition.tuning.thresholds import STEPS, Rules, outcome, plain

Stage = Literal["mixture", "rules", "shapes"]

PARTS = 5
"""Parts by group where the predictions are of fewer than three folds."""


@dataclass(frozen=True)
class Sides:
    """groups: which images are alike; parts: which are held back together; folds; each (N,)."""

    groups: np.ndarray
    parts: np.ndarray
    folds: np.ndarray

    def where(self, chosen: np.ndarray) -> "Sides":
        """Those of some images; chosen: bool (N,)."""
        return Sides(self.groups[chosen], self.parts[chosen], self.folds[chosen])


@dataclass(frozen=True)
class Judged:
    """A step with its apparent gain and the verdict on its cross-fitted one.

    stage: what it belongs to; gains of "mixture" are in Dice on the grid of the logits where the
    competition's metric does not count pixels, and else in the metric on that grid.
    """

    name: str
    apparent_gain: float
    verdict: Verdict
    stage: Stage


@dataclass(frozen=True)
class Fitted:
    """Adopted steps with the rules fitted on all images and, for each part, without it."""

    steps: tuple[str, ...]
    rules: Rules
    crossed: Mapping[int, Rules]


def sides_of(images: Iterable[str], folds: pd.DataFrame) -> Sides:
    """Groups, folds and parts of images, from columns image, group, fold.

    The parts are the folds; with fewer than three of them, groups dealt to `PARTS` parts, so that
    what is left can be parted again.
    """
    rows = folds.set_index("image")
    missing = [image for image in images if image not in rows.index]
    if missing:
        raise InputFault(
            listed([f"image {image!r} is predicted but in no fold" for image in missing])
        )
    chosen = rows.loc[list(images)]
    groups, fold = chosen["group"].to_numpy(str), chosen["fold"].to_numpy(np.int64)
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        raise InputFault(
            f"tuning holds groups back in turn and needs 3 or more; found {len(names)}"
        )
    if len(np.unique(fold)) >= 3:
        return Sides(groups, fold, fold)
    dealt = np.random.default_rng(0).permutation(len(names)) % PARTS
    return Sides(groups, dealt[place], fold)


class Chain(Protocol):
    """Steps that are offered in turn, each on top of those adopted before it."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def measure(self) -> Measure: ...

    @property
    def parts(self) -> np.ndarray: ...

    def crossed(self, steps: tuple[str, ...]) -> np.ndarray:
        """What each image adds to the score under steps fitted without its part, (N, K, C)."""

    def apparent(self, steps: tuple[str, ...]) -> float:
        """The score on the images that the steps are fitted on."""


class Fits:
    """The `Chain` of thresholds and empty rules: fitted on all images and, for each part, without it.

    Chains that begin alike share the fits of their beginning.
    """

    names = tuple(STEPS)
    stage: Stage = "rules"

    def __init__(
        self,
        statistics: Statistics,
        parts: np.ndarray,
        *,
        without: Mapping[int, Statistics] | None = None,
    ) -> None:
        """parts: of the images, (N,); without: for each part the statistics of all images as
        predicted by a mixture that has not seen it; None: nothing was fitted before.
        """
        self.statistics, self.measure, self.parts = statistics, statistics.measure, parts
        self._seen = {
            part: statistics if without is None else without[part]
            for part in np.unique(parts).tolist()
        }
        self._others = {part: seen.where(parts != part) for part, seen in self._seen.items()}
        self._known: dict[tuple[tuple[str, ...], int | None], Rules] = {}

    def rules(self, steps: tuple[str, ...], without: int | None = None) -> Rules:
        """Fitted one after the other, on all images or without those of a part."""
        key = steps, without
        if key not in self._known:
            images = self.statistics if without is None else self._others[without]
            self._known[key] = (
                STEPS[steps[-1]](images, self.rules(steps[:-1], without))
                if steps
                else plain(images)
            )
        return self._known[key]

    def fitted(self, steps: tuple[str, ...]) -> Fitted:
        """The rules of adopted steps."""
        crossed = {part: self.rules(steps, part) for part in self._seen}
        return Fitted(steps, self.rules(steps), crossed)

    def crossed(self, steps: tuple[str, ...]) -> np.ndarray:
        """See `Chain`."""
        result = np.empty_like(self.statistics.empty)
        for part, seen in self._seen.items():
            own = self.parts == part
            result[own] = outcome(seen.where(own), self.rules(steps, part))
        return result

    def apparent(self, steps: tuple[str, ...]) -> float:
        """See `Chain`."""
        return self.measure.score(outcome(self.statistics, self.rules(steps)))


def choose(chain: Chain, groups: np.ndarray) -> list[Judged]:
    """Every step in its order, judged on top of those adopted before it; groups: (N,)."""
    adopted: tuple[str, ...] = ()
    before = chain.crossed(adopted)
    measure, count = chain.measure, len(np.unique(chain.parts))
    judged = []
    for name in chain.names:
        steps = (*adopted, name)
        after = chain.crossed(steps)
        verdict = judge(before, after, groups, measure, parts=count)
        gain = measure.sign * (chain.apparent(steps) - chain.apparent(adopted))
        judged.append(Judged(name, gain, verdict, chain.stage))
        if verdict.adopted:
            adopted, before = steps, after
    return judged


def adopted_steps(judged: Iterable[Judged]) -> tuple[str, ...]:
    return tuple(step.name for step in judged if step.verdict.adopted)
