"""Intervals over groups: wide where images of a group are alike, the same for the same seed."""

import numpy as np
import pytest

from competition.errors import InputFault
from competition.evaluation import bootstrap
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.significance import step_gain
from competition.scoring.metrics import Metric, aggregate

RNG = np.random.default_rng(5)
DICE = MetricSums(Metric(name="dice"))
POOLED = MetricSums(Metric(name="dice", over="pixels"))


def sums_of(scores: np.ndarray) -> np.ndarray:
    """Of scores (N,) or (N, K), NaN where an image is not counted: (N, K, 2)."""
    return DICE.from_scores(scores.reshape(len(scores), -1))


def drawn_scores(scores: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    _, totals = group_totals(sums_of(scores), groups)
    return DICE.overall(resampled(totals, np.random.default_rng(seed)))


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


def test_the_interval_is_that_of_drawing_groups_again(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 20_000)
    groups = np.repeat(np.arange(30), 3)
    values = RNG.random((30, 4))[groups] + 0.1 * RNG.random((90, 4))
    values[RNG.random(values.shape) < 0.2] = np.nan
    found = DICE.score(sums_of(values), groups)
    drawn = looped(values, groups, 4000)
    assert found.value == pytest.approx(np.nanmean(values))
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.006)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.006)


def test_images_of_one_group_do_not_count_as_many() -> None:
    groups = np.repeat(np.arange(20), 10)
    sums = sums_of(RNG.random(20)[groups])
    by_group, by_image = DICE.score(sums, groups), DICE.score(sums, np.arange(200))
    assert by_group.high - by_group.low > 2 * (by_image.high - by_image.low)


def test_the_same_seed_gives_the_same_bounds_and_another_does_not() -> None:
    values, groups = RNG.random(40), np.arange(40)
    assert DICE.score(sums_of(values), groups) == DICE.score(sums_of(values), groups)
    first, same, other = (bounds(drawn_scores(values, groups, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_bounds_do_not_depend_on_the_order_or_the_names_of_groups() -> None:
    values, groups = RNG.random(40), np.repeat(np.arange(8), 5)
    names = np.array([f"group {group}" for group in groups])
    order = RNG.permutation(40)
    plain, named, shuffled = (
        tuple(DICE.score(sums_of(scores), of).model_dump().values())
        for scores, of in ((values, groups), (values, names), (values[order], groups[order]))
    )
    assert named == pytest.approx(plain) and shuffled == pytest.approx(plain)


def test_a_draw_is_the_sum_of_the_rows_of_its_groups() -> None:
    """Every axis is drawn alike: what is stacked beside each other shares the groups of a draw."""
    totals = RNG.integers(0, 9, (6, 2, 3)).astype(float)
    both = np.stack([totals, totals + 100], axis=1)
    drawn = resampled(both, np.random.default_rng(0))
    assert drawn.shape == (bootstrap.DRAWS, 2, 2, 3)
    assert np.allclose(drawn[:, 1] - drawn[:, 0], 600)
    size = resampled(np.ones((6, 1)), np.random.default_rng(0), size=4)
    assert np.all(size == 4)


def test_blocks_of_draws_are_the_draws_of_one_block(monkeypatch) -> None:
    totals = RNG.random((7, 2))
    whole = resampled(totals, np.random.default_rng(0))
    monkeypatch.setattr(bootstrap, "_BLOCK", 7 * 600)
    assert np.allclose(resampled(totals, np.random.default_rng(0)), whole)


def test_a_true_mean_lies_within_as_often_as_the_level_says(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 400)
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.normal(0.5, 0.1, 60)
        low, high = bounds(drawn_scores(values, np.arange(60), seed), level=0.9)
        inside += low <= 0.5 <= high
    assert 165 <= inside <= 195  # 180 expected, 4 standard deviations of a binomial are 17


def test_a_gain_on_every_image_is_certain_though_images_differ_widely() -> None:
    before, groups = RNG.random((60, 3)), np.arange(60)
    gain = step_gain(sums_of(before), sums_of(before + 0.01), groups, DICE)
    assert gain.gain == pytest.approx(0.01)
    assert gain.low == pytest.approx(0.01) and gain.high == pytest.approx(0.01)
    assert gain.probability == 1.0
    alone = DICE.score(sums_of(before), groups)
    assert alone.high - alone.low > 0.05


def test_no_change_is_no_gain_and_a_loss_is_a_loss() -> None:
    before, groups = RNG.random(30), np.arange(30)
    none = step_gain(sums_of(before), sums_of(before), groups, DICE)
    assert (none.gain, none.low, none.high, none.probability) == (0.0, 0.0, 0.0, 0.5)
    assert step_gain(sums_of(before), sums_of(before - 0.1), groups, DICE).probability == 0.0


def test_of_many_changes_without_effect_few_look_sure() -> None:
    sure = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before = rng.random((50, 2))
        after = before + rng.normal(0, 0.05, before.shape)
        sure += step_gain(sums_of(before), sums_of(after), np.arange(50), DICE, seed=seed).low > 0
    assert sure <= 12  # 2.5 % of 200 are 5, three standard deviations more are 12


def test_a_pooled_score_is_drawn_by_its_counts() -> None:
    counts = RNG.integers(1, 1000, (40, 2, 3))
    counts[..., 0] = counts[..., 1:].min(axis=-1) // 2
    groups = np.repeat(np.arange(20), 2)
    found = POOLED.score(counts.astype(float), groups)
    assert found.value == pytest.approx(aggregate(counts, POOLED.metric), abs=1e-12)
    assert found.low < found.value < found.high
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(2000):
        chosen = rng.integers(0, 20, 20)
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        drawn.append(aggregate(counts[rows], POOLED.metric))
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.01)


def test_a_pooled_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    """Three classes, the second neither labelled nor predicted: the mean is over the other two."""
    skipping = MetricSums(Metric(name="dice", over="pixels", empty="skip"))
    counts = RNG.integers(1, 1000, (12, 3, 3)).astype(float)
    counts[..., 0] = counts[..., 1:].min(axis=-1) // 2
    counts[:, 1] = 0
    others = counts[:, [0, 2]]
    whole, kept = counts.sum(axis=0), others.sum(axis=0)
    assert np.isnan(skipping.per_class(whole)[1])
    expected = np.mean(2 * kept[:, 0] / (kept[:, 1] + kept[:, 2]))
    assert skipping.overall(whole) == pytest.approx(expected)
    groups = np.repeat(np.arange(6), 2)
    assert skipping.score(counts, groups) == skipping.score(others, groups)
    assert np.isnan(skipping.overall(np.zeros((3, 3))))


def test_one_group_has_a_score_and_no_bounds() -> None:
    found = DICE.score(sums_of(np.array([0.2, 0.4])), np.array(["ann", "ann"]))
    assert found.value == pytest.approx(0.3)
    assert found.low is None and found.high is None


def test_scores_that_are_all_skipped_have_no_mean() -> None:
    found = DICE.score(sums_of(np.full(4, np.nan)), np.arange(4))
    assert np.isnan(found.value) and (found.low, found.high) == (None, None)


def test_groups_and_images_must_pair_up() -> None:
    for images in (3, 1):
        with pytest.raises(InputFault, match=f"{images} images have scores and 2 have a group"):
            DICE.score(sums_of(np.ones(images)), np.arange(2))
    with pytest.raises(ValueError, match="same shape"):
        step_gain(sums_of(np.ones(3)), sums_of(np.ones(4)), np.arange(3), DICE)
    with pytest.raises(ValueError, match="range"):
        bounds(np.ones(3), level=95)
