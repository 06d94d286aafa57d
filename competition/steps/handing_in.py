"""Decided test masks on their way out: a submission, its contact sheet, or a pseudo round."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition import pseudo
from competition.entry import Entry
from competition.inference.store import Store
from competition.masks import Runs
from competition.pipeline import submission_name
from competition.steps.bench import Bench
from competition.steps.sheets import Decided, draw_disputed, draw_sheet
from competition.steps.stores import test_predictions
from competition.submission import Summary, write_submission
from competition.tuning.decisions import Decisions, decide, plain_rules, read_decisions
from competition.tuning.weighing import Ensemble, read_ensemble


def submit(bench: Bench, entry: Entry, *, plain: bool = False, again: bool = False) -> Path:
    """Write the checked submission and its receipt; returns the csv."""
    project = bench.project
    target = project.workspace.submission(submission_name(entry, plain=plain))

    def run() -> dict[str, Any]:
        decided, facts = test_masks(bench, entry, plain=plain)
        with bench.watch("writing", len(project.part("test"))) as advance:

            def masks(image: str) -> Runs:
                advance()
                return decided(image, project.competition.submission.size)

            summary = write_submission(project.competition, project.sample, masks, target, facts)
        bench.say(_described(summary, target))
        draw_sheet(bench, decided, target.with_suffix(".png"))
        draw_disputed(
            bench, test_predictions(bench, entry), decided, target.with_suffix(".disputed.png")
        )
        return facts

    bench.perform(bench.pipeline.submit(entry, plain=plain), run, again=again)
    return target


def test_masks(
    bench: Bench, entry: Entry, *, plain: bool
) -> tuple[Decided, dict[str, Any]]:
    """Image → its decided masks, and what a receipt says of how they came about."""
    folder, project = entry.folder(bench.project.workspace), bench.project
    classes = project.competition.classes
    ensemble = read_ensemble(folder / "ensemble.json", classes=classes)
    decisions = None if plain else read_decisions(folder / "decisions.json", classes=classes)
    rules = plain_rules(classes) if decisions is None else decisions.rules
    readers = test_predictions(bench, entry)
    mixture = ensemble if decisions is None else decisions.mixture
    together = mixture.blended(readers, exclusive=project.competition.exclusive)
    facts = _receipt(entry, readers, ensemble, decisions)
    return (lambda image, size=None: decide(together, image, rules, size)), facts


@dataclass(frozen=True)
class Round:
    """A pseudo round: its name, the csv that its labels come from (None: our predictions), and the
    least share of decided pixels of an image.
    """

    name: str
    source: Path | None = None
    confidence: float = 0.9


def label_test_images(
    bench: Bench, entry: Entry, chosen: Round, *, again: bool = False
) -> pseudo.Receipt:
    """Make a pseudo round from the entry's test predictions or from a csv."""
    project = bench.project
    folder = project.workspace.pseudo(chosen.name)

    def run() -> None:
        if chosen.source is None:
            candidates, origin = _confident(bench, entry, chosen.confidence)
        else:
            candidates = pseudo.from_csv(project.competition, chosen.source, project.sizes)
            origin = pseudo.Origin.of_csv(chosen.source)
        pseudo.make_round(folder, project.competition, candidates, origin, look=project.pixels)
        bench.say(f"wrote {folder}")

    bench.perform(bench.pipeline.pseudo(chosen.name), run, again=again)
    return pseudo.read_round(folder, project.competition)


def _confident(
    bench: Bench, entry: Entry, confidence: float
) -> tuple[Iterator[pseudo.Candidate], pseudo.Origin]:
    """The entry's decided test masks with their shares of decided pixels, and whose they are."""
    classes = bench.project.competition.classes
    folder = entry.folder(bench.project.workspace)
    decisions = read_decisions(folder / "decisions.json", classes=classes)
    readers = test_predictions(bench, entry)
    together = decisions.mixture.blended(readers, exclusive=bench.project.competition.exclusive)
    members = {name: store.provenance for name, store in readers.items()}
    origin = pseudo.Origin.of_predictions(members, minimum=confidence)
    return pseudo.from_predictions(together, decisions.rules), origin


def _receipt(
    entry: Entry, readers: Mapping[str, Store], ensemble: Ensemble, decisions: Decisions | None
) -> dict[str, Any]:
    scored = ensemble.score if decisions is None else decisions.cross_fitted
    thresholds = (
        dict.fromkeys(readers[next(iter(readers))].provenance.classes, 0.5)
        if decisions is None
        else {name: rule.threshold for name, rule in decisions.rules.items()}
    )
    return {
        "entry": entry.name,
        "members": {
            name: {"recipe": store.provenance.recipe, "folds": list(store.provenance.folds),
                   "checkpoints": list(store.provenance.checkpoints)}
            for name, store in readers.items()
        },
        "out of fold": {
            **scored.model_dump(mode="json"),
            "how": "thresholds of one half" if decisions is None else "cross-fitted",
            "images": ensemble.images,
        },
        "thresholds": thresholds,
    }


def _described(summary: Summary, target: Path) -> str:
    return (
        f"wrote {target}: {summary.rows} rows of {summary.images} images, {summary.empty} empty; "
        "read back and equal to what was meant"
    )
