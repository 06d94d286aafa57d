"""What a run leaves as it goes: its history, a point to go on from, warnings of dead classes and of a
score that stands still.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from competition.errors import InputFault
from competition.machine import Machine
from competition.progress_bar import Advance, duration
from competition.scoring.metrics import Metric, aggregate
from competition.training.checkpoint import (
    Training,
    hash_file,
    move_torch,
    read_torch,
    training_in,
    write_torch,
)
from competition.training.plan import Plan
from competition.training.step import ImageScores
from competition.workspace import write_text

SILENT = 5
"""A class that so many validations in a row did not find at all is dead; at the end, `SILENT_LAST`, or
the only one of a run that is validated once."""
SILENT_LAST = 2
STUCK = 5
"""A score that so many validations in a row find to be the very same is stuck."""

HistoryRow = dict[str, float | str]
EachRound = Callable[[Sequence[HistoryRow]], None]
"""Is given all rows of the history so far: after each round, and as a stopped run goes on."""


def unseen(rows: Sequence[HistoryRow]) -> None:
    """Nobody looks at the history as it grows."""


class RoundFacts(NamedTuple):
    """A round that has ended: which, counted from 1; steps of the run so far; its mean loss."""

    round: int
    step: int
    learning_rate: float
    train_loss: float


class Progress:
    """What a trainer tells of a run: a line of history a round, and what the run can go on from."""

    def __init__(
        self,
        folder: Path,
        training: Training,
        plan: Plan,
        metric: Metric,
        machine: Machine,
        say: Callable[[str], None] = print,
        each_round: EachRound = unseen,
        inputs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """inputs: hashes of what the training reads, by name: a run goes on with the same ones only."""
        self.each_round, self.inputs = each_round, dict(inputs)
        self.history_file, self.last = folder / "history.csv", folder / "last.pt"
        self.before = folder / "before.pt"
        """The one before `last`: a run goes on from it where a kill or a disk has damaged that."""
        self.training, self.plan, self.metric, self.say = training, plan, metric, say
        self.machine = machine
        self.advance: Advance | None = None
        """Moves a bar, at every iteration."""
        self._shown = 0
        self.rows: list[HistoryRow] = []
        self._begun, self._first = time.monotonic(), 0
        self.silent = [0] * len(training.classes)
        """Validations in a row that found no pixel of a class, though images have it."""
        self.validations = 0

    def unfinished(self) -> Path | None:
        """The checkpoint of a killed run of the same settings; InputFault where they differ.

        The dtype counts as a setting: weights that began in another one would be of no run at all.
        """
        found = self._newest()
        if found is None:
            return None
        path, begun = found
        wanted = self.training.model_dump(mode="json")
        anew = f"delete {self.last.name} and {self.before.name} to start anew"
        known = training_in(path, begun.get("podium_training"), again=anew)
        changed = changes(known.model_dump(mode="json"), wanted)
        read = begun.get("podium_inputs", self.inputs)
        names = {**read, **self.inputs}
        changed += [f"{name} changed" for name in names if read.get(name) != self.inputs.get(name)]
        before, now = begun.get("podium_machine") or {}, self.machine.recorded()
        if before.get("dtype", now["dtype"]) != now["dtype"]:
            changed.append(f"dtype {before['dtype']} → {now['dtype']}")
        if changed:
            listed = "; ".join(sorted(changed))
            raise InputFault(
                f"{path} was begun with other settings or data ({listed}); set them back to go on, "
                f"or {anew}"
            )
        moved = changes({**before, "dtype": None}, {**now, "dtype": None}) if before else []
        if moved:
            self.say(f"note: begun on another machine ({'; '.join(moved)}): last digits may differ")
        self.rows = begun.get("podium_rows", [])
        self.silent = begun.get("podium_silent", self.silent)
        self.validations = sum("score" in row for row in self.rows)
        self.each_round(self.rows)
        return path

    def _newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest state that is whole; InputFault where there is one and none is."""
        faults = []
        for path in (self.last, self.before):
            if path.is_file():
                try:
                    found = read_torch(path)
                except InputFault as fault:
                    faults.append(fault)
                else:
                    for fault in faults:
                        self.say(f"note: {fault}; going on from {path.name}, the one before")
                    return path, found
        if faults:
            names = f"{self.last.name} and {self.before.name}"
            raise InputFault(f"{faults[0]}; delete {names} to start anew") from faults[0]
        return None

    def keep(self, state: dict[str, Any]) -> None:
        """Write what the run can go on from; state: the loop's own. The one before stays."""
        if self.last.is_file():
            move_torch(self.last, self.before)
        write_torch(self.last, {**self._kept(), **state})

    def rounds_done(self) -> int:
        """Rounds that the run has behind it: more than 0 where it goes on."""
        return len(self.rows)

    def dead(self) -> tuple[str, ...]:
        """Classes that the last validations of a run that has ended did not find at all."""
        return self._silent_for(self._silence_at_the_end())

    def _silence_at_the_end(self) -> int:
        return min(SILENT_LAST, max(1, self.validations))

    def _silent_for(self, after: int) -> tuple[str, ...]:
        """Classes that the last `after` validations did not find at all."""
        classes = zip(self.training.classes, self.silent, strict=True)
        return tuple(name for name, silent in classes if silent >= after)

    def begin(self, step: int) -> None:
        """The run begins, or goes on after so many optimizer steps."""
        self._begun, self._first = time.monotonic(), step

    def require_due(self, place: int, *, round_: int, index: int) -> None:
        """A batch that is not due would train on something twice, in silence: loader processes draw
        ahead, and have begun a resumed run at its first round before.

        place: of its first example in the run; round_, index: which batch of which round it is,
        counted from 0.
        """
        due = round_ * self.plan.examples + index * self.training.recipe.batch
        if place != due:
            raise RuntimeError(f"batch at place {place} came where {due} is due")

    def batch_done(self, step: int, loss: float) -> None:
        """Moves the bar to so many optimizer steps."""
        if self.advance is not None:
            words = [f"loss {loss:.4f}", *self.scores()]
            self.advance(step - self._shown, "  ".join(words))
            self._shown = step

    def round_done(self, facts: RoundFacts, image_scores: Sequence[list[ImageScores]]) -> None:
        """A row of history; image_scores: by validation loader, emptied here."""
        self.rows.append(self._row(facts, image_scores))
        write_text(self.history_file, pd.DataFrame(self.rows).to_csv(index=False))
        self.each_round(self.rows)

    def _kept(self) -> dict[str, Any]:
        return {
            "podium_training": self.training.model_dump(mode="json"),
            "podium_inputs": self.inputs,
            "podium_machine": self.machine.recorded(),
            "podium_rows": self.rows,
            "podium_silent": self.silent,
        }

    def clear(self) -> None:
        """The run is finished: what it could be resumed from is not needed any more."""
        for path in (self.before, self.last):
            path.unlink(missing_ok=True)
            hash_file(path).unlink(missing_ok=True)

    def _row(self, facts: RoundFacts, image_scores: Sequence[list[ImageScores]]) -> HistoryRow:
        recipe = self.training.recipe
        seen = facts.step * recipe.accumulate * recipe.batch / self.training.images
        by_epochs = recipe.schedule.iterations is None
        row: HistoryRow = {
            "epoch": float(facts.round) if by_epochs else round(seen, 3),
            "step": float(facts.step),
            "learning_rate": facts.learning_rate,
            "train_loss": facts.train_loss,
        }
        held_out, *aside = image_scores
        if aside and aside[0]:
            row["score_aside"] = metric_over(aside[0], self.metric)
            aside[0].clear()
        if held_out:
            scores = np.stack([scored.scores for scored in held_out])
            row["score"] = aggregate(scores, self.metric)
            for place, name in enumerate(self.training.classes):
                row[f"score[{name}]"] = aggregate(scores[:, place : place + 1], self.metric)
            last = facts.round + self.plan.validate_every > self.plan.rounds
            row["dead_classes"] = ", ".join(self.listen(held_out, last=last))
            held_out.clear()
            # Dead classes leave a score where it is too, and have their own warning.
            if not row["dead_classes"] and stuck([*self._all_scores(), float(row["score"])]):
                self.say(stuck_warning(float(row["score"]), self.training.recipe.ema))
        return row

    def listen(self, image_scores: Sequence[ImageScores], *, last: bool) -> tuple[str, ...]:
        """The dead classes after one more validation; says those that were not dead before.

        last: no other validation of the run follows.
        """
        self.validations += 1
        after = self._silence_at_the_end() if last else SILENT
        known = self._silent_for(SILENT)
        labelled = np.any([scored.labelled for scored in image_scores], axis=0)
        hit = np.any([scored.hit for scored in image_scores], axis=0)
        self.silent = [
            silent + 1 if missed else 0
            for silent, missed in zip(self.silent, labelled & ~hit, strict=True)
        ]
        dead = self._silent_for(after)
        if set(dead) - set(known):
            self.say(warning(dead, after))
        return dead

    def line(self) -> str:
        """The last row of history as a line: place, loss, score, the best so far, time left."""
        row, schedule = self.rows[-1], self.training.recipe.schedule
        place = (
            f"epoch {row['epoch']:.0f}/{schedule.epochs}"
            if schedule.iterations is None
            else f"iteration {row['step']:.0f}/{schedule.iterations}"
        )
        words = [place, f"loss {row['train_loss']:.4f}", *self.scores()]
        if "score_aside" in row:
            words.append(f"set aside {row['score_aside']:.4f}")
        left = self._seconds_left(int(row["step"]))
        return "  ".join([*words, *([f"{duration(left)} left"] if left else [])])

    def scores(self) -> list[str]:
        """The last score and the best one so far, with the round that it is of; [] before any."""
        scored = self._scored()
        if not scored:
            return []
        choose = max if self.metric.higher_is_better else min
        best = choose(scored, key=lambda row: row["score"])
        unit = "epoch" if self.training.recipe.schedule.iterations is None else "step"
        mark = f"best {best['score']:.4f} at {unit} {best[unit]:.0f}"
        return [f"score {scored[-1]['score']:.4f}", mark]

    def _scored(self) -> list[HistoryRow]:
        return [row for row in self.rows if not math.isnan(float(row.get("score", math.nan)))]

    def _all_scores(self) -> list[float]:
        return [float(row["score"]) for row in self._scored()]

    def _seconds_left(self, step: int) -> float:
        """At the pace of this process so far; 0 where nothing is left or nothing was done."""
        done = step - self._first
        spent = time.monotonic() - self._begun
        return spent / done * (self.plan.iterations - step) if done > 0 else 0.0


def metric_over(image_scores: Sequence[ImageScores], metric: Metric) -> float:
    """The metric over the images that were validated."""
    return aggregate(np.stack([scored.scores for scored in image_scores]), metric)


def warning(dead: Sequence[str], validations: int) -> str:
    """One line that names the dead classes and what to look at."""
    where = "the only validation" if validations == 1 else f"the last {validations} validations"
    return (
        f"warning: dead classes {', '.join(dead)}: not one labelled pixel of them was found in "
        f"{where}; look at their labels (`invoke doctor`), at the loss "
        "(class_weights, empty) and at the learning rate"
    )


def stuck(scores: Sequence[float]) -> bool:
    """Whether the last of these scores is the one at which it is found out that they stand still: the
    last `STUCK` are the same, and the one before them is not. A perfect one has nowhere to go.

    >>> stuck([0.3, 0.2, 0.2, 0.2, 0.2, 0.2]), stuck([0.2] * 6), stuck([1.0] * 5)
    (True, False, False)
    """
    last, before = [*scores[-STUCK:]], [*scores[:-STUCK][-1:]]
    same = len(last) == STUCK and len(set(last)) == 1
    return same and last[0] not in (0.0, 1.0) and before != last[:1]


def stuck_warning(score: float, ema: float) -> str:
    """One line that says what to look at."""
    return (
        f"warning: stuck: the score is {score:.6f} in {STUCK} validations in a row; if the loss falls, "
        f"the validated average may hardly move (ema {ema}; fewer steps want a smaller one), or all "
        "pixels are far from threshold 0.5 (`python -m competition tune` looks at others); if it "
        "does not, look at the learning rate, at the loss and at the labels (`invoke doctor`)"
    )


def changes(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """Every setting that differs, as `key before → after`.

    >>> changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b 1 → 3']
    """
    found = []
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += changes(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} → {new}")
    return found
