"""Which pairs of image and class are sure enough, and that no kind of mask vanishes by it."""

import numpy as np
import pandas as pd
import pytest

from competition.errors import InputFault
from competition.pseudo.selection import Selection, found_classes, sure_images

COLUMNS = ["teacher", "image", "class", "confidence", "area"]


def pairs_of(*strata, teacher="fold-0", name="a"):
    """Pairs of one class; strata: their confidences and their area."""
    rows = [
        (teacher, f"{place}-{number}", name, sure, area)
        for place, (confidences, area) in enumerate(strata)
        for number, sure in enumerate(confidences)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_a_least_confidence_leaves_out_what_is_below_it():
    pairs = pairs_of(([0.2, 0.5, 0.8], 10))
    assert Selection(least=0.5, share=1.0).sure(pairs).tolist() == [False, True, True]


def test_the_share_is_of_empty_small_and_large_masks_apart():
    """By confidence alone the empty ones would be the half that is kept."""
    empty, small, large = np.linspace(0.9, 1, 10), np.linspace(0.1, 0.2, 10), np.full(10, 0.5)
    pairs = pairs_of((empty, 0), (small, 10), (large, 1000))
    sure = Selection(share=0.5).sure(pairs)
    assert pairs[sure].groupby("area").size().tolist() == [5, 5, 5]
    assert pairs["confidence"][sure & (pairs["area"] == 10)].min() > 0.15


def test_every_stratum_keeps_its_surest_however_small_the_share():
    pairs = pairs_of(([0.9, 0.8], 0), ([0.1, 0.2], 5), ([0.5], 900))
    assert Selection(share=0.01).sure(pairs).tolist() == [True, False, False, True, True]


def test_teachers_and_classes_are_ranked_apart():
    pairs = pd.concat(
        [
            pairs_of(([0.9, 0.8], 10)),
            pairs_of(([0.3, 0.2], 10), teacher="fold-1"),
            pairs_of(([0.01, 0.02], 10), name="b"),
        ],
        ignore_index=True,
    )
    sure = Selection(share=0.5).sure(pairs)
    assert sure.tolist() == [True, False, True, False, False, True]


def two_classes(sure):
    """Pairs of two images with four classes each, and which are sure."""
    rows = [("t", image, name, 0.5, 10) for image in ("i", "j") for name in "abcd"]
    return pd.DataFrame(rows, columns=COLUMNS), np.array(sure, bool)


def test_an_image_is_in_the_round_where_half_of_its_classes_are_sure():
    pairs, sure = two_classes([1, 1, 0, 0, 1, 0, 0, 0])
    assert sure_images(pairs, sure).tolist() == [True] * 4 + [False] * 4


LABELLED = {"a": 0.8, "b": 0.05, "c": 0.04}


def vanished():
    """Class b has no mask of teacher fold-1, and c, which is rare, none at all."""
    rows = [
        (teacher, image, name, 0.9, {"a": 10, "b": 10 * (teacher == "fold-0"), "c": 0}[name])
        for teacher in ("fold-0", "fold-1")
        for image in ("i", "j")
        for name in LABELLED
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_a_common_class_that_vanishes_stops_the_round_with_a_sentence():
    pairs = vanished()
    with pytest.raises(InputFault) as raised:
        found_classes(pairs, np.ones(len(pairs), bool), LABELLED, allow_missing=False)
    told = str(raised.value)
    assert "class 'b' is in 5% of the labelled images and in none of the round of teacher" in told
    assert "'fold-1'" in told and "'fold-0'" not in told and "--allow-missing" in told
    assert "'c'" not in told


def test_a_class_is_missing_too_where_only_unsure_masks_show_it():
    pairs = vanished()
    unsure = ((pairs["class"] != "a") | (pairs["teacher"] != "fold-0")).to_numpy()
    with pytest.raises(InputFault, match=r"class 'a' is in 80% .* teacher 'fold-0'"):
        found_classes(pairs, unsure, LABELLED, allow_missing=False)


def test_with_leave_the_class_that_vanished_counts_for_nothing_of_that_teacher():
    pairs = vanished()
    found = found_classes(pairs, np.ones(len(pairs), bool), LABELLED, allow_missing=True)
    lost = pairs[~found]
    assert set(zip(lost["teacher"], lost["class"], strict=True)) == {("fold-1", "b")}
    assert len(lost) == 2
