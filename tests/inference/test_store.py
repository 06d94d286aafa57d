"""The prediction store: what is written is what is read, and damage is noticed."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.inference.disagreement import FoldMean, disputed_share
from competition.inference.joined_stores import JoinedStores, combine_folds
from competition.inference.quantisation import CLIP, SCALE, packed, quantise, unpacked
from competition.inference.store import FORMAT, Geometry, Provenance, Store, StoreWriter

CLASSES = ("ulna", "radius", "finger-1")


def provenance(**changes):
    values = {
        "member": "small",
        "recipe": "small",
        "recipe_sha256": "ab",
        "folds": (0,),
        "part": "oof",
        "classes": CLASSES,
        "checkpoints": ("cd",),
    }
    return Provenance(**{**values, **changes})


def logits(seed=0, size=(4, 6)):
    return np.random.default_rng(seed).normal(0, 4, (3, *size)).astype(np.float32)


def written(folder, images, size=(4, 6), **changes):
    with StoreWriter(folder, provenance(**changes)) as writer:
        for seed, image in enumerate(images):
            writer.add(image, logits(seed, size), Geometry((40, 60), (0, 0, *size)))
    return Store.open(folder, classes=CLASSES)


@pytest.mark.parametrize("height", [0, 1, 15, 16, 17, 50])
def test_planes_of_any_height_come_back_from_their_frame(height):
    planes = np.random.default_rng(height).integers(0, 256, (3, height, 7), np.uint8)
    assert np.array_equal(unpacked(packed(planes), planes.shape), planes)


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


@pytest.mark.parametrize("name", ["logits.zst", "index.csv", "store.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "page"])
def test_a_damaged_store_is_refused_when_it_is_opened(tmp_path, name, damage):
    written(tmp_path / "oof", ["a", "b"])
    path = tmp_path / "oof" / name
    content = path.read_bytes()
    changed = {"cut": content[: len(content) // 2], "empty": b"", "page": b"<html>Sign in</html>"}
    path.unlink() if damage == "gone" else path.write_bytes(changed[damage])
    with pytest.raises(InputFault, match=name):
        Store.open(tmp_path / "oof", classes=CLASSES)


@pytest.mark.parametrize("place", [0, 5, 20, -3])
def test_a_flipped_byte_is_found_whatever_is_read_of_its_image(tmp_path, place):
    store = written(tmp_path / "oof", ["a"])
    path = tmp_path / "oof" / "logits.zst"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    for reading in (store.read, store.codes, store.disagreement, store.views):
        with pytest.raises(InputFault, match="was changed"):
            reading("a")


def test_stores_of_the_same_logits_under_other_names_differ_in_store_json(tmp_path):
    texts = []
    for images in (["a", "b"], ["a", "c"]):
        written(tmp_path / "oof", images)
        texts.append((tmp_path / "oof" / "store.json").read_text())
    assert texts[0] != texts[1]


def test_an_index_with_another_name_in_it_is_refused(tmp_path):
    written(tmp_path / "oof", ["a", "b"])
    path = tmp_path / "oof" / "index.csv"
    path.write_text(path.read_text().replace("a,", "c,"))
    with pytest.raises(InputFault, match=r"index.csv.*was changed since it was written"):
        Store.open(tmp_path / "oof", classes=CLASSES)


def test_one_damaged_image_does_not_hide_the_others(tmp_path):
    store = written(tmp_path / "oof", ["a", "b", "c"])
    path = tmp_path / "oof" / "logits.zst"
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes([content[half] ^ 255]) + content[half + 1 :])
    with pytest.raises(InputFault, match="image 'b' was changed since it was written"):
        store.read("b")
    assert np.array_equal(store.codes("c"), quantise(logits(2)))


def test_the_file_is_a_plain_zstd_file_of_differences_between_rows(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    store = written(tmp_path / "oof", ["a", "b"])
    with open(tmp_path / "oof" / "logits.zst", "rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        content = np.frombuffer(reader.read(), np.uint8).reshape(2, 4, 4, 6)
    assert np.array_equal(
        np.add.accumulate(content[1], axis=1, dtype=np.uint8)[:3], store.codes("b")
    )
    assert json.loads((tmp_path / "oof" / "store.json").read_text())["images"] == 2


def test_a_store_in_an_older_format_is_refused(tmp_path):
    written(tmp_path / "oof", ["a"])
    path = tmp_path / "oof" / "store.json"
    path.write_text(path.read_text().replace(FORMAT, "npy"))
    with pytest.raises(InputFault, match="predict again"):
        Store.open(tmp_path / "oof", classes=CLASSES)


def test_reading_takes_no_more_memory_for_more_images_or_more_members(tmp_path):
    size = (128, 160)
    few, many = (
        [
            written(tmp_path / f"{count}-{member}", [str(i) for i in range(count)], size)
            for member in range(members)
        ]
        for count, members in ((2, 1), (24, 6))
    )
    assert peak_of_reading(many) < 1.25 * peak_of_reading(few)


def peak_of_reading(stores):
    """Bytes that reading every image of all stores, and then their mean, takes at most."""
    peaks = []
    for reading in (
        lambda: [store.read(image).logits().sum() for store in stores for image in store.images],
        lambda: combine_folds(stores, stores[0].folder.with_name("mean")),
    ):
        tracemalloc.start()
        reading()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return max(peaks)


def test_folds_are_read_as_one_and_an_image_in_two_of_them_is_refused(tmp_path):
    first, second = written(tmp_path / "0", ["a"]), written(tmp_path / "1", ["b"])
    joined = JoinedStores([first, second])
    assert joined.images == ("a", "b")
    assert np.array_equal(joined.read("b").codes, second.read("b").codes)
    with pytest.raises(InputFault, match="'a' is in two"):
        JoinedStores([first, first])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5))
def test_the_mean_of_folds_is_within_half_a_code_of_the_mean_of_their_codes(
    tmp_path_factory, count
):
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


def views_of(probabilities):
    """A store's codes (1, 1, n) of probabilities (n,)."""
    values = np.asarray(probabilities, np.float64)
    return quantise(np.log(values / (1 - values)).astype(np.float32)).reshape(1, 1, -1)


def test_the_disagreement_of_folds_is_the_spread_of_their_probabilities(tmp_path):
    mean = FoldMean((1, 1, 3))
    for probabilities in ([0.5, 0.25, 0.01], [0.5, 0.75, 0.99]):
        mean.add(views_of(probabilities), np.zeros((1, 3), np.uint8))
    assert mean.disagreement()[0] / 255 == pytest.approx([0, 0.25, 0.49], abs=0.01)


def test_the_disagreement_of_mirrors_within_folds_is_added_to_that_between_them():
    mean = FoldMean((1, 1, 1))
    for probability in (0.1, 0.9):
        mean.add(views_of([probability]), np.array([[round(0.3 * 255)]], np.uint8))
    assert mean.disagreement()[0, 0] / 255 == pytest.approx(np.hypot(0.4, 0.3), abs=0.01)


def test_the_mean_of_folds_carries_their_disagreement_and_a_fold_its_own(tmp_path):
    for fold in range(2):
        with StoreWriter(tmp_path / str(fold), provenance(folds=(fold,))) as writer:
            plane = np.full((4, 6), 9 * fold, np.uint8)
            writer.add("a", logits(fold), Geometry((4, 6), (0, 0, 4, 6)), disagreement=plane)
    stores = [Store.open(tmp_path / str(fold), classes=CLASSES) for fold in range(2)]
    assert (stores[1].disagreement("a") == 9).all()
    combine_folds(stores, tmp_path / "mean")
    mean = Store.open(tmp_path / "mean", classes=CLASSES)
    first, second = (1 / (1 + np.exp(-store.read("a").logits())) for store in stores)
    expected = np.sqrt(np.square((first - second) / 2).sum(0) + (9 / 255) ** 2 / 2)
    assert mean.disagreement("a") / 255 == pytest.approx(np.minimum(expected, 1), abs=0.003)


def test_a_disagreement_of_another_size_is_refused(tmp_path):
    with (
        pytest.raises(InputFault, match="disagreement"),
        StoreWriter(tmp_path / "oof", provenance()) as writer,
    ):
        place = Geometry((4, 6), (0, 0, 4, 6))
        writer.add("a", logits(), place, disagreement=np.zeros((6, 4), np.uint8))


def test_only_pixels_of_the_image_count_as_disputed():
    plane = np.zeros((4, 4), np.uint8)
    plane[:, 3] = 255
    plane[0, 0] = 64
    assert disputed_share(plane, (0, 0, 2, 2)) == 0.25
    assert disputed_share(plane, (0, 0, 4, 4)) == 5 / 16
