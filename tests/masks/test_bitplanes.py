"""Bit planes: every class in its bit, resized as the runs are, unpacked on any device."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import LONG, sides, stacks

from competition.errors import InputFault
from competition.masks import Runs, planes_from_runs, unpack
from competition.masks.geometry import resize_area, resize_nearest


def packed(dense: np.ndarray) -> np.ndarray:
    planes = np.zeros((-(-dense.shape[0] // 8), *dense.shape[1:]), np.uint8)
    for index, mask in enumerate(dense):
        planes[index // 8] += mask.astype(np.uint8) << index % 8
    return planes


def planes_hold_every_class_in_its_bit(dense: np.ndarray, size: tuple[int, int]) -> None:
    classes, runs = dense.shape[0], Runs.from_dense(dense)
    planes = planes_from_runs(runs)
    assert planes.dtype == np.uint8 and np.array_equal(planes, packed(dense))
    assert np.array_equal(unpack(planes, classes), dense)
    batch = np.stack([planes, planes[:, ::-1]])
    assert np.array_equal(unpack(batch, classes), np.stack([dense, dense[:, ::-1]]))
    tensor = unpack(torch.from_numpy(batch), classes)
    assert tensor.dtype == torch.bool and np.array_equal(tensor.numpy(), unpack(batch, classes))
    for mode, resize in (("area", resize_area), ("nearest", resize_nearest)):
        resized = planes_from_runs(runs, size, mode)
        assert np.array_equal(resized, packed(resize(runs, size).to_dense()))


@given(stacks(classes=19, largest=8), st.tuples(sides(10), sides(10)))
@settings(max_examples=150, deadline=None)
def test_planes_hold_every_class_in_its_bit(dense, size):
    planes_hold_every_class_in_its_bit(dense, size)


@pytest.mark.long
@given(stacks(classes=19, largest=8), st.tuples(sides(10), sides(10)))
@settings(max_examples=LONG, deadline=None)
def test_planes_hold_every_class_in_its_bit_at_length(dense, size):
    planes_hold_every_class_in_its_bit(dense, size)


def test_a_single_mask_is_one_plane():
    runs = Runs.from_dense(np.eye(3))
    assert np.array_equal(planes_from_runs(runs)[0], np.eye(3))


def test_unpacking_more_classes_than_there_are_planes_is_refused():
    for planes in (np.zeros((1, 2, 2), np.uint8), torch.zeros((2, 1, 2, 2), dtype=torch.uint8)):
        with pytest.raises(InputFault, match="9 classes"):
            unpack(planes, 9)


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(InputFault, match="'area' or 'nearest'"):
        planes_from_runs(Runs.empty((2, 2)), (1, 1), "linear")
