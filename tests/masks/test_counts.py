"""Counts of pixels outside and inside in turn, and COCO's compressed text of them."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.counts import counts_from_runs, counts_from_text, runs_from_counts


def counts_of(mask, order):
    """Counts of a bool mask, pixel by pixel."""
    counts = [] if not mask.flatten(order)[0] else [0]
    return counts + [len(list(run)) for _, run in groupby(mask.flatten(order).tolist())]


def text_of(counts):
    """The compressed text, written number by number as the format's documentation has it."""
    signs = []
    for place, count in enumerate(counts):
        left = count - (counts[place - 2] if place > 2 else 0)
        more = True
        while more:
            low, left = left & 31, left >> 5  # of a negative number towards minus infinity
            more = left != (-1 if low & 16 else 0)
            signs.append(chr(48 + low + 32 * more))
    return "".join(signs)


def masks():
    sides = st.integers(1, 12)
    return st.builds(
        lambda h, w, seed, share: np.random.default_rng(seed).random((h, w)) < share,
        sides,
        sides,
        st.integers(0, 10_000),
        st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
    )


@given(mask=masks(), order=st.sampled_from([("C", "rows"), ("F", "columns")]))
def test_counts_are_the_mask_that_they_were_made_of(mask, order):
    layout, name = order
    counts, runs = counts_of(mask, layout), Runs.from_dense(mask)
    assert runs_from_counts(counts, mask.shape, name) == runs
    assert counts_from_runs(runs, name) == counts


@given(counts=st.lists(st.integers(0, 2**31), max_size=40))
def test_a_compressed_text_gives_its_counts_back(counts):
    assert counts_from_text(text_of(counts)).tolist() == counts


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", []),
        ("0", [0]),
        ("?", [15]),
        ("`0", [16]),
        ("o0", [31]),
        ("P1", [32]),
        ("Q1", [33]),
        ("061", [0, 6, 1]),
        ("231N", [2, 3, 1, 1]),
    ],
)
def test_texts_worked_out_by_hand(text, counts):
    """ "0" is the sign of 0. From 16 on a number needs a second sign, for the fifth bit is its sign;
    the fourth number of the last is 1 - 3 = -2, which is 30 in five bits: "N".
    """
    assert counts_from_text(text).tolist() == counts
    assert text_of(counts) == text


@pytest.mark.parametrize(("line", "counts"), [("0011101", [2, 3, 1, 1]), ("1111110", [0, 6, 1])])
def test_the_examples_of_the_formats_documentation(line, counts):
    column = np.array([[sign == "1"] for sign in line])
    assert runs_from_counts(counts, column.shape, "columns") == Runs.from_dense(column)


def test_counts_of_no_pixel_keep_runs_apart_and_join_them():
    assert runs_from_counts([1, 2, 0, 3, 0], (2, 3), "rows").to_dense().tolist() == [
        [False, True, True],
        [True, True, True],
    ]
    assert not len(runs_from_counts([6], (2, 3), "rows"))
    assert not len(runs_from_counts([2, 0, 4, 0], (2, 3), "columns"))
    assert runs_from_counts([0, 6], (2, 3), "columns") == Runs.full((2, 3))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], "add up to 3 pixels; 2 × 3 = 6 are expected"),
        ([], "add up to 0 pixels"),
        ([7, -1], "the counts hold -1; each must be ≥ 0"),
        ([2**62, 2**62, 2**62, 2**62, 6], "the counts hold 4611686018427387904"),
        ([2**70], "not a list of whole numbers"),
        ([1.5, 4.5], "not a list of whole numbers"),
        (["6"], "not a list of whole numbers"),
        ([[6]], "not a list of whole numbers"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, message):
    with pytest.raises(InputFault, match=message):
        runs_from_counts(counts, (2, 3), "rows")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2", "holds other signs"),
        ("1é", "holds other signs"),
        ("1p", "holds other signs"),
        ("12P", "end in the midst of a number"),
        ("PPPPPPPPP0", "more than 8 signs"),
    ],
)
def test_a_compressed_text_that_is_none_or_was_cut_is_refused(text, message):
    with pytest.raises(InputFault, match=message):
        counts_from_text(text)
