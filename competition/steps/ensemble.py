"""How each member and their mean score out of fold."""

from competition.decoding.ensemble import MemberScores, passes, read_ensemble, score_members
from competition.entry import Entry
from competition.project import Project
from competition.steps.prediction_stores import out_of_fold
from competition.steps.tune_figures import draw_members


def score_ensemble(project: Project, entry: Entry, *, force: bool = False) -> MemberScores:
    """Score each member and their mean out of fold; writes ensemble.json."""
    target = entry.folder(project.workspace) / "ensemble.json"

    def run() -> None:
        members = out_of_fold(project, entry)
        images = len(next(iter(members.values())).images)
        with project.watch("scoring members", images * passes(members)) as advance:
            report = score_members(
                members,
                project.labels,
                project.folds,
                project.competition,
                slices=project.slices,
                ignored=project.ignored,
                advance=advance,
            )
        report.write(target)
        draw_members(target.with_suffix(".png"), report)

    project.perform(project.pipeline.ensemble(entry), run, force=force)
    return read_ensemble(target, classes=project.classes)
