"""Images that are there twice."""

import shutil

import cv2
import numpy as np
from downloads import picture, save

from competition.data import duplicates
from competition.data.duplicates import (
    fine_structure,
    join_copies,
    near_pairs,
    perceptual_hash,
    pixel_hash,
    thumbnail,
)


def scene(seed):
    """uint8 (64, 80, 3): smooth light and dark, as photographs have."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (80, 64), interpolation=cv2.INTER_CUBIC)


def test_the_product_of_two_fine_structures_is_the_correlation_of_what_is_fine():
    """A bright edge of the image gives its fine structure a mean, which says nothing."""
    first, second = scene(1), scene(2)
    first[:, :3] = second[:3] = 255
    fine = []
    for image in (first, second):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
        fine.append((small - cv2.GaussianBlur(small, (0, 0), 4)).ravel())
    found = fine_structure(thumbnail(first)) @ fine_structure(thumbnail(second))
    assert abs(found - np.corrcoef(*fine)[0, 1]) < 1e-5
    assert abs(fine[0].mean()) > 0.1


def test_groups_of_copies_are_joined_along_chains(tmp_path):
    a, b = save(tmp_path / "a.png", picture(1)), save(tmp_path / "b.png", picture(2))
    shutil.copy(a, tmp_path / "c.png")
    shutil.copy(b, tmp_path / "d.png")
    save(tmp_path / "e.png", picture(3))
    paths = [f"{name}.png" for name in "abcde"]
    assert join_copies(tmp_path, paths, ["z", "y", "y", "x", "w"]) == ["x", "x", "x", "x", "w"]
    assert join_copies(tmp_path, paths, list("abcde")) == ["a", "b", "a", "b", "e"]


def test_files_of_equal_length_that_differ_anywhere_are_no_copies(tmp_path):
    content = bytes(300_000)
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(content[:-1] + b"x")
    (tmp_path / "c.png").write_bytes(content[:150_000] + b"x" + content[150_001:])
    paths = ["a.png", "b.png", "c.png"]
    assert join_copies(tmp_path, paths, ["1", "2", "3"]) == ["1", "2", "3"]


def test_a_pixel_hash_is_that_of_pixels_and_shape():
    image = picture(1)
    assert pixel_hash(image) == pixel_hash(np.asfortranarray(image))
    assert pixel_hash(image) != pixel_hash(image.reshape(30, 20, 3))
    other = image.copy()
    other[5, 5, 1] ^= 1
    assert pixel_hash(image) != pixel_hash(other)


def test_a_perceptual_hash_survives_size_compression_and_brightness():
    image = scene(1)
    kept = [
        cv2.resize(image, (40, 32), interpolation=cv2.INTER_AREA),
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
        np.clip(image * 0.8 + 20, 0, 255).astype(np.uint8),
    ]
    hashes = np.stack([perceptual_hash(i) for i in (image, *kept, scene(2), scene(3))])
    pairs = list(near_pairs(hashes, 4))
    assert {(i, j) for i, j, _ in pairs} == {(i, j) for i in range(4) for j in range(i + 1, 4)}


def test_fine_structure_tells_pictures_of_one_layout_apart():
    layout = cv2.resize(np.array([[40, 200], [220, 60]], np.uint8), (80, 64))[..., None]
    one, other = ((layout * 0.9 + scene(seed) * 0.1).astype(np.uint8) for seed in (1, 2))
    again = np.clip(one * 0.9 + 10, 0, 255).astype(np.uint8)
    assert fine_structure(thumbnail(one)) @ fine_structure(thumbnail(again)) > 0.9
    assert fine_structure(thumbnail(one)) @ fine_structure(thumbnail(other)) < 0.7
    assert abs(float(fine_structure(thumbnail(one)) @ fine_structure(thumbnail(one))) - 1) < 1e-5
    assert not fine_structure(thumbnail(np.zeros((5, 5, 3), np.uint8))).any()


def test_pairs_over_the_edge_of_a_block_are_found(monkeypatch):
    hashes = np.random.default_rng(0).random((1500, 63)) < 0.5
    hashes[1400] = hashes[3]
    hashes[1400, :2] ^= True
    for step in (1, 7, 1500, 10**7):
        monkeypatch.setattr(duplicates, "_MOST_COMPARED", 1500 * step)
        assert list(near_pairs(hashes, 4)) == [(3, 1400, 2)]


def test_pairs_that_something_joins_are_left_out():
    hashes = np.zeros((5, 63), bool)
    groups, pixels = np.array(list("aabbc")), np.array(list("vwxyw"))
    found = {(i, j) for i, j, _ in near_pairs(hashes, 4, unlike=(groups, pixels))}
    assert found == {(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 4), (3, 4)}
