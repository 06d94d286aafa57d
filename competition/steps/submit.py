"""Decided test masks on their way out: the checked submission, its receipt and its contact sheets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.decoding.blend import Blend, Reader
from competition.decoding.decisions import ClassRule, Decisions, decide, plain_rules, read_decisions
from competition.decoding.ensemble import MemberScores, read_ensemble
from competition.entry import Entry
from competition.evaluation.groups import read_group_sums, write_group_sums
from competition.evaluation.metric_sums import Score
from competition.inference.store import Store
from competition.masks import Runs
from competition.pipeline import submission_name
from competition.project import Project
from competition.steps.contact_sheets import draw_disputed, draw_sheet
from competition.steps.prediction_stores import mean_predictions
from competition.steps.private_interval import interval_of_entry, plain_group_sums
from competition.steps.tune import NESTED_SUMS
from competition.submission import evidence_path, write_submission
from competition.workspace import file_sha256


def submit_entry(
    project: Project, entry: Entry, *, plain: bool = False, force: bool = False
) -> Path:
    """Write the checked submission and its receipt; returns the csv."""
    project.require_test_part("nothing to submit")
    target = project.workspace.submission(submission_name(entry, plain=plain))

    def run() -> dict[str, Any]:
        decoder = read_decoder(project, entry, plain=plain)
        _warn_outdated(project, entry, plain=plain)
        readers = mean_predictions(project, entry)
        together = decoder.mix(readers)

        def decided(image: str, size: tuple[int, int] | None = None) -> Runs:
            return decide(together, image, decoder.rules, size)

        facts = _receipt(entry, readers, decoder) | _evidence(project, entry, decoder, target)
        with project.watch("writing", len(project.rows("test"))) as advance:

            def masks(image: str) -> Runs:
                advance()
                return decided(image, project.competition.submission.size)

            made = write_submission(project.competition, project.sample, masks, target, facts)
        project.say(
            f"wrote {target}: {made.rows} rows of {made.images} images, {made.empty} empty; "
            "read back and equal to what was meant"
        )
        draw_sheet(project, decided, target.with_suffix(".png"))
        draw_disputed(project, readers, decided, target.with_suffix(".disputed.png"))
        return facts

    project.perform(project.pipeline.submit(entry, plain=plain), run, force=force)
    return target


def _warn_outdated(project: Project, entry: Entry, *, plain: bool) -> None:
    """The out-of-fold score that goes into the receipt may be one of other decisions."""
    step = project.pipeline.ensemble(entry) if plain else project.pipeline.tune(entry)
    state = step.state()
    if state.kind != "fresh":
        project.say(
            f"warning: {step.name} is {state.text()}; the out-of-fold score of this submission was "
            f"measured before that: `python -m competition {step.name.split()[0]}` and submit again"
        )


@dataclass(frozen=True)
class Decoder:
    """How stored logits become masks: the members' weights and what was decided (None: nothing)."""

    ensemble: MemberScores
    decisions: Decisions | None
    exclusive: bool

    @property
    def rules(self) -> Mapping[str, ClassRule]:
        return (
            plain_rules(self.ensemble.classes) if self.decisions is None else self.decisions.rules
        )

    @property
    def decided(self) -> bool:
        """Whether anything was searched for: with one part nothing could be held out."""
        return self.decisions is not None and self.decisions.parts > 1

    @property
    def score(self) -> Score:
        return self.ensemble.score if self.decisions is None else self.decisions.cross_fitted

    def mix(self, readers: Mapping[str, Reader]) -> Blend:
        mixture = self.ensemble if self.decisions is None else self.decisions.mixture
        return mixture.blended(readers, exclusive=self.exclusive)


def read_decoder(project: Project, entry: Entry, *, plain: bool) -> Decoder:
    """`plain`: equal weights and threshold 0.5, whatever was decided."""
    folder = entry.folder(project.workspace)
    ensemble = read_ensemble(folder / "ensemble.json", classes=project.classes)
    decisions = None
    if not plain:
        decisions = read_decisions(folder / "decisions.json", classes=project.classes)
    return Decoder(ensemble, decisions, project.exclusive)


def _receipt(entry: Entry, readers: Mapping[str, Store], decoder: Decoder) -> dict[str, Any]:
    kept = () if decoder.decisions is None else decoder.decisions.steps
    teacher = {"recipe", "folds", "checkpoints"}
    empty = decoder.ensemble.empty
    return {
        "entry": entry.name,
        "members": {
            name: store.provenance.model_dump(mode="json", include=teacher)
            for name, store in readers.items()
        },
        "out of fold": {
            **decoder.score.model_dump(mode="json"),
            "how": "nested cross-validation" if decoder.decided else "threshold 0.5",
            "images": decoder.ensemble.images,
        },
        "empty submission": None if empty is None else empty.model_dump(mode="json"),
        "kept": [step.name for step in kept if step.adopted],
        "thresholds": {name: rule.threshold for name, rule in decoder.rules.items()},
    }


def _evidence(project: Project, entry: Entry, decoder: Decoder, target: Path) -> dict[str, Any]:
    """What the leaderboard needs: the out-of-fold sums by group, written, and Private expected."""
    parts = None
    if decoder.decisions is None:
        sums = plain_group_sums(project, entry, decoder.mix)
    else:
        sums = read_group_sums(entry.folder(project.workspace) / NESTED_SUMS, project.classes)
        parts = decoder.decisions.parts
    path = evidence_path(target)
    write_group_sums(path, sums, project.classes)
    expected = interval_of_entry(project, entry, sums, decoder.mix, decoder.rules)
    return {
        "evidence": {"sha256": file_sha256(path), "parts": parts},
        "expected private": None if expected is None else expected.model_dump(mode="json"),
    }
