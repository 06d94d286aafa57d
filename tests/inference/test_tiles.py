"""Tiles: every pixel covered, blended as others blend, never an image in memory; masks from strips."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from competition.data.scaled import scaled_images
from competition.inference.predict import PredictionSettings, tiled_means
from competition.inference.tiles import Blending, Tiling, tile_weights
from competition.machine import machine_of
from competition.models.base import Output

CLASSES = ("a", "b")
SIZES = {
    "divides": (64, 96),
    "does-not": (71, 105),
    "one-more": (33, 33),
    "smaller": (20, 27),
    "a-column": (50, 1),
    "a-row": (1, 70),
    "one-tile": (32, 32),
}
SIDE = (32, 32)


class Local(nn.Module):
    """Two classes from a pixel and its neighbours: near the border of a tile it says something else."""

    def __init__(self, stride=1):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)
        )
        self.shrunk = nn.AvgPool2d(stride)

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        return Output(4 * self.shrunk(self.layers(images)))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """All sizes as files, at their own scale."""
    folder = tmp_path_factory.mktemp("images")
    return written(folder, SIZES)


def written(folder, sizes, scale=1.0):
    random = np.random.default_rng(0)
    rows = []
    for name, size in sizes.items():
        cv2.imwrite(str(folder / f"{name}.png"), random.integers(0, 256, (*size, 3), np.uint8))
        rows.append((name, f"{name}.png", "test", *size))
    catalog = pd.DataFrame(rows, columns=["image", "path", "split", "height", "width"])
    return scaled_images(catalog, folder, folder / "cache", scale=scale)


def settings_of(shown=(), overlap=0.5, batch=3, side=SIDE):
    machine = machine_of({"PODIUM_DTYPE": "float32"})
    return PredictionSettings(batch, machine, shown, None, side, overlap)


def means(laid_out, images=None, network=None, **settings):
    """Image → its blended logits and disagreement, whole."""
    images = tuple(laid_out.rows) if images is None else images
    found = {}
    network = network or Local()
    for image, _, strips in tiled_means([network], images, laid_out, settings_of(**settings)):
        logits, planes = zip(*strips, strict=True)
        found[image] = np.concatenate(logits, axis=1), np.concatenate(planes)
    return found


def reference(network, pixels, overlap=0.5, side=SIDE):
    """The plain way: every tile into arrays as large as the image. pixels (H, W, 3) → (K, H, W)."""
    height, width = (max(a, b) for a, b in zip(pixels.shape[:2], side, strict=True))
    padded = np.zeros((height, width, 3), np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    offsets = [np.arange(n) - (n - 1) / 2 for n in side]
    bells = [np.exp(-(o**2) / (2 * (n / 8) ** 2)) for o, n in zip(offsets, side, strict=True)]
    bell = np.clip(bells[0][:, None] * bells[1], 1e-3, None)
    total, weight = np.zeros((2, height, width)), np.zeros((height, width))
    step = [int(n * (1 - overlap)) for n in side]
    for top in sorted({min(y, height - side[0]) for y in range(0, height, step[0])}):
        for left in sorted({min(x, width - side[1]) for x in range(0, width, step[1])}):
            here = slice(top, top + side[0]), slice(left, left + side[1])
            image = torch.from_numpy(padded[here].transpose(2, 0, 1).copy())[None]
            with torch.no_grad():
                logits = network(network.normalised(image)).logits[0].numpy()
            total[(slice(None), *here)] += logits * bell
            weight[here] += bell
    return (total / weight)[:, : pixels.shape[0], : pixels.shape[1]]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_of_any_size_are_blended_as_the_plain_way_blends_them(laid_out, overlap):
    network = Local()
    found = means(laid_out, network=network, overlap=overlap)
    for image, size in SIZES.items():
        logits, _ = found[image]
        assert logits.shape == (2, *size)
        assert np.allclose(logits, reference(network, laid_out[image], overlap), atol=1e-5), image


def test_they_agree_with_monai(laid_out):
    inferers = pytest.importorskip("monai.inferers")
    network = Local()
    found = means(laid_out, ("divides", "does-not", "one-more"), network)
    inferer = inferers.SlidingWindowInferer(SIDE, sw_batch_size=2, overlap=0.5, mode="gaussian")
    for image, (logits, _) in found.items():
        pixels = torch.from_numpy(laid_out[image].transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            theirs = inferer(network.normalised(pixels), lambda x: network(x).logits)[0].numpy()
        assert np.abs(logits - theirs).max() < 1e-5


def test_an_image_of_one_tile_is_the_whole_bit_for_bit(laid_out):
    network = Local()
    ((logits, plane),) = means(laid_out, ("one-tile",), network, batch=1).values()
    pixels = torch.from_numpy(laid_out["one-tile"].transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        whole = network(network.normalised(pixels)).logits[0].numpy()
    assert np.array_equal(logits, whole) and plane.max() == 0


@pytest.mark.parametrize("image", [(1, 1), (31, 64), (32, 32), (33, 32), (200, 77)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("stride", [1, 4])
def test_every_pixel_is_covered_and_its_weights_are_one(image, overlap, stride):
    """Tiles that all say 1 say 1 everywhere, in as many rows as there are."""
    cover = Tiling(SIDE, (SIDE[0] // stride,) * 2, overlap).cover(image)
    blending, strips = Blending(cover), []
    for _ in cover.places:
        assert not blending.done
        strips.append(blending.add(np.ones((1, *cover.tiling.logits), np.float32)))
    assert blending.done
    values = np.concatenate([strip for strip in strips if strip is not None], axis=1)
    assert values.shape == (1, -(-image[0] // stride), -(-image[1] // stride))
    assert np.allclose(values, 1, atol=1e-6)
    ends = [top + SIDE[0] // stride for top in cover.tops]
    assert cover.tops[0] == 0 and ends[-1] == max(cover.grid[0], SIDE[0] // stride)
    gaps = np.diff(cover.tops)
    assert (gaps > 0).all() and (gaps <= max(1, int(SIDE[0] // stride * (1 - overlap)))).all()


def test_the_middle_of_a_tile_weighs_most_and_its_corners_least():
    weights = tile_weights((33, 65))
    assert weights[16, 32] == 1 == weights.max() and weights.min() == np.float32(1e-3)
    assert np.array_equal(weights, weights[::-1, ::-1]) and weights[16, 8] > weights[16, 2]
