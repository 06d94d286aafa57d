"""The rows of a submission, a sample or a solution: columns found by name, keys taken apart."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.data.tables import closest, read_csv_text
from competition.errors import InputFault, listed
from competition.spec import Competition, Submission


@dataclass(frozen=True, order=True)
class Key:
    """What a row is about: an image and the index of a class (0 where there is one class)."""

    image: str
    label: int


@dataclass(frozen=True)
class Row:
    """One row: its line in the file, its key, the text of its mask, and all its fields."""

    line: int
    key: Key
    text: str
    fields: tuple[str, ...]


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
            return Key(image, self._index(fields[self.label]))
        if self.separator is not None:
            image, found, name = image.rpartition(self.separator)
            if not found:
                raise InputFault(f"{name!r} has no class; expected IMAGE{self.separator}CLASS")
            return Key(image, self._index(name))
        return Key(image, 0)

    def filled(self, fields: Sequence[str], key: Key, text: str) -> list[str]:
        """The fields of a row with another key of the same image and another text."""
        changed = list(fields)
        changed[self.rle] = text
        if self.label is not None:
            changed[self.label] = self.classes[key.label]
        elif self.separator is not None:
            changed[self.image] = f"{key.image}{self.separator}{self.classes[key.label]}"
        return changed

    def _index(self, name: str) -> int:
        if name in self.classes:
            return self.classes.index(name)
        raise InputFault(f"unknown class {name!r}{closest(name, self.classes)}")


@dataclass(frozen=True)
class Table:
    """A file of keyed run-length texts, all rows in the file's order."""

    path: Path
    layout: Layout
    rows: tuple[Row, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """The images in the order of their first rows."""
        return tuple(dict.fromkeys(row.key.image for row in self.rows))

    def name(self, row: Row) -> str:
        """How a message names a row.

        `sub.csv line 7, image 'a.png', class 'Radius'`
        """
        return f"{self.path} line {row.line}, {describe(row.key, self.layout.classes)}"


def describe(key: Key, classes: Sequence[str]) -> str:
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


def read_table(competition: Competition, path: Path) -> Table:
    """Read a csv with the submission's columns; InputFault lists every row that is not one."""
    require_expressible(competition)
    frame = read_csv_text(path, _needed(competition.submission))
    layout = _layout(competition, _header(path))
    rows: list[Row] = []
    faults: list[str] = []
    for line, *fields in frame.itertuples(name=None):
        try:
            rows.append(Row(line, layout.key(fields), fields[layout.rle], tuple(fields)))
        except InputFault as fault:
            faults.append(f"{path} line {line}: {fault}")
    if faults:
        raise InputFault(listed(faults))
    if not rows:
        raise InputFault(f"{path} has columns but no rows")
    return Table(path, layout, tuple(rows))


def _header(path: Path) -> list[str]:
    """The column names as they stand in the file: a sample's leading space is handed back."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return next(fields for fields in csv.reader(file) if fields)


def _layout(competition: Competition, names: Sequence[str]) -> Layout:
    form = competition.submission
    places = {name.strip(): place for place, name in enumerate(names)}
    label = places[form.label] if form.label is not None else None
    return Layout(
        tuple(names), places[form.image], label, places[form.rle], form.separator,
        competition.classes,
    )


def _needed(form: Submission) -> list[str]:
    return [name for name in (form.image, form.label, form.rle) if name is not None]
