"""The mask benchmark: runs every item on three mask sets and writes the report."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks import growth, items, report
from benchmarks.fields import MaskSet, bones, noise, teeth
from benchmarks.measure import Measured, measured, read_seconds
from benchmarks.submission import submitted


@dataclass(frozen=True)
class Line:
    """An item's figures on one mask set; floor: seconds to read its input once, None if not dense."""

    item: str
    masks: str
    ours: Measured
    usual: Measured
    others: dict[str, Measured]
    floor: float | None
    target: float | None
    asked_of: dict[str, float]

    @property
    def ratio(self) -> float:
        return self.usual.seconds / self.ours.seconds


def run(*, only: str | None, repeats: int) -> None:
    """Measure, print each line as it comes, and write the report unless `only` is given."""
    torch.set_num_threads(1)
    lines = []
    for masks in (bones(), teeth(), noise()):
        for item in items_of(masks):
            if only is None or only in item.name:
                lines.append(_line(item, masks.name, repeats))
                print(_summary(lines[-1]), flush=True)
    if only is None:
        submissions = [submitted(kind, 1_000_000) for kind in ("image", "object")]
        report.write(lines, growth.curves(3), submissions, repeats)


def items_of(masks: MaskSet) -> Iterator[items.Item]:
    yield from items.text_items(masks)
    if masks.name != "noise":
        yield items.label_map_item(masks)
    yield from items.logit_items(masks)
    yield items.exclusive_item(masks)
    if torch.cuda.is_available():
        yield items.device_item(masks)
    if masks.name != "noise":
        yield items.vote_item(masks)
        yield items.target_item(masks)


def _line(item: items.Item, masks: str, repeats: int) -> Line:
    if not item.agree(item.ours(), item.usual()):
        raise SystemExit(f"{item.name} on {masks}: ours and the usual way differ")
    for call in item.others.values():
        call()
    return Line(
        item.name,
        masks,
        measured(item.ours, repeats),
        measured(item.usual, repeats),
        {name: measured(call, repeats) for name, call in item.others.items()},
        None if item.reads is None else read_seconds(item.reads, repeats),
        item.target if masks == "bones" else (1.0 if masks == "noise" else None),
        item.asked_of if masks == "bones" else {},
    )


def _summary(line: Line) -> str:
    others = ", ".join(
        f"{name} {found.seconds / line.ours.seconds:.0f}x" for name, found in line.others.items()
    )
    return (
        f"{line.masks:6} {line.item:36} {line.ours.seconds * 1e3:9.2f} ms"
        f" {line.usual.seconds * 1e3:9.1f} ms {line.ratio:7.1f}x"
        f" {line.ours.megabytes:6.1f} / {line.usual.megabytes:.0f} MB  {others}"
    )
