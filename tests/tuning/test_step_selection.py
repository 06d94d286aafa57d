"""Nothing is chosen on data that it is reported on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_stores import DICE, sweep_of

from competition.decoding.threshold_sweep import THRESHOLDS
from competition.errors import InputFault
from competition.evaluation.groups import Partition, partition_of
from competition.evaluation.significance import step_gain
from competition.tuning.step_selection import adopted_steps, select_steps
from competition.tuning.thresholds import ThresholdFits

CANDIDATES = tuple(np.linspace(0.25, 0.75, 201).round(4).tolist())


def partition(images, parts=5):
    groups = np.arange(images) // 2
    return Partition(groups.astype(str), groups % parts, groups % parts)


def equal_candidates(seed):
    """201 thresholds that are equal by construction: each scores the same plus noise."""
    generator = np.random.default_rng(seed)
    group = generator.normal(0, 0.05, (60, 1, 1)).repeat(2, axis=0)
    scores = 0.7 + group + generator.normal(0, 0.05, (120, 3, len(CANDIDATES)))
    return sweep_of(scores, thresholds=CANDIDATES)


def gains_on_equal_candidates(seed):
    swept, both = equal_candidates(seed), partition(120)
    fits = ThresholdFits(swept, both.parts)
    before, after = fits.crossed(()), fits.crossed(("class thresholds",))
    apparent = fits.apparent(("class thresholds",)) - fits.apparent(())
    return apparent, step_gain(before, after, both.groups, DICE, parts=5)


def test_the_best_of_200_equal_candidates_gains_apparently_and_not_in_truth():
    found = [gains_on_equal_candidates(seed) for seed in range(30)]
    assert all(apparent > 0.003 for apparent, _ in found)
    covered = sum(gain.low < 0 < gain.high for _, gain in found)
    assert covered >= 26  # of 30 at 95 %, fewer would happen once in 60 times by chance
    assert sum(gain.significant for _, gain in found) <= 4


def test_a_planted_leak_is_noticed(monkeypatch):
    """With rules that saw their own part the test above fails: it can tell."""

    def leaky(fits, steps):
        return fits.found.outcome(fits.rules(steps))

    monkeypatch.setattr(ThresholdFits, "crossed", leaky)
    _, gain = gains_on_equal_candidates(0)
    assert gain.low > 0 and gain.significant


def better_at(place, seed=0, gain=0.05):
    """Scores that are better by `gain` at one place of the grid."""
    scores = (
        np.random.default_rng(seed).normal(0.7, 0.02, (60, 2, 1)).repeat(len(THRESHOLDS), axis=2)
    )
    scores[:, :, place] += gain
    return sweep_of(scores)


def test_a_real_gain_is_adopted():
    swept, both = better_at(6), partition(60)
    reports = select_steps(ThresholdFits(swept, both.parts), both.groups)
    assert adopted_steps(reports) == ("one threshold",)
    assert reports[0].apparent_gain == pytest.approx(0.05)


def test_every_step_is_reported_adopted_or_not():
    both = partition(60)
    names = [
        step.name for step in select_steps(ThresholdFits(better_at(6), both.parts), both.groups)
    ]
    assert names == ["one threshold", "class thresholds", "minimum area", "double threshold"]


def test_the_labels_of_a_part_never_touch_the_rules_that_score_it():
    """Worse scores at the chosen threshold in part 0 leave the rules for part 0 as they were."""
    swept, both = better_at(6), partition(60)
    held = both.parts == 0
    sums = swept.sums.copy()
    sums[held, :, 6, 0] -= 0.5
    changed = replace(swept, sums=sums)
    before, after = (
        ThresholdFits(s, both.parts).crossed(("one threshold",)) for s in (swept, changed)
    )
    assert np.array_equal(after[held], sums[held, :, 6])
    assert np.array_equal(before[held], swept.sums[held, :, 6])


def test_rules_on_a_mixture_are_fitted_and_scored_through_the_one_that_did_not_see_the_part():
    seen, both = better_at(6), partition(60)
    without = {part: better_at(12, seed=part) for part in range(5)}
    found = ThresholdFits(seen, both.parts, without=without).crossed(("one threshold",))
    for part, swept in without.items():
        held = both.parts == part
        assert np.array_equal(found[held], swept.sums[held, :, 12])


def folds_of(groups, fold):
    return pd.DataFrame(
        {"image": [f"i{n}" for n in range(len(groups))], "group": groups, "fold": fold}
    )


def test_the_parts_are_the_folds_where_there_are_three():
    frame = folds_of(list("aabbcc"), [0, 0, 1, 1, 2, 2])
    assert partition_of(frame["image"], frame).parts.tolist() == [0, 0, 1, 1, 2, 2]


def test_one_fold_is_parted_by_group():
    groups = [f"g{n // 3}" for n in range(30)]
    frame = folds_of(groups, [0] * 30)
    found = partition_of(frame["image"], frame)
    assert len(np.unique(found.parts)) == 5
    assert all(len(set(found.parts[found.groups == group])) == 1 for group in groups)


def test_the_order_of_the_folds_file_does_not_matter():
    groups = [f"g{n // 3}" for n in range(30)]
    frame = folds_of(groups, [0] * 30)
    images = frame["image"].tolist()
    assert np.array_equal(
        partition_of(images, frame).parts, partition_of(images, frame[::-1]).parts
    )


def test_two_groups_are_too_few_to_hold_any_back():
    frame = folds_of(list("aabb"), [0, 0, 1, 1])
    found = partition_of(frame["image"], frame)
    assert found.parts.tolist() == [0] * 4 and found.groups.tolist() == list("aabb")


def test_a_predicted_image_without_a_fold_is_named():
    with pytest.raises(InputFault, match="image 'new' is predicted but in no fold"):
        partition_of(["new"], folds_of(list("abc"), [0, 1, 2]))
