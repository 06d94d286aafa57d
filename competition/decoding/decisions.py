"""`decisions.json`: what was decided out of fold, why, and how it scores; and applying it to images."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from competition.decoding.blend import EXPONENTS, Averaged, Blend, Reader, blend
from competition.decoding.head import Head
from competition.decoding.postprocess import (
    CHAINS,
    Operation,
    area_scale,
    exclusive_again,
    postprocessed_each,
)
from competition.decoding.threshold_sweep import Rules
from competition.errors import InputFault
from competition.evaluation.bootstrap import LEVEL
from competition.evaluation.groups import LEAST_GROUPS
from competition.evaluation.metric_sums import Score
from competition.evaluation.significance import Gain, bootstrap_keeps
from competition.masks import Runs
from competition.settings import Settings

_RENAMED = {"rules": "thresholds", "shapes": "post-processing"}  # in files of 0.1.0

StepKind = Annotated[
    Literal["mixture", "thresholds", "post-processing"],
    BeforeValidator(lambda kind: _RENAMED.get(str(kind), kind)),
]


def _in_turn(given: object) -> object:
    """One operation, or none by the name "as it is", as files of 0.1.0 have it, is a chain too."""
    if isinstance(given, str):
        return () if given == "as it is" else (given,)
    return given


Postprocessing = Annotated[tuple[Operation, ...], BeforeValidator(_in_turn)]


class Mixture(Settings):
    """What turns the members' stored logits into one prediction.

    heads: of the members that have one; weights: of a member, one for all classes or one for each;
    mean: what is averaged.
    """

    weights: dict[str, float | tuple[float, ...]]
    heads: dict[str, Head] = Field(default_factory=dict)
    mean: Averaged = "logits"

    @classmethod
    def equal(cls, members: Iterable[str]) -> "Mixture":
        """Logits as they are stored, with equal weights."""
        names = list(members)
        return cls(weights=dict.fromkeys(names, 1 / len(names)))

    @classmethod
    def of(
        cls,
        members: Iterable[str],
        weights: np.ndarray,
        heads: Iterable[Head] | None,
        *,
        mean: Averaged = "logits",
    ) -> "Mixture":
        """weights: float64 (K, M); heads: one a member, None where logits stay as they are."""
        names = list(members)
        by_member = {
            name: float(column[0]) if np.all(column == column[0]) else tuple(column.tolist())
            for name, column in zip(names, weights.T, strict=True)
        }
        decided = {} if heads is None else dict(zip(names, heads, strict=True))
        return cls(weights=by_member, heads=decided, mean=mean)

    def weight(self, member: str) -> float:
        """A member's mean weight over the classes."""
        return float(np.mean(self.weights[member]))

    @property
    def alone(self) -> str | None:
        """The only member with a weight, where there are others; None where members are mixed."""
        weighed = [name for name in self.weights if self.weight(name) > 0]
        return weighed[0] if len(weighed) == 1 < len(self.weights) else None

    def blended(self, readers: Mapping[str, Reader], *, exclusive: bool) -> Blend:
        """The members' predictions, mixed; InputFault for other members."""
        if set(self.weights) != set(readers):
            raise InputFault(
                f"the decisions are about the members {list(self.weights)}, the predictions are of "
                f"{list(readers)}; tune again"
            )
        ordered = {name: readers[name] for name in self.weights}
        return blend(ordered, self.weights, heads=self.heads, exclusive=exclusive, mean=self.mean)


class MemberWeight(Settings):
    """A member, its weight in the blend, and its own out-of-fold score at threshold 0.5."""

    name: str
    weight: float
    score: Score


class StepReport(Settings):
    """A step that was offered. gain, low, high, probability, p_value are cross-fitted.

    Gains of a head or of weights alone are measured on the grid of the logits, in Dice where the
    metric does not count pixels; all others at native size in the metric.
    """

    stage: StepKind
    name: str
    adopted: bool
    apparent_gain: float = Field(description="on the images that it was fitted on: too good")
    gain: float
    low: float
    high: float
    probability: float = Field(description="share of bootstrap draws with a gain")
    p_value: float = Field(description="of permuting before and after within groups")

    @classmethod
    def of(cls, stage: StepKind, name: str, apparent_gain: float, gain: Gain) -> "StepReport":
        """A step is adopted where its cross-fitted gain is significant."""
        found = {
            key: getattr(gain, key) for key in ("gain", "low", "high", "probability", "p_value")
        }
        adopted = gain.significant
        return cls(stage=stage, name=name, adopted=adopted, apparent_gain=apparent_gain, **found)

    def __str__(self) -> str:
        kept = "kept" if self.adopted else "not kept"
        return f"{self.name}: {kept}, {self.gains()}{self._second_test()}"

    def _second_test(self) -> str:
        """The p of the permutation test where it alone refuses the step; else ""."""
        if self.adopted or not bootstrap_keeps(self.gain, self.probability):
            return ""
        return f", permutation test p {self.p_value:.3f}, at most {1 - LEVEL:.2f} is kept"

    def gains(self) -> str:
        """The cross-fitted gain beside the apparent one."""
        return (
            f"gain {self.gain:+z.4f} ({self.low:+z.4f} to {self.high:+z.4f}), "
            f"apparent {self.apparent_gain:+z.4f}"
        )


class ClassRule(Settings):
    """A class is cut at `threshold`; dropped where fewer than `minimum_area` pixels are above `top`;
    then post-processed.
    """

    threshold: float = Field(ge=0, le=1)
    top: float = Field(ge=0, le=1)
    minimum_area: int = Field(ge=0, description="native pixels; 0: nothing is dropped")
    postprocess: Postprocessing = Field(
        (),
        validation_alias=AliasChoices("postprocess", "shape"),  # shape: files of 0.1.0
        description="operations, one after the other",
    )


class Decisions(Settings):
    """Everything that `submit` needs to turn stored logits into masks.

    mixture: heads and weights of the members; compared: class thresholds and each head alone, over
    nothing, on the grid; images, groups: how many the scores are over; plain: equal weights, no
    heads, threshold 0.5; empty: of masks that are all empty (None in files from before it was looked
    at); apparent: the rules on the images that they were fitted on; cross_fitted:
    nested cross-validation, the whole choice made again without the images that it is scored on;
    present, absent: the same over labelled and over empty masks alone (None where there are none, or
    the metric pools pixels). With one part nothing was decided, for want of groups.
    """

    images: int
    groups: int
    parts: int = Field(
        description="held-out parts, without each of which the choice was made again"
    )
    folds: tuple[int, ...]
    members: tuple[MemberWeight, ...]
    mixture: Mixture
    steps: tuple[StepReport, ...]
    compared: tuple[StepReport, ...] = ()
    plain: Score
    empty: Score | None = None
    apparent: float
    cross_fitted: Score
    present: float | None
    absent: float | None
    rules: dict[str, ClassRule]

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        heads, weights = self.mixture.heads, self.mixture.weights
        sizes = {len(head.bias) for head in heads.values()}
        sizes |= {len(weight) for weight in weights.values() if isinstance(weight, tuple)}
        if sizes - {len(self.rules)} or set(heads) - set(weights):
            raise ValueError("heads and weights are not those of its members and classes")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.rules)

    def text(self) -> str:
        """What was tried, what was kept, and what to expect."""
        lines = [
            f"out of fold, {self.images} images of {self.groups} groups",
            f"  {self.plain}  equal weights, threshold 0.5",
            *([] if self.empty is None else [f"  {self.empty}  an empty submission"]),
            *(f"    {step}" for step in self.steps),
            *(f"    ({step.name}: {step.gains()})" for step in self.compared),
        ]
        if self.mixture.alone is not None:
            lines.append(f"  of the members {self.mixture.alone} alone is submitted")
        elif self.mixture.mean in EXPONENTS:
            exponent = EXPONENTS[self.mixture.mean]
            lines.append(f"  probabilities are averaged by the power mean of exponent {exponent}")
        if self.parts > 1:
            lines += [
                f"  {self.cross_fitted}  nested cross-validation: decided again without each held-out "
                "part",
                f"  {self.apparent:.4f}  apparent, on the images that the rules were fitted on",
            ]
        else:
            lines.append(
                f"  nothing is decided: groups are held out in turn, and that takes {LEAST_GROUPS}"
            )
        if self.present is not None and self.absent is not None:
            lines.append(f"  present masks {self.present:.4f}, absent masks {self.absent:.4f}")
        return "\n".join(lines)


def plain_rules(classes: Sequence[str]) -> dict[str, ClassRule]:
    """Threshold 0.5, nothing dropped."""
    rule = ClassRule(threshold=0.5, top=0.5, minimum_area=0)
    return dict.fromkeys(classes, rule)


def class_rules(
    rules: Rules, thresholds: Sequence[float], classes: Sequence[str]
) -> dict[str, ClassRule]:
    """Rules that name places in a sweep's thresholds, as they are written down."""
    return {
        name: ClassRule(
            threshold=thresholds[rules.threshold[k]],
            top=thresholds[rules.top[k] if rules.minimum[k] else rules.threshold[k]],
            minimum_area=int(rules.minimum[k]),
            postprocess=CHAINS[rules.operation[k]],
        )
        for k, name in enumerate(classes)
    }


def read_decisions(path: Path, *, classes: Sequence[str]) -> Decisions:
    """InputFault where the file is damaged or about another class list."""
    decisions = Decisions.read(path, what="a file of decisions", again="tune again")
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
    scale = area_scale(size, together.native_size(image))
    minimum = np.array([rule.minimum_area for rule in order], np.float64)
    found = postprocessed_each(masks, [rule.postprocess for rule in order], scale=scale)
    found = exclusive_again(masks, found) if together.exclusive else found
    return found.only(sure.area() >= minimum * scale)
