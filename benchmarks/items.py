"""What is measured: each item ours beside the usual way and beside other libraries, same result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import others, usual
from benchmarks.fields import MaskSet
from competition.masks import RleFormat, Runs, decode, encode, planes_from_runs, polygons_from_runs
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.bitplanes import unpack
from competition.masks.from_logits import runs_at_thresholds, runs_from_logits
from competition.masks.from_logits_torch import runs_from_tensor
from competition.masks.rle import encode_classes
from competition.masks.voting import weighted_vote
from competition.scoring.overlap import dice_from_statistics, dice_statistics

ROWS, COLUMNS = RleFormat("rows"), RleFormat("columns")
THRESHOLDS = np.linspace(0.1, 0.9, 9)

Call = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Item:
    """One line of the table.

    ours, usual: calls to compare; others: calls by name of the library; target: the ratio
    usual / ours that is asked for on bones, None where none is; asked_of: the same for others / ours;
    reads: the array that both have to read, for the floor; agree: whether two results (ours, usual)
    are the same.
    """

    name: str
    ours: Call
    usual: Call
    agree: Callable[[Any, Any], bool]
    others: dict[str, Call] = field(default_factory=dict)
    target: float | None = None
    asked_of: dict[str, float] = field(default_factory=dict)
    reads: np.ndarray | None = None


def equal(ours: Any, theirs: Any) -> bool:
    return ours == theirs


def nearly(texts: list[str], theirs: list[str]) -> bool:
    """Texts of the same pixels but for a few where float32 rounds a value over the threshold."""
    return sum(one != other for one, other in zip(texts, theirs, strict=True)) <= len(texts) / 4


def text_items(masks: MaskSet) -> list[Item]:
    """Masks that are dense already, to text."""
    stack = runs_from_logits(masks.logits, masks.size).to_dense()
    return [
        Item(
            "dense masks to row-major text",
            lambda: encode(Runs.from_dense(stack), ROWS),
            lambda: [usual.rle_rows(mask) for mask in stack],
            equal,
            target=18,
            reads=stack,
        ),
        Item(
            "dense masks to column-major text",
            lambda: encode(Runs.from_dense(stack), COLUMNS),
            lambda: [usual.rle_columns(mask) for mask in stack],
            equal,
            others.installed({"pycocotools": lambda: others.pycocotools_texts(stack)}),
            target=60,
            asked_of={"pycocotools": 45},
            reads=stack,
        ),
    ]


def label_map_item(masks: MaskSet) -> Item:
    """Exclusive classes in one label map, to text."""
    classes = len(masks.logits)
    labels = _label_map(masks)
    return Item(
        "label map to text",
        lambda: encode(Runs.from_label_map(labels, classes), ROWS),
        lambda: usual.label_map_texts(labels, classes),
        equal,
        target=90,
        reads=labels,
    )


def logit_items(masks: MaskSet) -> list[Item]:
    """The output of a network to scores and text."""
    logits, size, truth = masks.logits, masks.size, masks.truth
    dense = torch.from_numpy(truth.to_dense()).float()
    return [
        Item(
            "logits to text",
            lambda: encode(runs_from_logits(logits, size), ROWS),
            lambda: usual.texts_from_logits(logits, size),
            nearly,
            {"cv2": lambda: others.cv2_texts(logits, size)},
            target=150,
            reads=logits,
        ),
        Item(
            "logits to Dice and text",
            lambda: _dice_and_texts(logits, truth),
            lambda: usual.dice_and_texts(logits, dense, size),
            lambda ours, theirs: _close(ours[0], theirs[0]) and nearly(ours[1], theirs[1]),
            others.installed(
                {
                    "torchmetrics": lambda: others.torchmetrics_dice(logits, dense),
                    "monai": lambda: others.monai_dice(logits, dense),
                }
            ),
            target=300,
            reads=logits,
        ),
        Item(
            "Dice at nine thresholds",
            lambda: _dice_at_thresholds(logits, truth),
            lambda: usual.dice_at_thresholds(logits, dense, THRESHOLDS),
            _close,
            target=250,
            reads=logits,
        ),
    ]


def device_item(masks: MaskSet) -> Item:
    """Logits that lie on a graphics card: runs are made there, or masks are and come to the host."""
    logits, size = torch.from_numpy(masks.logits).cuda(), masks.size
    return Item(
        "logits on a graphics card to text",
        lambda: encode(runs_from_tensor(logits, size), ROWS),
        lambda: [usual.rle_rows(mask) for mask in others.device_masks(logits, size)],
        nearly,
    )


def exclusive_item(masks: MaskSet) -> Item:
    """Exclusive classes from the output of a network."""
    logits, size = masks.logits, masks.size
    return Item(
        "logits to text, exclusive classes",
        lambda: encode(label_runs_from_logits(logits, size, background=True), ROWS),
        lambda: others.argmax_texts(logits, size),
        nearly,
        reads=logits,
    )


def vote_item(masks: MaskSet) -> Item:
    """The majority of five submissions of one image."""
    logits, size = masks.logits, masks.size
    shifted = (runs_from_logits(logits + 0.4 * step, size) for step in range(-2, 3))
    files = [encode_classes(runs, ROWS) for runs in shifted]
    return Item(
        "vote of five csv files",
        lambda: encode(
            weighted_vote([decode(texts, (len(texts), *size), ROWS) for texts in files]), ROWS
        ),
        lambda: usual.vote(files, size),
        equal,
        target=100,
    )


def target_item(masks: MaskSet) -> Item:
    """What a data set hands to training: the label of one image at a quarter of its size.

    cv2's nearest neighbour is up to 1.5 pixels off, so the two overlap, but are not equal.
    """
    small = (masks.size[0] // 4, masks.size[1] // 4)
    polygons = [
        [np.ascontiguousarray(part, np.int32) for part in polygons_from_runs(mask)]
        for mask in masks.truth
    ]
    cached = masks.truth
    return Item(
        "target of one image from the cache",
        lambda: planes_from_runs(cached, small),
        lambda: usual.target_from_polygons(polygons, masks.size, small),
        lambda planes, label: (
            _overlap(Runs.from_dense(unpack(planes, cached.classes)), label) > 0.8
        ),
        target=100,
    )


def _dice_and_texts(logits: np.ndarray, truth: Runs) -> tuple[np.ndarray, list[str]]:
    runs = runs_from_logits(logits, (truth.height, truth.width))
    return dice_from_statistics(*dice_statistics(truth, runs)), encode_classes(runs, ROWS)


def _dice_at_thresholds(logits: np.ndarray, truth: Runs) -> np.ndarray:
    size = (truth.height, truth.width)
    found = runs_at_thresholds(logits, size, THRESHOLDS)
    return np.stack([dice_from_statistics(*dice_statistics(truth, runs)) for runs in found])


def _close(ours: np.ndarray, theirs: torch.Tensor) -> bool:
    return bool(np.allclose(ours, theirs.numpy(), atol=1e-4))


def _overlap(runs: Runs, label: np.ndarray) -> float:
    dense = runs.to_dense()
    other = np.moveaxis(label, -1, 0) > 0
    return 2 * (dense & other).sum() / (dense.sum() + other.sum())


def _label_map(masks: MaskSet) -> np.ndarray:
    """uint8 (H, W), as a png holds it: the class of the largest logit, from 1; 0 below 0."""
    best = np.zeros(masks.size, masks.logits.dtype)
    labels = np.zeros(masks.size, np.uint8)
    for index, plane in enumerate(masks.logits):
        value = cv2.resize(plane, masks.size[::-1], interpolation=cv2.INTER_LINEAR)
        labels[value > best] = index + 1
        np.maximum(best, value, out=best)
    return labels
