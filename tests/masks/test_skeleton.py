"""Centre lines: thin, in the middle, of the same parts and holes; widths as they were drawn."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from competition.masks import Runs
from competition.masks.skeleton import skeletonize, thickness

EIGHT = np.ones((3, 3), int)


def line(width, *points, size=(80, 120)):
    """A polyline of a given width with round ends, as bool (H, W)."""
    canvas = np.zeros(size, np.uint8)
    cv2.polylines(canvas, [np.array(points, np.int32)], False, 1, width)
    return canvas.astype(bool)


def thinned(dense):
    return skeletonize(Runs.from_dense(dense)).to_dense()


def parts_and_holes(dense):
    outside = ndimage.label(~np.pad(dense, 1))[1]
    return ndimage.label(dense, EIGHT)[1], outside


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_parts_and_holes_stay_and_nothing_more_can_go(seed, share, grain):
    generator = np.random.default_rng(seed)
    dense = np.kron(generator.random((8, 9)) < share, np.ones((grain, grain), bool))
    lines = thinned(dense)
    assert not (lines & ~dense).any()
    assert parts_and_holes(lines) == parts_and_holes(dense)
    assert np.array_equal(thinned(lines), lines)


@pytest.mark.parametrize("width", [3, 5, 9])
def test_a_straight_road_becomes_its_middle_row_and_has_its_width(width):
    road = np.zeros((40, 200), bool)
    road[20 - width // 2 : 21 + width // 2, 10:190] = True
    rows, columns = np.nonzero(thinned(road))
    inner = (columns > 10 + width) & (columns < 189 - width)
    assert set(rows[inner]) == {20}
    assert np.count_nonzero(inner) == len(set(columns[inner]))
    assert np.median(thickness(Runs.from_dense(road))[0]) == width


def test_a_slanting_road_is_followed_to_a_pixel():
    road = line(7, (10, 10), (110, 60))
    axis = line(1, (10, 10), (110, 60))
    distance = ndimage.distance_transform_edt(~axis)
    assert distance[thinned(road)].max() <= 2
    assert np.median(thickness(Runs.from_dense(road))[0]) == pytest.approx(7, abs=1.2)


def test_a_ring_stays_a_ring_and_a_disc_becomes_a_point():
    rows, columns = np.mgrid[:61, :61] - 30
    radius = np.hypot(rows, columns)
    ring = thinned((radius < 25) & (radius > 15))
    assert parts_and_holes(ring) == (1, 2)
    assert np.abs(radius[ring] - 20).max() < 2
    disc = thinned(radius < 20)
    assert disc.sum() < 12 and radius[disc].max() < 6


def test_a_crossing_keeps_its_four_arms():
    cross = line(5, (60, 5), (60, 75)) | line(5, (5, 40), (115, 40))
    lines = thinned(cross)
    neighbours = ndimage.convolve(lines.astype(int), EIGHT, mode="constant") - 1
    assert np.count_nonzero(lines & (neighbours == 1)) == 4


def test_classes_are_thinned_each_by_itself_up_to_the_border_of_the_image():
    stack = np.zeros((3, 20, 30), bool)
    stack[0, 8:13] = True
    stack[2, :, 4:7] = True
    lines = skeletonize(Runs.from_dense(stack))
    assert lines.shape == (3, 20, 30)
    dense = lines.to_dense()
    assert set(np.nonzero(dense[0])[0]) == {10}
    assert not dense[1].any()
    assert set(np.nonzero(dense[2])[1]) == {5}
    assert [len(widths) for widths in thickness(Runs.from_dense(stack))] == list(lines.area())


def test_a_full_mask_an_empty_one_and_no_class_at_all_are_masks():
    assert parts_and_holes(thinned(np.ones((9, 9), bool))) == (1, 1)
    assert not thinned(np.zeros((4, 5), bool)).any()
    assert skeletonize(Runs.empty((0, 4, 5))).shape == (0, 4, 5)
    assert thickness(Runs.empty((2, 4, 5)))[1].size == 0
