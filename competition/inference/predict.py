"""Images → logits → store: the networks of one member, over each image and its test-time views."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from competition.data.letterbox import LetterboxedImages
from competition.data.loader import PlainSet, plain_loader
from competition.data.scaled import LaidOutImages, ScaledImages
from competition.errors import InputFault
from competition.inference.disagreement import plane_of
from competition.inference.quantisation import quantise
from competition.inference.store import Geometry, Provenance, StoreWriter
from competition.inference.tiles import Cover, TileSet, Tiling, strips_by_image
from competition.inference.views import AS_IT_IS, view_named
from competition.machine import Machine
from competition.models import SegmentationNetwork


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict. views: names, as `checked_views` gives them; permutation: of the classes under
    mirroring; alone: without the image as it is, unless it is among the views; tile: height and width of
    a tile, and overlap: how much of it the next one shows, of images at a scale.
    """

    batch: int
    machine: Machine
    views: tuple[str, ...] = ()
    permutation: tuple[int, ...] | None = None
    tile: tuple[int, int] = (0, 0)
    overlap: float = 0.0
    alone: bool = False


def predict_store(
    networks: list[SegmentationNetwork],
    letterboxed: LaidOutImages,
    folder: Path,
    *,
    images: tuple[str, ...],
    provenance: Provenance,
    settings: PredictionSettings,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write the mean logits of `networks` over `images` as one store, whole or not at all; of images at
    a scale tile by tile.

    `advance` is called once an image.
    """
    if isinstance(letterboxed, ScaledImages):
        with StoreWriter(folder, provenance, strips=True) as writer:
            for image, cover, strips in tiled_means(networks, images, letterboxed, settings):
                geometry = cover.geometry(letterboxed.letterboxes[image].native)
                writer.add_strips(image, _codes(image, strips), geometry, cover.grid)
                advance()
        return
    with StoreWriter(folder, provenance) as writer:
        for image, logits, plane in view_means(networks, images, letterboxed, settings):
            letterbox = letterboxed.letterboxes[image]
            geometry = Geometry(letterbox.native, letterbox.region(logits.shape[-2:]))
            writer.add(image, logits, geometry, disagreement=plane)
            advance()


def _codes(
    image: str, strips: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for logits, plane in strips:
        try:
            yield quantise(logits), plane
        except InputFault as fault:
            raise InputFault(f"image {image!r}: {fault}") from None


def view_means(
    networks: list[SegmentationNetwork],
    images: tuple[str, ...],
    letterboxed: LetterboxedImages,
    settings: PredictionSettings,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(image, mean logits float32 (K,h',w'), disagreement uint8 (h',w')) over networks and views.

    In the order of `images`.
    """
    loader = plain_loader(PlainSet(images, letterboxed), batch=settings.batch)
    for image, logits, variance in _means(networks, loader, settings):
        yield image, logits, plane_of(variance)


def tiled_means(
    networks: list[SegmentationNetwork],
    images: tuple[str, ...],
    laid_out: ScaledImages,
    settings: PredictionSettings,
) -> Iterator[tuple[str, Cover, Iterator[tuple[np.ndarray, np.ndarray]]]]:
    """(image, how tiles cover it, strips) in the order of `images`; each strip mean logits float32
    (K,rows,w') and disagreement uint8 (rows,w'), top to bottom, to be taken before the next image.

    A batch of tiles may be of several images. The variance of views is averaged as their logits are.
    """
    device = settings.machine.torch_device()
    for network in networks:
        network.to(device)
    tiling = Tiling.of(networks[0], settings.tile, settings.overlap)
    loader = plain_loader(TileSet(images, laid_out, tiling), batch=settings.batch)
    tiles = (
        np.concatenate([logits, variance[None]])
        for _, logits, variance in _means(networks, loader, settings)
    )

    def cover(image: str) -> Cover:
        return tiling.cover(laid_out.letterboxes[image].size)

    for image, covered, strips in strips_by_image(images, cover, tiles):
        yield image, covered, ((strip[:-1], plane_of(strip[-1])) for strip in strips)


def _means(
    networks: list[SegmentationNetwork], loader: DataLoader, settings: PredictionSettings
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(image, mean logits float32 (K,h',w'), variance float32 (h',w')) of all that is loaded."""
    device = settings.machine.torch_device()
    for network in networks:
        # ty: ignore[no-matching-overload] torch's overloads leave memory_format out
        network.to(device, memory_format=torch.channels_last)
    for batch in loader:
        pixels = batch["images"].to(device)
        with torch.inference_mode(), settings.machine.autocast():
            views = [one for network in networks for one in _views(network, pixels, settings)]
            logits, variance = _mean(views), _variance(views)
        found = logits.cpu().numpy(), variance.cpu().numpy()
        yield from zip(batch["image"], *found, strict=True)


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
