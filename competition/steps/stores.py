"""Which stores a step reads."""

from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.inference.joined import JoinedStores
from competition.inference.store import Store
from competition.steps.bench import Bench
from competition.tuning.ensemble import Reader


def out_of_fold(bench: Bench, entry: Entry) -> dict[str, Reader]:
    """Member → its out-of-fold predictions of all of the entry's folds."""
    return {
        str(member): JoinedStores(stores(bench, member, entry.folds, "oof"))
        for member in entry.members
    }


def mean_predictions(bench: Bench, entry: Entry, part: str = "test") -> dict[str, Store]:
    """Member → the mean over folds of its predictions of test images, or of the holdout."""
    classes = bench.project.competition.classes
    folders = {str(m): bench.pipeline.mean_folder(m, entry.folds, part) for m in entry.members}
    return {name: Store.open(folder, classes=classes) for name, folder in folders.items()}


def stores(bench: Bench, member: Member, folds: tuple[int, ...], part: str) -> list[Store]:
    """One member's stores of each fold; part: "oof" or "test". InputFault where one is not there."""
    classes = bench.project.competition.classes
    folders = [bench.project.workspace.run(str(member), fold) / part for fold in folds]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise InputFault(f"no predictions in {missing[0]}; `python -m competition predict` first")
    return [Store.open(folder, classes=classes) for folder in folders]
