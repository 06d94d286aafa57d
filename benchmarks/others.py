"""The same work by other libraries, as their documentation suggests it; those that are installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import usual


def installed(calls: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """The calls whose library (the key) can be imported."""
    return {name: call for name, call in calls.items() if find_spec(name) is not None}


def pycocotools_texts(stack: np.ndarray) -> list[str]:
    """bool (K, H, W) -> column-major texts through COCO's counts."""
    from pycocotools import mask as coco

    texts = []
    for mask in stack:
        counts = _coco_counts(coco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"])
        starts = np.cumsum(counts)[0::2] + 1
        pairs = np.stack([starts, counts[1::2]], axis=1)
        texts.append(" ".join(map(str, pairs.ravel())))
    return texts


def _coco_counts(packed: bytes) -> np.ndarray:
    """The run lengths in COCO's text: 5 bits a letter, from the third on differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in packed:
        letter -= 48
        value |= (letter & 0x1F) << shift
        shift += 5
        if letter & 0x20:
            continue
        if letter & 0x10:
            value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return np.array(counts[: len(counts) // 2 * 2])  # the last may be background to the end


def cv2_texts(logits: np.ndarray, size: tuple[int, int]) -> list[str]:
    """float32 (K, h, w) -> row-major texts, one class at a time."""
    resized = (cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in logits)
    return [usual.rle_rows(plane > 0) for plane in resized]


def argmax_texts(logits: np.ndarray, size: tuple[int, int]) -> list[str]:
    """float32 (K, h, w), class 0 background -> row-major texts of the others."""
    outputs = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False
    )
    labels = outputs.argmax(1)[0].numpy()
    return [usual.rle_rows(labels == value) for value in range(1, len(logits))]


def device_masks(logits: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Logits (K, h, w) on their device -> bool (K, H, W) on the host."""
    outputs = torch.nn.functional.interpolate(
        logits[None], size=size, mode="bilinear", align_corners=False
    )
    return (outputs[0] > 0).cpu().numpy()


def torchmetrics_dice(logits: np.ndarray, truth: torch.Tensor) -> torch.Tensor:
    """Dice (K,) without text."""
    from torchmetrics.functional import segmentation

    outputs = usual.probabilities(logits, (truth.shape[1], truth.shape[2])) > 0.5
    return segmentation.dice_score(
        outputs[None], truth[None].bool(), len(logits), average="none", input_format="one-hot"
    )


def monai_dice(logits: np.ndarray, truth: torch.Tensor) -> torch.Tensor:
    """Dice (K,) without text."""
    from monai.metrics import compute_dice

    outputs = usual.probabilities(logits, (truth.shape[1], truth.shape[2])) > 0.5
    return compute_dice(outputs[None], truth[None])[0]
