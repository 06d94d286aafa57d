"""Steps are offered in turn and kept where their gain on held-out parts is significant.

Three numbers answer three questions. *Apparent*: how rules score on the images that they were fitted on
(too good). *Gain* of a step: fitted on the other parts, scored on its own; this decides. The *nested
cross-validation* score (`nested_cv.py`): the whole choice, selection included, is made again without
the images that it is scored on; this is what to expect.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from competition.decoding.decisions import StepReport
from competition.evaluation.significance import step_gain

if TYPE_CHECKING:  # they offer their steps, and know of no selection
    from competition.tuning.postprocess_search import OperationFits
    from competition.tuning.thresholds import ThresholdFits


def select_steps(offered: "ThresholdFits | OperationFits", groups: np.ndarray) -> list[StepReport]:
    """Every step in its order, judged on top of those adopted before it; groups: (N,).

    offered: `crossed(steps)` is what each image adds to the score under steps fitted without its part,
    (N, K, C); `apparent(steps)` the score on the images that the steps are fitted on.
    """
    adopted: tuple[str, ...] = ()
    before = offered.crossed(adopted)
    metric_sums, count = offered.metric_sums, len(np.unique(offered.parts))
    reports = []
    for name in offered.names:
        steps = (*adopted, name)
        after = offered.crossed(steps)
        gain = step_gain(before, after, groups, metric_sums, parts=count)
        apparent = metric_sums.sign * (offered.apparent(steps) - offered.apparent(adopted))
        reports.append(StepReport.of(offered.stage, name, apparent, gain))
        if gain.significant:
            adopted, before = steps, after
    return reports


def adopted_steps(reports: Iterable[StepReport]) -> tuple[str, ...]:
    return tuple(step.name for step in reports if step.adopted)
