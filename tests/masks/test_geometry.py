"""Geometry on runs against slices, F.interpolate and exact areas of dense arrays."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mask_strategies import LONG, sides, stacks
from test_runs import HUGE, same
from torch.nn import functional

from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.geometry import (
    crop,
    flip_horizontal,
    flip_vertical,
    pad,
    resize_area,
    resize_nearest,
    shift,
)


def every_move_equals_its_dense_twin(dense: np.ndarray, data: st.DataObject) -> None:
    runs = Runs.from_dense(dense)
    _, height, width = dense.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    same(crop(runs, top, left, bottom - top, right - left), dense[:, top:bottom, left:right])
    same(pad(runs, top, 2, 0, left), np.pad(dense, ((0, 0), (top, 2), (0, left))))
    same(flip_horizontal(runs), dense[:, :, ::-1])
    same(flip_vertical(runs), dense[:, ::-1])
    down, across = (data.draw(st.integers(-side - 1, side + 1)) for side in (height, width))
    wide = np.pad(dense, ((0, 0), (height + 1, height + 1), (width + 1, width + 1)))
    wide = np.roll(wide, (down, across), axis=(1, 2))
    same(shift(runs, down, across), wide[:, height + 1 : -height - 1, width + 1 : -width - 1])


@given(stacks(), st.data())
@settings(max_examples=100, deadline=None)
def test_crop_pad_shift_and_flips_equal_their_dense_twins(dense, data):
    every_move_equals_its_dense_twin(dense, data)


@pytest.mark.long
@given(stacks(), st.data())
@settings(max_examples=LONG, deadline=None)
def test_crop_pad_shift_and_flips_equal_their_dense_twins_at_length(dense, data):
    every_move_equals_its_dense_twin(dense, data)


def a_nearest_resize_takes_the_pixel_under_the_centre(dense: np.ndarray, size: tuple) -> None:
    _, height, width = dense.shape
    rows = [int(Fraction(2 * i + 1, 2) * height / size[0]) for i in range(size[0])]
    columns = [int(Fraction(2 * j + 1, 2) * width / size[1]) for j in range(size[1])]
    same(resize_nearest(Runs.from_dense(dense), size), dense[:, rows][:, :, columns])


@given(stacks(), st.tuples(sides(20), sides(20)))
@settings(max_examples=100, deadline=None)
def test_a_nearest_resize_takes_the_pixel_under_the_centre(dense, size):
    a_nearest_resize_takes_the_pixel_under_the_centre(dense, size)


@pytest.mark.long
@given(stacks(), st.tuples(sides(20), sides(20)))
@settings(max_examples=LONG, deadline=None)
def test_a_nearest_resize_takes_the_pixel_under_the_centre_at_length(dense, size):
    a_nearest_resize_takes_the_pixel_under_the_centre(dense, size)


@given(stacks(), st.tuples(sides(20), sides(20)))
@settings(max_examples=100, deadline=None)
def test_a_nearest_resize_equals_torch_where_no_centre_falls_between_two_pixels(dense, size):
    for source, target in zip(dense.shape[1:], size, strict=True):
        centres = (2 * np.arange(target) + 1) * source
        # There torch rounds the float quotient source / target to either side.
        assume(source % target == 0 or (centres % (2 * target)).all())
    batch = torch.from_numpy(np.ascontiguousarray(dense)[None].astype(np.float64))
    twin = functional.interpolate(batch, size, mode="nearest-exact")[0].numpy() > 0
    same(resize_nearest(Runs.from_dense(dense), size), twin)


@pytest.mark.parametrize("size", [(512, 512), (350, 525), (101, 101), (1400, 2100), (2048, 300)])
def test_a_nearest_resize_equals_torch_at_the_sizes_of_competitions(size):
    dense = np.random.default_rng(0).random((1, 700, 1050)) < 0.5
    batch = torch.from_numpy(dense[None].astype(np.uint8))
    twin = functional.interpolate(batch, size, mode="nearest-exact")[0].numpy() > 0
    assert resize_nearest(Runs.from_dense(dense), size) == Runs.from_dense(twin)


def covered_share(dense: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Covered source pixels of a mask blown up to a common multiple of both sizes: exact counts."""
    classes, height, width = dense.shape
    fine = dense.repeat(size[0], axis=1).repeat(size[1], axis=2)
    return fine.reshape(classes, size[0], height, size[1], width).sum(axis=(2, 4))


def an_area_resize_equals_exact_counting(dense, size, coverage) -> None:
    _, height, width = dense.shape
    bar = Fraction(str(coverage)) * height * width
    inside = np.vectorize(lambda count: count >= bar, otypes=[bool])(covered_share(dense, size))
    same(resize_area(Runs.from_dense(dense), size, coverage), inside)


coverages = st.sampled_from([0.5, 0.5, 0.1, 0.25, 1 / 3, 0.7, 1.0])


@given(stacks(), st.tuples(sides(14), sides(14)), coverages)
@settings(max_examples=100, deadline=None)
def test_an_area_resize_equals_exact_counting(dense, size, coverage):
    an_area_resize_equals_exact_counting(dense, size, coverage)


@pytest.mark.long
@given(stacks(), st.tuples(sides(14), sides(14)), coverages)
@settings(max_examples=LONG, deadline=None)
def test_an_area_resize_equals_exact_counting_at_length(dense, size, coverage):
    an_area_resize_equals_exact_counting(dense, size, coverage)


def test_an_area_resize_equals_the_mean_of_torch_at_whole_ratios():
    dense = np.random.default_rng(1).random((3, 96, 64)) < 0.5
    mean = functional.avg_pool2d(torch.from_numpy(dense[None].astype(np.float64)), (4, 2))[0]
    assert resize_area(Runs.from_dense(dense), (24, 32)) == Runs.from_dense(mean.numpy() >= 0.5)


def test_a_pixel_covered_to_exactly_half_is_inside():
    half = Runs.from_dense(np.array([[1, 0], [1, 0]]))
    assert resize_area(half, (1, 1)) == Runs.full((1, 1))
    assert resize_area(half, (1, 1), 0.51) == Runs.empty((1, 1))
    third = Runs.from_dense(np.array([[1, 0, 0]]))  # of (1, 2): two thirds and nothing
    assert resize_area(third, (1, 2), 0.6).to_dense().tolist() == [[True, False]]


def test_a_resize_to_the_same_size_changes_nothing():
    runs = Runs.from_dense(np.random.default_rng(2).random((4, 9, 13)) < 0.5)
    assert resize_area(runs, (9, 13)) == resize_nearest(runs, (9, 13)) == runs


def test_a_mask_without_class_axis_keeps_none():
    runs = Runs.from_dense(np.eye(4))
    assert resize_area(runs, (2, 2)).shape == resize_nearest(runs, (2, 2)).shape == (2, 2)
    assert flip_horizontal(runs, swap=[0]).shape == (4, 4)
    assert crop(runs, 1, 1, 2, 2) == Runs.from_dense(np.eye(2))


def test_in_the_mirror_tooth_16_is_tooth_26():
    names = ["tooth-11", "tooth-16", "tooth-21", "tooth-26", "tongue"]
    partner = {"tooth-11": "tooth-21", "tooth-16": "tooth-26"}
    partner |= {right: left for left, right in partner.items()}
    swap = [names.index(partner.get(name, name)) for name in names]
    mouth = np.zeros((5, 2, 4), bool)
    mouth[names.index("tooth-16"), 0, 0] = True
    mouth[names.index("tongue"), 1, 1:] = True
    mirrored = flip_horizontal(Runs.from_dense(mouth), swap)
    seen = mirrored.to_dense()
    assert np.argwhere(seen[names.index("tooth-26")]).tolist() == [[0, 3]]
    assert not seen[names.index("tooth-16")].any()
    assert np.argwhere(seen[names.index("tongue")]).tolist() == [[1, 0], [1, 1], [1, 2]]
    assert flip_horizontal(mirrored, swap) == Runs.from_dense(mouth)


def test_a_swap_that_turns_three_classes_round_takes_from_the_class_it_names():
    dense = np.zeros((3, 1, 3), bool)
    dense[0, 0, 0] = dense[1, 0, 1] = dense[2, 0, 2] = True
    turned = flip_horizontal(Runs.from_dense(dense), [1, 2, 0])
    assert np.array_equal(turned.to_dense(), dense[[1, 2, 0], :, ::-1])


@pytest.mark.parametrize("swap", [[0, 0], [0], [1, 2], [0, 1, 2]])
def test_a_swap_that_is_no_permutation_is_refused(swap):
    with pytest.raises(InputFault, match="no permutation of the 2 classes"):
        flip_horizontal(Runs.empty((2, 3, 3)), swap)


@pytest.mark.parametrize("window", [(0, 0, 4, 3), (-1, 0, 2, 2), (2, 2, 2, 1), (0, 0, 0, 1)])
def test_a_window_that_leaves_the_image_is_refused(window):
    with pytest.raises(InputFault, match="window"):
        crop(Runs.full((3, 3)), *window)


def test_sizes_paddings_and_coverages_without_meaning_are_refused():
    runs = Runs.full((3, 3))
    for attempt in (
        lambda: pad(runs, 0, -1, 0, 0),
        lambda: resize_nearest(runs, (0, 3)),
        lambda: resize_area(runs, (3, 3, 3)),
        lambda: resize_area(runs, (3, 3), 0),
        lambda: resize_area(runs, (3, 3), 1.5),
    ):
        with pytest.raises(InputFault):
            attempt()


def test_geometry_is_right_beyond_two_to_the_31():
    plane = HUGE[1] * HUGE[2]
    starts = [28 * plane + 65535 * 65536 + 65000]
    runs = Runs(starts, [29 * plane], HUGE)
    corner = crop(runs, 65534, 64000, 2, 1536)
    assert corner.bounding_boxes()[28].tolist() == [1, 1000, 2, 1536]
    assert pad(corner, 65534, 0, 64000, 0) == runs
    assert flip_horizontal(runs).bounding_boxes()[28].tolist() == [65535, 0, 65536, 536]
    assert flip_vertical(flip_vertical(runs)) == runs
    assert shift(runs, -65535, -64000).bounding_boxes()[28].tolist() == [0, 1000, 1, 1536]
    whole = resize_area(Runs.full(HUGE), (65536, 3))
    assert whole == Runs.full((29, 65536, 3))
    assert resize_nearest(runs, (65536, 65536)) == runs
    quarter = resize_nearest(shift(runs, -1, 0), (16384, 16384))
    assert quarter.bounding_boxes()[28].tolist() == [16383, 16250, 16384, 16384]
