"""What lies in a download that a preset only guesses: endings, columns, classes, how ids are written.

Each function returns changes to a preset: dotted keys of the competition file and their values;
None removes a key.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from competition.data.csv_text import read_csv_text
from competition.data.images import ENDINGS, file_facts, read_index, safe_path
from competition.errors import InputFault

Changes = dict[str, Any]

USUAL_FOLDERS = {
    "train": ("images", "train/images", "train_images", "images/train", "train"),
    "test": ("test", "test/images", "test_images", "images/test", "images_test"),
    "masks": ("masks", "train/masks", "train_masks", "masks/train", "labels"),
}
"""Where data sets of images/ and masks/ put their parts; the first that holds images counts."""

_LOOKED_AT = 60


def image_endings(root: Path, pattern: str) -> str:
    """The glob with the ending that most files have in that place; as it is where none fits."""
    path = PurePosixPath(pattern)
    counts = dict.fromkeys(ENDINGS, 0)
    for file in root.glob(str(path.with_suffix(".*"))):
        if file.suffix in counts and not file.name.startswith("."):
            counts[file.suffix] += 1
    best = max(counts, key=lambda ending: counts[ending])
    return str(path.with_suffix(best)) if counts[best] else pattern


def image_folder(root: Path, part: str) -> str | None:
    """Glob of the images of a part ("train", "test", "masks") in a data set of folders."""
    for folder in USUAL_FOLDERS[part]:
        pattern = image_endings(root, f"{folder}/*.png")
        if any(root.glob(pattern)):
            return pattern
    return None


def sample_file(root: Path, expected: str) -> str:
    """The organisers' sample: `expected`, or the one csv at the root with "sample" in its name."""
    if (root / expected).is_file():
        return expected
    found = sorted(path.name for path in root.glob("*.csv") if "sample" in path.name.lower())
    if len(found) == 1:
        return found[0]
    raise InputFault(
        f"{root} has no {expected!r}, and {len(found)} csv files with 'sample' in their name"
    )


def csv_columns(path: Path, section: str, expected: dict[str, str | None]) -> Changes:
    """Columns of image, class and text in a csv: those expected, else by place (first, middle, last).

    `expected`: {"image": …, "label": … or None, "rle": …}; `section` is the table of the file.
    """
    names = list(read_csv_text(path).columns)
    wanted = [name for name in expected.values() if name is not None]
    if set(wanted) <= set(names):
        return {}
    if len(names) != len(wanted):
        raise InputFault(
            f"{path} has the columns {names!r}; expected {len(wanted)} like {wanted!r}"
        )
    places = [key for key, name in expected.items() if name is not None]
    return {f"{section}.{key}": name for key, name in zip(places, names, strict=True)}


def class_names(root: Path, sample: Path, label: str | None) -> list[str]:
    """The classes in the organisers' order: classes.txt, else the sample's; none if neither tells."""
    listed = listed_classes(root)
    if listed or label is None:
        return listed
    return list(dict.fromkeys(read_csv_text(sample, (label,))[label]))


def listed_classes(root: Path) -> list[str]:
    """The lines of classes.txt; none without one."""
    path = root / "classes.txt"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def identity(ids: Sequence[str], paths: Sequence[str]) -> str | None:
    """How ids name images: by "name", "stem" or "folder"; None where none fits all paths' ids."""
    wanted = set(ids)
    ways = {
        "name": {PurePosixPath(path).name for path in paths},
        "stem": {PurePosixPath(path).stem for path in paths},
        "folder": {PurePosixPath(path).parent.name for path in paths},
    }
    overlap = {way: len(wanted & names) for way, names in ways.items()}
    best = max(overlap, key=lambda way: overlap[way])
    return best if overlap[best] else None


def mirrored_pairs(classes: Sequence[str]) -> list[list[str]]:
    """Pairs of classes that change places in a mirrored image, as far as names tell.

    Words left / right, a single L / R, and teeth in the notation of the FDI (ISO 3950), whose first
    digit is the quadrant: 1 ↔ 2 above, 3 ↔ 4 below.

    >>> mirrored_pairs(["left lung", "right lung", "heart"])
    [['left lung', 'right lung']]
    >>> mirrored_pairs(["tooth-16", "tooth-26", "tooth-48"])
    [['tooth-16', 'tooth-26']]
    """
    names = set(classes)
    pairs = ((name, partner) for name in classes for partner in _partners(name))
    return [[name, partner] for name, partner in pairs if partner in names and partner != name]


def mask_values(root: Path, pattern: str) -> Changes:
    """How mask images code classes, from some of them: nonzero, index or, in JPEG, a threshold."""
    files = sorted(root.glob(pattern))
    looked_at = files[:: max(1, len(files) // _LOOKED_AT)]
    if any(file_facts(path).format == "JPEG" for path in looked_at):
        return {"labels.values": "nonzero", "labels.threshold": 128}
    found = [np.unique(read_index(path)) for path in looked_at]
    if all((values != 0).sum() <= 1 for values in found):
        return {"labels.values": "nonzero"}
    count = max(int(np.unique(read_index(path)).max()) for path in files)
    if count > 255:
        raise InputFault(
            f"{root / pattern}: values up to {count} are no classes; are they objects?"
        )
    return {
        "labels.values": "index",
        "classes": [f"class-{k}" for k in range(1, count + 1)],
        "exclusive": True,
    }


def first_value(root: Path, pattern: str, classes: Sequence[str]) -> Changes:
    """Whether index masks begin at 0 or at 1, by their highest value and the number of classes."""
    highest = max(int(read_index(path).max()) for path in sorted(root.glob(pattern)))
    if highest == len(classes):
        return {}
    if highest == len(classes) - 1:
        return {"labels.first": 0}
    raise InputFault(
        f"{root / pattern}: values up to {highest}, and {len(classes)} classes are named; expected "
        f"{len(classes)} (0 is background) or {len(classes) - 1} (0 is the first class): name the "
        "classes in classes.txt, a line each"
    )


def first_ids(root: Path, file: str, column: str) -> list[str]:
    """The ids that a csv names, for `identity`."""
    return read_csv_text(safe_path(root, file), (column,))[column].tolist()


def _partners(name: str) -> list[str]:
    """What the mirrored class may be called; each pair is found once, from its first name."""
    found = []
    for left, right in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")):
        if left in name:
            found.append(name.replace(left, right))
    found.append(re.sub(r"(?<![A-Za-z])L(?![A-Za-z])", "R", name))
    tooth = re.fullmatch(r"(.*?)([14])([1-8])", name)
    if tooth and "tooth" in name.lower():
        partner = {"1": "2", "4": "3"}[tooth[2]]
        found.append(f"{tooth[1]}{partner}{tooth[3]}")
    return found
