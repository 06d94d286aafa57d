"""What is decided out of fold: the ensemble's weights, thresholds and empty rules."""

from pathlib import Path

import numpy as np

from competition.entry import Entry
from competition.pictures import bars, comparison, contact_sheet, fitted, threshold_curves
from competition.steps.bench import Bench
from competition.steps.stores import out_of_fold
from competition.tuning.decisions import Decisions, decide, read_decisions, write_decisions
from competition.tuning.ensemble import Blend
from competition.tuning.statistics import Statistics
from competition.tuning.tune import PASSES
from competition.tuning.tune import tune as decide_rules
from competition.tuning.weighing import (
    Ensemble,
    read_ensemble,
    readings,
    weigh_members,
    write_ensemble,
)

WORST, LONGEST = 6, 240
"""Images on the sheet of the worst, and the longest side of one there, in pixels."""


def weigh(bench: Bench, entry: Entry, *, again: bool = False) -> Ensemble:
    """Score each member and their mean out of fold; writes ensemble.json."""
    target = entry.folder(bench.project.workspace) / "ensemble.json"

    def run() -> None:
        members = out_of_fold(bench, entry)
        images = len(next(iter(members.values())).images)
        with bench.watch("scoring members", images * readings(members)) as advance:
            report = weigh_members(
                members, bench.project.labels, bench.project.folds, bench.project.competition,
                advance=advance,
            )
        write_ensemble(target, report)
        draw_members(target.with_suffix(".png"), report)

    bench.perform(bench.pipeline.ensemble(entry), run, again=again)
    return read_ensemble(target, classes=bench.project.competition.classes)


def tune(bench: Bench, entry: Entry, *, again: bool = False) -> Decisions:
    """Choose heads, weights, thresholds, empty rules and shapes out of fold; writes decisions.json."""
    folder = entry.folder(bench.project.workspace)
    target = folder / "decisions.json"
    classes = bench.project.competition.classes

    def run() -> None:
        report = read_ensemble(folder / "ensemble.json", classes=classes)
        members = out_of_fold(bench, entry)
        images = len(next(iter(members.values())).images)
        with bench.watch("tuning", PASSES * images) as advance:
            decisions, statistics = decide_rules(
                members, bench.project.labels, bench.project.folds, bench.project.competition,
                ensemble=report, advance=advance,
            )
        write_decisions(target, decisions)
        chosen = [rule.threshold for rule in decisions.rules.values()]
        threshold_curves(
            folder / "thresholds.png", statistics.thresholds, statistics.curves(), names=classes,
            chosen=chosen,
        )
        draw_worst(bench, folder / "worst.png", decisions.mixture.blended(
            members, exclusive=bench.project.competition.exclusive
        ), decisions, statistics)

    bench.perform(bench.pipeline.tune(entry), run, again=again)
    return read_decisions(target, classes=classes)


def draw_members(path: Path, ensemble: Ensemble) -> None:
    """Bars of the members' scores and of their mean, with intervals."""
    scores = {member.name: member.score for member in ensemble.members}
    scores["their mean"] = ensemble.score
    known = all(score.low is not None for score in scores.values())
    bars(
        path, list(scores), [score.value for score in scores.values()],
        intervals=[(score.low, score.high) for score in scores.values()] if known else None,
        label=f"score out of fold, {ensemble.images} images",
    )


def draw_worst(
    bench: Bench, path: Path, together: Blend, decisions: Decisions, statistics: Statistics
) -> None:
    """The images that score worst out of fold: labels, masks, and where they differ."""
    scores = statistics.by_image()
    tiles, captions = [], []
    for place in np.argsort(scores)[:WORST]:
        image = statistics.images[place]
        pixels = bench.project.pixels(image)
        masks = decide(together, image, decisions.rules)
        size = fitted(pixels.shape[:2], LONGEST)
        tiles.append(comparison(pixels, bench.project.labels[image], masks, size=size))
        captions.append(f"{image}  {scores[place]:.3f} at thresholds of one half")
    title = "worst out of fold: labels, masks, and green right, red too much, blue missed"
    contact_sheet(tiles, path, columns=2, captions=captions, title=title)
