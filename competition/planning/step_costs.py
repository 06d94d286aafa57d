"""What a step costs here: real steps of real networks on a few real images, timed once and kept.

torch is imported where it is needed: who reads a plan can do without it.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from competition.data.letterbox import LetterboxedImages, letterboxed_images
from competition.freshness import hash_of
from competition.machine import Machine
from competition.masks import Runs
from competition.recipes import Recipe
from competition.spec import Competition
from competition.workspace import read_json, write_json

if TYPE_CHECKING:
    from competition.data.loader import TrainingSet

WARM_UP = 1
"""Steps that are not timed: the first ones choose kernels and ask for memory."""
FEWEST, MOST, MOST_SECONDS = 3, 20, 5.0
"""Steps that are timed at least and at most, and after how many seconds no further one is begun."""


@dataclass(frozen=True)
class StepCost:
    """Of one recipe on this machine; seconds are of wall time unless they say CPU.

    step: one optimizer step, its examples and what they wait for included; cpu: the same in
    seconds of processor time over all threads; predict: one image through the network, one view;
    letterbox: reading one image and laying it into the input; memory: bytes at the peak, of the card
    or of the process.
    """

    step: float
    cpu: float
    predict: float
    letterbox: float
    memory: int


class Probe(NamedTuple):
    """A few labelled images to take steps on: rows of the catalog, and what a training needs of them."""

    competition: Competition
    rows: pd.DataFrame
    labels: Mapping[str, Runs]


class StepCosts:
    """Costs by recipe and machine: measured when they are first asked for, then read from `file`."""

    def __init__(
        self,
        probe: Probe,
        machine: Machine,
        file: Path,
        *,
        say: Callable[[str], None] = print,
        fresh: bool = False,
    ) -> None:
        """say: is told what was measured; fresh: measure anew what was measured before."""
        self.probe, self.machine, self.file, self.say = probe, machine, file, say
        kept = {} if fresh or not file.is_file() else read_json(file)
        self._kept: dict[str, dict[str, Any]] = kept

    def of(self, recipe: Recipe) -> StepCost:
        """MachineFault or torch's own error where the step cannot be done here."""
        key = self._key(recipe)
        if key not in self._kept:
            cost = measure_step(recipe, self.probe, self.machine)
            height, width = recipe.sampling.crop or recipe.size
            self.say(
                f"measured: {recipe.name} at {height}×{width}, batch {recipe.batch}: "
                f"{cost.step:.3g} s a step"
            )
            self._kept[key] = asdict(cost)
            write_json(self.file, self._kept)
        return StepCost(**self._kept[key])

    def _key(self, recipe: Recipe) -> str:
        import torch

        decides = recipe.model_dump(mode="json", exclude={"name", "about", "schedule", "ema"})
        classes, pixels = self.probe.competition.classes, self.probe.competition.data.pixels
        machine = self.machine.for_precision(recipe.precision).recorded()
        return hash_of([decides, len(classes), pixels.chosen(), machine, torch.__version__])


def measure_step(recipe: Recipe, probe: Probe, machine: Machine) -> StepCost:
    """Steps of `recipe` on the probe's images, and its network's prediction of a batch of them."""
    import torch

    from competition.models import build
    from competition.training.step import TrainingStep

    machine = machine.for_precision(recipe.precision)
    machine.apply()
    clock = _Clock(machine)
    with TemporaryDirectory() as folder:
        begun = clock.now()
        images = _letterboxed(recipe, probe, Path(folder))
        letterbox = (clock.now() - begun).wall / len(probe.rows)
        dataset = _training_set(recipe, probe, images)
        begun = clock.now()
        batch = _batch(dataset, recipe.batch)
        examples = (clock.now() - begun).times(recipe.accumulate)
        shown = np.stack([images[name] for name in islice(cycle(images.rows), recipe.batch)])
        del images, dataset  # Windows removes no folder with a mapped file
    network = build(recipe.network, len(probe.competition.classes), pretrained=False)
    # ty: ignore[no-matching-overload] torch's overloads leave memory_format out
    network.to(machine.torch_device(), memory_format=torch.channels_last)
    step = TrainingStep(
        network,
        recipe,
        classes=len(probe.competition.classes),
        steps=1000,
        seed=0,
        fused=machine.dtype != "float16",
    )
    taken = _median(_steps(step, recipe, batch, clock))
    predicted = _median(_predictions(step, shown, clock)).wall / recipe.batch
    wall = taken.wall + examples.wall
    if machine.workers:  # examples are made beside the step
        wall = max(taken.wall, examples.wall / machine.workers)
    return StepCost(wall, taken.cpu + examples.cpu, predicted, letterbox, clock.peak_memory())


class _Moment(NamedTuple):
    """Seconds of the wall and of the processor, all threads; from anywhere."""

    wall: float
    cpu: float

    def __sub__(self, before: "_Moment") -> "_Moment":
        return _Moment(self.wall - before.wall, self.cpu - before.cpu)

    def times(self, factor: int) -> "_Moment":
        return _Moment(self.wall * factor, self.cpu * factor)


class _Clock:
    """Time and memory of a device, on which work goes on after its call has returned."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.cuda = machine, machine.kind == "cuda"
        if self.cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(machine.torch_device())

    def now(self) -> _Moment:
        if self.cuda:
            import torch

            torch.cuda.synchronize(self.machine.torch_device())
        return _Moment(time.perf_counter(), time.process_time())

    def peak_memory(self) -> int:
        if self.cuda:
            import torch

            return torch.cuda.max_memory_allocated(self.machine.torch_device())
        return _peak_memory_of_process()


def _peak_memory_of_process() -> int:
    """Bytes that this process has held at most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _letterboxed(recipe: Recipe, probe: Probe, folder: Path) -> LetterboxedImages:
    return letterboxed_images(
        probe.rows,
        probe.competition.root,
        folder,
        form=(recipe.size, recipe.fit),
        pixels=probe.competition.data,
    )


def _training_set(recipe: Recipe, probe: Probe, images: LetterboxedImages) -> "TrainingSet":
    from competition.data.loader import Labelled, TrainingSet

    names = tuple(probe.rows["image"])
    labelled = Labelled(names, dict.fromkeys(names, images), probe.labels)
    permutation, turns = probe.competition.permutation, probe.competition.turns
    return TrainingSet(labelled, recipe, permutation=permutation, seed=0, turns=turns)


def _batch(dataset: "TrainingSet", size: int) -> dict[str, Any]:
    from torch.utils.data import default_collate

    from competition.data.loader import Draw

    draws = [Draw(place, place % len(dataset), None, place) for place in range(size)]
    return default_collate([dataset[draw] for draw in draws])


def _steps(step: Any, recipe: Recipe, batch: dict[str, Any], clock: _Clock) -> Iterator[_Moment]:
    """What steps take, without making the batch, which is the same in each."""
    from competition.training.weight_averaging import Average, ema_step

    machine = clock.machine
    optimizer, _ = step.optimizer(machine.kind)
    step.network.train()
    average = Average(step.network, ema_step(recipe.ema))
    for number in count():
        begun = clock.now()
        for index in range(recipe.accumulate):
            moved = {key: value.to(machine.torch_device()) for key, value in batch.items()}
            with machine.autocast():
                loss = step.loss(moved, step=number, index=index)
            loss.backward()
        step.clip()
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        yield clock.now() - begun


def _predictions(step: Any, shown: np.ndarray, clock: _Clock) -> Iterator[_Moment]:
    """What predicting the images uint8 or uint16 (B, h, w, C) takes, one view."""
    import torch

    from competition.data.loader import channels_first

    machine, network = clock.machine, step.network.eval()
    images = torch.stack([channels_first(pixels) for pixels in shown])
    while True:
        begun = clock.now()
        with torch.inference_mode(), machine.autocast():
            network(network.normalised(images.to(machine.torch_device()))).logits.float().cpu()
        yield clock.now() - begun


def _median(taken: Iterator[_Moment]) -> _Moment:
    """Of several after the warm-up, each of wall and processor for itself: what else the machine does
    makes some of a run's steps slower too.
    """
    found: list[_Moment] = []
    begun = time.perf_counter()
    for one in islice(taken, WARM_UP, None):
        found.append(one)
        if len(found) == MOST or (
            len(found) >= FEWEST and time.perf_counter() - begun > MOST_SECONDS
        ):
            break
    return _Moment(*(statistics.median(values) for values in zip(*found, strict=True)))
