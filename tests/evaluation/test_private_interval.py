"""What Private will be: the interval holds what it promises, and the mean over folds is allowed for."""

import numpy as np
import pytest
from made_stores import DICE

from competition.errors import InputFault
from competition.evaluation.groups import GroupSums, GroupTable, read_group_sums, write_group_sums
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.private_interval import (
    NO_SHIFT,
    USUAL,
    BoardSize,
    Estimate,
    RankedSums,
    averaging_rate,
    fold_shift,
    member_sums,
    private_interval,
    probability_better,
    ranking,
)
from competition.masks import Runs
from competition.scoring import Metric


def groups_of(random, count, *, level=0.7, spread=0.1, images=2, classes=3):
    """Sums of groups whose scores differ by group, by image and by class."""
    own = level + random.normal(0, spread, (count, 1, 1))
    scores = own + random.normal(0, 0.05, (count, images, classes))
    added = np.stack([scores, np.ones_like(scores)], axis=-1).reshape(-1, classes, 2)
    return GroupSums.of(added, np.repeat([f"g{n:03d}" for n in range(count)], images))


@pytest.mark.parametrize("count", [6, 40])
def test_private_lies_in_its_interval_nineteen_times_in_twenty(count):
    """Of 300 competitions at least 93 %; intervals for the mean alone would hold far fewer."""
    inside, narrow = 0, 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        ours, private = groups_of(random, count), groups_of(random, 10)
        found = private_interval(ours, DICE, BoardSize(5, 10), NO_SHIFT)
        score = float(DICE.overall(private.sums.sum(axis=0)))
        inside += found.low <= score <= found.high
        low, high = np.quantile(ours.scores(DICE), [0.5, 0.5]) + np.array([-1, 1]) * 1.96 * np.std(
            ours.scores(DICE)
        ) / np.sqrt(count)
        narrow += low <= score <= high
    assert inside >= 0.93 * 300
    assert narrow < 0.9 * 300


def test_public_and_private_are_as_far_apart_as_is_said():
    random = np.random.default_rng(1)
    far = []
    for _ in range(400):
        public, private = groups_of(random, 6), groups_of(random, 14)
        far.append(abs(float(DICE.overall(public.sums.sum(0)) - DICE.overall(private.sums.sum(0)))))
    found = private_interval(groups_of(random, 400), DICE, BoardSize(6, 14), NO_SHIFT)
    assert found.spread == pytest.approx(np.quantile(far, 0.95), rel=0.12)


def test_the_shift_moves_the_interval_and_its_error_widens_it():
    sums = groups_of(np.random.default_rng(0), 40)
    alone, moved, unsure = (
        private_interval(sums, DICE, BoardSize(5, 10), shift)
        for shift in (NO_SHIFT, Estimate(0.05, 0.0), Estimate(0.05, 0.1))
    )
    assert moved.value == pytest.approx(alone.value + 0.05)
    assert moved.low == pytest.approx(alone.low + 0.05)
    assert unsure.high - unsure.low > 1.5 * (moved.high - moved.low)


def test_no_score_is_expected_that_no_submission_can_have():
    sums = groups_of(np.random.default_rng(0), 4, level=0.98, spread=0.1)
    clipped = GroupSums(sums.names, sums.images, np.clip(sums.sums, None, sums.sums[..., 1:]))
    found = private_interval(clipped, DICE, BoardSize(2, 3), Estimate(0.05, 0.0))
    assert found.low < 1 and found.value <= found.high == 1


@pytest.mark.parametrize("metric", ["dice", "hausdorff-95"])
def test_nothing_below_zero_is_expected_neither_a_score_nor_a_distance(metric):
    metric_sums = MetricSums(Metric(name=metric))
    values = metric_sums.sign * np.array([0.0, 0.3, 0.01, 0.02])
    sums = GroupSums.of(np.stack([values, np.ones(4)], 1)[:, None], np.array(list("abcd")))
    found = private_interval(sums, metric_sums, BoardSize(2, 3), Estimate(-0.05, 0.0))
    assert 0 == found.low <= found.value < found.high


def test_a_distance_is_predicted_with_its_own_sign():
    """HD95: sums hold it turned round, the expectation is in millimetres."""
    metric_sums = MetricSums(Metric(name="hausdorff-95"))
    sums = GroupSums.of(
        np.array([[[-4.0, 1.0]], [[-6.0, 1.0]], [[-5.0, 1.0]]]), np.array(list("abc"))
    )
    found = private_interval(sums, metric_sums, BoardSize(3, 3), NO_SHIFT)
    assert found.value == 5.0 and found.low < 5 < found.high


def test_the_better_submission_is_surely_better_only_where_it_is_on_most_groups():
    random = np.random.default_rng(3)
    first = groups_of(random, 30)

    def changed(change):
        return RankedSums(GroupSums(first.names, first.images, first.sums + change), None)

    plain, noise = changed(0), random.normal(0, 0.1, (30, 3, 1)) * [1, 0]
    noise = noise - noise.mean(axis=0)
    assert probability_better(changed([0.02, 0]), plain, DICE) == 1.0
    assert 0.4 < probability_better(changed(noise), plain, DICE) < 0.6
    assert probability_better(plain, plain, DICE) == 0.5
    gain = changed(noise + [0.02, 0])
    crossed = RankedSums(gain.sums, 5)
    assert probability_better(gain, plain, DICE) > probability_better(crossed, plain, DICE) > 0.5


def test_submissions_of_other_groups_are_not_ranked():
    random = np.random.default_rng(0)
    table = ranking(
        [RankedSums(groups_of(random, count), None) for count in (20, 20, 19)],
        DICE,
    )
    assert table[0, 1] + table[1, 0] == 1
    assert np.isnan(table[2]).all() and np.isnan(np.diag(table)).all()


def test_images_of_unknown_groups_count_as_groups_of_ours():
    """12 test images and 2 images a group here: 6 groups, not 12."""
    sums = groups_of(np.random.default_rng(0), 10)
    assert BoardSize.of(12, 12, 0.5, sums) == BoardSize(3, 3)
    assert BoardSize.of(6, 12, 0.3, sums) == BoardSize(2, 4)
    assert BoardSize.of(1, 1, 0.5, sums) == BoardSize(1, 1)


def discs(count, noise, seed):
    """Image → (1, 24, 24) masks of discs whose place is off by some noise of its own."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((24, 24))
    found = {}
    for number in range(count):
        away = random.normal(0, noise, 2)
        found[f"i{number}"] = (5 - np.hypot(rows - 12 - away[0], columns - 12 - away[1])).astype(
            float
        )[None]
    return found


def masks(fields):
    return lambda image: Runs.from_dense(fields[image] > 0)


def mean_of(several):
    return {image: sum(one[image] for one in several) / len(several) for image in several[0]}


def test_the_gain_of_a_mean_is_told_from_how_far_its_members_lie_from_it():
    """Two recipes on labelled images give the rate; two folds on unlabelled ones the distance."""
    truth = discs(200, 0.0, 0)
    recipes, folds = ([discs(200, 1.5, seed) for seed in pair] for pair in ((1, 2), (3, 4)))
    groups = np.array([f"g{n // 2}" for n in range(200)])

    def sums(several, **against):
        return member_sums(truth, masks(mean_of(several)), [*map(masks, several)], DICE, **against)

    rate = averaging_rate(sums(recipes), sums(recipes, truth=masks(truth)), groups, DICE)
    found = fold_shift(sums(folds), rate, DICE)
    scores = DICE.overall(sums(folds, truth=masks(truth)).sum(axis=0))
    assert scores[0] - scores[1:].mean() == pytest.approx(found.value, abs=0.01)
    assert found.value > 0.03 and 0 < found.error < found.value


def test_members_that_agree_say_nothing_about_the_rate():
    truth = discs(10, 0.0, 0)
    apart = member_sums(truth, masks(truth), [masks(truth)] * 2, DICE)
    scored = member_sums(truth, masks(truth), [masks(truth)] * 2, DICE, truth=masks(truth))
    assert averaging_rate(apart, scored, np.arange(10).astype(str), DICE) == USUAL
    assert fold_shift(apart, Estimate(0.5, 0.5), DICE) == Estimate(0.0, 0.0)


@pytest.mark.parametrize("columns", [2, 3])
def test_sums_by_group_survive_the_file(tmp_path, columns):
    added = np.random.default_rng(0).random((7, 2, columns))
    sums = GroupSums.of(added, np.array(["b", "a, c", "b", "00", "NA", "b", "a, c"]))
    write_group_sums(tmp_path / "sums.csv", sums, ("x", "y"))
    back = read_group_sums(tmp_path / "sums.csv", ("x", "y"))
    assert back.names == sums.names == ("00", "NA", "a, c", "b")
    assert np.array_equal(back.images, [1, 1, 2, 3])
    assert np.array_equal(back.sums, sums.sums)
    with pytest.raises(InputFault, match="does not hold sums of groups for the classes"):
        read_group_sums(tmp_path / "sums.csv", ("y", "x"))


def test_the_worst_groups_come_first(tmp_path):
    added = np.array(
        [[[0.9, 1], [0.8, 1]], [[0.1, 1], [0.3, 1]], [[0.0, 0], [0.0, 0]], [[0.6, 1], [0.5, 1]]]
    )
    sums = GroupSums.of(added, np.array(["good", "bad", "uncounted", "middle"]))
    table = GroupTable(sums, sums, DICE, ("x", "y"))
    lines = table.text(2).splitlines()
    assert lines[1].split() == ["bad", "1", "0.2000", "0.2000", "x", "0.1000"]
    assert lines[2].startswith("middle") and lines[3] == "… and 2 more groups"
    table.write_csv(tmp_path / "groups.csv")
    rows = (tmp_path / "groups.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["group", "bad", "middle", "good", "uncounted"]
    assert rows[4] == "uncounted,1,,,,"
