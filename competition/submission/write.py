"""Runs → csv in the sample's columns, rows and order; read back and compared before it appears."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, Any

from competition.errors import InputFault, MachineFault, listed
from competition.masks import Objects, Runs, encode
from competition.masks.rle import decode_rows
from competition.scoring import objects_of
from competition.spec import Competition
from competition.submission.rows import Key, Layout, Table, describe, read_table
from competition.workspace import file_sha256, read_json, whole_file, write_json

Masks = Callable[[str], Runs | Objects]
"""From an image to its masks: Runs (K, H, W), or Objects where a row holds an object."""

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Summary:
    """What a submission holds. `empty`: rows without a pixel; sha256 of the file's bytes."""

    rows: int
    images: int
    empty: int
    sha256: str


@dataclass(frozen=True)
class _Written:
    """What was meant by one row: its key, its mask's size and digest."""

    key: Key
    size: tuple[int, int]
    digest: str
    is_empty: bool


def write_submission(
    competition: Competition, sample: Path, masks: Masks, target: Path, receipt: dict[str, Any]
) -> Summary:
    """Write `target` and its receipt; the same masks give the same bytes.

    masks is asked once for each image of the sample, in its order, and nothing but texts is kept.
    The file is read back, decoded and compared with the masks before it is renamed into place.
    The receipt is written last and an old one is removed first: a csv without a receipt that
    names its sha256 is not finished.
    """
    table = read_table(competition, sample)
    _refuse_repeated_keys(table, competition.submission.rows)
    with whole_file(target, "w+") as file:
        written = _write_rows(competition, table, masks, file)
        file.flush()
        _compare(competition, table.layout, file, written)
        receipt_path(target).unlink(missing_ok=True)
    summary = Summary(
        rows=len(written), images=len(table.images),
        empty=sum(row.is_empty for row in written), sha256=file_sha256(target),
    )
    write_json(receipt_path(target), {**receipt, **_facts(summary, target)})
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
    return receipt if receipt.get("sha256") == file_sha256(csv_path) else None


def _facts(summary: Summary, target: Path) -> dict[str, Any]:
    return {
        "file": target.name, "rows": summary.rows, "images": summary.images,
        "empty": summary.empty, "sha256": summary.sha256,
    }


def _refuse_repeated_keys(table: Table, rows: str) -> None:
    if rows == "object":
        return
    counts = Counter(row.key for row in table.rows)
    faults = [
        f"{table.path}: {describe(key, table.layout.classes)} has {count} rows"
        for key, count in counts.items()
        if count > 1
    ]
    if faults:
        raise InputFault(listed(faults))


def _write_rows(
    competition: Competition, table: Table, masks: Masks, file: IO[str]
) -> list[_Written]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.layout.names)
    per_object = competition.submission.rows == "object"
    rows = _object_rows if per_object else _mask_rows
    written = []
    for fields, row in rows(competition, table, masks):
        writer.writerow(fields)
        written.append(row)
    return written


def _mask_rows(
    competition: Competition, table: Table, masks: Masks
) -> Iterator[tuple[list[str], _Written]]:
    """One row for each row of the sample; an image's texts are kept until its last row."""
    form = competition.submission.format
    left = Counter(row.key.image for row in table.rows)
    waiting: dict[str, list[tuple[str, _Written]]] = {}
    for row in table.rows:
        image = row.key.image
        if image not in waiting:
            runs = _checked_runs(competition, image, masks(image))
            meant = [_meant(Key(image, k), mask) for k, mask in enumerate(runs)]
            waiting[image] = list(zip(encode(runs, form), meant, strict=True))
        text, meant_row = waiting[image][row.key.label]
        yield table.layout.filled(row.fields, row.key, text), meant_row
        left[image] -= 1
        if not left[image]:
            del waiting[image]


def _object_rows(
    competition: Competition, table: Table, masks: Masks
) -> Iterator[tuple[list[str], _Written]]:
    """One row for each object; an image without objects keeps one row with the empty token."""
    form = competition.submission.format
    first_rows = {row.key.image: row for row in reversed(table.rows)}
    for image in table.images:
        fields, first_key = first_rows[image].fields, first_rows[image].key
        objects = _checked_objects(competition, image, masks(image))
        texts = encode(objects.runs, form)
        for text, kind, mask in zip(texts, objects.classes.tolist(), objects.runs, strict=True):
            key = Key(image, kind)
            yield table.layout.filled(fields, key, text), _meant(key, mask)
        if not len(objects):
            empty = Runs.empty(objects.runs.shape[1:])
            yield table.layout.filled(fields, first_key, form.empty), _meant(first_key, empty)


def _meant(key: Key, mask: Runs) -> _Written:
    return _Written(key, (mask.height, mask.width), mask.sha256(), len(mask) == 0)


def _checked_runs(competition: Competition, image: str, found: Runs | Objects) -> Runs:
    classes = len(competition.classes)
    runs = found.to_classes(classes) if isinstance(found, Objects) else found
    if len(runs.shape) != 3 or runs.classes != classes:
        raise InputFault(f"image {image!r}: masks of shape {runs.shape}; expected {classes} classes")
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
    competition: Competition, layout: Layout, file: IO[str], written: list[_Written]
) -> None:
    """MachineFault unless the rows read back decode to the masks that were meant."""
    file.seek(0)
    rows = csv.reader(file, strict=True)  # its limit on a field was raised to read the sample
    if tuple(next(rows, ())) != layout.names:
        raise MachineFault("the columns read back are not those written; nothing was changed")
    pairs = zip_longest(rows, written)
    while chunk := list(islice(pairs, _ROWS_AT_ONCE)):
        if any(fields is None or meant is None for fields, meant in chunk):
            raise MachineFault("another number of rows was read back; nothing was changed")
        _compare_rows(competition, layout, chunk)


def _compare_rows(
    competition: Competition, layout: Layout, chunk: list[tuple[list[str], _Written]]
) -> None:
    texts = [fields[layout.rle] for fields, _ in chunk]
    sizes = [meant.size for _, meant in chunk]
    decoded = decode_rows(texts, sizes, competition.submission.format)
    faults = [
        f"{describe(meant.key, layout.classes)}: read back another mask than was written"
        for (fields, meant), mask in zip(chunk, decoded, strict=True)
        if layout.key(fields) != meant.key or mask.sha256() != meant.digest
    ]
    if faults:
        raise MachineFault(listed(faults))
