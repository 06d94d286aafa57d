"""A preset and a download → a commented competition file, proven to read the data."""

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import tomlkit
from tomlkit.items import Array

from competition.data.catalog import image_paths
from competition.data.images import image_size, safe_path
from competition.doctor import Report, prove
from competition.errors import InputFault, listed, nearest
from competition.new import detect
from competition.new.detect import Changes
from competition.spec import parse_competition
from competition.workspace import write_text

PRESETS = Path(__file__).parents[1] / "presets"


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
    made = _made_sample(text, root)
    try:
        found = _found(tomllib.loads(text), root, name)
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
    """The TOML text with values replaced, comments kept; None removes a key.

    >>> print(filled("a = 1  # why\\n[t]\\nb = 2\\n", {"a": 5, "t.c": "x", "t.b": None}), end="")
    a = 5  # why
    [t]
    c = "x"
    """
    document = tomlkit.parse(text)
    for key, value in changes.items():
        *tables, name = key.split(".")
        table: Any = document
        for one in tables:
            if not (isinstance(table, Mapping) and isinstance(table.get(one), Mapping)):
                raise InputFault(
                    f"no table [{'.'.join(tables)}] in the preset, for the change {key!r}"
                )
            table = table[one]
        if value is not None:
            table[name] = _item(value)
        elif name in table:
            del table[name]
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    """A value as TOML, a long list over several lines."""
    if isinstance(value, list | tuple):
        array = tomlkit.item(list(value))
        long = isinstance(array, Array) and len(array.as_string()) > 80
        return array.multiline(True) if long else array
    return tomlkit.item(value)


def _preset_text(preset: str) -> str:
    path = PRESETS / f"{preset}.toml"
    if preset not in preset_names():
        known = nearest(preset, preset_names(), all_by="`python -m competition new --help`")
        raise InputFault(f"no preset {preset!r}; {known}")
    return path.read_text(encoding="utf-8")


def _found(table: dict[str, Any], root: Path, name: str) -> Changes:
    """What the download says otherwise than the preset."""
    match table["labels"]["kind"]:
        case "masks":
            found = _found_in_folders(root)
        case "rle":
            found = _found_beside_csv(table, root, name)
        case _:
            found = {}
    found |= _found_images({**table["data"], **_below("data", found)}, root)
    found |= _found_sample(table, root, found)
    if found.get("labels.values") == "index":
        pattern = found["labels.files"].replace("{stem}", "*")
        found |= detect.first_value(root, pattern, found["classes"])
    pairs = detect.mirrored_pairs(found.get("classes", table["classes"]))
    return found | ({"horizontal_flip": pairs} if pairs else {})


def _found_images(data: dict[str, Any], root: Path) -> Changes:
    """Endings, a stratum where sizes differ, no folder as group where all share one."""
    train = detect.image_endings(root, data["train_images"])
    paths = image_paths(root, train)
    found: Changes = {
        "data.train_images": train,
        "data.test_images": detect.image_endings(root, data["test_images"]),
    }
    if len({image_size(root / path) for path in paths}) > 1:
        found["data.stratum"] = "size"
    if data.get("group") == "folder" and len({PurePosixPath(path).parent for path in paths}) < 2:
        found["data.group"] = "image"
    return found


def _found_sample(table: dict[str, Any], root: Path, found: Changes) -> Changes:
    """The sample's name, its columns, how it names images, and the classes in its order."""
    form = {**table["submission"], **_below("submission", found)}
    sample = detect.sample_file(root, form["sample"])
    columns = {key: form.get(key) for key in ("image", "label", "rle")}
    changes = {"submission.sample": sample}
    changes |= detect.csv_columns(root / sample, "submission", columns)
    label = changes.get("submission.label", form.get("label"))
    ids = detect.first_ids(root, sample, changes.get("submission.image", form["image"]))
    way = detect.identity(ids, image_paths(root, found["data.test_images"]))
    if way is not None:
        changes["data.image_id"] = way
    classes = detect.class_names(root, root / sample, label)
    return changes | ({"classes": classes} if classes else {})


def _found_beside_csv(table: dict[str, Any], root: Path, name: str) -> Changes:
    """One class, named as the competition; mask images beside the csv if there are any."""
    labels = table["labels"]
    columns = {key: labels.get(key) for key in ("image", "label", "rle")}
    changes = detect.csv_columns(safe_path(root, labels["file"]), "labels", columns)
    masks = detect.image_folder(root, "masks")
    pattern = masks and masks.replace("*", "{stem}")
    return {**changes, "classes": [name], "labels.masks": pattern}


def _found_in_folders(root: Path) -> Changes:
    """Where images, masks and test images lie, and how masks code classes."""
    wanted = ("train", "masks", "test")
    found = {part: detect.image_folder(root, part) for part in wanted}
    parts = {part: pattern for part, pattern in found.items() if pattern is not None}
    absent = [part for part in wanted if part not in parts]
    if absent:
        tried = ", ".join(detect.USUAL_FOLDERS[absent[0]])
        raise InputFault(f"{root} has no {absent[0]} images; looked into {tried}")
    changes: Changes = {
        "data.train_images": parts["train"],
        "data.test_images": parts["test"],
        "labels.files": parts["masks"].replace("*", "{stem}"),
        **detect.mask_values(root, parts["masks"]),
    }
    if len(changes.get("classes", ())) > 1:
        changes |= {"submission.rows": "image-class", "submission.label": "class"}
    return changes


def _made_sample(text: str, root: Path) -> Path | None:
    """A folder of images and masks has no organisers: its sample is made, empty masks throughout."""
    path = root / "sample_submission.csv"
    folders = tomllib.loads(text)["labels"]["kind"] == "masks"
    test = detect.image_folder(root, "test") if folders else None
    if test is None or list(root.glob("*sample*.csv")):
        return None
    images = [PurePosixPath(image).name for image in image_paths(root, test)]
    classes = _found_in_folders(root).get("classes", [""])
    classes = detect.class_names(root, path, None) or classes
    rows = ["image,rle"] + [f"{image}," for image in images]
    if len(classes) > 1:
        rows = ["image,class,rle"] + [f"{image},{name}," for image in images for name in classes]
    write_text(path, "\n".join(rows) + "\n")
    return path


def _proven(text: str, target: Path, preset: str) -> Report:
    """The report of reading the data by this text; its errors are an InputFault."""
    folder = target.resolve().parent
    competition = parse_competition(tomllib.loads(text), folder=folder, source=str(target))
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
            shown = "(none)" if value is None else tomlkit.item(value).as_string()
            lines.append(f"  {key} = {_shortened(shown)}")
    if found.get("labels.values") == "index" and "labels.first" not in found:
        lines.append(
            "value 0 of the masks is taken for background: if it is a class, name all of them in "
            "classes.txt of the data, the first one first, and begin again"
        )
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
