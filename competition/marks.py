"""What a person says of images in the viewer: pseudo labels to accept or reject, labels that are wrong.

One csv a competition, a line a mark, only ever added to, so that two windows do not lose each other's:
the last word on an image and class counts. The next pseudo round reads it, and `exclude` in [data].
"""

import csv
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from competition.errors import InputFault, MachineFault

MarkKind = Literal["accept", "reject", "wrong", "none"]
"""Of a pseudo label: accept, reject; of a training image's label: wrong; none takes a mark back."""

MARK_COLUMNS = ("image", "kind", "class", "when")
MARKS = "marks.csv"


class Mark(NamedTuple):
    """name: of the class, "" for all of them; when: as `2026-01-31T12:00:00+0000`."""

    image: str
    kind: MarkKind
    name: str = ""
    when: str = ""


def add_mark(path: Path, mark: Mark) -> None:
    """Add a line at the end, in one write, such that other windows may add theirs meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = mark._replace(when=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            text = _beginning(handle) + _line(row)
            written = os.write(handle, text.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise MachineFault(f"cannot write {path}: {error.strerror}; nothing was marked") from error
    if written < len(text.encode()):
        raise MachineFault(f"No space left: the mark of {mark.image!r} is cut in {path}")


def _beginning(handle: int) -> str:
    """The header of a file that is new; a line end where the last line was cut."""
    size = os.fstat(handle).st_size
    if not size:
        return _line(MARK_COLUMNS)
    os.lseek(handle, size - 1, os.SEEK_SET)
    return "" if os.read(handle, 1) == b"\n" else "\n"


def _line(values: Iterable[str]) -> str:
    """A line of csv.

    >>> _line(("a.png", "wrong", "left, upper", "2026"))
    'a.png,wrong,"left, upper",2026\\n'
    """
    quoted = ['"' + v.replace('"', '""') + '"' if set(v) & set(',"\r\n') else v for v in values]
    return ",".join(quoted) + "\n"


def read_marks(path: Path) -> tuple[Mark, ...]:
    """All of them, first one first; () where there is no file. InputFault names a line that is none.

    A header may come twice, where two windows made the first mark at once.
    """
    if not path.exists():
        return ()
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFault(f"{path} cannot be read ({error}); restore it or delete it") from error
    found = []
    for number, row in rows:
        if tuple(row) == MARK_COLUMNS:
            continue
        if len(row) != len(MARK_COLUMNS) or row[1] not in get_args(MarkKind):
            raise InputFault(
                f"{path} line {number}: expected {', '.join(MARK_COLUMNS)} with a kind of "
                f"{', '.join(get_args(MarkKind))}, found {','.join(row)!r}; mend or delete the line"
            )
        found.append(Mark(row[0], cast("MarkKind", row[1]), *row[2:]))
    return tuple(found)


HeldMarks = dict[tuple[str, str], MarkKind]
"""(image, class or "" for all) → what holds."""


def standing(marks: Sequence[Mark]) -> HeldMarks:
    """What holds of each image and class: the last word. One on all classes goes over those before it.

    >>> standing([Mark("a", "reject", "x"), Mark("a", "accept"), Mark("b", "wrong"), Mark("b", "none")])
    {('a', ''): 'accept'}
    """
    held: HeldMarks = {}
    for mark in marks:
        if not mark.name:
            held = {key: kind for key, kind in held.items() if key[0] != mark.image}
        held.pop((mark.image, mark.name), None)
        if mark.kind != "none":
            held[mark.image, mark.name] = mark.kind
    return held


def wrong_labels(path: Path) -> tuple[str, ...]:
    """Images of which a label is marked as wrong, of whichever class, sorted."""
    held = standing(read_marks(path))
    return tuple(sorted({image for (image, _), kind in held.items() if kind == "wrong"}))


def round_marks(path: Path) -> HeldMarks:
    """What a pseudo round heeds: what is accepted and rejected, sorted."""
    held = standing(read_marks(path))
    return {key: held[key] for key in sorted(held) if held[key] in ("accept", "reject")}
