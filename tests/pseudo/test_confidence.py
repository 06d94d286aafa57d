"""How sure a prediction is of a class, on grids small enough to compute by hand."""

import numpy as np
import pytest

from competition.decoding.blend import LogitGrid
from competition.pseudo.confidence import MEASURES, confidences

LEVELS = (0.3, 0.7)


def grid_of(probabilities, region=None):
    """The grid of probabilities (K, h, w); region: of the image in it, by default all of it."""
    p = np.asarray(probabilities, float)
    values = np.log(p / (1 - p)).astype(np.float32)
    return LogitGrid(values, None, None, region or (0.0, 0.0, *map(float, p.shape[1:])), (8, 8))


def confidence(probabilities, measure, disagreement=None, region=None):
    """Of the first class."""
    p = np.asarray(probabilities, float)
    spread = np.zeros(p.shape[1:]) if disagreement is None else disagreement
    return confidences([(grid_of(p, region), spread)], measure, LEVELS)[0]


def planted(*values, size=(6, 6), ground=0.01):
    """One class (1, h, w): these probabilities first, the others `ground`."""
    p = np.full(size, ground)
    p.flat[: len(values)] = values
    return p[None]


def test_expected_dice_is_that_of_the_mask_times_whether_the_class_is_there():
    p = planted(*[0.9] * 4, 0.2)
    expected = 2 * 3.6 / (3.6 + 0.2 + 31 * 0.01 + 4)
    there = (4 * 0.9 + 0.2 + 4 * 0.01) / 9
    assert confidence(p, "expected-dice") == pytest.approx(expected * there, abs=1e-5)


def test_without_a_mask_expected_dice_is_how_sure_it_is_that_nothing_is_there():
    assert confidence(planted(), "expected-dice") == pytest.approx(0.99, abs=1e-5)
    assert confidence(planted(*[0.45] * 9), "expected-dice") == pytest.approx(0.55, abs=1e-5)


def test_decided_and_margin_look_where_the_class_is_possible():
    p = planted(*[0.9] * 4, 0.5, 0.5)
    assert confidence(p, "decided") == pytest.approx(4 / 6)
    assert confidence(p, "margin") == pytest.approx(4 * 0.8 / 6, abs=1e-5)


def test_agreement_is_that_of_folds_and_views_where_the_class_is_possible():
    p, spread = planted(*[0.9] * 4), np.full((6, 6), 1.0)
    spread.flat[:4] = [0.1, 0.1, 0.3, 0.3]
    assert confidence(p, "agreement", spread) == pytest.approx(0.8)


def test_where_nothing_is_possible_the_surest_pixels_speak():
    p, spread = planted(*[0.25] * 9), np.full((6, 6), 0.4)
    for measure in ("decided", "margin"):
        assert confidence(p, measure) == pytest.approx(0.5, abs=1e-5)
    assert confidence(p, "agreement", spread) == pytest.approx(0.6)


@pytest.mark.parametrize("measure", [one for one in MEASURES if one != "agreement"])
def test_a_network_that_is_surer_of_the_same_mask_is_never_less_confident(measure):
    generator = np.random.default_rng(0)
    for _ in range(20):
        inside = np.arange(64) < generator.integers(9, 60)
        logits = np.where(inside, generator.uniform(0.01, 3, 64), generator.uniform(-4, -1, 64))
        found = [
            confidence(1 / (1 + np.exp(-factor * logits.reshape(1, 8, 8))), measure)
            for factor in (1.0, 1.3, 2.0)
        ]
        assert found == sorted(found) and found[0] < found[-1]


def test_agreement_falls_where_networks_differ_more():
    p = planted(*[0.9] * 4)
    found = [confidence(p, "agreement", np.full((6, 6), one)) for one in (0.0, 0.2, 0.5)]
    assert found == pytest.approx([1.0, 0.8, 0.5])


@pytest.mark.parametrize("measure", MEASURES)
def test_padding_counts_for_nothing(measure):
    p, spread = planted(*[0.8] * 7, 0.4, size=(4, 5)), np.full((4, 5), 0.2)
    wide = np.full((1, 8, 8), 0.55)
    wide[:, :4, :5] = p
    alone = confidence(p, measure, spread)
    assert confidence(wide, measure, spread, (0.0, 0.0, 4.0, 5.0)) == pytest.approx(alone)


def test_every_class_has_its_own():
    grid = grid_of(np.concatenate([planted(*[0.9] * 9), planted(*[0.6] * 9)]))
    found = confidences([(grid, np.zeros((6, 6)))], "margin", LEVELS)
    assert found == pytest.approx([0.8, 0.2], abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_some_rows_after_others_are_as_sure_as_all_at_once(measure):
    random = np.random.default_rng(0)
    p, spread = random.uniform(0.01, 0.99, (3, 9, 7)), random.random((9, 7))
    whole = confidences([(grid_of(p), spread)], measure, LEVELS)
    cuts = [slice(0, 1), slice(1, 6), slice(6, 9)]
    parts = [(grid_of(p[:, rows]), spread[rows]) for rows in cuts]
    assert confidences(parts, measure, LEVELS) == pytest.approx(whole, abs=1e-6)
