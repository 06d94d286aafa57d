"""docs/performance-store.md from one run of the store benchmark."""

import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.report import FOLDER
from competition.machine import processor_name

if TYPE_CHECKING:
    from benchmarks.store import Line

BUDGET = 800 * 29 * 512 * 512 * 5
"""Bytes of raw codes of 800 images × 29 classes at 512² × 5 models."""

_HEAD = """# Performance of the store

Written by `python -m benchmarks store` (needs `pip install -e .[benchmarks]`) on {day}: {machine}, Python {python}, numpy {numpy}, zarr {zarr},
zstandard {zstandard}; median of {repeats} of the CPU time of the process, files in the page cache.
*Ratio* is raw bytes to stored ones; *five models* is what 800 images × 29 classes at 512² × 5 models
would take ({raw:.1f} GB raw, 15 GB allowed); *write* and *read* are for 29 × 512² codes (7.6 MB), reading
with a look at every code. A form that is not exact changes codes far from the boundary.
"""


def write(lines: Sequence["Line"], repeats: int) -> None:
    """Write the tables, one for each set of logits."""
    head = _HEAD.format(
        day=date.today(),
        machine=processor_name(),
        python=platform.python_version(),
        numpy=version("numpy"),
        zarr=version("zarr"),
        zstandard=version("zstandard"),
        repeats=repeats,
        raw=BUDGET / 1e9,
    )
    names = dict.fromkeys(line.logits for line in lines)
    tables = [_table(name, [line for line in lines if line.logits == name]) for name in names]
    (FOLDER / "performance-store.md").write_text("\n".join([head, *tables]), encoding="utf-8")


def _table(name: str, lines: Sequence["Line"]) -> str:
    rows = [
        f"## {name[0].upper()}{name[1:]}\n",
        "| form | ratio | five models | write | read | exact |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, lines)]) + "\n"


def _row(line: "Line") -> str:
    size = f"{BUDGET / line.ratio / 1e9:.1f} GB"
    return (
        f"| {line.form} | {line.ratio:.2f} | {size} | {line.write * 1e3:.0f} ms"
        f" | {line.read * 1e3:.1f} ms | {'yes' if line.exact else 'no'} |"
    )
