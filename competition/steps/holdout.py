"""The holdout's score: made once, at the end, and every score is written down."""

import time
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from competition.entry import Entry
from competition.errors import InputFault
from competition.evaluation.metric_sums import Score
from competition.freshness import hash_of
from competition.masks import Runs
from competition.pipeline import submission_name
from competition.project import Project
from competition.settings import Settings
from competition.steps.prediction_stores import mean_predictions
from competition.steps.private_interval import masks_under
from competition.steps.submit import Decoder, read_decoder
from competition.workspace import read_json, write_json


class HoldoutScore(Settings):
    """One score of the holdout. made_of: hash of the decisions and networks that were scored; empty:
    of masks that are all empty, None in files from before it was looked at.
    """

    number: int
    when: str
    submission: str
    made_of: str
    score: Score
    empty: Score | None = None
    images: int
    groups: int

    def __str__(self) -> str:
        nothing = "" if self.empty is None else f", {self.empty} for an empty submission"
        return (
            f"holdout, {self.images} images of {self.groups} groups: {self.score} for "
            f"{self.submission}{nothing}, taken {self.when}"
        )


def score_holdout(project: Project, entry: Entry, *, plain: bool = False) -> HoldoutScore:
    """Score the entry on the holdout and add it to `submissions/<competition>/holdout.json`.

    The same decisions and networks are not scored again: what stands there is returned. Another
    entry is scored, and told that it is not the first: who chooses between them has used the holdout.
    """
    if project.rows("holdout").empty:
        raise InputFault(
            "there is no holdout; set holdout in [split] before the folds are made, for example 0.2"
        )
    path = project.workspace.submissions / "holdout.json"
    earlier = read_holdout_scores(path)
    decoder = read_decoder(project, entry, plain=plain)
    name, made_of = submission_name(entry, plain=plain), _made_of(project, entry, decoder)
    for found in earlier:
        if found.made_of == made_of:
            project.say(f"scored before, on {found.when}; not again")
            return found
    if earlier:
        project.say(
            f"note: this holdout was scored {len(earlier)} times before, first for "
            f"{earlier[0].submission} on {earlier[0].when}; it is untouched no longer, and a choice "
            "made by it is not covered by its interval"
        )
    (score, empty), images, groups = _scores(project, entry, decoder)
    found = HoldoutScore(
        number=len(earlier) + 1,
        when=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        submission=name,
        made_of=made_of,
        score=score,
        empty=empty,
        images=images,
        groups=groups,
    )
    write_json(path, [one.model_dump(mode="json") for one in (*earlier, found)])
    project.say(f"wrote {path}")
    return found


def read_holdout_scores(path: Path) -> list[HoldoutScore]:
    """What was scored so far, the first first; InputFault for a damaged file."""
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[HoldoutScore]).validate_python(read_json(path))
    except ValidationError as error:
        raise InputFault(
            f"{path} does not list scores of a holdout ({error}); restore it"
        ) from error


def _made_of(project: Project, entry: Entry, decoder: Decoder) -> str:
    stores = mean_predictions(project, entry, "holdout")
    checkpoints = {name: store.provenance.checkpoints for name, store in stores.items()}
    decided = decoder.ensemble if decoder.decisions is None else decoder.decisions
    held = sorted(project.rows("holdout")["image"])
    return hash_of([decided.model_dump(mode="json"), checkpoints, held])


def _scores(
    project: Project, entry: Entry, decoder: Decoder
) -> tuple[tuple[Score, Score], int, int]:
    """The scores of the entry and of empty masks, with their intervals over groups, and on how many
    images and groups.
    """
    rows = project.rows("holdout")
    together = decoder.mix(mean_predictions(project, entry, "holdout"))
    masks, metric_sums = masks_under(together, decoder.rules), project.metric_sums
    labels, groups = project.labels, rows["group"].to_numpy(str)

    def found_and_empty(image: str) -> list[Runs]:
        found = masks(image)
        return [found, Runs.empty(found.shape)]

    sums = metric_sums.of_images(
        rows["image"].tolist(), labels.__getitem__, found_and_empty, ignored=project.ignored
    )
    score, empty = (metric_sums.score(sums[:, place], groups) for place in (0, 1))
    return (score, empty), len(rows), len(np.unique(groups))
