"""Which images belong together, as far as csv files, folders and names tell."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from competition.data.pages import stem_of
from competition.new.download import Survey
from competition.new.survey import Place, Table, ids_of, words
from competition.new.values import FoundValue, FoundValues, Source
from competition.spec import PathPart

_PERSON_WORDS = {
    *("patient", "person", "subject", "case", "study", "slide", "scene", "participant", "donor"),
    *("series", "specimen", "animal", "plot", "tile", "wsi", "video", "sequence", "group"),
}


_USUAL_FOLDS = 5


def groups_of(seen: Survey, source: Source, values: FoundValues) -> FoundValues:
    """What must stay on one side of a split: a column, the folder, or a part of the name."""
    images = source.images
    way = values["data.image_id"].value
    ids = ids_of(images, way if isinstance(way, str) else PathPart(**way))
    by_csv = _grouping_columns(seen, source, ids)
    if len(by_csv) == 1:
        table, column, own = by_csv[0]
        count = len(set(table.columns[own]))
        return {
            "data.group": FoundValue(
                {"file": table.path, "image": column, "value": own},
                "found",
                f"{count} values for {len(ids)} images",
                files=(table.path,),
            )
        }
    if by_csv:
        candidates = tuple(
            f'{{ file = "{t.path}", image = "{c}", value = "{o}" }}' for t, c, o in by_csv
        )
        first = by_csv[0]
        return {
            "data.group": FoundValue(
                {"file": first[0].path, "image": first[1], "value": first[2]},
                "asked",
                "which of these columns says which images are of one patient?",
                candidates,
                files=tuple(table.path for table, *_ in by_csv),
            )
        }
    folders = {PurePosixPath(path).parent for path in images.paths}
    if 1 + len(images.further) < len(folders) < len(images):
        why = f"{len(folders)} folders of images"
        if len(folders) < _USUAL_FOLDS:
            why = f"{why}: is each a patient or a site, or are they kinds of images (image)?"
            return {"data.group": FoundValue("folder", "asked", why, ("folder", "image"))}
        return {"data.group": FoundValue("folder", "found", why)}
    if "data.volume" in values:
        return {"data.group": FoundValue("volume", "found", "slices of one file stay together")}
    return {"data.group": _group_in_names(images)}


def _grouping_columns(
    seen: Survey, source: Source, ids: Mapping[str, str]
) -> list[tuple[Table, str, str]]:
    """(csv, column of images, column with fewer values) whose name says that it is a patient."""
    found = []
    for table in seen.tables:
        if table.is_sample:
            continue
        keyed = [
            column
            for column, values in table.columns.items()
            if len(ids.keys() & set(values)) * 2 > len(ids)
        ]
        for column in keyed[:1]:
            for own, values in table.columns.items():
                named = words(own) & _PERSON_WORDS and own not in (column, table.texts)
                if named and 1 < len(set(values)) < len(ids):
                    found.append((table, column, own))
    return found


def _group_in_names(images: Place) -> FoundValue:
    """Names such as case12_slice3 say that images belong together; others may, which is asked."""
    stems = list(map(stem_of, images.paths))
    firsts = [
        re.match(r"[A-Za-z]*[-_ ]?\d+(?=[-_ .A-Za-z])|[A-Za-z0-9]+(?=[-_ .])", s) for s in stems
    ]
    if not all(firsts):
        return FoundValue(
            "image", "found", "no csv, folder or name says that images belong together"
        )
    found = [match[0] for match in firsts if match]
    count = len(set(found))
    if not 5 <= count <= len(stems) // 2:
        return FoundValue(
            "image", "found", "no csv, folder or name says that images belong together"
        )
    shape = {re.sub(r"\d+", r"\\d+", re.sub(r"[A-Za-z]+\b", lambda m: m[0], one)) for one in found}
    pattern = shape.pop() if len(shape) == 1 else r"[A-Za-z0-9]+"
    part = {"pattern": f"(?<![^/]){pattern}(?=[^/]*$)"}
    example = min(found)
    why = f"{count} beginnings of names such as {example!r}, for {len(stems)} images"
    if words(example) & _PERSON_WORDS:
        return FoundValue(part, "found", why)
    written = "{ pattern = '" + part["pattern"] + "' }"
    return FoundValue(part, "asked", f"{why}: is each a patient?", (written, "image"))
