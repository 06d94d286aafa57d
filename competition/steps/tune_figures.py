"""The figures beside decisions.json: what was decided, and how sure it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from competition.decoding.blend import Blend
from competition.decoding.calibration import (
    areas_under,
    bin_of,
    count_pixels,
    reliability_of,
    tradeoff_curves,
)
from competition.decoding.decisions import Decisions, decide, plain_rules
from competition.decoding.ensemble import MemberScores
from competition.decoding.threshold_sweep import ThresholdSweep
from competition.evaluation.borders import coarse_text, dice_at, rough_text
from competition.evaluation.metric_sums import Masks
from competition.evaluation.metric_table import (
    ClassMetrics,
    ImageMetrics,
    image_metrics,
    write_metric_table,
)
from competition.pictures import (
    bars,
    class_scores,
    comparison,
    confusion,
    contact_sheet,
    fitted,
    gains,
    reliability,
    threshold_curves,
    tradeoffs,
)
from competition.project import Project
from competition.steps.private_interval import masks_under, spread
from competition.tuning.parallel import over_images

if TYPE_CHECKING:
    from competition.tuning.search import Tuned

_PLAIN, DECIDED = "threshold 0.5", "as decided"
"""Masks of the members' equal mean, for which nothing was fitted, and by decisions that saw these
images: too good.
"""

_WORST, _LONGEST = 6, 240
"""Images on the sheet of the worst, and the longest side of one there, in pixels."""

_SHRUNK = 24
"""Images, evenly spread, whose labels are shrunk to the size of the logits."""


def draw_members(path: Path, ensemble: MemberScores) -> None:
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


def draw_tuned(
    project: Project, folder: Path, plain: Blend, together: Blend, tuned: "Tuned"
) -> None:
    """The figures of a choice; plain: the out-of-fold predictions with equal weights; together: the
    blend of them that the rules are applied to.
    """
    decisions, found = tuned.decisions, tuned.sweep
    classes = project.classes
    about = f"out of fold, {decisions.images} images of {decisions.groups} groups"
    chosen = np.array([rule.threshold for rule in decisions.rules.values()])
    threshold_curves(
        folder / "thresholds.png",
        found.thresholds,
        found.curves(),
        names=classes,
        chosen=chosen,
        title=f"{about}; dots: the thresholds chosen",
    )
    gains(folder / "gains.png", decisions.steps, title=about)
    metric_sums = project.metric_sums
    before, after = (
        metric_sums.sign * metric_sums.per_class(sums.sums.sum(axis=0))
        for sums in (tuned.before, tuned.after)
    )
    class_scores(
        folder / "classes.png",
        classes,
        before,
        after,
        intervals=tuned.after.class_intervals(metric_sums),
        title=about,
    )
    decided = draw_pixels(project, folder, together, chosen)
    # Where no head and no weights were kept, both are the same logits.
    areas = {
        _PLAIN: decided if plain == together else _areas_of(project, plain),
        DECIDED: decided,
    }
    ways = {
        _PLAIN: masks_under(plain, plain_rules(classes)),
        DECIDED: masks_under(together, decisions.rules),
    }
    images = spread(together.images)
    measured = draw_metrics(project, folder, images, ways, areas)
    say_borders(project, together, images, measured)
    draw_worst(project, folder / "worst.png", together, decisions, found)


def draw_pixels(project: Project, folder: Path, together: Blend, chosen: np.ndarray) -> np.ndarray:
    """Reliability, and precision, recall and false positives with the chosen thresholds (K,); the
    areas under their curves, float64 (2, K).
    """
    images = spread(together.images)
    counts = count_pixels(together, project.labels.__getitem__, images, ignored=project.ignored)
    owner = project.folds.set_index("image")["group"]
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
    areas = areas_under(curves)
    places = bin_of(chosen)
    tradeoffs(
        folder / "tradeoffs.png",
        curves,
        names=project.classes,
        chosen=curves[:, np.arange(len(places)), places],
        areas=areas,
        title=f"out of fold, {len(images)} images, pixels pooled; dots: the thresholds chosen",
    )
    return areas


def _areas_of(project: Project, together: Blend) -> np.ndarray:
    """float64 (2, K): see `areas_under`."""
    images = spread(together.images)
    truth = project.labels.__getitem__
    counts = count_pixels(together, truth, images, ignored=project.ignored)
    return areas_under(tradeoff_curves(counts.by_class))


def draw_metrics(
    project: Project,
    folder: Path,
    images: Sequence[str],
    ways: Mapping[str, Masks],
    areas: Mapping[str, np.ndarray],
) -> tuple[ImageMetrics, ...]:
    """metrics.csv, every metric of masks made in some ways, whose logits' curves have these areas
    (2, K), and the confusions of those as decided, whose metrics by image it gives.
    """
    spacing = project.competition.data.spacing or (1.0, 1.0)

    def work(place: int, image: str) -> list[ImageMetrics]:
        truth, ignored = project.labels[image], project.ignored[image]
        return [
            image_metrics(truth, masks(image), spacing=spacing, ignored=ignored)
            for masks in ways.values()
        ]

    by_way = dict(zip(ways, zip(*over_images(work, images), strict=True), strict=True))
    found = {way: ClassMetrics.of(rows) for way, rows in by_way.items()}
    write_metric_table(folder / "metrics.csv", found, areas, project.classes)
    confusion(
        folder / "confusion.png",
        found[DECIDED].confusion,
        names=[*project.classes, "no class"],
        title=f"{DECIDED}, {len(images)} images",
    )
    return by_way[DECIDED]


def say_borders(
    project: Project, together: Blend, images: Sequence[str], measured: Sequence[ImageMetrics]
) -> None:
    """Warnings of borders that are rough, or as coarse as the logits; measured: of masks as decided."""
    borders = np.sum([one.borders for one in measured], axis=0)
    chosen = range(0, len(images), -(-len(images) // _SHRUNK))
    some = [images[place] for place in chosen]

    def work(place: int, image: str) -> np.ndarray:
        grid = together.shown_size(image)
        return dice_at(grid, project.labels[image], project.ignored[image])

    dice = np.stack([measured[place].scores[0] for place in chosen])
    reached = np.stack(over_images(work, some))
    texts = (
        rough_text(borders, project.classes),
        coarse_text(dice, reached, together.shown_size(some[0])),
    )
    for text in filter(None, texts):
        project.say(f"warning: {text}")


def draw_worst(
    project: Project, path: Path, together: Blend, decisions: Decisions, found: ThresholdSweep
) -> None:
    """The images that score worst out of fold: labels, masks, and where they differ."""
    scores = found.by_image()
    tiles, captions, hatched = [], [], False
    for place in np.argsort(found.metric_sums.sign * scores)[:_WORST]:
        image = found.images[place]
        pixels = project.pixels(image)
        masks = decide(together, image, decisions.rules)
        size = fitted(pixels.shape[:2], _LONGEST)
        ignored = project.ignored[image]
        hatched = hatched or len(ignored) > 0
        tiles.append(comparison(pixels, project.labels[image], masks, size=size, ignored=ignored))
        captions.append(f"{image}  {scores[place]:.3f} at threshold 0.5")
    title = "worst out of fold: labels, masks, and green right, red too much, blue missed"
    title += "; hatched: ignored" if hatched else ""
    contact_sheet(tiles, path, columns=2, captions=captions, title=title)
