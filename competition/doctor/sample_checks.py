"""The organisers' sample against the test images, groups against folds, and the split in force."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from competition.data.catalog import of_split
from competition.data.csv_text import closest, hints, read_csv_text
from competition.data.folds import class_presence, load_folds
from competition.data.holdout import set_apart
from competition.data.images import safe_path
from competition.data.readers.rle import ImageClass, keys_of
from competition.doctor.report import Report
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition
from competition.workspace import Workspace

_UNEQUAL = 2


def check_sample(competition: Competition, catalog: pd.DataFrame) -> Report:
    """Its rows are those that the test images and classes ask for, in both directions."""
    form = competition.submission
    if form.sample is None:
        none = "none: there is no test part, so everything ends with tuning"
        each = "test image and class" if form.rows == "image-class" else "test image"
        own = f"none of organisers: a row for each {each}"
        return Report.fact("sample", none if of_split(catalog, "test").empty else own)
    try:
        path = safe_path(competition.root, form.sample, links=competition.links)
        table = read_csv_text(path, [c for c in (form.image, form.label, form.rle) if c])
        keys = keys_of(
            table, form, classes=competition.classes, separator=form.separator, source=str(path)
        )
    except InputFault as fault:
        return Report.error("sample", str(fault))
    errors = _strange(competition, keys, of_split(catalog, "test")["image"].tolist(), str(path))
    return Report.of(
        "sample",
        errors=errors,
        found=[("sample", f"{len(keys)} rows ({form.rows}): {', '.join(table.columns)}")],
    )


def _strange(
    competition: Competition, keys: list[ImageClass], images: list[str], path: str
) -> list[str]:
    classes = competition.classes
    named = list(dict.fromkeys(image for image, _ in keys))
    there, wanted = set(images), set(named)
    strange = [image for image in named if image not in there]
    errors = [
        f"{path}: image {image!r} is not among the {len(images)} test images{hint}"
        for image, hint in zip(strange, hints(strange, images), strict=True)
    ]
    errors += [f"{path}: no row for test image {i!r}" for i in images if i not in wanted]
    errors += [
        f"{path}: no such class {name!r}{closest(name, classes)}; classes are {list(classes)}"
        for name in dict.fromkeys(name for _, name in keys)
        if name not in classes
    ]
    if competition.submission.rows == "object":
        return errors
    counts = Counter(keys)
    errors += [f"{path}: {n} rows for {key!r}; expected one" for key, n in counts.items() if n > 1]
    if competition.submission.rows == "image-class":
        errors += [
            f"{path}: no row for image {image!r}, class {name!r}"
            for image in named
            for name in classes
            if image in there and (image, name) not in counts
        ]
    return errors


def check_groups(competition: Competition, catalog: pd.DataFrame) -> Report:
    """Enough groups for the folds, and none so large that one fold is mostly it."""
    images = of_split(catalog, "train")
    counts = images["group"].value_counts(sort=True)
    folds = competition.split.folds
    found = Report.fact("groups", f"{len(counts)} of {len(images)} training images")
    found += _volumes(catalog)
    if competition.data.group == "folder" and "/" in counts.index[0]:
        found += Report.warning(
            "groups",
            f"folders of the training images have one name, so their paths are the groups, such as "
            f"{counts.index[0]!r}: if a folder above is the patient, one patient is in several; name "
            "the groups in a csv ([data] group)",
        )
    found += _other_spellings(competition, counts.index.tolist())
    if len(counts) < folds:
        return found + Report.error(
            "groups",
            f"{len(counts)} groups cannot make {folds} folds: lower folds in [split], or check group "
            "in [data]",
        )
    name, largest = counts.index[0], int(counts.iloc[0])
    if largest <= len(images) / folds or largest == 1:
        return found
    return found + Report.warning(
        "groups",
        f"group {name!r} has {largest} of {len(images)} training images ({largest / len(images):.0%}), "
        f"more than a fold's share of {1 / folds:.0%}: its fold will be larger than the others",
    )


def _volumes(catalog: pd.DataFrame) -> Report:
    """How many scans there are, and of how many slices."""
    depths = catalog[catalog["volume"] != ""].groupby("volume").size()
    if depths.empty:
        return Report()
    return Report.fact("volumes", f"{len(depths)} of {depths.min()} to {depths.max()} slices")


def _other_spellings(competition: Competition, groups: Sequence[str]) -> Report:
    """Groups whose names differ by case, signs or leading zeros alone: one person, on two sides."""
    if competition.data.group == "image":
        return Report()
    spelt: dict[str, list[str]] = {}
    for group in groups:
        plain = re.sub(r"[^a-z0-9]", "", group.casefold())
        spelt.setdefault(re.sub(r"(?<!\d)0+(?=\d)", "", plain), []).append(group)
    several = [sorted(names) for plain, names in spelt.items() if plain and len(names) > 1]
    return Report.of(
        "groups",
        warnings=[
            f"groups {' and '.join(map(repr, names))} are spelt alike: if that is one patient, name it "
            "in one way in the csv of [data] group"
            for names in several
        ],
    )


def check_folds(
    competition: Competition,
    workspace: Workspace,
    catalog: pd.DataFrame,
    labels: Mapping[str, Runs],
) -> Report:
    """The split in force, where there is one, still fits the data; labels may be empty."""
    if not workspace.folds.exists():
        return Report()
    share = competition.split.holdout
    try:
        seen = set_apart(catalog, workspace.holdout, workspace.folds, share)
        split = load_folds(
            workspace.folds, seen, folds=competition.split.folds, marked=competition.marked
        )
    except InputFault as fault:
        return Report.error("folds", str(fault))
    found = Report.fact("folds", f"{workspace.folds} is a partition; no group on two sides")
    if competition.marked:
        found += Report.fact("left out by marks", ", ".join(competition.marked))
    return found + _uneven(competition, split, labels)


def _uneven(competition: Competition, split: pd.DataFrame, labels: Mapping[str, Runs]) -> Report:
    """Folds whose scores mean little: far smaller than others, or without a mask of a class."""
    sizes = split["fold"].value_counts()
    warnings = []
    if sizes.max() > _UNEQUAL * sizes.min():
        warnings.append(
            f"fold {sizes.idxmin()} has {sizes.min()} images and fold {sizes.idxmax()} {sizes.max()}: "
            "their scores are of very different certainty; fewer folds in [split] may be more equal"
        )
    if not labels:
        return Report.of("folds", warnings=warnings)
    present = class_presence(split, labels)
    for k, name in enumerate(competition.classes):
        without = [n for n in sorted(sizes.index) if not present[split["fold"] == n, k].any()]
        if without and present[:, k].any():
            shown = ", ".join(map(str, without))
            warnings.append(
                f"class {name!r} has no mask in fold {shown}: its score there is that of empty masks "
                "alone, or none at all; fewer folds in [split] may leave none without"
            )
    return Report.of("folds", warnings=warnings)
