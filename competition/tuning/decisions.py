"""`decisions.json`: what was decided out of fold, why, and how it scores; and applying it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from competition.errors import InputFault
from competition.masks import Runs
from competition.tuning.chain import Stage
from competition.tuning.ensemble import Blend
from competition.tuning.measure import Measure
from competition.tuning.mixture import Mixture
from competition.tuning.record import Record
from competition.tuning.shapes import Shape, areas_scale, resolved, shaped_each
from competition.workspace import read_json, write_json


class Score(Record):
    """A score with its 95 % bootstrap interval over groups (None with fewer than two groups)."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        between = "" if self.low is None else f" ({self.low:.4f} to {self.high:.4f})"
        return f"{self.value:.4f}{between}"


class MemberWeight(Record):
    """A member, its share of the blend, and its own out-of-fold score at thresholds of one half."""

    name: str
    weight: float
    score: Score


class StepReport(Record):
    """A step of the chain. gain, low, high, probability, p_value are cross-fitted.

    Gains of a head or of weights alone are measured on the grid of the logits, in Dice where the
    metric does not count pixels; all others at native size in the metric.
    """

    stage: Stage
    name: str
    adopted: bool
    apparent_gain: float = Field(description="on the images that it was fitted on: too good")
    gain: float
    low: float
    high: float
    probability: float = Field(description="share of bootstrap draws with a gain")
    p_value: float = Field(description="of exchanging before and after within groups")

    def __str__(self) -> str:
        kept = "kept" if self.adopted else "not kept"
        return f"{self.name}: {kept}, {self.gains()}"

    def gains(self) -> str:
        """The cross-fitted gain beside the apparent one."""
        return (
            f"gain {self.gain:+.4f} ({self.low:+.4f} to {self.high:+.4f}), "
            f"apparent {self.apparent_gain:+.4f}"
        )


class ClassRule(Record):
    """Cut at `threshold`; drop what has fewer than `minimum_area` pixels above `top`; then shape."""

    threshold: float = Field(ge=0, le=1)
    top: float = Field(ge=0, le=1)
    minimum_area: int = Field(ge=0, description="native pixels; 0: nothing is dropped")
    shape: Shape = "as it is"


class Decisions(Record):
    """Everything that `submit` needs to turn stored logits into masks.

    mixture: heads and weights of the members; compared: class thresholds and each head alone, over
    nothing, on the grid; images, groups: how many the scores are over; plain: equal weights, no
    heads, thresholds of one half; apparent: the rules on the images that they were fitted on;
    cross_fitted: the whole choice made again without the images that it is scored on; present,
    absent: the same over labelled and over empty masks alone (None where there are none, or the
    metric pools pixels).
    """

    images: int
    groups: int
    parts: int = Field(description="the choice was made again without each of them")
    folds: tuple[int, ...]
    members: tuple[MemberWeight, ...]
    mixture: Mixture
    steps: tuple[StepReport, ...]
    compared: tuple[StepReport, ...] = ()
    plain: Score
    apparent: float
    cross_fitted: Score
    present: float | None
    absent: float | None
    rules: dict[str, ClassRule]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.rules)

    def text(self) -> str:
        """What was tried, what was kept, and what to expect."""
        lines = [
            f"out of fold, {self.images} images of {self.groups} groups",
            f"  {self.plain}  equal weights, thresholds of one half",
            *(f"    {step}" for step in self.steps),
            *(f"    ({step.name}: {step.gains()})" for step in self.compared),
            f"  {self.cross_fitted}  cross-fitted, the whole choice made again for each part",
            f"  {self.apparent:.4f}  apparent, on the images that the rules were fitted on",
        ]
        if self.present is not None and self.absent is not None:
            lines.append(f"  present masks {self.present:.4f}, absent masks {self.absent:.4f}")
        return "\n".join(lines)


def score_of(measure: Measure, parts: np.ndarray, groups: np.ndarray) -> Score:
    """The score of (N, K, C) parts with its interval over groups (N,)."""
    value, low, high = measure.interval(parts, groups)
    bounds = {"low": low, "high": high}
    return Score(value=value, **{k: None if math.isnan(v) else v for k, v in bounds.items()})


def plain_rules(classes: Sequence[str]) -> dict[str, ClassRule]:
    """Thresholds of one half, nothing dropped."""
    rule = ClassRule(threshold=0.5, top=0.5, minimum_area=0)
    return dict.fromkeys(classes, rule)


def write_decisions(path: Path, decisions: Decisions) -> None:
    write_json(path, decisions.model_dump(mode="json"))


def read_decisions(path: Path, *, classes: Sequence[str]) -> Decisions:
    """InputFault where the file is damaged or about another class list."""
    try:
        decisions = Decisions.model_validate(read_json(path))
    except ValidationError as error:
        raise InputFault(f"{path} is not a file of decisions ({error}); tune again") from error
    if decisions.classes != tuple(classes):
        raise InputFault(
            f"{path} has rules for {list(decisions.classes)}; the competition's classes are "
            f"{list(classes)}; tune again"
        )
    return decisions


def decide(
    together: Blend,
    image: str,
    rules: Mapping[str, ClassRule],
    size: tuple[int, int] | None = None,
) -> Runs:
    """Masks (K, H, W) of an image under the rules, at `size` (default: native).

    Areas are of native pixels and grow or shrink with another size.
    """
    order = list(rules.values())
    cuts = np.array([[rule.threshold for rule in order], [rule.top for rule in order]])
    masks, sure = together.runs_at(image, cuts, size)
    scale = areas_scale(size, together.native_size(image))
    minimum = np.array([rule.minimum_area for rule in order], np.float64)
    found = shaped_each(masks, [rule.shape for rule in order], scale=scale)
    found = resolved(masks, found) if together.exclusive else found
    return _only(found, sure.area() >= minimum * scale)


def _only(masks: Runs, kept: np.ndarray) -> Runs:
    """The masks with the classes emptied that are not kept, bool (K,)."""
    bounds = masks.class_bounds()
    chosen = np.repeat(kept, np.diff(bounds))
    return Runs.trusted(masks.starts[chosen], masks.stops[chosen], masks.shape)
