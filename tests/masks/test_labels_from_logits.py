"""Exclusive classes from logits against the argmax of the dense float64 formula."""

import numpy as np
import pytest
import torch
from bilinear_reference import allowance, field, fields, regions, resized
from bilinear_reference import sizes as any_size
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import argmax_from_logits as exclusive
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.runs import Runs


def check_against_argmax(data: st.DataObject) -> None:
    logits = data.draw(fields(classes=(2, 5)))
    logits = logits if data.draw(st.booleans()) else logits[::-1] + logits
    size, region = data.draw(any_size), data.draw(regions(logits.shape[1:]))
    background = data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exclusive, "NOISY_WINNERS", data.draw(st.sampled_from([-1.0, 0.1, 2.0])))
        found = label_runs_from_logits(logits, size, background=background, region=region)
    found = Runs(found.starts.copy(), found.stops.copy(), found.shape)
    values = resized(logits, size, region)
    expected = values.argmax(0) == np.arange(len(logits))[:, None, None]
    second, first = np.sort(values, axis=0)[-2:]
    clear = first - second > allowance(logits)
    wrong = (found.to_dense() != expected[int(background) :]).any(0)
    assert not (wrong & clear).any()
    if not background:
        assert found.area().sum() == clear.size


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_labels_equal_the_argmax_of_the_dense_formula(data):
    check_against_argmax(data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=15_000, deadline=None)
def test_labels_equal_the_argmax_of_the_dense_formula_many_times(data):
    check_against_argmax(data)


@pytest.mark.parametrize("noisy", [-1.0, 2.0])
@pytest.mark.parametrize("kind", ["normal", "integers", "signs", "zeros"])
def test_ties_go_to_the_lowest_class_as_in_torch(kind, noisy, monkeypatch):
    """At scales of a power of two every value is exact, so ties are exact as well."""
    monkeypatch.setattr(exclusive, "NOISY_WINNERS", noisy)
    logits = field(kind, (4, 8, 6), 3)
    if kind == "normal":
        logits[2] = logits[0]
    for size in [(8, 6), (32, 24), (4, 3), (64, 12)]:
        dense = torch.nn.functional.interpolate(
            torch.from_numpy(logits).double()[None], size, mode="bilinear", align_corners=False
        )[0]
        expected = dense.argmax(0) == torch.arange(4)[:, None, None]
        found = label_runs_from_logits(logits, size, background=False)
        assert np.array_equal(found.to_dense(), expected.numpy())


def test_a_class_that_wins_at_no_corner_may_win_between_them():
    logits = np.array([[[4.0, 0.0]], [[0.0, 4.0]], [[3.0, 3.0]]], np.float32)
    winners = label_runs_from_logits(logits, (1, 8), background=False).to_dense().argmax(axis=0)
    assert winners.tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


def test_the_background_is_left_out_and_the_other_classes_move_up():
    logits = np.array([[[4.0, 0.0]], [[0.0, 4.0]]], np.float32)
    assert label_runs_from_logits(logits, (1, 4), background=True) == Runs.from_dense(
        np.array([[[0, 0, 1, 1]]])
    )


def test_codes_with_a_scale_of_their_own_for_each_class_are_compared_as_logits():
    codes = np.array([[[200, 10]], [[100, 100]]], np.uint8)
    scale, offset = np.array([0.01, 0.03]), np.array([0.0, -1.0])
    logits = codes * scale[:, None, None] + offset[:, None, None]
    coded = label_runs_from_logits(codes, (3, 9), background=False, scale=scale, offset=offset)
    assert coded == label_runs_from_logits(logits, (3, 9), background=False)
    same = label_runs_from_logits(codes, (3, 9), background=False, scale=0.1, offset=-3.0)
    assert same == label_runs_from_logits(codes / 10 - 3, (3, 9), background=False)


def test_many_cells_are_computed_in_parts_without_a_seam(monkeypatch):
    logits = np.concatenate([field("blob", (1, 20, 30), 0), field("stripes", (2, 20, 30), 2)])
    whole = label_runs_from_logits(logits, (77, 90), background=False)
    monkeypatch.setattr(exclusive, "BLOCK", 40)
    assert label_runs_from_logits(logits, (77, 90), background=False) == whole


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_label_is_never_made_of_a_logit_that_is_not_finite(value):
    logits = np.zeros((3, 4, 4), np.float32)
    logits[2, 1, 1] = value
    with pytest.raises(InputFault, match="class 2"):
        label_runs_from_logits(logits, (8, 8), background=True)


def test_a_background_alone_is_refused():
    with pytest.raises(InputFault, match="nothing is left"):
        label_runs_from_logits(np.zeros((1, 4, 4), np.float32), (8, 8), background=True)
