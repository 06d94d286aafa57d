"""Post-processing: what each shape does, and that it is chosen only where it helps."""

from dataclasses import replace

import numpy as np
import pytest
from stores import DICE, statistics_of, store_of

from competition.masks import Runs
from competition.masks.morphology import closing, fill_holes, largest, opening, remove_small
from competition.tuning import blend, decide
from competition.tuning.chain import Sides, adopted_steps, choose
from competition.tuning.decisions import ClassRule
from competition.tuning.evidence import PLAIN_KEY, Plans, Source, gather_evidence
from competition.tuning.mixing import PLAIN, Mixer
from competition.tuning.samples import draw
from competition.tuning.shapes import SHAPES, in_every_shape, resolved, shaped, shaped_each
from competition.tuning.shaping import Scene, ShapeFits, gather_shapes
from competition.tuning.statistics import GRID
from competition.tuning.thresholds import plain

SIZE = (40, 50)


def blotches(seed, classes=3, size=SIZE):
    """Smooth random masks with specks and holes."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 1, (classes, size[0] // 5, size[1] // 5))
    field = coarse.repeat(5, axis=1).repeat(5, axis=2) + generator.normal(0, 0.7, (classes, *size))
    return field.astype(np.float32)


def test_each_class_gets_its_own_shape():
    masks = Runs.from_dense(blotches(0, 5) > 0)
    shapes = ("opening", "as it is", "holes filled", "components from 50", "largest component")
    found = shaped_each(masks, shapes)
    expected = opening(masks), masks, fill_holes(masks), remove_small(masks, 50), largest(masks)
    assert found == Runs.stack([one[place] for place, one in enumerate(expected)])
    assert shaped(masks, "closing") == closing(masks)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", [-1, 1, 4])
def test_looking_for_components_once_gives_the_same_shapes(seed, level):
    masks = Runs.from_dense(blotches(seed) > level)
    found = in_every_shape(masks)
    assert found == {shape: shaped(masks, shape) for shape in SHAPES}


def test_components_follow_the_size_that_is_handed_in():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:8, 2:8] = True
    masks = Runs.from_dense(mask)
    assert shaped(masks, "components from 50").area()[0] == 0
    assert shaped(masks, "components from 50", scale=0.5).area()[0] == 36


@pytest.mark.parametrize("shape", SHAPES)
def test_exclusive_classes_stay_exclusive_and_keep_what_was_theirs(shape):
    labels = blotches(3).argmax(axis=0) + 1
    labels[blotches(4).max(axis=0) < 0.5] = 0
    before = Runs.from_label_map(labels, 3)
    after = resolved(before, shaped(before, shape))
    assert after.area().sum() == after.any_mask().area().sum()
    for kind in range(3):
        others = before.any_mask() - before[kind]
        assert (after[kind] & others).area().sum() == 0


def scene_of(gains):
    """60 images × 2 classes that score .7 as they are, and so much more in each shape."""
    scores = np.random.default_rng(0).normal(0.7, 0.02, (60, 2, 1)).repeat(len(GRID), axis=2)
    statistics = statistics_of(scores)
    parts = statistics.parts[:, :, :1].repeat(len(SHAPES), axis=2)
    for shape, gain in gains.items():
        parts[:, :, SHAPES.index(shape), 0] += gain
    return Scene(statistics, plain(statistics), parts, np.ones((60, 2), bool))


def choice(scene):
    groups = np.arange(60) // 2
    both = Sides(groups.astype(str), groups % 5, groups % 5)
    return adopted_steps(
        choose(ShapeFits(scene, dict.fromkeys(range(5), scene), both.parts), both.groups)
    )


def test_a_shape_that_helps_is_adopted_and_the_best_of_its_step_taken():
    scene = scene_of({"components from 50": 0.05, "components from 12": 0.03})
    assert choice(scene) == ("components",)
    assert scene.fit(("components",)).shape.tolist() == [SHAPES.index("components from 50")] * 2


def test_shapes_that_change_nothing_are_left_alone():
    scene = scene_of({"holes filled": 0.0})
    assert choice(scene) == ()
    assert scene.fit(("opening or closing", "holes filled", "components")).shape.tolist() == [0, 0]


def test_a_dropped_prediction_has_no_shape():
    scene = scene_of({"closing": 0.05})
    dropped = replace(scene, kept=np.zeros((60, 2), bool))
    rules = dropped.fit(("opening or closing",))
    assert np.array_equal(dropped.outcome(rules), dropped.statistics.empty)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_shape_adds_is_the_score_of_the_masks_that_are_handed_in(tmp_path, shape):
    logits = {image: blotches(seed, 2) * 3 for seed, image in enumerate("abcdef")}
    truth = {image: Runs.from_dense(blotches(seed + 1, 2) > 0) for seed, image in enumerate(logits)}
    readers = {"m": store_of(tmp_path / "m", logits, size=SIZE)}
    mixer = Mixer(draw(readers, truth), np.arange(6) % 3, DICE)
    source = Source(readers, truth, DICE, exclusive=False)
    evidence = gather_evidence(source, mixer, Plans(PLAIN, dict.fromkeys(range(3), PLAIN)))
    rules = plain(evidence.plain.statistics)
    rules = replace(
        rules,
        threshold=np.array([7, 11]),
        minimum=np.array([0, 900]),
        top=np.array([9, 12]),
        shape=np.full(2, SHAPES.index(shape)),
    )
    scene = gather_shapes(evidence, [(evidence.plain, rules)]).scene(evidence.plain, rules)
    found = scene.outcome(rules)
    by_class = {
        name: ClassRule(
            threshold=GRID[rules.threshold[kind]],
            top=GRID[rules.top[kind]],
            minimum_area=int(rules.minimum[kind]),
            shape=shape,
        )
        for kind, name in enumerate("ab")
    }
    together = blend(readers)
    assert evidence.plain.keys == (PLAIN_KEY,) * 6
    for place, image in enumerate(logits):
        masks = decide(together, image, by_class)
        assert found[place] == pytest.approx(DICE.parts(truth[image], masks))
