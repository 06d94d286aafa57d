"""Everything that is decided after training, from out-of-fold predictions, kept only if it helps."""

from competition.tuning.decisions import (
    ClassRule,
    Decisions,
    decide,
    read_decisions,
    write_decisions,
)
from competition.tuning.ensemble import Blend, blend
from competition.tuning.weighing import Ensemble, read_ensemble, weigh_members, write_ensemble

__all__ = [
    "Blend",
    "ClassRule",
    "Decisions",
    "Ensemble",
    "blend",
    "decide",
    "read_decisions",
    "read_ensemble",
    "weigh_members",
    "write_decisions",
    "write_ensemble",
]
