"""What is there of an entry: what its report reads, when it first asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from competition.decoding.blend import Blend, LastRead
from competition.decoding.decisions import Mixture
from competition.entry import Entry
from competition.evaluation.groups import GroupSums, read_group_sums
from competition.evaluation.private_interval import PrivateInterval
from competition.leaderboard import Leaderboard, Standing, read_leaderboard
from competition.masks import Runs
from competition.pipeline import states, submission_name
from competition.project import Project
from competition.pseudo.verdict import Verdict
from competition.report import AuditCounts, ReportFigure, audit_counts
from competition.report.audit import SURELY, SURELY_NOT
from competition.steps.prediction_stores import out_of_fold
from competition.steps.submit import Decoder, read_decoder
from competition.steps.tune import NESTED_SUMS, PLAIN_SUMS
from competition.submission import read_submission
from competition.tuning.parallel import over_images
from competition.workspace import read_json


@dataclass(frozen=True)
class EntryEvidence:
    """An entry as it is submitted; plain: at threshold 0.5. Each part is read once."""

    project: Project
    entry: Entry
    plain: bool

    @property
    def name(self) -> str:
        return submission_name(self.entry, plain=self.plain)

    @property
    def folder(self) -> Path:
        return self.entry.folder(self.project.workspace)

    @property
    def submission(self) -> Path:
        return self.project.workspace.submission(self.name)

    @cached_property
    def decoder(self) -> Decoder:
        """As decided, or plain where nothing is."""
        tuned = not self.plain and (self.folder / "decisions.json").exists()
        return read_decoder(self.project, self.entry, plain=not tuned)

    @cached_property
    def together(self) -> Blend:
        """Out-of-fold predictions, mixed as they are submitted."""
        return self.decoder.mix(out_of_fold(self.project, self.entry))

    @cached_property
    def group_sums(self) -> tuple[GroupSums | None, GroupSums | None]:
        """At threshold 0.5 and as decided; None where nothing is decided, and both where volumes are
        scored then.
        """
        if self.decoder.decisions is None:
            if self.project.metric_sums.metric.over_volumes:
                return None, None
            images, _, sums = self.evidence
            owners = np.array([self.project.groups[image] for image in images])
            return GroupSums.of(sums, owners), None
        before, after = (
            read_group_sums(self.folder / name, self.project.classes)
            for name in (PLAIN_SUMS, NESTED_SUMS)
        )
        return before, after

    @cached_property
    def board(self) -> Leaderboard:
        project = self.project
        return read_leaderboard(
            project.workspace.submissions, project.metric_sums, project.competition.classes
        )

    @cached_property
    def standing(self) -> Standing | None:
        """This submission on the leaderboard; None before there is one."""
        return next((one for one in self.board.standings if one.name == self.name), None)

    @property
    def expected(self) -> PrivateInterval | None:
        return None if self.standing is None else self.standing.expected

    @cached_property
    def evidence(self) -> tuple[tuple[str, ...], list[AuditCounts], np.ndarray]:
        """Of every image out of fold, at threshold 0.5 by the equal mean: what the audit counts, and
        what it adds to the score, float64 (N, K, C).
        """
        project = self.project
        members = {
            name: LastRead(reader) for name, reader in out_of_fold(project, self.entry).items()
        }
        mean = Mixture.equal(members).blended(members, exclusive=project.exclusive)
        # That another class is more probable makes none improbable.
        alone = replace(mean, exclusive=False)
        metric_sums = project.metric_sums.of_slices

        def work(place: int, image: str) -> tuple[AuditCounts, np.ndarray]:
            truth, ignored = project.labels[image], project.ignored[image]
            possible, half, sure = alone.runs_at(image, np.array([SURELY_NOT, 0.5, SURELY]))
            if project.exclusive:
                (half,) = mean.runs_at(image, np.array([0.5]))
            counts = audit_counts(truth, possible, half, sure, ignored=ignored)
            return counts, metric_sums.of_image(truth, half, ignored=ignored)

        with project.watch("looking at images", len(mean.images)) as advance:
            found = over_images(work, mean.images, advance=advance)
        counts, sums = zip(*found, strict=True)
        return mean.images, list(counts), np.stack(sums)

    def figures(self, step: str, named: Sequence[tuple[str, str]]) -> list[ReportFigure]:
        """Those of (name, caption) that a step left in the entry's folder: as SVG, or as PNG where an
        earlier version drew them.
        """
        found = []
        for name, caption in named:
            svg, png = (self.folder / f"{name}.{kind}" for kind in ("svg", "png"))
            if svg.exists():
                found.append(ReportFigure(name, caption, svg=svg.read_text(encoding="utf-8")))
            elif png.exists():
                again = f"{caption} (A PNG of before; {step} with --force draws it anew, as SVG.)"
                found.append(ReportFigure(name, again, png=png.read_bytes()))
        return found

    @cached_property
    def step_states(self) -> list[tuple[str, str, str]]:
        """(step, state, when it was finished and how long it took) up to the submission."""
        found = []
        for step, state in states(
            self.project.pipeline.stages("submit", self.entry, plain=self.plain)
        ):
            took = ""
            if step.receipt is not None and step.receipt.exists():
                facts = read_json(step.receipt).get("recorded", {})
                took = f"{facts.get('finished', '')}, {facts.get('seconds', 0):.0f} s"
            found.append((step.name, state.text(), took))
        return found

    @cached_property
    def histories(self) -> dict[str, pd.DataFrame]:
        """`history.csv` of each trained network that has one, by member and fold."""
        paths = {
            f"{member} fold {fold}": self.project.workspace.run(str(member), fold) / "history.csv"
            for member in self.entry.trained
            for fold in self.entry.folds
        }
        return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file()}

    @cached_property
    def verdict(self) -> Verdict | None:
        """On the entry's own round."""
        path = self.folder / "verdict.json"
        return verdict_of(path) if path.exists() else None

    @cached_property
    def answers(self) -> Mapping[str, Runs]:
        """Image → the organisers' masks, where they lie beside the data; else nothing."""
        path = self.project.competition.root / "solution.csv"
        if not path.is_file():
            return {}
        return read_submission(self.project.competition, path, self.project.sizes)


def verdict_of(path: Path) -> Verdict:
    """InputFault where the file is damaged."""
    return Verdict.read(path, what="a verdict", again="run `podium verdict --force`")
