"""The report of an entry: what the earlier steps left, read and put into one page."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.csv_text import read_csv_text
from competition.decoding.blend import Blend, LastRead
from competition.decoding.decisions import Mixture, decide
from competition.entry import Entry
from competition.errors import InputFault
from competition.evaluation.groups import GroupSums, read_group_sums
from competition.evaluation.part_differences import unlike_text
from competition.evaluation.private_interval import PrivateInterval
from competition.inference.disagreement import DISPUTED
from competition.leaderboard import Leaderboard, Standing, read_leaderboard
from competition.masks import Runs
from competition.masks.geometry import resize_nearest
from competition.pictures import (
    TrainingCurve,
    distribution,
    fitted,
    glowing,
    jpeg_bytes,
    outlined_image,
    training_curves,
)
from competition.pipeline import states, submission_name
from competition.project import Project
from competition.pseudo.rounds import LABEL_COLUMNS, RoundReceipt, load_labels_of, read_round
from competition.pseudo.verdict import Verdict
from competition.report import (
    AuditCounts,
    Contradiction,
    Headline,
    ReportFigure,
    ReportPage,
    ReportPanel,
    ReportPicture,
    ReportSection,
    ReportTable,
    audit_counts,
    mask_agreement,
    ranked,
    rendered_page,
    write_audit,
)
from competition.report.audit import SURELY, SURELY_NOT
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
from competition.solution import read_score
from competition.steps.contact_sheets import disagreement_picture, disputed_part
from competition.steps.prediction_stores import mean_predictions, out_of_fold
from competition.steps.submit import Decoder, read_decoder, submit_entry
from competition.steps.tune import NESTED_SUMS, PLAIN_SUMS
from competition.steps.tune_figures import DECIDED
from competition.submission import read_submission
from competition.tuning.parallel import over_images
from competition.workspace import read_json, write_text

_LONGEST = 512
"""The longest side of a picture, in pixels."""
_WORST, _AUDITED, _DISPUTED, _AGAINST, _ROUND = 12, 12, 8, 6, 6
"""Pictures in each section: with 1,000 images as with 50 the report stays small enough for a mail."""
_OTHERS = 4
"""Other submissions, the best ones, that this one's masks are compared with."""
_FEW_GROUPS = 20
"""Groups out of fold, with fewer of which an interval is itself uncertain."""

Paths = Mapping[int, str]


def report_entry(
    project: Project, entry: Entry, *, plain: bool = False, force: bool = False
) -> Path:
    """Write the report of the entry as it is submitted, its figures as SVG into the entry's folder and
    the contradicted labels as csv; returns the HTML file.
    """
    step = project.pipeline.report(entry, plain=plain)
    target = step.outputs[0]

    def run() -> None:
        write_text(target, rendered_page(_Gathered(project, entry, plain).page()))
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
class _Gathered:
    """What is there of an entry, read when a section first asks for it."""

    project: Project
    entry: Entry
    plain: bool

    def page(self) -> ReportPage:
        competition, decoder = self.project.competition, self.decoder
        sections = [
            scores_section(
                decoder.ensemble,
                decoder.decisions,
                self.expected,
                read_score(self.submission),
                self.figures(
                    "ensemble", [("ensemble", "Each member and their mean, out of fold.")]
                ),
            ),
            self._decisions(),
            self._training(),
            self._classes(),
            groups_section(
                competition.classes, *self.group_sums, self.project.metric_sums, "groups.csv"
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
            title=f"{self.name} of {competition.name}",
            subtitle=(
                f"{competition.metric.name} over {len(competition.classes)} classes; members "
                f"{', '.join(map(str, self.entry.members))}; folds "
                f"{', '.join(map(str, self.entry.folds))}"
            ),
            classes=competition.classes,
            headlines=self._headlines(),
            verdict=self._verdict(),
            cautions=self._cautions(),
            sections=sections,
            facts=self._facts(),
        )

    # What lies where.

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
        """At threshold 0.5 and as decided; None where nothing is."""
        if self.decoder.decisions is None:
            return None, None
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
                again = f"{caption} (A PNG: `podium {step} --force` draws it anew, as SVG.)"
                found.append(ReportFigure(name, again, png=png.read_bytes()))
        return found

    # What is read first.

    def _headlines(self) -> list[Headline]:
        decoder = self.decoder
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
        expected = self.expected
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
            found.append(Headline("tuning", f"{gain:+.4f}", note=note))
        table = read_score(self.submission)
        for name, one in {} if table is None else table.parts.items():
            between = (
                "" if one.score.low is None else f"{one.score.low:.4f} to {one.score.high:.4f}"
            )
            note = f"scored, {one.images} images"
            found.append(Headline(name, f"{one.score.value:.4f}", between, note))
        return found

    def _verdict(self) -> list[str]:
        decoder, expected = self.decoder, self.expected
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
                + "; ".join(f"{one.name} ({one.gain:+.4f})" for one in kept)
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
        elif not self.project.has_test_part:
            said.append("This data set has no test part: there is no Private to expect.")
        elif self.standing is None:
            said.append("No submission of this entry is there yet, so nothing is said of Private.")
        else:
            said.append("Nothing is said of Private: that takes two groups out of fold, or more.")
        return said

    def _cautions(self) -> list[str]:
        """What speaks against trusting the score, the gravest first."""
        project, decoder, entry = self.project, self.decoder, self.entry
        found = [f"{name} is {state}" for name, state, _ in self.step_states if state != "done"]
        if len(found) > 3:
            found = [*found[:2], f"{len(found) - 2} more steps are to do or outdated; see below"]
        if self.expected is not None and self.expected.differs:
            found.append(f"{unlike_text(self.expected.differs)}.".capitalize())
        verdict = self.verdict
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
        dead = sorted({name for history in self.histories.values() for name in _dead(history)})
        if dead:
            found.append(f"Dead classes at the end of a training: {', '.join(dead)}.")
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

    # The sections.

    def _decisions(self) -> ReportSection:
        named = [
            ("gains", "What each step gains, cross-fitted, beside its apparent gain."),
            ("thresholds", "The score of each class over its threshold; dots are chosen."),
        ]
        decided = self.decoder.decided
        return decisions_section(
            self.decoder.decisions, self.figures("tune", named) if decided else []
        )

    @cached_property
    def histories(self) -> dict[str, pd.DataFrame]:
        """`history.csv` of each trained network that has one, by member and fold."""
        paths = {
            f"{member} fold {fold}": self.project.workspace.run(str(member), fold) / "history.csv"
            for member in self.entry.trained
            for fold in self.entry.folds
        }
        return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file()}

    def _training(self) -> ReportSection:
        every = [f"{m} fold {fold}" for m in self.entry.networks for fold in self.entry.folds]
        missing = [name for name in every if name not in self.histories]
        curves = {
            name: TrainingCurve(
                one["epoch"].to_numpy(np.float64),
                one["train_loss"].to_numpy(np.float64),
                one["score"].to_numpy(np.float64) if "score" in one else np.full(len(one), np.nan),
            )
            for name, one in self.histories.items()
        }
        if curves:
            training_curves(self.folder / "training.svg", curves)
        caption = "Validation score at the network's size, and training loss, of every network."
        drawn = self.figures("report", [("training", caption)]) if curves else []
        return training_section(self.histories, missing, drawn)

    def _classes(self) -> ReportSection:
        path = self.folder / "metrics.csv"
        tuned = self.decoder.decisions is not None
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
            self.project.classes,
            *self.group_sums,
            self.project.metric_sums,
            metrics,
            self.figures("tune", named) if tuned else [],
        )

    def _worst(self) -> ReportSection:
        images, _, sums = self.evidence
        metric_sums = self.project.metric_sums.of_slices
        scores = metric_sums.sign * metric_sums.overall(sums)
        pictures = []
        for place in np.argsort(metric_sums.sign * scores, kind="stable")[:_WORST]:
            if not np.isnan(scores[place]):
                note = f"{scores[place]:.4f} at threshold 0.5"
                pictures.append(self._labels_and_masks(images[place], note))
        return worst_section(pictures, len(images))

    def _audit(self) -> ReportSection:
        project = self.project
        images, counts, _ = self.evidence
        found = ranked(images, counts, project.classes)
        path = project.workspace.submissions / "label-audit" / f"{self.name}.csv"
        write_audit(path, found)
        by_image: dict[str, list[Contradiction]] = {}
        for one in found:
            by_image.setdefault(one.image, []).append(one)
        pictures = []
        for image, pairs in list(by_image.items())[:_AUDITED]:
            # What is shown are the labels in question: others would hide them.
            first = [one for one in pairs if one.share >= pairs[0].share / 2][:3]
            note = "; ".join(f"{one.name}: {one.what()} ({one.share:.2f})" for one in first)
            kept = {project.classes.index(one.name) for one in first}
            pictures.append(self._labels_and_masks(image, note, only=kept))
        place = f"{path.parent.name}/{path.name}"
        return audit_section(found, len(images), place, pictures)

    def _labels_and_masks(
        self, image: str, note: str, *, only: Collection[int] | None = None
    ) -> ReportPicture:
        """Labels beside decided masks out of fold; only: the classes that are shown, all unless
        given.
        """
        project = self.project
        shown = outlined_image(
            project.pixels(image),
            project.labels[image],
            decide(self.together, image, self.decoder.rules),
            longest=_LONGEST,
            ignored=project.ignored[image],
        )
        truth, masks = _only(shown.truth, only), _only(shown.prediction, only)
        panels = [
            ReportPanel("labels", truth, {}, shown.ignored),
            ReportPanel("masks, out of fold; labels dashed", masks, truth, shown.ignored),
        ]
        return ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels)

    def _disagreement(self) -> ReportSection:
        project = self.project
        folders = [
            project.pipeline.mean_folder(member, self.entry.folds) for member in self.entry.members
        ]
        if not project.has_test_part or not all(path.is_dir() for path in folders):
            return disagreement_section(None, DISPUTED, [], [])
        readers = mean_predictions(project, self.entry)
        shares = {image: disputed_part(readers, image) for image in project.rows("test")["image"]}
        values = np.array(list(shares.values()))
        if not values.any():
            return disagreement_section(shares, DISPUTED, [], [])
        distribution(
            self.folder / "disagreement.svg",
            values,
            label="share of disputed pixels",
            title=f"{len(values)} test images",
        )
        together = self.decoder.mix(readers)
        pictures = []
        for image in sorted(shares, key=lambda one: -shares[one])[:_DISPUTED]:
            pixels = project.pixels(image)
            size = fitted(pixels.shape[:2], _LONGEST)
            masks = decide(together, image, self.decoder.rules)
            shown = outlined_image(pixels, None, masks, longest=_LONGEST)
            where = disagreement_picture(readers, image, size)
            lit = jpeg_bytes(glowing(pixels, where, size=size), size)
            panels = [
                ReportPanel("masks", shown.prediction, {}),
                ReportPanel("red where folds and views disagree", {}, {}, jpeg=lit),
            ]
            note = f"{shares[image]:.1%} of its pixels"
            pictures.append(
                ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels)
            )
        drawn = self.figures("report", [("disagreement", "How many test images are how disputed.")])
        return disagreement_section(shares, DISPUTED, drawn, pictures)

    def _folds(self) -> ReportSection:
        project, (images, _, sums) = self.project, self.evidence
        folds = project.folds
        present = project.labels.areas(folds["image"].tolist()) > 0
        scores: dict[int, str] = {}
        if not project.metric_sums.metric.over_volumes:
            numbers = folds.set_index("image")["fold"].loc[list(images)].to_numpy(np.int64)
            for fold in self.entry.folds:
                scores[fold] = f"{project.metric_sums.value(sums[numbers == fold]):.4f}"
            scores[-1] = f"{project.metric_sums.value(sums):.4f}"
        return folds_section(project.classes, folds, present, scores)

    @cached_property
    def verdict(self) -> Verdict | None:
        """On the entry's own round."""
        path = self.folder / "verdict.json"
        return _verdict_of(path) if path.exists() else None

    def _pseudo(self) -> ReportSection:
        project, name = self.project, self.entry.round
        entries = sorted(self.folder.parent.glob("*/verdict.json"))
        judged = [(path.parent.name, _verdict_of(path)) for path in entries]
        receipt, pictures = None, []
        truth: tuple[list[ReportTable], list[str]] = [], []
        if name is not None:
            receipt = read_round(project.workspace.pseudo(name), project.competition)
            truth = self._round_truth(name, receipt)
            pictures = self._round_pictures(name, receipt)
        return pseudo_section(
            name,
            receipt,
            self.verdict,
            len(project.folds),
            judged,
            *truth,
            pictures,
        )

    def _round_pictures(self, name: str, receipt: RoundReceipt) -> list[ReportPicture]:
        """Some images of the first teacher, evenly spread."""
        project = self.project
        labels = load_labels_of(
            project.workspace.pseudo(name),
            project.competition,
            project.sizes,
            next(iter(receipt.images)),
        )
        images = list(labels.masks)
        pictures = []
        for image in images[:: -(-len(images) // _ROUND)]:
            masks, unsure = labels.masks[image], labels.ignored[image]
            shown = outlined_image(project.pixels(image), masks, unsure, longest=_LONGEST)
            panels = [
                ReportPanel("labels of the round", shown.truth, {}),
                ReportPanel("dashed: what does not count", {}, shown.prediction),
            ]
            pictures.append(
                ReportPicture(image, "", shown.size, shown.view_box, shown.jpeg, panels)
            )
        return pictures

    def _round_truth(self, name: str, receipt: RoundReceipt) -> tuple[list[ReportTable], list[str]]:
        """How right the round's labels and their confidence are, where the answers are known."""
        project = self.project
        solution = project.competition.root / "solution.csv"
        if not solution.is_file():
            nobody = (
                "How right its labels are nobody can say: the answers (solution.csv beside the data) "
                "are not there."
            )
            return [], [nobody]
        folder = project.workspace.pseudo(name)
        answers = read_submission(project.competition, solution, project.sizes)
        rows = read_csv_text(folder / "labels.csv", LABEL_COLUMNS)
        sure = rows.set_index(["teacher", "image", "class"])["confidence"].to_dict()
        found = []
        for teacher in receipt.images:
            labels = load_labels_of(folder, project.competition, project.sizes, teacher)
            for image, masks in labels.masks.items():
                if image not in answers or answers[image].shape != masks.shape:
                    continue
                ignored = labels.ignored[image]
                one = ignored.classes == 1 != masks.classes
                ignored = ignored.select([0] * masks.classes) if one else ignored
                dice = mask_agreement(masks - ignored, answers[image] - ignored)
                counted = ignored.area() < masks.plane
                found += [
                    (label, float(dice[k]), float(sure[teacher, image, label] or "nan"))
                    for k, label in enumerate(project.classes)
                    if counted[k]
                ]
        if not found:
            return [], ["The answers that are there are of no image of the round."]
        return _truth_tables(pd.DataFrame(found, columns=["class", "dice", "confidence"]))

    def _against(self) -> ReportSection:
        project, board = self.project, self.board
        agreements: dict[str, np.ndarray] = {}
        unread: list[str] = []
        if self.standing is None:
            return against_section(self.name, board, agreements, (), project.classes, unread, [])
        ours = read_submission(project.competition, self.submission, project.sizes)
        images = sorted(ours)
        others = [one.name for one in board.standings if one.name != self.name][:_OTHERS]
        first: dict[str, Runs] = {}
        for other in others:
            path = project.workspace.submission(other)
            try:
                theirs = read_submission(project.competition, path, project.sizes)
                dice = np.stack([mask_agreement(ours[i], theirs[i]) for i in images])
            except (InputFault, KeyError) as fault:
                unread.append(f"{other} could not be compared: {str(fault).splitlines()[0]}")
                continue
            first = first or theirs
            agreements[other] = dice
        pictures = []
        if agreements:
            dice = next(iter(agreements.values()))
            for place in np.argsort(dice.mean(axis=1), kind="stable")[:_AGAINST]:
                image = images[place]
                if dice[place].mean() < 1:
                    note = f"Dice between them {dice[place].mean():.4f}"
                    pictures.append(self._two_masks(image, note, ours[image], first[image]))
        return against_section(
            self.name, board, agreements, images, project.classes, unread, pictures
        )

    def _two_masks(self, image: str, note: str, ours: Runs, theirs: Runs) -> ReportPicture:
        pixels = self.project.pixels(image)
        size = pixels.shape[:2]
        native = [
            one if (one.height, one.width) == size else resize_nearest(one, size)
            for one in (ours, theirs)
        ]
        shown = outlined_image(pixels, *native, longest=_LONGEST)
        panels = [
            ReportPanel("A: this one", shown.truth, {}),
            ReportPanel("B: the other; A dashed", shown.prediction, shown.truth),
        ]
        return ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels)

    def _steps(self) -> ReportSection:
        return steps_section(self.step_states)

    def _facts(self) -> dict[str, str]:
        competition = self.project.competition
        facts = {
            "competition": competition.name,
            "entry": self.entry.name,
            "metric": competition.metric.name,
            "labelled images": str(len(self.project.folds)),
            "classes": str(len(competition.classes)),
        }
        if self.project.has_test_part:
            facts["test images"] = str(len(self.project.rows("test")))
        receipt = self.folder / "ensemble.receipt.json"
        recorded = read_json(receipt).get("recorded", {}) if receipt.exists() else {}
        facts |= {
            key: str(recorded[key]) for key in ("commit", "python", "machine") if recorded.get(key)
        }
        return facts | {
            f"{key}": v for key, v in recorded.get("versions", {}).items() if key == "torch"
        }


def _truth_tables(found: pd.DataFrame) -> tuple[list[ReportTable], list[str]]:
    """By class, and by confidence; found: a row a label, with its Dice against the answer."""
    by_class = found.groupby("class", sort=False).agg(
        pairs=("dice", "size"), dice=("dice", "mean"), confidence=("confidence", "mean")
    )
    rows = [
        [name, str(int(one.pairs)), f"{one.dice:.4f}", _or_nothing(one.confidence)]
        for name, one in by_class.sort_values("dice").iterrows()
    ]
    tables = [
        ReportTable(
            ("class", "labels", "Dice with the answer", "mean confidence"),
            rows,
            "How right the labels are, pixels that do not count left out:",
        )
    ]
    said = [
        f"The answers are there: {len(found)} labels of the round reach a mean Dice of "
        f"{found['dice'].mean():.4f} with them."
    ]
    known = found.dropna(subset=["confidence"])
    if known["confidence"].nunique() > 1:
        order = known["confidence"].rank().corr(known["dice"].rank())
        said.append(
            f"Confidence and Dice go together with a rank correlation of {order:.2f} (1: the surest "
            "are the most right; 0: confidence says nothing)."
        )
        fifths = pd.qcut(known["confidence"].rank(method="first"), min(5, len(known)), labels=False)
        rows = [
            [
                f"{one['confidence'].min():.3f} to {one['confidence'].max():.3f}",
                str(len(one)),
                f"{one['dice'].mean():.4f}",
            ]
            for _, one in known.groupby(fifths)
        ]
        caption = "How right the confidence is, by fifths of the labels:"
        tables.append(ReportTable(("confidence", "labels", "Dice with the answer"), rows, caption))
    return tables, said


def _only(paths: Paths, kept: Collection[int] | None) -> Paths:
    return paths if kept is None else {k: path for k, path in paths.items() if k in kept}


def _verdict_of(path: Path) -> Verdict:
    return Verdict.read(path, what="a verdict", again="run `podium verdict --force`")


def _dead(history: pd.DataFrame) -> list[str]:
    """Classes that were dead when a training ended."""
    last = history["dead_classes"].iloc[-1] if "dead_classes" in history and len(history) else ""
    return last.split(", ") if isinstance(last, str) and last else []


def _or_nothing(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4f}"
