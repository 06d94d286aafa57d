"""What the viewer shows: parts (out of fold, test, rounds), their images worst first, and one image with
its masks, cut from the store at any threshold. Reads only; marks are all that it writes.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from competition.data.csv_text import read_csv_text
from competition.decoding.blend import Blend, Reader, blend
from competition.decoding.decisions import decide
from competition.decoding.ensemble import plain_sums
from competition.entry import Entry
from competition.errors import InputFault, nearest
from competition.inference.store import Store
from competition.marks import Mark, MarkKind, add_mark, read_marks, standing
from competition.masks import Runs
from competition.pictures import OutlinedImage, outlined_image, page_svg
from competition.project import Project
from competition.pseudo.rounds import LABEL_COLUMNS, RoundLabels, load_labels_of
from competition.steps.contact_sheets import disputed_part
from competition.steps.prediction_stores import mean_predictions, out_of_fold
from competition.steps.submit import Decoder, read_decoder

_LONGEST = 1024
"""Pixels of the longer side of an image, as it is drawn."""
AS_TUNED = None
"""As a threshold: each class as `tune` decided, with post-processing."""
_KEPT = 32
"""Pictures that are kept, for classes that are switched on and off."""

PartSource = Literal["out of fold", "test", "round"]


class Part(NamedTuple):
    """Images that are looked at together. source: where their masks come from."""

    name: str
    source: PartSource
    images: tuple[str, ...]
    round: str = ""
    teacher: str = ""

    @property
    def marks(self) -> tuple[MarkKind, ...]:
        """What may be said of its images."""
        return ("wrong",) if self.source == "out of fold" else ("accept", "reject")


@dataclass(frozen=True)
class Scene:
    """One image as it is shown. areas: by class, of labels and masks, pixels (K,), None without labels;
    scores: by class, as the metric has it (K,), None without labels; confidence: by class, of a round.
    """

    image: str
    outlined: OutlinedImage
    areas: np.ndarray
    labelled: np.ndarray | None = None
    scores: np.ndarray | None = None
    confidence: np.ndarray | None = None

    def svg(self, shown: Collection[int], *, labels: bool = True, masks: bool = True) -> str:
        """The picture with these classes, 0 to K − 1, as an SVG document."""
        return page_svg(
            self.outlined, len(self.areas), shown=set(shown), truth=labels, prediction=masks
        )


class Viewer:
    """A project's predictions of one entry. May be asked by several windows at once."""

    def __init__(self, project: Project, entry: Entry) -> None:
        self.project, self.entry, self._lock = project, entry, Lock()
        self._scene = lru_cache(maxsize=_KEPT)(self._made)

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """By name, those that there is something of; InputFault where there is nothing."""
        found = [self._predicted("out of fold"), self._predicted("test"), *self._rounds()]
        parts = {part.name: part for part in found if part is not None}
        if not parts:
            raise InputFault(
                f"nothing is predicted of entry {self.entry.name!r}: `podium run ensemble` first"
            )
        return parts

    def part(self, name: str) -> Part:
        if name not in self.parts:
            raise InputFault(f"no part {name!r}; {nearest(name, self.parts, all_by='the page')}")
        return self.parts[name]

    @property
    def decided(self) -> bool:
        """Whether `tune` left decisions."""
        return self._decoder is not None and self._decoder.decisions is not None

    def groups(self, part: Part) -> list[str]:
        """Of the part's images, sorted."""
        return sorted({self.project.groups[image] for image in part.images})

    def values(self, part: Part) -> Mapping[str, float]:
        """Image → what it is sorted by: its score at threshold 0.5 out of fold, the share of its pixels
        that folds and views dispute, or how sure a round is of it (the mean over classes); NaN where
        nobody knows.
        """
        with self._lock:
            return self._values(part.name)

    def listed(
        self, part: Part, *, group: str | None = None, worst_first: bool = True
    ) -> list[str]:
        """Images of a group, or all, the worst one first or by name; NaN last."""
        images = [i for i in part.images if group is None or self.project.groups[i] == group]
        if not worst_first:
            return sorted(images)
        values = self.values(part)
        falling = part.source == "test" or (
            part.source == "out of fold" and not self.project.competition.metric.higher_is_better
        )
        sign = -1 if falling else 1
        return sorted(images, key=lambda i: (np.isnan(values[i]), sign * values[i], i))

    def scene(self, part: Part, image: str, threshold: float | None = 0.5) -> Scene:
        """One image, its masks cut at a probability, or `AS_TUNED`; a round's are as they are."""
        with self._lock:
            fixed = part.source == "round"
            return self._scene(part.name, image, 0.5 if fixed else threshold)

    def mark(self, image: str, kind: MarkKind, name: str = "") -> None:
        """Say something of an image, or of one class of it; kind "none" takes it back."""
        add_mark(self.project.workspace.marks, Mark(image, kind, name))

    def marks(self, image: str) -> dict[str, MarkKind]:
        """Class, or "" for all of them → what holds of the image now, also by other windows."""
        held = standing(read_marks(self.project.workspace.marks))
        return {name: kind for (one, name), kind in held.items() if one == image}

    @property
    def marks_named(self) -> str:
        """The file of marks as `exclude` in [data] names it, from the competition file's folder."""
        marks, home = self.project.workspace.marks, self.project.competition.folder
        return Path(os.path.relpath(marks, home)).as_posix()

    @cached_property
    def _decoder(self) -> Decoder | None:
        """What was decided, or the weights alone, or nothing where not even those are there."""
        folder = self.entry.folder(self.project.workspace)
        if not (folder / "ensemble.json").exists():
            return None
        plain = not (folder / "decisions.json").exists()
        return read_decoder(self.project, self.entry, plain=plain)

    def _predicted(self, source: Literal["out of fold", "test"]) -> Part | None:
        workspace, pipeline = self.project.workspace, self.project.pipeline
        members, folds = self.entry.members, self.entry.folds
        if source == "test":
            folders = [pipeline.mean_folder(member, folds, "test") for member in members]
        else:
            folders = [workspace.run(str(m), fold) / "oof" for m in members for fold in folds]
        if not all((folder / "store.json").exists() for folder in folders):
            return None
        return Part(source, source, self._blend(source).images)

    @cached_property
    def _blends(self) -> dict[str, Blend]:
        return {}

    def _blend(self, source: str) -> Blend:
        if source not in self._blends:
            by_source: dict[str, Callable[[Project, Entry], Mapping[str, Reader]]] = {
                "out of fold": out_of_fold,
                "test": mean_predictions,
            }
            readers = by_source[source](self.project, self.entry)
            self._blends[source] = (
                blend(readers, exclusive=self.project.exclusive)
                if self._decoder is None
                else self._decoder.mix(readers)
            )
        return self._blends[source]

    def _rounds(self) -> list[Part]:
        """A part for each teacher of each round."""
        folder = self.project.workspace.marks.parent
        found = []
        for path in sorted(folder.glob("*/labels.csv")):
            frame = self._round_table(path.parent.name)
            for teacher, rows in frame.groupby("teacher", sort=False):
                images = tuple(rows["image"].unique())
                name = f"{path.parent.name}, teacher {teacher}"
                found.append(Part(name, "round", images, path.parent.name, str(teacher)))
        return found

    @lru_cache(maxsize=8)  # noqa: B019  one viewer a process
    def _round_table(self, name: str) -> pd.DataFrame:
        frame = read_csv_text(self.project.workspace.pseudo(name) / "labels.csv", LABEL_COLUMNS)
        sure = pd.to_numeric(frame["confidence"], errors="coerce")
        return frame[["image", "class", "teacher"]].assign(confidence=sure)

    @lru_cache(maxsize=8)  # noqa: B019
    def _round_labels(self, name: str, teacher: str) -> RoundLabels:
        project = self.project
        folder = project.workspace.pseudo(name)
        return load_labels_of(folder, project.competition, project.sizes, teacher)

    @lru_cache(maxsize=16)  # noqa: B019
    def _values(self, name: str) -> Mapping[str, float]:
        part = self.part(name)
        if part.source == "out of fold":
            return self._scores(self._blend("out of fold"))
        if part.source == "test":
            return {image: disputed_part(self._test_stores, image) for image in part.images}
        rows = self._round_table(part.round)
        rows = rows[rows["teacher"] == part.teacher]
        return rows.groupby("image")["confidence"].mean().to_dict()

    def _scores(self, together: Blend) -> Mapping[str, float]:
        sums_of = self.project.metric_sums.of_slices
        sums = plain_sums(together, self.project.labels, sums_of, ignored=self.project.ignored)
        values = sums_of.sign * sums_of.overall(sums)
        return dict(zip(together.images, values.tolist(), strict=True))

    @cached_property
    def _test_stores(self) -> Mapping[str, Store]:
        return mean_predictions(self.project, self.entry)

    def _made(self, name: str, image: str, threshold: float | None) -> Scene:
        part, project = self.part(name), self.project
        pixels = project.pixels(image)
        if part.source == "round":
            labels = self._round_labels(part.round, part.teacher)
            masks, ignored = labels.masks[image], labels.ignored.get(image)
            away = None if ignored is None else Runs.stack([ignored.any_mask()])
            outlined = outlined_image(pixels, None, masks, longest=_LONGEST, ignored=away)
            return Scene(image, outlined, masks.area(), confidence=self._sure(part, image))
        masks = self._cut(part.source, image, threshold)
        if part.source == "test":
            outlined = outlined_image(pixels, None, masks, longest=_LONGEST)
            return Scene(image, outlined, masks.area())
        truth, ignored = project.labels[image], project.ignored.get(image)
        outlined = outlined_image(pixels, truth, masks, longest=_LONGEST, ignored=ignored)
        sums_of = project.metric_sums.of_slices
        scores = sums_of.sign * sums_of.per_class(sums_of.of_image(truth, masks, ignored=ignored))
        return Scene(image, outlined, masks.area(), truth.area(), scores)

    def _cut(self, source: str, image: str, threshold: float | None) -> Runs:
        together = self._blend(source)
        if threshold is AS_TUNED:
            assert self._decoder is not None
            return decide(together, image, self._decoder.rules)
        return together.runs_at(image, np.array([threshold]))[0]

    def _sure(self, part: Part, image: str) -> np.ndarray:
        """(K,), NaN where nobody knows."""
        rows = self._round_table(part.round)
        rows = rows[(rows["teacher"] == part.teacher) & (rows["image"] == image)]
        by_class = dict(zip(rows["class"], rows["confidence"], strict=True))
        return np.array([by_class.get(name, np.nan) for name in self.project.classes])


def neighbour(images: Sequence[str], image: str, step: int) -> str:
    """The image so many places further in the list, round its end.

    >>> neighbour(["a", "b", "c"], "c", 1)
    'a'
    """
    place = images.index(image) if image in images else 0
    return images[(place + step) % len(images)]
