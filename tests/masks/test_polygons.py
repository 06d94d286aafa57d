"""Polygons to runs as cv2 fills them, and back without losing a pixel."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import LONG, pixels, sides
from scipy import ndimage

from competition.errors import InputFault
from competition.masks import (
    Runs,
    polygons_from_runs,
    rings_from_runs,
    runs_from_polygons,
    runs_from_rings,
)


def drawn(polygons: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Each polygon filled by cv2 on a canvas of the whole image, and united."""
    canvas = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(canvas, [np.asarray(polygon, np.int32)], 1)
    return canvas > 0


@st.composite
def polygon_lists(draw):
    size = draw(sides(24)), draw(sides(24))
    x = st.integers(-2 * size[1], 3 * size[1])
    y = st.integers(-2 * size[0], 3 * size[0])
    polygon = st.lists(st.tuples(x, y), min_size=1, max_size=8).map(np.array)
    return draw(st.lists(polygon, max_size=4)), size


def polygons_are_filled_as_cv2_does(polygons, size) -> None:
    assert runs_from_polygons(polygons, size, "centres") == Runs.from_dense(drawn(polygons, size))


@given(polygon_lists())
@settings(max_examples=150, deadline=None)
def test_polygons_are_filled_as_cv2_does_on_the_whole_image(case):
    polygons_are_filled_as_cv2_does(*case)


@pytest.mark.long
@given(polygon_lists())
@settings(max_examples=LONG, deadline=None)
def test_polygons_are_filled_as_cv2_does_on_the_whole_image_at_length(case):
    polygons_are_filled_as_cv2_does(*case)


def centres_enclosed(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Even-odd at each pixel's centre, in fractions: how often a ray to the left leaves the polygon."""
    ring = [(Fraction(float(x)), Fraction(float(y))) for x, y in polygon]
    inside = np.zeros(size, bool)
    for row in range(size[0]):
        y, crossings = Fraction(2 * row + 1, 2), []
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if min(y1, y2) <= y < max(y1, y2):
                crossings.append(x1 + (y - y1) * (x2 - x1) / (y2 - y1))
        for column in range(size[1]):
            x = Fraction(2 * column + 1, 2)
            inside[row, column] = sum(crossing <= x for crossing in crossings) % 2
    return inside


@given(polygon_lists(), st.sampled_from([1, 2, 4]))
@settings(max_examples=150, deadline=None)
def test_between_edges_a_pixel_belongs_to_the_polygon_around_its_centre(case, parts):
    polygons, size = [polygon / parts for polygon in case[0]], case[1]
    asked = [centres_enclosed(polygon, size) for polygon in polygons]
    expected = np.any([np.zeros(size, bool), *asked], axis=0)
    assert runs_from_polygons(polygons, size, "edges") == Runs.from_dense(expected)


def test_between_edges_areas_are_those_of_the_plane_and_neighbours_share_nothing():
    def square(n):
        return np.array([[20, 20], [20 + n, 20], [20 + n, 20 + n], [20, 20 + n]])

    areas = [runs_from_polygons([square(n)], (99, 99), "edges").area()[0] for n in (1, 2, 10)]
    assert areas == [1, 4, 100]
    triangle, other = square(10)[:3], square(10)[[0, 2, 3]]
    parts = [runs_from_polygons([half], (99, 99), "edges") for half in (triangle, other[::-1])]
    assert not len(parts[0] & parts[1])
    assert parts[0] | parts[1] == runs_from_polygons([square(10)], (99, 99), "edges")


planes = st.tuples(sides(20), sides(20)).flatmap(pixels)


def a_mask_survives_being_polygons(dense: np.ndarray) -> None:
    runs = Runs.from_dense(dense)
    polygons = polygons_from_runs(runs)
    assert all(polygon.dtype == np.int32 and polygon.shape[1:] == (2,) for polygon in polygons)
    assert runs_from_polygons(polygons, dense.shape, "centres") == runs
    outlines = polygons_from_runs(runs, "edges")
    assert runs_from_polygons(outlines, dense.shape, "edges") == runs
    shapes = rings_from_runs(runs)
    assert runs_from_rings(shapes, dense.shape) == runs
    _, holes = ndimage.label(np.pad(~dense, 1, constant_values=True))
    _, parts = ndimage.label(dense, np.ones((3, 3)))
    assert (len(shapes), sum(len(rings) - 1 for rings in shapes)) == (parts, holes - 1)


@given(planes)
@settings(max_examples=150, deadline=None)
def test_a_mask_survives_being_polygons(dense):
    a_mask_survives_being_polygons(dense)


@pytest.mark.long
@given(planes)
@settings(max_examples=LONG, deadline=None)
def test_a_mask_survives_being_polygons_at_length(dense):
    a_mask_survives_being_polygons(dense)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.5, 0.6, 0.8, 0.95])
def test_noise_with_holes_in_holes_survives_being_polygons(share):
    rng = np.random.default_rng(int(100 * share))
    a_mask_survives_being_polygons(rng.random((90, 110)) < share)
    smooth = ndimage.gaussian_filter(rng.standard_normal((150, 130)), 3)
    a_mask_survives_being_polygons(smooth > np.quantile(smooth, 1 - share))


def rings(count: int) -> np.ndarray:
    y, x = np.mgrid[-40:41, -40:41]
    return (np.hypot(y, x) // 3 % 2 == 0) & (np.hypot(y, x) < 6 * count)


def test_rings_in_rings_survive_with_few_polygons():
    dense = rings(6)
    a_mask_survives_being_polygons(dense)
    # The disc stays whole; each of the five rings is cut once, through all their holes.
    assert len(polygons_from_runs(Runs.from_dense(dense))) <= 1 + 5 * 2


def test_rings_of_a_file_are_an_outline_less_its_holes():
    outline = np.array([[1, 1], [8, 1], [8, 8], [1, 8]])
    hole = np.array([[3, 3], [6, 3], [6, 6], [3, 6]])
    runs = runs_from_rings([[outline, hole], [np.array([[0, 0]])], []], (10, 10))
    expected = np.zeros((10, 10), bool)
    expected[1:9, 1:9], expected[4:6, 4:6], expected[0, 0] = True, False, True
    assert runs == Runs.from_dense(expected)
    assert (
        runs_from_rings([], (3, 3)) == Runs.empty((3, 3))
        and rings_from_runs(Runs.empty((3, 3))) == []
    )
    with pytest.raises(InputFault, match="polygon 1 .*nan"):
        runs_from_rings([[outline, [[0, 0], [float("nan"), 1]]]], (10, 10))
    with pytest.raises(InputFault, match=r"\(2, 3, 3\)"):
        rings_from_runs(Runs.empty((2, 3, 3)))


def test_a_shape_without_holes_is_one_polygon_of_its_corners():
    dense = np.zeros((9, 9), bool)
    dense[2:7, 3:8] = True
    (polygon,) = polygons_from_runs(Runs.from_dense(dense))
    assert sorted(map(tuple, polygon.tolist())) == [(3, 2), (3, 6), (7, 2), (7, 6)]


def test_between_edges_a_shape_without_forks_is_one_polygon_of_its_corners_and_a_ring_two():
    dense = np.zeros((9, 9), bool)
    dense[2:7, 3:8], dense[7:, 5:6] = True, True
    (polygon,) = polygons_from_runs(Runs.from_dense(dense), "edges")
    corners = [(3, 2), (3, 7), (5, 7), (5, 9), (6, 7), (6, 9), (8, 2), (8, 7)]
    assert sorted(map(tuple, polygon.tolist())) == corners
    dense[4:6, 5:7] = False
    assert len(polygons_from_runs(Runs.from_dense(dense), "edges")) == 2


def test_a_shape_beside_one_with_holes_is_not_cut():
    dense = np.zeros((9, 20), bool)
    dense[:, :9], dense[3:6, 3:6], dense[:, 12:] = True, False, True
    polygons = polygons_from_runs(Runs.from_dense(dense))
    assert len(polygons) == 3
    a_mask_survives_being_polygons(dense)


def test_pixels_lines_and_diagonals_survive():
    for dense in (np.eye(7), np.fliplr(np.eye(7)), np.eye(7)[:1], np.ones((1, 5)), np.ones((5, 1))):
        a_mask_survives_being_polygons(dense.astype(bool))
    assert polygons_from_runs(Runs.empty((4, 4))) == []


def test_overlapping_polygons_unite_and_make_no_hole():
    outer = np.array([[0, 0], [8, 0], [8, 8], [0, 8]])
    inner = np.array([[2, 2], [6, 2], [6, 6], [2, 6]])
    together = np.zeros((9, 9), np.uint8)
    cv2.fillPoly(together, [outer.astype(np.int32), inner.astype(np.int32)], 1)
    assert together.sum() < 81  # what cv2 makes of both at once
    assert runs_from_polygons([outer, inner], (9, 9), "centres") == Runs.full((9, 9))


def test_floats_are_rounded_to_the_nearest_pixel_halves_up():
    polygon = np.array([[0.5, -0.5], [2.4, 0.49], [1.5, 1.5]])
    whole = np.array([[1, 0], [2, 0], [2, 2]])
    assert runs_from_polygons([polygon], (4, 4), "centres") == runs_from_polygons(
        [whole], (4, 4), "centres"
    )
    assert runs_from_polygons([polygon.tolist()], (4, 4), "centres") == runs_from_polygons(
        [whole], (4, 4), "centres"
    )


def test_a_polygon_out_of_the_image_is_nothing():
    far = np.array([[-9, -9], [-5, -9], [-5, -2]])
    assert runs_from_polygons([far], (10, 10), "centres") == Runs.empty((10, 10))
    assert runs_from_polygons([], (10, 10)) == Runs.empty((10, 10))


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([[0, 0], [float("nan"), 1]], "nan"),
        ([[0, 0], [float("inf"), 1]], "inf"),
        ([[0, 0], [1e9, 1]], "1000000000.0"),
        ([[0, 0], [1, -101]], "±100"),
        ([[0, 0, 0]], r"\(1, 3\)"),
        ([], "shape"),
        ([[0, 0], [1]], "no array"),
        ([["a", "b"]], "no array"),
    ],
)
def test_absurd_polygons_are_refused_and_all_named(polygon, message):
    fine = [[0, 0], [3, 0], [3, 3]]
    with pytest.raises(InputFault, match=message) as fault:
        runs_from_polygons([fine, polygon, fine, polygon], (10, 10))
    assert "polygon 1 " in str(fault.value) and "polygon 3 " in str(fault.value)


def test_only_a_single_mask_becomes_polygons():
    with pytest.raises(InputFault, match=r"\(2, 3, 3\)"):
        polygons_from_runs(Runs.empty((2, 3, 3)))


def test_polygons_of_an_image_wider_than_a_short_survive():
    corner = np.array([[69_990, 2], [69_999, 2], [69_999, 4], [69_993, 4]])
    runs = runs_from_polygons([corner], (6, 70_000), "centres")
    assert runs.bounding_boxes().tolist() == [[2, 69_990, 5, 70_000]]
    assert runs_from_polygons(polygons_from_runs(runs), (6, 70_000), "centres") == runs
