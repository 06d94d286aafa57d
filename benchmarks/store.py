"""The store benchmark: size, writing and reading of logits in several forms, beside plain files.

`python -m benchmarks store [--stores FOLDER …]`: synthetic logits of 29 classes at 512², and the
stores that are named, such as runs/demo/demo-unet/fold-0/test.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fields import bones
from benchmarks.forms import FORMS, Form
from benchmarks.measure import seconds
from benchmarks.store_report import BUDGET, write
from competition.inference.codes import quantise
from competition.inference.store import Store
from competition.workspace import read_json


@dataclass(frozen=True)
class Line:
    """A form's figures on one set of logits. ratio: raw bytes to stored ones; write, read: CPU
    seconds for 7.6 MB of codes (29 × 512²); exact: whether the codes come back as they were.
    """

    logits: str
    form: str
    ratio: float
    write: float
    read: float
    exact: bool


def run(*, stores: Sequence[Path], repeats: int) -> None:
    """Measure every form on every set of logits and write docs/performance-store.md."""
    lines = []
    sets = {"synthetic, 29 × 512²": synthetic()} | {
        f"{store.provenance.member}, {_sized(store)}": some_codes(store)
        for store in map(opened, stores)
    }
    for name, images in sets.items():
        for form in FORMS:
            lines.append(measured_form(name, form, images, repeats))
            print(_summary(lines[-1]), flush=True)
    write(lines, repeats)


def synthetic(images: int = 3, classes: int = 29, grid: int = 512) -> list[np.ndarray]:
    """Codes uint8 (K, h, w) of seeded images with real boundaries: sticks with wavy borders whose
    logits flatten far away, under a slow and a fine unrest as networks have them.
    """
    return [quantise(_unrest(bones(classes, grid, 1).logits, seed)) for seed in range(images)]


def _unrest(logits: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    classes, height, width = logits.shape
    slow = generator.normal(0, 0.5, (classes, height // 16, width // 16)).astype(np.float32)
    grown = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in slow]
    fine = generator.normal(0, 0.06, logits.shape).astype(np.float32)
    return 6.5 * np.tanh(logits / 5) + np.stack(grown) + fine


def opened(folder: Path) -> Store:
    """A store with the classes that it says it has."""
    classes = read_json(folder / "store.json")["provenance"]["classes"]
    return Store.open(folder, classes=classes)


def some_codes(store: Store, images: int = 8) -> list[np.ndarray]:
    """Codes of a few images, evenly spread."""
    return [store.codes(image) for image in store.images[:: -(-len(store) // images)]]


def _sized(store: Store) -> str:
    height, width = store.grid
    return f"{len(store.provenance.classes)} × {height} × {width}"


def measured_form(name: str, form: Form, images: Sequence[np.ndarray], repeats: int) -> Line:
    """One form on one set: written to a folder of its own and read back, image by image."""
    raw = sum(codes.size for codes in images)
    scale = 29 * 512 * 512 / raw
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        writing = statistics.median(seconds(lambda: form.write(folder, images), repeats))
        shape = images[0].shape
        read = form.read(folder, shape, len(images))
        reading = statistics.median(
            seconds(lambda: [read(place).max() for place in range(len(images))], repeats)
        )
        exact = all(np.array_equal(read(i), codes) for i, codes in enumerate(images))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Line(name, form.name, raw / size, writing * scale, reading * scale, exact)


def _summary(line: Line) -> str:
    return (
        f"{line.logits:30} {line.form:40} {line.ratio:6.2f} {BUDGET / line.ratio / 1e9:6.1f} GB"
        f" write {line.write * 1e3:7.1f} ms read {line.read * 1e3:6.1f} ms"
    )
