"""What was measured, kept from call to call: a busy machine is measured in parts.

An entry is replaced when its part is measured again. Ours, the usual way and the other libraries of one
item are always measured together, in one process.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.growth import Point
from benchmarks.lines import Line
from benchmarks.measure import Measured
from benchmarks.submission import Submitted
from competition.workspace import read_json, write_json

FILE = Path(__file__).parent.parent / "runs" / "benchmarks" / "masks.json"


class Record:
    """Entries by name: a `Line`, a curve of `Point`s, or a `Submitted`."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.curves: dict[str, tuple[Point, ...]] = {}
        self.submissions: dict[str, Submitted] = {}

    @classmethod
    def read(cls) -> "Record":
        """What earlier calls kept; nothing where there was none."""
        record = cls()
        if FILE.exists():
            found = read_json(FILE)
            record.lines = {key: _line(value) for key, value in found["lines"].items()}
            record.curves = _each(found["curves"], lambda curve: tuple(Point(**p) for p in curve))
            record.submissions = _each(found["submissions"], lambda value: Submitted(**value))
        return record

    def write(self) -> None:
        """Keep everything for the next call."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            FILE,
            {
                "lines": _each(self.lines, asdict),
                "curves": _each(self.curves, lambda curve: [asdict(point) for point in curve]),
                "submissions": _each(self.submissions, asdict),
            },
        )


def _each(entries: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {key: change(value) for key, value in entries.items()}


def _line(value: dict[str, Any]) -> Line:
    measured = {name: Measured(**found) for name, found in value.pop("others").items()}
    ours, usual = Measured(**value.pop("ours")), Measured(**value.pop("usual"))
    return Line(**value, ours=ours, usual=usual, others=measured)
