"""The label cache: equal to what the readers give, and stale as soon as anything changed."""

import os
import pickle

import numpy as np
import pytest
from downloads import BONES, SALT_MASKS, blob, hand_bone, salt, save, write_annotations
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.data import labels as label_files
from competition.data.catalog import build_catalog
from competition.data.labels import LabelCache, labels_key, load_labels, read_labels
from competition.data.pixel_labels import PixelLabels
from competition.errors import InputFault
from competition.masks import Runs
from competition.workspace import Workspace


@pytest.fixture
def counted(monkeypatch):
    """The calls of the label readers."""
    calls = []

    def reader(competition, catalog):
        calls.append(competition.name)
        return read_labels(competition, catalog)

    monkeypatch.setattr(label_files, "read_labels", reader)
    return calls


def test_labels_are_read_once_and_then_come_from_the_cache(tmp_path, counted):
    competition, workspace = hand_bone(tmp_path), Workspace(tmp_path, "hands")
    catalog = build_catalog(competition)
    first, second = (load_labels(competition, workspace, catalog) for _ in range(2))
    assert len(counted) == 1 and (workspace.cache / "labels.npz").is_file()
    expected = read_labels(competition, catalog)
    assert dict(first) == dict(second) == expected and list(second) == list(expected)


def changed_file(root):
    save(root / "train/masks/0000.png", blob(50).to_dense().astype(np.uint8))


def touched_file(root):
    os.utime(root / "train/masks/0001.png", ns=(0, 1))


@pytest.mark.parametrize("change", [changed_file, touched_file])
def test_a_changed_label_file_is_read_again(tmp_path, counted, change):
    competition, workspace = salt(tmp_path, labels=SALT_MASKS), Workspace(tmp_path, "salt")
    for _ in range(2):
        labels = load_labels(competition, workspace, build_catalog(competition))
        change(tmp_path)
    assert len(counted) == 2
    assert dict(labels) != {} and list(labels) == [f"000{n}" for n in range(6)]


def test_another_order_of_classes_or_other_images_make_it_stale(tmp_path):
    competition = hand_bone(tmp_path)
    catalog = build_catalog(competition)
    turned = competition.model_copy(update={"classes": tuple(BONES[::-1])})
    keys = {
        labels_key(competition, catalog),
        labels_key(turned, catalog),
        labels_key(competition, catalog.iloc[1:]),
    }
    assert len(keys) == 3
    same = competition.model_copy(update={"horizontal_flip": "forbidden"})
    assert labels_key(same, catalog) in keys


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[: len(c) // 2], lambda c: b"<html>"])
def test_a_damaged_cache_is_made_anew(tmp_path, counted, damage):
    competition, workspace = salt(tmp_path), Workspace(tmp_path, "salt")
    catalog = build_catalog(competition)
    before = dict(load_labels(competition, workspace, catalog))
    path = workspace.cache / "labels.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert dict(load_labels(competition, workspace, catalog)) == before and len(counted) == 2


def test_a_cache_whose_bytes_were_flipped_is_made_anew(tmp_path, counted):
    competition, workspace = salt(tmp_path), Workspace(tmp_path, "salt")
    catalog = build_catalog(competition)
    before = dict(load_labels(competition, workspace, catalog))
    path = workspace.cache / "labels.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"starts.npy") + 200] ^= 8
    path.write_bytes(content)
    assert dict(load_labels(competition, workspace, catalog)) == before and len(counted) == 2


def test_faulty_labels_leave_no_cache(tmp_path):
    competition, workspace = hand_bone(tmp_path), Workspace(tmp_path, "hands")
    write_annotations(tmp_path / "train/outputs_json/ID000/image0000L.json", [("Elbow", [[1, 1]])])
    with pytest.raises(InputFault):
        load_labels(competition, workspace, build_catalog(competition))
    assert not workspace.cache.exists()


def test_an_image_that_has_no_labels_is_a_key_error(tmp_path):
    with pytest.raises(KeyError):
        LabelCache.of({})["absent"]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["0001", "NA", "a b", "ä"]),
        st.tuples(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6)),
        max_size=4,
    )
)
def test_masks_survive_the_file_and_a_pickle(tmp_path_factory, made):
    labels = {
        image: Runs.from_dense(np.random.default_rng(seed).random((2, height, width)) < 0.4)
        for image, (seed, height, width) in made.items()
    }
    path = tmp_path_factory.mktemp("cache") / "labels.npz"
    pixels = {i: PixelLabels.of(one.select([0]), one.select([1])) for i, one in labels.items()}
    LabelCache.of(pixels).save(path, "key")
    found = LabelCache.load(path, "key")
    for one in (found, pickle.loads(pickle.dumps(found))):
        assert list(one) == list(one.ignored) == list(labels)
        assert dict(one) == {image: pixels[image].classes for image in labels}
        assert dict(one.ignored) == {image: pixels[image].ignored for image in labels}
    assert LabelCache.load(path, "another key") is None
