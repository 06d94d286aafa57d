"""docs/performance.md and docs/performance.png from one run of the benchmark."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch

from benchmarks.growth import Curve
from benchmarks.submission import Submitted
from competition.machine import processor_name

if TYPE_CHECKING:
    from benchmarks.lines import Line
    from benchmarks.record import Record

matplotlib.use("agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent.parent / "docs"

_HEAD = """# Performance

Written by `python -m benchmarks masks` on {day}: {machine}, Python {python}, numpy {numpy}, torch
{torch}; an item's ways in one process, one thread for every library, median of the CPU time of the process
over {repeats} calls. The machine was shared, so compare ratios, not milliseconds. *Usual* is the
notebook snippet of `benchmarks/usual.py`: dense masks at native size, one class after another. Both
results are compared before anything is timed. Memory is the highest resident memory beyond what was
held before the call. *Floor* is the time to read the input once: nothing that looks at every value
can be faster on one thread of this machine.

- bones: 29 classes, 512 x 512 logits, 2048 x 2048 masks, long sticks;
- teeth: 32 classes of compact blobs, the same sizes;
- noise: 4 classes of white noise, the same sizes: the worst case for whatever skips decided parts.

{device}

![Ratios and growth](performance.png)
"""


def write(record: "Record") -> None:
    """Write table and plot of everything kept."""
    lines = list(record.lines.values())
    parts = [
        _HEAD.format(
            day=date.today(),
            machine=f"{processor_name()}, {os.cpu_count()} cores",
            python=platform.python_version(),
            numpy=np.__version__,
            torch=torch.__version__,
            repeats=_repeats(lines),
            device=_device(lines),
        ),
        *(_table(name, [line for line in lines if line.masks == name]) for name in _names(lines)),
        _bounds(lines),
        _growth(record.curves),
        _submissions(list(record.submissions.values())),
    ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "performance.md").write_text("\n".join(parts), encoding="utf-8")
    _plot(lines, record.curves)


def _repeats(lines: Sequence["Line"]) -> str:
    """How many calls the medians are of, and which items differ.

    A page of one whole run has one number.
    """
    most = max((line.repeats for line in lines), default=0)
    fewer = [
        f"{line.item} ({line.masks}) of {line.repeats}" for line in lines if line.repeats < most
    ]
    return f"{most}" + (f" ({'; '.join(fewer)})" if fewer else "")


def _names(lines: Sequence["Line"]) -> list[str]:
    return list(dict.fromkeys(line.masks for line in lines))


def _table(name: str, lines: Sequence["Line"]) -> str:
    rows = [
        f"## {name.capitalize()}\n",
        "| item | ours | usual | ratio | asked for | floor | memory ours / usual | others, times ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, lines)]) + "\n"


def _row(line: "Line") -> str:
    others = ", ".join(
        f"{name} {found.seconds / line.ours.seconds:.0f}" for name, found in line.others.items()
    )
    target = "" if line.target is None else f"≥ {line.target:.0f}"
    floor = "" if line.floor is None else f"{line.floor * 1e3:.1f} ms"
    return (
        f"| {line.item} | {line.ours.seconds * 1e3:.1f} ms | {line.usual.seconds * 1e3:,.0f} ms"
        f" | **{line.ratio:.3g}** | {target} | {floor}"
        f" | {line.ours.megabytes:.0f} / {line.usual.megabytes:,.0f} MB | {others} |"
    )


def _device(lines: Sequence["Line"]) -> str:
    if torch.cuda.is_available():
        return f"The graphics card is a {torch.cuda.get_device_name()}."
    return (
        "No graphics card was at hand, so `runs_from_tensor` is not in the tables; tests hold it, on "
        "the processor, to the runs of the numpy version and to bringing back run boundaries only."
    )


def _bounds(lines: Sequence["Line"]) -> str:
    """What each ratio that was asked for and not reached is bounded by."""
    found = ["## What bounds the ratios that were not reached\n"]
    for line in lines:
        asked = {"the usual way": (line.usual.seconds, line.target or 0.0)}
        asked |= {
            name: (line.others[name].seconds, bar)
            for name, bar in line.asked_of.items()
            if name in line.others
        }
        found += [
            _bound(line, name, seconds, bar)
            for name, (seconds, bar) in asked.items()
            if seconds / line.ours.seconds < bar
        ]
    return "\n".join(found if len(found) > 1 else [*found, "None was missed."]) + "\n"


def _bound(line: "Line", other: str, seconds: float, bar: float) -> str:
    text = (
        f"- {line.item} ({line.masks}) beside {other}: {seconds / line.ours.seconds:.3g} of "
        f"{bar:.0f}."
    )
    if line.floor is None:
        return text
    share = line.floor / line.ours.seconds
    return text + (
        f" Reading the input once is {line.floor * 1e3:.1f} of our {line.ours.seconds * 1e3:.1f} ms "
        f"({share:.0%}); at that floor the ratio would be {seconds / line.floor:.0f}."
    )


def _growth(curves: dict[str, Curve]) -> str:
    if not curves:
        return "## Growth, logits to text\n\nNot measured yet.\n"
    rows = [
        "## Growth, logits to text\n",
        "| what grows | to | runs | ours | usual | ratio |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {name} | {point.x:,} | {point.runs:,} | {point.ours * 1e3:.1f} ms"
        f" | {point.usual * 1e3:,.0f} ms | {point.usual / point.ours:.3g} |"
        for name, curve in curves.items()
        for point in curve
    ]
    return "\n".join(rows) + "\n"


def _submissions(submissions: Sequence[Submitted]) -> str:
    if not submissions:
        return "## A submission of small random masks\n\nNot measured yet.\n"
    rows = [
        "## A submission of small random masks\n",
        "Written, read back and compared, then checked as a file of any origin.\n",
        "| rows | a row is | write | check | peak memory |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {one.rows:,} | an {one.kind} | {one.write:.1f} s | {one.check:.1f} s | {one.megabytes:.0f} MB |"
        for one in submissions
    ]
    return "\n".join(rows) + "\n"


def _plot(lines: Sequence["Line"], curves: dict[str, Curve]) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(13, 9), constrained_layout=True)
    _plot_ratios(axes[0, 0], lines)
    for axis, (name, curve) in zip(axes.flat[1:], curves.items(), strict=False):
        for label in ("usual", "ours"):
            milliseconds = [getattr(point, label) * 1e3 for point in curve]
            axis.loglog([point.x for point in curve], milliseconds, "o-", label=label)
        axis.set(xlabel=name, ylabel="CPU time, ms", title="logits to text")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    figure.savefig(FOLDER / "performance.png", dpi=110)
    plt.close(figure)


def _plot_ratios(axis: plt.Axes, lines: Sequence["Line"]) -> None:
    """Ratio per item and mask set, the ratio asked for as a black mark."""
    items = list(dict.fromkeys(line.item for line in lines))
    names = _names(lines)
    height = 0.8 / len(names)
    for offset, name in enumerate(names):
        chosen = [line for line in lines if line.masks == name]
        places = [items.index(line.item) + (offset - 1) * height for line in chosen]
        axis.barh(places, [line.ratio for line in chosen], height, label=name)
    asked = [line for line in lines if line.target and line.target > 1]
    places = [items.index(line.item) - height for line in asked]
    axis.plot([line.target for line in asked], places, "k|", markersize=14, label="asked for")
    axis.set(xscale="log", xlabel="usual / ours", title="ratio of CPU times")
    axis.set_yticks(range(len(items)), items)
    axis.invert_yaxis()
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.legend(loc="lower right")
