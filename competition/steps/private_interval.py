"""What a submission is expected to score on Private, from its out-of-fold sums by group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd

from competition.data.strips import overview
from competition.decoding.blend import Blend, Reader, blend
from competition.decoding.decisions import ClassRule, decide, plain_rules
from competition.decoding.ensemble import plain_sums
from competition.entry import Entry
from competition.evaluation.groups import GroupSums
from competition.evaluation.metric_sums import Masks, Slices, volume_of
from competition.evaluation.part_differences import (
    MeasuredPart,
    PartDifference,
    channel_measures,
    part_differences,
    unlike_text,
)
from competition.evaluation.private_interval import (
    NO_SHIFT,
    USUAL,
    BoardSize,
    Estimate,
    PrivateInterval,
    averaging_rate,
    fold_shift,
    member_sums,
    private_interval,
)
from competition.project import Project
from competition.steps.prediction_stores import mean_predictions, out_of_fold, stores

SAMPLE = 200
"""Images, evenly spread, on which folds and members are compared."""

MEASURED = 64
"""Images of each part whose sizes and colours are compared: so few that no distance of less than .32
between two distributions is sure (normal ones 0.8 deviations apart). Smaller ones are everywhere."""

Mix = Callable[[Mapping[str, Reader]], Blend]
"""Members' predictions by name → their blend as it is submitted."""


def interval_of_entry(
    project: Project, entry: Entry, sums: GroupSums, mix: Mix, rules: Mapping[str, ClassRule]
) -> PrivateInterval | None:
    """The interval of Private under these rules; None with fewer than two groups out of fold, or
    without a test part. Says where the test images are unlike the training images.
    """
    if len(sums.names) < 2 or not project.has_test_part:
        return None
    test = project.rows("test")
    share = project.competition.submission.public
    size = BoardSize.of(test["group"].nunique(), len(test), share, sums)
    differs = differences_of(project, size)
    if differs:
        project.say(f"warning: {unlike_text(differs)}")
    shift = _fold_shift(project, entry, mix, rules)
    return private_interval(sums, project.metric_sums, size, shift, differs=differs)


def differences_of(project: Project, size: BoardSize) -> tuple[PartDifference, ...]:
    """In what the test images differ from the training images, from some of each."""
    train, test = project.rows("train"), project.rows("test")
    with project.watch(
        "comparing images", sum(min(MEASURED, len(x)) for x in (train, test))
    ) as bar:
        ours, theirs = (_measured(project, rows, bar) for rows in (train, test))
    # A test part that does not say of which group an image is counts as `BoardSize` has it.
    theirs = replace(theirs, groups=min(theirs.groups, size.public + size.private))
    return part_differences(ours, theirs, channels=project.competition.data.bands)


def _measured(project: Project, rows: pd.DataFrame, advance: Callable[[], None]) -> MeasuredPart:
    """Sizes and colours of at most `MEASURED` images of a part, evenly spread."""
    data, root = project.competition.data, project.competition.root
    few = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, MEASURED).round().astype(int))]
    found = []
    for path in few["path"]:
        found.append(channel_measures(overview(root, path, data), data.white))
        advance()
    means, deviations = (np.stack(values) for values in zip(*found, strict=True))
    sizes = few[["height", "width"]].to_numpy(np.float64)
    return MeasuredPart(sizes, means, deviations, few["group"].nunique())


def plain_group_sums(project: Project, entry: Entry, mix: Mix) -> GroupSums:
    """Out-of-fold sums of the blend at threshold 0.5."""
    together = mix(out_of_fold(project, entry))
    with project.watch("scoring out of fold", len(together.images)) as advance:
        sums = plain_sums(
            together, project.labels, project.metric_sums, ignored=project.ignored, advance=advance
        )
    return GroupSums.of(sums, _groups(project, together.images))


def _fold_shift(
    project: Project, entry: Entry, mix: Mix, rules: Mapping[str, ClassRule]
) -> Estimate:
    """By how much the mean over the entry's folds is better than one of them."""
    if len(entry.folds) == 1:
        return NO_SHIFT
    mean = mix(mean_predictions(project, entry))
    by_fold = [
        {str(member): stores(project, member, (fold,), "test")[0] for member in entry.members}
        for fold in entry.folds
    ]
    singles = [masks_under(mix(readers), rules) for readers in by_fold]
    images = spread(mean.images, project.slices)
    apart = member_sums(images, masks_under(mean, rules), singles, project.metric_sums)
    return fold_shift(apart, _member_rate(project, entry), project.metric_sums)


def _member_rate(project: Project, entry: Entry) -> Estimate:
    """What averaging gains per distance, from the entry's members on labelled images.

    Refined predictions are no other network's: they do not count beside those that they are made of.
    """
    alone = [one for one in entry.members if not (one.refined and one.network in entry.members)]
    members = out_of_fold(project, replace(entry, members=tuple(alone)))
    if len(members) < 2:
        return USUAL
    rules = plain_rules(project.classes)
    mix = partial(blend, exclusive=project.exclusive)
    together = mix(members)
    mean = masks_under(together, rules)
    singles = [masks_under(mix({name: reader}), rules) for name, reader in members.items()]
    images = spread(together.images, project.slices)
    measured = partial(
        member_sums, images, mean, singles, project.metric_sums, ignored=project.ignored
    )
    apart, scored = measured(), measured(truth=project.labels.__getitem__)
    return averaging_rate(apart, scored, _groups(project, images), project.metric_sums)


def masks_under(together: Blend, rules: Mapping[str, ClassRule]) -> Masks:
    return lambda image: decide(together, image, rules)


def spread(images: Sequence[str], slices: Slices = MappingProxyType({})) -> tuple[str, ...]:
    """At most `SAMPLE` of them, evenly spread; of slices about so many, in whole volumes."""
    owners = [volume_of(image, slices) for image in images]
    chosen = set(list(dict.fromkeys(owners))[:: -(-len(images) // SAMPLE)])
    return tuple(image for image, owner in zip(images, owners, strict=True) if owner in chosen)


def _groups(project: Project, images: Sequence[str]) -> np.ndarray:
    return np.array([project.groups[image] for image in images])
