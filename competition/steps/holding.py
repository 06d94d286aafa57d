"""The holdout's score: taken once, at the end, and every taking is written down."""

import time
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from competition.entry import Entry
from competition.errors import InputFault
from competition.freshness import hash_of
from competition.pipeline import submission_name
from competition.steps.bench import Bench
from competition.steps.expecting import masks_under
from competition.steps.handing_in import Plan, read_plan
from competition.steps.stores import mean_predictions
from competition.tuning.decisions import Score, score_of
from competition.tuning.measure import Measure
from competition.tuning.record import Record
from competition.workspace import read_json, write_json


class Taking(Record):
    """One score of the holdout. made_of: hash of the decisions and networks that were scored."""

    number: int
    when: str
    submission: str
    made_of: str
    score: Score
    images: int
    groups: int

    def __str__(self) -> str:
        return (
            f"holdout, {self.images} images of {self.groups} groups: {self.score} for "
            f"{self.submission}, taken {self.when}"
        )


def score_holdout(bench: Bench, entry: Entry, *, plain: bool = False) -> Taking:
    """Score the entry on the holdout and add it to `submissions/<competition>/holdout.json`.

    The same decisions and networks are not scored again: what stands there is returned. Another
    entry is scored, and told that it is not the first: who chooses between them has used the holdout.
    """
    project = bench.project
    if project.part("holdout").empty:
        raise InputFault(
            "there is no holdout; set holdout in [split] before the folds are made, for example 0.2"
        )
    path = project.workspace.submissions / "holdout.json"
    earlier = read_takings(path)
    plan = read_plan(bench, entry, plain=plain)
    name, made_of = submission_name(entry, plain=plain), _made_of(bench, entry, plan)
    for taking in earlier:
        if taking.made_of == made_of:
            bench.say(f"scored before, on {taking.when}; not again")
            return taking
    if earlier:
        bench.say(
            f"note: this holdout was scored {len(earlier)} times before, first for "
            f"{earlier[0].submission} on {earlier[0].when}; it is untouched no longer, and a choice "
            "made by it is not covered by its interval"
        )
    score, images, groups = _score(bench, entry, plan)
    taking = Taking(
        number=len(earlier) + 1,
        when=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        submission=name,
        made_of=made_of,
        score=score,
        images=images,
        groups=groups,
    )
    write_json(path, [one.model_dump(mode="json") for one in (*earlier, taking)])
    bench.say(f"wrote {path}")
    return taking


def read_takings(path: Path) -> list[Taking]:
    """What was scored so far, the first first; InputFault for a damaged file."""
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Taking]).validate_python(read_json(path))
    except ValidationError as error:
        raise InputFault(
            f"{path} does not list scores of a holdout ({error}); restore it"
        ) from error


def _made_of(bench: Bench, entry: Entry, plan: Plan) -> str:
    stores = mean_predictions(bench, entry, "holdout")
    checkpoints = {name: store.provenance.checkpoints for name, store in stores.items()}
    decided = plan.ensemble if plan.decisions is None else plan.decisions
    held = sorted(bench.project.part("holdout")["image"])
    return hash_of([decided.model_dump(mode="json"), checkpoints, held])


def _score(bench: Bench, entry: Entry, plan: Plan) -> tuple[Score, int, int]:
    """The score with its interval over groups, and on how many images and groups."""
    project = bench.project
    rows = project.part("holdout")
    together = plan.mix(mean_predictions(bench, entry, "holdout"))
    masks, measure = masks_under(together, plan.rules), Measure.of(project.competition)
    parts = np.array([measure.parts(project.labels[i], masks(i)) for i in rows["image"]])
    groups = rows["group"].to_numpy(str)
    return score_of(measure, parts, groups), len(rows), len(np.unique(groups))
