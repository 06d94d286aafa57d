"""The rows of a submission, a sample or a solution: columns found by name, keys taken apart."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.data.csv_text import closest, image_id, read_csv_rows, split_key
from competition.errors import InputFault, listed
from competition.spec import Competition, Submission


class Key(NamedTuple):
    """What a row is about: an image and the index of a class (0 where there is one class).

    A tuple, since files have a million of them: it is made, hashed and compared in C.
    """

    image: str
    label: int


def own_sample(competition: Competition, images: Sequence[str]) -> str:
    """A sample where organisers give none: every test image, or each of its classes, empty."""
    form = competition.submission
    classes = competition.classes if form.rows == "image-class" else ("",)
    header = [form.image, *([form.label] if form.label else []), form.rle]
    rows = [header]
    for image in images:
        for name in classes:
            key = f"{image}{form.separator}{name}" if form.separator else image
            rows.append([key, *([name] if form.label else []), form.empty])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@dataclass(frozen=True)
class Layout:
    """Where image, class and text stand among a file's columns.

    names: the columns as the file writes them (a leading space is kept); label: None where the
    class is in the image's column after `separator`, or where there is one class.
    """

    names: tuple[str, ...]
    image: int
    label: int | None
    rle: int
    separator: str | None
    classes: tuple[str, ...]

    def key(self, fields: Sequence[str]) -> Key:
        """The key of a row; InputFault for a class that the competition does not have.

        A key that holds the class splits from the right: image names hold the separator too.
        """
        image = fields[self.image]
        if self.label is not None:
            return Key(image_id(image), self._index(fields[self.label]))
        if self.separator is not None:
            found = split_key(image, self.separator, self.classes)
            if found is None:
                raise InputFault(f"{image!r} has no class; expected IMAGE{self.separator}CLASS")
            return Key(image_id(found[0]), self._index(found[1]))
        return Key(image_id(image), 0)

    def filled(self, fields: Sequence[str], key: Key, text: str) -> list[str]:
        """The fields of a row with another key of the same image and another text."""
        changed = list(fields)
        changed[self.rle] = text
        if self.label is not None:
            changed[self.label] = self.classes[key.label]
        elif self.separator is not None:
            found = split_key(fields[self.image], self.separator, self.classes)
            image = key.image if found is None else found[0]  # as the file spells it
            changed[self.image] = f"{image}{self.separator}{self.classes[key.label]}"
        return changed

    def _index(self, name: str) -> int:
        if name in self.classes:
            return self.classes.index(name)
        raise InputFault(f"unknown class {name!r}{closest(name, self.classes)}")


@dataclass(frozen=True, eq=False)
class KeyedTable:
    """A file of keyed run-length texts, by columns, all rows in the file's order.

    lines: int64 (n,), where each row ends in the file; fields: all that each row holds.
    """

    path: Path
    layout: Layout
    lines: np.ndarray
    keys: Sequence[Key]
    fields: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def texts(self) -> list[str]:
        """The run-length text of each row."""
        return [fields[self.layout.rle] for fields in self.fields]

    @property
    def images(self) -> tuple[str, ...]:
        """The images in the order of their first rows."""
        return tuple(dict.fromkeys(key.image for key in self.keys))

    def name(self, row: int) -> str:
        """How a message names a row; rows count from 0.

        `sub.csv line 7, image 'a.png', class 'Radius'`
        """
        where = described(self.keys[row], self.layout.classes)
        return f"{self.path} line {self.lines[row]}, {where}"


def described(key: Key, classes: Sequence[str]) -> str:
    label = f", class {classes[key.label]!r}" if len(classes) > 1 else ""
    return f"image {key.image!r}{label}"


def require_expressible(competition: Competition) -> None:
    """InputFault where the rows of the submission have no place for the competition's classes."""
    form, classes = competition.submission, competition.classes
    if len(classes) > 1 and form.label is None and form.separator is None:
        raise InputFault(
            f"[submission] rows = {form.rows!r} has neither label nor separator, so a row cannot "
            f"say which of the {len(classes)} classes it is"
        )


def read_table(competition: Competition, path: Path) -> KeyedTable:
    """Read a csv with the submission's columns; InputFault lists every row that is not one."""
    require_expressible(competition)
    found = read_csv_rows(path, _needed(competition.submission))
    layout = _layout(competition, found.names)
    keys: list[Key] = []
    faults: list[str] = []
    for place, fields in enumerate(found.rows):
        try:
            keys.append(layout.key(fields))
        except InputFault as fault:
            faults.append(f"{path} line {found.lines[place]}: {fault}")
    if faults:
        raise InputFault(listed(faults))
    if not keys:
        raise InputFault(f"{path} has columns but no rows")
    return KeyedTable(path, layout, found.lines, keys, found.rows)


def _layout(competition: Competition, names: Sequence[str]) -> Layout:
    form = competition.submission
    places = {name.strip(): place for place, name in enumerate(names)}
    label = places[form.label] if form.label is not None else None
    return Layout(
        tuple(names),
        places[form.image],
        label,
        places[form.rle],
        form.separator,
        competition.classes,
    )


def _needed(form: Submission) -> list[str]:
    return [name for name in (form.image, form.label, form.rle) if name is not None]
