"""Decided test masks, or those of a csv, as training labels of the next round."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from competition import pseudo
from competition.decoding.decisions import read_decisions
from competition.entry import Entry
from competition.project import Project
from competition.steps.prediction_stores import mean_predictions


@dataclass(frozen=True)
class PseudoRound:
    """A pseudo-label round: its name, the csv that its labels come from (None: our predictions), and
    the least share of decided pixels of an image.
    """

    name: str
    source: Path | None = None
    confidence: float = 0.9


def make_pseudo_round(
    project: Project, entry: Entry, chosen: PseudoRound, *, force: bool = False
) -> pseudo.RoundReceipt:
    """Make a round from the entry's test predictions or from a csv."""
    folder = project.workspace.pseudo(chosen.name)

    def run() -> None:
        if chosen.source is None:
            labels, origin = _confident(project, entry, chosen.confidence)
        else:
            labels = pseudo.from_csv(project.competition, chosen.source, project.sizes)
            origin = pseudo.Origin.of_csv(chosen.source)
        pseudo.make_round(folder, project.competition, labels, origin, look=project.pixels)
        project.say(f"wrote {folder}")

    project.perform(project.pipeline.pseudo(chosen.name), run, force=force)
    return pseudo.read_round(folder, project.competition)


def _confident(
    project: Project, entry: Entry, confidence: float
) -> tuple[Iterator[pseudo.PseudoLabel], pseudo.Origin]:
    """The entry's decided test masks with their shares of decided pixels, and whose they are."""
    project.require_test_part("no image to label")
    path = entry.folder(project.workspace) / "decisions.json"
    decisions = read_decisions(path, classes=project.classes)
    readers = mean_predictions(project, entry)
    together = decisions.mixture.blended(readers, exclusive=project.exclusive)
    members = {name: store.provenance for name, store in readers.items()}
    origin = pseudo.Origin.of_predictions(members, minimum=confidence)
    return pseudo.from_predictions(together, decisions.rules), origin
