"""Runs → csv in the sample's columns, rows and order; read back and compared before it appears."""

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from competition.errors import InputFault, MachineFault, listed
from competition.masks import Objects, Runs
from competition.masks.rle import decode_stacks, encode_classes
from competition.masks.runs import fingerprints
from competition.scoring import objects_of
from competition.spec import Competition
from competition.submission.rows import Key, KeyedTable, Layout, described, read_table
from competition.workspace import file_sha256, read_json, whole_file, write_json

AnsweredMasks = Callable[[str], Runs | Objects]
"""From an image to its masks: Runs (K, H, W), or Objects where a row holds an object."""

_ROWS_AT_ONCE = 4096
_RUNS_AT_ONCE = 1 << 18
"""Masks are encoded and compared so many together: a call for each of a million takes minutes."""


@dataclass(frozen=True)
class Summary:
    """What a submission holds. `empty`: rows without a pixel; sha256 of the file's bytes."""

    rows: int
    images: int
    empty: int
    sha256: str


class _Answer(NamedTuple):
    """The masks of one image: runs (n, H, W) and the class of each."""

    image: str
    runs: Runs
    labels: Sequence[int]


class _Row(NamedTuple):
    """One row to write, and what is meant by it: key, size and fingerprint of its mask."""

    fields: list[str]
    key: Key
    text: str
    size: tuple[int, int]
    mark: int


@dataclass(frozen=True, eq=False)
class _Block:
    """What was meant by some rows that follow each other; marks: fingerprints, uint64 (n,)."""

    keys: Sequence[Key]
    sizes: Sequence[tuple[int, int]]
    marks: np.ndarray
    empty: int


def write_submission(
    competition: Competition,
    sample: Path,
    masks: AnsweredMasks,
    target: Path,
    receipt: dict[str, Any],
) -> Summary:
    """Write `target` and its receipt; the same masks give the same bytes.

    masks is asked once for each image of the sample, in its order, and nothing but texts and
    fingerprints is kept. The file is read back, decoded and compared with the fingerprints of the
    masks before it is renamed into place.
    The receipt is written last and an old one is removed first: a csv without a receipt that
    names its sha256 is not finished.
    """
    table = read_table(competition, sample)
    _refuse_repeated_keys(table, competition.submission.rows)
    with whole_file(target, "w+") as file:
        blocks = _write_rows(competition, table, masks, file)
        file.flush()
        _compare(competition, table.layout, file, blocks)
        receipt_path(target).unlink(missing_ok=True)
    summary = Summary(
        rows=sum(len(block.keys) for block in blocks),
        images=len(table.images),
        empty=sum(block.empty for block in blocks),
        sha256=file_sha256(target),
    )
    write_json(receipt_path(target), {**receipt, "file": target.name, **asdict(summary)})
    return summary


def receipt_path(csv_path: Path) -> Path:
    return csv_path.with_suffix(".receipt.json")


def evidence_path(csv_path: Path) -> Path:
    """Where the out-of-fold sums by group of a submission lie; its receipt names their sha256."""
    return csv_path.parent / "evidence" / csv_path.name


def read_receipt(csv_path: Path) -> dict[str, Any] | None:
    """The receipt of a submission; None where it has none, or one of other bytes."""
    path = receipt_path(csv_path)
    if not path.exists() or not csv_path.exists():
        return None
    receipt = read_json(path)
    whole = isinstance(receipt, dict) and receipt.get("sha256") == file_sha256(csv_path)
    return receipt if whole else None


def _refuse_repeated_keys(table: KeyedTable, rows: str) -> None:
    if rows == "object":
        return
    counts = Counter(table.keys)
    faults = [
        f"{table.path}: {described(key, table.layout.classes)} has {count} rows"
        for key, count in counts.items()
        if count > 1
    ]
    if faults:
        raise InputFault(listed(faults))


def _write_rows(
    competition: Competition, table: KeyedTable, masks: AnsweredMasks, file: IO[str]
) -> list[_Block]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.layout.names)
    per_object = competition.submission.rows == "object"
    rows = (_object_rows if per_object else _mask_rows)(competition, table, masks)
    empty = competition.submission.format.empty
    blocks = []
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        filled, keys, texts, sizes, marks = zip(*chunk, strict=True)
        writer.writerows(filled)
        blocks.append(_Block(keys, sizes, np.array(marks, np.uint64), texts.count(empty)))
    return blocks


def _mask_rows(competition: Competition, table: KeyedTable, masks: AnsweredMasks) -> Iterator[_Row]:
    """One row for each row of the sample; an image's texts are kept until its last row."""
    labels = range(len(competition.classes))
    answers = (
        _Answer(image, _checked_runs(competition, image, masks(image)), labels)
        for image in table.images
    )
    encoded = _encoded(competition, answers)
    left = Counter(key.image for key in table.keys)
    waiting: dict[str, _Encoded] = {}
    for fields, key in zip(table.fields, table.keys, strict=True):
        image, label = key
        while image not in waiting:
            one = next(encoded)
            waiting[one.image] = one
        one = waiting[image]
        text = one.texts[label]
        yield _Row(table.layout.filled(fields, key, text), key, text, one.size, one.marks[label])
        left[image] -= 1
        if not left[image]:
            del waiting[image]


def _object_rows(
    competition: Competition, table: KeyedTable, masks: AnsweredMasks
) -> Iterator[_Row]:
    """One row for each object; an image without objects keeps one row with the empty token."""
    firsts = dict(
        zip((key.image for key in reversed(table.keys)), reversed(range(len(table))), strict=True)
    )
    answers = (
        _object_answer(competition, table.keys[firsts[image]], masks(image))
        for image in table.images
    )
    for image, texts, marks, size, labels in _encoded(competition, answers):
        fields = table.fields[firsts[image]]
        for text, mark, label in zip(texts, marks, labels, strict=True):
            key = Key(image, label)
            yield _Row(table.layout.filled(fields, key, text), key, text, size, mark)


def _object_answer(competition: Competition, first: Key, found: Runs | Objects) -> _Answer:
    objects = _checked_objects(competition, first.image, found)
    if len(objects):
        return _Answer(first.image, objects.runs, objects.classes.tolist())
    return _Answer(first.image, Runs.empty((1, *objects.runs.shape[1:])), [first.label])


class _Encoded(NamedTuple):
    """An answer as it goes into the file: its texts and the fingerprints of its masks."""

    image: str
    texts: list[str]
    marks: list[int]
    size: tuple[int, int]
    labels: Sequence[int]


def _encoded(competition: Competition, answers: Iterable[_Answer]) -> Iterator[_Encoded]:
    """Texts and fingerprints of answers in their order, many together where they are small."""
    group: list[_Answer] = []
    rows = runs = 0
    for answer in answers:
        group.append(answer)
        rows, runs = rows + answer.runs.classes, runs + len(answer.runs)
        if rows >= _ROWS_AT_ONCE or runs >= _RUNS_AT_ONCE:
            yield from _group_encoded(competition, group)
            group, rows, runs = [], 0, 0
    yield from _group_encoded(competition, group)


def _group_encoded(competition: Competition, group: Sequence[_Answer]) -> Iterator[_Encoded]:
    by_size: dict[tuple[int, int], list[_Answer]] = defaultdict(list)
    for answer in group:
        by_size[answer.runs.height, answer.runs.width].append(answer)
    found: dict[str, _Encoded] = {}
    for size, members in by_size.items():
        stack = Runs.stack([member.runs for member in members])
        texts = iter(encode_classes(stack, competition.submission.format))
        marks = iter(fingerprints(stack).tolist())
        for image, runs, labels in members:
            own = list(islice(texts, runs.classes)), list(islice(marks, runs.classes))
            found[image] = _Encoded(image, *own, size, labels)
    return (found[answer.image] for answer in group)


def _checked_runs(competition: Competition, image: str, found: Runs | Objects) -> Runs:
    classes = len(competition.classes)
    runs = found.to_classes(classes) if isinstance(found, Objects) else found
    if len(runs.shape) != 3 or runs.classes != classes:
        raise InputFault(
            f"image {image!r}: masks of shape {runs.shape}; expected {classes} classes"
        )
    _require_size(competition, image, runs)
    return runs


def _checked_objects(competition: Competition, image: str, found: Runs | Objects) -> Objects:
    if isinstance(found, Objects):
        _require_size(competition, image, found.runs)
        return found
    return objects_of(_checked_runs(competition, image, found), competition.objects)


def _require_size(competition: Competition, image: str, runs: Runs) -> None:
    asked = competition.submission.size
    if asked is not None and (runs.height, runs.width) != asked:
        raise InputFault(
            f"image {image!r}: masks of {runs.height} x {runs.width}; "
            f"the submission takes {asked[0]} x {asked[1]}"
        )


def _compare(
    competition: Competition, layout: Layout, file: IO[str], blocks: Sequence[_Block]
) -> None:
    """MachineFault unless the rows read back decode to the masks that were meant."""
    file.seek(0)
    rows = csv.reader(file, strict=True)  # its limit on a field was raised to read the sample
    if tuple(next(rows, ())) != layout.names:
        raise MachineFault("the columns read back are not those written; nothing was changed")
    for block in blocks:
        read = list(islice(rows, len(block.keys)))
        if len(read) != len(block.keys):
            raise MachineFault("another number of rows was read back; nothing was changed")
        try:
            _compare_rows(competition, layout, read, block)
        except InputFault as fault:  # a text or a class that nobody wrote
            raise MachineFault(f"read back another file than was written:\n{fault}") from fault
    if next(rows, None) is not None:
        raise MachineFault("another number of rows was read back; nothing was changed")


def _compare_rows(
    competition: Competition, layout: Layout, read: Sequence[Sequence[str]], block: _Block
) -> None:
    texts = [fields[layout.rle] for fields in read]
    form = competition.submission.format

    def name(row: int) -> str:
        return described(block.keys[row], layout.classes)

    marks = np.empty(len(read), np.uint64)
    for rows, stack in decode_stacks(texts, block.sizes, form, label=name):
        marks[rows] = fingerprints(stack)
    faults = [
        f"{name(row)}: read back another mask than was written"
        for row, (fields, differs) in enumerate(zip(read, marks != block.marks, strict=True))
        if differs or layout.key(fields) != block.keys[row]
    ]
    if faults:
        raise MachineFault(listed(faults))
