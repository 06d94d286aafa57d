"""The report of an entry: what the earlier steps left, read and put into one page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.csv_text import read_csv_text
from competition.entry import Entry
from competition.errors import InputFault
from competition.evaluation.part_differences import unlike_text
from competition.inference.disagreement import DISPUTED
from competition.masks import Runs
from competition.pictures import (
    TrainingCurve,
    distribution,
    training_curves,
)
from competition.project import Project
from competition.pseudo.rounds import LABEL_COLUMNS, RoundReceipt, load_labels_of, read_round
from competition.report import (
    Contradiction,
    Headline,
    ReportPage,
    ReportSection,
    ReportTable,
    ranked,
    rendered_page,
    write_audit,
)
from competition.report.audit import little_known
from competition.report.round_truth import truth_tables
from competition.report.sections import (
    against_section,
    audit_section,
    classes_section,
    decisions_section,
    disagreement_section,
    folds_section,
    groups_section,
    pseudo_section,
    scores_section,
    steps_section,
    training_section,
    worst_section,
)
from competition.scoring import dice_from_statistics, dice_statistics
from competition.solution import read_score
from competition.steps.contact_sheets import disputed_part
from competition.steps.prediction_stores import mean_predictions
from competition.steps.report_evidence import EntryEvidence, verdict_of
from competition.steps.report_pictures import (
    AGAINST,
    AUDITED,
    WORST,
    disputed_pictures,
    for_each_class,
    labels_and_masks,
    round_pictures,
    two_masks,
)
from competition.steps.submit import submit_entry
from competition.steps.tune_figures import DECIDED
from competition.submission import read_submission
from competition.workspace import read_json, write_text

_OTHERS = 4
"""Other submissions, the best ones, that this one's masks are compared with."""
_FEW_GROUPS = 20
"""Groups out of fold, with fewer of which an interval is itself uncertain."""


def report_entry(
    project: Project, entry: Entry, *, plain: bool = False, force: bool = False
) -> Path:
    """Write the report of the entry as it is submitted, its figures as SVG into the entry's folder and
    the contradicted labels as csv; returns the HTML file.
    """
    step = project.pipeline.report(entry, plain=plain)
    target = step.outputs[0]

    def run() -> None:
        write_text(target, rendered_page(_Written(EntryEvidence(project, entry, plain)).page()))
        project.say(f"wrote {target}: {target.stat().st_size / 1e6:.1f} MB")

    project.perform(step, run, force=force)
    return target


def submit_and_report(
    project: Project, entry: Entry, *, plain: bool = False, force: bool = False
) -> Path:
    """The submission, and then its report; returns the csv."""
    target = submit_entry(project, entry, plain=plain, force=force)
    report_entry(project, entry, plain=plain, force=force)
    return target


@dataclass(frozen=True)
class _Written:
    """The page, section by section."""

    seen: EntryEvidence

    def page(self) -> ReportPage:
        competition, decoder = self.seen.project.competition, self.seen.decoder
        sections = [
            scores_section(
                decoder.ensemble,
                decoder.decisions,
                self.seen.expected,
                read_score(self.seen.submission),
                self.seen.figures(
                    "ensemble", [("ensemble", "Each member and their mean, out of fold.")]
                ),
            ),
            self._decisions(),
            self._training(),
            self._classes(),
            groups_section(
                competition.classes,
                *self.seen.group_sums,
                self.seen.project.metric_sums,
                "groups.csv",
            ),
            self._worst(),
            self._audit(),
            self._disagreement(),
            self._folds(),
            self._pseudo(),
            self._against(),
            self._steps(),
        ]
        return ReportPage(
            title=f"{self.seen.name} of {competition.name}",
            subtitle=(
                f"{competition.metric.name} over {_classes(len(competition.classes))}; members "
                f"{', '.join(map(str, self.seen.entry.members))}; folds "
                f"{', '.join(map(str, self.seen.entry.folds))}"
            ),
            classes=competition.classes,
            headlines=self._headlines(),
            verdict=self._verdict(),
            cautions=self._cautions(),
            sections=sections,
            facts=self._facts(),
        )

    def _headlines(self) -> list[Headline]:
        decoder = self.seen.decoder
        how = "nested cross-validation" if decoder.decided else "threshold 0.5"
        images, groups = decoder.ensemble.images, decoder.ensemble.groups
        score = decoder.score
        found = [
            Headline(
                "out of fold",
                f"{score.value:.4f}",
                "" if score.low is None else f"{score.low:.4f} to {score.high:.4f}",
                f"{how}, {images} images of {groups} groups",
            )
        ]
        expected = self.seen.expected
        if expected is not None:
            found.append(
                Headline(
                    "Private, expected",
                    f"{expected.value:.4f}",
                    f"{expected.low:.4f} to {expected.high:.4f}",
                    "95 % of boards of groups like ours",
                )
            )
        decisions = decoder.decisions
        if decisions is not None and decoder.decided:
            gain = decisions.cross_fitted.value - decisions.plain.value
            kept = sum(one.adopted for one in decisions.steps)
            note = f"{kept} of {len(decisions.steps)} steps kept, over threshold 0.5"
            found.append(Headline("tuning", f"{gain:+z.4f}", note=note))
        table = read_score(self.seen.submission)
        boards = {} if table is None else table.parts
        for name, one in boards.items():
            if name == "All" and len(boards) > 1:
                continue
            between = (
                "" if one.score.low is None else f"{one.score.low:.4f} to {one.score.high:.4f}"
            )
            note = f"scored, {one.images} images"
            found.append(Headline(name, f"{one.score.value:.4f}", between, note))
        return found

    def _verdict(self) -> list[str]:
        decoder, expected = self.seen.decoder, self.seen.expected
        decisions = decoder.decisions
        said = []
        if decisions is None:
            said.append("Nothing is tuned here: equal weights and threshold 0.5.")
        elif not decoder.decided:
            said.append("Nothing could be decided: there are too few groups to hold some out.")
        else:
            kept = [one for one in decisions.steps if one.adopted]
            said.append(
                "Kept by tuning: "
                + "; ".join(f"{one.name} ({one.gain:+z.4f})" for one in kept)
                + "; each by images that it was not fitted on."
                if kept
                else "Tuning kept nothing: no step's gain was larger than the noise between groups."
            )
        if expected is not None:
            said.append(
                f"Private is expected at {expected.value:.4f}, between {expected.low:.4f} and "
                f"{expected.high:.4f}; by the split alone Public and Private may lie "
                f"{expected.spread:.4f} apart."
            )
        elif not self.seen.project.has_test_part:
            said.append("This data set has no test part: there is no Private to expect.")
        elif self.seen.standing is None:
            said.append("No submission of this entry is there yet, so nothing is said of Private.")
        else:
            said.append("Nothing is said of Private: that takes two groups out of fold, or more.")
        return said

    def _cautions(self) -> list[str]:
        """What speaks against trusting the score, the gravest first."""
        project, decoder, entry = self.seen.project, self.seen.decoder, self.seen.entry
        found = [
            f"{name} is {state}" for name, state, _ in self.seen.step_states if state != "done"
        ]
        if len(found) > 3:
            found = [*found[:2], f"{len(found) - 2} more steps are to do or outdated; see below"]
        if self.seen.expected is not None and self.seen.expected.differs:
            found.append(f"{unlike_text(self.seen.expected.differs)}.".capitalize())
        verdict = self.seen.verdict
        if entry.round is not None and verdict is None:
            found.append(f"Its pseudo round {entry.round} was not judged.")
        if verdict is not None and not verdict.adopted:
            found.append(f"Its pseudo round {verdict.round} was not adopted.")
        if verdict is not None and verdict.leak:
            found.append(
                "Its pseudo labels come from networks that saw what it is scored on (indirect leak)."
            )
        if decoder.ensemble.groups < _FEW_GROUPS:
            found.append(
                f"Only {decoder.ensemble.groups} groups are scored: the interval is itself uncertain."
            )
        every = project.competition.split.folds
        if len(entry.folds) < every:
            found.append(
                f"Networks of {len(entry.folds)} of {every} folds: {decoder.ensemble.images} of "
                f"{len(project.folds)} labelled images are scored."
            )
        if project.competition.data.group == "image" and not project.slices:
            found.append(
                "Each image counts as a group of its own. Where several are of one patient or scene, "
                "the score is too good: [data] group says what belongs together."
            )
        decisions = decoder.decisions
        if decisions is not None and decoder.decided and decisions.cross_fitted.low is not None:
            optimism = abs(decisions.apparent - decisions.cross_fitted.value)
            width = (decisions.cross_fitted.high or 0) - decisions.cross_fitted.low
            if optimism > width / 2:
                found.append(
                    f"The decisions score {decisions.apparent:.4f} on the images that they were fitted "
                    f"on, and {decisions.cross_fitted.value:.4f} on others: the search fits noise."
                )
        dead = sorted({name for history in self.seen.histories.values() for name in _dead(history)})
        if dead:
            found.append(f"Dead classes at the end of a training: {', '.join(dead)}.")
        return found

    def _decisions(self) -> ReportSection:
        named = [
            ("gains", "What each step gains, cross-fitted, beside its apparent gain."),
            ("thresholds", "The score of each class over its threshold; dots are chosen."),
        ]
        decided = self.seen.decoder.decided
        return decisions_section(
            self.seen.decoder.decisions, self.seen.figures("tune", named) if decided else []
        )

    def _training(self) -> ReportSection:
        every = [
            f"{m} fold {fold}" for m in self.seen.entry.networks for fold in self.seen.entry.folds
        ]
        missing = [name for name in every if name not in self.seen.histories]
        curves = {
            name: TrainingCurve(
                one["epoch"].to_numpy(np.float64),
                one["train_loss"].to_numpy(np.float64),
                one["score"].to_numpy(np.float64) if "score" in one else np.full(len(one), np.nan),
            )
            for name, one in self.seen.histories.items()
        }
        drawn = []
        if any(len(curve.epochs) > 1 for curve in curves.values()):
            training_curves(self.seen.folder / "training.svg", curves)
            caption = "Validation score at the network's size, and training loss, of every network."
            drawn = self.seen.figures("report", [("training", caption)])
        return training_section(self.seen.histories, missing, drawn)

    def _classes(self) -> ReportSection:
        path = self.seen.folder / "metrics.csv"
        tuned = self.seen.decoder.decisions is not None
        metrics = read_csv_text(path, ("masks", "class")) if tuned and path.is_file() else None
        if metrics is not None:
            metrics = metrics[metrics["masks"] == DECIDED]
        named = [
            ("classes", "Each class at threshold 0.5 and as decided, with its interval."),
            ("confusion", "Which class the pixels of a class are predicted as."),
            ("reliability", "How often a pixel of some probability is labelled."),
            ("tradeoffs", "Precision, recall and false positives of each class; dots: as decided."),
        ]
        return classes_section(
            self.seen.project.classes,
            *self.seen.group_sums,
            self.seen.project.metric_sums,
            metrics,
            self.seen.figures("tune", named) if tuned else [],
        )

    def _worst(self) -> ReportSection:
        images, _, sums = self.seen.evidence
        metric_sums = self.seen.project.metric_sums.of_slices
        scores = metric_sums.sign * metric_sums.overall(sums)
        pictures = []
        for place in np.argsort(metric_sums.sign * scores, kind="stable")[:WORST]:
            if not np.isnan(scores[place]):
                note = f"{scores[place]:.4f} at threshold 0.5"
                pictures.append(labels_and_masks(self.seen, images[place], note))
        return worst_section(pictures, len(images))

    def _audit(self) -> ReportSection:
        project = self.seen.project
        images, counts, _ = self.seen.evidence
        found = ranked(images, counts, project.classes)
        path = project.workspace.submissions / "label-audit" / f"{self.seen.name}.csv"
        write_audit(path, found)
        by_image: dict[str, list[Contradiction]] = {}
        for one in found:
            by_image.setdefault(one.image, []).append(one)
        pictures = []
        for image, pairs in list(by_image.items())[:AUDITED]:
            # What is shown are the labels in question: others would hide them.
            first = [one for one in pairs if one.share >= pairs[0].share / 2][:3]
            note = "; ".join(f"{one.name}: {one.what()} ({one.share:.2f})" for one in first)
            kept = {project.classes.index(one.name) for one in first}
            pictures.append(labels_and_masks(self.seen, image, note, only=kept))
        place = f"{path.parent.name}/{path.name}"
        unknown = little_known(counts, project.classes)
        return audit_section(found, len(images), unknown, place, pictures)

    def _disagreement(self) -> ReportSection:
        project, entry = self.seen.project, self.seen.entry
        folders = [project.pipeline.mean_folder(one, entry.folds) for one in entry.members]
        if not project.has_test_part or not all(path.is_dir() for path in folders):
            return disagreement_section(None, DISPUTED, [], [])
        readers = mean_predictions(project, entry)
        shares = {image: disputed_part(readers, image) for image in project.rows("test")["image"]}
        values = np.array(list(shares.values()))
        if not values.any():
            return disagreement_section(shares, DISPUTED, [], [])
        distribution(
            self.seen.folder / "disagreement.svg",
            values,
            label="share of disputed pixels",
            title=f"{len(values)} test images",
        )
        pictures = disputed_pictures(self.seen, shares, readers)
        drawn = self.seen.figures(
            "report", [("disagreement", "How many test images are how disputed.")]
        )
        return disagreement_section(shares, DISPUTED, drawn, pictures)

    def _folds(self) -> ReportSection:
        project, (images, _, sums) = self.seen.project, self.seen.evidence
        folds = project.folds
        present = project.labels.areas(folds["image"].tolist()) > 0
        scores: dict[int, str] = {}
        if not project.metric_sums.metric.over_volumes:
            numbers = folds.set_index("image")["fold"].loc[list(images)].to_numpy(np.int64)
            for fold in self.seen.entry.folds:
                scores[fold] = f"{project.metric_sums.value(sums[numbers == fold]):.4f}"
            scores[-1] = f"{project.metric_sums.value(sums):.4f}"
        return folds_section(project.classes, folds, present, scores)

    def _pseudo(self) -> ReportSection:
        project, name = self.seen.project, self.seen.entry.round
        judged, unread = [], []
        for path in sorted(self.seen.folder.parent.glob("*/verdict.json")):
            try:
                judged.append((path.parent.name, verdict_of(path)))
            except InputFault as fault:
                unread.append(str(fault).splitlines()[0])
        receipt, pictures = None, []
        truth: tuple[list[ReportTable], list[str]] = [], []
        if name is not None:
            try:
                receipt = read_round(project.workspace.pseudo(name), project.competition)
                truth = self._round_truth(name, receipt)
                pictures = round_pictures(self.seen, name, receipt)
            except InputFault as fault:
                unread.append(str(fault).splitlines()[0])
        return pseudo_section(
            name,
            receipt,
            self.seen.verdict,
            len(project.folds),
            judged,
            truth[0],
            [*truth[1], *unread],
            pictures,
        )

    def _round_truth(self, name: str, receipt: RoundReceipt) -> tuple[list[ReportTable], list[str]]:
        """How right the round's labels and their confidence are, where the answers are known."""
        project, answers = self.seen.project, self.seen.answers
        if not answers:
            nobody = (
                "How right its labels are nobody can say: the answers (solution.csv beside the data) "
                "are not there."
            )
            return [], [nobody]
        folder = project.workspace.pseudo(name)
        rows = read_csv_text(folder / "labels.csv", LABEL_COLUMNS)
        sure = rows.set_index(["teacher", "image", "class"])["confidence"].to_dict()
        found = []
        for teacher in receipt.images:
            labels = load_labels_of(folder, project.competition, project.sizes, teacher)
            for image, masks in labels.masks.items():
                if image not in answers or answers[image].shape != masks.shape:
                    continue
                ignored = for_each_class(labels.ignored[image], masks)
                pair = masks - ignored, answers[image] - ignored
                dice = dice_from_statistics(*dice_statistics(*pair))
                counted = ignored.area() < masks.plane
                found += [
                    (label, float(dice[k]), float(sure[teacher, image, label] or "nan"))
                    for k, label in enumerate(project.classes)
                    if counted[k]
                ]
        if not found:
            return [], ["The answers that are there are of no image of the round."]
        return truth_tables(pd.DataFrame(found, columns=["class", "dice", "confidence"]))

    def _against(self) -> ReportSection:
        project, board = self.seen.project, self.seen.board
        agreements: dict[str, np.ndarray] = {}
        unread: list[str] = []
        if self.seen.standing is None:
            return against_section(
                self.seen.name, board, agreements, (), project.classes, unread, []
            )
        ours = read_submission(project.competition, self.seen.submission, project.sizes)
        images = sorted(ours)
        others = [one.name for one in board.standings if one.name != self.seen.name][:_OTHERS]
        first: dict[str, Runs] = {}
        for other in others:
            path = project.workspace.submission(other)
            try:
                theirs = read_submission(project.competition, path, project.sizes)
                dice = np.stack(
                    [dice_from_statistics(*dice_statistics(ours[i], theirs[i])) for i in images]
                )
            except (InputFault, KeyError) as fault:
                unread.append(f"{other} could not be compared: {str(fault).splitlines()[0]}")
                continue
            first = first or theirs
            agreements[other] = dice
        pictures = []
        if agreements:
            dice = next(iter(agreements.values()))
            for place in np.argsort(dice.mean(axis=1), kind="stable")[:AGAINST]:
                image = images[place]
                if dice[place].mean() < 1:
                    note = f"Dice between them {dice[place].mean():.4f}"
                    pictures.append(two_masks(self.seen, image, note, ours[image], first[image]))
        return against_section(
            self.seen.name, board, agreements, images, project.classes, unread, pictures
        )

    def _steps(self) -> ReportSection:
        return steps_section(self.seen.step_states)

    def _facts(self) -> dict[str, str]:
        competition = self.seen.project.competition
        facts = {
            "competition": competition.name,
            "entry": self.seen.entry.name,
            "metric": competition.metric.name,
            "labelled images": str(len(self.seen.project.folds)),
            "classes": str(len(competition.classes)),
        }
        if self.seen.project.has_test_part:
            facts["test images"] = str(len(self.seen.project.rows("test")))
        receipt = self.seen.folder / "ensemble.receipt.json"
        recorded = read_json(receipt).get("recorded", {}) if receipt.exists() else {}
        facts |= {
            key: str(recorded[key]) for key in ("commit", "python", "machine") if recorded.get(key)
        }
        return facts | {
            f"{key}": v for key, v in recorded.get("versions", {}).items() if key == "torch"
        }


def _dead(history: pd.DataFrame) -> list[str]:
    """Classes that were dead when a training ended."""
    last = history["dead_classes"].iloc[-1] if "dead_classes" in history and len(history) else ""
    return last.split(", ") if isinstance(last, str) and last else []


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"
