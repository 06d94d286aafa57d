"""Annotation files in a download: of which format they are, and whose."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from competition.new.label_files import beginning, part_of, pattern_of
from competition.new.survey import Place, ids_of, is_test, meets, parts_joined, places
from competition.new.values import FoundValue, FoundValues, Source

_LARGEST = 2**30
_LOOKED_AT = 60


def annotation_sources(
    root: Path, files: Sequence[str], images: Sequence[Place]
) -> Iterator[Source]:
    """Annotations of these images: files for all of them, and a file an image."""
    jointly = [path for path in files if path.lower().endswith((".json", ".xml"))]
    few = jointly if len(jointly) <= _LOOKED_AT else _not_named_after(jointly, images)
    of_all = [source for path in few for source in _of_all(root, path, images)]
    yield from (*_of_parts(of_all, files, images), *of_all)
    for ending in (".json", ".txt"):
        alike = places(files, (ending,))
        for place in (*parts_joined(alike), *alike):
            fits = [(pattern_of(place, one), one) for one in images]
            fitting = [(found, one) for found, one in fits if found is not None and len(place) > 1]
            if not fitting:
                continue
            best, owner = max(fitting, key=lambda pair: (len(pair[0].images), -len(pair[1])))
            kind = _kind_of_file(root / place.paths[0], ending)
            if kind is None or best.classes:
                continue
            values: FoundValues = {
                "labels.kind": FoundValue(kind, "found", f"{place.paths[0]} is such a file"),
                "labels.files": FoundValue(
                    best.pattern,
                    "found",
                    f"{len(place)} files for {len(best.images)} of {len(owner)} images",
                ),
                **part_of(best),
                **_named_in(root, place.paths, kind),
            }
            yield Source(kind, owner, values, best.images, place.paths)


def _of_parts(
    found: Sequence[Source], files: Sequence[str], images: Sequence[Place]
) -> Iterator[Source]:
    """Files of the training and the validation part together, by a glob that meets no other file.

    But one of test images, whose labels count for nothing.
    """
    of_test = {one.used[0] for one in found if is_test(one.images)}
    for place in images:
        members = [
            one for one in found if place.further and set(one.images.paths) < set(place.paths)
        ]
        paths = sorted(one.used[0] for one in members)
        kinds = {one.kind for one in members}
        if len(members) != len(place.further) + 1 or len(kinds) > 1:
            continue
        before = beginning(paths)
        behind = beginning([path[::-1] for path in paths])[::-1]
        pattern = f"{before}*{behind}"
        if [path for path in files if meets(pattern, path) and path not in of_test] != paths:
            continue
        classes = dict.fromkeys(c for one in members for c in one.values["classes"].value)
        values = members[0].values | {
            "labels.files": FoundValue(pattern, "found", f"{len(paths)} files, of all parts"),
            "classes": FoundValue(list(classes), "found", f"in {', '.join(paths)}"),
        }
        labelled = frozenset(path for one in members for path in one.labelled)
        yield Source(kinds.pop(), place, values, labelled, tuple(paths))


def _not_named_after(paths: Sequence[str], images: Sequence[Place]) -> list[str]:
    stems = {PurePosixPath(path).stem for place in images for path in place.paths}
    return [path for path in paths if PurePosixPath(path).stem not in stems][:_LOOKED_AT]


def _of_all(root: Path, path: str, images: Sequence[Place]) -> Iterator[Source]:
    """A file with the annotations of many images: COCO, Label Studio, CVAT."""
    found = _named_images(root / path)
    if found is None:
        return
    kind, names, classes = found
    keys = {PurePosixPath(name).name for name in names}
    counts = {place: len(keys & ids_of(place, "name").keys()) for place in images}
    place = max(counts, key=lambda one: counts[one], default=None)
    if place is None or counts[place] * 2 < len(keys):
        return
    ids = ids_of(place, "name")
    values: FoundValues = {
        "labels.kind": FoundValue(kind, "found", f"{path} is such a file"),
        "labels.files": FoundValue(path, "found", f"names {counts[place]} of {len(place)} images"),
    }
    if classes:
        values["classes"] = FoundValue(classes, "found", f"in {path}")
    labelled = frozenset(ids[name] for name in keys if name in ids)
    yield Source(kind, place, values, labelled, (path,))


def files_of_others(root: Path, files: Sequence[str]) -> Iterator[str]:
    """A line for each of a few files with annotations of many images: which images it names."""
    jointly = [path for path in files if path.lower().endswith((".json", ".xml"))]
    for path in jointly[:_LOOKED_AT]:
        found = _named_images(root / path)
        if found is not None and found[1]:
            yield f"{path}: {found[0]}, and names {len(found[1])} images such as {found[1][0]!r}"


def _named_images(path: Path) -> tuple[str, list[str], list[str]] | None:
    """(kind, images, classes) of a file; None where it is none of these."""
    if path.stat().st_size > _LARGEST:
        return None
    if path.suffix.lower() == ".xml":
        return _of_cvat(path)
    content = _json(path)
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        names = [
            str(one.get("file_name", "")) for one in content["images"] if isinstance(one, dict)
        ]
        used = {one.get("category_id") for one in content["annotations"] if isinstance(one, dict)}
        rows = [one for one in content["categories"] if isinstance(one, dict)]
        ordered = sorted(rows, key=lambda one: one.get("id", 0))
        return "coco", names, [str(one.get("name")) for one in ordered if one.get("id") in used]
    tasks = content if isinstance(content, list) else []
    if not tasks or not all(
        isinstance(one, dict) and {"annotations", "data"} <= one.keys() for one in tasks
    ):
        return None
    names = [_label_studio_image(one) for one in tasks]
    return "label-studio", names, sorted(_label_studio_classes(tasks))


def _of_cvat(path: Path) -> tuple[str, list[str], list[str]] | None:
    try:
        tree = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return None
    names = [image.get("name", "") for image in tree.iter("image")]
    if tree.tag != "annotations" or not names:
        return None
    shapes = [one for image in tree.iter("image") for one in image]
    labels = dict.fromkeys(label for one in shapes if (label := one.get("label")))
    return "cvat", names, list(labels)


def _label_studio_image(task: dict[str, Any]) -> str:
    values = [value for value in task.get("data", {}).values() if isinstance(value, str)]
    return PurePosixPath(values[0]).name if values else ""


def _label_studio_classes(tasks: list[Any]) -> set[str]:
    found = set()
    for task in tasks:
        for annotation in task.get("annotations", []):
            for result in annotation.get("result", []):
                value = result.get("value", {})
                found |= {*value.get("polygonlabels", []), *value.get("brushlabels", [])}
    return found


def _kind_of_file(path: Path, ending: str) -> str | None:
    """The format of a file for one image."""
    if ending == ".txt":
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        numbers = [re.fullmatch(r"\d+( [\d.eE+-]+){5,}", line.strip()) for line in lines if line]
        return "yolo" if numbers and all(numbers) else None
    content = _json(path)
    if not isinstance(content, dict):
        return None
    if "shapes" in content:
        return "labelme"
    if {"objects", "size"} <= content.keys():
        return "supervisely"
    listed = content.get("annotations")
    points = isinstance(listed, list) and all(
        "points" in one for one in listed if isinstance(one, dict)
    )
    return "polygons" if points else None


def _named_in(root: Path, paths: Sequence[str], kind: str) -> FoundValues:
    """Classes that files of one image each name, the most frequent first."""
    table = {"labelme": ("shapes", "label"), "polygons": ("annotations", "label")}
    table |= {"supervisely": ("objects", "classTitle")}
    if kind == "yolo":
        return _numbered_in(root, paths)
    if kind not in table:
        return {}
    listed, key = table[kind]
    counts: Counter[str] = Counter()
    for path in paths:
        content = _json(root / path)
        rows = content.get(listed, []) if isinstance(content, dict) else []
        counts.update({str(row.get(key)) for row in rows if isinstance(row, dict)})
    if not counts:
        return {}
    named = sorted(counts, key=lambda name: (-counts[name], name))
    return {
        "classes": FoundValue(
            named, "found", f"named in {len(paths)} files; the most frequent first"
        )
    }


def _numbered_in(root: Path, paths: Sequence[str]) -> FoundValues:
    """Classes that YOLO's files number from 0."""
    lines = [
        line for path in paths for line in (root / path).read_text(encoding="utf-8").splitlines()
    ]
    highest = max((int(line.split()[0]) for line in lines if line.strip()), default=0)
    names = [f"class-{k}" for k in range(highest + 1)]
    return {"classes": FoundValue(names, "chosen", f"numbers 0 to {highest}; no list names them")}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None  # the file is no annotation, or its reader will say what is wrong with it
