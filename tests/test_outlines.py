"""Outlines at the size of a screen: closed, in place, with holes, and of bounded length."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from competition.errors import InputFault
from competition.masks import Runs
from competition.pictures import PATH_UNITS, class_paths, jpeg_bytes, outlined_image
from competition.pictures.outlines import MOST_CHARACTERS

STEP = re.compile(r"([Mhvlz])(-?\d+)?(?:[ ]?(-?\d+))?")


def subpaths(path):
    """The points (n, 2) of each closed subpath, in screen pixels; anything else is a fault."""
    found, here = [], np.zeros(2)
    assert "".join(match[0] for match in STEP.finditer(path)) == path
    for kind, first, second in STEP.findall(path):
        if kind == "M":
            here = np.array([float(first), float(second)])
            found.append([here])
        elif kind != "z":
            x = float(first) if kind in "hl" else 0.0
            y = float(second if kind == "l" else first if kind == "v" else 0)
            here = here + (x, y)
            found[-1].append(here)
    assert path.count("z") == len(found)
    return [np.array(points) / PATH_UNITS for points in found]


def filled(path, size):
    """bool (height, width): pixels whose centre is inside by the even-odd rule."""
    rows, columns = np.indices(size) + 0.5
    inside = np.zeros(size, bool)
    for points in subpaths(path):
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
            crosses = (y1 > rows) != (y2 > rows)
            with np.errstate(divide="ignore", invalid="ignore"):
                inside ^= crosses & (columns < (x2 - x1) * (rows - y1) / (y2 - y1) + x1)
    return inside


def discs(size, classes=3, seed=0):
    """bool (K, H, W): a ring with its hole a class."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    found = []
    for _ in range(classes):
        row, column = (random.uniform(0.3, 0.7) * side for side in size)
        distance = np.hypot(rows - row, columns - column)
        found.append((distance < 0.25 * min(size)) & (distance > 0.1 * min(size)))
    return np.stack(found)


def test_an_outline_of_the_image_s_own_size_holds_the_pixels_of_the_mask():
    dense = discs((60, 80))
    paths = class_paths(Runs.from_dense(dense), (60, 80))
    assert list(paths) == [0, 1, 2]
    for k, path in paths.items():
        assert len(subpaths(path)) == 2, "the ring and its hole"
        assert np.mean(filled(path, (60, 80)) != dense[k]) < 0.002


@pytest.mark.parametrize("scale", [4, 3])
def test_a_mask_stays_in_its_place_on_a_smaller_and_on_a_larger_screen(scale):
    small, large = (50, 70), (50 * scale, 70 * scale)
    dense = discs(small, 2)
    grown = dense.repeat(scale, axis=1).repeat(scale, axis=2)
    for runs, size, expected in (
        (Runs.from_dense(grown), small, dense),
        (Runs.from_dense(dense), large, grown),
    ):
        for k, path in class_paths(runs, size).items():
            assert np.mean(filled(path, size) != expected[k]) < 0.02


def test_what_is_smaller_than_a_pixel_of_the_screen_is_there_still():
    dense = np.zeros((2, 900, 900), bool)
    dense[1, 450, 300] = True
    ((k, path),) = class_paths(Runs.from_dense(dense), (30, 30)).items()
    (points,) = subpaths(path)
    assert k == 1
    assert np.abs(points - (10, 15)).max() < 1


def test_only_classes_with_a_pixel_have_a_path():
    assert class_paths(Runs.empty((4, 20, 20)), (10, 10)) == {}
    assert list(class_paths(Runs.full((1, 20, 20)), (10, 10))) == [0]


def test_noise_makes_no_long_paths():
    noise = Runs.from_dense(np.random.default_rng(0).random((3, 256, 256)) > 0.6)
    paths = class_paths(noise, (256, 256))
    assert len(paths) == 3
    assert sum(map(len, paths.values())) <= MOST_CHARACTERS


def test_a_picture_and_its_outlines_have_the_size_that_is_asked_for():
    dense = discs((300, 600))
    pixels = np.full((300, 600, 3), 90, np.uint8)
    runs = Runs.from_dense(dense)
    shown = outlined_image(pixels, runs, None, longest=200, ignored=Runs.full((1, 300, 600)))
    assert shown.size == (100, 200)
    assert shown.view_box == f"0 0 {200 * PATH_UNITS} {100 * PATH_UNITS}"
    assert Image.open(io.BytesIO(shown.jpeg)).size == (200, 100)
    assert list(shown.truth) == [0, 1, 2]
    assert not shown.prediction
    assert filled(shown.ignored, shown.size).all()


def test_the_same_picture_is_the_same_file():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    assert jpeg_bytes(pixels, (20, 20)) == jpeg_bytes(pixels, (20, 20))


def test_masks_of_another_size_are_refused():
    with pytest.raises(InputFault, match=r"\(10, 10\) and masks of \(9, 10\)"):
        outlined_image(np.zeros((10, 10, 3), np.uint8), Runs.empty((1, 9, 10)), None)
