"""Drawn pixels stand for all: counts of the old decision are exact, of a new one as good as drawn."""

import numpy as np
import pytest
from made_stores import smooth_logits, store_of

from competition.errors import InputFault
from competition.inference.quantisation import SCALE
from competition.masks import Runs
from competition.tuning.pixel_samples import BAND, affordable, draw

GRID, CLASSES = (12, 16), ("a", "b", "c")


@pytest.fixture
def case(tmp_path):
    """Two members, three images, labels at the grid's size."""
    stores = {
        name: store_of(
            tmp_path / name,
            {image: smooth_logits(seed + place, GRID, 3) for place, image in enumerate("xyz")},
            size=GRID,
            classes=CLASSES,
        )
        for seed, name in ((0, "one"), (10, "two"))
    }
    generator = np.random.default_rng(5)
    truth = {image: Runs.from_dense(generator.random((3, *GRID)) < 0.4) for image in "xyz"}
    return stores, truth


def logits_of(stores, image):
    return np.stack([store.read(image).logits() for store in stores.values()])


def test_counts_of_members_and_of_their_mean_are_those_of_all_pixels(case):
    stores, truth = case
    samples = draw(*case)
    for place, image in enumerate(samples.images):
        codes = np.stack([store.read(image).codes for store in stores.values()]).astype(int)
        labels = truth[image].to_dense()
        decided = [*(codes > 127), codes.sum(axis=0) > 255]
        assert np.array_equal(samples.labelled[place], labels.sum((1, 2)))
        for number, one in enumerate(decided):
            assert np.array_equal(samples.predicted[number, place], one.sum((1, 2)))
            assert np.array_equal(samples.common[number, place], (one & labels).sum((1, 2)))


@pytest.mark.parametrize("pixels", [None, 20])
def test_the_drawn_pixels_of_an_image_stand_for_all_of_them(case, pixels):
    samples = draw(*case, pixels=pixels)
    for sample in samples.classes:
        for place in range(3):
            assert sample.weight[sample.image == place].sum() == pytest.approx(
                GRID[0] * GRID[1], rel=0.05
            )
            if pixels:
                assert np.sum(sample.image == place) <= pixels + pixels // 8


def test_a_new_decision_on_open_pixels_is_counted_exactly_where_all_are_drawn(case):
    stores, truth = case
    samples = draw(*case)
    limit = (BAND - 2) * SCALE
    for k, sample in enumerate(samples.classes):
        first, second = (sample.logits(member, slice(k, k + 1))[0] for member in (0, 1))
        decided = first - second > 0.3
        settled = np.abs(np.stack([first, second])).min(axis=0) > limit
        decided = np.where(settled, first + second > 0, decided)
        labelled, predicted, common = samples.counts_after(k, sample, decided)
        for place, image in enumerate(samples.images):
            one, two = logits_of(stores, image)[:, k]
            dense = np.where(np.minimum(abs(one), abs(two)) > limit, one + two > 0, one - two > 0.3)
            labels = truth[image].to_dense()[k]
            found = labelled[place], predicted[place], common[place]
            assert found == (labels.sum(), dense.sum(), (dense & labels).sum())


def test_the_codes_of_a_drawn_pixel_are_those_of_all_classes_there(case):
    stores, _ = case
    sample = draw(*case).classes[1]
    of_x = sample.image == 0
    logits = logits_of(stores, "x")
    found = {tuple(column) for column in sample.logits(0)[:, of_x].T.round(4).tolist()}
    every = {tuple(column) for column in logits[0].reshape(3, -1).T.round(4).tolist()}
    assert found <= every and len(found) > 50


def test_padding_is_never_drawn_and_grids_meet(tmp_path):
    region = (2.0, 0.0, 8.0, 16.0)
    padded = smooth_logits(0, GRID, 3)
    padded[:, :2], padded[:, 10:] = 8, 8
    stores = {
        "fine": store_of(
            tmp_path / "1", {"x": padded}, size=(8, 16), region=region, classes=CLASSES
        ),
        "coarse": store_of(
            tmp_path / "2", {"x": smooth_logits(1, (4, 8), 3)}, size=(8, 16), classes=CLASSES
        ),
    }
    samples = draw(stores, {"x": Runs.empty((3, 8, 16))})
    assert all(sample.weight.sum() == pytest.approx(128, rel=0.05) for sample in samples.classes)
    inside = stores["fine"].read("x").logits()[:, 2:10] > 0
    assert np.array_equal(samples.predicted[0, 0], inside.sum((1, 2)))


def test_memory_does_not_grow_without_bound():
    assert affordable(10_000, 32, 5) == affordable(100_000, 32, 5) < affordable(340, 32, 5)


def test_an_image_without_labels_and_labels_of_another_size_are_refused(case):
    stores, truth = case
    with pytest.raises(InputFault, match="'z' is predicted but not labelled"):
        draw(stores, {image: truth[image] for image in "xy"})
    with pytest.raises(InputFault, match="predict again"):
        draw(stores, dict.fromkeys("xyz", Runs.empty((3, 5, 5))))
