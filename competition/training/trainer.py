"""The training loop: rounds of batches, the averages that are validated, and what a run goes on from.

One process, one device. Nothing in a step waits for a card: losses are looked at now and then, and the
moving average lies where the network does.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from competition.errors import InputFault
from competition.training.checkpoint import read_torch
from competition.training.progress import Progress, RoundFacts
from competition.training.step import TrainingStep
from competition.training.weight_averaging import (
    Average,
    BestRounds,
    KeptRound,
    ema_step,
    equal_step,
)

_KIND = "state of a run, 1"
LOOKED_AT = 25
"""Steps after which losses are fetched from a card; each fetch makes the host wait for it."""


class Loaders(NamedTuple):
    """Of augmented examples, and of the images that are validated on, as they are."""

    training: DataLoader
    validation: list[DataLoader]


def run_training(
    step: TrainingStep,
    loaders: Loaders,
    progress: Progress,
    *,
    best: BestRounds | None = None,
    resumed: Path | None = None,
) -> None:
    """All rounds of `progress.plan`; `step.network` ends with the weights that its recipe averages.

    progress: is told of every batch and round; best: of every validation; resumed: `progress.last` of
    a run that was stopped, to go on from.
    """
    run = _Run(step, loaders, progress, best)
    if resumed is not None:
        run.load(read_torch(resumed), resumed)
    progress.begin(run.done)
    for round_ in range(progress.rounds_done(), progress.plan.rounds):
        run.round(round_)
    run.average.take()


class _Run:
    """A training on its device, between two of its rounds or in one."""

    def __init__(
        self, step: TrainingStep, loaders: Loaders, progress: Progress, best: BestRounds | None
    ) -> None:
        self.step, self.loaders, self.progress, self.best = step, loaders, progress, best
        machine, recipe = progress.machine, step.recipe
        self.device = machine.torch_device()
        self.network = step.network.to(self.device)
        self.optimizer, self.schedule = step.optimizer(machine.kind)
        # float16 scales its loss, on a CPU too; bfloat16 has float32's range.
        self.scaler = torch.amp.GradScaler(machine.kind, enabled=machine.dtype == "float16")
        self.from_round = -1
        move = ema_step(recipe.ema)
        if recipe.swa is not None:
            self.from_round, move = max(0, progress.plan.rounds - recipe.swa), equal_step
        self.average = Average(self.network, move)
        self.look_every = 1 if machine.kind == "cpu" else LOOKED_AT
        self.done = 0
        """Optimizer steps so far."""

    def round(self, number: int) -> None:
        """Its batches, its validation, its line of history, and the run as it is then on the disk.

        number: counted from 0.
        """
        sampler: Any = self.loaders.training.sampler
        sampler.set_epoch(number)
        self.network.train()
        losses = _Losses(self.look_every, self._seen)
        batches, accumulate = len(self.loaders.training), self.step.recipe.accumulate
        for index, batch in enumerate(self.loaders.training):
            self.progress.require_due(int(batch["place"][0]), round_=number, index=index)
            loss = self._backward(batch, index)
            if (index + 1) % accumulate == 0 or index + 1 == batches:
                self._update()
            losses.add(loss, self.done)
            if self.done >= self.progress.plan.iterations:
                break  # by iterations the last round may be a short one
        mean = losses.mean()
        if (number + 1) % self.progress.plan.validate_every == 0:
            self._validate(number)
        if self.step.recipe.swa is not None and number >= self.from_round:
            self.average.update()
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.progress.round_done(
            RoundFacts(number + 1, self.done, rate, mean), self.step.image_scores
        )
        self.progress.keep({"kind": _KIND, **self._state()})
        self.progress.say(self.progress.line())

    def _backward(self, batch: Mapping[str, Any], index: int) -> Tensor:
        with self.progress.machine.autocast():
            loss = self.step.loss(self._here(batch), step=self.done, index=index)
        self.scaler.scale(loss / self.step.recipe.accumulate).backward()
        return loss.detach()

    def _update(self) -> None:
        self.scaler.unscale_(self.optimizer)
        self.step.clip()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.done += 1
        if self.step.recipe.swa is None:
            self.average.update()

    def _validate(self, number: int) -> None:
        """The average, or the network as it is where no average has begun."""
        averaged = self.average.updates and number > self.from_round
        shown = self.average.mean if averaged else self.network.eval()
        with torch.inference_mode(), self.progress.machine.autocast():
            for place, loader in enumerate(self.loaders.validation):
                for batch in loader:
                    self.step.validate(self._here(batch), place, shown)
        if self.best is not None:
            self.best.validated(self.done, shown, self.step.image_scores[1])

    def _here(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """On the run's device; what is pinned goes there beside the computation."""
        return {
            key: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }

    def _seen(self, step: int, loss: float) -> None:
        self.step.require_finite(loss, step)
        self.progress.batch_done(step, loss)

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own, by the name that it is kept under."""
        return {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def _state(self) -> dict[str, Any]:
        kept = [] if self.best is None else [one._asdict() for one in self.best.kept]
        own = {"done": self.done, "best": kept}
        return own | {name: part.state_dict() for name, part in self._parts().items()}

    def load(self, state: Mapping[str, Any], path: Path) -> None:
        """InputFault where the loop of an older version wrote it: other parts, in another order."""
        if state.get("kind") != _KIND:
            raise InputFault(
                f"{path} was left by an older version, whose runs this one cannot go on with; finish it "
                f"there, or delete {path.name} to start anew"
            )
        self.done = state["done"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if self.best is not None:
            self.best.kept = [KeptRound(**one) for one in state["best"]]


class _Losses:
    """Losses of a round, fetched from where they are computed every so many batches."""

    def __init__(self, every: int, seen: Callable[[int, float], None]) -> None:
        """seen: is told of each fetched loss, with the steps of the run that were done then."""
        self.every, self.seen = every, seen
        self.total, self.count = 0.0, 0
        self.waiting: list[tuple[int, Tensor]] = []

    def add(self, loss: Tensor, step: int) -> None:
        self.waiting.append((step, loss))
        if len(self.waiting) == self.every:
            self._fetch()

    def mean(self) -> float:
        self._fetch()
        return self.total / self.count

    def _fetch(self) -> None:
        if self.waiting:
            losses = torch.stack([loss for _, loss in self.waiting]).tolist()
            for (step, _), loss in zip(self.waiting, losses, strict=True):
                self.seen(step, loss)
                self.total, self.count = self.total + loss, self.count + 1
            self.waiting.clear()
