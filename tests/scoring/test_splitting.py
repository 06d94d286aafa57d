"""Predicted masks become objects as the competition file says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage
from scipy.spatial.distance import cdist

from competition.masks.morphology import components
from competition.masks.runs import Runs
from competition.scoring.metrics import Metric, score_image
from competition.scoring.objects import ObjectRule, objects_of

CUT = ObjectRule(radius=1)


def two_discs(gap: int) -> np.ndarray:
    rows, columns = np.mgrid[:21, :40]
    discs = [np.hypot(rows - 10, columns - middle) < 8 for middle in (9, 9 + gap)]
    return discs[0] | discs[1]


def test_touching_discs_are_two_objects_where_the_rule_cuts_necks():
    mask = two_discs(17)
    mask[10, 15:20] = True
    runs = Runs.from_dense(mask)
    assert len(objects_of(runs, ObjectRule())) == 1
    halves = objects_of(runs, CUT)
    assert len(halves) == 2
    assert halves.to_classes(1) == Runs.from_dense(mask[None])
    assert halves.runs.bounding_boxes()[:, 1].tolist() == [2, 18]


def test_a_wide_neck_holds_and_a_thin_part_without_a_core_stays_whole():
    assert len(objects_of(Runs.from_dense(two_discs(8)), CUT)) == 1
    line = np.zeros((9, 9), bool)
    line[4] = True
    assert objects_of(Runs.from_dense(line), CUT) == components(Runs.from_dense(line))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.sampled_from([4, 8]))
@settings(max_examples=60, deadline=None)
def test_every_pixel_belongs_to_a_nearest_core_of_its_part(seed, radius, connectivity):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(2, 26, 30)), (0, 2, 2))
    dense = noise > 0.02
    runs = Runs.from_dense(dense)
    found = objects_of(runs, ObjectRule(radius=radius, connectivity=connectivity))
    assert found.to_classes(2) == runs
    assert found.runs.area().sum() == dense.sum()
    structure = np.ones((3, 3)) if connectivity == 8 else None
    square = np.ones((2 * radius + 1, 2 * radius + 1))
    drawn = found.runs.to_dense()
    for kind, plane in enumerate(dense):
        parts, count = ndimage.label(plane, structure)
        expected = 0
        for number in range(1, count + 1):
            part = parts == number
            core = ndimage.binary_erosion(part, square, border_value=1)
            cores, several = ndimage.label(core, structure)
            expected += max(several, 1)
            if several > 1:
                own = [mask for mask in drawn[found.classes == kind] if (mask & part).any()]
                assert len(own) == several
                for mask in own:
                    mine = np.unique(cores[mask & core])
                    assert len(mine) == 1
                    there = np.argwhere(mask)
                    nearest = cdist(there, np.argwhere(core)).min(axis=1)
                    own_core = cdist(there, np.argwhere(cores == mine[0])).min(axis=1)
                    assert np.allclose(nearest, own_core)
        assert (found.classes == kind).sum() == expected


def test_objects_are_in_order_of_class_and_first_pixel():
    dense = np.zeros((2, 21, 60), bool)
    dense[0, :, 20:] = two_discs(17)
    dense[0, 10, 35:42] = True
    dense[0, 1, :5] = dense[1, 3, 3] = True
    found = objects_of(Runs.from_dense(dense), CUT)
    assert found.classes.tolist() == [0, 0, 0, 1]
    firsts = [int(mask.starts[0]) for mask in found.runs]
    assert firsts[:3] == sorted(firsts[:3])


def test_small_objects_are_left_out_and_corners_join_only_where_eight_is_asked_for():
    runs = Runs.from_dense(np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 1]]))
    assert objects_of(runs, ObjectRule()).runs.area().tolist() == [2, 4]
    assert objects_of(runs, ObjectRule(connectivity=4)).runs.area().tolist() == [1, 4, 1]
    assert objects_of(runs, ObjectRule(minimum_area=3)).runs.area().tolist() == [4]


def test_the_rule_is_for_the_prediction_and_its_connectivity_for_both():
    truth = Runs.from_dense(two_discs(17)[None])
    touching = truth.to_dense().copy()
    touching[0, 10, 15:20] = True
    metric = Metric(name="object-precision")
    prediction = Runs.from_dense(touching)
    assert score_image(truth, prediction, metric)[0] < 0.5
    assert score_image(truth, prediction, metric, objects=CUT)[0] > 0.9
    corner = Runs.from_dense(np.eye(2)[None])
    assert score_image(corner, corner, metric, objects=ObjectRule(connectivity=4)).tolist() == [1.0]


@pytest.mark.parametrize("table", [{"connectivity": 6}, {"radius": -1}, {"neck": 2}])
def test_a_rule_without_meaning_is_refused(table):
    with pytest.raises(ValidationError):
        ObjectRule(**table)
