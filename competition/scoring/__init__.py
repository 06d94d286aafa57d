"""Scores on runs, as leaderboards compute them, and how sure they are.

`metrics` names the competition's metric and computes it; `overlap` counts pixels, `splitting` makes
objects of a mask and `objects` matches them, `surfaces` measures distances between outlines, `volumes`
scores scans of many slices; `bootstrap` gives intervals by group.
"""

from competition.scoring.bootstrap import interval, paired
from competition.scoring.metrics import (
    Metric,
    aggregate,
    evaluate,
    score_from_statistics,
    score_image,
    score_objects,
)
from competition.scoring.objects import overlapping_objects
from competition.scoring.overlap import dice_from_statistics, dice_statistics
from competition.scoring.splitting import CONNECTED_PARTS, ObjectRule, objects_of
from competition.scoring.volumes import evaluate_volumes

__all__ = [
    "CONNECTED_PARTS",
    "Metric",
    "ObjectRule",
    "aggregate",
    "dice_from_statistics",
    "dice_statistics",
    "evaluate",
    "evaluate_volumes",
    "interval",
    "objects_of",
    "overlapping_objects",
    "paired",
    "score_from_statistics",
    "score_image",
    "score_objects",
]
