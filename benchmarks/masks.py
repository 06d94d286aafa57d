"""The mask benchmark: runs every item on three mask sets and writes the report."""

from collections.abc import Iterator

import torch

from benchmarks import growth, items, report
from benchmarks.fields import MaskSet, bones, noise, teeth
from benchmarks.lines import Line
from benchmarks.measure import measured, read_seconds
from benchmarks.record import Record
from benchmarks.submission import submitted

SETS = (bones, teeth, noise)
ROWS = 1_000_000


def run(*, only: str | None, repeats: int) -> None:
    """Measure, print each line as it comes, and write the report of all that is kept.

    only: part of "SET: ITEM", of "growth: WHAT" or of "submission: ROWS"; the rest stays as kept.
    """
    torch.set_num_threads(1)
    record = Record() if only is None else Record.read()
    for make in SETS:
        for item in items_of(make()) if _wanted(only, f"{make.__name__}: ") else ():
            name = f"{make.__name__}: {item.name}"
            if only is None or only in name:
                record.lines[name] = _line(item, make.__name__, repeats)
                record.write()
                print(_summary(record.lines[name]), flush=True)
    if _wanted(only, "growth"):
        record.curves = growth.curves(3)
        record.write()
    for kind in ("image", "object"):
        if _wanted(only, f"submission: {kind}"):
            record.submissions[kind] = submitted(kind, ROWS)
            record.write()
            print(record.submissions[kind], flush=True)
    report.write(record)


def _wanted(only: str | None, name: str) -> bool:
    """Whether `only` may name something that begins like `name`."""
    if only is None or only in name:
        return True
    return (
        name.endswith(": ")
        and not only.startswith(("growth", "submission"))
        and (only.startswith(name) or ": " not in only)
    )


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
        repeats,
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
