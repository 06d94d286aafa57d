"""docs/quantisation.md from one run of the quantisation benchmark."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.report import FOLDER

if TYPE_CHECKING:
    from benchmarks.quantisation import Line

_HEAD = """# What quantising costs

Written by `python -m benchmarks quantisation`. Logits of trained networks, of the images that each
has not seen, as float32 and as the store keeps them; masks at native size. Thresholds lie between two
codes, as one half does: to codes every threshold does. *Change* is codes less floats,
the mean over images and classes with its 95 % bootstrap interval over groups; *worst image* is the largest
change of one image's mean. Mean precision moves in steps of .1 (the IoU passes .5, .55, … .95 or does
not), so a pixel may move it far. *Coarse* is a form that the store does not use: steps of .25 beyond ±4.
"""


def write(lines: Sequence["Line"]) -> None:
    """Write one table for each network."""
    names = dict.fromkeys((line.network, line.images) for line in lines)
    tables = [
        _table(f"{name}, {images} images", [line for line in lines if line.network == name])
        for name, images in names
    ]
    (FOLDER / "quantisation.md").write_text("\n".join([_HEAD, *tables]), encoding="utf-8")


def _table(title: str, lines: Sequence["Line"]) -> str:
    rows = [
        f"## {title[0].upper()}{title[1:]}\n",
        "| coding | metric | threshold | score of floats | change | worst image |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, lines)]) + "\n"


def _row(line: "Line") -> str:
    gain = line.gain
    return (
        f"| {line.coding} | {line.metric} | {line.threshold:.3f} | {line.score:.4f}"
        f" | {gain.gain:+.1e} ({gain.low:+.1e} to {gain.high:+.1e}) | {line.worst:+.1e} |"
    )
