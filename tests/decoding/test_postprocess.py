"""Post-processing: what each operation does, and that it is chosen only where it helps."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from made_stores import DICE, store_of, sweep_of

from competition.decoding import postprocess
from competition.decoding.blend import blend
from competition.decoding.decisions import ClassRule, decide
from competition.decoding.postprocess import (
    CHAINS,
    after_every_chain,
    exclusive_again,
    postprocessed,
    postprocessed_each,
)
from competition.decoding.threshold_sweep import THRESHOLDS
from competition.evaluation.groups import Partition
from competition.masks import Runs
from competition.masks.morphology import closing, fill_holes, largest, opening, remove_small
from competition.tuning.cv_views import PLAIN_FIT, NestedPlans, OutOfFold, gather_views
from competition.tuning.mixture_search import PLAIN, Mixer
from competition.tuning.pixel_samples import draw
from competition.tuning.postprocess_search import (
    CHAIN_STEPS,
    OperationFits,
    OperationScores,
    sweep_operations,
)
from competition.tuning.step_selection import adopted_steps, select_steps

SIZE = (40, 50)


def blotches(seed, classes=3, size=SIZE):
    """Smooth random masks with specks and holes."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 1, (classes, size[0] // 5, size[1] // 5))
    field = coarse.repeat(5, axis=1).repeat(5, axis=2) + generator.normal(0, 0.7, (classes, *size))
    return field.astype(np.float32)


def test_each_class_gets_its_own_operation():
    masks = Runs.from_dense(blotches(0, 5) > 0)
    chains = (("opening",), (), ("holes filled",), ("components from 50",), ("largest component",))
    found = postprocessed_each(masks, chains)
    expected = opening(masks), masks, fill_holes(masks), remove_small(masks, 50), largest(masks)
    assert found == Runs.stack([one[place] for place, one in enumerate(expected)])
    assert postprocessed(masks, ("closing",)) == closing(masks)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", [-1, 1, 4])
def test_looking_for_components_once_gives_the_same_masks(seed, level):
    masks = Runs.from_dense(blotches(seed) > level)
    found = after_every_chain(masks)
    assert found == {one: postprocessed(masks, one) for one in CHAINS}


def test_a_chain_is_its_operations_one_after_the_other():
    masks = Runs.from_dense(blotches(0, 5) > 0)
    chain = ("opening", "components from 50", "holes filled")
    after = fill_holes(remove_small(opening(masks), 50))
    assert postprocessed(masks, chain) == after
    assert after != fill_holes(opening(remove_small(masks, 50)))
    assert postprocessed_each(masks, [chain, (), chain, (), ()]) == Runs.stack(
        [after[0], masks[1], after[2], masks[3], masks[4]]
    )


def test_what_chains_begin_with_is_computed_once(monkeypatch):
    masks, counts = Runs.from_dense(blotches(0, 5) > 0), Counter()

    def counted(name):
        plain = getattr(postprocess, name)

        def call(*given):
            counts[name] += 1
            return plain(*given)

        return call

    for name in ("opening", "components", "fill_holes"):
        monkeypatch.setattr(postprocess, name, counted(name))
    found = after_every_chain(masks)
    opened = {chain: done for chain, done in found.items() if chain[:1] == ("opening",)}
    assert len(opened) == 5 and len(set(opened.values())) > 3
    before_holes = {remove_small(opening(masks), area) for area in (12, 50, 200, 800)}
    assert counts == {"opening": 1, "components": 2, "fill_holes": 1 + len(before_holes)}


def test_components_follow_the_size_that_is_handed_in():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:8, 2:8] = True
    masks = Runs.from_dense(mask)
    assert postprocessed(masks, ("components from 50",)).area()[0] == 0
    assert postprocessed(masks, ("components from 50",), scale=0.5).area()[0] == 36


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_exclusive_classes_stay_exclusive_and_keep_what_was_theirs(chain):
    labels = blotches(3).argmax(axis=0) + 1
    labels[blotches(4).max(axis=0) < 0.5] = 0
    before = Runs.from_label_map(labels, 3)
    after = exclusive_again(before, postprocessed(before, chain))
    assert after.area().sum() == after.any_mask().area().sum()
    for k in range(3):
        others = before.any_mask() - before[k]
        assert (after[k] & others).area().sum() == 0


def scores_of(gains):
    """60 images × 2 classes that score .7 as they are, and so much more after each operation."""
    scores = np.random.default_rng(0).normal(0.7, 0.02, (60, 2, 1)).repeat(len(THRESHOLDS), axis=2)
    swept = sweep_of(scores)
    sums = swept.sums[:, :, :1].repeat(len(CHAINS), axis=2)
    for chain, gain in gains.items():
        sums[:, :, CHAINS.index(chain), 0] += gain
    return OperationScores(swept, swept.plain(), sums)


def adopted(found):
    groups = np.arange(60) // 2
    partition = Partition(groups.astype(str), groups % 5, groups % 5)
    return adopted_steps(
        select_steps(
            OperationFits(found, dict.fromkeys(range(5), found), partition.parts), partition.groups
        )
    )


def test_an_operation_that_helps_is_adopted_and_the_best_of_its_step_taken():
    found = scores_of({("components from 50",): 0.05, ("components from 12",): 0.03})
    assert adopted(found) == ("components",)
    assert (
        found.fit(("components",)).operation.tolist() == [CHAINS.index(("components from 50",))] * 2
    )


def test_a_chain_is_adopted_over_the_best_of_its_operations():
    chain = ("opening", "components from 12", "holes filled")
    found = scores_of({("opening",): 0.03, ("holes filled",): 0.02, chain: 0.06})
    assert adopted(found) == ("opening or closing", "opening, components, holes")
    assert found.fit(adopted(found)).operation.tolist() == [CHAINS.index(chain)] * 2


def test_operations_that_change_nothing_are_left_alone():
    found = scores_of({("holes filled",): 0.0})
    assert adopted(found) == ()
    assert found.fit(CHAIN_STEPS).operation.tolist() == [0, 0]


def test_a_dropped_prediction_has_no_operation():
    found = scores_of({("closing",): 0.05})
    nothing_kept = replace(found.rules, minimum=np.full(2, 11))  # of 10 predicted pixels
    dropped = replace(found, rules=nothing_kept)
    rules = dropped.fit(("opening or closing",))
    assert found.fit(("opening or closing",)).operation.tolist() != [0, 0]
    assert rules.operation.tolist() == [0, 0]
    assert np.array_equal(dropped.outcome(rules), dropped.sweep.empty)


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_what_an_operation_adds_is_the_score_of_the_masks_that_are_handed_in(tmp_path, chain):
    logits = {image: blotches(seed, 2) * 3 for seed, image in enumerate("abcdef")}
    truth = {image: Runs.from_dense(blotches(seed + 1, 2) > 0) for seed, image in enumerate(logits)}
    readers = {"m": store_of(tmp_path / "m", logits, size=SIZE)}
    mixer = Mixer(draw(readers, truth), np.arange(6) % 3, DICE)
    data = OutOfFold(readers, truth, DICE, exclusive=False)
    views = gather_views(data, mixer, NestedPlans(PLAIN, dict.fromkeys(range(3), PLAIN)))
    rules = replace(
        views.plain.sweep.plain(),
        threshold=np.array([7, 11]),
        minimum=np.array([0, 900]),
        top=np.array([9, 12]),
        operation=np.full(2, CHAINS.index(chain)),
    )
    swept = sweep_operations(views, [(views.plain, rules)])
    found = swept.under(views.plain, rules).outcome(rules)
    by_class = {
        name: ClassRule(
            threshold=THRESHOLDS[rules.threshold[k]],
            top=THRESHOLDS[rules.top[k]],
            minimum_area=int(rules.minimum[k]),
            postprocess=chain,
        )
        for k, name in enumerate("ab")
    }
    together = blend(readers)
    assert views.plain.fits == (PLAIN_FIT,) * 6
    for place, image in enumerate(logits):
        masks = decide(together, image, by_class)
        assert found[place] == pytest.approx(DICE.of_image(truth[image], masks))
