"""Tiles: every pixel covered, blended as others blend, never an image in memory; masks from strips."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from competition.data.scaled import scaled_images
from competition.decoding.blend import blend
from competition.decoding.calibration import count_pixels
from competition.errors import InputFault
from competition.inference import store as stores
from competition.inference.joined_stores import combine_folds
from competition.inference.predict import PredictionSettings, predict_store, tiled_means
from competition.inference.store import Provenance, RowSpan, Store, place_of_rows
from competition.inference.tiles import Blending, StripMasks, Tiling, tile_weights
from competition.machine import machine_of
from competition.masks import Runs, runs_from_logits
from competition.models.base import Output
from competition.tuning.pixel_samples import draw

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
        with torch.no_grad():
            self.layers[2].bias -= self.layers(torch.rand(1, 3, 64, 64)).mean((0, 2, 3))

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        return Output(30 * self.shrunk(self.layers(images)))


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
        assert np.allclose(logits, reference(network, laid_out[image], overlap), atol=1e-4), image


@pytest.mark.long
def test_they_agree_with_monai(laid_out):
    inferers = pytest.importorskip("monai.inferers")
    network = Local()
    found = means(laid_out, ("divides", "does-not", "one-more"), network)
    inferer = inferers.SlidingWindowInferer(SIDE, sw_batch_size=2, overlap=0.5, mode="gaussian")
    for image, (logits, _) in found.items():
        pixels = torch.from_numpy(laid_out[image].transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            theirs = inferer(network.normalised(pixels), lambda x: network(x).logits)[0].numpy()
        assert np.abs(logits - theirs).max() < 1e-4


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


def predicted(laid_out, folder, *, images=None, network=None, **settings):
    provenance = Provenance(
        member="m", recipe="m", recipe_sha256="", folds=(0,), part="test", classes=CLASSES
    )
    images = tuple(laid_out.rows) if images is None else images
    predict_store(
        [network or Local()],
        laid_out,
        folder,
        images=images,
        provenance=provenance,
        settings=settings_of(**settings),
    )
    return Store.open(folder, classes=CLASSES)


@pytest.fixture(scope="module")
def store(laid_out, tmp_path_factory):
    return predicted(laid_out, tmp_path_factory.mktemp("runs") / "test")


def test_a_store_holds_each_image_on_its_own_grid_in_strips(laid_out, store):
    for image, (logits, _) in means(laid_out).items():
        read = store.read(image)
        assert store.grid_of(image) == SIZES[image] == read.geometry.size
        assert np.abs(read.logits() - logits.clip(-8, 8)).max() < 0.04
    assert len(store.strip_rows("does-not")) == 4 and sum(store.strip_rows("does-not")) == 71
    assert store.strips and len(store.strip_rows("smaller")) == 1


@pytest.mark.parametrize(
    "rows", [RowSpan(0, 71, 71), RowSpan(0, 9, 71), RowSpan(30, 36, 71), RowSpan(70, 71, 71)]
)
def test_some_rows_of_an_image_are_read_without_the_others(store, rows):
    nodes, place = place_of_rows(store.geometry("does-not"), 71, rows)
    read = store.read("does-not", rows)
    assert np.array_equal(read.codes, store.codes("does-not")[:, nodes])
    assert np.array_equal(
        store.disagreement("does-not", rows), store.disagreement("does-not")[nodes]
    )
    assert read.geometry == place and place.size == (rows.stop - rows.first, 105)


@pytest.fixture(params=[1.0, 0.6, 1.7])
def scaled_store(request, tmp_path):
    """Predictions at a scale, of a network whose logits are half as fine."""
    sizes = {"does-not": (91, 55), "smaller": (20, 27)}
    laid_out = written(tmp_path, sizes, request.param)
    return predicted(laid_out, tmp_path / "test", network=Local(stride=2))


@pytest.mark.parametrize("exclusive", [False, True])
def test_masks_cut_strip_by_strip_are_those_of_the_whole(scaled_store, monkeypatch, exclusive):
    together, cuts = blend({"m": scaled_store}, exclusive=exclusive), np.array([0.3, 0.5, 0.8])
    whole = {image: together.runs_at(image, cuts) for image in together.images}
    small = together.runs_at("does-not", cuts, (50, 31))
    assert together.pieces("does-not") == (None,)
    monkeypatch.setattr(stores, "PIECE", 1)
    assert len(together.pieces("smaller")) == len(scaled_store.strip_rows("smaller"))
    assert len(together.pieces("does-not")) > 2
    for image, runs in whole.items():
        assert apart(together.runs_at(image, cuts), runs) <= 2
    assert max(map(len, whole["does-not"])) > 20
    assert apart(together.runs_at("does-not", cuts, (50, 31)), small) <= 2
    if scaled_store.geometry("does-not").region[2:] == (45.5, 27.5):  # no position is rounded
        assert together.runs_at("does-not", cuts) == whole["does-not"]


def apart(one, other):
    """Pixels of which they say different things: those within rounding of the threshold, codes being
    whole numbers.
    """
    return sum((a ^ b).area().sum() for a, b in zip(one, other, strict=True))


def test_members_of_other_grids_are_blended_strip_by_strip(
    store, scaled_store, monkeypatch, tmp_path
):
    laid_out = written(tmp_path, {"does-not": (91, 55), "smaller": (20, 27)}, 0.7)
    other = predicted(laid_out, tmp_path / "other", overlap=0.25)
    together = blend({"m": scaled_store, "other": other}, {"m": 0.3, "other": 0.7})
    whole = together.runs_at("does-not", np.array([0.5]))
    monkeypatch.setattr(stores, "PIECE", 1)
    parts = together.runs_at("does-not", np.array([0.5]))
    assert len(whole[0]) > 100 and apart(whole, parts) <= 2


def test_masks_of_strips_as_they_come_are_those_of_the_whole(laid_out):
    for scale, stride in ((1.0, 1), (0.5, 1), (2.0, 4)):
        native = (137, 91)
        size = tuple(round(side * scale) for side in native)
        cover = Tiling(SIDE, (SIDE[0] // stride,) * 2, 0.5).cover(size)
        logits = np.random.default_rng(0).normal(0, 2, (2, *cover.grid)).astype(np.float32)
        place = cover.geometry(native)

        def decide(values, place):
            return runs_from_logits(values, place.size, 0.5, region=place.region)

        masks = StripMasks(place, cover.grid, decide)
        for first in range(0, cover.grid[0], 7):
            masks.add(logits[:, first : first + 7])
        assert masks.runs() == decide(logits, place)


class EachPixel(nn.Module):
    """From the colours of each pixel alone: turned tiles have turned logits."""

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        return Output(torch.stack([images[:, 0] - images[:, 1], 3 * images[:, 2] - 1], 1))


def test_views_of_tiles_are_turned_back_before_they_are_blended(laid_out):
    shown = ("mirror", "flip", "turn-90", "turn-180", "turn-270")
    plain = means(laid_out, network=EachPixel())
    turned = means(laid_out, network=EachPixel(), shown=shown)
    for image, (logits, _) in plain.items():
        both, plane = turned[image]
        assert np.allclose(both, logits, atol=1e-5) and plane.max() == 0
        assert logits.shape[1:] == SIZES[image]
    said = means(laid_out, ("does-not",), shown=("mirror",))["does-not"]
    assert said[1].max() > 0  # a network that sees another image says something else


def test_the_mean_of_folds_is_made_strip_by_strip(laid_out, store, tmp_path):
    network = Local()
    network.layers[0].weight.data *= 0.5
    other = predicted(laid_out, tmp_path / "other", network=network)
    combine_folds([store, other], tmp_path / "mean")
    mean = Store.open(tmp_path / "mean", classes=CLASSES)
    assert mean.strip_rows("does-not") == store.strip_rows("does-not")
    expected = (store.codes("does-not").astype(float) + other.codes("does-not")) / 2
    assert np.abs(mean.codes("does-not") - expected).max() <= 0.5
    assert mean.disagreement("does-not").max() > 0
    coarse = predicted(laid_out, tmp_path / "coarse", overlap=0.0)
    with pytest.raises(InputFault, match="two geometries"):
        combine_folds([store, coarse], tmp_path / "nothing")


def test_an_interrupted_prediction_leaves_nothing_and_goes_on_from_its_beginning(
    laid_out, store, tmp_path
):
    class Broken(Local):
        def forward(self, images):
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen > 4:
                raise KeyboardInterrupt
            return super().forward(images)

    with pytest.raises(KeyboardInterrupt):
        predicted(laid_out, tmp_path / "test", network=Broken())
    assert not (tmp_path / "test").exists()
    again = predicted(laid_out, tmp_path / "test")
    assert np.array_equal(again.codes("does-not"), store.codes("does-not"))


def test_tiles_whose_logits_are_no_whole_part_of_them_are_refused():
    with pytest.raises(InputFault, match=r"tiles of 30 × 32 have logits of 7 × 8; .* set size"):
        Tiling.of(Local(stride=4), (30, 32), 0.5)


def test_samples_and_counts_of_pieces_are_those_of_the_whole(store, monkeypatch):
    """Whole counts are exact; what is drawn stands for as many pixels."""
    random = np.random.default_rng(1)
    truth = {
        image: Runs.from_dense(random.random((2, *store.geometry(image).size)) < 0.3)
        for image in store.images
    }
    together = blend({"m": store})

    def found():
        samples = draw({"m": store}, truth, pixels=40)
        counts = count_pixels(together, truth.__getitem__, store.images)
        return samples, counts

    (whole, counted), _ = found(), monkeypatch.setattr(stores, "PIECE", 1)
    pieces, counted_again = found()
    assert len(together.pieces("does-not")) > 2
    assert np.array_equal(whole.labelled, pieces.labelled)
    assert np.array_equal(whole.predicted, pieces.predicted)
    assert np.array_equal(whole.common, pieces.common)
    assert np.array_equal(counted.by_image, counted_again.by_image)
    for one, other in zip(whole.classes, pieces.classes, strict=True):
        assert other.weight.sum() == pytest.approx(one.weight.sum(), rel=0.01)
