"""Every competition's metric against its dense twin, with its rule for empty masks."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from competition.errors import InputFault
from competition.evaluation.metric_sums import MetricSums
from competition.masks.runs import Runs
from competition.scoring.metrics import (
    IOU_THRESHOLDS,
    METRICS,
    Metric,
    Rule,
    aggregate,
    score_from_statistics,
    score_image,
)
from competition.scoring.overlap import (
    dice_from_statistics,
    dice_statistics,
    frequency_weighted,
)

NAN = float("nan")
EMPTY = {"one": 1.0, "zero": 0.0, "skip": NAN}

HAND_BONE = Metric(name="dice", eps=1e-4)
CONTRAILS = Metric(name="dice", over="pixels")
INK = Metric(name="f-beta", beta=0.5)
SALT = Metric(name="mean-precision")

pairs_of_stacks = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)
metrics = st.sampled_from(
    [
        Metric(name=name, empty=empty, **options)
        for empty in EMPTY
        for name, options in [
            ("dice", {}),
            ("dice", {"eps": 1e-4}),
            ("iou", {}),
            ("iou", {"eps": 0.5}),
            ("f-beta", {"beta": 0.5}),
            ("f-beta", {"beta": 2.0}),
            ("mean-precision", {}),
        ]
    ]
)


def score_of(truths: list[Runs], predictions: list[Runs], metric: Metric) -> float:
    """The score of a set of images; from counts of pixels where they are all it needs."""
    pairs = zip(truths, predictions, strict=True)
    if metric.counts_pixels:
        return aggregate(np.array([np.stack(dice_statistics(*p), axis=1) for p in pairs]), metric)
    return aggregate(np.array([score_image(*pair, metric) for pair in pairs]), metric)


def dense_score(truth: np.ndarray, prediction: np.ndarray, metric: Metric) -> float:
    """One class (H, W) from its true positives, false positives and false negatives."""
    tp, fp, fn = (
        (truth & prediction).sum(),
        (~truth & prediction).sum(),
        (truth & ~prediction).sum(),
    )
    if tp + fp + fn == 0:
        return EMPTY[metric.empty]
    if metric.name == "dice":
        return (2 * tp + metric.eps) / (2 * tp + fp + fn + metric.eps)
    if metric.name == "iou":
        return (tp + metric.eps) / (tp + fp + fn + metric.eps)
    if metric.name == "f-beta":
        weight = metric.beta**2
        return (1 + weight) * tp / ((1 + weight) * tp + weight * fn + fp)
    return np.mean([100 * tp > round(100 * t) * (tp + fp + fn) for t in IOU_THRESHOLDS])


@given(pairs_of_stacks, metrics)
def test_scores_on_runs_are_those_on_pixels(
    pair: tuple[np.ndarray, np.ndarray], metric: Metric
) -> None:
    scores = score_image(*map(Runs.from_dense, pair), metric)
    expected = [dense_score(*planes, metric) for planes in zip(*pair, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@given(st.lists(pairs_of_stacks, min_size=1, max_size=4))
def test_pooled_dice_counts_all_pixels_of_all_images_at_once(
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    truths, predictions = ([Runs.from_dense(pair[i][:1]) for pair in pairs] for i in (0, 1))
    flat = [np.concatenate([pair[i][:1].ravel() for pair in pairs]) for i in (0, 1)]
    pooled = dense_score(flat[0][None], flat[1][None], Metric(name="dice"))
    assert score_of(truths, predictions, CONTRAILS) == pytest.approx(pooled)


def test_one_and_the_same_data_has_three_means_by_the_rule_for_empty_masks() -> None:
    truth = Runs.from_dense(np.array([[[1, 1, 0]], [[0, 0, 0]], [[0, 0, 0]], [[1, 0, 0]]]))
    guess = Runs.from_dense(np.array([[[0, 1, 1]], [[0, 0, 0]], [[1, 0, 0]], [[0, 0, 0]]]))
    means = {rule: score_of([truth], [guess], Metric(name="dice", empty=rule)) for rule in EMPTY}
    assert means == {"one": 1.5 / 4, "zero": 0.5 / 4, "skip": pytest.approx(0.5 / 3)}


def test_hand_bones_eps_gives_one_for_two_empty_masks_and_almost_nothing_for_a_missed_one() -> None:
    counts = np.array([0, 0, 50]), np.array([0, 100, 100]), np.array([0, 0, 100])
    expected = [1.0, 1e-4 / (100 + 1e-4), (100 + 1e-4) / (200 + 1e-4)]
    np.testing.assert_allclose(score_from_statistics(*counts, HAND_BONE), expected, rtol=1e-12)


def test_ink_prefers_precision() -> None:
    truth = Runs.from_dense(np.array([[1, 1, 1, 1, 0, 0, 0, 0]]))
    cautious = Runs.from_dense(np.array([[1, 1, 0, 0, 0, 0, 0, 0]]))
    bold = Runs.full((1, 8))
    assert score_image(truth, cautious, INK)[0] == pytest.approx(1.25 * 2 / (0.25 * 4 + 2))
    assert score_image(truth, cautious, INK)[0] > score_image(truth, bold, INK)[0]


def test_salt_counts_an_iou_on_the_threshold_as_a_miss() -> None:
    """An IoU of exactly .6 passes .50 and .55; 0.6000000000000001 is not what was meant."""
    truth = Runs.from_dense(np.array([[1, 1, 1, 1, 1]]))
    guess = Runs.from_dense(np.array([[1, 1, 1, 0, 0]]))
    assert score_image(truth, guess, SALT).tolist() == [0.2]
    for hits in range(1, 20):
        prefix = Runs.from_dense((np.arange(20) < hits)[None])
        expected = sum(hits / 20 > t + 1e-9 for t in IOU_THRESHOLDS) / 10
        assert score_image(Runs.full((1, 20)), prefix, SALT)[0] == pytest.approx(expected)


def test_salt_gives_one_or_nothing_where_there_is_no_salt() -> None:
    nothing, one_pixel = Runs.empty((3, 3)), Runs(np.array([4]), np.array([5]), (3, 3))
    assert score_image(nothing, nothing, SALT).tolist() == [1.0]
    assert score_image(nothing, one_pixel, SALT).tolist() == [0.0]
    assert score_image(one_pixel, nothing, SALT).tolist() == [0.0]


@given(pairs_of_stacks)
def test_counts_add_up_over_any_leading_axes(pair: tuple[np.ndarray, np.ndarray]) -> None:
    counts = [np.array(c) for c in dice_statistics(*map(Runs.from_dense, pair))]
    tall = [np.stack([[c, 2 * c], [3 * c, 4 * c]]) for c in counts]
    scores = dice_from_statistics(*tall)
    assert scores.shape == (2, 2, len(pair[0]))
    # Twice the pixels of everything is the same Dice.
    np.testing.assert_allclose(scores[1, 1], dice_from_statistics(*counts))


def test_a_million_images_of_large_counts_do_not_overflow() -> None:
    counts = np.full(3, 2**40, dtype=np.int64)
    assert dice_from_statistics(*counts) == 1.0
    assert score_from_statistics(*counts, SALT) == 1.0


def test_the_mean_goes_over_images_and_classes_at_once() -> None:
    scores = np.array([[1.0, NAN], [0.0, 0.25]])
    assert aggregate(scores, Metric(name="dice", empty="skip")) == pytest.approx(1.25 / 3)
    assert np.isnan(aggregate(np.full((2, 2), NAN), Metric(name="dice", empty="skip")))


def test_a_pooled_metric_is_not_computed_from_scores() -> None:
    with pytest.raises(InputFault, match="pixel counts"):
        aggregate(np.ones((2, 1)), CONTRAILS)


def test_counts_and_scores_of_images_have_one_mean() -> None:
    rng = np.random.default_rng(0)
    truths, guesses = (
        [Runs.from_dense(rng.random((2, 4, 5)) < 0.4) for _ in range(6)] for _ in "tp"
    )
    counts = np.array(
        [np.stack(dice_statistics(*pair), axis=1) for pair in zip(truths, guesses, strict=True)]
    )
    scores = np.array([score_image(*pair, HAND_BONE) for pair in zip(truths, guesses, strict=True)])
    assert aggregate(counts, HAND_BONE) == pytest.approx(aggregate(scores, HAND_BONE))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "dise"}, "dise"),
        ({"name": "dice", "epsilon": 1e-4}, "epsilon"),
        ({"name": "dice", "beta": 2.0}, r"'dice' does not use \['beta'\]"),
        ({"name": "object-precision", "over": "pixels"}, "does not use"),
        ({"name": "f-beta"}, r"needs \['beta'\]"),
        ({"name": "surface-dice"}, r"needs \['tolerance'\]"),
        ({"name": "dice", "eps": -1}, "eps"),
        ({"name": "dice", "empty": "nan"}, "empty"),
        ({"name": "mean-precision", "thresholds": []}, "thresholds"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(table: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Metric(**table)


@given(metrics)
def test_a_metric_survives_a_settings_file(metric: Metric) -> None:
    assert Metric(**metric.model_dump()) == metric
    assert Metric.model_validate_json(metric.model_dump_json()) == metric


def test_object_and_surface_metrics_say_that_they_need_more_than_counts() -> None:
    counts = (np.array([1]),) * 3
    for table in ({"name": "hausdorff-95"}, {"name": "surface-dice", "tolerance": 1.0}):
        assert not Metric(**table).counts_pixels
        with pytest.raises(InputFault, match="counts of pixels"):
            score_from_statistics(*counts, Metric(**table))


def test_frequency_weights_are_the_true_pixels_of_each_class() -> None:
    truth = Runs.from_dense(np.array([[[1, 1, 1, 0, 0]], [[0, 0, 0, 1, 0]], [[0, 0, 0, 0, 0]]]))
    guess = Runs.from_dense(np.array([[[1, 1, 1, 0, 0]], [[0, 0, 0, 0, 1]], [[0, 0, 0, 0, 0]]]))
    scores = score_image(truth, guess, Metric(name="iou", empty="skip"))
    assert frequency_weighted(scores, truth.area()) == pytest.approx(3 / 4)
    assert aggregate(scores[None], Metric(name="iou", empty="skip")) == pytest.approx(1 / 2)


def test_masks_of_two_sizes_are_not_compared() -> None:
    with pytest.raises(InputFault, match="shape"):
        score_image(Runs.full((2, 3)), Runs.full((3, 2)), HAND_BONE)


def test_union_of_classes_is_scored_like_any_mask() -> None:
    stack = Runs.from_dense(np.eye(3, dtype=bool)[:, None, :])
    union = reduce(lambda a, b: a | b, stack)
    assert score_image(union, stack.any_mask(), HAND_BONE).tolist() == [1.0]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_scored_from_counts_or_from_masks_and_never_both(name: str) -> None:
    rule = METRICS[name]
    assert (rule.from_counts is None) != (rule.from_masks is None)
    assert (rule.from_counts is None) == (rule.counted is None)
    assert rule.needs <= rule.options <= Metric.model_fields.keys() - {"name"}


def recall(metric: Metric, shared: np.ndarray, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    return (shared + metric.eps) / (truth + metric.eps)


def widest(metric: Metric, truth: Runs, guess: Runs, spacing) -> float:
    """How much the longest runs of two masks differ, in mm."""
    longest = [max((mask.stops - mask.starts).tolist(), default=0) for mask in (truth, guess)]
    return spacing[1] * abs(longest[0] - longest[1])


@pytest.mark.parametrize("over", ["image-class", "pixels"])
def test_a_metric_that_is_added_is_chosen_and_scored_without_another_line(
    monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    with pytest.raises(ValidationError, match="no such metric"):
        Metric(name="recall")
    rule = Rule(frozenset({"eps", "over"}), counted="pixels", from_counts=recall)
    monkeypatch.setitem(METRICS, "recall", rule)
    metric = Metric(name="recall", eps=1.0, over=over)
    truths = [Runs.from_dense(np.array([row])) for row in ([1, 1, 1, 0], [1, 0, 0, 0])]
    guesses = [Runs.from_dense(np.array([row])) for row in ([1, 1, 0, 0], [0, 1, 1, 1])]
    pairs = list(zip(truths, guesses, strict=True))
    assert [score_image(*pair, metric).tolist() for pair in pairs] == [[3 / 4], [1 / 2]]
    sums = np.stack([MetricSums(metric).of_image(*pair) for pair in pairs])
    expected = (3 / 4 + 1 / 2) / 2 if over == "image-class" else (2 + 1) / (4 + 1)
    assert MetricSums(metric).value(sums) == pytest.approx(expected)
    assert score_of(truths, guesses, metric) == pytest.approx(expected)
    with pytest.raises(ValidationError, match=r"'recall' does not use \['beta'\]"):
        Metric(name="recall", beta=1.0)


def test_a_metric_of_masks_that_is_added_is_scored_in_mm_and_less_is_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = Rule(frozenset({"empty"}), from_masks=widest, higher_is_better=False)
    monkeypatch.setitem(METRICS, "widest", rule)
    metric = Metric(name="widest")
    truth = Runs.from_dense(np.array([[[1, 1, 1, 0]], [[0, 0, 0, 0]]]))
    guess = Runs.from_dense(np.array([[[1, 0, 1, 0]], [[0, 1, 1, 0]]]))
    assert score_image(truth, guess, metric, spacing=(3.0, 0.5)).tolist() == [1.0, 1.0]
    sums = MetricSums(metric, spacing=(3.0, 0.5))
    images = np.stack([sums.of_image(truth, guess), sums.of_image(truth, truth)])
    assert sums.value(images) == pytest.approx(0.5)
    assert sums.overall(images[1]) > sums.overall(images[0])


def test_an_unknown_metric_is_told_the_nearest_there_are() -> None:
    with pytest.raises(ValidationError, match="the nearest of 9 are surface-dice, "):
        Metric(name="surfacedice", tolerance=1.0)
