"""Intervals over groups: wide where images of a group are alike, the same for the same seed."""

import numpy as np
import pytest

from competition.errors import InputFault
from competition.scoring.bootstrap import interval, paired, pooled_interval
from competition.scoring.metrics import Metric, aggregate

RNG = np.random.default_rng(5)


def looped(values: np.ndarray, groups: np.ndarray, draws: int) -> np.ndarray:
    """The usual way: draw groups, index their images again, take the mean."""
    rng, names = np.random.default_rng(1), np.unique(groups)
    rows = {name: np.flatnonzero(groups == name) for name in names}
    return np.array(
        [
            np.nanmean(values[np.concatenate([rows[n] for n in rng.choice(names, len(names))])])
            for _ in range(draws)
        ]
    )


def test_the_interval_is_that_of_drawing_groups_again() -> None:
    groups = np.repeat(np.arange(30), 3)
    values = RNG.random((30, 4))[groups] + 0.1 * RNG.random((90, 4))
    values[RNG.random(values.shape) < 0.2] = np.nan
    found = interval(values, groups, draws=20_000)
    drawn = looped(values, groups, 4000)
    assert found.estimate == pytest.approx(np.nanmean(values))
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.006)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.006)


def test_images_of_one_person_do_not_count_as_many() -> None:
    person = np.repeat(np.arange(20), 10)
    values = RNG.random(20)[person]
    by_person, by_image = interval(values, person), interval(values, np.arange(200))
    assert by_person.high - by_person.low > 2 * (by_image.high - by_image.low)


def test_the_same_seed_gives_the_same_bounds_and_another_does_not() -> None:
    values, groups = RNG.random(40), np.arange(40)
    assert interval(values, groups) == interval(values, groups)
    assert interval(values, groups) != interval(values, groups, seed=1)


def test_bounds_do_not_depend_on_the_order_or_the_names_of_groups() -> None:
    values, groups = RNG.random(40), np.repeat(np.arange(8), 5)
    names = np.array([f"person {group}" for group in groups])
    order = RNG.permutation(40)
    assert interval(values, names) == pytest.approx(interval(values, groups))
    assert interval(values[order], groups[order]) == pytest.approx(interval(values, groups))


def test_a_true_mean_lies_within_as_often_as_the_level_says() -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.normal(0.5, 0.1, 60)
        found = interval(values, np.arange(60), draws=400, level=0.9, seed=seed)
        inside += found.low <= 0.5 <= found.high
    assert 165 <= inside <= 195  # 180 expected, 4 standard deviations of a binomial are 17


def test_a_gain_on_every_image_is_certain_though_images_differ_widely() -> None:
    before, groups = RNG.random((60, 3)), np.arange(60)
    gain = paired(before, before + 0.01, groups)
    assert gain.gain == pytest.approx(0.01)
    assert gain.low == pytest.approx(0.01) and gain.high == pytest.approx(0.01)
    assert gain.probability == 1.0
    alone = interval(before, groups)
    assert alone.high - alone.low > 0.05


def test_no_change_is_no_gain_and_a_loss_is_a_loss() -> None:
    before, groups = RNG.random(30), np.arange(30)
    assert paired(before, before, groups) == (0.0, 0.0, 0.0, 0.5)
    assert paired(before, before - 0.1, groups).probability == 0.0


def test_of_many_changes_without_effect_few_look_sure() -> None:
    sure = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before = rng.random((50, 2))
        after = before + rng.normal(0, 0.05, before.shape)
        sure += paired(before, after, np.arange(50), draws=400, seed=seed).low > 0
    assert sure <= 12  # 2.5 % of 200 are 5, three standard deviations more are 12


def test_a_pooled_score_is_drawn_by_its_counts() -> None:
    counts = RNG.integers(1, 1000, (40, 2, 3))
    counts[..., 0] = counts[..., 1:].min(axis=-1) // 2
    metric, groups = Metric(name="dice", over="pixels"), np.repeat(np.arange(20), 2)
    found = pooled_interval(counts, groups, metric)
    assert found.estimate == aggregate(counts, metric)
    assert found.low < found.estimate < found.high
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(2000):
        chosen = rng.integers(0, 20, 20)
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        drawn.append(aggregate(counts[rows], metric))
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.01)


def test_one_group_has_a_score_and_no_bounds() -> None:
    found = interval(np.array([0.2, 0.4]), np.array(["ann", "ann"]))
    assert found.estimate == pytest.approx(0.3)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_scores_that_are_all_skipped_have_no_mean() -> None:
    assert np.isnan(interval(np.full(4, np.nan), np.arange(4))).all()


def test_groups_and_images_must_pair_up() -> None:
    with pytest.raises(InputFault, match="3 images have scores and 2 have a group"):
        interval(np.ones(3), np.arange(2))
    with pytest.raises(InputFault, match="same images"):
        paired(np.ones(3), np.ones(4), np.arange(3))
    with pytest.raises(InputFault, match="level"):
        interval(np.ones(3), np.arange(3), level=95)
