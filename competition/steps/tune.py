"""What is decided out of fold: heads, weights, thresholds, empty rules and post-processing."""

from competition.decoding.decisions import Decisions, Mixture, read_decisions
from competition.decoding.ensemble import read_ensemble
from competition.entry import Entry
from competition.evaluation.groups import GroupTable, read_group_sums, write_group_sums
from competition.machine import settle_memory
from competition.project import Project
from competition.steps.prediction_stores import out_of_fold
from competition.steps.tune_figures import draw_tuned

PLAIN_SUMS, NESTED_SUMS = "one-half.csv", "cross-fitted.csv"
"""Out-of-fold sums by group: at threshold 0.5, and under the choice made without them."""


def tune_entry(project: Project, entry: Entry, *, force: bool = False) -> Decisions:
    """Fit heads, weights, thresholds, empty rules and post-processing out of fold; decisions.json."""
    folder, classes = entry.folder(project.workspace), project.classes
    target = folder / "decisions.json"

    def run() -> None:
        from competition.tuning.search import (  # and scipy.optimize: half a second
            passes_over,
            search_decisions,
        )

        settle_memory()
        report = read_ensemble(folder / "ensemble.json", classes=classes)
        members = out_of_fold(project, entry)
        images = len(next(iter(members.values())).images)
        with project.watch("tuning", passes_over(project.competition.metric) * images) as advance:
            tuned = search_decisions(
                members,
                project.labels,
                project.folds,
                project.competition,
                ensemble=report,
                slices=project.slices,
                ignored=project.ignored,
                advance=advance,
            )
        tuned.decisions.write(target)
        write_group_sums(folder / PLAIN_SUMS, tuned.before, classes)
        write_group_sums(folder / NESTED_SUMS, tuned.after, classes)
        group_table(project, entry).write_csv(folder / "groups.csv")
        together = tuned.decisions.mixture.blended(members, exclusive=project.exclusive)
        plain = Mixture.equal(members).blended(members, exclusive=project.exclusive)
        draw_tuned(project, folder, plain, together, tuned)

    project.perform(project.pipeline.tune(entry), run, force=force)
    return read_decisions(target, classes=classes)


def group_table(project: Project, entry: Entry) -> GroupTable:
    """What was tuned last, by group; InputFault where nothing was."""
    folder = entry.folder(project.workspace)
    before, after = (
        read_group_sums(folder / name, project.classes) for name in (PLAIN_SUMS, NESTED_SUMS)
    )
    return GroupTable(before, after, project.metric_sums, project.classes)
