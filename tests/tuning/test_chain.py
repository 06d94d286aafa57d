"""Nothing is chosen on data that it is reported on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from stores import DICE, statistics_of

from competition.errors import InputFault
from competition.tuning.acceptance import judge
from competition.tuning.chain import Fits, Sides, adopted_steps, choose, sides_of
from competition.tuning.statistics import GRID
from competition.tuning.thresholds import outcome

CANDIDATES = tuple(np.linspace(0.25, 0.75, 201).round(4).tolist())


def sides(images, parts=5):
    groups = np.arange(images) // 2
    return Sides(groups.astype(str), groups % parts, groups % parts)


def equal_candidates(seed):
    """201 thresholds that are equal by construction: each scores the same plus noise."""
    generator = np.random.default_rng(seed)
    person = generator.normal(0, 0.05, (60, 1, 1)).repeat(2, axis=0)
    scores = 0.7 + person + generator.normal(0, 0.05, (120, 3, len(CANDIDATES)))
    return statistics_of(scores, thresholds=CANDIDATES)


def verdict_on_equal_candidates(seed):
    statistics, both = equal_candidates(seed), sides(120)
    fits = Fits(statistics, both.parts)
    before, after = fits.crossed(()), fits.crossed(("class thresholds",))
    gain = fits.apparent(("class thresholds",)) - fits.apparent(())
    return gain, judge(before, after, both.groups, DICE, parts=5)


def test_the_best_of_200_equal_candidates_gains_apparently_and_not_in_truth():
    found = [verdict_on_equal_candidates(seed) for seed in range(30)]
    assert all(gain > 0.003 for gain, _ in found)
    covered = sum(verdict.low < 0 < verdict.high for _, verdict in found)
    assert covered >= 26  # of 30 at 95 %, fewer would happen once in 60 times by chance
    assert sum(verdict.adopted for _, verdict in found) <= 4


def test_a_planted_leak_is_noticed(monkeypatch):
    """With rules that saw their own part the test above fails: it can tell."""

    def leaky(fits, steps):
        return outcome(fits.statistics, fits.rules(steps))

    monkeypatch.setattr(Fits, "crossed", leaky)
    _, verdict = verdict_on_equal_candidates(0)
    assert verdict.low > 0 and verdict.adopted


def better_at(place, seed=0, gain=0.05):
    """Scores that are better by `gain` at one place of the grid."""
    scores = np.random.default_rng(seed).normal(0.7, 0.02, (60, 2, 1)).repeat(len(GRID), axis=2)
    scores[:, :, place] += gain
    return statistics_of(scores)


def test_a_real_gain_is_adopted():
    statistics, both = better_at(6), sides(60)
    judged = choose(Fits(statistics, both.parts), both.groups)
    assert adopted_steps(judged) == ("one threshold",)
    assert judged[0].apparent_gain == pytest.approx(0.05)


def test_every_step_is_reported_adopted_or_not():
    both = sides(60)
    names = [step.name for step in choose(Fits(better_at(6), both.parts), both.groups)]
    assert names == ["one threshold", "class thresholds", "minimum area", "double threshold"]


def test_the_labels_of_a_part_never_touch_the_rules_that_score_it():
    """Worse scores at the chosen threshold in part 0 leave the rules for part 0 as they were."""
    statistics, both = better_at(6), sides(60)
    held = both.parts == 0
    parts = statistics.parts.copy()
    parts[held, :, 6, 0] -= 0.5
    changed = replace(statistics, parts=parts)
    before, after = (Fits(s, both.parts).crossed(("one threshold",)) for s in (statistics, changed))
    assert np.array_equal(after[held], parts[held, :, 6])
    assert np.array_equal(before[held], statistics.parts[held, :, 6])


def test_rules_on_a_mixture_are_fitted_and_scored_through_the_one_that_did_not_see_the_part():
    seen, both = better_at(6), sides(60)
    without = {part: better_at(12, seed=part) for part in range(5)}
    found = Fits(seen, both.parts, without=without).crossed(("one threshold",))
    for part, statistics in without.items():
        held = both.parts == part
        assert np.array_equal(found[held], statistics.parts[held, :, 12])


def folds_of(groups, fold):
    return pd.DataFrame(
        {"image": [f"i{n}" for n in range(len(groups))], "group": groups, "fold": fold}
    )


def test_the_parts_are_the_folds_where_there_are_three():
    frame = folds_of(list("aabbcc"), [0, 0, 1, 1, 2, 2])
    assert sides_of(frame["image"], frame).parts.tolist() == [0, 0, 1, 1, 2, 2]


def test_one_fold_is_parted_by_group():
    groups = [f"g{n // 3}" for n in range(30)]
    frame = folds_of(groups, [0] * 30)
    found = sides_of(frame["image"], frame)
    assert len(np.unique(found.parts)) == 5
    assert all(len(set(found.parts[found.groups == group])) == 1 for group in groups)


def test_the_order_of_the_folds_file_does_not_matter():
    groups = [f"g{n // 3}" for n in range(30)]
    frame = folds_of(groups, [0] * 30)
    images = frame["image"].tolist()
    assert np.array_equal(sides_of(images, frame).parts, sides_of(images, frame[::-1]).parts)


def test_two_people_are_too_few_to_hold_any_back():
    frame = folds_of(list("aabb"), [0] * 4)
    with pytest.raises(InputFault, match="needs 3 or more; found 2"):
        sides_of(frame["image"], frame)


def test_a_predicted_image_without_a_fold_is_named():
    with pytest.raises(InputFault, match="image 'new' is predicted but in no fold"):
        sides_of(["new"], folds_of(list("abc"), [0, 1, 2]))
