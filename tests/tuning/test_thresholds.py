"""Fitting rules from sums finds what trying every candidate on every image finds."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from stores import statistics_of

from competition.scoring import Metric
from competition.tuning.measure import Measure
from competition.tuning.statistics import GRID, Statistics
from competition.tuning.thresholds import (
    class_thresholds,
    double_threshold,
    minimum_area,
    one_threshold,
    outcome,
    plain,
)


def shrinking(seed, images=12, classes=3, metric=None):
    """Random counts: the predicted area falls with the threshold, some labels are empty."""
    generator = np.random.default_rng(seed)
    areas = np.sort(generator.integers(0, 60, (images, classes, len(GRID))))[..., ::-1]
    truth = generator.integers(0, 2, (images, classes)) * generator.integers(
        1, 60, (images, classes)
    )
    inside = np.minimum(areas, truth[..., None]) * generator.random(areas.shape)
    measure = Measure(metric or Metric(name="dice"))
    wide = np.broadcast_to(truth[..., None], areas.shape)
    nothing = np.zeros_like(truth)
    return Statistics(
        measure,
        tuple(map(str, range(images))),
        GRID,
        truth,
        areas,
        measure.from_counts(inside.astype(int), wide, areas),
        measure.from_counts(nothing, truth, nothing),
    )


METRICS = [
    Metric(name="dice"),
    Metric(name="dice", empty="skip"),
    Metric(name="dice", over="pixels"),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.empty}-{m.over}")
def test_each_class_gets_the_threshold_that_scores_best(metric):
    statistics = shrinking(1, metric=metric)
    rules = class_thresholds(statistics, plain(statistics))
    scores = statistics.measure.per_class(statistics.parts.sum(axis=0))
    assert np.array_equal(rules.threshold, scores.argmax(axis=1))


def test_one_threshold_serves_all_classes_best():
    statistics = shrinking(2)
    rules = one_threshold(statistics, plain(statistics))
    scores = statistics.measure.overall(statistics.parts.sum(axis=0).swapaxes(0, 1))
    assert set(rules.threshold) == {scores.argmax()}


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.empty}-{m.over}")
@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_area_is_the_best_of_all_areas(seed, metric):
    statistics = shrinking(seed, metric=metric)
    start = plain(statistics)
    rules = minimum_area(statistics, start)
    best = statistics.measure.per_class(outcome(statistics, rules).sum(axis=0))
    highest = statistics.areas[:, :, statistics.half].max(axis=0)
    for kind in range(statistics.classes):
        tried = []
        for minimum in range(int(highest[kind]) + 1):
            changed = start.minimum.copy()
            changed[kind] = minimum
            parts = outcome(statistics, replace(start, minimum=changed))
            tried.append(statistics.measure.per_class(parts.sum(axis=0))[kind])
        assert best[kind] == pytest.approx(max(tried), abs=1e-9)


def test_the_double_threshold_is_the_best_of_all_pairs():
    statistics = shrinking(5, classes=1)
    start = plain(statistics)
    rules = double_threshold(statistics, start)
    tried = []
    for top, minimum in product(range(statistics.half, len(GRID)), range(60)):
        if minimum > statistics.areas[:, 0, top].max():
            continue
        changed = replace(start, top=np.array([top]), minimum=np.array([minimum]))
        tried.append(statistics.measure.score(outcome(statistics, changed)))
    assert statistics.measure.score(outcome(statistics, rules)) == pytest.approx(max(tried))
    assert rules.top[0] >= rules.threshold[0]


def test_false_positives_on_absent_classes_are_dropped_by_their_area():
    truth = np.array([[0], [0], [50], [50]])
    areas = np.repeat(np.array([[[4]], [[6]], [[40]], [[60]]]), len(GRID), axis=2)
    scores = np.repeat(np.array([[[0.0]], [[0.0]], [[0.8]], [[0.9]]]), len(GRID), axis=2)
    statistics = statistics_of(scores, areas=areas, empty=truth == 0, truth=truth)
    rules = minimum_area(statistics, plain(statistics))
    assert rules.minimum.tolist() == [23]
    assert outcome(statistics, rules)[:, 0, 0].tolist() == [1.0, 1.0, 0.8, 0.9]


def test_equal_scores_leave_the_threshold_at_one_half():
    statistics = statistics_of(np.full((5, 2, len(GRID)), 0.7))
    for step in (one_threshold, class_thresholds, minimum_area, double_threshold):
        rules = step(statistics, plain(statistics))
        assert rules.threshold.tolist() == [statistics.half] * 2
        assert rules.minimum.tolist() == [0, 0]


def test_a_class_that_is_never_counted_keeps_its_rule():
    statistics = shrinking(3, metric=Metric(name="dice", empty="skip"))
    parts, empty = statistics.parts.copy(), statistics.empty.copy()
    parts[:, 1] = empty[:, 1] = 0
    changed = Statistics(
        statistics.measure,
        statistics.images,
        GRID,
        statistics.truth,
        statistics.areas,
        parts,
        empty,
    )
    for step in (class_thresholds, minimum_area, double_threshold):
        rules = step(changed, plain(changed))
        assert (rules.threshold[1], rules.minimum[1]) == (changed.half, 0)
