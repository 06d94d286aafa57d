"""The sections of a report: what earlier steps measured, as tables and sentences.

Each takes values that are there already, or None where there are none, which it then says in its place.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from competition.decoding.decisions import Decisions, Mixture, StepReport
from competition.decoding.ensemble import MemberScores
from competition.evaluation.groups import GroupSums
from competition.evaluation.metric_sums import MetricSums, Score
from competition.evaluation.private_interval import PrivateInterval
from competition.leaderboard import Leaderboard
from competition.pseudo.rounds import RoundReceipt
from competition.pseudo.verdict import Verdict
from competition.report.audit import SURELY, SURELY_NOT, Contradiction
from competition.report.page import (
    Cell,
    ReportFigure,
    ReportPicture,
    ReportSection,
    ReportTable,
)
from competition.solution import ScoreTable

MOST_ROWS = 60
"""Of one table; what is left out is said below it, and stands in a csv."""

Cells = list[str | Cell]
_OF_VOLUMES = (
    "Scores of volumes by class and group are kept by `podium tune`, which was not run here."
)
NOT_TUNED = "Nothing is tuned for this entry: equal weights, threshold 0.5 (`podium tune` decides)."


def scores_section(
    ensemble: MemberScores,
    decisions: Decisions | None,
    expected: PrivateInterval | None,
    scored: ScoreTable | None,
    figures: Sequence[ReportFigure],
) -> ReportSection:
    """Every score of the entry with its interval, and over how many images."""
    images = str(ensemble.images)
    rows = [_scored(f"member {one.name}", one.score, images) for one in ensemble.members]
    if len(ensemble.members) > 1:
        rows.append(_scored("their mean, threshold 0.5", ensemble.score, images))
    if decisions is not None and decisions.parts > 1:
        images = str(decisions.images)
        rows.append(_scored("as decided, nested cross-validation", decisions.cross_fitted, images))
        rows.append(
            ["as decided, apparent: fitted on these", _four(decisions.apparent), "", images]
        )
    if ensemble.empty is not None:
        rows.append(_scored("an empty submission", ensemble.empty, images))
    if expected is not None:
        between = f"{expected.low:.4f} to {expected.high:.4f}"
        rows.append(["Private, expected", _four(expected.value), between, ""])
    boards = {} if scored is None else scored.parts
    rows += [_scored(f"{name}, scored", one.score, str(one.images)) for name, one in boards.items()]
    says = [
        "Out of fold, unless it says otherwise: each image by networks that did not train on it. "
        "Intervals are 95 %, over groups."
    ]
    if decisions is not None and decisions.present is not None and decisions.absent is not None:
        says.append(
            f"Present masks score {decisions.present:.4f}, absent masks {decisions.absent:.4f}."
        )
    table = ReportTable(("what", "score", "interval", "images"), rows)
    return ReportSection("scores", "Scores", says, [table], figures)


def decisions_section(
    decisions: Decisions | None, figures: Sequence[ReportFigure]
) -> ReportSection:
    """What tuning offered, kept and refused, and the rules of each class."""
    key, title = "decisions", "Decisions"
    if decisions is None:
        return ReportSection(key, title, [NOT_TUNED])
    if decisions.parts < 2:
        says = ["Nothing is decided: groups are held out in turn, and there are too few of them."]
        return ReportSection(key, title, says)
    says = [
        "A step is kept where its gain on images that it was not fitted on is significant: by a "
        "bootstrap over groups and by permuting within them. The apparent gain, on the images that it "
        "was fitted on, is too good, and shows by how much."
    ]
    steps = ReportTable(
        ("step", "decision", "gain", "interval", "p", "apparent gain"),
        [_step(one) for one in decisions.steps],
        note="" if decisions.steps else "No step was offered.",
    )
    tables = [steps]
    if decisions.compared:
        rows = [[one.name, *_step(one)[2:]] for one in decisions.compared]
        columns = ("for comparison", "gain", "interval", "p", "apparent gain")
        tables.append(ReportTable(columns, rows, "On the grid of the logits, over nothing:"))
    weights = _weights(decisions.mixture)
    tables += [weights] if len(weights.rows) > 1 or decisions.mixture.heads else []
    rules = [
        [
            name,
            f"{rule.threshold:g}",
            f"{rule.minimum_area} above {rule.top:g}" if rule.minimum_area else "–",
            ", ".join(rule.postprocess) or "–",
        ]
        for name, rule in decisions.rules.items()
    ]
    same = len({tuple(row[1:]) for row in rules}) == 1
    rules = [["every class", *rules[0][1:]]] if same else rules
    columns = ("class", "threshold", "least pixels", "post-processing")
    tables.append(ReportTable(columns, rules, "What the masks are made by:"))
    return ReportSection(key, title, says, tables, figures)


def training_section(
    histories: Mapping[str, pd.DataFrame],
    missing: Sequence[str],
    figures: Sequence[ReportFigure],
) -> ReportSection:
    """How each network trained. histories: `history.csv` by network; missing: those without one."""
    rows = []
    for name, history in histories.items():
        scores = history["score"].dropna() if "score" in history else pd.Series(dtype=float)
        last = history.iloc[-1]
        dead = last.get("dead_classes")
        rows.append(
            [
                name,
                f"{last['epoch']:g}",
                f"{int(last['step'])}",
                _four(float(last["train_loss"])),
                _four(float(scores.iloc[-1])) if len(scores) else "–",
                str(len(scores)),
                Cell(dead, "bad") if isinstance(dead, str) and dead else "–",
            ]
        )
    columns = (
        "network",
        "epochs",
        "steps",
        "last loss",
        "last score",
        "validations",
        "dead classes",
    )
    says = [] if rows else ["No history of a training is here."]
    if rows and not figures:
        says.append("Each network was validated once, as it ended: there is no curve to draw.")
    says += [f"Without a history: {', '.join(missing)}."] if missing else []
    tables = [ReportTable(columns, rows)] if rows else []
    return ReportSection("training", "Training curves", says, tables, figures)


def classes_section(
    classes: Sequence[str],
    before: GroupSums | None,
    after: GroupSums | None,
    metric_sums: MetricSums,
    metrics: pd.DataFrame | None,
    figures: Sequence[ReportFigure],
) -> ReportSection:
    """Each class: by the competition's metric, before and after tuning, and by other metrics.

    before, after: sums of groups at threshold 0.5 and as decided; after is None where nothing is tuned,
    both are where volumes are scored then; metrics: rows of metrics.csv for the masks as decided.
    """
    key, title = "classes", "Classes"
    if before is None:
        return ReportSection(key, title, [_OF_VOLUMES])
    sign, last = metric_sums.sign, before if after is None else after
    old, new = (sign * metric_sums.per_class(s.sums.sum(axis=0)) for s in (before, last))
    between = [
        "–" if np.isnan([low, high]).any() else f"{low:.4f} to {high:.4f}"
        for low, high in last.class_intervals(metric_sums)
    ]
    order = np.argsort(np.where(np.isnan(new), np.inf, sign * new), kind="stable")
    name = metric_sums.metric.name
    if after is None:
        columns = ("class", f"{name}, threshold 0.5", "interval")
        rows = [[classes[k], _bar(new[k]), between[k]] for k in order]
        how = "threshold 0.5"
    else:
        columns = ("class", "threshold 0.5", f"{name}, as decided", "interval", "gain")
        gain = sign * (new - old)
        rows = [
            [classes[k], _four(old[k]), _bar(new[k]), between[k], _signed(gain[k])] for k in order
        ]
        how = "nested cross-validation"
    caption = f"Out of fold by the competition's metric, {how}, the worst first:"
    tables = [ReportTable(columns, rows, caption)]
    if metrics is not None and len(metrics):
        columns = tuple(c for c in metrics.columns if c != "masks")
        rows = [[_metric(row[c], c) for c in columns] for _, row in metrics.iterrows()]
        caption = "By other metrics, of the masks as decided, which saw these images:"
        tables.append(ReportTable(columns, rows, caption))
    return ReportSection(key, title, tables=tables, figures=figures)


def groups_section(
    classes: Sequence[str],
    before: GroupSums | None,
    after: GroupSums | None,
    metric_sums: MetricSums,
    place: str,
) -> ReportSection:
    """The worst groups (patients, scans, sites), each with its worst class; before, after: as above;
    place: of groups.csv.
    """
    key, title = "groups", "Worst groups"
    if before is None:
        return ReportSection(key, title, [_OF_VOLUMES])
    sign, last = metric_sums.sign, before if after is None else after
    old, new = (one.scores(metric_sums) for one in (before, last))
    by_class = sign * metric_sums.per_class(last.sums)
    rows = []
    for g in np.argsort(sign * new, kind="stable")[:MOST_ROWS]:
        worst = by_class[g]
        k = None if np.isnan(worst).all() else int(np.nanargmin(sign * worst))
        named = ["–", "–"] if k is None else [classes[k], _four(worst[k])]
        plain = [] if after is None else [_four(old[g])]
        rows.append([last.names[g], str(last.images[g]), *plain, _bar(new[g]), *named])
    scores = ("threshold 0.5",) if after is None else ("threshold 0.5", "as decided")
    columns = ("group", "images", *scores, "worst class", "its score")
    left = len(last.names) - len(rows)
    note = (
        "" if not left else f"{left} more groups" + ("." if after is None else f" are in {place}.")
    )
    how = "threshold 0.5" if after is None else "nested cross-validation"
    says = [f"{len(last.names)} groups; out of fold, {how}."]
    return ReportSection(key, title, says, [ReportTable(columns, rows, note=note)])


def worst_section(pictures: Sequence[ReportPicture], images: int) -> ReportSection:
    """The images that score worst out of fold."""
    says = [
        f"The {len(pictures)} worst of {images} images out of fold, by the competition's metric at "
        "threshold 0.5. Left the labels; right the masks as they would be submitted, with the labels "
        "dashed."
    ]
    return ReportSection("worst", "Worst images", says, pictures=pictures)


def audit_section(
    found: Sequence[Contradiction],
    images: int,
    unknown: Sequence[str],
    place: str,
    pictures: Sequence[ReportPicture],
) -> ReportSection:
    """Labels that the networks contradict most. unknown: classes that the networks know too little of;
    place: of the csv with all of them.
    """
    rows = [
        [
            one.image,
            one.name,
            Cell(f"{one.share:.3f}", share=min(1.0, one.share)),
            _four(one.dice),
            str(one.labelled),
            str(one.added),
            str(one.missed),
            one.what(),
        ]
        for one in found[:MOST_ROWS]
    ]
    says = [
        "A list to look at, not a verdict: a label stands here because networks that did not train on "
        "its image are sure of something else. They may be wrong, and wrong alike for a whole class.",
        f"Sure is a probability above {SURELY:g} where nothing is labelled (added) or below "
        f"{SURELY_NOT:g} where something is (missed), by the equal mean of the members, for which "
        "nothing was fitted. Contradicted is their share of what is labelled or surely predicted, or "
        "of the class's median mask where that is larger; 1 is a whole mask.",
    ]
    if unknown:
        says.append(
            f"Of {', '.join(unknown)} the networks find less than half (mean Dice where labelled): "
            "what stands here of it says more about them than about its labels."
        )
    if not found:
        says.append(f"No label of {images} images is contradicted.")
        return ReportSection("audit", "Labels to look at", says)
    columns = ("image", "class", "contradicted", "Dice", "labelled", "added", "missed", "what")
    note = f"All {len(found)} pairs of image and class are in {place}."
    tables = [ReportTable(columns, rows, "Pixels, the most contradicted first:", note)]
    return ReportSection("audit", "Labels to look at", says, tables, pictures=pictures)


def disagreement_section(
    shares: Mapping[str, float] | None,
    level: float,
    figures: Sequence[ReportFigure],
    pictures: Sequence[ReportPicture],
) -> ReportSection:
    """Where folds and test-time views disagree on test images; shares: of disputed pixels by image."""
    key, title = "disagreement", "Disagreement"
    if not shares:
        says = ["There are no predictions of test images, on which folds could disagree."]
        return ReportSection(key, title, says)
    values = np.array(list(shares.values()))
    if not values.any():
        says = ["Nothing is disputed: one network in one view has nobody to disagree with."]
        return ReportSection(key, title, says)
    says = [
        f"A pixel of a test image is disputed where the probabilities of folds and views lie {level:g} "
        f"or more from their mean (root mean square over classes). On average {values.mean():.2%} of "
        f"the pixels are; on the most disputed image {values.max():.1%}. It needs no labels: these are "
        "the images that a pseudo round would be least sure of."
    ]
    return ReportSection(key, title, says, figures=figures, pictures=pictures)


def folds_section(
    classes: Sequence[str],
    folds: pd.DataFrame,
    present: np.ndarray,
    scores: Mapping[int, str],
) -> ReportSection:
    """Images, groups and classes by fold. present: bool (N, K), images of `folds` that have a class;
    scores: of the folds that were predicted.
    """
    numbers = sorted(int(n) for n in folds["fold"].unique())
    chosen = {n: (folds["fold"] == n).to_numpy() for n in numbers}
    names = [f"fold {n}" for n in numbers]
    counts = [
        ["images", *(str(int(chosen[n].sum())) for n in numbers), str(len(folds))],
        [
            "groups",
            *(str(folds["group"][chosen[n]].nunique()) for n in numbers),
            str(folds["group"].nunique()),
        ],
        ["score at threshold 0.5", *(scores.get(n, "–") for n in numbers), scores.get(-1, "–")],
    ]
    shares = np.array([present[chosen[n]].mean(axis=0) for n in numbers])
    whole = present.mean(axis=0)
    rows: list[Cells] = []
    for k, name in enumerate(classes):
        cells = [_of_fold(share, whole[k]) for share in shares[:, k]]
        rows.append([name, *cells, f"{whole[k]:.1%}"])
    off = np.abs(shares - whole).max(axis=0) if len(classes) else np.zeros(0)
    widest = int(off.argmax())
    says = [
        "A group lies in one fold, and each fold is to have its share of every class. Share of the "
        f"images that have a class; farthest off is {classes[widest]}, by {off[widest]:.1%} of a fold's "
        "images."
    ]
    tables = [
        ReportTable(("", *names, "all"), counts),
        ReportTable(("class", *names, "all"), rows, "Images that have the class:"),
    ]
    return ReportSection("folds", "Fold balance", says, tables)


def pseudo_section(
    name: str | None,
    receipt: RoundReceipt | None,
    verdict: Verdict | None,
    labelled_images: int,
    judged: Sequence[tuple[str, Verdict]],
    truth: Sequence[ReportTable],
    truth_says: Sequence[str],
    pictures: Sequence[ReportPicture],
) -> ReportSection:
    """The pseudo round that the networks learn from, and its verdict.

    judged: (entry, verdict) of every round that was judged; truth, truth_says: how right the labels
    are, where the answers are known, and what could not be read.
    """
    others = ReportTable(
        ("entry", "round", "verdict", "teacher", "student", "gain", "interval"),
        [
            [
                entry,
                one.round,
                Cell("adopted", "good") if one.adopted else Cell("not adopted", "bad"),
                _four(one.teacher.value),
                _four(one.student.value),
                _signed(one.gain),
                f"{one.low:+z.4f} to {one.high:+z.4f}",
            ]
            for entry, one in judged
        ],
        "Every round of this competition that was judged:",
    )
    tables = [others] if judged else []
    if name is None or receipt is None:
        says = ["This entry learns from no pseudo round." if name is None else f"Of {name}:"]
        return ReportSection("pseudo", "Pseudo labels", [*says, *truth_says], tables)
    kinds = {True: "adopted", False: "not adopted"}
    says = (
        [f"{name} was not judged: `podium verdict` compares its students with their teachers."]
        if verdict is None
        else [
            f"{name} was {kinds[verdict.adopted]}: out of fold its students score "
            f"{verdict.student} and their teachers {verdict.teacher}, a gain of {verdict.gain:+z.4f} "
            f"({verdict.low:+z.4f} to {verdict.high:+z.4f}), p {verdict.p_value:.3f}, on "
            f"{verdict.images} images of {verdict.groups} groups at threshold 0.5."
        ]
    )
    if verdict is not None and verdict.leak:
        says.append(
            "Indirect leak: teachers saw what students are scored on, so the gain may be flattered."
        )
    images = max(receipt.images.values(), default=0)
    says.append(
        f"Each teacher labels up to {images} test images, beside {labelled_images} labelled images; "
        f"{len(receipt.left_out)} are in the round of none."
    )
    gains = {} if verdict is None else verdict.classes
    rows = []
    total = max(1, labelled_images + images)
    for one in sorted(receipt.classes, key=lambda c: _or_nan(gains.get(c))):
        before, made = receipt.labelled[one], receipt.pseudo[one]
        after = (labelled_images * before + images * made) / total
        rows.append(
            [
                one,
                _signed(_or_nan(gains.get(one))),
                f"{before:.1%}",
                f"{made:.1%}",
                f"{after:.1%}",
                f"{receipt.ignored[one]:.1%}",
            ]
        )
    columns = ("class", "gain", "labels", "round", "both together", "unsure")
    caption = "What the round gave each class or took, and the share of images that have it:"
    tables = [ReportTable(columns, rows, caption), *truth, *tables]
    return ReportSection("pseudo", "Pseudo labels", [*says, *truth_says], tables, pictures=pictures)


def against_section(
    own: str,
    board: Leaderboard,
    agreements: Mapping[str, np.ndarray],
    images: Sequence[str],
    classes: Sequence[str],
    unread: Sequence[str],
    pictures: Sequence[ReportPicture],
) -> ReportSection:
    """This submission against the others. agreements: by the name of another one, the best first, the
    Dice between its masks and ours, float64 (N, K), of `images`; unread: why some could not be read.
    """
    key, title = "against", "This submission against others"
    names = [one.name for one in board.standings]
    if own not in names:
        return ReportSection(key, title, ["There is no finished submission of this entry."])
    place = names.index(own)
    rows = []
    for row, one in enumerate(board.standings):
        sure = board.order[place, row]
        dice = agreements.get(one.name)
        rows.append(
            [
                Cell(one.name, "good" if row == place else ""),
                "–" if one.out_of_fold is None else _four(one.out_of_fold.value),
                "–" if one.expected is None else _four(one.expected.value),
                *("–" if s is None else _four(s.value) for s in (one.public, one.private)),
                "–" if row == place or math.isnan(sure) else f"{sure:.0%}",
                "–" if dice is None else f"{dice.mean():.4f}",
            ]
        )
    columns = ("submission", "out of fold", "expected Private", "Public", "Private")
    columns += ("this one better", "Dice between")
    caption = "The best out of fold first; how probably this one is better, from the same groups:"
    tables = [ReportTable(columns, rows[:MOST_ROWS], caption)]
    says = list(unread)
    if not agreements:
        says.insert(0, "No other submission is there to compare the masks with.")
        return ReportSection(key, title, says, tables)
    other, dice = next(iter(agreements.items()))
    says.insert(
        0,
        f"{own} (A) against {other} (B), the best of the others: a mean Dice between them of "
        f"{dice.mean():.4f} over {len(images)} test images, where both empty is 1. Where they differ "
        "says nothing about which is right.",
    )
    by_class = [
        [classes[k], _bar(dice[:, k].mean()), str(int((dice[:, k] < 0.5).sum()))]
        for k in np.argsort(dice.mean(axis=0), kind="stable")
    ]
    by_image = [
        [images[n], _bar(dice[n].mean()), classes[int(dice[n].argmin())], _four(dice[n].min())]
        for n in np.argsort(dice.mean(axis=1), kind="stable")[: MOST_ROWS // 3]
    ]
    tables += [
        ReportTable(("class", "Dice between A and B", "images below 0.5"), by_class),
        ReportTable(("image", "Dice between A and B", "farthest class", "its Dice"), by_image),
    ]
    return ReportSection(key, title, says, tables, pictures=pictures)


def steps_section(states: Sequence[tuple[str, str, str]]) -> ReportSection:
    """(step, state, when and how long it took) of what the entry rests on."""
    rows = [
        [one, Cell(state, "" if state == "done" else "bad"), took] for one, state, took in states
    ]
    says = ["As it lay when this report was made; `podium status` says how it is now."]
    return ReportSection(
        "steps", "How it was made", says, [ReportTable(("step", "state", "finished"), rows)]
    )


def _scored(what: str, score: Score, images: str) -> Cells:
    between = "" if score.low is None else f"{score.low:.4f} to {score.high:.4f}"
    return [what, _four(score.value), between, images]


def _step(one: StepReport) -> Cells:
    return [
        one.name,
        Cell("kept", "good") if one.adopted else "not kept",
        _signed(one.gain),
        f"{one.low:+z.4f} to {one.high:+z.4f}",
        f"{one.p_value:.3f}",
        _signed(one.apparent_gain),
    ]


def _weights(mixture: Mixture) -> ReportTable:
    rows = [
        [
            name,
            f"{mixture.weight(name):.3f}",
            "by class" if isinstance(weight, tuple) else "one",
            "fitted" if name in mixture.heads else "–",
        ]
        for name, weight in mixture.weights.items()
    ]
    caption = f"What is averaged: {mixture.mean}"
    return ReportTable(("member", "mean weight", "weights", "head"), rows, caption)


def _of_fold(share: float, whole: float) -> Cell:
    far = abs(share - whole) > max(0.1, 0.5 * whole) or (share == 0 < whole)
    return Cell(f"{share:.1%}", "bad" if far else "")


def _metric(value: str, column: str) -> str:
    if not value or column in ("class", "images", "pixels"):
        return value or "–"
    return f"{float(value):.4f}"


def _bar(value: float) -> Cell:
    if math.isnan(value):
        return Cell("–")
    return Cell(_four(value), share=min(1.0, max(0.0, float(value))))


def _four(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+z.4f}"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
