"""The doctor: proves the data before anything is trained on it.

image_checks.py   every image opens; depth, copies, near duplicates
outline_checks.py  labels that lie turned on their image
label_checks.py   labels read whole; classes, overlap, mirroring
rle_order_checks.py   how run-length labels count pixels
sample_checks.py  the sample against the test images; groups; the split in force
report.py         Report: errors (exit code 2), warnings, facts    kept.py  kept until data change
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import pandas as pd

from competition.data.catalog import build_catalog
from competition.data.labels import LabelCache, load_labels, read_labels
from competition.doctor.image_checks import check_images, check_readable, describe_catalog
from competition.doctor.kept import keep_report, kept_report
from competition.doctor.label_checks import (
    check_ignored,
    check_labels,
    check_objects,
    describe_annotators,
)
from competition.doctor.report import Report
from competition.doctor.rle_order_checks import check_order
from competition.doctor.sample_checks import check_folds, check_groups, check_sample
from competition.errors import InputFault
from competition.masks import Runs
from competition.progress_bar import Watch, unwatched
from competition.spec import Competition
from competition.workspace import Workspace


def examined(
    competition: Competition,
    workspace: Workspace,
    catalog: pd.DataFrame | None,
    *,
    watch: Watch = unwatched,
) -> Report:
    """`examine`, or what it said before of the same data. catalog: of all images; None where their
    files cannot be listed, which `examine` tells.
    """
    kept = None if catalog is None else kept_report(competition, workspace, catalog)
    return examine(competition, workspace, catalog, watch=watch) if kept is None else kept


def examine(
    competition: Competition,
    workspace: Workspace,
    catalog: pd.DataFrame | None = None,
    *,
    watch: Watch = unwatched,
) -> Report:
    """All checks of a competition's data; one fault never hides those of another check.

    Reads every image and every label; writes nothing but the label cache and the report for
    `examined`. catalog: of all images, where it was built already.
    """
    try:
        catalog = build_catalog(competition) if catalog is None else catalog
    except InputFault as fault:
        return Report.error("files", str(fault)) + check_readable(competition, said=str(fault))
    found, report = _labels(competition, catalog, partial(load_labels, competition, workspace))
    labels: Mapping[str, Runs] = {} if found is None else found
    report = check_images(competition, catalog, labels, watch=watch) + report
    report += _unlabelled(competition, catalog)
    report += check_folds(competition, workspace, catalog, labels)
    keep_report(report, competition, workspace, catalog)
    return report


class Proof(NamedTuple):
    """What `proof_of` says, and the catalog and labels that it read; None where they cannot be."""

    report: Report
    catalog: pd.DataFrame | None = None
    labels: LabelCache | None = None


def proof_of(
    competition: Competition,
    catalog: pd.DataFrame | None = None,
    labels: LabelCache | None = None,
) -> Proof:
    """What can be said without decoding images: files are there, labels and sample fit them.

    catalog, labels: where they were read already.
    """
    try:
        catalog = build_catalog(competition) if catalog is None else catalog
    except InputFault as fault:
        return Proof(Report.error("files", str(fault)))
    read = partial(read_labels, competition) if labels is None else lambda _: labels
    found, report = _labels(competition, catalog, read)
    report = describe_catalog(catalog) + report + _unlabelled(competition, catalog)
    return Proof(report, catalog, found)


def prove(competition: Competition) -> Report:
    """The report of `proof_of`."""
    return proof_of(competition).report


def _unlabelled(competition: Competition, catalog: pd.DataFrame) -> Report:
    """The checks that need no labels that can be read."""
    return (
        check_order(competition, catalog)
        + check_objects(competition)
        + check_groups(competition, catalog)
        + check_sample(competition, catalog)
    )


def _labels(
    competition: Competition,
    catalog: pd.DataFrame,
    read: Callable[[pd.DataFrame], LabelCache],
) -> tuple[LabelCache | None, Report]:
    """The labels, None where they cannot be read, and what is to be said about them."""
    try:
        labels = read(catalog)
    except InputFault as fault:
        return None, Report.error("labels", str(fault))
    report = check_labels(competition, catalog, labels)
    report += describe_annotators(labels.annotators, len(competition.classes))
    return labels, report + check_ignored(competition, catalog, labels.ignored)
