"""Masks as runs: the value (`Runs`, `Objects`) and the ways in and out of it.

Shape letters: K classes, H W native pixels, h w pixels of the network, N objects, P bit planes.
Set algebra lives on `Runs`; `geometry` moves and resizes, `morphology` finds components and edges,
`skeleton` centre lines and how wide they are.
"""

from competition.masks.bitplanes import planes_from_runs, runs_from_planes, unpack
from competition.masks.from_logits import label_runs_from_logits, runs_from_logits
from competition.masks.objects import Objects
from competition.masks.polygons import (
    polygons_from_runs,
    rings_from_runs,
    runs_from_polygons,
    runs_from_rings,
)
from competition.masks.rle import RleFormat, decode, encode
from competition.masks.runs import Runs, intersection_area
from competition.masks.voting import vote

__all__ = [
    "Objects",
    "RleFormat",
    "Runs",
    "decode",
    "encode",
    "intersection_area",
    "label_runs_from_logits",
    "planes_from_runs",
    "polygons_from_runs",
    "rings_from_runs",
    "runs_from_logits",
    "runs_from_planes",
    "runs_from_polygons",
    "runs_from_rings",
    "unpack",
    "vote",
]
