"""Pixels at the nodes of the logit grid, by probability and label."""

import numpy as np
import pytest
from made_stores import store_of
from sklearn.metrics import average_precision_score, roc_auc_score

from competition.decoding.blend import blend
from competition.decoding.calibration import (
    BINS,
    PROBABILITIES,
    areas_under,
    bin_of,
    count_pixels,
    reliability_of,
    tradeoff_curves,
)
from competition.masks import Runs


def test_each_node_that_shows_the_image_is_counted_with_the_pixel_below_it(tmp_path):
    """A grid of 4 × 6, of which rows 1 and 2 show an image of 4 × 6 pixels."""
    logits = np.full((1, 4, 6), -3.0, np.float32)
    logits[0, 1, 2:4] = 3.0
    logits[0, 3] = 8.0  # padding
    store = store_of(
        tmp_path / "s", {"i": logits}, size=(4, 6), region=(1.0, 0.0, 2.0, 6.0), classes=("a",)
    )
    truth = np.zeros((1, 4, 6), bool)
    truth[0, 1, 2] = truth[0, 3, 5] = True  # rows 1 and 3 lie under the two nodes
    truth[0, 0, 3] = True  # row 0 lies under none
    counts = count_pixels(blend({"s": store}), {"i": Runs.from_dense(truth)}.__getitem__, ["i"])
    assert counts.by_class.sum() == 12
    surely, hardly = bin_of(np.array([0.9, 0.04]))
    inside, outside = counts.by_class[0, 1], counts.by_class[0, 0]
    assert (inside[surely:].sum(), inside[: hardly + 5].sum()) == (1, 1)
    assert (outside[surely:].sum(), outside[: hardly + 5].sum()) == (1, 9)


def test_curves_are_those_of_every_threshold():
    random = np.random.default_rng(0)
    places, inside = random.integers(0, BINS, 500), random.random(500) < 0.4
    table = np.zeros((1, 2, BINS), np.int64)
    np.add.at(table, (0, inside.astype(int), places), 1)
    precision, recall, false = tradeoff_curves(table)[:, 0]
    for threshold in (0.2, 0.5, 0.9):
        place = bin_of(np.array([threshold]))[0]
        taken = PROBABILITIES[places] > threshold
        assert precision[place] == pytest.approx(inside[taken].mean())
        assert recall[place] == pytest.approx(taken[inside].mean())
        assert false[place] == pytest.approx(taken[~inside].mean())


def test_areas_are_the_average_precision_and_the_chance_to_tell_two_pixels_apart():
    random = np.random.default_rng(0)
    inside = random.random(3000) < 0.3
    places = np.clip(random.normal(100 + 60 * inside, 40), 0, BINS - 20).astype(int)
    table = np.zeros((2, 2, BINS), np.int64)
    np.add.at(table, (0, inside.astype(int), places), 1)
    table[1, 0] = 5  # a class without a pixel
    precision, chance = areas_under(tradeoff_curves(table))
    assert precision[0] == pytest.approx(average_precision_score(inside, places))
    assert chance[0] == pytest.approx(roc_auc_score(inside, places))
    assert np.isnan([precision[1], chance[1]]).all()


def test_a_stores_own_codes_are_the_bins_so_that_the_areas_are_exact(tmp_path):
    """All pixels of two images and two classes in scikit-learn, by the codes that were stored."""
    random = np.random.default_rng(0)
    truth = {image: random.random((2, 20, 30)) < 0.3 for image in "ij"}
    logits = {
        image: random.normal(3 * inside - 1.5, 3).astype(np.float32)
        for image, inside in truth.items()
    }
    store = store_of(tmp_path / "s", logits, size=(20, 30))
    labels = {image: Runs.from_dense(inside) for image, inside in truth.items()}
    counts = count_pixels(blend({"s": store}), labels.__getitem__, store.images)
    areas = areas_under(tradeoff_curves(counts.by_class))
    for k in range(2):
        inside = np.concatenate([truth[image][k].ravel() for image in store.images])
        codes = np.concatenate([store.codes(image)[k].ravel() for image in store.images])
        assert areas[0, k] == pytest.approx(average_precision_score(inside, codes))
        assert areas[1, k] == pytest.approx(roc_auc_score(inside, codes))


def test_labels_drawn_as_predicted_are_reliable_and_others_are_not():
    random = np.random.default_rng(0)
    by_image = np.zeros((30, 2, BINS))
    for image in range(30):
        places = random.integers(0, BINS, 4000)
        inside = random.random(4000) < PROBABILITIES[places]
        np.add.at(by_image[image], (inside.astype(int), places), 1)
    groups = np.repeat(np.arange(15), 2).astype(str)
    found = reliability_of(by_image, groups)
    assert found.error < 0.01 and found.pixels.sum() == 120_000
    covered = (found.intervals[:, 0] <= found.predicted) & (
        found.predicted <= found.intervals[:, 1]
    )
    assert covered.mean() > 0.8
    assert reliability_of(by_image[:, ::-1], groups).error > 0.3
