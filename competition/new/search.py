"""`new` without a preset: the layout found, what only labels tell added to it, questions asked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.catalog import build_catalog, strata_of
from competition.data.labels import PackedRuns, read_labels
from competition.doctor.label_checks import kept_sides
from competition.doctor.rle_order_checks import check_order, order_proof
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.rle_order_proof import Finding
from competition.new.layout import FoundLayout, lay_out
from competition.new.values import FoundValue, FoundValues
from competition.spec import Competition, candidate, parse_competition

Ask = Callable[[str, FoundValue], str | None]
"""(key, its question) → the candidate that a person chooses, or another value; None: left open."""


def found_layout(
    root: Path, name: str, given: Mapping[str, Any], *, place: tuple[Path, str], ask: Ask
) -> FoundLayout:
    """The layout of a download with all that its images and labels tell.

    given: values said beforehand, by dotted key; place: the folder of the competition file and the
    data's root as the file will have it; ask: how an open question is asked.
    """
    layout = lay_out(root, name, given)
    values = layout.values
    values["data.root"] = FoundValue(place[1], "asked", "the folder named by --data")
    said = {key: FoundValue(value, "asked", "as you said by --set") for key, value in given.items()}
    values |= said

    def read_as(extra: Mapping[str, Any]) -> Competition:
        plain = {**layout.plain(), **extra}
        plain.setdefault("submission.order", "rows")
        return parse_competition(nested(plain), folder=place[0], source="the file to be written")

    looked = read_as({})
    catalog = build_catalog(looked)
    values |= _unless_said(_sizes(catalog) | _folds(catalog), said)
    if layout.plain()["labels.kind"] == "rle":
        values |= _unless_said(_order(read_as({}), catalog), said)
    for key, value in list(values.items()):
        if value.candidates:
            answer = ask(key, value)
            values[key] = value if answer is None else value.answered(candidate(answer))
    competition = read_as({})
    if _but_strata(competition) == _but_strata(looked):
        catalog = catalog.assign(stratum=strata_of(competition, catalog))
    else:
        catalog = build_catalog(competition)
    labels = read_labels(competition, catalog)
    values |= _unless_said(_exclusive(competition, labels), said)
    values |= _unless_said(_mirroring(read_as({}), labels), said)
    # Outlines that classes share are read otherwise where classes exclude each other.
    same = competition.exclusive == read_as({}).exclusive or competition.labels.kind in _AS_STORED
    layout.catalog, layout.labels = catalog, labels if same else None
    return layout


def _but_strata(competition: Competition) -> object:
    """What a catalog depends on, apart from the strata."""
    return competition.data.model_copy(update={"stratum": "none"})


_AS_STORED = ("masks", "rle")


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as tables."""
    table: dict[str, Any] = {}
    for key, value in values.items():
        *tables, name = key.split(".")
        inner = table
        for one in tables:
            inner = inner.setdefault(one, {})
            if not isinstance(inner, dict):
                raise InputFault(f"{key}: {one!r} is a value, not a table")
        inner[name] = value
    return table


def _unless_said(values: FoundValues, said: FoundValues) -> FoundValues:
    return {key: value for key, value in values.items() if key not in said}


def _sizes(catalog: pd.DataFrame) -> FoundValues:
    train = catalog[catalog["split"] == "train"]
    sizes = {*zip(train["height"], train["width"], strict=True)}
    if 1 < len(sizes) <= len(train) // 2:
        return {"data.stratum": FoundValue("size", "found", f"{len(sizes)} sizes of images")}
    return {}


def _folds(catalog: pd.DataFrame) -> FoundValues:
    """As many folds as there are groups, where those are few."""
    groups = catalog.loc[catalog["split"] == "train", "group"].nunique()
    return (
        {"split.folds": FoundValue(groups, "found", "as many as groups")} if 2 <= groups < 5 else {}
    )


def _order(competition: Competition, catalog: pd.DataFrame) -> FoundValues:
    """How label texts count pixels, as far as it is proven; else a question."""
    proof = order_proof(competition, catalog)
    found = proof.findings
    values: FoundValues = {}
    if proof.relative:
        values["submission.relative"] = _judged(found["relative"], True)
        values["submission.base"] = _judged(found["relative"], 0)
    elif proof.base is not None:
        values["submission.base"] = _judged(found["base"], proof.base)
    else:
        why = found["base"].reason
        values["submission.base"] = FoundValue(1, "asked", why, ("1", "0"))
    order = _judged(found["order"], proof.order)
    if not found["order"].is_sure:
        pictured = _order_by_pictures(competition, values, catalog)
        if pictured is not None:
            why = "all masks equal their mask images, and read otherwise they do not"
            order = FoundValue(pictured, "proven", why)
    if order.value is None:
        order = FoundValue("rows", "asked", order.why, ("rows", "columns"))
    values["submission.order"] = order
    return values


def _judged(finding: Finding, value: Any) -> FoundValue:
    """A value that a finding speaks for."""
    return FoundValue(value, "proven" if finding.is_sure else "found", finding.reason)


def _order_by_pictures(
    competition: Competition, values: FoundValues, catalog: pd.DataFrame
) -> str | None:
    """The one order in which objects, united, equal the mask images; None where that tells nothing."""
    if getattr(competition.labels, "masks", None) is None:
        return None
    form = {key.partition(".")[2]: value.value for key, value in values.items()}
    right = []
    for order in ("rows", "columns"):
        submission = competition.submission.model_copy(update=form | {"order": order})
        report = check_order(competition.model_copy(update={"submission": submission}), catalog)
        if not report.errors:
            right.append(order)
    return right[0] if len(right) == 1 else None


def _exclusive(competition: Competition, labels: PackedRuns) -> FoundValues:
    """Whether a pixel has one class at most: by the coding, else by the labels."""
    if len(competition.classes) < 2:
        return {}
    together = int(((labels.areas() > 0).sum(axis=1) > 1).sum())
    shared = int((labels.shared_areas() > 0).sum())
    if getattr(competition.labels, "values", None) in ("index", "colours"):
        return {"exclusive": FoundValue(True, "found", "a mask image has one value a pixel")}
    if shared:
        return {"exclusive": FoundValue(False, "found", f"classes overlap in {shared} images")}
    if together:
        why = f"no pixel has two classes, in {together} images that have several"
        return {"exclusive": FoundValue(True, "found", why)}
    return {
        "exclusive": FoundValue(False, "found", "no image has two classes, so nothing forbids it")
    }


def _mirroring(competition: Competition, labels: Mapping[str, Runs]) -> FoundValues:
    """A class that keeps to one side forbids mirrored images."""
    if isinstance(competition.horizontal_flip, tuple):
        return {}
    sides = kept_sides(competition, labels) if competition.may_flip else ""
    if not sides:
        return {}
    return {"horizontal_flip": FoundValue("forbidden", "found", f"sides are kept: {sides}")}
