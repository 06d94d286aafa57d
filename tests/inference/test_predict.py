"""From images to a store: mirrors, the order of images, where an image lies in its logits."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from competition.data.letterbox import letterboxed_images
from competition.errors import InputFault
from competition.inference import predict, views
from competition.inference.predict import PredictionSettings, predict_store, view_means
from competition.inference.store import Provenance, Store
from competition.machine import machine_of
from competition.models.base import Output

CLASSES = ("right", "middle", "left")
SIZES = {"b.png": (21, 35), "a.png": (40, 17), "c.png": (16, 16)}


class TellsSides(nn.Module):
    """Three classes: what is bright and lies to the right, what is bright, what is bright and left.

    Of a mirrored image it says the mirror of the same, with right and left exchanged.
    """

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        grey = images.mean(1, keepdim=True)
        across = torch.linspace(-1, 1, images.shape[-1])
        return Output(torch.cat([grey + across, grey, grey - across], 1))


@pytest.fixture
def placed(tmp_path):
    random = np.random.default_rng(0)
    for name, size in SIZES.items():
        cv2.imwrite(str(tmp_path / name), random.integers(0, 256, (*size, 3), np.uint8))
    rows = [
        {"image": name, "path": name, "split": "test", "height": size[0], "width": size[1]}
        for name, size in SIZES.items()
    ]
    return letterboxed_images(
        pd.DataFrame(rows), tmp_path, tmp_path / "cache", form=((16, 24), "pad")
    )


def settings_of(shown=(), permutation=None, batch=2):
    machine = machine_of({"PODIUM_DTYPE": "float32"})
    return PredictionSettings(batch, machine, shown, permutation)


def means(placed, permutation, images=("b.png", "a.png", "c.png")):
    """Mirrored too, with the classes exchanged as the permutation says; None: as they are alone."""
    settings = settings_of(() if permutation is None else ("mirror",), permutation)
    return list(view_means([TellsSides()], images, placed, settings))


def test_a_mirrored_view_has_its_paired_classes_exchanged_and_is_turned_back(placed):
    """A network that is right about sides is of one mind with its own mirrored view."""
    plain, mirrored = means(placed, None), means(placed, (2, 1, 0))
    for (image, logits, _), (same, both, disagreement) in zip(plain, mirrored, strict=True):
        assert image == same and np.allclose(both, logits, atol=1e-5)
        assert disagreement.max() == 0


def test_views_that_say_different_things_are_averaged_and_their_disagreement_is_kept(placed):
    """The same network without the exchange: right and left are each half of both."""
    (_, plain, _), (_, both, disagreement) = (means(placed, p)[0] for p in (None, (0, 1, 2)))
    assert np.allclose(both[0], (plain[0] + plain[2]) / 2, atol=1e-5)
    assert disagreement[:, 0].min() > 5 * disagreement[:, 11:13].max()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_store_has_the_images_in_the_order_asked_for_each_with_its_own_logits(
    placed, tmp_path, batch
):
    provenance = Provenance(
        member="m", recipe="m", recipe_sha256="", folds=(0,), part="test", classes=CLASSES
    )
    settings, ticks = settings_of(batch=batch), []
    predict_store(
        [TellsSides()],
        placed,
        tmp_path / "test",
        images=("c.png", "a.png", "b.png"),
        provenance=provenance,
        settings=settings,
        advance=lambda: ticks.append(1),
    )
    store = Store.open(tmp_path / "test", classes=CLASSES)
    assert store.images == ("c.png", "a.png", "b.png") and len(ticks) == 3
    for image in store.images:
        grey = placed[image].mean(-1) / 255
        assert np.abs(store.read(image).logits()[1] - grey).max() < 0.04
        assert store.geometry(image).size == SIZES[image]
    assert store.geometry("a.png").region == (0, 0, 16, 7)


def test_the_mean_of_networks_is_that_of_their_logits(placed):
    class Doubled(TellsSides):
        def forward(self, images):
            return Output(2 * super().forward(images).logits)

    settings = settings_of(batch=3)
    ((_, single, _),) = means(placed, None, ("a.png",))
    networks = [TellsSides(), Doubled()]
    ((_, both, disagreement),) = view_means(networks, ("a.png",), placed, settings)
    assert np.allclose(both, 1.5 * single, atol=1e-5) and disagreement.max() > 0


class EachPixel(nn.Module):
    """Two classes from the colours of each pixel alone: turned images have turned logits."""

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        return Output(torch.stack([images[:, 0] - images[:, 1], 3 * images[:, 2] - 1], 1))


class TopIsBrighter(EachPixel):
    """The same, but for where a pixel lies: upside down it says something else."""

    def forward(self, images):
        down = torch.linspace(1, -1, images.shape[-2])[:, None]
        return Output(super().forward(images).logits + down)


@pytest.fixture
def upside_down(monkeypatch):
    turned = views.View(lambda images: images.flip(-2), lambda logits: logits.flip(-2))
    monkeypatch.setitem(views.VIEWS, "upside-down", turned)


@pytest.mark.parametrize("permutation", [None, (1, 0)])
def test_a_view_that_is_added_is_shown_to_the_network_and_turned_back(
    placed, upside_down, permutation
):
    """One that does not mirror exchanges no classes, whatever mirroring does."""
    ((_, plain, _),) = view_means([EachPixel()], ("a.png",), placed, settings_of())
    settings = settings_of(("upside-down",), permutation)
    ((_, both, disagreement),) = view_means([EachPixel()], ("a.png",), placed, settings)
    assert np.abs(plain - plain[:, ::-1]).max() > 0.1 < np.abs(plain - plain[::-1]).max()
    assert np.allclose(both, plain, atol=1e-6) and disagreement.max() == 0


def test_a_network_that_sees_another_image_in_a_view_says_something_else(placed, upside_down):
    """Its logits fall from top to bottom; with those of the image upside down they do not."""
    ((_, plain, _),) = view_means([EachPixel()], ("a.png",), placed, settings_of())
    settings = settings_of(("upside-down",))
    ((_, both, disagreement),) = view_means([TopIsBrighter()], ("a.png",), placed, settings)
    assert np.allclose(both, plain, atol=1e-6) and disagreement.max() > 0


def test_views_are_known_and_mirror_only_where_it_is_allowed(upside_down):
    every = ("mirror", "upside-down")
    assert views.checked_views(every, may_mirror=True) == every
    assert views.checked_views(every, may_mirror=False) == ("upside-down",)
    with pytest.raises(InputFault, match=r"'miror' in \[ensemble\] views; .*mirror, .*upside-down"):
        views.checked_views(("miror",), may_mirror=False)


class SaysWhatItSees(torch.nn.Module):
    """Two logits a pixel: its red, and the sum of all pixels before it in its row and column."""

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        red = images[:, 0]
        return Output(torch.stack([red, red.cumsum(-1) + 2 * red.cumsum(-2)], 1))


TURNING = [*(name for name in views.VIEWS if name != "upside-down"), *views._TURNED[3:]]


@pytest.mark.parametrize("name", [*TURNING, "flip+mirror", "turn-90+turn-90", "mirror+flip"])
@pytest.mark.parametrize("size", [(6, 6), (4, 6)])
def test_each_view_shows_another_image_and_comes_back_to_its_place(name, size):
    view = views.view_named(name)
    images = torch.rand(2, 3, *size)
    assert not torch.equal(view.forward(images), images) or size[0] != size[1]
    assert torch.equal(view.backward(view.forward(images)), images)
    seen = SaysWhatItSees()(view.forward(images)).logits
    back, plain = view.backward(seen), SaysWhatItSees()(images).logits
    assert torch.equal(back[:, 0], plain[:, 0]) and not torch.allclose(back[:, 1], plain[:, 1])


def test_d4_is_every_way_to_lay_a_square():
    """Eight, with the image as it is."""
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    named = views.checked_views(["d4"], may_mirror=True, turns=("vertical_flip", "quarter_turns"))
    shown = [image, *(views.view_named(name).forward(image) for name in named)]
    assert len({tuple(one.flatten().tolist()) for one in shown}) == len(shown) == 8


@pytest.mark.parametrize("name", ["0.5x", "1.25x", "mirror+0.75x", "1.5x+mirror"])
@pytest.mark.parametrize("stride", [1, 4])
def test_a_scaled_view_comes_back_to_the_size_and_the_place_of_the_image(name, stride):
    """A network that says what each pixel shows, at its own or at a coarser size; of a slope, which a
    resize leaves a slope, it says the same at every scale.
    """

    class Coarse(torch.nn.Module):
        normalised = EachPixel.normalised

        def forward(self, images):
            return Output(torch.nn.functional.avg_pool2d(images, stride, ceil_mode=True))

    slope = torch.linspace(0, 200, 48)[None] + torch.linspace(0, 50, 32)[:, None]
    pixels = slope * torch.tensor([1.0, 0.5, 0.2])[:, None, None].expand(2, 3, 1, 1)
    settings = settings_of((name,), (0, 2, 1))
    plain, seen = predict._views(Coarse(), pixels, settings)
    assert seen.shape == plain.shape and view_shows_another_size(name, pixels)
    inner = (..., slice(4 // stride, -4 // stride), slice(4 // stride, -4 // stride))
    plain = plain[:, [0, 2, 1]] if "mirror" in name else plain
    assert torch.allclose(seen[inner], plain[inner], atol=0.02)


def view_shows_another_size(name, pixels):
    return views.view_named(name).forward(pixels).shape != pixels.shape


def test_quarter_turns_need_a_square_size():
    views.refuse_unsquare(("mirror", "flip", "turn-180"), (64, 96))
    views.refuse_unsquare(("turn-90",), (64, 64))
    for name in ("turn-270", "mirror+turn-270", "0.75x+turn-270"):
        with pytest.raises(
            InputFault, match=rf"{re.escape(name)}' .*size \[64, 96\] is not square"
        ):
            views.refuse_unsquare(("mirror", name), (64, 96))
