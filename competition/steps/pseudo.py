"""Rounds of pseudo labels, and whether one helped."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from competition.data.duplicates import pixel_hash
from competition.decoding.blend import Blend, LastRead, LogitGrid, blend
from competition.decoding.ensemble import plain_sums
from competition.entry import Entry
from competition.errors import InputFault, listed, nearest
from competition.evaluation.groups import groups_and_folds
from competition.inference.disagreement import FULL_CODE, inside
from competition.inference.joined_stores import JoinedStores
from competition.inference.store import place_of_rows
from competition.marks import HeldMarks, round_marks
from competition.masks import Runs
from competition.pipeline import options_of, teacher_entry
from competition.project import Project
from competition.pseudo.confidence import MEASURES, confidences
from competition.pseudo.rounds import (
    SOFT_LEVELS,
    PseudoLabel,
    RoundLabels,
    RoundReceipt,
    RoundSettings,
    fold_teacher,
    from_csv,
    load_labels_of,
    read_round,
    write_labels,
)
from competition.pseudo.selection import Selection, found_classes, marked_pairs, sure_images
from competition.pseudo.verdict import Verdict, judged
from competition.steps.prediction_stores import out_of_fold, unlabelled_stores
from competition.submission import Ballots
from competition.workspace import read_json, write_json

ALL_FOLDS = "all-folds"
"""The name of the mean of all folds' networks, as a teacher."""


def round_settings(
    project: Project, entry: Entry, name: str, sources: Sequence[Path], asked: Mapping[str, Any]
) -> RoundSettings:
    """How a round is to be made. asked: settings by name, None where nothing is; entry: the teachers;
    sources: the submissions that the labels are taken from instead, of which several vote.

    What is not asked for is as it was when the round was made, else the usual.
    """
    before = project.pipeline.round_settings(name)
    _refuse_circle(project, entry, name)
    given = {key: value for key, value in asked.items() if value is not None}
    if "levels" in given:
        given["levels"] = _levels(given["levels"])
    if "measure" in given and given["measure"] not in MEASURES:
        expected = nearest(given["measure"], MEASURES, all_by="--help")
        raise InputFault(f"--measure {given['measure']}: no such measure; {expected}")
    if sources:
        files = Ballots.of(sources).files if len(sources) > 1 else sources
        kept = {
            key: given.pop(key, getattr(before, key)) for key in ("allow_missing", "batch_share")
        }
        refused = [key.replace("_", "-") for key in given]
        if refused:
            raise InputFault(
                f"--{refused[0]} is about predictions; of {files[0]} nothing but its masks is known"
            )
        named = tuple(map(str, files))
        return RoundSettings(csv=named if len(named) > 1 else named[0], **kept)
    kept = {} if before.csv is not None else before.model_dump(exclude={"teachers", "csv"})
    settings = RoundSettings(**{**kept, **given}, teachers=teacher_entry(entry))
    if settings.soft and project.exclusive:
        raise InputFault(
            "--soft: the classes exclude each other, and masks cut at one probability would not; "
            "hard targets (--hard) leave the undecided pixels out"
        )
    return settings


def _refuse_circle(project: Project, entry: Entry, name: str) -> None:
    """InputFault where the teachers of a round would be its own students, or students of those."""
    before = entry.round
    while before is not None:
        if before == name:
            raise InputFault(
                f"the teachers of {name} would have learnt from {name} itself; "
                "name another one by --round"
            )
        made = project.pipeline.round_settings(before).teachers
        before = None if made is None else made.pseudo


def _levels(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = -1.0, -1.0
    if not 0 <= low <= 0.5 <= high <= 1:
        raise InputFault(f"--levels {text}: expected LOW,HIGH with 0 ≤ LOW ≤ 0.5 ≤ HIGH ≤ 1")
    return low, high


def refuse_unadopted(project: Project, entry: Entry) -> None:
    """InputFault where the entry learns from a round that is not adopted, or was not judged."""
    if entry.round is None:
        return
    step = project.pipeline.verdict(entry)
    state = step.state()
    if state.kind != "fresh":
        command = " ".join(("podium verdict", *options_of(entry)))
        raise InputFault(
            f"{entry.round} was not judged yet ({state.text()}): `{command}` first, or "
            "--despite-verdict"
        )
    found = Verdict.read(step.outputs[0], what="a verdict", again="run `podium verdict --force`")
    if not found.adopted:
        raise InputFault(
            f"{entry.round} was not adopted: its students gained {found.gain:+z.4f} ({found.low:+z.4f} "
            f"to {found.high:+z.4f}) over their teachers; --pseudo none submits these, "
            "--despite-verdict the students"
        )


def make_pseudo_round(
    project: Project, name: str, settings: RoundSettings, *, force: bool = False
) -> RoundReceipt:
    """Make a round from predictions of the test images and unlabelled ones, or from csv files."""
    folder = project.workspace.pseudo(name)

    def run() -> dict[str, Any]:
        pairs, labels, left_out, labelled, checkpoints = _labels(project, settings)
        if not pairs["used"].any():
            raise InputFault(
                "no image is left for the round:\n"
                + listed([f"{image!r} {why}" for image, why in left_out.items()], first=5)
            )
        written = write_labels(folder, project.competition, labels, look=project.pixels)
        receipt = RoundReceipt(
            competition=project.competition.name,
            classes=project.classes,
            settings=settings,
            teachers=checkpoints,
            images={
                teacher: int(rows["image"].nunique())
                for teacher, rows in pairs[pairs["used"]].groupby("teacher", sort=False)
            },
            left_out=left_out,
            labelled=labelled,
            pseudo=_shares(project, pairs, pairs["sure"] & (pairs["area"] > 0)),
            ignored=_shares(project, pairs, ~pairs["sure"]),
            marks=dict(Counter(round_marks(project.workspace.marks).values())),
            labels_sha256=written.labels,
            soft_sha256=written.soft,
        )
        project.say(f"wrote {folder}")
        return {"round": receipt.model_dump(mode="json")}

    if settings.csv is None:
        project.require_images_to_label()
    step = project.pipeline.pseudo(name, settings)
    assert step.receipt is not None
    before = read_json(step.receipt) if step.receipt.exists() else None
    try:
        project.perform(step, run, force=force)
    except InputFault:
        if before is not None:  # its labels are there as they were
            write_json(step.receipt, before)
        raise
    return read_round(folder, project.competition)


def round_labels(project: Project, name: str, fold: int) -> tuple[RoundLabels, RoundReceipt]:
    """What the student of a fold learns from a round."""
    folder = project.workspace.pseudo(name)
    receipt = read_round(folder, project.competition)
    teacher = receipt.teacher_of(fold)
    return load_labels_of(folder, project.competition, project.sizes, teacher), receipt


def judge_round(project: Project, student: Entry, *, force: bool = False) -> Verdict:
    """Student against teacher on the same out-of-fold images; writes verdict.json."""
    teacher = project.pipeline.teacher_of(student)
    target = student.folder(project.workspace) / "verdict.json"

    def run() -> None:
        sums = []
        for entry in (teacher, student):
            together = blend(out_of_fold(project, entry), exclusive=project.exclusive)
            with project.watch(f"scoring {entry.name}", len(together.images)) as advance:
                found = plain_sums(
                    together,
                    project.labels,
                    project.metric_sums,
                    ignored=project.ignored,
                    advance=advance,
                )
            sums.append(found)
        groups, _ = groups_and_folds(together.images, project.folds)
        assert student.round is not None  # else it had no teacher
        name = student.round
        receipt = read_round(project.workspace.pseudo(name), project.competition)
        verdict = judged(
            name,
            sums[0],
            sums[1],
            groups,
            project.metric_sums,
            classes=project.classes,
            shares=(receipt.labelled, receipt.pseudo),
            leak=any(receipt.indirect_leak(fold) for fold in student.folds),
        )
        verdict.write(target)

    project.perform(project.pipeline.verdict(student), run, force=force)
    return Verdict.read(target, what="a verdict", again="run `podium verdict --force`")


def labelled_shares(project: Project) -> dict[str, float]:
    """Class → the share of the images of the folds that have a mask of it."""
    areas = project.labels.areas(project.folds["image"].tolist())
    return dict(zip(project.classes, np.mean(areas > 0, axis=0).tolist(), strict=True))


class _Made(NamedTuple):
    """pairs: of teacher, image and class, with `used` (the image is in the round), `sure` (the class
    is trained on there) and `accepted` (by a person, so wholly); labelled: class → the share of the
    labelled images that have it; checkpoints: of each teacher.
    """

    pairs: pd.DataFrame
    labels: Iterable[PseudoLabel]
    left_out: dict[str, str]
    labelled: dict[str, float]
    checkpoints: dict[str, tuple[str, ...]]


def _labels(project: Project, settings: RoundSettings) -> _Made:
    if settings.csv is not None:
        return _labels_of_csv(project, settings)
    blends = _teachers(project, settings)
    candidates = tuple(dict.fromkeys(image for one in blends.values() for image in one[0].images))
    left_out, held = known_images(project, candidates), round_marks(project.workspace.marks)
    left_out |= _rejected(held, candidates)
    pairs = _pairs(project, blends, settings, set(left_out))
    accepted, rejected = marked_pairs(pairs, held)
    sure = (Selection(settings.least, settings.share).sure(pairs) | accepted) & ~rejected
    images = set(pairs["image"][accepted])
    used = sure_images(pairs, sure) | pairs["image"].isin(images).to_numpy()
    shares, allowed = labelled_shares(project), settings.allow_missing
    sure = sure & used
    sure = sure & found_classes(pairs, sure, shares, allow_missing=allowed)
    pairs = pairs.assign(used=used, sure=sure, accepted=sure & accepted)
    unsure = sorted(set(candidates) - set(left_out) - set(pairs["image"][used]))
    left_out |= dict.fromkeys(unsure, "fewer than half of its classes are sure")
    checkpoints = {
        name: tuple(digest for one in found for digest in one.stores[0].provenance.checkpoints)
        for name, (_, found) in blends.items()
    }
    labels = decided_labels(project, blends, settings, pairs)
    return _Made(pairs, labels, left_out, shares, checkpoints)


def _rejected(held: HeldMarks, candidates: Iterable[str]) -> dict[str, str]:
    """Of the candidates, those that a person rejected as a whole."""
    return {one: "is rejected by a mark" for one in candidates if held.get((one, "")) == "reject"}


def _labels_of_csv(project: Project, settings: RoundSettings) -> _Made:
    """All images of a csv, or of several that vote, but those that the labels know already."""
    paths = settings.submissions
    teacher = paths[0].name if len(paths) == 1 else f"vote of {len(paths)} files"
    every = list(from_csv(project.competition, paths, project.sizes, teacher=teacher))
    names = tuple(one.image for one in every)
    left_out, held = known_images(project, names), round_marks(project.workspace.marks)
    left_out |= _rejected(held, names)
    labels = [one for one in every if one.image not in left_out]
    rows = [
        (one.teacher, one.image, name, int(area))
        for one in labels
        for name, area in zip(project.classes, one.masks.area(), strict=True)
    ]
    pairs = pd.DataFrame(rows, columns=["teacher", "image", "class", "area"])
    everything, shares = np.ones(len(pairs), bool), labelled_shares(project)
    found = found_classes(pairs, everything, shares, allow_missing=settings.allow_missing)
    lost = set(pairs["class"][~found])
    pairs = pairs.assign(confidence=np.nan, used=True, sure=found & ~marked_pairs(pairs, held)[1])

    def unsure(image: str) -> list[int]:
        """Places of the classes that do not count: lost in the round, or rejected in the image."""
        out = [name in lost or held.get((image, name)) == "reject" for name in project.classes]
        return np.flatnonzero(out).tolist()

    kept = [_without(one, unsure(one.image)) for one in labels]
    return _Made(pairs, kept, left_out, shares, {teacher: ()})


def _without(label: PseudoLabel, classes: list[int]) -> PseudoLabel:
    """The label, of which these classes do not count."""
    whole, nothing = Runs.full(label.masks.shape), Runs.empty(label.masks.shape)
    ignored = [(whole if k in classes else nothing)[k] for k in range(label.masks.classes)]
    return replace(label, ignored=Runs.stack(ignored))


_Teachers = dict[str, tuple[Blend, tuple[JoinedStores, ...]]]


def _teachers(project: Project, settings: RoundSettings) -> _Teachers:
    """By name, the mean of its members' predictions of what rounds label, and their stores."""
    entry = project.pipeline.teachers(settings)
    sets = {fold_teacher(fold): (fold,) for fold in entry.folds}
    if settings.all_folds:
        sets = {ALL_FOLDS: entry.folds}
    found: _Teachers = {}
    for name, folds in sets.items():
        members = {
            f"{member} fold {fold}": store
            for member in entry.members
            for fold, store in zip(folds, unlabelled_stores(project, member, folds), strict=True)
        }
        readers = {member: LastRead(store) for member, store in members.items()}
        found[name] = blend(readers, exclusive=project.exclusive), tuple(members.values())
    return found


def _pairs(
    project: Project, blends: _Teachers, settings: RoundSettings, left_out: Collection[str]
) -> pd.DataFrame:
    rows = []
    total = sum(len(together.images) for together, _ in blends.values())
    with project.watch("how sure the teachers are", total) as advance:
        for teacher, (together, read) in blends.items():
            for image in together.images:
                advance()
                if image in left_out:
                    continue
                (masks,) = together.runs_at(image, np.array([0.5]))
                parts = _parts(together, read, image)
                found = confidences(parts, settings.measure, settings.levels)
                rows += [
                    (teacher, image, name, sure, int(area))
                    for name, sure, area in zip(project.classes, found, masks.area(), strict=True)
                ]
    if not rows:
        raise InputFault("no image is left to label")
    return pd.DataFrame(rows, columns=["teacher", "image", "class", "confidence", "area"])


def _parts(
    together: Blend, read: tuple[JoinedStores, ...], image: str
) -> Iterator[tuple[LogitGrid, np.ndarray]]:
    """The blended logits of an image, piece by piece, and there the mean of the networks' disagreement,
    0 to 1, on the part of the grid that shows the image.
    """
    for rows in together.pieces(image):
        grid = together.logit_grid(image, rows)
        shape = inside(grid.values[0], grid.region).shape
        planes = []
        for one in read:
            place = one.geometry(image)
            if rows is not None:
                _, place = place_of_rows(place, one.grid_of(image)[0], rows)
            planes.append(inside(one.disagreement(image, rows), place.region))
        alike = [cv2.resize(one, shape[::-1], interpolation=cv2.INTER_LINEAR) for one in planes]
        yield grid, np.mean(alike, axis=0) / FULL_CODE


def decided_labels(
    project: Project, blends: _Teachers, settings: RoundSettings, pairs: pd.DataFrame
) -> Iterator[PseudoLabel]:
    """The images of the round; what is unsure of them does not count."""
    count = len(project.classes)
    cuts = SOFT_LEVELS if settings.soft else ()
    thresholds = np.array([settings.levels[0], 0.5, settings.levels[1], *cuts])
    used = pairs[pairs["used"]]
    for (teacher, image), rows in used.groupby(["teacher", "image"], sort=False):
        low, masks, high, *cut_at = blends[teacher][0].runs_at(image, thresholds)
        between = Runs.empty(low.shape) if settings.soft else low - high
        # Elsewhere an exclusive class that is unsure says nothing against another one.
        whole = low if project.exclusive and count > 1 else Runs.full(low.shape)
        sure = rows["sure"].to_numpy()
        # What a person accepted is right as it was shown, between the levels too.
        accepted = rows["accepted"].to_numpy() if "accepted" in rows else np.zeros(count, bool)
        nothing = Runs.empty(low.shape)
        ignored = Runs.stack(
            [(nothing if accepted[k] else between if sure[k] else whole)[k] for k in range(count)]
        )
        soft = None
        if settings.soft:
            soft = Runs.stack(
                [
                    (masks if accepted[k] else cut - ignored)[k]
                    for cut in cut_at
                    for k in range(count)
                ]
            )
        sure_of = rows["confidence"].to_numpy()
        yield PseudoLabel(teacher, image, masks - ignored, ignored, sure_of, soft)


def _shares(project: Project, pairs: pd.DataFrame, counted: pd.Series) -> dict[str, float]:
    """Class → the share of the round's images, over all teachers, in which it is counted."""
    chosen = counted[pairs["used"]].groupby(pairs["class"][pairs["used"]]).mean()
    return {name: float(chosen[name]) for name in project.classes}


def known_images(project: Project, candidates: tuple[str, ...]) -> dict[str, str]:
    """Image → why it may not be in a round: it is labelled, or held out, or has the pixels of one.

    A student would see what it is validated on; by name, by group, or as another file of the same
    pixels, which nothing but the pixels tells.
    """
    known = [*project.folds["image"], *project.rows("holdout")["image"]]
    groups = {project.groups[image]: image for image in known}
    found: dict[str, str] = {}
    for image in candidates:
        other = groups.get(project.groups[image])
        if image in set(known):
            found[image] = "is labelled already"
        elif other is not None:
            found[image] = f"is of the group of {other!r}, which is labelled"
    sizes = project.sizes
    alike = {sizes[image] for image in candidates}
    compared = [image for image in known if sizes[image] in alike]
    with project.watch("comparing pixels", len(compared) + len(candidates)) as advance:
        hashes: dict[str, str] = {}
        for image in compared:
            hashes.setdefault(pixel_hash(project.pixels(image)), image)
            advance()
        for image in candidates:
            other = hashes.get(pixel_hash(project.pixels(image)))
            advance()
            if other is not None and image not in found:
                found[image] = f"has the pixels of {other!r}, which is labelled"
    for image, why in list(found.items())[:5]:
        project.say(f"note: {image!r} {why}; not in the round")
    return found
