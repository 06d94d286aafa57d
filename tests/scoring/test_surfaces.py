"""Distances of outlines against brute force and against monai, and the scores of volumes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from competition.errors import InputFault
from competition.masks.runs import Runs
from competition.scoring.metrics import Metric, score_image
from competition.scoring.surfaces import (
    diagonal,
    element_sizes,
    hausdorff,
    hausdorff_95,
    outline,
    surface_dice,
)
from competition.scoring.volumes import evaluate_volumes, score_volume

HD95 = Metric(name="hausdorff-95")
VESSELS = Metric(name="surface-dice", tolerance=0.0, dimensions=3)
GI_TRACT = Metric(name="dice-hausdorff", empty="skip")

shapes = st.lists(st.integers(1, 5), min_size=2, max_size=3).map(tuple)
pairs = shapes.flatmap(lambda s: st.tuples(arrays.arrays(bool, s), arrays.arrays(bool, s)))
spacings = st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=3, max_size=3)


def distances(points: np.ndarray, others: np.ndarray, spacing: list[float]) -> np.ndarray:
    scale = spacing[: points.ndim]
    return cdist(np.argwhere(points) * scale, np.argwhere(others) * scale).min(axis=1)


@given(pairs)
def test_the_outline_is_what_erosion_takes_away(pair: tuple[np.ndarray, np.ndarray]) -> None:
    dense = pair[0]
    assert np.array_equal(outline(Runs.from_dense(dense)).to_dense(), dense ^ binary_erosion(dense))


@given(pairs, spacings)
def test_distances_are_those_of_brute_force(
    pair: tuple[np.ndarray, np.ndarray], spacing: list[float]
) -> None:
    masks, scale = [Runs.from_dense(dense) for dense in pair], spacing[: pair[0].ndim]
    if not (pair[0].any() and pair[1].any()):
        expected = diagonal(pair[0].shape, scale) if pair[0].any() or pair[1].any() else 0.0
        assert hausdorff_95(*masks, scale) == hausdorff(*masks, scale) == expected
        return
    both_ways = [distances(*pair, spacing).max(), distances(*pair[::-1], spacing).max()]
    assert hausdorff(*masks, scale) == pytest.approx(max(both_ways))
    edges = [dense ^ binary_erosion(dense) for dense in pair]
    both_ways = [
        np.percentile(distances(*ordered, spacing), 95) for ordered in (edges, edges[::-1])
    ]
    assert hausdorff_95(*masks, scale) == pytest.approx(max(both_ways))


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(pairs, spacings, st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]))
@pytest.mark.filterwarnings("ignore")
def test_surface_dice_is_that_of_monai_with_surface_elements(
    pair: tuple[np.ndarray, np.ndarray], spacing: list[float], tolerance: float
) -> None:
    import torch
    from monai.metrics import compute_surface_dice

    scale = spacing[: pair[0].ndim]
    found = surface_dice(*map(Runs.from_dense, pair), tolerance=tolerance, spacing=scale)
    tensors = [torch.tensor(dense)[None, None].float() for dense in pair]
    expected = compute_surface_dice(
        *tensors, [tolerance], include_background=True, spacing=scale, use_subvoxels=True
    )
    assert found == pytest.approx(float(expected), abs=1e-5, nan_ok=True)


@pytest.mark.long
def test_surface_elements_are_those_of_monai() -> None:
    from monai.metrics.utils import get_code_to_measure_table

    for spacing in [(1.0, 1.0), (0.5, 3.0), (1.0, 1.0, 1.0), (0.5, 3.0, 2.0)]:
        table, _ = get_code_to_measure_table(spacing)
        np.testing.assert_allclose(element_sizes(spacing), table.numpy(), rtol=1e-5)


def test_surface_elements_of_a_flat_face_have_its_area() -> None:
    areas = element_sizes((2.0, 3.0, 5.0))
    assert areas[[0b11110000, 0b00001111]].tolist() == [15.0, 15.0]
    assert areas[[0b11001100, 0b00110011]].tolist() == [10.0, 10.0]
    assert areas[[0b10101010, 0b01010101]].tolist() == [6.0, 6.0]
    assert areas[0] == areas[255] == 0.0
    assert np.array_equal(areas, areas[::-1])
    assert (areas[1:-1] > 0).all()


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_surface_dice_weighs_pieces_by_their_size(tolerance: float) -> None:
    """Two squares of which one has a pixel more: worked out by hand on the corners."""
    square = np.zeros((6, 6), bool)
    square[1:3, 1:3] = True
    more = square.copy()
    more[1, 3] = True
    half_diagonal = np.sqrt(0.5)
    # The square has 4 rounded corners and 4 straight pieces, the other shape 6 rounded corners
    # (one of them hollow) and 4 straight pieces. All places are shared but the two at the far
    # side of the added pixel, where only the second shape has surface, two rounded corners.
    total = (4 * half_diagonal + 4) + (6 * half_diagonal + 4)
    apart = 2 * half_diagonal
    found = surface_dice(
        Runs.from_dense(square), Runs.from_dense(more), tolerance=tolerance, spacing=(1.0, 1.0)
    )
    assert found == pytest.approx(1.0 if tolerance else (total - apart) / total)


def test_hd95_is_in_millimetres_where_the_spacing_is_known() -> None:
    truth, guess = np.zeros((2, 9, 9), bool)
    truth[2, 4] = guess[6, 4] = True
    pair = Runs.from_dense(truth), Runs.from_dense(guess)
    assert score_image(*pair, HD95).tolist() == [4.0]
    assert score_image(*pair, HD95, spacing=(0.25, 9.0)).tolist() == [1.0]
    assert not HD95.higher_is_better


def test_a_missing_class_is_the_diagonal_away_and_two_missing_ones_nothing() -> None:
    something, nothing = Runs.full((3, 4)), Runs.empty((3, 4))
    assert score_image(something, nothing, HD95).tolist() == [5.0]
    assert score_image(nothing, nothing, HD95).tolist() == [0.0]
    skipped = Metric(name="hausdorff-95", empty="skip")
    assert np.isnan(score_image(nothing, nothing, skipped)).all()


def test_a_small_hole_is_a_small_hausdorff_distance() -> None:
    """Between outlines it would be the way from the hole to the edge of the disc."""
    whole = np.ones((41, 41), bool)
    pierced = whole.copy()
    pierced[20, 20] = False
    pair = Runs.from_dense(whole), Runs.from_dense(pierced)
    assert hausdorff(*pair, (1.0, 1.0)) == 1.0


@pytest.mark.parametrize(("empty", "score"), [("one", 1.0), ("zero", 0.0), ("skip", np.nan)])
def test_surface_dice_of_two_empty_masks_follows_the_rule(empty: str, score: float) -> None:
    metric = Metric(name="surface-dice", tolerance=1.0, empty=empty)
    nothing = Runs.empty((2, 3, 3))
    np.testing.assert_array_equal(score_image(nothing, nothing, metric), [score, score])


def slices_of(volume: np.ndarray) -> list[Runs]:
    """A dense volume (K, slices, H, W) as its slices (K, H, W)."""
    return [Runs.from_dense(volume[:, index]) for index in range(volume.shape[1])]


def test_vessels_are_scored_as_one_volume() -> None:
    """A vessel shifted by a slice has no surface element in common but those of its sides."""
    volume = np.zeros((1, 6, 5, 5), bool)
    volume[0, 1:3, 2, 2] = True
    moved = np.roll(volume, 1, axis=1)
    truth = slices_of(volume)
    assert evaluate_volumes([truth], [truth], VESSELS) == 1.0
    apart = evaluate_volumes([truth], [slices_of(np.roll(volume, 3, axis=1))], VESSELS)
    assert apart == 0.0
    whole = surface_dice(
        Runs.from_dense(volume[0]), Runs.from_dense(moved[0]), tolerance=0, spacing=(1, 1, 1)
    )
    assert evaluate_volumes([truth], [slices_of(moved)], VESSELS) == pytest.approx(whole)
    assert 0 < whole < 1


def test_gi_tract_mixes_dice_of_slices_and_hausdorff_of_volumes() -> None:
    volume = np.zeros((2, 3, 4, 12), bool)
    volume[0, 1, 1, 2:6] = True
    guess = np.roll(volume, 2, axis=3)
    truth, prediction = slices_of(volume), slices_of(guess)
    # Class 0: 4 pixels moved by 2 in a volume with a diagonal of 13. Class 1 is empty on both
    # sides: its Dice is skipped in every slice, its distance 0.
    assert score_volume(truth, prediction, GI_TRACT).tolist() == [1 - 2 / 13, 1.0]
    assert evaluate_volumes([truth], [prediction], GI_TRACT) == pytest.approx(
        0.4 * 0.5 + 0.6 * (1 - 1 / 13)
    )


def test_a_class_missing_in_the_prediction_is_as_far_as_can_be() -> None:
    volume = np.ones((1, 2, 3, 3), bool)
    score = score_volume(slices_of(volume), slices_of(~volume), GI_TRACT)
    assert score.tolist() == [0.0]


def test_slices_must_pair_up() -> None:
    slices = slices_of(np.ones((1, 3, 2, 2), bool))
    with pytest.raises(InputFault, match="3 true and 2 predicted"):
        score_volume(slices, slices[:2], VESSELS)
    with pytest.raises(InputFault, match="evaluate_volumes"):
        score_image(slices[0], slices[0], VESSELS)
