"""Which stored predictions a step reads."""

from competition.decoding.blend import Reader
from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.inference.joined_stores import JoinedStores
from competition.inference.store import Store
from competition.project import Project


def out_of_fold(project: Project, entry: Entry) -> dict[str, Reader]:
    """Member → its out-of-fold predictions of all of the entry's folds."""
    return {
        str(member): JoinedStores(stores(project, member, entry.folds, "oof"))
        for member in entry.members
    }


def mean_predictions(project: Project, entry: Entry, split: str = "test") -> dict[str, Store]:
    """Member → the mean over folds of its predictions of test images, or of the holdout."""
    folders = {str(m): project.pipeline.mean_folder(m, entry.folds, split) for m in entry.members}
    return {name: Store.open(folder, classes=project.classes) for name, folder in folders.items()}


def stores(project: Project, member: Member, folds: tuple[int, ...], split: str) -> list[Store]:
    """One member's stores of each fold; split: "oof", "test", …. InputFault where one is not there."""
    folders = [project.workspace.run(str(member), fold) / split for fold in folds]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise InputFault(f"no predictions in {missing[0]}; `python -m competition predict` first")
    return [Store.open(folder, classes=project.classes) for folder in folders]


def unlabelled_stores(
    project: Project, member: Member, folds: tuple[int, ...]
) -> list[JoinedStores]:
    """One member's predictions, by fold, of all images that a round may label."""
    splits = project.pipeline.unlabelled()
    of_splits = [stores(project, member, folds, split) for split in splits]
    return [JoinedStores(own) for own in zip(*of_splits, strict=True)]
