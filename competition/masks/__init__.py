"""Masks as runs: the value (`Runs`, `Objects`) and the ways in and out of it.

runs.py         Runs, with set algebra                   objects.py   Objects: instances
rle.py          run-length text ↔ Runs                   rle_formats.py  the conventions of competitions
polygons.py     polygons ↔ Runs                          dense.py     pixels ↔ intervals
counts.py       alternating counts ↔ Runs (COCO, CVAT)
bitplanes.py    eight classes in a byte                  voting.py    the hard vote
from_logits.py  logits → Runs at thresholds              argmax_from_logits.py  by argmax
from_logits_torch.py  both on a device                   geometry.py  crop, pad, flip, resize
morphology.py   components, holes, opening               skeleton.py  centre lines, thickness
rle_order_proof.py  in which order texts run
intervals.py, rle_parsing.py, sampling_grid.py, isoline_cells.py  the arithmetic below

Shape letters: K classes, H W native pixels, h w pixels of the network, N objects, P bit planes.
"""

from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.bitplanes import planes_from_runs, unpack
from competition.masks.from_logits import runs_from_logits
from competition.masks.objects import Objects
from competition.masks.polygons import (
    polygons_from_runs,
    rings_from_runs,
    runs_from_polygons,
    runs_from_rings,
)
from competition.masks.rle import RleFormat, decode, encode
from competition.masks.runs import Runs, intersection_area
from competition.masks.voting import weighted_vote
