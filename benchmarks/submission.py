"""A submission of a million small masks: written, read back, and checked as a stranger's."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.measure import peak_megabytes, timed
from competition.masks import Objects, Runs
from competition.scoring.metrics import Metric
from competition.spec import Competition, Data, EnsembleTable, MaskLabels, Submission
from competition.submission import check_submission, write_submission

SIZE = (512, 512)
POOL = 1000
"""Different masks; also the objects of one image."""
_CELL = 16


@dataclass(frozen=True)
class Submitted:
    """CPU seconds to write (read back included) and to check; megabytes: peak, sample included."""

    kind: str
    rows: int
    write: float
    check: float
    megabytes: float


def submitted(kind: Literal["image", "object"], rows: int) -> Submitted:
    """`rows` rows: an image each, or objects of rows / 1000 images."""
    competition = _competition(kind)
    masks = _Masks(kind)
    images = [f"{index:07d}" for index in range(rows if kind == "image" else rows // POOL)]
    with tempfile.TemporaryDirectory() as folder:
        sample, target = Path(folder) / "sample.csv", Path(folder) / "submission.csv"
        sample.write_text("id,rle\n" + "".join(f"{image},\n" for image in images))
        kept = Path(folder) / "times"

        def both() -> None:
            write = timed(lambda: write_submission(competition, sample, masks, target, {}))
            sizes = dict.fromkeys(images, SIZE)
            check = timed(lambda: check_submission(competition, target, sample, sizes))
            kept.write_text(f"{write} {check}")  # what a forked process leaves is a file

        megabytes = peak_megabytes(both)
        write, check = map(float, kept.read_text().split())
    return Submitted(kind, rows, write, check, megabytes)


class _Masks:
    """Random small masks, a thousand of them again and again."""

    def __init__(self, kind: str) -> None:
        generator = np.random.default_rng(0)
        stacks = [_blob(generator, place) for place in range(POOL)]
        self._masks = [Runs.stack([mask]) for mask in stacks]
        self._objects = Objects(Runs.stack(stacks), np.zeros(POOL, np.int64))
        self._kind = kind

    def __call__(self, image: str) -> Runs | Objects:
        return self._masks[int(image) % POOL] if self._kind == "image" else self._objects


def _blob(generator: np.random.Generator, place: int) -> Runs:
    """A rectangle with a bite taken out, 3 to 12 pixels a side, in a cell of its own."""
    mask = np.zeros(SIZE, bool)
    height, width = generator.integers(3, 13, 2)
    row, column = divmod(place, SIZE[1] // _CELL)
    top, left = np.array([row, column]) * _CELL + generator.integers(0, 3, 2)
    mask[top : top + height, left : left + width] = True
    mask[top + 1 : top + 3, left + 1] = False
    return Runs.from_dense(mask)


def _competition(kind: Literal["image", "object"]) -> Competition:
    return Competition(
        name="million",
        classes=("object",),
        horizontal_flip="allowed",
        data=Data(root=".", train_images="*.png", test_images="*.png"),
        labels=MaskLabels(kind="masks", files="{stem}.png"),
        submission=Submission(
            sample="sample.csv", image="id", rle="rle", rows=kind, order="columns"
        ),
        metric=Metric(name="dice"),
        ensemble=EnsembleTable(recipes=("unet",)),
    )
