"""Images → logits → store: the networks of one member, over each image and its test-time views."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from competition.data.letterbox import LetterboxedImages
from competition.data.loader import PlainSet, plain_loader
from competition.inference.disagreement import plane_of
from competition.inference.store import Geometry, Provenance, StoreWriter
from competition.inference.views import AS_IT_IS, view_named
from competition.machine import Machine
from competition.models import SegmentationNetwork


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict. views: names, as `checked_views` gives them; permutation: of the classes under
    mirroring; alone: without the image as it is, unless it is among the views.
    """

    batch: int
    machine: Machine
    views: tuple[str, ...] = ()
    permutation: tuple[int, ...] | None = None
    alone: bool = False


def predict_store(
    networks: list[SegmentationNetwork],
    letterboxed: LetterboxedImages,
    folder: Path,
    *,
    images: tuple[str, ...],
    provenance: Provenance,
    settings: PredictionSettings,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write the mean logits of `networks` over `images` as one store, whole or not at all.

    `advance` is called once an image.
    """
    with StoreWriter(folder, provenance) as writer:
        for image, logits, plane in view_means(networks, images, letterboxed, settings):
            letterbox = letterboxed.letterboxes[image]
            geometry = Geometry(letterbox.native, letterbox.region(logits.shape[-2:]))
            writer.add(image, logits, geometry, disagreement=plane)
            advance()


def view_means(
    networks: list[SegmentationNetwork],
    images: tuple[str, ...],
    letterboxed: LetterboxedImages,
    settings: PredictionSettings,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(image, mean logits float32 (K,h',w'), disagreement uint8 (h',w')) over networks and views.

    In the order of `images`.
    """
    device = settings.machine.torch_device()
    for network in networks:
        # ty: ignore[no-matching-overload] torch's overloads leave memory_format out
        network.to(device, memory_format=torch.channels_last)
    for batch in plain_loader(PlainSet(images, letterboxed), batch=settings.batch):
        pixels = batch["images"].to(device)
        with torch.inference_mode(), settings.machine.autocast():
            views = [one for network in networks for one in _views(network, pixels, settings)]
            logits, variance = _mean(views), _variance(views)
        planes = plane_of(variance.cpu().numpy())
        yield from zip(batch["image"], logits.cpu().numpy(), planes, strict=True)


def _views(
    network: SegmentationNetwork, pixels: Tensor, settings: PredictionSettings
) -> list[Tensor]:
    """float32 logits (B,K,h',w') of images as the loader gives them, and of each view of them; those of
    another scale at the size of the others.
    """
    images, found = network.normalised(pixels), []
    for name in settings.views if settings.alone else (AS_IT_IS, *settings.views):
        view = view_named(name)
        shown = view.forward(images)
        logits = view.backward(network(shown).logits.float())
        size = _unscaled(logits, view.backward(shown), images)
        if logits.shape[-2:] != size:
            logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        swap = settings.permutation if view.mirrors else None
        found.append(logits if swap is None else logits[:, list(swap)])
    return found


def _unscaled(logits: Tensor, shown: Tensor, images: Tensor) -> tuple[int, int]:
    """Height, width of the logits of images as they are, from those of what was shown in their place."""
    sizes = zip(images.shape[-2:], logits.shape[-2:], shown.shape[-2:], strict=True)
    height, width = (round(side * grid / scaled) for side, grid, scaled in sizes)
    return height, width


def _variance(views: list[Tensor]) -> Tensor:
    """float32 (B,h',w'): variance over the views of the probability, summed over classes."""
    probabilities = [view.sigmoid() for view in views]
    mean = _mean(probabilities)
    return _mean([(one - mean).square().sum(1) for one in probabilities])


def _mean(views: list[Tensor]) -> Tensor:
    return sum(views, start=views[0].new_zeros(())) / len(views)
