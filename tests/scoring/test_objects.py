"""Objects: which prediction belongs to which truth, and the scores that follow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from competition.masks.morphology import components
from competition.masks.objects import Objects
from competition.masks.runs import Runs
from competition.scoring.metrics import IOU_THRESHOLDS, Metric, score_image, score_objects
from competition.scoring.objects import hits, shared_pixels

NUCLEI = Metric(name="object-precision")
SHIPS = Metric(name="object-f-beta", beta=2.0)

sides = st.integers(1, 6)
stacks = st.tuples(sides, sides).flatmap(
    lambda size: st.tuples(
        st.integers(0, 4).flatmap(lambda n: arrays.arrays(bool, (n, *size))),
        st.integers(0, 4).flatmap(lambda n: arrays.arrays(bool, (n, *size))),
    )
)
label_maps = st.tuples(sides, sides).flatmap(
    lambda size: st.tuples(
        arrays.arrays(np.int64, size, elements=st.integers(0, 4)),
        arrays.arrays(np.int64, size, elements=st.integers(0, 4)),
    )
)


def runs_of(stack: np.ndarray) -> Runs:
    return Runs.from_dense(stack) if len(stack) else Runs.empty(stack.shape)


@given(stacks)
def test_shared_pixels_are_counted_for_every_pair_overlapping_or_not(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    first, second, pixels = shared_pixels(*map(runs_of, pair))
    found = np.zeros((len(pair[0]), len(pair[1])), int)
    found[first, second] = pixels
    expected = np.einsum("nhw,mhw->nm", *(stack.astype(int) for stack in pair))
    assert np.array_equal(found, expected)
    assert (pixels > 0).all()


def usual_counts(truth: np.ndarray, guess: np.ndarray, threshold: float) -> tuple[int, int, int]:
    """TP, FP, FN of two label maps from the matrix of IoUs, as the notebooks of the DSB do it."""
    truths, guesses = ([m == k for k in np.unique(m) if k] for m in (truth, guess))
    iou = np.array([[(t & g).sum() / (t | g).sum() for g in guesses] for t in truths])
    match = iou.reshape(len(truths), len(guesses)) > threshold + 1e-9
    return match.any(1).sum(), (~match.any(0)).sum(), (~match.any(1)).sum()


def as_objects(labels: np.ndarray) -> Objects:
    values = [k for k in np.unique(labels) if k]
    stack = (
        np.stack([labels == k for k in values]) if values else np.zeros((0, *labels.shape), bool)
    )
    return Objects(runs_of(stack), np.zeros(len(values), int))


@given(label_maps)
def test_object_scores_are_those_of_the_iou_matrix(pair: tuple[np.ndarray, np.ndarray]) -> None:
    precision, f_two = [], []
    for threshold in IOU_THRESHOLDS:
        tp, fp, fn = usual_counts(*pair, threshold)
        precision.append(tp / (tp + fp + fn) if tp + fp + fn else 1.0)
        f_two.append(5 * tp / (5 * tp + 4 * fn + fp) if tp + fp + fn else 1.0)
    objects = [as_objects(labels) for labels in pair]
    assert score_objects(*objects, 1, NUCLEI)[0] == pytest.approx(np.mean(precision))
    assert score_objects(*objects, 1, SHIPS)[0] == pytest.approx(np.mean(f_two))


def test_an_iou_on_the_threshold_is_no_hit() -> None:
    truth, guess = Runs.full((1, 1, 5)), Runs.from_dense(np.array([[[1, 1, 1, 0, 0]]]))
    assert hits(truth, guess, (0.5, 0.55, 0.6, 0.65)).tolist() == [1, 1, 0, 0]


def test_one_object_is_hit_once_even_by_two_equal_predictions() -> None:
    once, twice = Runs.full((1, 2, 2)), Runs.full((2, 2, 2))
    assert hits(once, twice, [0.5]).tolist() == [1]
    assert hits(twice, once, [0.5]).tolist() == [1]


def test_two_predictions_for_one_ship_cost_precision() -> None:
    ship = Objects(Runs.full((1, 2, 2)), np.array([0]))
    doubled = Objects(Runs.full((2, 2, 2)), np.array([0, 0]))
    assert score_objects(ship, doubled, 1, SHIPS)[0] == pytest.approx(5 / 6)
    assert score_objects(ship, doubled, 1, NUCLEI)[0] == pytest.approx(1 / 2)


@pytest.mark.parametrize(("empty", "score"), [("one", 1.0), ("zero", 0.0), ("skip", np.nan)])
def test_an_image_without_ships_follows_the_rule(empty: str, score: float) -> None:
    nothing, something = Runs.empty((3, 3)), Runs.full((3, 3))
    metric = Metric(name="object-f-beta", beta=2.0, empty=empty)
    np.testing.assert_array_equal(score_image(nothing, nothing, metric), [score])
    assert score_image(nothing, something, metric).tolist() == [0.0]
    assert score_image(something, nothing, metric).tolist() == [0.0]


def test_masks_are_split_into_their_connected_parts_class_by_class() -> None:
    truth = Runs.from_dense(np.array([[[1, 1, 0, 1, 1]], [[1, 1, 1, 1, 1]]]))
    guess = Runs.from_dense(np.array([[[1, 1, 0, 0, 0]], [[1, 1, 0, 1, 1]]]))
    assert score_image(truth, guess, NUCLEI) == pytest.approx([1 / 2, 0.0])
    parts = components(guess)
    assert score_objects(components(truth), parts, 2, NUCLEI) == pytest.approx([1 / 2, 0.0])


def test_touching_objects_stay_apart_when_they_are_known_apart() -> None:
    halves = Objects(Runs.from_dense(np.array([[[1, 1, 0, 0]], [[0, 0, 1, 1]]])), np.array([0, 0]))
    assert score_objects(halves, halves, 1, NUCLEI).tolist() == [1.0]
    assert score_objects(halves, components(Runs.full((1, 4))), 1, NUCLEI)[0] == 0.0
