"""A whole choice judged on volumes: what a metric sees that no single slice can show.

Every step is searched for and judged on slices, where the metric's part of slices stands in for it. What
they chose together is then kept only if its gain on whole volumes is significant in the metric itself.
The reported score makes that judgement again without each held-out part.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from competition.decoding.decisions import ClassRule, StepReport, class_rules, decide
from competition.decoding.threshold_sweep import Rules
from competition.evaluation.groups import Partition
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.tuning.cv_views import PLAIN_FIT, CvViews, FittedPlan
from competition.tuning.nested_cv import NestedChoice, gain_on


@dataclass(frozen=True, eq=False)
class Judged:
    """adopted: whether the choice is kept, else nothing is decided; plain, submitted, honest: what
    images add under each, (N, K, C), as in `NestedChoice`.
    """

    adopted: bool
    steps: list[StepReport]
    plain: np.ndarray
    submitted: np.ndarray
    honest: np.ndarray


def judged_on_volumes(
    choice: NestedChoice,
    views: CvViews,
    metric_sums: MetricSums,
    partition: Partition,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Judged:
    """One pass over the images, volume by volume."""
    images, parts = views.mixer.samples.images, list(choice.crossed_without)
    place_of = {image: place for place, image in enumerate(images)}
    plain = PLAIN_FIT, choice.plain.sweep.plain()
    shown = [{}, choice.shown_submitted, choice.shown_honest, choice.crossed]
    shown += [choice.crossed_without[part] for part in parts]

    def by_class(rules: Rules) -> Mapping[str, ClassRule]:
        numbered = [str(k) for k in range(len(rules.threshold))]
        return class_rules(rules, choice.plain.sweep.thresholds, numbered)

    def predictions(image: str) -> list[Runs]:
        """Under all that are shown; what is decided alike is decoded once."""
        known: dict[tuple[FittedPlan, bytes], Runs] = {}
        found = []
        for one in shown:
            fit, rules = one.get(place_of[image], plain)
            key = fit, rules.as_bytes()
            if key not in known:
                known[key] = decide(views.blend(fit), image, by_class(rules))
            found.append(known[key])
        return found

    sums = metric_sums.of_images(
        images,
        views.data.truth.__getitem__,
        predictions,
        ignored=views.data.ignored,
        advance=advance,
    )
    before, submitted, honest = (sums[:, which] for which in range(3))

    everywhere = np.ones(len(images), bool)
    found = gain_on(everywhere, (before, sums[:, 3]), partition, metric_sums)
    apparent = metric_sums.sign * (metric_sums.value(submitted) - metric_sums.value(before))
    report = StepReport.of("post-processing", "all of these, on whole volumes", apparent, found)
    nested = honest.copy()
    for place, part in enumerate(parts, 4):
        inside = partition.parts == part
        if not gain_on(~inside, (before, sums[:, place]), partition, metric_sums).significant:
            nested[inside] = before[inside]
    chosen = {(fit, rules.as_bytes()) for fit, rules in choice.shown_submitted.values()}
    steps = [report] if chosen != {(plain[0], plain[1].as_bytes())} else []
    return Judged(
        found.significant, steps, before, submitted if found.significant else before, nested
    )
