"""The prediction store: what is written is what is read, and damage is noticed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.inference.joined import JoinedStores, combine_folds
from competition.inference.store import (
    CLIP,
    SCALE,
    Geometry,
    Provenance,
    Store,
    StoreWriter,
    quantise,
)

CLASSES = ("ulna", "radius", "finger-1")


def provenance(**changes):
    values = {
        "member": "small", "recipe": "small", "recipe_sha256": "ab", "folds": (0,), "part": "oof",
        "classes": CLASSES, "checkpoints": ("cd",),
    }
    return Provenance(**{**values, **changes})


def logits(seed=0, size=(4, 6)):
    return np.random.default_rng(seed).normal(0, 4, (3, *size)).astype(np.float32)


def written(folder, images, size=(4, 6), **changes):
    with StoreWriter(folder, provenance(**changes)) as writer:
        for seed, image in enumerate(images):
            writer.add(image, logits(seed, size), Geometry((40, 60), (0, 0, *size)))
    return Store.open(folder, classes=CLASSES)


def test_what_is_read_is_what_was_written_up_to_half_a_code(tmp_path):
    images = ["0001", "NA", "null", "1e5", 'a "quoted", name', "=SUM(A1)"]
    store = written(tmp_path / "oof", images)
    assert store.images == tuple(images)
    assert store.provenance == provenance()
    for seed, image in enumerate(images):
        stored = store.read(image)
        clipped = np.clip(logits(seed), -CLIP, CLIP)
        assert np.abs(stored.logits() - clipped).max() <= SCALE / 2 + 1e-5
        assert stored.geometry == Geometry((40, 60), (0, 0, 4, 6))


@given(st.floats(-20, 20, width=32))
def test_quantising_never_moves_a_pixel_across_one_half(value):
    code = int(quantise(np.array([value], np.float32))[0])
    if abs(value) > 1e-6:
        assert (code > 127) == (value > 0)


def test_codes_of_a_quantised_store_are_a_fixed_point():
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(quantise(codes * np.float32(SCALE) - np.float32(CLIP)), codes)


def test_where_the_image_lies_in_the_grid_is_kept_to_the_last_digit(tmp_path):
    region = (0.0, 0.1 + 0.2, 10 / 3, 5.5)
    with StoreWriter(tmp_path / "oof", provenance()) as writer:
        writer.add("a", logits(), Geometry((20, 60), region))
    store = Store.open(tmp_path / "oof", classes=CLASSES)
    assert store.read("a").geometry == Geometry((20, 60), region)
    assert store.grid == (4, 6)


def test_an_empty_store_is_a_store(tmp_path):
    assert written(tmp_path / "oof", []).images == ()


def test_another_class_list_is_refused_even_when_only_the_order_differs(tmp_path):
    written(tmp_path / "oof", ["a"])
    with pytest.raises(InputFault, match="predicted for the classes.*ulna.*predict again"):
        Store.open(tmp_path / "oof", classes=CLASSES[::-1])


def test_nan_logits_are_refused_with_the_image_and_leave_no_store(tmp_path):
    broken = logits()
    broken[1, 2, 3] = np.nan
    with (
        pytest.raises(InputFault, match="image 'b': 1 of 72 logits are NaN"),
        StoreWriter(tmp_path / "oof", provenance()) as writer,
    ):
        writer.add("a", logits(), Geometry((4, 6), (0, 0, 4, 6)))
        writer.add("b", broken, Geometry((4, 6), (0, 0, 4, 6)))
    assert list(tmp_path.iterdir()) == []


def test_infinite_logits_are_kept_as_the_ends_of_the_range():
    assert quantise(np.array([np.inf, -np.inf], np.float32)).tolist() == [255, 0]


def test_a_step_that_dies_leaves_the_store_before_it_untouched(tmp_path):
    written(tmp_path / "oof", ["old"])
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "oof", provenance()) as writer:
        writer.add("new", logits(), Geometry((4, 6), (0, 0, 4, 6)))
        raise RuntimeError("killed")
    assert Store.open(tmp_path / "oof", classes=CLASSES).images == ("old",)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("shape", "region", "message"),
    [
        ((2, 4, 6), (0, 0, 4, 6), r"takes \(3, h, w\)"),
        ((3, 4, 6), (1, 0, 4, 6), "leaves the grid"),
        ((3, 4, 6), (0, 0, 0, 6), "leaves the grid"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(tmp_path, shape, region, message):
    with (
        pytest.raises(InputFault, match=message),
        StoreWriter(tmp_path / "oof", provenance()) as writer,
    ):
        writer.add("a", np.zeros(shape, np.float32), Geometry((4, 6), region))


def test_the_same_image_twice_is_refused(tmp_path):
    with pytest.raises(InputFault, match="'a' is added twice"):
        written(tmp_path / "oof", ["a", "a"])


def test_an_image_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputFault, match="image 'b' is not among the 1 of"):
        written(tmp_path / "oof", ["a"]).read("b")


@pytest.mark.parametrize("name", ["logits.npy", "index.csv", "store.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "page"])
def test_a_damaged_store_is_refused_when_it_is_opened(tmp_path, name, damage):
    written(tmp_path / "oof", ["a", "b"])
    path = tmp_path / "oof" / name
    content = path.read_bytes()
    changed = {"cut": content[: len(content) // 2], "empty": b"", "page": b"<html>Sign in</html>"}
    path.unlink() if damage == "gone" else path.write_bytes(changed[damage])
    with pytest.raises(InputFault, match=name):
        Store.open(tmp_path / "oof", classes=CLASSES)


def test_a_flipped_byte_of_the_logits_is_found(tmp_path):
    store = written(tmp_path / "oof", ["a"])
    store.verify()
    content = bytearray((tmp_path / "oof" / "logits.npy").read_bytes())
    content[-3] ^= 1
    (tmp_path / "oof" / "logits.npy").write_bytes(content)
    with pytest.raises(InputFault, match="was changed"):
        store.verify()


def test_logits_are_an_ordinary_npy_file(tmp_path):
    store = written(tmp_path / "oof", ["a", "b"])
    array = np.load(tmp_path / "oof" / "logits.npy")
    assert array.shape == (2, 3, 4, 6)
    assert np.array_equal(array[1], store.codes("b"))
    assert json.loads((tmp_path / "oof" / "store.json").read_text())["images"] == 2


def test_folds_are_read_as_one_and_an_image_in_two_of_them_is_refused(tmp_path):
    first, second = written(tmp_path / "0", ["a"]), written(tmp_path / "1", ["b"])
    joined = JoinedStores([first, second])
    assert joined.images == ("a", "b")
    assert np.array_equal(joined.read("b").codes, second.read("b").codes)
    with pytest.raises(InputFault, match="'a' is in two"):
        JoinedStores([first, first])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5))
def test_the_mean_of_folds_is_within_half_a_code_of_the_mean_of_their_codes(tmp_path_factory, count):
    folder = tmp_path_factory.mktemp("folds")
    stores = []
    for fold in range(count):
        path = folder / str(fold)
        with StoreWriter(path, provenance(folds=(fold,), checkpoints=(f"c{fold}",))) as writer:
            writer.add("a", logits(fold), Geometry((4, 6), (0, 0, 4, 6)))
        stores.append(Store.open(path, classes=CLASSES))
    combine_folds(stores, folder / "mean")
    mean = Store.open(folder / "mean", classes=CLASSES)
    expected = np.mean([store.codes("a") for store in stores], axis=0)
    assert np.abs(mean.codes("a") - expected).max() <= 0.5
    assert mean.provenance.folds == tuple(range(count))
    assert mean.provenance.checkpoints == tuple(f"c{fold}" for fold in range(count))


def test_folds_that_hold_other_images_are_not_averaged(tmp_path):
    first, second = written(tmp_path / "0", ["a", "b"]), written(tmp_path / "1", ["a", "c"])
    with pytest.raises(InputFault, match="'b' is in only one"):
        combine_folds([first, second], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_folds_of_different_grids_are_not_averaged(tmp_path):
    first, second = written(tmp_path / "0", ["a"]), written(tmp_path / "1", ["a"], size=(8, 6))
    with pytest.raises(InputFault, match=r"\(8, 6\)"):
        combine_folds([first, second], tmp_path / "mean")
