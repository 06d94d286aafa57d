"""What is decided out of fold: the ensemble's weights, thresholds and empty rules."""

from competition.entry import Entry
from competition.machine import settle_memory
from competition.steps.bench import Bench
from competition.steps.drawing import draw_members, draw_tuned
from competition.steps.stores import out_of_fold
from competition.tuning.decisions import Decisions, read_decisions, write_decisions
from competition.tuning.groups import GroupTable, read_sums, write_sums
from competition.tuning.measure import Measure
from competition.tuning.weighing import (
    Ensemble,
    read_ensemble,
    readings,
    weigh_members,
    write_ensemble,
)

ONE_HALF, CROSS_FITTED = "one-half.csv", "cross-fitted.csv"
"""Out-of-fold sums by group: at thresholds of one half, and under the choice made without them."""


def weigh(bench: Bench, entry: Entry, *, again: bool = False) -> Ensemble:
    """Score each member and their mean out of fold; writes ensemble.json."""
    target = entry.folder(bench.project.workspace) / "ensemble.json"

    def run() -> None:
        members = out_of_fold(bench, entry)
        images = len(next(iter(members.values())).images)
        with bench.watch("scoring members", images * readings(members)) as advance:
            report = weigh_members(
                members,
                bench.project.labels,
                bench.project.folds,
                bench.project.competition,
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
        from competition.tuning.tune import PASSES  # and scipy.optimize: half a second
        from competition.tuning.tune import tune as decide_rules

        settle_memory()
        report = read_ensemble(folder / "ensemble.json", classes=classes)
        members = out_of_fold(bench, entry)
        images = len(next(iter(members.values())).images)
        with bench.watch("tuning", PASSES * images) as advance:
            tuned = decide_rules(
                members,
                bench.project.labels,
                bench.project.folds,
                bench.project.competition,
                ensemble=report,
                advance=advance,
            )
        write_decisions(target, tuned.decisions)
        write_sums(folder / ONE_HALF, tuned.before, classes)
        write_sums(folder / CROSS_FITTED, tuned.after, classes)
        by_group(bench, entry).write_csv(folder / "groups.csv")
        exclusive = bench.project.competition.exclusive
        together = tuned.decisions.mixture.blended(members, exclusive=exclusive)
        draw_tuned(bench, folder, together, tuned)

    bench.perform(bench.pipeline.tune(entry), run, again=again)
    return read_decisions(target, classes=classes)


def by_group(bench: Bench, entry: Entry) -> GroupTable:
    """What was tuned last, by group; InputFault where nothing was."""
    folder, competition = entry.folder(bench.project.workspace), bench.project.competition
    before, after = (
        read_sums(folder / name, competition.classes) for name in (ONE_HALF, CROSS_FITTED)
    )
    return GroupTable(before, after, Measure.of(competition), competition.classes)
