"""Rough and coarse borders: told where they are, and not where predictions are healthy."""

import cv2
import numpy as np
import pytest

from competition.evaluation import borders
from competition.evaluation.borders import (
    border_lengths,
    coarse_text,
    dice_at,
    found_borders,
    rough_text,
    roughness,
)
from competition.evaluation.metric_table import image_metrics
from competition.masks import Runs
from competition.masks.from_logits import runs_from_logits

SIZE = (160, 200)
NONE = Runs.empty((1, *SIZE))


def drawn(seed, *, radius=30, teeth=0.0):
    """float32 (H, W) signed distance to a blob's border, above 0 inside; teeth: waves of it."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(SIZE, np.float32)
    down, across = (side / 2 + random.uniform(-10, 10) for side in SIZE)
    angle = np.arctan2(rows - down, columns - across)
    reach = radius * (1 + 0.2 * np.sin(3 * angle + seed) + teeth * np.sin(40 * angle))
    return reach - np.hypot(rows - down, columns - across)


def noise(seed, *, coarse):
    """float32 (H, W) normal noise that is smooth over so many pixels."""
    return cv2.GaussianBlur(
        np.random.default_rng(seed).normal(size=SIZE).astype(np.float32), (0, 0), coarse
    ) * (2 * coarse * np.sqrt(np.pi))


def mask(field):
    return Runs.from_dense(field[None] > 0)


def borders_of(pairs):
    found = [found_borders(t, p, image_metrics(t, p, ignored=NONE).scores[0]) for t, p in pairs]
    return np.sum(found, axis=0)


def test_a_border_is_counted_in_sides_of_pixels():
    masks = np.random.default_rng(0).random((3, 9, 13)) < 0.5
    masks[1] = True
    wide = np.pad(masks, ((0, 0), (1, 1), (1, 1))).astype(int)
    sides = [np.abs(np.diff(wide, axis=axis)).sum((1, 2)) for axis in (1, 2)]
    assert border_lengths(Runs.from_dense(masks)).tolist() == sum(sides).tolist()
    assert border_lengths(Runs.empty((2, 4, 4))).tolist() == [0, 0]


def test_a_mask_of_another_area_and_the_same_shape_is_not_rough():
    for radius in (26, 30, 38):
        pairs = [(mask(drawn(seed)), mask(drawn(seed, radius=radius))) for seed in range(4)]
        assert roughness(borders_of(pairs))[0] == pytest.approx(1, abs=0.04)


def test_specks_and_ragged_edges_are_told_and_smooth_errors_are_not():
    smooth, ragged = [], []
    for seed in range(12):
        field = drawn(seed)
        smooth.append((mask(field), mask(field + 5 * noise(seed, coarse=8))))
        ragged.append((mask(field), mask(field + 2 * noise(seed, coarse=1))))
    assert image_metrics(*smooth[0], ignored=NONE).scores[0] > 0.8
    assert rough_text(borders_of(smooth), ["blob"]) == ""
    text = rough_text(borders_of(ragged), ["blob"])
    assert "rough borders" in text and "'blob'" in text and "12 masks" in text
    assert "views or members in [ensemble]" in text
    assert rough_text(borders_of(ragged[:9]), ["blob"]) == ""  # too few to say anything


def test_masks_that_were_not_found_have_no_border_to_judge():
    truth, elsewhere = mask(drawn(0)), mask(np.roll(drawn(0), 80, axis=1))
    assert borders_of([(truth, elsewhere), (truth, NONE), (NONE, NONE)]).sum() == 0
    assert np.isnan(roughness(np.zeros((3, 2)))).all()


def predictions(labels, grid, error):
    """Of a network that answers coverage on a grid, with smooth errors of the outline."""
    for seed, field in enumerate(labels):
        shares = cv2.resize(
            (field > 0).astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA
        )
        wrong = cv2.resize(error * noise(seed, coarse=8), grid[::-1], interpolation=cv2.INTER_AREA)
        yield runs_from_logits((shares - 0.5 + wrong)[None], SIZE, 0.5)


def dice_of(truth, masks):
    pairs = zip(truth, masks, strict=True)
    return np.stack([image_metrics(t, p, ignored=NONE).scores[0] for t, p in pairs])


def test_what_the_size_of_the_logits_loses_is_told_only_where_it_is_most_of_the_loss():
    fine = [drawn(seed, teeth=0.15) for seed in range(12)]
    truth = [mask(field) for field in fine]
    coarse, enough = (16, 20), (80, 100)
    reached = {g: np.stack([dice_at(g, one, NONE) for one in truth]) for g in (coarse, enough)}
    blocked = dice_of(truth, predictions(fine, coarse, 0.05))
    text = coarse_text(blocked, reached[coarse], coarse)
    assert "coarse borders: 12 found masks of 12 images" in text
    assert "16 × 20" in text and "Raise size" in text
    assert f"{1 - blocked.mean():.3f}" in text and f"{1 - reached[coarse].mean():.3f}" in text
    assert coarse_text(blocked[:9], reached[coarse][:9], coarse) == ""
    # At five times the size the same network loses by its own errors.
    free = dice_of(truth, predictions(fine, enough, 0.3))
    assert free.mean() < 0.97
    assert coarse_text(free, reached[enough], enough) == ""
    # Of plain outlines it loses all that is lost by the size, and that is next to nothing.
    plain = [drawn(seed) for seed in range(12)]
    truth = [mask(field) for field in plain]
    perfect = dice_of(truth, predictions(plain, enough, 0.0))
    at_size = np.stack([dice_at(enough, one, NONE) for one in truth])
    assert at_size.mean() == pytest.approx(perfect.mean()) and perfect.mean() < 1
    assert coarse_text(perfect, at_size, enough) == ""


def test_an_image_without_any_mask_loses_nothing_by_the_size():
    assert np.isnan(dice_at((20, 25), Runs.empty((3, *SIZE)), NONE)).all()


def test_pixels_and_classes_that_are_not_there_lose_nothing_by_the_size():
    truth = Runs.stack([mask(drawn(0))[0], NONE[0]])
    assert np.isnan(dice_at((20, 25), truth, NONE)).tolist() == [False, True]
    assert dice_at(SIZE, truth, NONE)[0] == 1
    assert np.isnan(dice_at((20, 25), truth, Runs.full((1, *SIZE)))).all()


def test_a_grid_as_fine_as_the_image_loses_nothing(monkeypatch):
    """That of tiles at the native scale: nothing as large as the image is made for it."""
    truth = Runs.from_dense(np.eye(*SIZE, dtype=bool)[None])
    assert dice_at((80, 200), truth, NONE)[0] < 1
    monkeypatch.setattr(borders, "Letterbox", None)
    assert dice_at(SIZE, truth, NONE).tolist() == [1.0]
