"""At which size images with a mask are told from those without."""

import numpy as np
import pytest

from competition.masks import Runs
from competition.planning import recognition
from competition.planning.recognition import ShownImage, told_apart

SIDE = 128
SIZES = ((32, 32), (64, 64), (128, 128))


@pytest.fixture(scope="module")
def mottled():
    """Images with a plain disc each, every third with a mottled one too, of the same mean: its mask."""
    rng = np.random.default_rng(3)
    shown = []
    for number in range(36):
        image = rng.normal(120, 15, (SIDE, SIDE))
        inside = np.zeros((1, SIDE, SIDE), bool)
        for disc in ("plain", "mottled")[: 2 if number % 3 == 0 else 1]:
            y, x = rng.uniform(20, SIDE - 20, 2)
            rows, columns = np.ogrid[:SIDE, :SIDE]
            there = (rows - y) ** 2 + (columns - x) ** 2 < 144
            image[there] += 20
            if disc == "mottled":
                image[there] += 15 * rng.choice([-1, 1], there.sum())
                inside[0] |= there
        pixels = np.clip(image, 0, 255).astype(np.uint8)[..., None]
        shown.append(ShownImage.of(pixels, Runs.from_dense(inside)))
    return shown


def test_a_texture_that_shrinking_takes_away_tells_nothing_apart(mottled):
    found = told_apart(mottled, SIZES)
    assert found[32, 32] < 0.95 < 0.99 < found[128, 128]


def test_larger_sizes_are_not_looked_at_once_all_are_told_apart(mottled, monkeypatch):
    asked = []

    def share(shown, size, half):
        asked.append(size)
        return 1.0 if size[0] >= 64 else 0.8

    monkeypatch.setattr(recognition, "_share", share)
    assert told_apart(mottled, SIZES) == {(32, 32): 0.8, (64, 64): 1.0, (128, 128): 1.0}
    assert (128, 128) not in asked
    huge = ((600, 600), (900, 900))
    assert told_apart(mottled, huge) == dict.fromkeys(huge, 1.0)
    assert (900, 900) not in asked


def test_images_are_kept_small_with_their_masks_in_place():
    pixels = np.zeros((1024, 2048, 3), np.uint16)
    truth = np.zeros((2, 1024, 2048), bool)
    pixels[256:512, 512:1024] = 65535
    truth[0, 256:512, 512:768] = truth[1, 256:512, 768:1024] = True
    one = ShownImage.of(pixels, Runs.from_dense(truth))
    assert one.grey.shape == one.inside.shape == (256, 512)
    assert np.array_equal(one.grey > 0.99, one.inside) and one.inside.sum() == 64 * 128


def test_too_few_images_of_a_kind_decide_nothing(mottled):
    empty = [one for one in mottled if not one.inside.any()]
    assert told_apart([mottled[0], *empty], SIZES)[32, 32] == 1.0
