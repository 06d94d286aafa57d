"""`ensemble.json`: the members of a submission, their weights, and how each and their mean score."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition
from competition.tuning.chain import Sides, sides_of
from competition.tuning.decisions import MemberWeight, Score, score_of
from competition.tuning.ensemble import Blend, Reader, blend
from competition.tuning.measure import Measure
from competition.tuning.record import Record
from competition.tuning.statistics import Statistics, gather
from competition.tuning.thresholds import outcome, plain
from competition.workspace import read_json, write_json


class Ensemble(Record):
    """images, groups: how many the scores are over; score: of the blend. Thresholds are one half."""

    classes: tuple[str, ...]
    images: int
    groups: int
    folds: tuple[int, ...]
    members: tuple[MemberWeight, ...]
    score: Score

    def text(self) -> str:
        """A line for each member and one for the blend."""
        lines = [
            f"out of fold, {self.images} images of {self.groups} groups, thresholds of one half"
        ]
        lines += [
            f"  {member.score}  {member.name} × {member.weight:.3f}" for member in self.members
        ]
        together = [f"  {self.score}  their mean"] if len(self.members) > 1 else []
        return "\n".join([*lines, *together])

    def blended(self, readers: Mapping[str, Reader], *, exclusive: bool) -> Blend:
        """The members' predictions in these proportions; InputFault for other members."""
        self.require_members(readers)
        weights = {member.name: member.weight for member in self.members}
        return blend({name: readers[name] for name in weights}, weights, exclusive=exclusive)

    def require_members(self, readers: Mapping[str, Reader]) -> None:
        """InputFault unless the predictions are of the members that were weighed."""
        names = [member.name for member in self.members]
        if set(names) != set(readers):
            raise InputFault(
                f"the ensemble has the members {names}, the predictions are of {list(readers)}; "
                "run `python -m competition ensemble` again"
            )


def weigh_members(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    folds: pd.DataFrame,
    competition: Competition,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Ensemble:
    """Equal weights, and the out-of-fold scores at thresholds of one half.

    members: out-of-fold predictions by name, all of the same images; truth: masks (K, H, W) by
    image; folds: columns image, group, fold. `advance` is called images × `readings(members)`
    times.
    """
    weight = 1.0 / len(members)
    measured = {}
    for name, chosen in _readings(members).items():
        together = blend(chosen, exclusive=competition.exclusive)
        measure = Measure.of(competition)
        statistics = gather(together, truth, measure, thresholds=(0.5,), advance=advance)
        sides = sides_of(statistics.images, folds)
        measured[name] = _at_one_half(statistics, sides)
    score = measured[_TOGETHER if len(members) > 1 else next(iter(members))]
    return Ensemble(
        classes=competition.classes,
        images=len(sides.groups),
        groups=len(np.unique(sides.groups)),
        folds=tuple(int(fold) for fold in np.unique(sides.folds)),
        members=tuple(
            MemberWeight(name=name, weight=weight, score=measured[name]) for name in members
        ),
        score=score,
    )


def readings(members: Sequence[str] | Mapping[str, Reader]) -> int:
    """How often `weigh_members` goes through the images: each member, and their blend."""
    return 1 if len(members) == 1 else 1 + len(members)


def write_ensemble(path: Path, ensemble: Ensemble) -> None:
    write_json(path, ensemble.model_dump(mode="json"))


def read_ensemble(path: Path, *, classes: Sequence[str]) -> Ensemble:
    """InputFault where the file is damaged or about another class list."""
    try:
        ensemble = Ensemble.model_validate(read_json(path))
    except ValidationError as error:
        raise InputFault(
            f"{path} is not an ensemble ({error}); run `python -m competition ensemble --force`"
        ) from error
    if ensemble.classes != tuple(classes):
        raise InputFault(
            f"{path} is about the classes {list(ensemble.classes)}; the competition's are "
            f"{list(classes)}; run `python -m competition ensemble --force`"
        )
    return ensemble


_TOGETHER = ""


def _readings(members: Mapping[str, Reader]) -> dict[str, Mapping[str, Reader]]:
    """Each member alone and, where there are several, all together."""
    readings: dict[str, Mapping[str, Reader]] = {
        name: {name: reader} for name, reader in members.items()
    }
    if len(members) > 1:
        readings[_TOGETHER] = members
    return readings


def _at_one_half(statistics: Statistics, sides: Sides) -> Score:
    return score_of(statistics.measure, outcome(statistics, plain(statistics)), sides.groups)
