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
from competition.steps.deciding import CROSS_FITTED
from competition.steps.expecting import expected_private, plain_sums
from competition.steps.sheets import draw_disputed, draw_sheet
from competition.steps.stores import mean_predictions
from competition.submission import Summary, evidence_path, write_submission
from competition.tuning.decisions import (
    ClassRule,
    Decisions,
    Score,
    decide,
    plain_rules,
    read_decisions,
)
from competition.tuning.ensemble import Blend, Reader
from competition.tuning.groups import read_sums, write_sums
from competition.tuning.weighing import Ensemble, read_ensemble
from competition.workspace import file_sha256


def submit(bench: Bench, entry: Entry, *, plain: bool = False, again: bool = False) -> Path:
    """Write the checked submission and its receipt; returns the csv."""
    project = bench.project
    target = project.workspace.submission(submission_name(entry, plain=plain))

    def run() -> dict[str, Any]:
        plan = read_plan(bench, entry, plain=plain)
        readers = mean_predictions(bench, entry)
        together = plan.mix(readers)

        def decided(image: str, size: tuple[int, int] | None = None) -> Runs:
            return decide(together, image, plan.rules, size)

        facts = _receipt(entry, readers, plan) | _evidence(bench, entry, plan, target)
        with bench.watch("writing", len(project.part("test"))) as advance:

            def masks(image: str) -> Runs:
                advance()
                return decided(image, project.competition.submission.size)

            summary = write_submission(project.competition, project.sample, masks, target, facts)
        bench.say(_described(summary, target))
        draw_sheet(bench, decided, target.with_suffix(".png"))
        draw_disputed(bench, readers, decided, target.with_suffix(".disputed.png"))
        return facts

    bench.perform(bench.pipeline.submit(entry, plain=plain), run, again=again)
    return target


@dataclass(frozen=True)
class Plan:
    """How test masks come about: the members' weights and what was decided (None: nothing)."""

    ensemble: Ensemble
    decisions: Decisions | None
    exclusive: bool

    @property
    def rules(self) -> Mapping[str, ClassRule]:
        return (
            plain_rules(self.ensemble.classes) if self.decisions is None else self.decisions.rules
        )

    @property
    def score(self) -> Score:
        return self.ensemble.score if self.decisions is None else self.decisions.cross_fitted

    def mix(self, readers: Mapping[str, Reader]) -> Blend:
        mixture = self.ensemble if self.decisions is None else self.decisions.mixture
        return mixture.blended(readers, exclusive=self.exclusive)


def read_plan(bench: Bench, entry: Entry, *, plain: bool) -> Plan:
    """`plain`: thresholds of one half, whatever was decided."""
    folder, competition = entry.folder(bench.project.workspace), bench.project.competition
    ensemble = read_ensemble(folder / "ensemble.json", classes=competition.classes)
    decisions = None
    if not plain:
        decisions = read_decisions(folder / "decisions.json", classes=competition.classes)
    return Plan(ensemble, decisions, competition.exclusive)


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
    readers = mean_predictions(bench, entry)
    together = decisions.mixture.blended(readers, exclusive=bench.project.competition.exclusive)
    members = {name: store.provenance for name, store in readers.items()}
    origin = pseudo.Origin.of_predictions(members, minimum=confidence)
    return pseudo.from_predictions(together, decisions.rules), origin


def _receipt(entry: Entry, readers: Mapping[str, Store], plan: Plan) -> dict[str, Any]:
    kept = () if plan.decisions is None else plan.decisions.steps
    return {
        "entry": entry.name,
        "members": {
            name: {
                "recipe": store.provenance.recipe,
                "folds": list(store.provenance.folds),
                "checkpoints": list(store.provenance.checkpoints),
            }
            for name, store in readers.items()
        },
        "out of fold": {
            **plan.score.model_dump(mode="json"),
            "how": "thresholds of one half" if plan.decisions is None else "cross-fitted",
            "images": plan.ensemble.images,
        },
        "kept": [step.name for step in kept if step.adopted],
        "thresholds": {name: rule.threshold for name, rule in plan.rules.items()},
    }


def _evidence(bench: Bench, entry: Entry, plan: Plan, target: Path) -> dict[str, Any]:
    """What the leaderboard needs: the out-of-fold sums by group, written, and Private expected."""
    classes, parts = plan.ensemble.classes, None
    if plan.decisions is None:
        sums = plain_sums(bench, entry, plan.mix)
    else:
        sums = read_sums(entry.folder(bench.project.workspace) / CROSS_FITTED, classes)
        parts = plan.decisions.parts
    path = evidence_path(target)
    write_sums(path, sums, classes)
    expected = expected_private(bench, entry, sums, plan.mix, plan.rules)
    return {
        "evidence": {"sha256": file_sha256(path), "parts": parts},
        "expected private": None if expected is None else expected.model_dump(mode="json"),
    }


def _described(summary: Summary, target: Path) -> str:
    return (
        f"wrote {target}: {summary.rows} rows of {summary.images} images, {summary.empty} empty; "
        "read back and equal to what was meant"
    )
