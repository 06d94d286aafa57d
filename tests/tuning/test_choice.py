"""The whole chain for a part is made without that part: heads, weights, rules, shapes, acceptance."""

import numpy as np
import pytest
from stores import DICE, store_of

from competition.masks import Runs
from competition.tuning.chain import Sides
from competition.tuning.choice import choose_all, choose_plans, confirm
from competition.tuning.evidence import Plans, Source, gather_evidence, mixture_of, wanted_keys
from competition.tuning.mixing import PLAIN, Mixer, Plan
from competition.tuning.samples import draw

IMAGES, SIZE = 18, (20, 20)


def discs(seed):
    """Timid predictions of discs, with specks: something to gain for heads, rules and shapes."""
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


def chain(readers, truth):
    parts = np.arange(IMAGES) % 3
    sides = Sides(np.arange(IMAGES).astype(str), parts, parts)
    mixer = Mixer(draw(readers, truth), parts, DICE)
    plans, judged = choose_plans(mixer, sides)
    evidence = gather_evidence(Source(readers, truth, DICE, exclusive=False), mixer, plans)
    plans, _ = confirm(evidence, plans, sides)
    return mixer, plans, judged, choose_all(evidence, plans, sides)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return {"m": store_of(tmp_path_factory.mktemp("choice") / "m", discs(0)[0], size=SIZE)}


def test_the_labels_of_a_part_never_touch_the_chain_that_scores_it(readers):
    truth = discs(0)[1]
    garbled = {
        image: Runs.from_dense(np.random.default_rng(place).random((2, *SIZE)) < 0.5)
        if place % 3 == 1
        else truth[image]
        for place, image in enumerate(truth)
    }
    (mixer, plans, _, choice), (other, others, _, changed) = (
        chain(readers, labels) for labels in (truth, garbled)
    )
    assert plans.nested[1] == others.nested[1] != PLAIN
    key = plans.nested[1], frozenset({1})
    assert mixture_of(mixer, key) == mixture_of(other, key)
    for name in ("threshold", "top", "minimum", "shape"):
        found = [getattr(one.nested[1], name) for one in (choice, changed)]
        assert np.array_equal(*found)
    assert plans.whole != others.whole or not np.array_equal(
        choice.rules.threshold, changed.rules.threshold
    )


def test_the_chain_gains_what_it_says(readers):
    _, plans, judged, choice = chain(readers, discs(0)[1])
    honest, final = DICE.score(choice.honest), DICE.score(choice.final)
    assert any(step.verdict.adopted for step in judged) and plans.whole != PLAIN
    before = DICE.score(choice.plain.statistics.parts[:, :, choice.plain.statistics.half])
    assert before + 0.02 < honest <= final + 0.01


def test_an_image_is_only_seen_through_mixtures_that_have_not_seen_it_but_for_the_final_one():
    parts = np.array([0, 0, 1, 1, 2, 2])
    plan = Plan("1x1")
    wanted = wanted_keys(Plans(plan, dict.fromkeys(range(3), plan)), parts)
    for part, keys in zip(parts, wanted, strict=True):
        fitted = {without for kind, without in keys if kind != PLAIN}
        assert frozenset() in fitted
        assert all(int(part) in without for without in fitted - {frozenset()})
        assert len(fitted) == 1 + 3
