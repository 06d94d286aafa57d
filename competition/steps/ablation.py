"""The table of an ablation from what its trials left: out-of-fold stores, scores, histories."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from competition.ablation import AblationRow, AblationTable
from competition.decoding.blend import blend
from competition.decoding.ensemble import empty_sums, plain_sums
from competition.entry import Entry
from competition.evaluation.groups import groups_and_folds
from competition.evaluation.significance import training_gain
from competition.experiment import Experiment
from competition.pictures import differences
from competition.pipeline import submission_name
from competition.project import Project
from competition.solution import read_score
from competition.steps.prediction_stores import out_of_fold
from competition.workspace import read_json, write_text


def compare_trials(project: Project, experiment: Experiment, *, force: bool = False) -> str:
    """Write the table of an ablation as .md, .csv and .png; returns the page."""
    step = project.pipeline.ablation(experiment)
    page, sheet, picture = step.outputs

    def run() -> None:
        table = _table(project, experiment)
        write_text(page, table.markdown())
        write_text(sheet, table.csv())
        _draw(picture, table)

    project.perform(step, run, force=force)
    project.say(f"wrote {page}, {sheet.name} and {picture.name}")
    return page.read_text(encoding="utf-8")


def _table(project: Project, experiment: Experiment) -> AblationTable:
    competition = project.competition
    scored = [entry for row in experiment.entries for entry in row]
    with project.watch("scoring trials", len(scored)) as advance:
        sums = []
        for row in experiment.entries:
            seeds = []
            for entry in row:
                images, one = _sums(project, entry)
                seeds.append(one)
                advance()
            sums.append(np.stack(seeds))
    groups, metric_sums = groups_and_folds(images, project.folds)[0], project.metric_sums
    nothing = empty_sums(images, project.labels, metric_sums, project.ignored)
    return AblationTable(
        title=experiment.name,
        competition=competition.name,
        metric=competition.metric.name,
        images=len(images),
        groups=len(np.unique(groups)),
        folds=experiment.folds,
        seeds=experiment.seeds,
        rows=_rows(project, experiment, sums, groups),
        empty=metric_sums.score(nothing, groups),
    )


def _sums(project: Project, entry: Entry) -> tuple[tuple[str, ...], np.ndarray]:
    """The images, by name, and what each adds to the out-of-fold score, (N, K, C)."""
    together = blend(out_of_fold(project, entry), exclusive=project.exclusive)
    sums = plain_sums(together, project.labels, project.metric_sums, ignored=project.ignored)
    order = np.argsort(together.images)
    return tuple(together.images[place] for place in order), sums[order]


def _rows(
    project: Project, experiment: Experiment, sums: Sequence[np.ndarray], groups: np.ndarray
) -> tuple[AblationRow, ...]:
    """sums: (S, N, K, C) of each trial, images in one order; groups: (N,)."""
    metric_sums, rows = project.metric_sums, []
    for place, (trial, base) in enumerate(
        zip(experiment.trials, experiment.baselines, strict=True)
    ):
        entries, own = experiment.entries[place], sums[place]
        by_seed = [metric_sums.value(one) for one in own]
        public, private = (_scored(project, entries, board) for board in ("Public", "Private"))
        compared = len(experiment.trials) - 1
        rows.append(
            AblationRow(
                what=trial.changed,
                recipe=trial.recipe,
                validation=metric_sums.score(np.concatenate(own), np.tile(groups, len(own))),
                spread=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
                public=public,
                private=private,
                iterations=max(_iterations(project, entry) for entry in entries),
                against=None if place == base else experiment.trials[base].changed,
                difference=None
                if place == base
                else training_gain(sums[base], own, groups, metric_sums, comparisons=compared),
                published=trial.published,
            )
        )
    return tuple(rows)


def _scored(project: Project, entries: Sequence[Entry], board: str) -> float | None:
    """The mean score over seeds on a board of the solution; None where one was not scored."""
    values = []
    for entry in entries:
        csv = project.workspace.submission(submission_name(entry, plain=True))
        table = read_score(csv) if csv.exists() else None
        if table is None or board not in table.parts:
            return None
        values.append(table.parts[board].score.value)
    return float(np.mean(values))


def _iterations(project: Project, entry: Entry) -> int:
    """Optimizer steps of the entry's longest training, those that it went on from included."""
    workspace = project.workspace
    receipts = [
        workspace.run(str(member), fold) / "train.json"
        for member in entry.members
        for fold in entry.folds
    ]
    return max(read_json(path)["iterations"] for path in receipts)


def _draw(path: Path, table: AblationTable) -> None:
    compared = [line for line in table.rows if line.difference is not None]
    by_what = {line.what: line.published.validation for line in table.rows}
    published = []
    for line in compared:
        assert line.against is not None  # as there is a difference
        own, other = line.published.validation, by_what[line.against]
        published.append(None if own is None or other is None else own - other)
    differences(
        path,
        [f"{line.what} against {line.against}" for line in compared],
        [(d.gain, d.low, d.high) for line in compared if (d := line.difference)],
        published=published,
        label=f"difference in {table.metric}, {table.competition}, {table.images} images",
    )
