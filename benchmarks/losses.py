"""What each loss term costs beside BCE: forward and backward at 2 × 29 × 512 × 512."""

import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import torch

from benchmarks.measure import seconds
from benchmarks.report import FOLDER
from competition.machine import processor_name
from competition.recipes import LossTerm
from competition.scoring.metrics import Metric
from competition.training.losses import Surroundings, build_loss

SHAPE = (2, 29, 512, 512)
LIMIT = 4.0
"""A term may cost so many times BCE."""

TERMS = {
    "bce": LossTerm(name="bce"),
    "focal": LossTerm(name="focal"),
    "focal, γ 1.5": LossTerm(name="focal", gamma=1.5),
    "dice": LossTerm(name="dice"),
    "dice, BCE where empty": LossTerm(name="dice", empty="bce"),
    "dice, exclusive": LossTerm(name="dice", exclusive=True),
    "jaccard": LossTerm(name="jaccard"),
    "tversky": LossTerm(name="tversky"),
    "focal-tversky": LossTerm(name="focal-tversky"),
    "cross-entropy": LossTerm(name="cross-entropy"),
    "boundary": LossTerm(name="boundary"),
    "metric (Dice)": LossTerm(name="metric"),
}


@dataclass(frozen=True)
class Line:
    """A term's median CPU seconds, and how many times those of BCE they are."""

    term: str
    seconds: float
    ratio: float


def run(*, repeats: int) -> None:
    """Measure every term in turn, print the table, and write docs/performance-losses.md."""
    torch.set_num_threads(1)
    lines = measured(SHAPE, repeats)
    text = table(lines)
    print(text)
    head = _HEAD.format(
        day=date.today(),
        machine=processor_name(),
        python=platform.python_version(),
        torch=torch.__version__,
        repeats=repeats,
        limit=LIMIT,
        shape=" × ".join(map(str, SHAPE)),
    )
    (FOLDER / "performance-losses.md").write_text(f"{head}\n{text}\n", encoding="utf-8")


def measured(shape: tuple[int, int, int, int], repeats: int) -> list[Line]:
    """The terms are measured in turns, so that what else the machine does falls on all alike."""
    calls = {name: step_of(term, shape) for name, term in TERMS.items()}
    rounds = [{name: seconds(call, 1)[0] for name, call in calls.items()} for _ in range(repeats)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in TERMS}
    return [Line(name, found, found / medians["bce"]) for name, found in medians.items()]


def step_of(term: LossTerm, shape: tuple[int, int, int, int]) -> Callable[[], None]:
    """Forward and backward of one term: random logits, disjoint bars as targets."""
    torch.manual_seed(0)
    logits = torch.randn(shape, requires_grad=True)
    targets = torch.zeros(shape, dtype=torch.uint8)
    for place in range(shape[1]):
        row = place * shape[2] // shape[1]
        targets[:, place, row : row + max(1, shape[2] // shape[1] // 2), shape[3] // 8 :] = 1
    distances = torch.randn(shape)
    loss = build_loss((term,), Surroundings(metric=Metric(name="dice", eps=1e-4), exclusive=True))

    def step() -> None:
        logits.grad = None
        loss(logits, targets, distances).backward()

    return step


def table(lines: list[Line]) -> str:
    rows = ["| term | ms | × BCE |", "|---|---|---|"]
    return "\n".join(
        [*rows, *(f"| {one.term} | {one.seconds * 1e3:.0f} | {one.ratio:.2f} |" for one in lines)]
    )


_HEAD = """# Performance of the losses

Written by `python -m benchmarks losses` on {day}: {machine}, Python {python}, torch {torch}; float32,
one thread, {shape}, forward and backward from uint8 targets, median of {repeats} of the CPU time of the
process, the terms in turns. A term may cost {limit:.0f} × BCE. The boundary term's distance maps are
prepared by the loader.
"""
