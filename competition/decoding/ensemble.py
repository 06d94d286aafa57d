"""`ensemble.json`: the members of a submission, their weights, and how each and their mean score."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from competition.decoding.blend import Blend, Reader, blend
from competition.decoding.decisions import MemberWeight
from competition.decoding.threshold_sweep import require_labels
from competition.errors import InputFault
from competition.evaluation.groups import groups_and_folds
from competition.evaluation.metric_sums import MetricSums, Score, Slices
from competition.masks import Runs
from competition.settings import Settings
from competition.spec import Competition


class MemberScores(Settings):
    """images, groups: how many the scores are over; score: of the blend. All at threshold 0.5.

    empty: of masks that are all empty; None in files from before it was looked at.
    """

    classes: tuple[str, ...]
    images: int
    groups: int
    folds: tuple[int, ...]
    members: tuple[MemberWeight, ...]
    score: Score
    empty: Score | None = None

    def text(self) -> str:
        """A line for each member and one for the blend."""
        lines = [f"out of fold, {self.images} images of {self.groups} groups, threshold 0.5"]
        lines += [f"  {one.score}  {one.name} × {one.weight:.3f}" for one in self.members]
        together = [f"  {self.score}  their mean"] if len(self.members) > 1 else []
        nothing = [] if self.empty is None else [f"  {self.empty}  an empty submission"]
        return "\n".join([*lines, *together, *nothing])

    def blended(self, readers: Mapping[str, Reader], *, exclusive: bool) -> Blend:
        """The members' predictions with these weights; InputFault for other members."""
        self.require_members(readers)
        weights = {member.name: member.weight for member in self.members}
        return blend({name: readers[name] for name in weights}, weights, exclusive=exclusive)

    def require_members(self, readers: Mapping[str, Reader]) -> None:
        """InputFault unless the predictions are of the members that were scored."""
        names = [member.name for member in self.members]
        if set(names) != set(readers):
            raise InputFault(
                f"the ensemble has the members {names}, the predictions are of {list(readers)}; "
                "run `python -m competition ensemble` again"
            )


def score_members(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    folds: pd.DataFrame,
    competition: Competition,
    *,
    slices: Slices = MappingProxyType({}),
    ignored: Mapping[str, Runs] = MappingProxyType({}),
    advance: Callable[[], None] = lambda: None,
) -> MemberScores:
    """Equal weights, and the out-of-fold scores at threshold 0.5.

    members: out-of-fold predictions by name, all of the same images; truth: masks (K, H, W) by
    image; folds: columns image, group, fold; slices: for metrics of volumes; ignored: by image the
    pixels (1, H, W) that do not count. `advance` is called images × `passes(members)` times.
    """
    metric_sums = MetricSums.of(competition, slices)

    def scored(chosen: Mapping[str, Reader]) -> Score:
        together = blend(chosen, exclusive=competition.exclusive)
        sums = plain_sums(together, truth, metric_sums, ignored=ignored, advance=advance)
        return metric_sums.score(sums, groups_and_folds(together.images, folds)[0])

    scores = {name: scored({name: reader}) for name, reader in members.items()}
    images = next(iter(members.values())).images
    groups, numbers = groups_and_folds(images, folds)
    return MemberScores(
        classes=competition.classes,
        images=len(images),
        groups=len(np.unique(groups)),
        folds=tuple(int(fold) for fold in np.unique(numbers)),
        members=tuple(
            MemberWeight(name=name, weight=1.0 / len(members), score=score)
            for name, score in scores.items()
        ),
        score=scored(members) if len(members) > 1 else next(iter(scores.values())),
        empty=metric_sums.score(empty_sums(images, truth, metric_sums, ignored), groups),
    )


def empty_sums(
    images: Sequence[str],
    truth: Mapping[str, Runs],
    metric_sums: MetricSums,
    ignored: Mapping[str, Runs],
) -> np.ndarray:
    """What images add where every mask that is handed in is empty, float64 (N, K, C)."""
    nothing = metric_sums.of_images(
        images,
        truth.__getitem__,
        lambda image: [Runs.empty(truth[image].shape)],
        ignored=ignored,
    )
    return nothing[:, 0]


def plain_sums(
    together: Blend,
    truth: Mapping[str, Runs],
    metric_sums: MetricSums,
    *,
    ignored: Mapping[str, Runs] = MappingProxyType({}),
    advance: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """What a blend's images add at threshold 0.5, float64 (N, K, C)."""
    require_labels(together.images, truth)
    half = np.array([0.5])
    sums = metric_sums.of_images(
        together.images,
        truth.__getitem__,
        lambda image: together.runs_at(image, half),
        ignored=ignored,
        advance=advance,
    )
    return sums[:, 0]


def passes(members: Sequence[str] | Mapping[str, Reader]) -> int:
    """How often `score_members` goes through the images: for each member, and for their blend."""
    return 1 if len(members) == 1 else 1 + len(members)


def read_ensemble(path: Path, *, classes: Sequence[str]) -> MemberScores:
    """InputFault where the file is damaged or about another class list."""
    again = "run `python -m competition ensemble --force`"
    ensemble = MemberScores.read(path, what="an ensemble", again=again)
    if ensemble.classes != tuple(classes):
        raise InputFault(
            f"{path} is about the classes {list(ensemble.classes)}; the competition's are "
            f"{list(classes)}; {again}"
        )
    return ensemble
