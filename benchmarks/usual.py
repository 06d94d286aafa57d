"""The usual way, as notebooks share it: dense masks at native size, one class after another.

Written here after the widespread snippets, which differ from each other in names only.
"""

import cv2
import numpy as np
import torch


def rle_rows(mask: np.ndarray) -> str:
    """bool (H, W) -> "start length …", row by row, from 1."""
    pixels = mask.flatten()
    pixels = np.concatenate([[0], pixels, [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def rle_columns(mask: np.ndarray) -> str:
    """bool (H, W) -> "start length …", column by column, from 1."""
    return rle_rows(mask.T)


def unrle_rows(text: str, shape: tuple[int, int]) -> np.ndarray:
    """ "start length …", row by row, from 1 -> uint8 (H, W)."""
    numbers = text.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[0::2], numbers[1::2]))
    starts -= 1
    pixels = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for start, stop in zip(starts, starts + lengths, strict=True):
        pixels[start:stop] = 1
    return pixels.reshape(shape)


def label_map_texts(labels: np.ndarray, classes: int) -> list[str]:
    """int (H, W), 0 background -> a text per class."""
    return [rle_rows(labels == value) for value in range(1, classes + 1)]


def probabilities(logits: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """float32 (K, h, w) -> probabilities (K, H, W)."""
    outputs = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False
    )
    return torch.sigmoid(outputs)[0]


def masks_from_logits(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 (K, h, w) -> bool (K, H, W)."""
    return (probabilities(logits, size) > 0.5).detach().cpu().numpy()


def texts_from_logits(logits: np.ndarray, size: tuple[int, int]) -> list[str]:
    """float32 (K, h, w) -> a text per class."""
    return [rle_rows(mask) for mask in masks_from_logits(logits, size)]


def dice(truth: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """float32 (K, H, W), bool (K, H, W) -> Dice (K,)."""
    truth, predicted = truth.flatten(1), predicted.flatten(1)
    intersection = torch.sum(truth * predicted, -1)
    eps = 0.0001
    return (2.0 * intersection + eps) / (torch.sum(truth, -1) + torch.sum(predicted, -1) + eps)


def dice_and_texts(
    logits: np.ndarray, truth: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, list[str]]:
    """Validation and submission of one image: Dice (K,) and a text per class."""
    outputs = (probabilities(logits, size) > 0.5).detach().cpu()
    return dice(truth, outputs), [rle_rows(mask) for mask in outputs.numpy()]


def dice_at_thresholds(
    logits: np.ndarray, truth: torch.Tensor, thresholds: np.ndarray
) -> torch.Tensor:
    """Dice (T, K)."""
    outputs = probabilities(logits, (truth.shape[1], truth.shape[2]))
    return torch.stack([dice(truth, outputs > float(threshold)) for threshold in thresholds])


def vote(files: list[list[str]], shape: tuple[int, int]) -> list[str]:
    """Texts of several submissions -> texts of their majority."""
    texts = []
    for rows in zip(*files, strict=True):
        total = np.zeros(shape, dtype=np.uint8)
        for text in rows:
            total += unrle_rows(text, shape)
        texts.append(rle_rows(total > len(files) / 2))
    return texts


def target_from_polygons(
    polygons: list[list[np.ndarray]], shape: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """A data set's label: polygons per class -> uint8 (H, W, K) drawn, resized to (h, w, K)."""
    label = np.zeros((*shape, len(polygons)), dtype=np.uint8)
    for index, drawn in enumerate(polygons):
        mask = np.zeros(shape, dtype=np.uint8)
        cv2.fillPoly(mask, drawn, 1)
        label[..., index] = mask
    resized = [
        cv2.resize(label[..., index], size[::-1], interpolation=cv2.INTER_NEAREST)
        for index in range(len(polygons))
    ]
    return np.stack(resized, axis=-1)
