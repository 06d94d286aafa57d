"""Seconds and memory of each decision on stores of 5 models × 32 classes at 512², the usual way beside.

Seconds on the clock, and of all processors. The usual way holds dense probabilities of every model,
decodes the blend and loops over thresholds and weights; it is timed on one image, and multiplied by
the images.
"""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from benchmarks.together import EVERY, HighestMemory
from benchmarks.tuned import CLASSES, DRAWN, GRID, MODELS, Repeated, drawn, opened
from competition.decoding.threshold_sweep import THRESHOLDS
from competition.evaluation.groups import Partition
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.scoring import Metric
from competition.tuning.cv_views import NestedPlans, OutOfFold, gather_views
from competition.tuning.mixture_search import PLAIN, Mixer, MixturePlan
from competition.tuning.pixel_samples import draw
from competition.tuning.step_selection import adopted_steps, select_steps
from competition.tuning.thresholds import ThresholdFits
from competition.tuning.weight_fit import MOST_PICKS

TARGET = Path(__file__).parent.parent / "docs" / "performance-tuning.md"

FOLDS = 5

Result = TypeVar("Result")

_WEIGHTS_TRIED = MOST_PICKS * MODELS
"""Mixtures that a forward selection scores."""


_HEAD = (
    f"Written by `python -m benchmarks tuning` on {{day}}: {MODELS} models × {{images}} images × "
    f"{CLASSES} classes at {GRID}², {FOLDS} folds. Seconds on the clock of a machine with {{cores}} "
    "cores, and seconds of all processors together; passes run in as many processes as there are "
    "cores, fits in one, all with the memory settings of the tasks. Asked for are the times of "
    "340 images. *Usual* is dense: the mean of probabilities decoded and compared at every "
    "threshold or weight, timed on one image and multiplied by the images (nothing is fitted out of "
    "fold there). Images are blobs with "
    f"borders that are wrong by smooth noise, drawn from seeds; {DRAWN} are drawn, and read from "
    "their stores under as many names as there are images.\n"
)


class Seconds(NamedTuple):
    """On the clock, and of all processors."""

    clock: float
    processors: float

    def plus(self, other: "Seconds") -> "Seconds":
        return Seconds(self.clock + other.clock, self.processors + other.processors)


@dataclass(frozen=True)
class Line:
    """time: ours; asked: at most, seconds; usual: seconds of the usual way, extrapolated; None: nobody
    does it, or nothing was asked for.
    """

    name: str
    time: Seconds
    asked: float | None
    usual: float | None


def run(images: int) -> None:
    """Measure and write docs/performance-tuning.md."""
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1) as apart:  # its memory is not counted below
            truths = apart.submit(drawn, Path(folder)).result()
        stores = opened(Path(folder))
        readers = {f"model-{m}": Repeated(store, images) for m, store in enumerate(stores)}
        truth = {
            name: truths[place % len(truths)]
            for place, name in enumerate(readers["model-0"].images)
        }
        with HighestMemory() as memory:
            before = memory.megabytes
            lines = _lines(readers, truth)
        text = _text(lines, images, (before, memory.megabytes))
    print(text)
    TARGET.write_text(text, encoding="utf-8")


def _lines(readers: Mapping[str, Repeated], truth: Mapping[str, Runs]) -> list[Line]:
    metric_sums = MetricSums(Metric(name="dice"))
    parts = np.arange(len(truth)) % FOLDS
    partition = Partition(np.arange(len(truth)).astype(str), parts, parts)
    sampling, samples = _timed(lambda: draw(readers, truth))
    mixer = Mixer(samples, parts, metric_sums)
    greedy, _ = _timed(lambda: _every_fit(mixer, MixturePlan(weights="greedy weights")))
    per_class, _ = _timed(lambda: _every_fit(mixer, MixturePlan(weights="weights per class")))
    head, _ = _timed(lambda: _every_fit(mixer, MixturePlan("1x1")))
    thresholds, _ = _timed(lambda: _thresholds(readers, truth, mixer, partition))
    dense = len(truth) * _usual_seconds(readers, truth, next(iter(truth)))
    tried = dense * _WEIGHTS_TRIED / len(THRESHOLDS)
    return [
        Line("thresholds: one pass, and rules of every pair of folds", thresholds, 30, dense),
        Line("pixels drawn in one pass, for weights and heads alike", sampling, None, None),
        Line(
            "weights, greedy and of each class, every pair of folds, with the drawing",
            sampling.plus(greedy).plus(per_class),
            60,
            tried,
        ),
        Line(
            "1×1 heads of all models, every pair of folds, with the drawing",
            sampling.plus(head),
            120,
            None,
        ),
    ]


def _timed(call: Callable[[], Result]) -> tuple[Seconds, Result]:
    start, before = time.perf_counter(), sum(os.times()[:4])
    result = call()
    return Seconds(time.perf_counter() - start, sum(os.times()[:4]) - before), result


def _every_fit(mixer: Mixer, plan: MixturePlan) -> None:
    """Each part held out, of all images and of those without each other part: J (J - 1) / 2 + J fits."""
    mixer.crossed(plan, frozenset())
    for part in range(FOLDS):
        mixer.crossed(plan, frozenset({part}))


def _thresholds(
    readers: Mapping[str, Repeated], truth: Mapping[str, Runs], mixer: Mixer, partition: Partition
) -> None:
    data = OutOfFold(readers, truth, mixer.metric_sums, exclusive=False)
    plans = NestedPlans(PLAIN, dict.fromkeys(range(FOLDS), PLAIN))
    swept = gather_views(data, mixer, plans).plain.sweep
    for chosen in (
        np.ones(len(partition.parts), bool),
        *(partition.parts != p for p in range(FOLDS)),
    ):
        own = partition.where(chosen)
        fits = ThresholdFits(swept.where(chosen), own.parts)
        fits.fitted(adopted_steps(select_steps(fits, own.groups)))


def _usual_seconds(readers: Mapping[str, Repeated], truth: Mapping[str, Runs], image: str) -> float:
    """Dense: the mean probability of one image, cut at every threshold and compared."""
    labels = torch.from_numpy(truth[image].to_dense())
    logits = [torch.from_numpy(reader.read(image).logits()) for reader in readers.values()]

    def once() -> None:
        total = sum((torch.sigmoid(one) for one in logits), start=torch.zeros(()))
        mean = total / len(logits)
        for threshold in THRESHOLDS:
            mask = mean > threshold
            common = (mask & labels).flatten(1).sum(1)
            2 * common / (mask.flatten(1).sum(1) + labels.flatten(1).sum(1))

    once()
    return _timed(once)[0].clock


def _text(lines: list[Line], images: int, memory: tuple[float, float]) -> str:
    rows = [
        "# Performance of tuning\n",
        _HEAD.format(day=date.today(), images=images, cores=os.cpu_count()),
        "| what | seconds | of all processors | asked for | usual, extrapolated | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        asked = "" if line.asked is None else f"< {line.asked:.0f}"
        usual = "" if line.usual is None else f"{line.usual:,.0f}"
        ratio = "" if line.usual is None else f"**{line.usual / line.time.clock:.3g}**"
        rows.append(
            f"| {line.name} | {line.time.clock:.1f} | {line.time.processors:.1f} | {asked} | {usual} "
            f"| {ratio} |"
        )
    rows.append(
        f"\nMemory at most {memory[1]:,.0f} MB (asked for: under 2,000), of all processes together, "
        f"looked at every {EVERY:.0f} s; {memory[0]:,.0f} MB of it were held before anything was "
        "read, by libraries and labels.\n"
    )
    return "\n".join(rows)
