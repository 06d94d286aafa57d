"""The table of an ablation from what its trials left: out-of-fold stores, scores, histories."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from competition.ablation import Line, Table
from competition.entry import Entry
from competition.experiment import Experiment
from competition.pictures import differences
from competition.pipeline import submission_name
from competition.solution import read_score
from competition.steps.bench import Bench
from competition.steps.stores import out_of_fold
from competition.tuning.acceptance import differ
from competition.tuning.chain import sides_of
from competition.tuning.decisions import score_of
from competition.tuning.ensemble import blend
from competition.tuning.measure import Measure
from competition.tuning.statistics import gather
from competition.tuning.thresholds import outcome, plain
from competition.workspace import read_json, write_text


def compare_trials(bench: Bench, experiment: Experiment, *, again: bool = False) -> str:
    """Write the table of an ablation as .md, .csv and .png; returns the page."""
    step = bench.pipeline.ablation(experiment)
    page, sheet, picture = step.outputs

    def run() -> None:
        table = _table(bench, experiment)
        write_text(page, table.markdown())
        write_text(sheet, table.csv())
        _draw(picture, table)

    bench.perform(step, run, again=again)
    bench.say(f"wrote {page}, {sheet.name} and {picture.name}")
    return page.read_text(encoding="utf-8")


def _table(bench: Bench, experiment: Experiment) -> Table:
    competition = bench.project.competition
    measure = Measure.of(competition)
    scored = [entry for row in experiment.entries for entry in row]
    with bench.watch("scoring trials", len(scored)) as advance:
        parts = []
        for row in experiment.entries:
            seeds = []
            for entry in row:
                images, one = _parts(bench, entry, measure)
                seeds.append(one)
                advance()
            parts.append(np.stack(seeds))
    groups = sides_of(images, bench.project.folds).groups
    return Table(
        title=experiment.name,
        competition=competition.name,
        metric=competition.metric.name,
        images=len(images),
        groups=len(np.unique(groups)),
        folds=experiment.folds,
        seeds=experiment.seeds,
        lines=_lines(bench, experiment, parts, groups, measure),
    )


def _parts(bench: Bench, entry: Entry, measure: Measure) -> tuple[tuple[str, ...], np.ndarray]:
    """The images, by name, and what each adds to the out-of-fold score, (N, K, C)."""
    together = blend(out_of_fold(bench, entry), exclusive=bench.project.competition.exclusive)
    statistics = gather(together, bench.project.labels, measure, thresholds=(0.5,))
    order = np.argsort(statistics.images)
    images = tuple(statistics.images[place] for place in order)
    return images, outcome(statistics, plain(statistics))[order]


def _lines(
    bench: Bench,
    experiment: Experiment,
    parts: Sequence[np.ndarray],
    groups: np.ndarray,
    measure: Measure,
) -> tuple[Line, ...]:
    """parts: (S, N, K, C) of each trial, images in one order; groups: (N,)."""
    lines = []
    for place, (trial, base) in enumerate(
        zip(experiment.trials, experiment.baselines, strict=True)
    ):
        entries, own = experiment.entries[place], parts[place]
        by_seed = [measure.score(one) for one in own]
        public, private = (_scored(bench, entries, part) for part in ("Public", "Private"))
        compared = len(experiment.trials) - 1
        lines.append(
            Line(
                what=trial.changed,
                recipe=trial.recipe,
                validation=score_of(measure, np.concatenate(own), np.tile(groups, len(own))),
                spread=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
                public=public,
                private=private,
                iterations=max(_iterations(bench, entry) for entry in entries),
                against=None if place == base else experiment.trials[base].changed,
                difference=None
                if place == base
                else differ(parts[base], own, groups, measure, comparisons=compared),
                published=trial.published,
            )
        )
    return tuple(lines)


def _scored(bench: Bench, entries: Sequence[Entry], part: str) -> float | None:
    """The mean score over seeds on a part of the solution; None where one was not scored."""
    values = []
    for entry in entries:
        csv = bench.project.workspace.submission(submission_name(entry, plain=True))
        table = read_score(csv) if csv.exists() else None
        if table is None or part not in table.parts:
            return None
        values.append(table.parts[part].score.value)
    return float(np.mean(values))


def _iterations(bench: Bench, entry: Entry) -> int:
    """Optimizer steps of the entry's longest training, those that it went on from included."""
    workspace = bench.project.workspace
    receipts = [
        workspace.run(str(member), fold) / "train.json"
        for member in entry.members
        for fold in entry.folds
    ]
    return max(read_json(path)["iterations"] for path in receipts)


def _draw(path: Path, table: Table) -> None:
    compared = [line for line in table.lines if line.difference is not None]
    by_what = {line.what: line.published.validation for line in table.lines}
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
