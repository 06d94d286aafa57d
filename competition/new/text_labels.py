"""Csv files of run-length texts in a download: whose rows they are, and what their columns say."""

from collections.abc import Collection, Sequence

from competition.data.csv_text import image_id
from competition.errors import InputFault
from competition.new.download import Survey
from competition.new.survey import WAYS, Place, Table, Way, ids_of, part_naming, words
from competition.new.values import FoundValue, FoundValues, Source


def text_sources(seen: Survey) -> list[Source]:
    """Csv files of run-length texts whose rows name images."""
    found = []
    for table in seen.tables:
        if table.texts is None or table.is_sample:
            continue
        naming = naming_of(table, seen.images)
        if naming is None:
            continue
        place, way, column, separator = naming
        values: FoundValues = {
            "labels.kind": FoundValue("rle", "found", f"{table.path} holds run-length texts"),
            "labels.file": FoundValue(table.path, "found", f"{len(table)} rows of {place.pattern}"),
            "labels.image": FoundValue(
                column, "found", f"its values name images by {way_named(way)}"
            ),
            "labels.rle": FoundValue(table.texts, "found", "pairs of numbers"),
        }
        said, label = seen.given.get("labels.label"), None
        if separator is None:
            samples = [one for one in seen.tables if one.is_sample]
            label = class_column(table, column, said, samples)
        if label is not None:
            values["labels.label"] = FoundValue(label, "found", few_values(table.columns[label]))
        keys = [column] if label is None else [column, label]
        rows = list(zip(*(table.columns[key] for key in keys), strict=True))
        repeated = len(rows) - len(set(rows))
        form = "image-class" if label is not None or separator is not None else "image"
        form, why = (
            ("object", f"{repeated} rows repeat their key")
            if repeated
            else (form, "each key has one row")
        )
        values["labels.rows"] = FoundValue(form, "found", why)
        ids = ids_of(place, way)
        named = {image_in(key, separator, ids) for key in table.columns[column]}
        empty = [text for text in table.columns[table.texts] if " " not in text.strip()]
        classes = len(set(table.columns[label])) if label else 1
        absent = len(ids) * classes - len({row for row in rows if row[0] in ids})
        if separator is not None or classes == 1:
            absent = len(ids.keys() - named)
        if absent and not empty:
            what = "images" if classes == 1 else "classes of images"
            why = f"{absent} {what} have no row, and no row is empty"
            values["labels.positives_only"] = FoundValue(True, "found", why)
            if _ends_early(ids, named):
                why = f"{why}; all of them come last: do they hold nothing (true), or is it cut (false)?"
                values["labels.positives_only"] = FoundValue(True, "asked", why, ("true", "false"))
        tokens = sorted({text.strip(" ") for text in empty})
        if len(tokens) == 1 and tokens != [""]:
            values["labels.empty"] = FoundValue(tokens[0], "found", f"in {len(empty)} rows")
        labelled = frozenset(ids[key] for key in named if key in ids)
        found.append(Source("rle", place, values, labelled, (table.path,), table, way))
    return found


def way_named(way: Way) -> str:
    """How images are named, in words."""
    return f"their {way}" if isinstance(way, str) else "a part of their path, all of them"


def _ends_early(ids: Collection[str], named: Collection[str]) -> bool:
    """Whether the images that have rows are the first of all: so does a csv end that was cut."""
    there = [image in named for image in sorted(ids)]
    return any(there) and not all(there) and all(there[: sum(there)])


def image_in(key: str, separator: str | None, ids: Collection[str]) -> str:
    """The image of a key that may hold its class too: of a.png_large_bowel, if a.png is an id."""
    end = len(key)
    while separator is not None and (end := key.rfind(separator, 0, end)) > 0:
        if key[:end] in ids:
            return key[:end]
    return key if separator is None else key.rpartition(separator)[0]


Naming = tuple[Place, Way, str, str | None]
"""Images, how they are named (see `WAYS`), by which column, and what stands behind the name."""


def naming_of(table: Table, images: Sequence[Place]) -> Naming | None:
    """How the rows of a csv name images of one place; None where most of them name none."""
    best: tuple[float, Naming] | None = None
    for column, values in table.columns.items():
        if column == table.texts:
            continue
        distinct = set(values)
        for separator in (None, "_", "-", ":", "|", "/"):
            for place in images:
                for way in WAYS:
                    ids = ids_of(place, way)
                    keys = {image_in(value, separator, ids) for value in distinct}
                    share = len(keys & ids.keys()) / max(1, len(keys))
                    if share > 0.5 and (best is None or share > best[0]):
                        best = share, (place, way, column, separator)
            if best is not None and best[1][2] == column:
                break
    return best[1] if best else _by_parts(table, images)


def _by_parts(table: Table, images: Sequence[Place]) -> Naming | None:
    """By a part of the path, where all values of a column are one."""
    for column, values in table.columns.items():
        distinct = dict.fromkeys(map(image_id, values))
        for place in images if column != table.texts and len(distinct) > 1 else ():
            part = part_naming(distinct, place)
            if part is not None:
                return place, part, column, None
    return None


def class_column(
    table: Table, image: str, said: str | None, samples: Sequence[Table] = ()
) -> str | None:
    """The column that, beside the image, says what a row is of; said: by --set.

    Where each image has one row, a column may as well say something of the image: it is the class if
    the organisers' sample has its values too, or, without a sample, if its name says so.
    """
    if said in table.columns:
        return said
    rest = [name for name in table.columns if name not in (image, table.texts)]
    named = [name for name in rest if words(name) & {"class", "label", "category", "organ", "type"}]
    if len(set(table.columns[image])) == len(table):
        surely = [name for name in rest if words(name) & {"class", "label", "category"}]
        known = [set(values) for one in samples for values in one.columns.values()]
        rest = [name for name in rest if set(table.columns[name]) in known] if samples else surely
        named = [name for name in named if name in rest]
    fewer = [
        name
        for name in named or rest
        if 1 < len(set(table.columns[name])) <= max(2, len(table) // 4)
        and not _goes_with(table.columns[image], table.columns[name])
    ]
    if len(fewer) > 1:
        raise InputFault(
            f"{table.path}: the columns {', '.join(map(repr, fewer))} may each be the class; say which "
            f"by --set labels.label={fewer[0]}"
        )
    return fewer[0] if fewer else None


def _goes_with(images: Sequence[str], values: Sequence[str]) -> bool:
    """Whether a column is a property of the image (its size, its patient), not of the row."""
    first = {}
    same = all(first.setdefault(i, v) == v for i, v in zip(images, values, strict=True))
    return same and len(first) < len(images)


def few_values(values: Sequence[str]) -> str:
    found = list(dict.fromkeys(values))
    shown = ", ".join(found[:4]) + (", …" if len(found) > 4 else "")
    return f"{len(found)} values: {shown}"
