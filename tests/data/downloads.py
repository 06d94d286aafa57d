"""Tiny competitions on disk, laid out as their organisers would, and their parsed files."""

import copy
import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from competition.masks import RleFormat, Runs, encode
from competition.spec import Competition, parse_competition

BONES = ["Radius", "Ulna", "Wrist"]


def picture(seed: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    """uint8 (H, W, 3): noise, another one for every seed."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def blob(seed: int, size: tuple[int, int] = (20, 30)) -> Runs:
    """Runs (H, W): a rectangle that lies elsewhere for every seed; the same in no pixel order."""
    random = np.random.default_rng(seed)
    mask = np.zeros(size, bool)
    top, left = random.integers(0, size[0] // 2), random.integers(0, size[1] // 2)
    mask[top : top + random.integers(3, 8), left : left + random.integers(2, 11)] = True
    return Runs.from_dense(mask)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def write_annotations(
    path: Path, polygons: Sequence[tuple[str, Sequence[Sequence[float]]]]
) -> Path:
    """The hand-bone layout: one (label, points) each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations = [
        {
            "id": f"a{i}",
            "type": "poly_seg",
            "attributes": {},
            "points": list(points),
            "label": label,
        }
        for i, (label, points) in enumerate(polygons)
    ]
    path.write_text(json.dumps({"annotations": annotations}))
    return path


def parsed(table: dict[str, Any], root: Path, **changes: Any) -> Competition:
    """The table as a competition; changes are keys with `__` between table and key."""
    table = copy.deepcopy(table)
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (table[section] if section else table)[name] = value
    return parse_competition(table, folder=root, source="competition.toml")


HAND_BONE = {
    "name": "hands",
    "classes": BONES,
    "horizontal_flip": "allowed",
    "data": {
        "root": ".",
        "train_images": "train/DCM/*/*.png",
        "test_images": "test/DCM/*/*.png",
        "group": "folder",
    },
    "labels": {"kind": "polygons", "files": "train/outputs_json/{folder}/{stem}.json"},
    "submission": {
        "sample": "sample_submission.csv",
        "image": "image_name",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
        "order": "rows",
    },
    "metric": {"name": "dice", "eps": 1e-4},
    "split": {"folds": 3},
    "ensemble": {"recipes": ["unet-resnet18-cpu"]},
}


def hand_bone(root: Path, people: int = 6, **changes: Any) -> Competition:
    """Two images a person; image n has all bones but number n % 4 (every fourth has all three)."""
    number = 0
    for person in range(people + 2):
        part, folder = ("train" if person < people else "test"), f"ID{person:03}"
        for side in "LR":
            name = f"image{number:04}{side}"
            save(root / part / "DCM" / folder / f"{name}.png", picture(number))
            bones = [bone for k, bone in enumerate(BONES) if k != number % 4]
            polygons = [
                (bone, [[x, 2], [x + 6, 2], [x + 6, 9], [x, 9]])
                for x, bone in zip((2, 10, 19), bones, strict=False)
            ]
            if part == "train":
                write_annotations(root / f"train/outputs_json/{folder}/{name}.json", polygons)
            number += 1
    tests = sorted(path.name for path in (root / "test").rglob("*.png"))
    rows = [[image, bone, ""] for image in tests for bone in BONES]
    write_csv(root / "sample_submission.csv", [["image_name", "class", "rle"], *rows])
    return parsed(HAND_BONE, root, **changes)


SALT = {
    "name": "salt",
    "classes": ["salt"],
    "horizontal_flip": "allowed",
    "data": {
        "root": ".",
        "train_images": "train/images/*.png",
        "test_images": "test/images/*.png",
        "image_id": "stem",
    },
    "labels": {"kind": "rle", "file": "train.csv", "image": "id", "rle": "rle_mask"},
    "submission": {
        "sample": "sample_submission.csv",
        "image": "id",
        "rle": "rle_mask",
        "rows": "image",
        "order": "columns",
    },
    "metric": {"name": "mean-precision"},
    "split": {"folds": 2},
    "ensemble": {"recipes": ["unet-resnet18-cpu"]},
}

SALT_MASKS = {"kind": "masks", "files": "train/masks/{stem}.png"}


def salt(root: Path, count: int = 6, **changes: Any) -> Competition:
    """Images of 20 × 30 with one blob each, the second without; labels as csv and as mask images."""
    rows = []
    for number in range(count):
        name = f"{number:04}"
        mask = Runs.empty((20, 30)) if number == 1 else blob(number)
        save(root / f"train/images/{name}.png", picture(number))
        save(root / f"train/masks/{name}.png", mask.to_dense().astype(np.uint8) * 255)
        rows.append([name, encode(mask, RleFormat("columns"))])
    write_csv(root / "train.csv", [["id", "rle_mask"], *rows])
    for number in range(count, count + 2):
        save(root / f"test/images/{number:04}.png", picture(number))
    rows = [[f"{number:04}", ""] for number in range(count, count + 2)]
    write_csv(root / "sample_submission.csv", [["id", "rle_mask"], *rows])
    return parsed(SALT, root, **changes)


CELLS = ["nucleus", "cytoplasm"]


def cell_map(number: int) -> np.ndarray:
    """int (20, 30): 0 background, then the two classes; where both would be, the second."""
    values = np.zeros((20, 30), int)
    values[blob(number).to_dense()] = 1
    values[blob(number + 50).to_dense()] = 2
    return values


def cells(
    root: Path,
    labels: dict[str, Any],
    *,
    count: int = 4,
    classes: Sequence[str] = CELLS,
    **changes: Any,
) -> Competition:
    """Images of 20 × 30 as train/images/0000.png, …; labels: their table, of mask images by default."""
    for number in range(count):
        save(root / f"train/images/{number:04}.png", picture(number))
    save(root / "test/images/t.png", picture(99))
    rows = [["t", name, ""] for name in classes]
    write_csv(root / "sample_submission.csv", [["id", "class", "rle_mask"], *rows])
    rows_of = {"submission__rows": "image-class", "submission__label": "class"}
    labels = {"kind": "masks", **labels}
    return parsed(SALT, root, classes=list(classes), labels=labels, **rows_of, **changes)
