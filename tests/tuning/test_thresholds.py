"""Fitting rules from sums finds what trying every candidate on every image finds."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from made_stores import sweep_of

from competition.decoding.threshold_sweep import THRESHOLDS, ThresholdSweep
from competition.evaluation.metric_sums import MetricSums
from competition.scoring import Metric
from competition.tuning.thresholds import (
    class_thresholds,
    double_threshold,
    minimum_area,
    one_threshold,
)


def shrinking(seed, images=12, classes=3, metric=None):
    """Random counts: the predicted area falls with the threshold, some labels are empty."""
    generator = np.random.default_rng(seed)
    areas = np.sort(generator.integers(0, 60, (images, classes, len(THRESHOLDS))))[..., ::-1]
    truth = generator.integers(0, 2, (images, classes)) * generator.integers(
        1, 60, (images, classes)
    )
    inside = np.minimum(areas, truth[..., None]) * generator.random(areas.shape)
    metric_sums = MetricSums(metric or Metric(name="dice"))
    wide = np.broadcast_to(truth[..., None], areas.shape)
    nothing = np.zeros_like(truth)
    return ThresholdSweep(
        metric_sums,
        tuple(map(str, range(images))),
        THRESHOLDS,
        truth,
        areas,
        metric_sums.from_counts(inside.astype(int), wide, areas),
        metric_sums.from_counts(nothing, truth, nothing),
    )


METRICS = [
    Metric(name="dice"),
    Metric(name="dice", empty="skip"),
    Metric(name="dice", over="pixels"),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.empty}-{m.over}")
def test_each_class_gets_the_threshold_that_scores_best(metric):
    found = shrinking(1, metric=metric)
    rules = class_thresholds(found, found.plain())
    scores = found.metric_sums.per_class(found.sums.sum(axis=0))
    assert np.array_equal(rules.threshold, scores.argmax(axis=1))


def test_one_threshold_serves_all_classes_best():
    found = shrinking(2)
    rules = one_threshold(found, found.plain())
    scores = found.metric_sums.overall(found.sums.sum(axis=0).swapaxes(0, 1))
    assert set(rules.threshold) == {scores.argmax()}


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.empty}-{m.over}")
@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_area_is_the_best_of_all_areas(seed, metric):
    found = shrinking(seed, metric=metric)
    start = found.plain()
    rules = minimum_area(found, start)
    best = found.metric_sums.per_class(found.outcome(rules).sum(axis=0))
    highest = found.areas[:, :, found.half].max(axis=0)
    for k in range(found.classes):
        tried = []
        for minimum in range(int(highest[k]) + 1):
            changed = start.minimum.copy()
            changed[k] = minimum
            sums = found.outcome(replace(start, minimum=changed))
            tried.append(found.metric_sums.per_class(sums.sum(axis=0))[k])
        assert best[k] == pytest.approx(max(tried), abs=1e-9)


def test_the_double_threshold_is_the_best_of_all_pairs():
    found = shrinking(5, classes=1)
    start = found.plain()
    rules = double_threshold(found, start)
    tried = []
    for top, minimum in product(range(found.half, len(THRESHOLDS)), range(60)):
        if minimum > found.areas[:, 0, top].max():
            continue
        changed = replace(start, top=np.array([top]), minimum=np.array([minimum]))
        tried.append(found.metric_sums.value(found.outcome(changed)))
    assert found.metric_sums.value(found.outcome(rules)) == pytest.approx(max(tried))
    assert rules.top[0] >= rules.threshold[0]


def test_false_positives_on_absent_classes_are_dropped_by_their_area():
    truth = np.array([[0], [0], [50], [50]])
    areas = np.repeat(np.array([[[4]], [[6]], [[40]], [[60]]]), len(THRESHOLDS), axis=2)
    scores = np.repeat(np.array([[[0.0]], [[0.0]], [[0.8]], [[0.9]]]), len(THRESHOLDS), axis=2)
    found = sweep_of(scores, areas=areas, empty=truth == 0, truth=truth)
    rules = minimum_area(found, found.plain())
    assert rules.minimum.tolist() == [23]
    assert found.outcome(rules)[:, 0, 0].tolist() == [1.0, 1.0, 0.8, 0.9]


def test_equal_scores_leave_the_threshold_at_0_5():
    found = sweep_of(np.full((5, 2, len(THRESHOLDS)), 0.7))
    for step in (one_threshold, class_thresholds, minimum_area, double_threshold):
        rules = step(found, found.plain())
        assert rules.threshold.tolist() == [found.half] * 2
        assert rules.minimum.tolist() == [0, 0]


def test_a_class_that_is_never_counted_keeps_its_rule():
    found = shrinking(3, metric=Metric(name="dice", empty="skip"))
    sums, empty = found.sums.copy(), found.empty.copy()
    sums[:, 1] = empty[:, 1] = 0
    changed = ThresholdSweep(
        found.metric_sums,
        found.images,
        THRESHOLDS,
        found.truth,
        found.areas,
        sums,
        empty,
    )
    for step in (class_thresholds, minimum_area, double_threshold):
        rules = step(changed, changed.plain())
        assert (rules.threshold[1], rules.minimum[1]) == (changed.half, 0)
