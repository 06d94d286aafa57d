"""Run-length text: what is written, what is read, and what is refused with which words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import stacks
from pydantic import BaseModel, ConfigDict, ValidationError

from competition.errors import InputFault
from competition.masks import rle
from competition.masks.geometry import transpose
from competition.masks.rle import decode, decode_rows, encode, encode_rows, row_faults
from competition.masks.rle_formats import FORMATS, RleFormat
from competition.masks.rle_parsing import first_fault
from competition.masks.runs import Runs

ROWS = RleFormat("rows")
COLUMNS = RleFormat("columns")
GAPS = FORMATS["pneumothorax"]

formats = st.builds(
    RleFormat,
    order=st.sampled_from(["rows", "columns"]),
    base=st.sampled_from([0, 1]),
    relative=st.booleans(),
    empty=st.sampled_from(["", "-", "-1", "1 0"]),
)
masks = stacks(classes=1, largest=9).map(lambda stack: stack[0])


def notebook_encode(mask: np.ndarray, order: str) -> str:
    """The usual one-based encoder of a mask (H, W), for comparison."""
    pixels = np.concatenate([[0], mask.flatten(order="F" if order == "columns" else "C"), [0]])
    borders = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    borders[1::2] -= borders[0::2]
    return " ".join(str(number) for number in borders)


@given(stacks(), formats)
def test_every_mask_comes_back_from_its_text(dense: np.ndarray, form: RleFormat) -> None:
    stack = Runs.from_dense(dense)
    texts = encode(stack, form)
    assert decode(texts, stack.shape, form) == stack
    assert [decode(text, dense.shape[1:], form) for text in texts] == list(stack)
    assert [encode(mask, form) for mask in stack] == texts


@pytest.mark.long
@settings(max_examples=70_000, deadline=None)
@given(stacks(), formats)
def test_every_mask_comes_back_from_its_text_at_length(dense: np.ndarray, form: RleFormat) -> None:
    stack = Runs.from_dense(dense)
    assert decode(encode(stack, form), stack.shape, form) == stack


@given(masks, st.sampled_from(["rows", "columns"]))
def test_text_is_that_of_the_usual_encoder(dense: np.ndarray, order: str) -> None:
    assert encode(Runs.from_dense(dense), RleFormat(order)) == notebook_encode(dense, order)


@given(stacks())
def test_transposing_runs_is_transposing_pixels(dense: np.ndarray) -> None:
    assert transpose(Runs.from_dense(dense)) == Runs.from_dense(dense.swapaxes(1, 2))


def test_the_last_pixel_is_written() -> None:
    """A famous encoder never writes a run still open at the end, others zero both ends."""
    corners = np.zeros((3, 4), bool)
    corners[0, 0] = corners[-1, -1] = True
    for order in ("rows", "columns"):
        assert encode(Runs.from_dense(corners), RleFormat(order)) == "1 1 12 1"
    assert encode(Runs.full((3, 4)), COLUMNS) == "1 12"


def test_a_column_run_goes_on_from_the_foot_of_one_column_to_the_top_of_the_next() -> None:
    dense = np.array([[0, 1], [1, 0]])
    assert encode(Runs.from_dense(dense), COLUMNS) == "2 2"


def test_offsets_beyond_32_bits_are_read_and_written() -> None:
    shape = (70_000, 70_000)
    text = "4899999990 11"
    mask = decode(text, shape, ROWS)
    assert mask.stops.tolist() == [4_900_000_000]
    assert encode(mask, ROWS) == text
    across = decode(text, shape, COLUMNS)
    assert encode(across, COLUMNS) == text
    assert across.starts.tolist() == [(69_989 + i) * 70_000 + 69_999 for i in range(11)]


def test_a_stack_too_large_for_one_pass_is_transposed_class_by_class() -> None:
    one = Runs(np.array([5]), np.array([9]), (3_000_000, 2_000_000))
    stack = Runs.stack([one, one, Runs.empty(one.shape)])
    assert transpose(transpose(stack)) == stack


def test_the_first_gap_of_relative_text_may_be_zero() -> None:
    mask = decode("0 2 1 1", (2, 2), RleFormat("rows", relative=True))
    assert mask.to_dense().tolist() == [[True, True], [False, True]]


def test_relative_text_has_no_base() -> None:
    mask = Runs.from_dense(np.array([[0, 1, 1, 0, 1]]))
    for base in (0, 1):
        form = RleFormat("rows", base=base, relative=True)
        assert encode(mask, form) == "1 2 1 1"
        assert decode("1 2 1 1", (1, 5), form) == mask


@pytest.mark.parametrize("text", [" 2 1  4 2 ", "2 1 4 1 5 1"])
def test_extra_spaces_and_touching_runs_are_read(text: str) -> None:
    assert decode(text, (2, 3), ROWS) == Runs(np.array([1, 3]), np.array([2, 5]), (2, 3))


@pytest.mark.parametrize("token", ["", "-", "-1", "1 0"])
def test_the_empty_token_of_the_format_is_read_and_written(token: str) -> None:
    form = RleFormat("columns", empty=token)
    assert encode(Runs.empty((2, 3)), form) == token
    for text in (token, f" {token} "):
        assert len(decode(text, (2, 3), form)) == 0


@pytest.mark.parametrize("token", ["-", "-1", "1 0", ""])
def test_the_empty_token_of_another_format_is_refused(token: str) -> None:
    with pytest.raises(InputFault):
        decode(token, (2, 3), RleFormat("rows", empty="none"))


@pytest.mark.parametrize("token", ["1 1", " -", "a\nb", "-\u2028", 3])
def test_an_empty_token_that_is_a_mask_or_no_token_is_refused(token: object) -> None:
    with pytest.raises(InputFault, match="empty mask"):
        RleFormat("rows", empty=token)


def test_a_format_refuses_what_it_does_not_know() -> None:
    for wrong in ({"order": "F"}, {"base": True}, {"relative": 1}, {"rows": "class"}):
        with pytest.raises(InputFault, match=next(iter(wrong))):
            RleFormat(**{"order": "rows", **wrong})


def test_a_format_inside_a_settings_file_refuses_a_mistyped_key() -> None:
    class File(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        format: RleFormat

    assert File(format={"order": "columns", "base": 0}).format == RleFormat("columns", base=0)
    for wrong in ({"order": "columns", "bass": 0}, {"order": "columns", "empty": "3 4"}):
        with pytest.raises(ValidationError, match="bass|empty"):
            File(format=wrong)


# Illegal texts for a mask of 3 × 4 pixels, and what the message must hold.
ILLEGAL = [
    ("1 2 3", ["3 numbers", "'3'"]),
    ("5", ["1 numbers", "'5'"]),
    ("0 2", ["pair 1 '0 2'", "1 to 12"]),
    ("1 0", ["pair 1 '1 0'", "1 to 12"]),
    ("3 0", ["pair 1 '3 0'", "1 to 10"]),
    ("3 -2", ["token 2", "'-2'"]),
    ("-3 2", ["token 1", "'-3'"]),
    ("+3 2", ["token 1", "'+3'"]),
    ("13 1", ["pair 1 '13 1'", "1 to 12"]),
    ("1 1 12 2", ["pair 2 '12 2'", "1 to 1"]),
    ("4 9 1 1", ["pair 2 '1 1'", "no number"]),
    ("1 3 3 1", ["pair 2 '3 1'", "4 to 12"]),
    ("5 2 1 2", ["pair 2 '1 2'", "7 to 12", "relative"]),
    ("1 99999999999999999999", ["token 2", "20 digits"]),
    ("9223372036854775807 9223372036854775807", ["19 digits"]),
    ("999999999999999999 999999999999999999", ["pair 1", "1 to 12"]),
    ("1\t2", ["token 1", r"'1\t2'"]),
    ("1,2", ["'1,2'"]),
    ("[1 2]", ["'[1'"]),
    ("1_0 2", ["'1_0'"]),
    ("1.0 2", ["'1.0'"]),
    ("1e0 2", ["'1e0'"]),
    ("0x1 2", ["'0x1'"]),
    ("１ 2", ["'１'"]),
    ("² 2", ["'²'"]),
    ("1\u00a02", ["token 1"]),
    ("1 2\n", ["token 2"]),
    ("1\n2", ["token 1"]),
    ("nan", ["'nan'"]),
    ("=1 2", ["'=1'"]),
    ("-1", ["'-1'"]),
    ("\ud800 2", ["token 1"]),
    (None, ["None", "dtype=str"]),
    (float("nan"), ["nan", "keep_default_na"]),
    (7, ["7", "dtype=str"]),
]


@pytest.mark.parametrize(("text", "words"), ILLEGAL, ids=[repr(text) for text, _ in ILLEGAL])
def test_an_illegal_text_is_refused_with_the_pair_and_the_legal_range(
    text: object, words: list[str]
) -> None:
    with pytest.raises(InputFault) as caught:
        decode(text, (3, 4), COLUMNS)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3", ["3 numbers"]),
        ("12 1", ["pair 1 '12 1'", "pixel 12 of 12", "0 to 11"]),
        ("0 2 3 8", ["pair 2 '3 8'", "1 to 7"]),
        ("0 12 0 1", ["pair 2 '0 1'", "no number"]),
        ("2 0", ["pair 1 '2 0'", "1 to 10"]),
        ("", ["'-1'"]),
    ],
)
def test_an_illegal_relative_text_is_refused_likewise(text: str, words: list[str]) -> None:
    with pytest.raises(InputFault) as caught:
        decode(text, (3, 4), GAPS)
    for word in words:
        assert word in str(caught.value)


def test_the_right_number_of_texts_is_asked_for() -> None:
    for texts in (["1 1"], "1 1"):
        with pytest.raises(InputFault, match="2 texts"):
            decode(texts, (2, 3, 4), ROWS)


tokens = st.one_of(
    st.integers(0, 14).map(str), st.sampled_from(["", "-1", "007", "9" * 18, "9" * 19, "x", "٣"])
)
texts = st.lists(tokens, max_size=9).map(" ".join) | st.text("0123 -\n\t９", max_size=9)


def agree(columns: list[object], form: RleFormat) -> None:
    """The fast reading of all rows and the worded check of one row accept the same texts."""
    expected = [first_fault(text, 12, form) for text in columns]
    found = row_faults(columns, (3, 4), form, label=lambda row: f"{row}")
    assert found == [f"{row}: {fault}" for row, fault in enumerate(expected) if fault]


@given(st.lists(texts | st.none(), max_size=8), formats)
def test_the_fast_and_the_worded_check_agree(columns: list[object], form: RleFormat) -> None:
    agree(columns, form)


@pytest.mark.long
@settings(max_examples=30_000, deadline=None)
@given(st.lists(texts | st.none(), max_size=8), formats)
def test_the_fast_and_the_worded_check_agree_at_length(
    columns: list[object], form: RleFormat
) -> None:
    agree(columns, form)


@given(st.lists(masks, max_size=8), formats, st.integers(1, 5))
def test_columns_of_masks_of_many_sizes_come_back(
    dense: list[np.ndarray], form: RleFormat, chunk_rows: int
) -> None:
    stack = [Runs.from_dense(mask) for mask in dense]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rle, "CHUNK_ROWS", chunk_rows)
        column = encode_rows(stack, form)
        assert column == [encode(mask, form) for mask in stack]
        assert decode_rows(column, [mask.shape for mask in stack], form) == stack


def test_faulty_rows_of_a_column_are_listed_together_under_their_labels() -> None:
    column = ["1 1", "5 9", "", "1 2 3"] + ["0 1"] * 20
    with pytest.raises(InputFault) as caught:
        decode_rows(column, (2, 3), ROWS, label=lambda row: f"train.csv line {row + 2}")
    lines = str(caught.value).splitlines()
    assert lines[0] == "train.csv line 3: pair 1 '5 9': the length of this run is 1 to 2"
    assert lines[1].startswith("train.csv line 5: 3 numbers")
    assert lines[-1] == "… and 12 more"


def test_faults_are_found_behind_the_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rle, "CHUNK_ROWS", 2)
    assert row_faults(["1 1"] * 5 + ["9 9"], (2, 3), ROWS)[0].startswith("text 6: pair 1 '9 9'")


def test_texts_and_sizes_must_pair_up() -> None:
    with pytest.raises(InputFault, match="3 texts and 2 mask sizes"):
        decode_rows(["", "", ""], [(2, 3), (2, 3)], ROWS)


def test_no_masks_are_no_texts() -> None:
    for form in (ROWS, GAPS):
        assert encode(Runs.empty((0, 2, 3)), form) == []
        assert decode([], (0, 2, 3), form) == Runs.empty((0, 2, 3))
        assert encode_rows([], form) == decode_rows([], (2, 3), form) == []


def test_every_competition_has_its_convention() -> None:
    mask = Runs.from_dense(np.array([[1, 1, 0], [0, 1, 0]]))
    rows, columns, gaps = "1 2 5 1", "1 1 3 2", "0 1 1 2"
    written = {name: encode(mask, form) for name, form in FORMATS.items()}
    by_row = {"hand-bone", "gi-tract", "ink", "vessels", "cells", "cars", "folders"}
    assert {name for name, text in written.items() if text == rows} == by_row
    assert {name for name, text in written.items() if text == gaps} == {"pneumothorax"}
    assert {name for name, text in written.items() if text == columns} == (
        FORMATS.keys() - by_row - {"pneumothorax"}
    )
