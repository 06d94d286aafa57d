"""Runs from logits against the dense float64 formula and against torch."""

import numpy as np
import pytest
import torch
from bilinear_reference import allowance, differing, field, fields, probabilities, regions, resized
from bilinear_reference import sizes as any_size
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import from_logits, isoline_cells
from competition.masks.from_logits import runs_at_thresholds, runs_from_logits
from competition.masks.runs import Runs

SHARES = st.sampled_from([-1.0, isoline_cells.NOISY_CELLS, 2.0])
"""Share of undecided cells that counts as noise: never sparse, as shipped, never dense."""

AT_ONCE = st.sampled_from([1, from_logits.NODES_AT_ONCE])
"""Nodes looked at together: a plane at a time, as large ones are, or all of the small ones here."""


def canonical(runs: Runs) -> Runs:
    """The same runs, passed through the constructor that checks them."""
    return Runs(runs.starts.copy(), runs.stops.copy(), runs.shape)


def check_against_dense(data: st.DataObject) -> None:
    logits = data.draw(fields())
    size = data.draw(any_size)
    region = data.draw(regions(logits.shape[1:]))
    rows = st.lists(probabilities, min_size=len(logits), max_size=len(logits))
    thresholds = data.draw(st.lists(rows, min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isoline_cells, "NOISY_CELLS", data.draw(SHARES))
        patch.setattr(from_logits, "NODES_AT_ONCE", data.draw(AT_ONCE))
        found = runs_at_thresholds(logits, size, thresholds, region=region)
    values = resized(logits, size, region)
    for probability, runs in zip(thresholds, found, strict=True):
        with np.errstate(divide="ignore"):
            level = np.log(probability) - np.log1p(-np.array(probability))
        finite = np.where(np.isfinite(level), level, 0.0)
        allowed = allowance(logits, finite)
        dense = canonical(runs).to_dense()
        assert differing(dense, values, level[:, None, None], allowed) == 0


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_runs_equal_the_dense_float64_formula(data):
    check_against_dense(data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=60_000, deadline=None)
def test_runs_equal_the_dense_float64_formula_many_times(data):
    check_against_dense(data)


def check_codes(data: st.DataObject) -> None:
    classes = data.draw(st.integers(1, 3))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    shape = (classes, *data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8))))
    span = data.draw(st.sampled_from([2, 256]))
    kind = data.draw(st.sampled_from([np.uint8, np.uint16]))
    codes = (126 + generator.integers(0, span, shape)).astype(kind)
    scale = generator.uniform(0.01, 0.1, classes)
    offset = -scale * generator.integers(120, 136, classes)
    size = data.draw(any_size)
    thresholds = data.draw(st.lists(probabilities, min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_logits, "NODES_AT_ONCE", data.draw(AT_ONCE))
        found = runs_at_thresholds(codes, size, thresholds, scale=scale, offset=offset)
    values = resized(codes, size)
    for probability, runs in zip(thresholds, found, strict=True):
        with np.errstate(divide="ignore"):
            level = (np.log(probability) - np.log1p(-probability) - offset) / scale
        dense = canonical(runs).to_dense()
        assert differing(dense, values, level[:, None, None], allowance(codes)) == 0


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_codes_are_compared_in_the_code_domain(data):
    check_codes(data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=20_000, deadline=None)
def test_codes_are_compared_in_the_code_domain_many_times(data):
    check_codes(data)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_large_planes_of_codes_are_ranked_by_a_table_and_give_what_each_threshold_gives_alone(
    kind, monkeypatch
):
    monkeypatch.setattr(from_logits, "NODES_AT_ONCE", 1)
    logits = field("blob", (2, 40, 40), 4)
    codes = np.clip(128 + 30 * logits, 0, 255).astype(kind)
    assert codes.max() < codes[0].size and len(np.unique(codes)) > 50
    options = {"scale": 1 / 30, "offset": -128 / 30}
    thresholds = [0.6, 0.3, 0.5, 0.5, 0.0, 1.0]
    together = runs_at_thresholds(codes, (90, 70), thresholds, **options)
    assert together == [runs_from_logits(codes, (90, 70), one, **options) for one in thresholds]
    assert len({runs.area().sum() for runs in together}) == 5


@pytest.mark.parametrize("size", [(8, 8), (32, 64), (17, 23), (5, 3), (2, 2), (1, 40)])
def test_runs_equal_torch_on_continuous_values(size):
    logits = field("normal", (4, 8, 8), 5)
    dense = torch.nn.functional.interpolate(
        torch.from_numpy(logits).double()[None], size, mode="bilinear", align_corners=False
    )[0]
    assert np.array_equal(runs_from_logits(logits, size).to_dense(), (dense > 0).numpy())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(8, 8), (32, 64), (17, 23), (5, 3), (2, 2), (1, 40), (100, 77)])
def test_runs_equal_the_usual_float32_way_on_continuous_values(seed, size):
    logits = field("normal", (4, 8, 8), seed)
    resized_logits = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=False
    )[0]
    usual = torch.sigmoid(resized_logits) > 0.5
    assert np.array_equal(runs_from_logits(logits, size).to_dense(), usual.numpy())


@pytest.mark.parametrize("kind", ["integers", "signs", "stripes", "zeros"])
@pytest.mark.parametrize("noisy", [-1.0, 2.0])
def test_a_value_equal_to_the_threshold_is_outside_as_in_torch(kind, noisy, monkeypatch):
    """At scales of a power of two every value is exact, so ties are exact as well."""
    monkeypatch.setattr(isoline_cells, "NOISY_CELLS", noisy)
    logits = field(kind, (3, 8, 16), 11)
    for size in [(8, 16), (16, 32), (64, 128), (4, 8), (32, 16)]:
        dense = torch.nn.functional.interpolate(
            torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=False
        )[0]
        assert np.array_equal(runs_from_logits(logits, size).to_dense(), (dense > 0).numpy())


def test_runs_go_on_from_one_pixel_row_to_the_next_and_stop_at_the_class():
    logits = np.full((2, 3, 3), 1.0, np.float32)
    runs = runs_from_logits(logits, (7, 5))
    assert runs.starts.tolist() == [0, 35]
    assert runs.stops.tolist() == [35, 70]


def test_offsets_of_a_result_beyond_two_to_the_31_are_right():
    side = 50_000
    logits = np.tile(np.array([-1.0, 3.0], np.float32), (2, 2, 1))
    runs = runs_from_logits(logits, (side, side))
    rows = np.arange(2 * side) * side
    assert np.array_equal(runs.starts, rows + 3 * side // 8)
    assert np.array_equal(runs.stops, rows + side)


@pytest.mark.parametrize("at_once", [1, from_logits.NODES_AT_ONCE])
def test_each_threshold_of_several_gives_what_it_gives_alone(at_once, monkeypatch):
    monkeypatch.setattr(from_logits, "NODES_AT_ONCE", at_once)
    logits = field("blob", (3, 9, 9), 2) * 2
    thresholds = np.array([[0.2, 0.5, 0.8], [0.5, 0.5, 0.5], [0.9, 0.1, 0.3]])
    together = runs_at_thresholds(logits, (36, 40), thresholds)
    assert together == [runs_from_logits(logits, (36, 40), row) for row in thresholds]
    assert runs_at_thresholds(logits, (36, 40), [0.3, 0.6]) == [
        runs_from_logits(logits, (36, 40), 0.3),
        runs_from_logits(logits, (36, 40), 0.6),
    ]


def test_one_pass_over_many_classes_equals_one_class_at_a_time(monkeypatch):
    monkeypatch.setattr(isoline_cells, "CELLS_AT_ONCE", 10)
    logits = np.concatenate([field(kind, (2, 9, 7), 3) for kind in ("blob", "normal", "zeros")])
    together = runs_from_logits(logits, (40, 41))
    alone = [runs_from_logits(plane[None], (40, 41))[0] for plane in logits]
    assert together == Runs.stack(alone)


def test_rows_are_computed_in_blocks_without_a_seam(monkeypatch):
    logits = field("normal", (1, 12, 9), 8)
    whole = runs_from_logits(logits, (50, 30))
    monkeypatch.setattr(isoline_cells, "BLOCK", 20)
    assert runs_from_logits(logits, (50, 30)) == whole


def test_memory_layout_and_float_type_do_not_matter():
    logits = field("normal", (3, 6, 8), 4).astype(np.float16)
    expected = runs_from_logits(logits.astype(np.float32), (24, 30), 0.4)
    assert runs_from_logits(logits, (24, 30), 0.4) == expected
    assert runs_from_logits(logits.astype(np.float64), (24, 30), 0.4) == expected
    assert runs_from_logits(np.asfortranarray(logits), (24, 30), 0.4) == expected
    big_endian = logits.astype(">f4")
    assert runs_from_logits(big_endian, (24, 30), 0.4) == expected


def test_a_padded_region_shows_the_same_as_the_image_alone():
    """The image lies in the top left 8 x 6 of a padded grid; inside, padding is not seen."""
    logits = field("blob", (1, 8, 6), 0)
    padded = np.pad(logits, ((0, 0), (0, 4), (0, 5)), mode="edge")
    assert runs_from_logits(padded, (32, 24), region=(0, 0, 8, 6)) == runs_from_logits(
        logits, (32, 24)
    )


def test_no_class_gives_no_class():
    assert runs_from_logits(np.empty((0, 4, 4), np.float32), (8, 8)).shape == (0, 8, 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused_with_its_class(value):
    logits = np.zeros((3, 4, 5), np.float32)
    logits[1, 2, 3] = value
    with pytest.raises(InputFault, match=r"class 1 hold 1 non-finite .* row 2, column 3"):
        runs_from_logits(logits, (8, 8))


def test_large_finite_logits_are_not_taken_for_infinite_ones():
    logits = np.full((1, 2, 2), 3e38, np.float32)
    assert runs_from_logits(logits, (4, 4)) == Runs.full((1, 4, 4))


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (np.zeros((4, 4), np.float32), {}, "shape"),
        (np.zeros((1, 4, 4), np.int32), {}, "int32"),
        (np.zeros((1, 4, 4), np.uint8), {}, "scale and offset"),
        (np.zeros((1, 4, 4), np.uint8), {"scale": 0.0, "offset": 0.0}, "above 0"),
        (np.zeros((1, 4, 4), np.uint8), {"scale": np.nan, "offset": 0.0}, "finite"),
        (np.zeros((2, 4, 4), np.uint8), {"scale": [1, 1, 1], "offset": 0.0}, "2 classes"),
        (np.zeros((1, 4, 4), np.float32), {"scale": 1.0, "offset": 0.0}, "belong to codes"),
        (np.zeros((1, 4, 4), np.float32), {"threshold": 1.5}, "1.5"),
        (np.zeros((1, 4, 4), np.float32), {"threshold": np.nan}, "nan"),
        (np.zeros((2, 4, 4), np.float32), {"threshold": [0.5, 0.5, 0.5]}, "2 classes"),
        (np.zeros((1, 4, 4), np.float32), {"region": (0, 0, 0, 4)}, "region"),
        (np.zeros((1, 4, 4), np.float32), {"region": (0, 2, 4, 3)}, "region"),
        (np.zeros((1, 4, 4), np.float32), {"size": (0, 4)}, "size"),
    ],
)
def test_what_cannot_be_meant_is_refused(logits, options, message):
    arguments = {"size": (8, 8)} | options
    with pytest.raises(InputFault, match=message):
        runs_from_logits(logits, arguments.pop("size"), **arguments)
