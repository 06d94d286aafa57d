"""Every metric beside the others: against scikit-learn, scipy and counts of pixels."""

import csv

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from competition.evaluation.metric_table import (
    ClassMetrics,
    image_metrics,
    write_metric_table,
)
from competition.masks import Runs

SIZE = (24, 31)
NONE = Runs.empty((1, *SIZE))


def label_maps(seed, *, images=3, classes=3):
    """int (N, H, W), 0 for no class; the last class is in the first image alone."""
    maps = np.random.default_rng(seed).integers(0, classes + 1, (images, *SIZE))
    maps[1:][maps[1:] == classes] = 0
    return maps


def stacked(labels, classes=3):
    return Runs.from_dense(np.stack([labels == k + 1 for k in range(classes)]))


def measured(truth, prediction, **options):
    options = {"ignored": NONE, **options}
    pairs = zip(truth, prediction, strict=True)
    return ClassMetrics.of(image_metrics(stacked(t), stacked(p), **options) for t, p in pairs)


def test_the_confusions_of_exclusive_classes_are_those_of_their_label_maps():
    truth, prediction = label_maps(0), label_maps(1)
    found = measured(truth, prediction)
    order = [1, 2, 3, 0]
    expected = confusion_matrix(truth.ravel(), prediction.ravel(), labels=order)
    assert np.array_equal(found.confusion, expected)
    assert found.images.tolist() == [3, 3, 1]
    assert found.pixels.tolist() == [(truth == k).sum() for k in (1, 2, 3)]


def test_where_classes_overlap_each_pair_counts_the_pixels_of_both():
    truth = Runs.from_dense(np.random.default_rng(0).random((2, *SIZE)) < 0.6)
    found = image_metrics(truth, truth, ignored=NONE).confusion
    dense = truth.to_dense()
    assert np.array_equal(found[:2, :2], (dense[:, None] & dense).sum((2, 3)))
    assert found[2].tolist() == [0, 0, (~dense.any(0)).sum()] == found[:, 2].tolist()


def test_dice_and_iou_are_means_of_images_that_have_something_and_shares_pool_pixels():
    truth, prediction = label_maps(0), label_maps(1)
    prediction[2][prediction[2] == 3] = 0
    found = measured(truth, prediction)
    for k in range(3):
        t, p = truth == k + 1, prediction == k + 1
        common, both = (t & p).sum((1, 2)), t.sum((1, 2)) + p.sum((1, 2))
        shown = both > 0
        assert found.values[0, k] == pytest.approx((2 * common[shown] / both[shown]).mean())
        iou = common[shown] / (both - common)[shown]
        assert found.values[1, k] == pytest.approx(iou.mean())
        assert found.values[3:5, k] == pytest.approx(
            [common.sum() / p.sum(), common.sum() / t.sum()]
        )
    assert not (truth[1:] == 3).any()  # so the third class is of fewer images


def test_outlines_are_as_far_from_each_other_as_masks_were_moved():
    truth = np.zeros((1, *SIZE), int)
    truth[0, 5:15, 5:15] = 1
    moved = np.roll(truth, 4, axis=1)
    assert measured(truth, moved).values[2, 0] == 4
    assert measured(truth, moved, spacing=(0.5, 1.0)).values[2, 0] == 2
    nothing = measured(truth, 0 * truth)
    assert nothing.values[2, 0] == pytest.approx(np.hypot(*SIZE))
    assert np.isnan(nothing.values[:3, 1]).all()


def test_ignored_pixels_are_in_no_count():
    truth, prediction = label_maps(0), label_maps(1)
    ignored = np.zeros((1, *SIZE), bool)
    ignored[0, :, 20:] = True
    other = prediction.copy()
    other[:, :, 20:] = 1
    found, again = (
        measured(truth, one, ignored=Runs.from_dense(ignored)) for one in (prediction, other)
    )
    assert found.confusion.sum() == truth[:, :, :20].size
    assert np.array_equal(found.confusion, again.confusion)
    assert np.array_equal(found.values, again.values, equal_nan=True)


def test_the_table_has_a_row_a_class_and_the_means_for_each_way(tmp_path):
    truth = label_maps(0)
    truth[truth == 2] = 0
    found = measured(truth, np.where(truth == 3, 0, truth))
    areas = np.array([[0.9, np.nan, 0.5], [0.8, np.nan, 0.6]])
    path = tmp_path / "metrics.csv"
    ways = {"threshold 0.5": found, "as decided": found}
    by_way = {"threshold 0.5": areas / 2, "as decided": areas}
    write_metric_table(path, ways, by_way, ["a", "b", "c"])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["masks"], row["class"]) for row in rows[5:]] == [
        ("as decided", name)
        for name in ("a", "b", "c", "mean over classes", "weighted by labelled pixels")
    ]
    first, second, third, mean, weighted = rows[5:]
    assert (first["Dice"], first["HD95"], third["Dice"]) == ("1.000000", "0.000000", "0.000000")
    assert second["Dice"] == second["precision"] == second["area under PR"] == ""
    assert (mean["Dice"], mean["area under PR"]) == ("0.500000", "0.700000")
    ones, threes = (truth == 1).sum(), (truth == 3).sum()
    assert float(weighted["IoU"]) == pytest.approx(ones / (ones + threes), abs=1e-6)
    assert (rows[0]["area under ROC"], rows[3]["area under ROC"]) == ("0.400000", "0.350000")
    assert int(mean["pixels"]) == ones + threes
