"""Lists of classes in a download: names in order, names of values, names of colours."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from competition.errors import InputFault
from competition.new.survey import Table

_LISTS = ("classes", "class_names", "classnames", "labels", "label_names", "obj", "categories")
_BACKGROUND = {"background", "_background_", "bg", "__background__"}
_VOID = {"void", "ignore", "ignored", "unlabelled", "unlabeled", "dontcare", "don't care"}
_SMALL = 2**20


@dataclass(frozen=True)
class ClassNames:
    """What a file says of classes: names by their order, by value, by colour "#rrggbb"."""

    source: str
    ordered: tuple[str, ...] = ()
    by_value: Mapping[int, str] = field(default_factory=dict)
    by_colour: Mapping[str, str] = field(default_factory=dict)


def lists_of_classes(root: Path, files: Iterable[str], tables: Iterable[Table]) -> list[ClassNames]:
    """All lists of classes among these files, those nearest to the root first."""
    found = [_of_table(table) for table in tables]
    for path in sorted(files, key=lambda one: (one.count("/"), one)):
        name = PurePosixPath(path)
        if (root / path).stat().st_size > _SMALL:
            continue
        if name.suffix == ".txt" and name.stem.lower() in (*_LISTS, "labelmap"):
            found.append(_of_lines(root / path, path))
        if name.suffix in (".yaml", ".yml"):
            found.append(_of_yaml(root / path, path))
        if name.suffix == ".json" and name.stem.lower() in (*_LISTS, "dataset", "class_map"):
            found.append(_of_json(root / path, path))
    return [one for one in found if one is not None]


def files_an_image(root: Path, files: Iterable[str]) -> int:
    """How many channels, a file each, nnU-Net's dataset.json says that an image has; 1 without one."""
    for path in files:
        if PurePosixPath(path).name == "dataset.json" and (root / path).stat().st_size <= _SMALL:
            try:
                content = json.loads((root / path).read_text(encoding="utf-8-sig"))
            except (OSError, ValueError):
                continue  # no list of channels
            told = content if isinstance(content, dict) else {}
            channels = told.get("channel_names", told.get("modality"))
            if isinstance(channels, dict) and channels:
                return len(channels)
    return 1


def is_background(name: str) -> bool:
    return name.strip().lower() in _BACKGROUND


def is_void(name: str) -> bool:
    """Whether a name says that such pixels do not count."""
    return name.strip().lower() in _VOID


def _of_lines(path: Path, source: str) -> ClassNames | None:
    """Names a line each, or CVAT's `name:r,g,b::`, or a number before each name."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None  # no list of names; the layout does not depend on it
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    coloured = [re.fullmatch(r"([^:]+):(\d+),\s*(\d+),\s*(\d+):.*", line) for line in lines]
    if lines and all(coloured):
        groups = [match.groups() for match in coloured if match]
        return ClassNames(source, by_colour={_hex(*rgb): name for name, *rgb in groups})
    numbered = [re.fullmatch(r"(\d+)\s*[:,;\t ]\s*(.+)", line) for line in lines]
    if lines and all(numbered):
        pairs = [match.groups() for match in numbered if match]
        return ClassNames(source, by_value={int(value): name for value, name in pairs})
    return ClassNames(source, ordered=tuple(lines)) if lines else None


def _of_yaml(path: Path, source: str) -> ClassNames | None:
    """The `names` of YOLO's data.yaml: a list in brackets, a line each, or numbered lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    inside = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if inside:
        return ClassNames(source, tuple(part.strip(" '\"\n") for part in inside[1].split(",")))
    block = re.search(r"^names:\s*\n((?:\s*(?:-|\d+:)\s*.+\n?)+)", text, re.MULTILINE)
    lines = block[1].splitlines() if block else []
    names = [re.sub(r"^\s*(-|\d+:)\s*", "", line).strip(" '\"") for line in lines if line.strip()]
    return ClassNames(source, tuple(names)) if names else None


def _of_json(path: Path, source: str) -> ClassNames | None:
    """A list of names, or a table of names and values, also below `labels` (nnU-Net)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None
    if isinstance(content, dict):
        content = content.get("labels", content)
    if isinstance(content, dict):
        regions = [name for name, value in content.items() if _are_values(value)]
        if regions:
            raise InputFault(
                f"{source} says that {regions[0]!r} is several values, {content[regions[0]]}: regions "
                "that overlap are not read; write masks of one value a class, or name the values' "
                "classes by --set classes=…"
            )
    if isinstance(content, list) and content and all(isinstance(one, str) for one in content):
        return ClassNames(source, ordered=tuple(content))
    return _of_pairs(source, content) if isinstance(content, dict) else None


def _are_values(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(type(one) is int for one in value)


def _of_pairs(source: str, pairs: Mapping[str, Any]) -> ClassNames | None:
    if pairs and all(key.isdigit() and isinstance(name, str) for key, name in pairs.items()):
        return ClassNames(source, by_value={int(key): name for key, name in pairs.items()})
    if pairs and all(type(value) is int for value in pairs.values()):
        return ClassNames(source, by_value={value: name for name, value in pairs.items()})
    return None


def _of_table(table: Table) -> ClassNames | None:
    """A csv with a column of names, and columns r, g, b, or one of values."""
    columns = {name.strip().lower(): values for name, values in table.columns.items()}
    names = next(
        (columns[c] for c in ("name", "class", "label", "class_name") if c in columns), None
    )
    if names is None or len(set(names)) != len(names):
        return None
    for rgb in (("r", "g", "b"), ("red", "green", "blue")):
        if all(channel in columns and _numbers(columns[channel]) for channel in rgb):
            rows = zip(names, *(columns[channel] for channel in rgb), strict=True)
            return ClassNames(table.path, by_colour={_hex(*c): name.strip() for name, *c in rows})
    for value in ("id", "value", "index", "class_id", "pixel_value", "label_id"):
        if value in columns and columns[value] is not names and _numbers(columns[value]):
            pairs = zip(columns[value], names, strict=True)
            return ClassNames(table.path, by_value={int(v): name.strip() for v, name in pairs})
    return None


def _numbers(values: Iterable[str]) -> bool:
    return all(value.strip().isdigit() for value in values)


def _hex(red: str, green: str, blue: str) -> str:
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"
