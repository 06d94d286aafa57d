"""The split: made once, for git."""

from competition.data.folds import describe_folds, make_folds, write_folds
from competition.data.holdout import make_holdout, write_holdout
from competition.doctor import examined
from competition.errors import InputFault, listed
from competition.project import Project


def make_split(project: Project) -> str:
    """Make the folds file where there is none; returns a table that describes the split."""
    path, held_out = project.workspace.folds, project.workspace.holdout
    split = project.competition.split
    if not path.exists():
        refuse_faulty_data(project, otherwise="no folds were made")
    if split.holdout is not None and not path.exists() and not held_out.exists():
        rows = make_holdout(project.everything, project.labels, split, split.holdout)
        write_holdout(rows, held_out)
        project.forget_catalog()
        project.say(
            f"wrote {held_out}: {len(rows)} images of {rows['group'].nunique()} groups, kept from "
            "every decision; commit it"
        )
    if not path.exists():
        write_folds(make_folds(project.catalog, project.labels, split), path)
        project.say(f"wrote {path}; commit it: a split is part of the result")
    return describe_folds(project.folds, project.labels, classes=project.classes)


def refuse_faulty_data(project: Project, *, otherwise: str) -> None:
    """InputFault for data that the doctor calls wrong: all else rests on them. otherwise: what was not
    done. What it said before of the same data is taken.
    """
    report = examined(
        project.competition, project.workspace, project.catalog_if_any, watch=project.watch
    )
    if report.errors:
        raise InputFault(
            f"{listed(list(report.errors))}\n{otherwise}; `python -m competition doctor` tells all that "
            "it found in the data"
        )
