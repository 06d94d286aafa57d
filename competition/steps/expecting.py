"""What a submission is expected to score: its out-of-fold sums by group, and the Private interval."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from competition.entry import Entry
from competition.steps.bench import Bench
from competition.steps.stores import mean_predictions, out_of_fold, stores
from competition.tuning.averaging import (
    NO_SHIFT,
    USUAL,
    Masks,
    Rate,
    Shift,
    compare,
    rate_of,
    shift_of,
)
from competition.tuning.decisions import ClassRule, decide, plain_rules
from competition.tuning.ensemble import Blend, Reader, blend
from competition.tuning.groups import GroupSums
from competition.tuning.measure import Measure
from competition.tuning.shakeup import BoardSize, Expected, expect_private

SAMPLE = 200
"""Images, evenly spread, on which folds and members are compared."""

Rules = Mapping[str, ClassRule]

Mix = Callable[[Mapping[str, Reader]], Blend]
"""Members' predictions by name → their blend as it is handed in."""


def expected_private(
    bench: Bench, entry: Entry, sums: GroupSums, mix: Mix, rules: Rules
) -> Expected | None:
    """The interval of Private under these rules; None with fewer than two groups out of fold."""
    if len(sums.names) < 2:
        return None
    project = bench.project
    test = project.part("test")
    share = project.competition.submission.public
    size = BoardSize.of(test["group"].nunique(), len(test), share, sums)
    shift = fold_shift(bench, entry, mix, rules)
    return expect_private(sums, Measure.of(project.competition), size, shift)


def plain_sums(bench: Bench, entry: Entry, mix: Mix) -> GroupSums:
    """Out-of-fold sums of the blend at thresholds of one half."""
    project = bench.project
    together = mix(out_of_fold(bench, entry))
    masks = masks_under(together, plain_rules(project.competition.classes))
    measure = Measure.of(project.competition)
    with bench.watch("scoring out of fold", len(together.images)) as advance:
        rows = []
        for image in together.images:
            rows.append(measure.parts(project.labels[image], masks(image)))
            advance()
    return GroupSums.of(np.array(rows), _groups(bench, together.images))


def fold_shift(bench: Bench, entry: Entry, mix: Mix, rules: Rules) -> Shift:
    """By how much the mean over the entry's folds is better than one of them."""
    if len(entry.folds) == 1:
        return NO_SHIFT
    mean = mix(mean_predictions(bench, entry))
    by_fold = [
        {str(member): stores(bench, member, (fold,), "test")[0] for member in entry.members}
        for fold in entry.folds
    ]
    measure = Measure.of(bench.project.competition)
    compared = compare(
        spread(mean.images),
        masks_under(mean, rules),
        [masks_under(mix(readers), rules) for readers in by_fold],
        measure,
    )
    return shift_of(compared, member_rate(bench, entry), measure)


def member_rate(bench: Bench, entry: Entry) -> Rate:
    """What averaging gains per distance, from the entry's members on labelled images."""
    members = out_of_fold(bench, entry)
    if len(members) < 2:
        return USUAL
    competition = bench.project.competition
    rules = plain_rules(competition.classes)
    together = blend(members, exclusive=competition.exclusive)
    singles = [
        blend({name: reader}, exclusive=competition.exclusive) for name, reader in members.items()
    ]
    images = spread(together.images)
    measure = Measure.of(competition)
    compared = compare(
        images,
        masks_under(together, rules),
        [masks_under(single, rules) for single in singles],
        measure,
        truth=bench.project.labels.__getitem__,
    )
    return rate_of(compared, _groups(bench, images), measure)


def masks_under(together: Blend, rules: Rules) -> Masks:
    return lambda image: decide(together, image, rules)


def spread(images: Sequence[str]) -> tuple[str, ...]:
    """At most `SAMPLE` of them, evenly spread."""
    return tuple(images[:: -(-len(images) // SAMPLE)])


def _groups(bench: Bench, images: Sequence[str]) -> np.ndarray:
    return np.array([bench.project.groups[image] for image in images])
