"""A preset and a download → a commented competition file, proven to read the data."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from competition import spec
from competition.data import layout
from competition.data.catalog import image_paths
from competition.data.images import image_size, safe_path
from competition.data.layout import Changes
from competition.doctor import Report, prove
from competition.errors import InputFault, listed, nearest
from competition.workspace import write_text

PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def new_competition(
    preset: str, data: Path, target: Path, name: str, *, changes: Mapping[str, Any] | None = None
) -> str:
    """Write the competition file `target` for the download `data`; returns what was found, as text.

    The preset's values are adjusted to what lies in `data` (endings, columns, classes, …), then
    `changes` are laid over them: dotted keys and values, such as {"metric.name": "dice"}. Nothing
    is written where images, labels and sample do not fit together, or `target` exists: InputFault.
    """
    if target.exists():
        raise InputFault(f"{target} exists; delete it first, or write to another place")
    root = data.resolve()
    if not root.is_dir():
        raise InputFault(f"the data folder {str(data)!r} does not exist")
    text = _preset_text(preset)
    made = _made_sample(preset, root)
    try:
        found = _found(preset, tomllib.loads(text), root, name)
        found |= {"name": name, "data.root": _root_value(root, target), **(changes or {})}
        text = filled(text, found)
        report = _proven(text, target, preset)
        write_text(target, text)
    except BaseException:
        if made:
            made.unlink()
        raise
    return _summary(target, preset, found, report, made)


def filled(text: str, changes: Mapping[str, Any]) -> str:
    """The TOML text with values replaced, comments kept; a key that is new ends its table.

    >>> print(filled("a = 1  # why\\n[t]\\nb = 2\\n", {"a": 5, "t.c": "x", "t.b": None}))
    a = 5  # why
    [t]
    c = "x"
    """
    lines = text.splitlines()
    for key, value in changes.items():
        table, _, name = key.rpartition(".")
        begin, end = _table_span(lines, table)
        at = next(
            (i for i in range(begin, end) if re.match(rf"{re.escape(name)}\s*=", lines[i])), None
        )
        if at is None and value is not None:
            lines.insert(_last_filled(lines, begin, end), f"{name} = {_toml(value)}")
        elif at is not None and value is None:
            del lines[at]
        elif at is not None:
            comment = re.search(r"\s+# .*$", lines[at])
            lines[at] = f"{name} = {_toml(value)}{comment[0] if comment else ''}"
    return "\n".join(lines) + "\n"


def _preset_text(preset: str) -> str:
    path = PRESETS / f"{preset}.toml"
    if preset not in preset_names():
        known = nearest(preset, preset_names(), all_by="`python -m competition new --help`")
        raise InputFault(f"no preset {preset!r}; {known}")
    return path.read_text(encoding="utf-8")


def _found(preset: str, table: dict[str, Any], root: Path, name: str) -> Changes:
    """What the download says otherwise than the preset."""
    match preset:
        case "folders":
            found = _found_in_folders(root)
        case "salt":
            found = _found_beside_csv(table, root, name)
        case _:
            found = {}
    found |= _found_images({**table["data"], **_below("data", found)}, root)
    found |= _found_sample(table, root, found)
    pairs = layout.mirrored_pairs(found.get("classes", table["classes"]))
    return found | ({"horizontal_flip": pairs} if pairs else {})


def _found_images(data: dict[str, Any], root: Path) -> Changes:
    """Endings, a stratum where sizes differ, no folder as group where all share one."""
    train = layout.image_endings(root, data["train_images"])
    paths = image_paths(root, train)
    found: Changes = {
        "data.train_images": train,
        "data.test_images": layout.image_endings(root, data["test_images"]),
    }
    if len({image_size(root / path) for path in paths}) > 1:
        found["data.stratum"] = "size"
    if data["group"] == "folder" and len({PurePosixPath(path).parent for path in paths}) < 2:
        found["data.group"] = "image"
    return found


def _found_sample(table: dict[str, Any], root: Path, found: Changes) -> Changes:
    """The sample's name, its columns, how it names images, and the classes in its order."""
    form = {**table["submission"], **_below("submission", found)}
    sample = layout.sample_file(root, form["sample"])
    columns = {key: form.get(key) for key in ("image", "label", "rle")}
    changes = {"submission.sample": sample}
    changes |= layout.csv_columns(root / sample, "submission", columns)
    label = changes.get("submission.label", form.get("label"))
    ids = layout.first_ids(root, sample, changes.get("submission.image", form["image"]))
    way = layout.identity(ids, image_paths(root, found["data.test_images"]))
    if way is not None:
        changes["data.image_id"] = way
    classes = layout.class_names(root, root / sample, label)
    return changes | ({"classes": classes} if classes else {})


def _found_beside_csv(table: dict[str, Any], root: Path, name: str) -> Changes:
    """One class, named as the competition; mask images beside the csv if there are any."""
    labels = table["labels"]
    columns = {key: labels.get(key) for key in ("image", "label", "rle")}
    changes = layout.csv_columns(safe_path(root, labels["file"]), "labels", columns)
    masks = layout.image_folder(root, "masks")
    pattern = masks and masks.replace("*", "{stem}")
    return {**changes, "classes": [name], "labels.masks": pattern}


def _found_in_folders(root: Path) -> Changes:
    """Where images, masks and test images lie, and how masks code classes."""
    wanted = ("train", "masks", "test")
    found = {part: layout.image_folder(root, part) for part in wanted}
    parts = {part: pattern for part, pattern in found.items() if pattern is not None}
    absent = [part for part in wanted if part not in parts]
    if absent:
        tried = ", ".join(layout.FOLDERS[absent[0]])
        raise InputFault(f"{root} has no {absent[0]} images; looked into {tried}")
    changes: Changes = {
        "data.train_images": parts["train"],
        "data.test_images": parts["test"],
        "labels.files": parts["masks"].replace("*", "{stem}"),
        **layout.mask_values(root, parts["masks"]),
    }
    if len(changes.get("classes", ())) > 1:
        changes |= {"submission.rows": "image-class", "submission.label": "class"}
    return changes


def _made_sample(preset: str, root: Path) -> Path | None:
    """A folder of images and masks has no organisers: its sample is made, empty masks throughout."""
    path = root / "sample_submission.csv"
    test = layout.image_folder(root, "test") if preset == "folders" else None
    if test is None or list(root.glob("*sample*.csv")):
        return None
    images = [PurePosixPath(image).name for image in image_paths(root, test)]
    classes = _found_in_folders(root).get("classes", [""])
    classes = layout.class_names(root, path, None) or classes
    rows = ["image,rle"] + [f"{image}," for image in images]
    if len(classes) > 1:
        rows = ["image,class,rle"] + [f"{image},{name}," for image in images for name in classes]
    write_text(path, "\n".join(rows) + "\n")
    return path


def _proven(text: str, target: Path, preset: str) -> Report:
    """The report of reading the data by this text; its errors are an InputFault."""
    folder = target.resolve().parent
    competition = spec.parse(tomllib.loads(text), folder=folder, source=str(target))
    report = prove(competition)
    if report.errors:
        raise InputFault(
            f"{listed(list(report.errors))}\nNothing was written. Where the layout is another one, "
            f"copy {PRESETS / preset}.toml to {target} and edit it"
        )
    return report


def _summary(target: Path, preset: str, found: Changes, report: Report, made: Path | None) -> str:
    """What was written, what differs from the preset, and what was read."""
    original = tomllib.loads(_preset_text(preset))
    lines = [f"wrote {target}, from the preset {preset!r} with"]
    for key, value in found.items():
        table, _, name = key.rpartition(".")
        before = (original.get(table, {}) if table else original).get(name)
        if value != before:
            shown = "(none)" if value is None else _one_line(value)
            lines.append(f"  {key} = {_shortened(shown)}")
    if made:
        lines.append(
            f"wrote {made}: every test image with an empty mask, since there was no sample"
        )
    return "\n".join([*lines, "", report.text()])


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]} … ({len(text)} characters)"


def _root_value(root: Path, target: Path) -> str:
    """Relative to the file where the data lies beside or below it, so that both can move."""
    folder = target.resolve().parent
    below = root.is_relative_to(folder)
    return (root.relative_to(folder) if below else root).as_posix()


def _below(table: str, changes: Changes) -> dict[str, Any]:
    """The changes of one table, by their plain key."""
    return {
        key.removeprefix(f"{table}."): value
        for key, value in changes.items()
        if key.startswith(f"{table}.")
    }


def _table_span(lines: list[str], table: str) -> tuple[int, int]:
    """Lines [begin, end) of a table; of the top, where it is ""."""
    heads = [i for i, line in enumerate(lines) if re.match(r"\[", line)]
    if not table:
        return 0, heads[0] if heads else len(lines)
    head = next((i for i in heads if lines[i].split("#")[0].strip() == f"[{table}]"), None)
    if head is None:
        raise InputFault(f"no table [{table}] in the preset; {table!r} of a change is unknown")
    return head + 1, next((i for i in heads if i > head), len(lines))


def _last_filled(lines: list[str], begin: int, end: int) -> int:
    """Where a new key goes: after the last line of the table that is neither blank nor comment."""
    filled_lines = [i for i in range(begin, end) if lines[i].strip() and lines[i][0] != "#"]
    return filled_lines[-1] + 1 if filled_lines else begin


def _toml(value: Any) -> str:
    """A value as TOML, a long list over several lines."""
    line = _one_line(value)
    return line if len(line) < 80 or not isinstance(value, list | tuple) else _wrapped(value)


def _one_line(value: Any) -> str:
    """A value as TOML on one line; its basic strings are JSON's."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(_one_line, value))}]"
    return repr(value)


def _wrapped(values: Sequence[Any]) -> str:
    """A list with its items on indented lines of up to 100 characters."""
    lines = [""]
    for item in map(_one_line, values):
        if len(lines[-1]) + len(item) > 94:
            lines.append("")
        lines[-1] += f" {item},"
    return "\n".join(["[", *(f"   {line}" for line in lines), "]"])
