"""What is drawn beside decisions.json, so that a person sees what was decided and how sure it is."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from competition.pictures import (
    StepGain,
    bars,
    class_scores,
    comparison,
    contact_sheet,
    fitted,
    gains,
    reliability,
    threshold_curves,
    tradeoffs,
)
from competition.steps.bench import Bench
from competition.steps.expecting import spread
from competition.tuning.decisions import Decisions, decide
from competition.tuning.ensemble import Blend
from competition.tuning.pixels import bin_of, count_pixels, reliability_of, tradeoff_curves
from competition.tuning.statistics import Statistics
from competition.tuning.weighing import Ensemble

if TYPE_CHECKING:
    from competition.tuning.tune import Tuned

WORST, LONGEST = 6, 240
"""Images on the sheet of the worst, and the longest side of one there, in pixels."""


def draw_members(path: Path, ensemble: Ensemble) -> None:
    """Bars of the members' scores and of their mean, with intervals."""
    scores = {member.name: member.score for member in ensemble.members}
    scores["their mean"] = ensemble.score
    between = [
        (score.low, score.high)
        for score in scores.values()
        if score.low is not None and score.high is not None
    ]
    bars(
        path,
        list(scores),
        [score.value for score in scores.values()],
        intervals=between if len(between) == len(scores) else None,
        label=f"score out of fold, {ensemble.images} images",
    )


def draw_tuned(bench: Bench, folder: Path, together: Blend, tuned: "Tuned") -> None:
    """The figures of a choice; together: the out-of-fold blend that the rules are applied to."""
    decisions, statistics = tuned.decisions, tuned.statistics
    classes = bench.project.competition.classes
    about = f"out of fold, {decisions.images} images of {decisions.groups} groups"
    chosen = np.array([rule.threshold for rule in decisions.rules.values()])
    threshold_curves(
        folder / "thresholds.png",
        statistics.thresholds,
        statistics.curves(),
        names=classes,
        chosen=chosen,
        title=f"{about}; dots: the thresholds chosen",
    )
    draw_gains(folder / "gains.png", decisions, about)
    measure = statistics.measure
    before, after = (
        measure.sign * measure.per_class(sums.parts.sum(axis=0))
        for sums in (tuned.before, tuned.after)
    )
    class_scores(
        folder / "classes.png",
        classes,
        before,
        after,
        intervals=tuned.after.class_intervals(measure),
        title=about,
    )
    draw_pixels(bench, folder, together, chosen)
    draw_worst(bench, folder / "worst.png", together, decisions, statistics)


def draw_gains(path: Path, decisions: Decisions, about: str) -> None:
    steps = [
        StepGain(step.name, step.gain, step.low, step.high, step.apparent_gain, step.adopted)
        for step in decisions.steps
    ]
    gains(path, steps, title=about)


def draw_pixels(bench: Bench, folder: Path, together: Blend, chosen: np.ndarray) -> None:
    """Reliability, and precision, recall and false positives with the chosen thresholds (K,)."""
    images = spread(together.images)
    counts = count_pixels(together, bench.project.labels.__getitem__, images)
    owner = bench.project.folds.set_index("image")["group"]
    found = reliability_of(counts.by_image, owner.loc[list(images)].to_numpy(str))
    about = f"out of fold, {len(images)} images of {len(np.unique(owner.loc[list(images)]))} groups"
    reliability(
        folder / "reliability.png",
        found.predicted,
        found.observed,
        intervals=found.intervals,
        counts=found.pixels,
        title=f"{about}\nmean distance from the diagonal, by pixels: {found.error:.4f}",
    )
    curves = tradeoff_curves(counts.by_class)
    places = bin_of(chosen)
    tradeoffs(
        folder / "tradeoffs.png",
        curves,
        names=bench.project.competition.classes,
        chosen=curves[:, np.arange(len(places)), places],
        title=f"out of fold, {len(images)} images, pixels pooled; dots: the thresholds chosen",
    )


def draw_worst(
    bench: Bench, path: Path, together: Blend, decisions: Decisions, statistics: Statistics
) -> None:
    """The images that score worst out of fold: labels, masks, and where they differ."""
    scores = statistics.by_image()
    tiles, captions = [], []
    for place in np.argsort(statistics.measure.sign * scores)[:WORST]:
        image = statistics.images[place]
        pixels = bench.project.pixels(image)
        masks = decide(together, image, decisions.rules)
        size = fitted(pixels.shape[:2], LONGEST)
        tiles.append(comparison(pixels, bench.project.labels[image], masks, size=size))
        captions.append(f"{image}  {scores[place]:.3f} at thresholds of one half")
    title = "worst out of fold: labels, masks, and green right, red too much, blue missed"
    contact_sheet(tiles, path, columns=2, captions=captions, title=title)
