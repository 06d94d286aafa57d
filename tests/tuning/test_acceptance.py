"""A step that does nothing is adopted at most one time in twenty; a real gain is adopted."""

import numpy as np
import pytest

from competition.scoring import Metric
from competition.tuning.acceptance import judge
from competition.tuning.measure import Measure

DICE, POOLED = (Measure(Metric(name="dice", over=over)) for over in ("image-class", "pixels"))


def parts_of(scores):
    return np.stack([scores, np.ones_like(scores)], axis=-1)


def people(count, each=2):
    return np.repeat([f"person-{number}" for number in range(count)], each)


def null_adoptions(steps, count, measure, draw):
    """How many of the null steps are adopted: before and after exchanged at random per group."""
    adopted = 0
    for seed in range(steps):
        generator = np.random.default_rng(seed)
        first, second, groups = draw(generator, count)
        swapped = generator.random(count) < 0.5
        exchange = np.repeat(swapped, len(groups) // count)[:, None, None]
        before, after = np.where(exchange, second, first), np.where(exchange, first, second)
        adopted += judge(before, after, groups, measure, seed=seed).adopted
    return adopted


def skewed_scores(generator, count):
    """Two versions that differ much in few groups, and one that is better by far."""
    groups = people(count)
    first = generator.beta(8, 2, (len(groups), 3))
    change = generator.exponential(0.05, (count, 1)) * (generator.random((count, 1)) < 0.3) + 0.01
    return parts_of(first), parts_of(first + np.repeat(change, 2, axis=0)), groups


def pixel_counts(generator, count):
    groups = people(count)
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


def test_a_small_gain_that_every_person_has_is_adopted():
    generator = np.random.default_rng(0)
    before = generator.beta(8, 2, (80, 3))
    after = before + generator.normal(0.004, 0.004, before.shape)
    verdict = judge(parts_of(before), parts_of(after), people(40), DICE)
    assert verdict.adopted
    assert verdict.low < verdict.gain < verdict.high
    assert verdict.gain == pytest.approx((after - before).mean())


def test_a_loss_is_never_adopted():
    generator = np.random.default_rng(0)
    before = generator.beta(8, 2, (80, 3))
    verdict = judge(parts_of(before), parts_of(before - 0.01), people(40), DICE)
    assert not verdict.adopted and verdict.probability == 0.0


def test_a_gain_in_one_person_alone_is_not_adopted():
    before = np.full((80, 3), 0.8)
    after = before.copy()
    after[:2] += 0.2
    assert not judge(parts_of(before), parts_of(after), people(40), DICE).adopted


def test_people_count_not_images():
    """A gain in 3 of 4 people is not sure, however many images each of them has."""
    before = np.full((80, 3), 0.8)
    after = before + np.repeat([0.01, 0.01, 0.01, -0.005], 20)[:, None]
    assert judge(parts_of(before), parts_of(after), np.arange(80), DICE).adopted
    assert not judge(parts_of(before), parts_of(after), people(4, 20), DICE).adopted


def test_no_difference_is_not_a_gain():
    before = parts_of(np.full((10, 2), 0.5))
    verdict = judge(before, before, people(5), DICE)
    assert (verdict.gain, verdict.probability, verdict.p_value) == (0.0, 0.5, 1.0)
