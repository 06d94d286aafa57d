"""The one place that draws.

overlays.py  masks over images, contact sheets    plots.py  scores, with how sure they are
outlines.py  an image and the paths of its classes, for pages
"""

from competition.pictures.outlines import (
    PATH_UNITS,
    OutlinedImage,
    class_paths,
    jpeg_bytes,
    outlined_image,
    page_svg,
)
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
    TrainingCurve,
    bars,
    class_scores,
    confusion,
    differences,
    distribution,
    gains,
    history_curves,
    reliability,
    threshold_curves,
    tradeoffs,
    training_curves,
)
