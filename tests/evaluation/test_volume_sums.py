"""Metrics of volumes as sums of rows, and what is refused; the reference is `evaluate_volumes`."""

import numpy as np
import pytest

from competition.errors import InputFault
from competition.evaluation.groups import GroupSums, read_group_sums, write_group_sums
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.scoring import Metric, evaluate_volumes

SLICES = {f"{volume}{place}": (volume, place) for volume in "ab" for place in (2, 0, 3, 1)}
IMAGES = ["b2", "a0", "b1", "a3", "a1", "b0", "a2", "b3"]
METRICS = (
    Metric(name="dice-hausdorff", empty="skip"),
    Metric(name="dice-hausdorff", empty="one"),
    Metric(name="surface-dice", tolerance=1.0, dimensions=3),
    Metric(name="hausdorff-95", dimensions=3),
)


def masks(seed: int) -> dict[str, Runs]:
    """Two classes of blocks; of the second only some slices have any."""
    random = np.random.default_rng(seed)
    found = {}
    for image, (_, place) in SLICES.items():
        dense = np.zeros((2, 12, 15), bool)
        top, left = random.integers(0, 6, 2)
        dense[0, top : top + 4, left : left + 5] = True
        dense[1, top : top + 3, left : left + 3] = place % 2
        found[image] = Runs.from_dense(dense)
    return found


def by_volume(found: dict[str, Runs]) -> list[list[Runs]]:
    return [[found[f"{volume}{place}"] for place in range(4)] for volume in "ab"]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.name}-{metric.empty}")
def test_the_sums_of_shuffled_slices_score_as_their_volumes(metric):
    truth, one, other = masks(0), masks(1), masks(2)
    sums = MetricSums(metric, (0.5, 0.7), slices=SLICES, slice_spacing=3.0)
    rows = sums.of_images(IMAGES, truth.__getitem__, lambda image: [one[image], other[image]])
    assert rows.shape[:3] == (8, 2, 2)
    for which, prediction in enumerate((one, other)):
        pairs = by_volume(truth), by_volume(prediction)
        expected = evaluate_volumes(*pairs, metric, spacing=(3.0, 0.5, 0.7))
        assert sums.value(rows[:, which]) == pytest.approx(expected)
    in_a = np.array([image[0] == "a" for image in IMAGES])
    expected = evaluate_volumes(
        by_volume(truth)[:1], by_volume(one)[:1], metric, spacing=(3.0, 0.5, 0.7)
    )
    assert sums.value(rows[in_a, 0]) == pytest.approx(expected)


def test_ignored_pixels_count_in_no_volume():
    truth, one = masks(0), masks(1)
    ignored = {image: Runs.from_dense(np.indices((1, 12, 15))[1] > 3) for image in IMAGES[:5]}
    sums = MetricSums(METRICS[0], slices=SLICES)
    rows = sums.of_images(IMAGES, truth.__getitem__, lambda i: [one[i]], ignored=ignored)[:, 0]
    left = [
        {i: m.without(ignored[i]) if i in ignored else m for i, m in found.items()}
        for found in (truth, one)
    ]
    assert sums.value(rows) == pytest.approx(evaluate_volumes(*map(by_volume, left), METRICS[0]))


def test_a_volume_that_is_not_here_as_a_whole_is_refused():
    truth = masks(0)
    sums = MetricSums(METRICS[0], slices=SLICES)
    with pytest.raises(InputFault, match="volume 'a': 3 of its 4 slices are here"):
        sums.of_images(IMAGES[:6], truth.__getitem__, lambda i: [truth[i]])
    with pytest.raises(InputFault, match=r"'x' is in no volume.*volume in \[data\]"):
        sums.of_images([*IMAGES, "x"], truth.__getitem__, lambda i: [truth[i]])


def test_images_that_are_no_slices_are_scored_one_by_one():
    truth, one = masks(0), masks(1)
    sums = MetricSums(Metric(name="dice"))
    ticks = []
    rows = sums.of_images(
        IMAGES, truth.__getitem__, lambda i: [one[i]], advance=lambda: ticks.append(1)
    )
    expected = [sums.of_image(truth[image], one[image]) for image in IMAGES]
    assert np.array_equal(rows[:, 0], expected) and len(ticks) == 8


def test_without_a_truth_the_first_prediction_stands_for_it():
    one, other = masks(1), masks(2)
    sums = MetricSums(METRICS[2], slices=SLICES)
    apart = sums.of_images(IMAGES, None, lambda image: [one[image], other[image]])
    against = sums.of_images(IMAGES, one.__getitem__, lambda image: [one[image], other[image]])
    assert np.array_equal(apart, against) and sums.value(apart[:, 0]) == 1.0


def test_an_image_of_another_size_than_its_labels_is_named():
    truth = masks(0)
    sums = MetricSums(Metric(name="dice"))
    with pytest.raises(InputFault, match="'a0': predicted as .*predict again"):
        sums.of_images(["a0"], truth.__getitem__, lambda _: [Runs.empty((2, 9, 9))])


def test_sums_of_volumes_are_read_back_from_their_file(tmp_path):
    truth, one = masks(0), masks(1)
    sums = MetricSums(METRICS[0], slices=SLICES)
    rows = sums.of_images(IMAGES, truth.__getitem__, lambda i: [one[i]])[:, 0]
    of_groups = GroupSums.of(rows, np.array([image[0] for image in IMAGES]))
    write_group_sums(tmp_path / "sums.csv", of_groups, ("x", "y"))
    assert np.array_equal(read_group_sums(tmp_path / "sums.csv", ("x", "y")).sums, of_groups.sums)


def test_a_single_slice_is_measured_by_what_stands_in_for_the_metric():
    assert METRICS[0].of_slices == Metric(name="dice", empty="skip")
    assert METRICS[2].of_slices == Metric(name="surface-dice", tolerance=1.0)
    assert Metric(name="iou").of_slices == Metric(name="iou")
