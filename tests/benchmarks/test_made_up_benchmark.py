"""The made-up downloads are what they are said to be."""

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks import made_up


@pytest.mark.parametrize("kind", made_up.KINDS)
def test_a_download_is_what_it_is_said_to_be(monkeypatch, tmp_path, kind):
    make, *_ = made_up.KINDS[kind]
    monkeypatch.setitem(made_up.KINDS, kind, (make, 21, 2))
    made_up.run(kind, tmp_path / "a", seed=0)
    images = sorted((tmp_path / "a" / "train" / "images").iterdir())
    masks = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for path in sorted((tmp_path / "a" / "train" / "masks").iterdir())
    ]
    assert len(images) == len(masks) == 21
    assert len(list((tmp_path / "a" / "test" / "images").iterdir())) == 2
    sample = pd.read_csv(tmp_path / "a" / "sample_submission.csv")
    assert sample["image"].nunique() == 2
    if kind == "regions":
        values = np.unique(np.stack(masks))
        assert values.tolist() == list(range(len(made_up.REGIONS)))
        assert len(sample) == 2 * len(made_up.REGIONS)
    elif kind == "roads":
        assert masks[0].shape == (1024, 1024)
        deep = cv2.distanceTransform(masks[0], cv2.DIST_L2, 3)
        ridge = deep[deep == cv2.dilate(deep, np.ones((3, 3)))]
        assert np.median(ridge[ridge > 0]) <= 2  # of lines three pixels wide
    else:
        assert [bool(mask.any()) for mask in masks] == [n % 20 == 0 for n in range(21)]


def test_the_same_seed_gives_the_same_pixels(monkeypatch, tmp_path):
    make, *_ = made_up.KINDS["rare"]
    monkeypatch.setitem(made_up.KINDS, "rare", (make, 1, 1))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        made_up.run("rare", tmp_path / name, seed)
    first, same, other = (
        (tmp_path / name / "train" / "images" / "rare0000.png").read_bytes() for name in "abc"
    )
    assert first == same != other
