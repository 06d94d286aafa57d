"""`Runs` against dense numpy: conversions, algebra, votes, and what the border refuses."""

import copy
import pickle
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_strategies import LONG, pixels, shapes, sides, stack_lists, stacks

from competition.errors import InputFault
from competition.masks import Objects, Runs, dense, intersection_area, intervals, weighted_vote
from competition.masks.runs import fingerprints

HUGE = (29, 65536, 65536)  # offsets up to 1.2e11


def same(runs: Runs, expected: np.ndarray) -> None:
    """The runs are canonical and hold exactly the pixels of the expected array."""
    Runs(runs.starts, runs.stops, runs.shape)
    assert runs.shape == expected.shape
    assert np.array_equal(runs.to_dense(), expected)
    assert runs == Runs.from_dense(expected)


@contextmanager
def crowds_of(pixels_per_run: int):
    """Small test masks are crowded, real ones are not: 0 makes all masks take the way of real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_CROWDED", pixels_per_run)
        patch.setattr(dense, "_PIXELS_PER_RUN", pixels_per_run)
        yield


crowds = st.sampled_from([0, 0, 1 << 20])


def algebra_equals_its_dense_twin(arrays: list[np.ndarray]) -> None:
    first, second = arrays
    a, b = Runs.from_dense(first), Runs.from_dense(second)
    same(a, first)
    same(a | b, first | second)
    same(a & b, first & second)
    same(a - b, first & ~second)
    same(a ^ b, first ^ second)
    same(~a, ~first)
    same(a.any_mask(), first.any(axis=0))
    assert a.area().tolist() == first.sum(axis=(1, 2)).tolist()
    assert intersection_area(a, b).tolist() == (first & second).sum(axis=(1, 2)).tolist()


@given(stack_lists(2), crowds)
@settings(max_examples=150, deadline=None)
def test_the_algebra_equals_its_dense_twin(arrays, crowd):
    with crowds_of(crowd):
        algebra_equals_its_dense_twin(arrays)


@pytest.mark.long
@given(stack_lists(2), crowds)
@settings(max_examples=LONG, deadline=None)
def test_the_algebra_equals_its_dense_twin_at_length(arrays, crowd):
    with crowds_of(crowd):
        algebra_equals_its_dense_twin(arrays)


def every_summary_equals_its_dense_twin(dense: np.ndarray) -> None:
    runs = Runs.from_dense(dense)
    rows, lefts, rights = runs.segments()
    drawn = np.zeros((dense.shape[0] * dense.shape[1], dense.shape[2]), bool)
    for row, left, right in zip(rows, lefts, rights, strict=True):
        assert not drawn[row, left:right].any()
        drawn[row, left:right] = True
    assert np.array_equal(drawn.reshape(dense.shape), dense)
    for mask, box, plane in zip(runs, runs.bounding_boxes(), dense, strict=True):
        same(mask, plane)
        y, x = np.nonzero(plane)
        found = [y.min(), x.min(), y.max() + 1, x.max() + 1] if len(y) else [0, 0, 0, 0]
        assert box.tolist() == found
    assert Runs.stack(list(runs)) == runs
    order = [-1, 0, 0]
    same(runs.select(order), dense[order])


@given(stacks())
@settings(max_examples=100, deadline=None)
def test_boxes_segments_and_selections_equal_their_dense_twins(dense):
    every_summary_equals_its_dense_twin(dense)


@pytest.mark.long
@given(stacks())
@settings(max_examples=LONG, deadline=None)
def test_boxes_segments_and_selections_equal_their_dense_twins_at_length(dense):
    every_summary_equals_its_dense_twin(dense)


@st.composite
def votes(draw):
    shape = draw(shapes())
    arrays = [draw(pixels(shape)) for _ in range(draw(st.integers(1, 5)))]
    tenths = draw(st.lists(st.integers(0, 9), min_size=len(arrays), max_size=len(arrays)))
    threshold = draw(st.sampled_from([0, 0.3, 0.5, 0.6, 0.9]))
    return arrays, tenths if any(tenths) else None, threshold


def a_vote_equals_its_dense_twin(arrays, tenths, threshold) -> None:
    counts = [10] * len(arrays) if tenths is None else tenths
    total = sum(array.astype(int) * count for array, count in zip(arrays, counts, strict=True))
    weights = None if tenths is None else [count / 10 for count in tenths]
    bar = Fraction(str(threshold)) * sum(counts)
    voted = weighted_vote(
        [Runs.from_dense(a) for a in arrays], weights=weights, threshold=threshold
    )
    same(voted, np.vectorize(lambda held: held > bar, otypes=[bool])(total))


@given(votes(), crowds)
@settings(max_examples=100, deadline=None)
def test_a_vote_equals_its_dense_twin_ties_included(case, crowd):
    with crowds_of(crowd):
        a_vote_equals_its_dense_twin(*case)


@pytest.mark.long
@given(votes(), crowds)
@settings(max_examples=LONG, deadline=None)
def test_a_vote_equals_its_dense_twin_at_length(case, crowd):
    with crowds_of(crowd):
        a_vote_equals_its_dense_twin(*case)


def test_a_vote_is_strict_at_its_threshold_and_reads_weights_as_decimals():
    first, second = Runs.from_dense(np.array([[1, 0]])), Runs.from_dense(np.array([[0, 1]]))
    assert weighted_vote([first, second]) == Runs.empty((1, 2))
    # In floats .1 + .2 is a little more than .3, and would outvote it.
    assert weighted_vote([first, first, second], weights=[0.1, 0.2, 0.3]) == Runs.empty((1, 2))
    assert weighted_vote([first, first, second], weights=[0.1, 0.2, 0.29]) == first
    assert weighted_vote([first, second], threshold=0) == Runs.full((1, 2))


@pytest.mark.parametrize("count", [2, 200])
def test_crowded_votes_of_many_masks_count_without_overflow(count):
    noise = np.random.default_rng(0).random((count, 1, 40, 50)) < 0.5
    masks = [Runs.from_dense(mask) for mask in noise]
    same(weighted_vote(masks), noise.sum(axis=0) * 2 > count)
    weights = [1000 * (1 + number % 3) for number in range(count)]
    total = np.tensordot(weights, noise, axes=1)
    same(weighted_vote(masks, weights=weights), total * 2 > sum(weights))


def test_weights_finer_than_a_float_of_their_sum_still_vote():
    first, second = Runs.from_dense(np.array([[1, 0]])), Runs.from_dense(np.array([[0, 1]]))
    assert (
        weighted_vote([first, second], weights=[1.2345678901234567e-05, 123.45678901234567])
        == second
    )


@pytest.mark.parametrize(
    ("weights", "threshold", "message"),
    [
        ([1], 0.5, "1 weights for 2 masks"),
        ([0, 0], 0.5, "one > 0"),
        ([1, -1], 0.5, "each must be ≥ 0"),
        ([1, float("nan")], 0.5, "each must be ≥ 0"),
        (None, 1, "threshold 1"),
    ],
)
def test_a_vote_refuses_what_has_no_meaning(weights, threshold, message):
    masks = [Runs.full((1, 2)), Runs.empty((1, 2))]
    with pytest.raises(InputFault, match=message):
        weighted_vote(masks, weights=weights, threshold=threshold)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_label_map_becomes_one_class_per_value(data):
    height, width, classes = (
        data.draw(sides(12)),
        data.draw(sides(12)),
        data.draw(st.integers(1, 4)),
    )
    values = st.integers(0, classes)
    flat = data.draw(st.lists(values, min_size=height * width, max_size=height * width))
    dtype = data.draw(st.sampled_from([np.uint8, np.int16, np.int64]))
    labels = np.array(flat, dtype).reshape(width, height).T
    runs = Runs.from_label_map(labels, classes)
    same(runs, labels[None] == np.arange(1, classes + 1)[:, None, None])


def test_label_maps_of_one_or_of_very_many_classes_read_alike():
    labels = np.array([[0, 40_000, 40_000, 3]])
    runs = Runs.from_label_map(labels.astype(np.uint64), 40_000)
    assert runs.starts.tolist() == [2 * 4 + 3, 39_999 * 4 + 1]
    assert Runs.from_label_map(labels > 3, 1) == Runs.from_dense(labels[None] > 3)


def test_a_label_map_with_an_unknown_value_is_refused():
    with pytest.raises(InputFault, match=r"\[7, 9\]; values must be ≥ 0 and ≤ 3"):
        Runs.from_label_map(np.array([[7, 0, 9, 1]]), 3)
    with pytest.raises(InputFault, match=r"\[-1\]"):
        Runs.from_label_map(np.array([[-1, 1]]), 3)
    with pytest.raises(InputFault, match="integers of shape"):
        Runs.from_label_map(np.array([[0.5]]), 3)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.uint16, np.int64, np.float32])
def test_any_number_but_zero_is_inside(dtype):
    array = np.array([[0, 255, 1, 0], [0, 0, 0, 3]]).astype(dtype)
    same(Runs.from_dense(array), array != 0)


def test_negative_numbers_are_inside_and_negative_zero_is_not():
    assert Runs.from_dense(np.array([[-1.5, -0.0, 0.0]])).area().tolist() == [1]


def test_nan_is_neither_inside_nor_outside():
    with pytest.raises(InputFault, match="NaN"):
        Runs.from_dense(np.array([[0.0, np.nan]]))


@pytest.mark.parametrize("width", [511, 512, 513])
def test_reading_in_blocks_loses_nothing_at_their_borders(width):
    # Several pages and blocks, empty ones among them; runs lie across, end at and begin at borders.
    dense = np.zeros((3, 600, width), bool)
    flat = dense.reshape(-1)
    for border in range(1 << 16, flat.size, 1 << 17):
        flat[border - 5 : border + 5] = True
        flat[border + 4096 : border + 4097] = True
        flat[border + 8000 : border + 8192] = True
    same(Runs.from_dense(dense), dense)
    flat[-1] = True
    same(Runs.from_dense(dense), dense)
    same(Runs.from_dense(~dense), ~dense)
    noise = np.random.default_rng(0).random(dense.shape) < 0.5
    same(Runs.from_dense(noise), noise)
    assert Runs.from_dense(np.ones_like(dense)).starts.tolist() == [0, 600 * width, 1200 * width]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
@pytest.mark.parametrize("stop", [4096, 8191, 1 << 18, (1 << 18) + 1, 1 << 19, 3 << 18])
def test_a_run_that_ends_with_a_page_ends(dtype, stop):
    row = np.zeros((1, 3 << 18), dtype)
    row[0, 9:stop] = 1
    runs = Runs.from_dense(row)
    assert (runs.starts.tolist(), runs.stops.tolist()) == ([9], [stop])
    assert Runs.from_dense(row * -0.0) == Runs.empty(row.shape)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5])
def test_a_column_major_array_reads_as_it_looks(share):
    # As pycocotools decodes masks; noise takes another way than the few runs of a real mask.
    dense = np.random.default_rng(0).random((3, 90, 70)) < share
    dense[1, 20:80, 30:60] = True
    for array in (np.asfortranarray(dense[1]), dense.swapaxes(1, 2).copy().swapaxes(1, 2)):
        assert not array.flags.c_contiguous
        twin = dense[1] if array.ndim == 2 else dense
        same(Runs.from_dense(array), twin)


def test_the_last_pixel_of_a_class_and_the_first_of_the_next_are_two_runs():
    runs = Runs.full((3, 2, 2))
    assert runs.starts.tolist() == [0, 4, 8]
    assert runs == Runs.from_dense(np.ones((3, 2, 2)))
    assert len(runs | runs) == len(runs & runs) == 3
    assert weighted_vote([runs, runs, runs], weights=[1, 2, 3]) == runs
    assert Runs.from_unsorted([4, 0, 0], [8, 4, 2], (3, 2, 2)).starts.tolist() == [0, 4]


@given(stacks())
@settings(max_examples=50, deadline=None)
def test_runs_in_any_order_are_sorted_and_merged(dense):
    runs = Runs.from_dense(dense)
    rows, lefts, rights = (values[::-1] for values in runs.segments())
    starts, stops = rows * runs.width + lefts, rows * runs.width + rights
    doubled = np.concatenate([starts, starts]), np.concatenate([stops, starts + 1])
    assert Runs.from_unsorted(*doubled, runs.shape) == runs


@pytest.mark.parametrize(
    ("starts", "stops", "shape", "message"),
    [
        ([3], [3], (2, 4), "at least one pixel"),
        ([-1], [3], (2, 4), r"run 0 is \[-1, 3\)"),
        ([0], [9], (2, 4), "0 to 8"),
        ([3], [5], (2, 1, 4), "inside one class of 4"),
        ([0, 2], [2, 4], (2, 4), "sorted and apart"),
        ([0, 1], [2, 4], (2, 4), "sorted and apart"),
        ([4, 0], [6, 2], (2, 4), "sorted and apart"),
        ([0, 4], [2], (2, 4), "2 run starts and 1 run stops"),
        ([0.5], [2.5], (2, 4), "float64"),
        ([[0]], [[2]], (2, 4), r"\(1, 1\)"),
        ([0], [1], (4,), "shape"),
        ([0], [1], (0, 4), "shape"),
        ([0], [1], (2**31, 2**31, 2), "pixels"),
    ],
)
def test_the_border_refuses_what_is_not_canonical(starts, stops, shape, message):
    with pytest.raises(InputFault, match=message):
        Runs(np.array(starts), np.array(stops), shape)


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((1, 1, 1, 1)), np.array([["a"]])])
def test_only_number_arrays_of_two_or_three_dimensions_are_masks(array):
    with pytest.raises(InputFault):
        Runs.from_dense(array)


def test_a_mask_cannot_be_changed_not_even_through_what_it_was_made_of():
    starts, stops = np.array([0]), np.array([2])
    runs = Runs(starts, stops, (2, 2))
    starts[0] = 1
    assert runs.starts.tolist() == [0]
    for twin in (runs, pickle.loads(pickle.dumps(runs)), copy.deepcopy(runs), runs | runs):
        assert twin == runs
        with pytest.raises(ValueError, match="read-only"):
            twin.starts[0] = 1
        with pytest.raises(AttributeError):
            twin.shape = (1, 4)


def test_equality_hash_and_digest_know_pixels_and_shape():
    runs = Runs.from_dense(np.eye(3))
    twin = Runs.from_dense(np.eye(3, dtype=np.uint8))
    other = Runs(runs.starts, runs.stops, (1, 9))
    assert runs == twin and hash(runs) == hash(twin) and runs.sha256() == twin.sha256()
    assert runs != other and runs.sha256() != other.sha256()
    assert runs != "a mask"
    assert {runs: 1}[twin] == 1
    assert runs.sha256() == ("26b04bbf38805b420e6d572bfefad80980437dc60f02aa564cc974899bebfc6e")


def test_masks_of_different_shapes_do_not_combine():
    a, b = Runs.full((2, 3)), Runs.full((3, 2))
    for combine in (
        lambda: a | b,
        lambda: a & b,
        lambda: a - b,
        lambda: a ^ b,
        lambda: weighted_vote([a, b]),
    ):
        with pytest.raises(InputFault, match=r"\(2, 3\)"):
            combine()
    with pytest.raises(InputFault, match="stacked"):
        Runs.stack([a, b])
    with pytest.raises(InputFault, match="stacked"):
        Runs.stack([])
    with pytest.raises(TypeError):
        a | np.ones((2, 3))


def test_a_class_that_is_not_there_is_an_index_error():
    runs = Runs.empty((2, 3, 3))
    assert runs[-1] == Runs.empty((3, 3))
    with pytest.raises(IndexError, match="2 classes"):
        runs[2]
    with pytest.raises(IndexError):
        runs.select([0, -3])


def test_a_fingerprint_belongs_to_the_mask_and_not_to_its_place():
    dense = np.random.default_rng(0).random((200, 3, 3)) < 0.5
    runs = Runs.from_dense(dense)
    marks = fingerprints(runs)
    assert len(set(marks.tolist())) == len({mask.tobytes() for mask in dense})
    assert [int(fingerprints(mask)[0]) for mask in runs] == marks.tolist()


def test_stacks_are_stacked_as_their_masks_are():
    runs = Runs.from_dense(np.random.default_rng(0).random((5, 3, 4)) < 0.5)
    empty = Runs.empty((0, 3, 4))
    assert Runs.stack([runs.select([0, 1]), empty, runs[2], runs.select([3, 4])]) == runs


def test_a_stack_of_no_class_is_a_mask_too():
    runs = Runs.empty((0, 4, 5))
    assert Runs.from_dense(np.zeros((0, 4, 5))) == runs == runs | runs == runs - runs
    assert runs.area().shape == (0,) and runs.bounding_boxes().shape == (0, 4)
    assert (~runs).classes == 0 and list(runs) == [] and runs.to_dense().shape == (0, 4, 5)
    assert runs.any_mask() == Runs.empty((4, 5)) and runs.select([]) == runs


def test_offsets_beyond_two_to_the_31_are_right():
    plane = HUGE[1] * HUGE[2]
    last = 29 * plane
    runs = Runs([7, 28 * plane, last - 3], [9, 28 * plane + 70_000, last], HUGE)
    other = Runs([8, last - 2], [10, last - 1], HUGE)
    assert runs.area()[[0, 28]].tolist() == [2, 70_003]
    assert (runs & other).starts.tolist() == [8, last - 2]
    assert (runs | other).stops.tolist() == [10, 28 * plane + 70_000, last]
    assert (runs - other).stops.tolist() == [8, 28 * plane + 70_000, last - 2, last]
    assert (~runs).area().sum() == last - 70_005 and ~~runs == runs
    assert runs.bounding_boxes()[28].tolist() == [0, 0, 65536, 65536]
    assert runs[28].starts.tolist() == [0, plane - 3]
    assert Runs.stack(list(runs)) == runs
    assert runs.any_mask().stops.tolist() == [70_000, plane]
    assert weighted_vote([runs, other, other], weights=[0.2, 0.5, 0.1]) == other
    assert intersection_area(runs, other).sum() == 2


def test_objects_keep_their_order_and_unite_by_class():
    dense = np.zeros((3, 2, 4), bool)
    dense[0, 0, :2], dense[1, 1], dense[2, 0, 1:3] = True, True, True
    objects = Objects(Runs.from_dense(dense), [2, 0, 2])
    assert len(objects) == 3 and objects.classes.tolist() == [2, 0, 2]
    united = np.stack([dense[1], dense[0] & False, dense[0] | dense[2]])
    same(objects.to_classes(3), united)
    turned = objects.select([2, 0])
    assert turned.classes.tolist() == [2, 2] and np.array_equal(
        turned.runs.to_dense(), dense[[2, 0]]
    )
    assert turned != objects and objects == Objects(Runs.from_dense(dense), np.array([2, 0, 2]))
    assert hash(objects) == hash(objects.select([0, 1, 2]))
    with pytest.raises(InputFault, match="class 2; it must be < 2"):
        objects.to_classes(2)


def test_objects_refuse_classes_that_do_not_fit():
    runs = Runs.empty((2, 3, 3))
    for classes in ([0], [0, -1], [0.5, 1.0], [[0, 1]]):
        with pytest.raises(InputFault):
            Objects(runs, classes)
    with pytest.raises(InputFault):
        Objects(Runs.empty((3, 3)), [])
    assert Objects(Runs.empty((0, 3, 3)), []).to_classes(2) == Runs.empty((2, 3, 3))
