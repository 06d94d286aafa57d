"""Morphology on runs against scipy.ndimage, class by class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import LONG, stacks
from scipy import ndimage
from test_runs import HUGE, same

from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.morphology import (
    boundary,
    closing,
    components,
    dilate,
    erode,
    fill_holes,
    largest,
    opening,
    remove_small,
)

SQUARE = np.ones((3, 3))
STRUCTURES = {4: None, 8: SQUARE}


def labelled(plane: np.ndarray, connectivity: int) -> list[np.ndarray]:
    """The components of a plane as bool arrays, by first pixel."""
    labels, count = ndimage.label(plane, STRUCTURES[connectivity])
    parts = [labels == number for number in range(1, count + 1)]
    return sorted(parts, key=lambda part: int(np.argmax(part)))


def components_equal_those_of_scipy(dense: np.ndarray, connectivity: int) -> None:
    runs = Runs.from_dense(dense)
    objects = components(runs, connectivity)
    parts = [labelled(plane, connectivity) for plane in dense]
    expected = [part for planes in parts for part in planes]
    same(objects.runs, np.array(expected, bool).reshape(-1, *dense.shape[1:]))
    assert objects.classes.tolist() == [k for k, planes in enumerate(parts) for _ in planes]
    assert objects.to_classes(dense.shape[0]) == runs
    kept = [sum((p for p in planes if p.sum() >= 3), np.zeros_like(dense[0])) for planes in parts]
    same(remove_small(runs, 3, connectivity), np.array(kept, bool))
    best = [max(planes, key=np.sum, default=np.zeros_like(dense[0])) for planes in parts]
    same(largest(runs, connectivity), np.array(best, bool))


@given(stacks(), st.sampled_from([4, 8]))
@settings(max_examples=100, deadline=None)
def test_components_equal_those_of_scipy(dense, connectivity):
    components_equal_those_of_scipy(dense, connectivity)


@pytest.mark.long
@given(stacks(), st.sampled_from([4, 8]))
@settings(max_examples=LONG, deadline=None)
def test_components_equal_those_of_scipy_at_length(dense, connectivity):
    components_equal_those_of_scipy(dense, connectivity)


def squares_and_holes_equal_those_of_scipy(dense: np.ndarray, radius: int) -> None:
    runs = Runs.from_dense(dense)
    square = np.ones((1, 2 * radius + 1, 2 * radius + 1))

    def dilated(array):
        return ndimage.binary_dilation(array, square)

    def eroded(array, beyond=1):
        return ndimage.binary_erosion(array, square, border_value=beyond)

    same(dilate(runs, radius), dilated(dense))
    same(erode(runs, radius), eroded(dense))
    same(erode(runs, radius, beyond_is_inside=False), eroded(dense, 0))
    same(opening(runs, radius), dilated(eroded(dense)))
    same(closing(runs, radius), eroded(dilated(dense)))
    same(boundary(runs), dense & ~ndimage.binary_erosion(dense, SQUARE[None]))
    same(fill_holes(runs), np.array([ndimage.binary_fill_holes(plane) for plane in dense]))


@given(stacks(largest=14), st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_squares_and_holes_equal_those_of_scipy(dense, radius):
    squares_and_holes_equal_those_of_scipy(dense, radius)


@pytest.mark.long
@given(stacks(largest=14), st.integers(0, 4))
@settings(max_examples=LONG, deadline=None)
def test_squares_and_holes_equal_those_of_scipy_at_length(dense, radius):
    squares_and_holes_equal_those_of_scipy(dense, radius)


@pytest.mark.parametrize("share", [0.35, 0.45, 0.55, 0.65, 0.8])
def test_tangled_parts_and_nested_holes_equal_those_of_scipy(share):
    dense = np.random.default_rng(int(100 * share)).random((2, 60, 70)) < share
    runs = Runs.from_dense(dense)
    for connectivity in (4, 8):
        counts = [len(labelled(plane, connectivity)) for plane in dense]
        found = components(runs, connectivity).classes
        assert np.bincount(found, minlength=2).tolist() == counts
    same(fill_holes(runs), np.array([ndimage.binary_fill_holes(plane) for plane in dense]))
    same(dilate(runs, 3), ndimage.binary_dilation(dense, np.ones((1, 7, 7))))


def spiral(turns: int) -> np.ndarray:
    """One component that winds inwards, the longest way for labels to travel."""
    size = 4 * turns + 1
    dense = np.zeros((size, size), bool)
    for turn in range(turns):
        low, high = 2 * turn, size - 1 - 2 * turn
        dense[low, max(low - 1, 0) : high + 1] = dense[low : high + 1, high] = True
        dense[high, low : high + 1] = dense[low + 2 : high + 1, low] = True
    return dense


def test_a_spiral_is_one_component_and_has_no_hole():
    dense = spiral(20)
    for connectivity in (4, 8):
        assert ndimage.label(dense, STRUCTURES[connectivity])[1] == 1
        assert len(components(Runs.from_dense(dense), connectivity)) == 1
    same(fill_holes(Runs.from_dense(dense)), ndimage.binary_fill_holes(dense))
    bars = np.zeros((40, 81), bool)
    bars[:, ::2] = bars[-1] = True
    assert len(components(Runs.from_dense(bars), 4)) == 1
    assert len(components(Runs.from_dense(bars[::-1]), 4)) == 1


def test_a_run_that_wraps_to_the_next_row_is_two_components():
    runs = Runs([2], [4], (3, 3))
    assert len(components(runs, 8)) == 2
    assert len(components(Runs([2], [4], (3, 2)), 8)) == 1


def test_neighbouring_rows_of_two_classes_are_not_neighbours():
    runs = Runs.full((3, 1, 2))
    assert components(runs).classes.tolist() == [0, 1, 2]
    ring = np.ones((2, 3, 3), bool)
    ring[0, 2, 1] = ring[1, 0, 1] = ring[1, 1, 1] = False
    same(fill_holes(Runs.from_dense(ring)), ring)


def test_each_class_may_have_its_own_smallest_area():
    dense = np.array([[[1, 1, 0, 1]], [[1, 1, 0, 1]]], bool)
    kept = remove_small(Runs.from_dense(dense), [2, 1])
    same(kept, np.array([[[1, 1, 0, 0]], [[1, 1, 0, 1]]], bool))
    with pytest.raises(InputFault, match="3 minimum areas for 2 classes"):
        remove_small(Runs.from_dense(dense), [1, 2, 3])


def test_of_equal_components_the_first_is_the_largest():
    runs = Runs.from_dense(np.array([[0, 1, 0, 1, 0]]))
    assert largest(runs).starts.tolist() == [1]
    assert largest(Runs.empty((2, 3, 3))) == Runs.empty((2, 3, 3))


def test_the_image_edge_erodes_only_when_asked():
    full = Runs.full((5, 5))
    assert erode(full, 2) == full
    assert erode(full, 2, beyond_is_inside=False).starts.tolist() == [12]
    assert erode(full, 3, beyond_is_inside=False) == Runs.empty((5, 5))
    assert boundary(full).area().tolist() == [16]


def test_connectivity_and_radius_without_meaning_are_refused():
    runs = Runs.full((3, 3))
    with pytest.raises(InputFault, match="connectivity 6; expected 4 or 8"):
        components(runs, 6)
    for change in (dilate, erode, opening, closing):
        with pytest.raises(InputFault, match="radius of -1"):
            change(runs, -1)


def test_morphology_is_right_beyond_two_to_the_31():
    plane = HUGE[1] * HUGE[2]
    last = 29 * plane
    pixel = Runs([last - 1], [last], HUGE)
    assert dilate(pixel, 2).bounding_boxes()[28].tolist() == [65533, 65533, 65536, 65536]
    assert erode(dilate(pixel, 2), 2) == pixel
    assert boundary(pixel) == fill_holes(pixel) == largest(pixel) == pixel
    row = 65536
    ring = Runs.from_unsorted(
        [last - 2 * row - 9, last - row - 9, last - row - 7, last - 9],
        [last - 2 * row - 6, last - row - 8, last - row - 6, last - 6],
        HUGE,
    )
    assert fill_holes(ring).area()[28] == 9
    objects = components(pixel | Runs([last - 3], [last - 2], HUGE) | Runs([5], [6], HUGE))
    assert objects.classes.tolist() == [0, 28, 28]
    assert objects.to_classes(29).starts.tolist() == [5, last - 3, last - 1]
