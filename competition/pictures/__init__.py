"""The one place that draws: `overlays` masks over images and sheets of them, `plots` scores."""

from competition.pictures.overlays import (
    FALSE,
    MISSED,
    RIGHT,
    beside,
    class_colours,
    comparison,
    contact_sheet,
    fitted,
    glowing,
    overlay,
)
from competition.pictures.plots import (
    StepGain,
    bars,
    class_scores,
    differences,
    gains,
    reliability,
    threshold_curves,
    tradeoffs,
)

__all__ = [
    "FALSE",
    "MISSED",
    "RIGHT",
    "StepGain",
    "bars",
    "beside",
    "class_colours",
    "class_scores",
    "comparison",
    "contact_sheet",
    "differences",
    "fitted",
    "gains",
    "glowing",
    "overlay",
    "reliability",
    "threshold_curves",
    "tradeoffs",
]
