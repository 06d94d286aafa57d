"""A download, with a preset or without → a commented competition file, proven to read the data."""

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd
import tomlkit

from competition.data.catalog import image_paths
from competition.data.images import image_size, safe_path
from competition.data.labels import LabelCache
from competition.doctor import Proof, proof_of
from competition.errors import InputFault, listed, nearest
from competition.new import detect
from competition.new.detect import Changes
from competition.new.file_text import file_text, toml_item
from competition.new.layout import FoundLayout
from competition.new.search import Ask, found_layout
from competition.new.values import FoundValue
from competition.spec import Competition, parse_competition, settled
from competition.workspace import write_text

PRESETS = Path(__file__).parents[1] / "presets"


_SEARCHED = "folders"
"""The preset that says no more than that there are images and masks."""


class NewFile(NamedTuple):
    """What was found, as text, and the catalog and labels that the written file reads."""

    text: str
    catalog: pd.DataFrame
    labels: LabelCache


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def leave_open(key: str, value: FoundValue) -> None:
    """No one is there to be asked: questions become marked lines."""


def new_competition(
    preset: str | None,
    data: Path,
    target: Path,
    name: str,
    *,
    changes: Mapping[str, Any] | None = None,
    ask: Ask = leave_open,
) -> NewFile:
    """Write the competition file `target` for the download `data`.

    Without a preset the whole file is made of what lies there (`found_layout`), and what nothing tells
    is asked. A preset's values are adjusted to what lies in `data` (endings, columns, classes, …). In
    both, `changes` are laid over them: dotted keys and values, such as {"metric.name": "dice"}. Nothing
    is written where images, labels and sample do not fit together, or `target` exists: InputFault.
    """
    if target.exists():
        raise InputFault(f"{target} exists; delete it first, or write to another place")
    root = data.resolve()
    if not root.is_dir():
        raise InputFault(f"the data folder {str(data)!r} does not exist")
    changes = dict(changes or {})
    if preset is None:
        place = target.resolve().parent, _root_value(root, target)
        layout = found_layout(root, name, changes, place=place, ask=ask)
        text, said = file_text(layout.values), _findings(target, layout)
    else:
        layout = None
        text = _preset_text(preset)
        text = filled(text, changes)  # a key that is none, or a value, is refused before the search
        _parsed(text, target)
        found = _found(tomllib.loads(text), root, name)
        found |= {"name": name, "data.root": _root_value(root, target), **changes}
        text, said = filled(text, found), _summary(target, preset, found)
    proof = _proven(text, target, preset, layout)
    write_text(target, text)
    assert proof.catalog is not None and proof.labels is not None  # there are no errors
    return NewFile("\n".join([*said, "", proof.report.text()]), proof.catalog, proof.labels)


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
            table[name] = toml_item(value)
        elif name in table:
            del table[name]
    return tomlkit.dumps(document)


def _preset_text(preset: str) -> str:
    path = PRESETS / f"{preset}.toml"
    if preset not in preset_names():
        known = nearest(preset, preset_names(), all_by="`python -m competition new --help`")
        raise InputFault(f"no preset {preset!r}; {known}")
    return path.read_text(encoding="utf-8")


def _found(table: dict[str, Any], root: Path, name: str) -> Changes:
    """What the download says otherwise than the preset."""
    match table["labels"]["kind"]:
        case "masks" if table["name"] == _SEARCHED:
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
    given = data["train_images"]
    several = [
        detect.image_endings(root, one) for one in ([given] if isinstance(given, str) else given)
    ]
    train = several[0] if isinstance(given, str) else several
    paths = [path for pattern in several for path in image_paths(root, pattern)]
    found: Changes = {
        "data.train_images": train,
        "data.test_images": detect.image_endings(root, data["test_images"]),
    }
    if (
        data.get("stratum", "none") == "none"
        and len({image_size(root / path) for path in paths}) > 1
    ):
        found["data.stratum"] = "size"
    if data.get("group") == "folder" and len({PurePosixPath(path).parent for path in paths}) < 2:
        found["data.group"] = "image"
    return found


def _found_sample(table: dict[str, Any], root: Path, found: Changes) -> Changes:
    """The sample's name, its columns, how it names images, and the classes in its order."""
    form = {**table["submission"], **_below("submission", found)}
    if form["sample"] is None:
        return {}
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
    if table["classes"] != [table["name"]]:
        return changes
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
    if not list(root.glob("*sample*.csv")):  # there are no organisers
        named = detect.listed_classes(root)
        changes |= {"submission.sample": None} | ({"classes": named} if named else {})
    if len(changes.get("classes", ())) > 1:
        changes |= {"submission.rows": "image-class", "submission.label": "class"}
    return changes


def _parsed(text: str, target: Path) -> Competition:
    """The competition of a text; of questions the first candidates."""
    table, questions = settled(tomllib.loads(text), text, source=str(target))
    return parse_competition(
        table, folder=target.resolve().parent, source=str(target), questions=questions
    )


def _proven(text: str, target: Path, preset: str | None, layout: FoundLayout | None) -> Proof:
    """What reading the data by this text gives; errors are an InputFault."""
    read = () if layout is None else (layout.catalog, layout.labels)
    proof = proof_of(_parsed(text, target), *read)
    if proof.report.errors:
        other = (
            "say what differs by --set, or name the layout by --preset"
            if preset is None
            else f"where the layout is another one, leave --preset out: `new --data PATH` searches, or "
            f"copy {PRESETS / preset}.toml to {target} and edit it"
        )
        raise InputFault(f"{listed(list(proof.report.errors))}\nNothing was written; {other}")
    return proof


def _findings(target: Path, layout: FoundLayout) -> list[str]:
    """Each key with where it comes from; what waits for an answer comes last, to be seen."""
    values = layout.values
    lines = [f"wrote {target}, from what lies in the data:"]
    lines += [
        f"  {key} = {_shortened(_in_one_line(value.value))}  ({value.origin}: {value.why})"
        for key, value in values.items()
        if value.origin != "chosen" and not value.is_open
    ]
    taken = [key for key, value in values.items() if value.candidates and not value.is_open]
    lines += [
        f"not in the data, so taken as usual: {key} = {values[key].value!r}; say it by --set, or in "
        f"{target.name}"
        for key in taken
    ]
    lines += layout.notes
    lines += [
        f"open: {key}: {value.why}; write one of {', '.join(value.candidates)} into {target.name}"
        for key, value in values.items()
        if value.is_open
    ]
    return lines


def _summary(target: Path, preset: str, found: Changes) -> list[str]:
    """What was written and what differs from the preset."""
    original = tomllib.loads(_preset_text(preset))
    lines = [f"wrote {target}, from the preset {preset!r} with"]
    for key, value in found.items():
        table, _, name = key.rpartition(".")
        before = (original.get(table, {}) if table else original).get(name)
        if value != before:
            shown = "(none)" if value is None else _in_one_line(value)
            lines.append(f"  {key} = {_shortened(shown)}")
    if found.get("labels.values") == "index" and "labels.first" not in found:
        lines.append(
            "value 0 of the masks is taken for background: if it is a class, name all of them in "
            "classes.txt of the data, the first one first, and begin again"
        )
    if found.get("submission.sample", "") is None:
        lines.append("there is no sample: the submission will have a row for each test image")
    return lines


def _in_one_line(value: Any) -> str:
    return " ".join(toml_item(value).as_string().split())


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
