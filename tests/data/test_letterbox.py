"""How images and masks are laid into the network's input, and the cache of laid images."""

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest

from competition.data.letterbox import Letterbox, LetterboxedImages, letterboxed_images
from competition.errors import InputFault
from competition.masks import Runs, unpack
from competition.masks.from_logits import runs_from_logits


def test_padding_keeps_the_aspect_and_the_region_says_where_the_image_is():
    letterbox = Letterbox.of((100, 200), (64, 64), "pad")
    assert letterbox.resized == (32, 64)
    assert letterbox.region((16, 16)) == (0.0, 0.0, 8.0, 16.0)
    assert Letterbox.of((100, 200), (64, 64), "stretch").region((16, 16)) == (0, 0, 16, 16)


@pytest.mark.parametrize("native", [(47, 63), (63, 65), (256, 320), (40, 30)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_disc_comes_back_where_it_was(native, fit):
    """Mask → network size → logits → native size: no shift by a pixel, whatever the sizes."""
    rows, columns = np.indices(native)
    center, radius = (native[0] * 0.45, native[1] * 0.55), 0.3 * min(native)
    disc = np.hypot(rows - center[0], columns - center[1]) < radius
    letterbox = Letterbox.of(native, (256, 256), fit)
    target = unpack(letterbox.planes(Runs.from_dense(disc[None])), 1)
    soft = cv2.GaussianBlur(target[0].astype(np.float32), (0, 0), 1.5)[None] - 0.5
    back = runs_from_logits(soft * 8, native, 0.5, region=letterbox.region((256, 256)))
    found = back.to_dense()[0]
    assert (found & disc).sum() / (found | disc).sum() >= 0.97
    moments = [np.argwhere(mask).mean(axis=0) for mask in (found, disc)]
    assert np.abs(moments[0] - moments[1]).max() < 0.25


def test_an_image_shrinks_by_the_means_of_areas():
    """By single pixels, fine lines would come and go with the size."""
    stripes = np.zeros((20, 30, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (Letterbox.of((20, 30), (10, 15), "stretch").image(stripes) == 100).all()
    narrower = Letterbox.of((20, 30), (40, 15), "stretch").image(stripes)
    assert (narrower == 100).all()


def test_an_image_grows_by_lines_between_its_pixels():
    edge = np.repeat([[[0], [100]]], 3, axis=2).astype(np.uint8)
    grown = Letterbox.of((1, 2), (1, 8), "stretch").image(edge)[0, :, 0]
    assert grown.tolist() == [0, 0, 13, 38, 63, 88, 100, 100]


@pytest.fixture
def catalog(tmp_path):
    for name, value in (("a.png", 10), ("b.png", 200)):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), value, np.uint8))
    return pd.DataFrame(
        {
            "image": ["a", "b"],
            "path": ["a.png", "b.png"],
            "split": "train",
            "height": 20,
            "width": 30,
        }
    )


def made(catalog, root, form=((16, 16), "stretch")):
    ticks = []
    placed = letterboxed_images(
        catalog, root, root / "cache", form=form, advance=lambda: ticks.append(1)
    )
    return placed, len(ticks)


def test_images_are_laid_once_and_again_when_a_file_changes(catalog, tmp_path):
    placed, count = made(catalog, tmp_path)
    assert count == 2 and placed["b"].shape == (16, 16, 3) and placed["b"].max() == 200
    assert made(catalog, tmp_path)[1] == 0
    cv2.imwrite(str(tmp_path / "b.png"), np.full((20, 30, 3), 77, np.uint8))
    os.utime(tmp_path / "b.png", ns=(1, 1))
    placed, count = made(catalog, tmp_path)
    assert count == 2 and placed["b"].max() == 77


def test_padding_is_black(catalog, tmp_path):
    placed, _ = made(catalog, tmp_path, form=((16, 16), "pad"))
    assert placed["b"][11:].max() == 0 and placed["b"][:11].min() > 0


def test_a_cache_that_was_not_finished_is_made_again(catalog, tmp_path):
    made(catalog, tmp_path)
    (tmp_path / "cache" / "train-16x16-stretch" / "key.txt").unlink()
    assert made(catalog, tmp_path)[1] == 2


def test_a_worker_is_handed_the_place_of_the_pixels_and_not_the_pixels(catalog, tmp_path):
    """Every spawned loader worker was once sent the whole cache, and held it in memory."""
    placed, _ = made(catalog, tmp_path, form=((300, 400), "stretch"))
    handed = pickle.dumps(placed)
    assert len(handed) < 2000 < placed.pixels.nbytes / 100
    again = pickle.loads(handed)
    assert isinstance(again.pixels, np.memmap) and np.array_equal(again.pixels, placed.pixels)
    assert (again.rows, again.letterboxes) == (placed.rows, placed.letterboxes)


def test_a_spawned_process_sees_the_same_pixels(catalog, tmp_path):
    placed, _ = made(catalog, tmp_path)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        seen = pool.submit(LetterboxedImages.__getitem__, placed, "b").result()
    assert np.array_equal(seen, placed["b"])


def test_a_worker_refuses_a_cache_of_other_images_in_the_same_place(catalog, tmp_path):
    placed, _ = made(catalog, tmp_path)
    handed = pickle.dumps(placed)
    made(catalog[:1], tmp_path)
    with pytest.raises(InputFault, match=r"pixels.npy.*expected \(2, 16, 16, 3\).*run .* again"):
        pickle.loads(handed)
