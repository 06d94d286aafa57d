"""Batches for training and prediction: `images (B,C,h,w)`, `planes (B,P,h,w) uint8`.

Images are uint8, or int32 where 16 bits are kept: torch knows uint16 only in part.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from competition.data.augment import (
    Turns,
    augment,
    place_of_part,
    random_crop,
    signed_distances,
    transform,
)
from competition.data.letterbox import PixelWindow
from competition.data.mixing import Laid, mixed
from competition.data.scaled import LaidOutImages, ScaledImages
from competition.machine import Machine
from competition.masks import Runs, unpack
from competition.recipes import Allowed, Recipe, further_transforms


class Draw(NamedTuple):
    """One example of one pass over the images; carries all that its augmentation depends on."""

    epoch: int
    index: int
    positive: bool | None
    """Whether a crop must show a mask; None: as it comes."""
    place: int
    """In the run, counted from 0 over all rounds: by it a batch is known to be the one that is due."""


class DrawSampler(Sampler[Draw]):
    """Draws of a round, and how many there are."""

    def __len__(self) -> int:
        raise NotImplementedError


@dataclass(frozen=True)
class Labelled:
    """Images with their masks: what a network is trained on or validated against."""

    images: tuple[str, ...]
    letterboxed: Mapping[str, LaidOutImages]
    runs: Mapping[str, Runs]
    ignored: Mapping[str, Runs] = field(default_factory=dict)
    """Pixels (1, H, W), or (K, H, W) of each class, that do not count, of those images that may have
    some.
    """
    annotators: Mapping[str, Runs] = field(default_factory=dict)
    """Masks (R * K, H, W) of R annotators, of those images that have some: what is trained on."""

    def ignored_masks(self) -> int:
        """How many masks say which pixels do not count: 0 where all do, 1 for all classes, or K."""
        found = (self.ignored.get(image) for image in self.images)
        return max((mask.classes for mask in found if mask is not None and len(mask)), default=0)

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, image: str) -> np.ndarray:
        return self.letterboxed[image][image]


class TrainingSet(Dataset[dict[str, torch.Tensor]]):
    """Augmented examples by `Draw`."""

    def __init__(
        self,
        labelled: Labelled,
        recipe: Recipe,
        *,
        permutation: tuple[int, ...] | None,
        seed: int,
        distances: int = 0,
        turns: Collection[str] = (),
    ) -> None:
        """permutation: of the classes under mirroring; None where mirroring is forbidden. turns: which
        of `vertical_flip` and `quarter_turns` are allowed.

        distances: the number of classes where the loss needs maps of signed distances; 0: none.
        """
        self.labelled, self.seed, self.distances = labelled, seed, distances
        self.ignored_masks = labelled.ignored_masks()
        self.ignored_planes = -(-self.ignored_masks // 8)  # as many bit planes as the classes' own
        further = further_transforms(recipe, Allowed(permutation, turns))
        self.left_out = further.left_out
        self.change = transform(recipe.augmentation, further.transforms)
        self.sampling = recipe.sampling
        probability = 0.0 if permutation is None else recipe.augmentation.flip
        self.flip = (probability, permutation or ())
        allowed = ("vertical_flip" in turns, "quarter_turns" in turns)
        self.turns = Turns(recipe.augmentation.flip, *allowed)
        self.mixing = recipe.augmentation if recipe.augmentation.mixes else None
        self.anywhere = permutation is not None and permutation == tuple(range(len(permutation)))
        self.tile = recipe.size if recipe.tiles is not None else None
        self.margin = recipe.margin

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: Draw) -> dict[str, torch.Tensor]:
        draw = index  # torch names the parameter
        image = self.labelled.images[draw.index]
        letterboxed = self.labelled.letterboxed[image]
        letterbox, seed = letterboxed.letterboxes[image], (self.seed, draw.epoch, draw.index)
        window = self._window(image, draw, seed)
        planes = self._planes(image, seed, window)
        if window is not None:
            assert isinstance(letterboxed, ScaledImages)  # tiles are of nothing else
            shown = Laid(letterboxed.window(image, window), planes, letterbox.resized)
        else:
            shown = Laid(letterboxed[image], planes, letterbox.resized)
        if self.mixing is not None:
            shown = self._mixed(shown, draw, seed)
        pixels, planes = augment(
            shown.image,
            shown.planes,
            change=self.change,
            flip=self.flip,
            seed=seed,
            turns=self.turns,
            sets=2 if self.ignored_masks > 1 else 1,
        )
        classes = len(planes) - self.ignored_planes
        if self.tile is not None:
            rows, columns = (slice(self.margin, self.margin + side) for side in self.tile)
            pixels, planes = pixels[rows, columns], np.ascontiguousarray(planes[:, rows, columns])
        elif self.sampling.crop is not None:
            pixels, planes = random_crop(
                pixels,
                planes,
                self.sampling,
                extent=shown.extent,
                positive=draw.positive,
                random=np.random.default_rng((*seed, 1)),
                of_classes=classes,
            )
        planes, ignored = planes[:classes], planes[classes:]
        example = {"images": channels_first(pixels), "planes": torch.from_numpy(planes)}
        example["place"] = torch.tensor(draw.place)
        if self.ignored_masks:
            example["ignored" if self.ignored_masks == 1 else "ignored_planes"] = torch.from_numpy(
                ignored
            )
        if self.distances:
            masks = unpack(planes, self.distances).astype(bool)
            example["distances"] = torch.from_numpy(signed_distances(masks))
        return example

    def _mixed(self, one: Laid, draw: Draw, seed: tuple[int, ...]) -> Laid:
        """An example with what its recipe asks for of other training images."""
        assert self.mixing is not None
        random, others = np.random.default_rng((*seed, 3)), len(self.labelled) - 1
        drawn = itertools.count()

        def partner() -> Laid:
            further = 1 + int(random.integers(others)) if others else 0
            image = self.labelled.images[(draw.index + further) % len(self.labelled)]
            letterboxed = self.labelled.letterboxed[image]
            planes = self._planes(image, (*seed, 3, next(drawn)))
            return Laid(letterboxed[image], planes, letterboxed.letterboxes[image].resized)

        return mixed(
            one,
            partner,
            self.mixing,
            classes=self.labelled.runs[self.labelled.images[draw.index]].classes,
            anywhere=self.anywhere,
            random=random,
        )

    def _window(self, image: str, draw: Draw, seed: tuple[int, ...]) -> PixelWindow | None:
        """The part of an image at a scale that an example is, with a margin all around, so that what is
        turned into it is the image and not black; None where examples are whole images or cut later.
        """
        if self.tile is None:
            return None
        top, left = place_of_part(
            self._masks(image, seed),
            self.labelled.letterboxed[image].letterboxes[image],
            self.tile,
            centred=self.sampling.centred,
            positive=draw.positive,
            random=np.random.default_rng((*seed, 1)),
        )
        height, width = (side + 2 * self.margin for side in self.tile)
        return top - self.margin, left - self.margin, height, width

    def _masks(self, image: str, seed: tuple[int, ...]) -> Runs:
        """Runs (K, H, W): the labels, or, where annotators drew the image, those of one of them. Over
        many draws the mean target is their mean mask.
        """
        labels, drawn = self.labelled.runs[image], self.labelled.annotators.get(image)
        if drawn is None:
            return labels
        random, classes = np.random.default_rng((*seed, 2)), labels.classes
        first = int(random.integers(drawn.classes // classes)) * classes
        return drawn.select(range(first, first + classes))

    def _planes(
        self, image: str, seed: tuple[int, ...], window: PixelWindow | None = None
    ) -> np.ndarray:
        """Bit planes uint8 (P, h, w) of an image's classes, or of a window of it, and, where any image
        ignores pixels, one more: 1 where the pixel touches an ignored one, which no class then has.
        Where classes ignore pixels of their own it is P more, and a class has none of its own.
        """
        letterbox = self.labelled.letterboxed[image].letterboxes[image]
        planes = letterbox.planes(self._masks(image, seed), window)
        if not self.ignored_masks:
            return planes
        ignored = self.labelled.ignored.get(image)
        if ignored is None:
            touched = np.zeros_like(planes[: self.ignored_planes])
        else:
            touched = letterbox.touched(ignored, window)
        of_all = touched if ignored is not None and ignored.classes > 1 else touched * np.uint8(255)
        if self.ignored_masks == 1:
            return np.concatenate([planes & ~of_all, touched])
        return np.concatenate([planes & ~of_all, np.broadcast_to(of_all, planes.shape)])


class PlainSet(Dataset[dict[str, Any]]):
    """Images as they are, by position, for validation and prediction: nothing random."""

    def __init__(self, images: tuple[str, ...], letterboxed: LaidOutImages) -> None:
        self.images, self.letterboxed = images, letterboxed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[index]
        return {"image": image, "images": channels_first(np.array(self.letterboxed[image]))}


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (h, w, C) → uint8 tensor (C, h, w); uint16 → int32."""
    pixels = pixels.astype(np.int32) if pixels.dtype == np.uint16 else pixels
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def training_loader(
    dataset: TrainingSet, sampler: DrawSampler, *, batch: int, machine: Machine
) -> DataLoader:
    """Batches as drawn; a last short batch is dropped, since batch norm refuses a batch of one."""
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        drop_last=len(sampler) >= batch,
        num_workers=machine.workers,
        multiprocessing_context=machine.start_method if machine.workers else None,
        persistent_workers=machine.workers > 0,
        pin_memory=machine.kind == "cuda",
    )


def plain_loader(dataset: Dataset[dict[str, Any]], *, batch: int) -> DataLoader:
    """Batches in the order of the images, or of their tiles."""
    return DataLoader(dataset, batch_size=batch, shuffle=False)
