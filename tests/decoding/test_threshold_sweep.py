"""The counts that decisions are fitted on are those of decoding and scoring every mask."""

import numpy as np
import pytest
from made_stores import DICE, smooth_logits, store_of, swept_images

from competition.decoding.blend import blend
from competition.decoding.ensemble import plain_sums
from competition.decoding.threshold_sweep import THRESHOLDS
from competition.errors import InputFault
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.scoring import Metric, aggregate, score_image
from competition.scoring.overlap import dice_statistics

METRICS = [
    Metric(name="dice"),
    Metric(name="dice", empty="skip"),
    Metric(name="iou", empty="zero", eps=1e-4),
    Metric(name="mean-precision"),
    Metric(name="dice", over="pixels"),
    Metric(name="object-precision"),
    Metric(name="surface-dice", tolerance=1.0),
]


@pytest.fixture
def case(tmp_path):
    logits = {f"i{seed}": smooth_logits(seed) for seed in range(6)}
    logits["i0"] -= 20
    truth = {
        name: Runs.from_dense(smooth_logits(50 + k, (8, 12)) > 1) for k, name in enumerate(logits)
    }
    truth["i0"] = truth["i1"] = Runs.empty((2, 8, 12))
    return blend({"m": store_of(tmp_path / "m", logits)}), truth


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{m.empty}-{m.over}")
def test_every_threshold_scores_as_decoding_and_scoring_each_image_does(case, metric):
    together, truth = case
    swept = swept_images(together, truth, MetricSums(metric))
    for place, threshold in enumerate(THRESHOLDS):
        predicted = {i: together.runs_at(i, np.array([threshold]))[0] for i in together.images}
        if metric.over == "pixels":
            rows = [np.stack(dice_statistics(truth[i], predicted[i]), -1) for i in together.images]
        else:
            rows = [score_image(truth[i], predicted[i], metric) for i in together.images]
        expected = aggregate(np.stack(rows), metric)
        found = swept.metric_sums.value(swept.sums[:, :, place])
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{m.empty}-{m.over}")
def test_the_score_of_an_emptied_prediction_is_known(case, metric):
    together, truth = case
    swept = swept_images(together, truth, MetricSums(metric))
    nothing = Runs.empty((2, 8, 12))
    if metric.over == "pixels":
        rows = [np.stack(dice_statistics(truth[i], nothing), -1) for i in together.images]
    else:
        rows = [score_image(truth[i], nothing, metric) for i in together.images]
    expected = aggregate(np.stack(rows), metric)
    assert swept.metric_sums.value(swept.empty) == pytest.approx(expected, abs=1e-12)


def test_the_interval_is_that_of_the_scores(case):
    together, truth = case
    swept = swept_images(together, truth, DICE)
    groups = np.array(["p", "p", "q", "q", "r", "s"])
    half = swept.sums[:, :, swept.half]
    found, scores = DICE.score(half, groups), half[..., 0]
    assert found.value == pytest.approx(scores.mean())
    _, totals = group_totals(np.stack([scores.sum(axis=1), np.full(6, 2.0)], axis=1), groups)
    drawn = resampled(totals, np.random.default_rng(0))
    low, high = bounds(drawn[:, 0] / drawn[:, 1])
    assert (found.low, found.high) == pytest.approx((low, high))


def test_part_of_the_images_is_part_of_the_rows(case):
    together, truth = case
    swept = swept_images(together, truth, DICE)
    some = swept.where(np.array([True, False, False, True, False, False]))
    assert some.images == ("i0", "i3")
    assert np.array_equal(some.sums, swept.sums[[0, 3]])
    assert np.array_equal(some.truth, swept.truth[[0, 3]])


def test_every_image_advances_the_bar_once(case):
    together, truth = case
    ticks = []
    plain_sums(together, truth, DICE, advance=lambda: ticks.append(1))
    assert len(ticks) == 6


def test_a_predicted_image_without_labels_is_named(case):
    together, truth = case
    del truth["i4"]
    with pytest.raises(InputFault, match="image 'i4' is predicted but not labelled"):
        swept_images(together, truth, DICE)


def test_labels_of_another_size_are_named(case):
    together, truth = case
    truth["i4"] = Runs.empty((2, 8, 11))
    with pytest.raises(InputFault, match=r"image 'i4': predicted as \(2, 8, 12\)"):
        swept_images(together, truth, DICE)


def test_a_distance_is_better_when_it_is_less(case):
    together, truth = case
    chosen = [image for image in together.images if truth[image].area().min() > 0]
    metric_sums = MetricSums(Metric(name="hausdorff-95"))
    one = np.stack([metric_sums.of_image(truth[image], truth[image]) for image in chosen])
    other = np.stack(
        [metric_sums.of_image(truth[image], Runs.full((2, 8, 12))) for image in chosen]
    )
    assert metric_sums.value(one) == 0 < metric_sums.value(other)
    assert metric_sums.overall(one.sum(axis=0)) > metric_sums.overall(other.sum(axis=0))
    found = metric_sums.score(other, np.arange(len(chosen)))
    assert 0 <= found.low <= found.value == metric_sums.value(other) <= found.high


def test_a_metric_of_volumes_scores_no_single_image():
    with pytest.raises(InputFault, match="use evaluate_volumes"):
        MetricSums(Metric(name="dice-hausdorff")).of_image(*[Runs.empty((1, 4, 4))] * 2)
