"""Heads and weights help where they can, and are never chosen on what they are scored on."""

import numpy as np
import pytest
from made_stores import DICE

from competition.evaluation.groups import Partition
from competition.evaluation.significance import step_gain
from competition.tuning import head_fit
from competition.tuning.head_fit import SmoothDice, best_row
from competition.tuning.mixture_search import (
    PLAIN,
    Mixer,
    MixturePlan,
    heads_alone,
    plans_on,
    select_mixture,
)
from competition.tuning.pixel_samples import ClassSample, Samples, mean_decision
from competition.tuning.weight_fit import best_alone, greedy, on_simplex

NOTHING = frozenset()


def samples_of(codes, truth, *, pixels_each=1000):
    """codes uint8 (M, K, N, P) the same for each class, truth bool (K, N, P); as many labelled
    as predicted pixels, nine in ten of them right.
    """
    members, classes, images, pixels = codes.shape
    flat = codes.reshape(members, classes, -1)
    image = np.repeat(np.arange(images), pixels)
    ones = np.ones(images * pixels, np.float32)
    samples = tuple(
        ClassSample(image, flat, truth[k].ravel(), ones, mean_decision(flat[:, k]))
        for k in range(classes)
    )
    counts = np.full((members + 1, images, classes), pixels_each)
    return Samples(
        tuple(f"i{n}" for n in range(images)),
        tuple(f"m{n}" for n in range(members)),
        samples,
        labelled=counts[0],
        predicted=counts,
        common=counts * 9 // 10,
    )


def partition(images, parts=5):
    groups = np.arange(images) // 2
    return Partition(groups.astype(str), groups % parts, groups % parts)


def equal_heads(seed, images=60, classes=8):
    """Every head is as good as any other: a pixel is true with a chance of half of the Dice, so that
    predicting it gains as often as it costs, and no logit knows anything.
    """
    generator = np.random.default_rng(seed)
    codes = generator.integers(80, 176, (1, classes, images, 25), dtype=np.uint8)
    truth = generator.random((classes, images, 25)) < 0.45
    return Mixer(samples_of(codes, truth, pixels_each=100), partition(images).parts, DICE)


def gains_of(mixer, plan):
    both = partition(len(mixer.parts))
    everyone = np.ones(len(mixer.parts), bool)
    apparent = DICE.value(mixer.outcome(plan, NOTHING, everyone)) - DICE.value(
        mixer.outcome(PLAIN, NOTHING, everyone)
    )
    before, after = (mixer.crossed(p, NOTHING) for p in (PLAIN, plan))
    return apparent, step_gain(before, after, both.groups, DICE, parts=5)


@pytest.fixture
def loose(monkeypatch):
    """Heads that are free to follow noise."""
    monkeypatch.setattr(head_fit, "OWN", 1e-6)
    monkeypatch.setattr(head_fit, "OTHERS", 1e-6)


def test_of_heads_that_are_equal_by_construction_the_best_gains_apparently_and_not_in_truth(loose):
    found = [gains_of(equal_heads(seed), MixturePlan("1x1")) for seed in range(12)]
    assert all(apparent > 0 for apparent, _ in found)
    covered = sum(gain.low < 0 < gain.high for _, gain in found)
    assert covered >= 10  # of 12 at 95 %: fewer would happen once in 50 times by chance
    assert sum(gain.significant for _, gain in found) <= 2


def test_a_head_that_sees_its_own_part_is_noticed(loose, monkeypatch):
    honest = Mixer.fit
    monkeypatch.setattr(Mixer, "fit", lambda self, plan, without: honest(self, plan, NOTHING))
    found = [gains_of(equal_heads(seed), MixturePlan("1x1"))[1] for seed in range(2)]
    assert all(gain.low > 0 and gain.significant for gain in found)


def hidden(seed=0, images=40):
    """Class 1 is hidden where class 0 is: a 1×1 head can know it, a threshold cannot."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (2, images, 60))
    truth = logits > 0
    truth[1] &= logits[0] < 0
    codes = np.clip(logits * 16 + 127.5, 0, 255).astype(np.uint8)[None]
    return Mixer(samples_of(codes, truth, pixels_each=100), partition(images).parts, DICE)


def test_a_head_that_knows_how_classes_exclude_each_other_is_adopted():
    mixer = hidden()
    plan, reports = select_mixture(mixer, partition(40))
    assert plan == MixturePlan("1x1")
    assert [step.name for step in reports] == ["head scale and bias", "head 1x1"]
    (head,) = mixer.fit(plan, NOTHING).heads
    assert head.mix[1][0] < -0.1 < 0.5 < head.mix[1][1]


def test_heads_are_compared_with_thresholds_of_classes():
    """With one member, scale and bias are a threshold; what a class hides is not."""
    table = {step.name: step for step in heads_alone(hidden(), partition(40))}
    assert list(table) == [
        "class thresholds alone",
        "head scale and bias alone",
        "head 1x1 alone",
    ]
    thresholds, scaled, mixed = table.values()
    assert scaled.gain == pytest.approx(thresholds.gain, abs=0.003)
    assert mixed.low > max(0.0, thresholds.high)


def test_thresholds_are_the_best_of_the_grid():
    mixer = hidden()
    cuts = mixer.fit(MixturePlan(cut=True), NOTHING).cuts
    everyone = np.ones(40, bool)
    fitted = DICE.per_class(mixer.outcome(MixturePlan(cut=True), NOTHING, everyone).sum(axis=0))
    plain = DICE.per_class(mixer.outcome(PLAIN, NOTHING, everyone).sum(axis=0))
    assert cuts[0] == 0 and np.all(fitted >= plain)


def test_the_labels_of_a_part_never_touch_the_heads_and_weights_that_score_it():
    mixer, changed = hidden(), hidden()
    held = partition(40).parts == 2
    for sample in changed.samples.classes:
        sample.truth[held[sample.image]] ^= True
    for plan in (MixturePlan("1x1"), MixturePlan("scale and bias")):
        for without in (frozenset({2}), frozenset({2, 4})):
            assert mixer.fit(plan, without).heads == changed.fit(plan, without).heads
        assert mixer.fit(plan, frozenset({4})).heads != changed.fit(plan, frozenset({4})).heads


def test_a_choice_made_without_a_part_does_not_know_its_labels():
    mixer, changed = hidden(), hidden()
    held = partition(40).parts == 2
    for sample in changed.samples.classes:
        sample.truth[held[sample.image]] ^= True
    found = [select_mixture(one, partition(40), frozenset({2})) for one in (mixer, changed)]
    assert found[0] == found[1]


def two_members(seed=0, images=40):
    """The first member is nearly right, the second guesses."""
    generator = np.random.default_rng(seed)
    truth = generator.random((1, images, 60)) < 0.5
    codes = np.zeros((2, 1, images, 60), np.uint8)
    for member, noise in enumerate((0.7, 3.0)):
        logits = truth[0] * 2 - 1 + generator.normal(0, noise, (images, 60))
        codes[member, 0] = np.clip(logits * 16 + 127.5, 0, 255)
    return Mixer(samples_of(codes, truth), partition(images).parts, DICE)


def test_a_mean_that_is_worse_than_its_best_member_gives_way_to_it():
    mixer = two_members()
    plan, reports = select_mixture(mixer, partition(40))
    (step,) = (step for step in reports if step.name == "best member alone")
    assert step.adopted and step.low > 0
    assert plan.weights == "best member alone"
    assert mixer.fit(plan, NOTHING).weights.tolist() == [[1.0, 0.0]]


def test_the_best_of_members_that_are_equal_by_construction_is_not_handed_in_alone():
    """One is always best on the images that it is chosen on; on others it is as good as the mean."""
    adopted = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        codes = generator.integers(80, 176, (3, 4, 60, 25), dtype=np.uint8)
        truth = generator.random((4, 60, 25)) < 0.45
        mixer = Mixer(samples_of(codes, truth, pixels_each=100), partition(60).parts, DICE)
        _, gain = gains_of(mixer, MixturePlan(weights="best member alone"))
        adopted += gain.significant
    assert adopted <= 3


def test_the_best_member_is_chosen_without_the_part_that_it_is_scored_on():
    """Without its part, each image is shown by the member that is better on all others."""
    mixer = two_members()
    held = partition(40).parts == 2
    for sample in mixer.samples.classes:
        mine = held[sample.image]
        sample.truth[mine] = sample.codes[1, 0][mine] > 127  # there the second is always right
    plan = MixturePlan(weights="best member alone")
    assert mixer.fit(plan, frozenset({2})).weights.tolist() == [[1.0, 0.0]]
    assert mixer.fit(plan, frozenset({0, 1, 3, 4})).weights.tolist() == [[0.0, 1.0]]


def test_a_member_of_which_nothing_is_counted_is_not_the_best():
    scores = iter([float("nan"), 0.2, 0.2])
    assert best_alone(lambda weights: next(scores), 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", ["greedy weights", "simplex weights", "weights per class"])
def test_a_member_that_guesses_loses_weight_and_that_is_adopted(kind):
    mixer, plan = two_members(), MixturePlan(weights=kind)
    weights = mixer.fit(plan, NOTHING).weights
    assert weights[0, 0] > 0.6 and weights.sum() == pytest.approx(1)
    apparent, gain = gains_of(mixer, plan)
    assert gain.significant and gain.low > 0 and apparent > 0


def test_probabilities_are_averaged_where_one_member_is_far_too_sure():
    """Two of three are right at logits of 2; where the third is wrong, it is at a logit of 7."""
    generator = np.random.default_rng(3)
    truth = generator.random((1, 60, 60)) < 0.5
    codes = np.zeros((3, 1, 60, 60), np.uint8)
    codes[:2, 0] = np.where(truth[0], 160, 95)
    codes[2, 0] = np.where(truth[0] ^ (generator.random(truth[0].shape) < 0.3), 240, 15)
    mixer = Mixer(samples_of(codes, truth), partition(60).parts, DICE)
    apparent, gain = gains_of(mixer, MixturePlan(mean="probabilities"))
    assert gain.significant and gain.low > 0 and apparent > 0


@pytest.mark.parametrize(
    ("mean", "over", "agreed", "odd"),
    [("root mean square", "probabilities", 0.25, 0.9), ("geometric mean", "logits", 0.9, 0.05)],
)
def test_each_mean_gains_where_the_one_member_that_is_sure_is_right(mean, over, agreed, odd):
    """Root mean square: one at .9 outvotes two at .25, whose mean is .47. Geometric mean: one at .05
    outvotes two at .9, whose mean logit is above 0.
    """
    generator = np.random.default_rng(3)
    positive = generator.random((1, 60, 60)) < 0.5
    disagreed = generator.random((60, 60)) < 0.3
    truth = positive.copy()
    truth[0][disagreed] = odd > 0.5
    codes = np.zeros((3, 1, 60, 60), np.uint8)
    codes[:, 0] = np.where(positive[0], 220, 35)
    for m, p in enumerate((agreed, agreed, odd)):
        codes[m, 0][disagreed] = round(127.5 + 255 / 16 * np.log(p / (1 - p)))
    mixer = Mixer(samples_of(codes, truth), partition(60).parts, DICE)
    report = mixer.report(mean, (MixturePlan(mean=over), MixturePlan(mean=mean)), partition(60))
    assert report.adopted and report.gain > 0.005
    assert not mixer.report(
        mean, (MixturePlan(mean=mean), MixturePlan(mean=over)), partition(60)
    ).adopted


def disputed(right, wrong):
    """Two members at .25 and a third, where they disagree, at `right` where the class is and at `wrong`
    where it is not: p (images,) each.
    """
    generator = np.random.default_rng(3)
    truth = generator.random((1, len(right), 60)) < 0.5
    disagreed = generator.random(truth.shape[1:]) < 0.4
    levels = np.full((3, *truth.shape[1:]), 0.25)
    levels[2] = np.where(truth[0], np.array(right)[:, None], np.array(wrong)[:, None])
    levels = np.where(disagreed, levels, np.where(truth[0], 0.99, 0.01))
    codes = np.round(127.5 + 255 / 16 * np.log(levels / (1 - levels))).astype(np.uint8)
    return Mixer(samples_of(codes[:, None], truth), partition(len(right)).parts, DICE)


@pytest.mark.parametrize(
    ("right", "wrong", "mean"),
    [
        (0.9, 0.7, "root mean square"),
        (0.76, 0.67, "power mean 3"),
        (0.7, 0.6, "power mean 4"),
        (0.3, 0.25, "root mean square"),  # no exponent helps
    ],
)
def test_the_exponent_that_tells_who_is_right_is_fitted(right, wrong, mean):
    """Beside two at .25 the third outvotes them from .80 at exponent 2, .71 at 3, .66 at 4."""
    mixer, plan = disputed([right] * 60, [wrong] * 60), MixturePlan(mean="power mean")
    assert mixer.fit(plan, NOTHING).mean == mean
    fixed = MixturePlan(mean=mean)
    assert np.array_equal(mixer.crossed(plan, NOTHING), mixer.crossed(fixed, NOTHING))
    report = mixer.report("power mean", (MixturePlan(mean="probabilities"), plan), partition(60))
    assert report.adopted == (right > 0.5)


def test_the_exponent_for_a_part_is_fitted_on_the_others():
    first = partition(60).parts == 0
    mixer = disputed(np.where(first, 0.95, 0.7), np.where(first, 0.7, 0.6))
    plan = MixturePlan(mean="power mean")
    assert mixer.fit(plan, frozenset({0})).mean == "power mean 4"
    assert mixer.fit(plan, frozenset({1, 2, 3, 4})).mean == "root mean square"


def test_one_member_has_no_weights_and_no_mean():
    assert [*plans_on(PLAIN, hidden().samples)] == ["head scale and bias", "head 1x1"]
    offered = plans_on(PLAIN, two_members().samples)
    assert "mean of probabilities" in offered and "greedy weights" in offered


def test_one_class_has_no_other_to_mix_and_no_weights_of_its_own():
    codes = np.random.default_rng(0).integers(80, 176, (2, 1, 20, 5), dtype=np.uint8)
    offered = plans_on(PLAIN, samples_of(codes, codes[0, :1] > 127))
    assert [*offered] == [
        "head scale and bias",
        "best member alone",
        "greedy weights",
        "simplex weights",
        "mean of probabilities",
        "geometric mean of probabilities",
        "power mean of probabilities",
    ]


def test_greedy_selection_keeps_equal_shares_among_equals():
    assert greedy(lambda weights: 0.5, 4).tolist() == [0.25] * 4
    best = np.array([0.75, 0.25, 0.0])
    found = greedy(lambda weights: -float(np.abs(weights - best).sum()), 3)
    assert found.tolist() == best.tolist()


def test_the_slope_of_the_smooth_dice_is_its_derivative():
    generator = np.random.default_rng(0)
    z = generator.normal(0, 1, 30)
    features = np.zeros((1, 30), np.float32)
    counts = (np.array([40.0, 0, 60]), np.array([35.0, 45, 70]), np.array([30.0, 0, 50]))
    problem = SmoothDice(
        features,
        generator.random(30) < 0.5,
        generator.random(30) < 0.5,
        generator.uniform(1, 3, 30),
        np.array([0, 8, 20]),
        *counts,
    )
    value, slope = problem.loss(z)
    for place in (0, 9, 25):
        moved = z.copy()
        moved[place] += 1e-5
        assert (problem.loss(moved)[0] - value) / 1e-5 == pytest.approx(slope[place], abs=1e-6)


def test_a_class_of_which_no_pixel_was_drawn_keeps_its_start():
    none = np.empty(0, bool)
    counts = np.full((3, 2), 100.0)
    problem = SmoothDice(
        np.empty((2, 0), np.float32), none, none, np.empty(0), np.zeros(2, int), *counts
    )
    start = np.array([0.5, 0.5, -0.1])
    assert np.array_equal(best_row(problem, start, np.ones(3)), start)


def test_equal_members_share_equally_on_the_simplex():
    features = np.tile(np.random.default_rng(0).normal(0, 1, 50), (3, 1)).astype(np.float32)
    truth = features[0] > 0.2
    problem = SmoothDice(
        features, truth, truth, np.ones(50), np.array([0, 25]), *np.full((3, 2), 100.0)
    )
    assert on_simplex([problem]) == pytest.approx([1 / 3] * 3, abs=1e-6)
