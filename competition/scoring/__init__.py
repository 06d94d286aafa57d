"""Scores on runs, as leaderboards compute them.

metrics.py   METRICS, one rule a metric; the score of an image and of a set of images
overlap.py   counts of pixels → Dice, IoU, F-beta      objects.py  objects of a mask, and matching them
surfaces.py  distances between outlines                volumes.py  scans of many slices
"""

from competition.scoring.metrics import (
    METRICS,
    Metric,
    aggregate,
    score_from_statistics,
    score_image,
    score_objects,
)
from competition.scoring.objects import CONNECTED_COMPONENTS, ObjectRule, objects_of
from competition.scoring.overlap import dice_from_statistics, dice_statistics
from competition.scoring.volumes import evaluate_volumes, score_volume
