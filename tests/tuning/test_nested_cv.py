"""The whole choice for a part is made without that part: every fit and every selection."""

import numpy as np
import pytest
from made_stores import DICE, store_of

from competition.evaluation.groups import Partition
from competition.masks import Runs
from competition.tuning.cv_views import (
    NestedPlans,
    OutOfFold,
    gather_views,
    mixture_of,
    wanted_fits,
)
from competition.tuning.mixture_search import PLAIN, Mixer, MixturePlan
from competition.tuning.nested_cv import confirmed, nested_cross_validation, select_mixtures
from competition.tuning.pixel_samples import draw

IMAGES, SIZE = 18, (20, 20)
RULES = ("threshold", "top", "minimum", "operation")


def discs(seed):
    """Timid predictions of discs, with specks: something to gain for every kind of step."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices(SIZE)
    logits, truth = {}, {}
    for place in range(IMAGES):
        row, column, radius = *generator.uniform(7, 13, 2), generator.uniform(3, 5)
        disc = (radius - np.hypot(rows - row, columns - column)).astype(np.float32)
        seen = disc - 1 + generator.normal(0, 0.4, SIZE)
        seen[:2, :2] = 3
        logits[f"i{place}"] = np.stack([seen, -seen]).astype(np.float32)
        truth[f"i{place}"] = Runs.from_dense(np.stack([disc > 0, disc < 0]))
    return logits, truth


def choice_on(readers, truth):
    parts = np.arange(IMAGES) % 3
    partition = Partition(np.arange(IMAGES).astype(str), parts, parts)
    mixer = Mixer(draw(readers, truth), parts, DICE)
    plans, reports = select_mixtures(mixer, partition)
    views = gather_views(OutOfFold(readers, truth, DICE, exclusive=False), mixer, plans)
    plans, _ = confirmed(views, plans, partition)
    return mixer, plans, reports, nested_cross_validation(views, plans, partition)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return {"m": store_of(tmp_path_factory.mktemp("choice") / "m", discs(0)[0], size=SIZE)}


def test_the_labels_of_a_part_never_touch_the_choice_that_scores_it(readers):
    truth = discs(0)[1]
    garbled = {
        image: Runs.from_dense(np.random.default_rng(place).random((2, *SIZE)) < 0.5)
        if place % 3 == 1
        else truth[image]
        for place, image in enumerate(truth)
    }
    (mixer, plans, _, choice), (other, others, _, changed) = (
        choice_on(readers, labels) for labels in (truth, garbled)
    )
    assert plans.without[1] == others.without[1] != PLAIN
    fit = plans.without[1], frozenset({1})
    assert mixture_of(mixer, fit) == mixture_of(other, fit)
    for name in RULES:
        found = [getattr(one.without[1], name) for one in (choice, changed)]
        assert np.array_equal(*found)
    assert plans.whole != others.whole or any(
        not np.array_equal(getattr(choice.rules, name), getattr(changed.rules, name))
        for name in RULES
    )


def test_the_choice_gains_what_it_says(readers):
    _, plans, reports, choice = choice_on(readers, discs(0)[1])
    honest, submitted = DICE.value(choice.honest), DICE.value(choice.submitted)
    assert any(step.adopted for step in reports) and plans.whole != PLAIN
    plain = choice.plain.sweep
    before = DICE.value(plain.outcome(plain.plain()))
    assert before + 0.02 < honest <= submitted + 0.01


def test_an_image_is_only_seen_through_mixtures_that_have_not_seen_it_but_for_what_is_submitted():
    parts = np.array([0, 0, 1, 1, 2, 2])
    plan = MixturePlan("1x1")
    wanted = wanted_fits(NestedPlans(plan, dict.fromkeys(range(3), plan)), parts)
    for part, fits in zip(parts, wanted, strict=True):
        fitted = {without for plan, without in fits if plan != PLAIN}
        assert frozenset() in fitted
        assert all(int(part) in without for without in fitted - {frozenset()})
        assert len(fitted) == 1 + 3
