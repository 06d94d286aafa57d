"""The doctor's report, kept until the data change: `train` asks for it each time."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.bands import all_pixel_files
from competition.data.images import safe_path
from competition.data.labels import labels_key
from competition.data.pages import file_of
from competition.doctor.report import Diagnosis, Report
from competition.errors import InputFault
from competition.spec import Competition
from competition.workspace import Workspace, file_state, read_json, text_sha256, write_json

_VERSION = 3
"""Raised when a check is added or says something else of the same data."""


def kept_report(
    competition: Competition, workspace: Workspace, catalog: pd.DataFrame
) -> Report | None:
    """What the doctor said of the same files (by size and time) and the same competition file; None
    where anything changed since, or nothing was kept. catalog: of all images, as it is now.
    """
    path = _place(workspace)
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        if content["key"] != _key(competition, workspace, catalog):
            return None
        return _report(content["report"])
    except (InputFault, KeyError, TypeError, ValueError):
        return None  # damaged, or labels and sample lie nowhere: the doctor looks again


def keep_report(
    report: Report, competition: Competition, workspace: Workspace, catalog: pd.DataFrame
) -> None:
    """Write it beside the label cache; data whose files cannot even be listed keep no report."""
    try:
        key = _key(competition, workspace, catalog)
    except InputFault:
        return
    write_json(_place(workspace), {"key": key, "report": report.document()})


def _place(workspace: Workspace) -> Path:
    return workspace.cache / "doctor.json"


def _report(document: dict[str, Any]) -> Report:
    """A report from its own document."""
    errors, warnings = (
        tuple(Diagnosis(one["kind"], one["text"], tuple(one["images"])) for one in document[level])
        for level in ("errors", "warnings")
    )
    return Report(errors, warnings, tuple((one["what"], one["value"]) for one in document["found"]))


def _key(competition: Competition, workspace: Workspace, catalog: pd.DataFrame) -> str:
    """sha256 of all that the doctor looks at, files by their size and time."""
    sample = competition.submission.sample
    paths = all_pixel_files(catalog["path"], competition.data)
    files = [competition.root / path for path in dict.fromkeys(map(file_of, paths))]
    files += [safe_path(competition.root, sample, links=competition.links)] if sample else []
    files += [workspace.folds, workspace.holdout]
    depends = {
        "version": _VERSION,
        "spec": competition.model_dump(mode="json"),
        "catalog": catalog.values.tolist(),
        "labels": labels_key(competition, catalog),
        "files": [file_state(path) for path in files],
    }
    return text_sha256(json.dumps(depends))
