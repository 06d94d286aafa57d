"""A step that does nothing is adopted at most one time in twenty; a real gain is adopted."""

import numpy as np
import pytest

from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.significance import step_gain, training_gain
from competition.scoring import Metric

DICE, POOLED = (MetricSums(Metric(name="dice", over=over)) for over in ("image-class", "pixels"))


def sums_of(scores):
    return np.stack([scores, np.ones_like(scores)], axis=-1)


def groups_of(count, each=2):
    return np.repeat([f"group-{number}" for number in range(count)], each)


def null_adoptions(steps, count, metric_sums, draw):
    """How many of the null steps are adopted: before and after exchanged at random per group."""
    adopted = 0
    for seed in range(steps):
        generator = np.random.default_rng(seed)
        first, second, groups = draw(generator, count)
        swapped = generator.random(count) < 0.5
        exchange = np.repeat(swapped, len(groups) // count)[:, None, None]
        before, after = np.where(exchange, second, first), np.where(exchange, first, second)
        adopted += step_gain(before, after, groups, metric_sums, seed=seed).significant
    return adopted


def skewed_scores(generator, count):
    """Two versions that differ much in few groups, and one that is better by far."""
    groups = groups_of(count)
    first = generator.beta(8, 2, (len(groups), 3))
    change = generator.exponential(0.05, (count, 1)) * (generator.random((count, 1)) < 0.3) + 0.01
    return sums_of(first), sums_of(first + np.repeat(change, 2, axis=0)), groups


def pixel_counts(generator, count):
    groups = groups_of(count)
    truth = generator.integers(50, 500, (len(groups), 3))
    inside = [(truth * generator.uniform(0.5, 1, truth.shape)).astype(int) for _ in range(2)]
    first, second = (POOLED.from_counts(i, truth, truth) for i in inside)
    return first, second, groups


@pytest.mark.parametrize("count", [8, 30])
def test_of_400_null_steps_at_most_one_in_twenty_is_adopted(count):
    # 400 trials at 5 %: 29 or more would happen once in 50 times by chance.
    assert null_adoptions(400, count, DICE, skewed_scores) <= 28


def test_null_steps_of_a_pooled_metric_hold_the_level_too():
    assert null_adoptions(100, 20, POOLED, pixel_counts) <= 10


def test_a_small_gain_that_every_group_has_is_adopted():
    generator = np.random.default_rng(0)
    before = generator.beta(8, 2, (80, 3))
    after = before + generator.normal(0.004, 0.004, before.shape)
    gain = step_gain(sums_of(before), sums_of(after), groups_of(40), DICE)
    assert gain.significant
    assert gain.low < gain.gain < gain.high
    assert gain.gain == pytest.approx((after - before).mean())


def test_a_real_gain_that_no_leaderboard_shows_is_not_adopted():
    before = np.random.default_rng(0).normal(0.8, 0.05, (80, 3))
    gains = [
        step_gain(sums_of(before), sums_of(before + more), groups_of(40), DICE)
        for more in (1e-5, 1e-4)
    ]
    assert [gain.probability for gain in gains] == [1.0, 1.0]
    assert [gain.significant for gain in gains] == [False, True]


def test_a_loss_is_never_adopted():
    generator = np.random.default_rng(0)
    before = generator.beta(8, 2, (80, 3))
    gain = step_gain(sums_of(before), sums_of(before - 0.01), groups_of(40), DICE)
    assert not gain.significant and gain.probability == 0.0


def test_a_gain_in_one_group_alone_is_not_adopted():
    before = np.full((80, 3), 0.8)
    after = before.copy()
    after[:2] += 0.2
    assert not step_gain(sums_of(before), sums_of(after), groups_of(40), DICE).significant


def test_groups_count_not_images():
    """A gain in 3 of 4 groups is not sure, however many images each of them has."""
    before = np.full((80, 3), 0.8)
    after = before + np.repeat([0.01, 0.01, 0.01, -0.005], 20)[:, None]
    assert step_gain(sums_of(before), sums_of(after), np.arange(80), DICE).significant
    assert not step_gain(sums_of(before), sums_of(after), groups_of(4, 20), DICE).significant


def test_no_difference_is_not_a_gain():
    before = sums_of(np.full((10, 2), 0.5))
    gain = step_gain(before, before, groups_of(5), DICE)
    assert (gain.gain, gain.probability, gain.p_value) == (0.0, 0.5, 1.0)


def trainings(generator, count, *, seeds, noise=0.03, better=0.0):
    """Scores of two recipes, (S, N, K, 2) each: groups of unlike difficulty, and a luck a seed."""
    hard = generator.beta(8, 2, (2 * count, 3))
    luck = generator.normal(0, noise, (2, seeds, 1, 1))
    own = generator.normal(0, 0.05, (2, seeds, 2 * count, 3))
    first, second = hard + luck[0] + own[0], hard + luck[1] + own[1] + better
    return sums_of(first), sums_of(second), groups_of(count)


@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.0), (6, 0.03)])
def test_two_equal_recipes_rarely_differ_by_more_than_the_noise(seeds, noise):
    """With one seed this holds only for a training without luck: its noise cannot be seen."""
    draws = 100
    false = sum(
        training_gain(
            *trainings(np.random.default_rng(n), 30, seeds=seeds, noise=noise), DICE
        ).significant
        for n in range(draws)
    )
    assert false <= 15  # 5 expected; a percentile interval of six seeds is a little short


def test_the_luck_of_trainings_is_in_the_interval_only_with_several_seeds():
    def width(seeds):
        found = [
            training_gain(*trainings(np.random.default_rng(n), 30, seeds=seeds), DICE)
            for n in range(20)
        ]
        return np.mean([one.high - one.low for one in found])

    def deviation(seeds):
        return np.std(
            [
                training_gain(*trainings(np.random.default_rng(n), 30, seeds=seeds), DICE).gain
                for n in range(200)
            ]
        )

    assert width(1) < 0.5 * 2 * 1.96 * deviation(1)
    assert width(6) > 0.7 * 2 * 1.96 * deviation(6)


def test_a_real_difference_is_found_and_more_comparisons_ask_for_more():
    draws = trainings(np.random.default_rng(1), 30, seeds=1, noise=0.0, better=0.015)
    found = training_gain(*draws, DICE)
    assert (
        found.significant
        and found.low < 0.015 < found.high
        and (found.groups, found.seeds) == (30, 1)
    )
    assert not training_gain(*draws, DICE, comparisons=10_000).significant or found.low > 0.005


def test_a_difference_of_one_group_has_no_interval():
    before, after, _ = trainings(np.random.default_rng(0), 1, seeds=2)
    found = training_gain(before, after, groups_of(1), DICE)
    assert np.isnan(found.low) and not found.significant


def test_pooled_metrics_differ_by_the_score_of_the_pooled_counts():
    first, second, groups = pixel_counts(np.random.default_rng(3), 20)
    found = training_gain(first[None], second[None], groups, POOLED)
    assert found.gain == pytest.approx(POOLED.value(second) - POOLED.value(first))
    assert found.low < found.gain < found.high
