"""The guided filter against its formula; stored predictions of images with sharp edges."""

import cv2
import numpy as np
import pandas as pd
import pytest

from competition.data.letterbox import letterboxed_images
from competition.inference.guided_filter import guided_filter, refine_store
from competition.inference.quantisation import CLIP
from competition.inference.store import Geometry, Provenance, Store, StoreWriter
from competition.spec import Refinement

SIZE = (90, 120)


def by_formula(guide, values, radius, epsilon):
    """Equations 5, 6 and 8 of the paper, window by window."""
    height, width = guide.shape
    lines = np.zeros((2, height, width))

    def window(row, column):
        return (
            slice(max(row - radius, 0), row + radius + 1),
            slice(max(column - radius, 0), column + radius + 1),
        )

    for row in range(height):
        for column in range(width):
            seen, wanted = guide[window(row, column)], values[window(row, column)]
            slope = (np.mean(seen * wanted) - seen.mean() * wanted.mean()) / (seen.var() + epsilon)
            lines[:, row, column] = slope, wanted.mean() - slope * seen.mean()
    result = np.empty_like(guide)
    for row in range(height):
        for column in range(width):
            slope, shift = (plane[window(row, column)].mean() for plane in lines)
            result[row, column] = slope * guide[row, column] + shift
    return result


@pytest.mark.parametrize("radius", [1, 3, 20])
def test_the_filter_is_that_of_the_paper(radius):
    random = np.random.default_rng(radius)
    guide, values = random.random((2, 13, 17))
    found = guided_filter(guide, values, radius=radius, epsilon=0.02)
    assert found == pytest.approx(by_formula(guide, values, radius, 0.02), abs=1e-9)


def blob():
    rows, columns = np.indices(SIZE)
    angle = np.arctan2(rows - 45, columns - 60)
    return np.hypot(rows - 45, columns - 60) < 28 * (1 + 0.25 * np.sin(5 * angle))


@pytest.fixture
def refined(tmp_path):
    """A function: which image, and its probabilities → logits before and after, on its pixels."""

    def run(image, probabilities, *, padding=0, shrink=1, **options):
        cv2.imwrite(str(tmp_path / "a.png"), image)
        row = {"image": "a", "path": "a.png", "split": "test", "height": SIZE[0], "width": SIZE[1]}
        grid = (SIZE[0], SIZE[1] + padding)
        images = letterboxed_images(
            pd.DataFrame([row]), tmp_path, tmp_path / "cache", form=(grid, "pad")
        )
        logits = np.full((2, *grid), 3.0, np.float32)
        logits[:, :, : SIZE[1]] = np.log(probabilities / (1 - probabilities))
        if shrink > 1:
            logits = logits.reshape(2, SIZE[0] // shrink, shrink, -1, shrink).mean((2, 4))
        provenance = Provenance(
            member="m", recipe="r", recipe_sha256="0", folds=(0,), part="oof", classes=("x", "y")
        )
        place = images.letterboxes["a"]
        plane = np.full(logits.shape[1:], 7, np.uint8)
        geometry = Geometry(SIZE, place.region(plane.shape))
        with StoreWriter(tmp_path / "store", provenance) as writer:
            writer.add("a", logits, geometry, disagreement=plane)
        store = Store.open(tmp_path / "store", classes=("x", "y"))
        refinement = Refinement(**{"radius": 4, "epsilon": 0.001, **options})
        refine_store(store, images, tmp_path / "after", member="m+refined", refinement=refinement)
        after = Store.open(tmp_path / "after", classes=("x", "y"))
        assert after.provenance.member == "m+refined"
        assert after.geometry("a") == Geometry(SIZE, place.region(grid))
        assert np.array_equal(after.disagreement("a"), np.full(grid, 7))
        return store.read("a").logits(), after.read("a").logits()

    return run


def dice_near_border(masks, truth, reach=6):
    """Of bool (H, W) within so many pixels of the labelled border."""
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    wide = cv2.dilate(truth.astype(np.uint8), kernel) > 0
    near = wide & (cv2.erode(truth.astype(np.uint8), kernel) == 0)
    return 2 * (masks & truth & near).sum() / ((masks & near).sum() + (truth & near).sum())


def coarse_probabilities(truth):
    """As a network says them that knows a tenth of the size."""
    small = cv2.resize(truth.astype(np.float64), (12, 9), interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_LINEAR), 0.01, 0.99)


def test_coarse_borders_move_onto_the_edges_of_the_image(refined):
    truth = blob()
    noise = np.random.default_rng(0).normal(0, 8, (*SIZE, 3))
    image = np.clip(np.where(truth[..., None], 170, 80) + noise, 0, 255).astype(np.uint8)
    before, after = refined(image, coarse_probabilities(truth))
    found = [dice_near_border(logits[0] > 0, truth) for logits in (before, after)]
    assert found[0] < 0.91 and found[1] > 0.97
    assert np.array_equal(after[0], after[1])  # the classes had the same probabilities


def test_logits_that_are_coarser_than_the_image_are_enlarged_first(refined):
    truth = blob()
    image = np.where(truth[..., None], 170, 80).repeat(3, axis=2).astype(np.uint8)
    before, after = refined(image, coarse_probabilities(truth), shrink=5)
    assert before.shape == (2, 18, 24) and after.shape == (2, *SIZE)
    plain = cv2.resize(before[0], SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0
    found = [dice_near_border(masks, truth) for masks in (plain, after[0] > 0)]
    assert found[0] < 0.91 and found[1] > 0.97


def test_where_the_image_has_no_edge_the_borders_are_only_smoothed(refined):
    truth = blob()
    image = np.full((*SIZE, 3), 120, np.uint8)
    wanted = np.where(truth, 0.9, 0.1)
    _, after = refined(image, wanted, radius=2)
    count = np.ones(SIZE)
    for _ in range(2):
        total = cv2.blur(wanted, (5, 5), borderType=cv2.BORDER_CONSTANT)
        wanted = total / cv2.blur(count, (5, 5), borderType=cv2.BORDER_CONSTANT)
    assert after[0] == pytest.approx(np.log(wanted / (1 - wanted)), abs=0.07)


def test_padding_is_no_part_of_the_image_and_stays(refined):
    truth = blob()
    image = np.where(truth[..., None], 170, 80).repeat(3, axis=2).astype(np.uint8)
    probabilities = coarse_probabilities(truth)
    _, alone = refined(image, probabilities)
    before, padded = refined(image, probabilities, padding=30)
    assert np.array_equal(padded[:, :, : SIZE[1]], alone)
    assert np.array_equal(padded[:, :, SIZE[1] :], before[:, :, SIZE[1] :])


def test_what_a_line_leads_beyond_0_and_1_is_the_surest_there_is(refined):
    """The brightest pixels near a border are further along the line than those it was fitted to."""
    truth = blob()
    image = np.where(truth, 170, 80) + np.random.default_rng(0).normal(0, 25, SIZE)
    image = np.clip(image, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    probabilities = np.where(truth, 0.999, 0.001)
    line = guided_filter(image[..., 0] / 255, probabilities, radius=4, epsilon=0.001)
    _, after = refined(image, probabilities)
    assert (line > 1).any() and (line < 0).any()
    assert after[0][line > 1] == pytest.approx(CLIP)
    assert after[0][line < 0] == pytest.approx(-CLIP)
