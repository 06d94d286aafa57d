"""Sums over all labels at once are those of each image by itself."""

import numpy as np
import pytest

from competition.data import labels as module
from competition.data.labels import PackedRuns
from competition.data.pixel_labels import value_counts
from competition.doctor.label_checks import _moment, _on_frame
from competition.masks import Runs


@pytest.fixture(params=[2**20, 40, 1], ids=["one block", "blocks", "a block an image"])
def dense(request, monkeypatch):
    """Masks (K, H, W) of many sizes, some of them empty, full or one pixel wide."""
    monkeypatch.setattr(module, "_BLOCK", request.param)
    rng = np.random.default_rng(5)
    sizes = [(1, 1), (1, 7), (7, 1), (2, 2), (2, 5), (3, 3), (9, 4), (13, 17)]
    masks = [rng.random((3, *size)) < share for size in sizes for share in (0, 0.3, 0.8, 1)]
    order = rng.permutation(len(masks))
    return {f"i{n}": masks[place] for n, place in enumerate(order)}


def packed(dense):
    return PackedRuns.packed({image: Runs.from_dense(mask) for image, mask in dense.items()})


def test_areas_of_classes_and_of_what_they_share(dense):
    masks = packed(dense)
    expected = np.array([mask.sum(axis=(1, 2)) for mask in dense.values()])
    assert masks.areas().dtype == np.int64 and np.array_equal(masks.areas(), expected)
    assert np.array_equal(masks.areas(["i5", "i2"]), expected[[5, 2]])
    shared = [(mask.sum(axis=0) - mask.any(axis=0)).sum() for mask in dense.values()]
    assert masks.shared_areas().tolist() == shared


def test_pixels_on_the_border_and_moments_along_rows(dense):
    masks = packed(dense)
    framed, moments = [], []
    for mask in dense.values():
        frame = np.ones(mask.shape[1:], bool)
        frame[1:-1, 1:-1] = False
        framed.append((mask & frame).sum(axis=(1, 2)))
        moments.append((mask * (np.arange(mask.shape[2]) + 0.5)).sum(axis=(1, 2)))
    assert np.array_equal(masks.totals(_on_frame), framed)
    assert np.allclose(masks.totals(_moment), moments)


def test_nothing_packed_has_no_sums():
    assert PackedRuns.packed({}).areas().shape == (0, 0)
    assert PackedRuns.packed({}).shared_areas().shape == (0,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_values_are_counted_as_sorting_them_would(dtype):
    values = np.random.default_rng(2).choice([0, 3, 200], (20, 30)).astype(dtype)
    for found, expected in zip(
        value_counts(values), np.unique(values, return_counts=True), strict=True
    ):
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
