"""The table of images: one row each, with its id, size, group and stratum, all ids as text."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from competition.data.bands import size_of_pixels
from competition.data.csv_text import hints, image_id, read_csv_text
from competition.data.duplicates import join_copies
from competition.data.images import (
    ENDINGS,
    PIXEL_LIMIT,
    STRIP_ENDINGS,
    STRIP_LIMIT,
    page_count,
    safe_path,
)
from competition.data.pages import Page, file_and_page, file_of, may_have_pages, page_path, stem_of
from competition.errors import InputFault, listed
from competition.spec import Competition, CsvColumn, PathPart, PixelForm

CATALOG_COLUMNS = (
    *("image", "path", "split", "height", "width", "group", "stratum", "volume", "slice"),
)

UNLABELLED_SPLITS = ("test", "unlabelled")


def build_catalog(competition: Competition) -> pd.DataFrame:
    """Every image of a competition: training, extra, test, then unlabelled ones, each sorted by path.

    Columns: image (id as label rows write it), path (below `competition.root`, with `/`), split
    ("train" | "extra" | "test" | "unlabelled"), height, width (int64, pixels as `read_image` gives
    them; only headers are read, 60 µs an image), group (what stays on one side of a split; groups that
    hold copies of one file are joined), stratum, volume (the scan that the image is a slice of, "" where
    there are none), slice (int64, its place in the volume from 0). Faults of one kind are listed
    together: files that are no image, ids that two files share, images without a group.

    Where volumes are files, each slice has a row of its own, with a path as in `competition.data.pages`,
    which `read_image` reads.
    """
    data = competition.data
    frame = named_images(competition)
    _refuse_unmet(frame, "image_id", data.image_id)
    _refuse_shared_ids(frame)
    frame = _without_excluded(frame, data.exclude)
    paths = frame["path"].tolist()
    sizes = _sizes(competition, paths)
    frame["height"] = pd.Series([height for height, _ in sizes], dtype="int64")
    frame["width"] = pd.Series([width for _, width in sizes], dtype="int64")
    frame["volume"] = _volumes(competition, frame)
    frame["slice"] = _places(frame, data.slice_number)
    frame["group"] = _groups(competition, frame)
    # extra and unlabelled images must not rename a group that a split names
    own = frame["split"].isin(("train", "test"))
    frame.loc[own, "group"] = join_copies(
        competition.root,
        frame.loc[own, "path"].tolist(),
        frame.loc[own, "group"].tolist(),
        form=data,
    )
    frame["stratum"] = strata_of(competition, frame)
    _refuse_torn_volumes(frame)
    return frame[list(CATALOG_COLUMNS)]


def named_images(competition: Competition) -> pd.DataFrame:
    """image, path and split of every image that the globs meet, also of those that are left out."""
    data = competition.data
    rows = [
        {"image": image_id(identity_of(path, data.image_id, begin)), "path": path, "split": split}
        for split, patterns in image_patterns(competition).items()
        for path, begin in _begun(competition, patterns)
    ]
    return pd.DataFrame(rows, columns=["image", "path", "split"], dtype=str)


def image_paths(root: Path, pattern: str, *, links: bool = False) -> list[str]:
    """Paths below `root`, with `/`, of the images that a glob meets; sorted, at least one.

    Hidden files and folders, and endings that no image has, are left out (`ignored_paths` lists them);
    the ending may be written in capitals; a path that leads out of `root` is refused,
    unless links are followed.
    """
    found, ignored = _globbed(root, pattern)
    if not found:
        raise InputFault(_nothing_found(root, pattern, len(ignored)))
    for path in found:
        safe_path(root, path, links=links)
    return found


def _without(paths: list[str], pattern: str | None, root: Path) -> list[str]:
    """The paths that another glob does not meet."""
    out = set(_globbed(root, pattern)[0]) if pattern else set()
    return [path for path in paths if path not in out]


def ignored_paths(competition: Competition) -> list[str]:
    """What the globs meet that is not an image by its name: junk that downloads leave behind."""
    patterns = [one for several in image_patterns(competition).values() for one in several]
    return sorted({path for p in patterns for path in _globbed(competition.root, p)[1]})


def of_split(catalog: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split, numbered from 0."""
    return catalog[catalog["split"] == split].reset_index(drop=True)


def sizes_of(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Image → its (height, width)."""
    sizes = zip(rows["height"].tolist(), rows["width"].tolist(), strict=True)
    return dict(zip(rows["image"], sizes, strict=True))


def with_labels(catalog: pd.DataFrame) -> pd.DataFrame:
    """The rows of training and extra images, numbered from 0."""
    return catalog[~catalog["split"].isin(UNLABELLED_SPLITS)].reset_index(drop=True)


def extra_beside(
    root: Path, catalog: pd.DataFrame, held: Collection[str], *, form: PixelForm
) -> tuple[str, ...]:
    """The extra images that share neither group nor file with the images held out."""
    groups = join_copies(root, catalog["path"].tolist(), catalog["group"].tolist(), form=form)
    rows = list(zip(catalog["image"], catalog["split"], groups, strict=True))
    closed = {group for image, _, group in rows if image in held}
    return tuple(image for image, split, group in rows if split == "extra" and group not in closed)


def image_patterns(competition: Competition) -> dict[str, tuple[str, ...]]:
    """The globs of each split that there is."""
    data = competition.data
    given = {
        "train": data.train_images,
        "extra": data.extra_images,
        "test": data.test_images,
        "unlabelled": data.unlabelled_images,
    }
    patterns = {split: (one,) if isinstance(one, str) else one for split, one in given.items()}
    return {split: several for split, several in patterns.items() if several is not None}


def _begun(competition: Competition, patterns: Sequence[str]) -> list[tuple[str, PurePosixPath]]:
    """Each path that the globs meet, sorted, and the folder in which its glob begins."""
    root, without = competition.root, competition.data.not_images
    begins: dict[str, PurePosixPath] = {}
    for pattern in patterns:
        found = image_paths(root, pattern, links=competition.links)
        for path in _without(found, without, root):
            begins.setdefault(path, fixed_folder(pattern))
    rows, faults = [], []
    for path, begin in sorted(begins.items()):
        try:
            rows += [(one, begin) for one in slice_paths(competition, path)]
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault(listed(list(dict.fromkeys(faults))))  # a missing package is told once
    return rows


def slice_paths(competition: Competition, path: str) -> list[str]:
    """The paths of a file's slices, where volumes are files and it may hold some; else its own.

    Its header is read.
    """
    data = competition.data
    if data.volume != "file" or not may_have_pages(path):
        return [path]
    count = page_count(competition.root / path, data.slice_axis)
    return [page_path(path, Page(number, data.slice_axis)) for number in range(count)]


def _globbed(root: Path, pattern: str) -> tuple[list[str], list[str]]:
    parts = PurePosixPath(pattern)
    if parts.is_absolute() or ".." in parts.parts or "\\" in pattern:
        raise InputFault(
            f"glob {pattern!r} must stay below the data folder and use forward slashes"
        )
    if not root.is_dir():
        raise InputFault(f"the data folder {str(root)!r} does not exist; check root in [data]")
    found, ignored = [], []
    for path in root.glob(_in_any_case(pattern)):
        relative = path.relative_to(root)
        hidden = any(name.startswith(".") for name in relative.parts)
        is_image = path.name.lower().endswith(ENDINGS) and not hidden
        (found if is_image else ignored).append(relative.as_posix())
    return sorted(found), [path for path in ignored if not (root / path).is_dir()]


def _in_any_case(pattern: str) -> str:
    """The glob with an ending that is met in capitals too: a.PNG beside a.png is an image.

    >>> _in_any_case("train/*.png")
    'train/*.[pP][nN][gG]'
    """
    stem, point, ending = pattern.rpartition(".")
    if not point or not ending.isalpha():
        return pattern
    return stem + point + "".join(f"[{letter.lower()}{letter.upper()}]" for letter in ending)


def _nothing_found(root: Path, pattern: str, ignored: int) -> str:
    """Says how far along a glob that meets nothing there still is something."""
    folder = root
    for part in PurePosixPath(pattern).parts[:-1]:
        if any(letter in part for letter in "*?[") or not (folder / part).is_dir():
            break
        folder = folder / part
    inside = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(repr(name) for name in inside[:8]) + (", …" if len(inside) > 8 else "")
    other = f"; {ignored} files match but are not images by their ending" if ignored else ""
    return f"no image matches {pattern!r} below {root}{other}; {folder} holds {shown or 'nothing'}"


def identity_of(path: str, kind: str | PathPart, begin: PurePosixPath | None = None) -> str:
    """The id of an image; the path itself where a part of it is not there. begin: of its glob.

    That of a slice is its file's with its number; a part of the path is looked for in the whole of it.

    >>> identity_of("imagesTr/case_001.nii.gz#0012", "stem")
    'case_001_0012'
    """
    if isinstance(kind, PathPart):
        return kind.of(path) or path
    file, page = file_and_page(path)
    number = "" if page is None else f"_{page.number:04d}"
    parts = PurePosixPath(file)
    match kind:
        case "name":
            return parts.name + number
        case "stem":
            return stem_of(file) + number
        case "folder":
            return parts.parent.name + number
    return parts.relative_to(begin or PurePosixPath()).as_posix() + number


def _refuse_shared_ids(frame: pd.DataFrame) -> None:
    shared = frame[frame["image"].duplicated(keep=False)]
    faults = [
        f"image id {image!r} is shared by {', '.join(map(repr, paths))}"
        for image, paths in shared.groupby("image", sort=True)["path"]
    ]
    if faults:
        raise InputFault(
            listed(faults)
            + "\nimage_id in [data] (name, stem, folder, path, or a part of it) must tell images apart"
        )


def _without_excluded(frame: pd.DataFrame, exclude: Collection[str]) -> pd.DataFrame:
    """The table without training images that are left out; InputFault for ids that are none."""
    if not exclude:
        return frame
    names = [image_id(name) for name in exclude]
    labelled, files = ~frame["split"].isin(UNLABELLED_SPLITS), frame["path"].map(file_of)
    known = [*frame.loc[labelled, "image"], *files[labelled & (files != frame["path"])].unique()]
    there = set(known)
    strange = [name for name in names if name not in there]
    if strange:
        near = hints(strange, known)
        lines = [
            f"exclude in [data]: {n!r} is no training image{h}"
            for n, h in zip(strange, near, strict=True)
        ]
        raise InputFault(listed(lines))
    return frame[~left_out(frame, exclude)].reset_index(drop=True)


def left_out(frame: pd.DataFrame, exclude: Collection[str]) -> pd.Series:
    """bool by row: whether `exclude` names a labelled image, or the file of which it is a slice."""
    names = [image_id(name) for name in exclude]
    named = frame["image"].isin(names) | frame["path"].map(file_of).isin(names)
    return ~frame["split"].isin(UNLABELLED_SPLITS) & named


def _sizes(competition: Competition, paths: Sequence[str]) -> list[tuple[int, int]]:
    """(height, width) of each image; all slices of a file have that of its first."""
    root, faults = competition.root, []
    sizes: dict[str, tuple[int, int]] = {}
    for path in paths:
        file = file_of(path)
        if file in sizes:
            continue
        try:
            height, width = sizes[file] = size_of_pixels(
                root, path, competition.data, links=competition.links
            )
        except InputFault as fault:
            faults.append(str(fault))
            continue
        in_strips = file.lower().endswith(STRIP_ENDINGS) and not competition.data.bands
        limit = max(STRIP_LIMIT, PIXEL_LIMIT) if in_strips else PIXEL_LIMIT
        if height * width > limit:
            hint = "" if in_strips else f"; of {', '.join(STRIP_ENDINGS)} it is {STRIP_LIMIT:,}"
            faults.append(f"{path} has {height} × {width} pixels; the limit is {limit:,}{hint}")
    if faults:
        raise InputFault(listed(list(dict.fromkeys(faults))))  # a missing package is told once
    return [sizes[file_of(path)] for path in paths]


def _groups(competition: Competition, frame: pd.DataFrame) -> list[str]:
    match competition.data.group:
        case "image":
            return frame["image"].tolist()
        case "volume":
            return frame["volume"].tolist()
        case _:
            return _gathered(competition, frame, competition.data.group, "group")


def _gathered(
    competition: Competition,
    frame: pd.DataFrame,
    by: Literal["folder", "file"] | PathPart | CsvColumn,
    what: str,
) -> list[str]:
    """What each image belongs to. A test image of which nothing is known stands for itself."""
    match by:
        case "folder":
            return _folders(frame, image_patterns(competition))
        case "file":
            return frame["path"].map(file_of).tolist()
        case PathPart():
            _refuse_unmet(of_split(frame, "train"), what, by)
            rows = zip(frame["path"], frame["image"], strict=True)
            return [by.of(path) or image for path, image in rows]
    return _from_csv(competition, frame, by, what)


def _volumes(competition: Competition, frame: pd.DataFrame) -> list[str]:
    """The volume of each image; "" where images stand alone."""
    by = competition.data.volume
    return [""] * len(frame) if by is None else _gathered(competition, frame, by, "volume")


def _places(frame: pd.DataFrame, number: PathPart | None) -> pd.Series:
    """int64: the place of each image in its volume, 0 where images stand alone."""
    alone = pd.Series(0, frame.index, "int64")
    if frame["volume"].eq("").all():
        return alone
    _refuse_unmet(frame, "slice_number", number)
    orders = [_slice_order(path, number) for path in frame["path"]]
    slices = frame[["volume", "path"]].assign(order=orders)
    if number is not None:
        _refuse_shared_numbers(slices)
    ordered = sorted(slices.itertuples(), key=lambda row: row.order)
    places: dict[str, int] = {}
    for row in ordered:
        alone[row.Index] = places.get(row.volume, 0)
        places[row.volume] = alone[row.Index] + 1
    return alone


def _slice_order(path: str, number: PathPart | None) -> tuple[tuple[int, str], ...]:
    """What slices are sorted by: the number that was found, else the path, with its numbers as numbers.

    >>> _slice_order("a/9.png", None) < _slice_order("a/10.png", None)
    True
    """
    parts = re.split(r"([0-9]+)", path if number is None else str(number.of(path)))
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _refuse_shared_numbers(slices: pd.DataFrame) -> None:
    same = slices[slices.duplicated(["volume", "order"], keep=False)]
    faults = [
        f"volume {volume!r}: slice_number in [data] finds one number in {', '.join(map(repr, paths))}"
        for (volume, _), paths in same.groupby(["volume", "order"], sort=True)["path"]
    ]
    if faults:
        raise InputFault(listed(faults))


def _refuse_torn_volumes(frame: pd.DataFrame) -> None:
    """InputFault for volumes in two groups or parts, and for slices of two sizes."""
    faults = []
    for volume, rows in frame[frame["volume"] != ""].groupby("volume", sort=True):
        for column, meant in (("group", "group"), ("split", "part")):
            found = rows[column].unique().tolist()
            if len(found) > 1:
                faults.append(
                    f"volume {volume!r} has slices in the {meant}s {found[0]!r} and {found[1]!r}; "
                    f"{'group' if column == 'group' else 'volume'} in [data] must keep it whole"
                )
        sizes = sorted(set(zip(rows["height"].tolist(), rows["width"].tolist(), strict=True)))
        if len(sizes) > 1:
            faults.append(
                f"volume {volume!r} has slices of {sizes[0][0]} × {sizes[0][1]} and of "
                f"{sizes[1][0]} × {sizes[1][1]} pixels; volume in [data] says what one scan is"
            )
    if faults:
        raise InputFault(listed(faults))


def _refuse_unmet(frame: pd.DataFrame, key: str, part: object) -> None:
    """InputFault for images in whose path a part that `key` names is not found."""
    if not isinstance(part, PathPart):
        return
    faults = [
        f"{path}: {key} in [data] looks for {part.pattern!r}, which is not in this path"
        for path in frame["path"]
        if not part.of(path)
    ]
    if faults:
        raise InputFault(listed(faults))


def _folders(frame: pd.DataFrame, patterns: Mapping[str, Sequence[str]]) -> list[str]:
    """The name of each image's folder, or its path where two of the training part have one name.

    The path (p0/left, p1/left) begins where the part's glob does: further images and test images of a
    person, in folders of another part, stay that person's.
    """
    folders = [PurePosixPath(path).parent for path in frame["path"]]
    unique = {f for f, part in zip(folders, frame["split"], strict=True) if part == "train"}
    if len({folder.name for folder in unique}) == len(unique):
        return [folder.name for folder in folders]
    begins = {part: [fixed_folder(one) for one in several] for part, several in patterns.items()}
    return [
        next(folder.relative_to(b) for b in begins[part] if folder.is_relative_to(b)).as_posix()
        for folder, part in zip(folders, frame["split"], strict=True)
    ]


def fixed_folder(pattern: str) -> PurePosixPath:
    """What of a glob is no pattern.

    >>> fixed_folder("train/DCM/*/*.png").as_posix()
    'train/DCM'
    """
    parts = PurePosixPath(pattern).parts[:-1]
    return PurePosixPath(*itertools.takewhile(lambda part: not set(part) & set("*?["), parts))


def strata_of(competition: Competition, frame: pd.DataFrame) -> list[str]:
    """The stratum of each image of a catalog."""
    match competition.data.stratum:
        case "none":
            return ["all"] * len(frame)
        case "size":
            return [f"{h}x{w}" for h, w in zip(frame["height"], frame["width"], strict=True)]
    return _from_csv(competition, frame, competition.data.stratum, "stratum")


def _from_csv(
    competition: Competition, frame: pd.DataFrame, column: CsvColumn, what: str
) -> list[str]:
    """A value for each image from a csv; training images need one, test images may be absent.

    A test image that the csv does not name stands for itself: its group is its own id. The csv may name
    a slice, or the whole file that it is of, by its stem, its name or its path.
    """
    path = safe_path(competition.root, column.file, links=competition.links)
    table = read_csv_text(path, (column.image, column.value))
    values: dict[str, str] = {}
    faults = []
    named = map(image_id, table[column.image])
    for line, image, value in zip(table.index, named, table[column.value], strict=True):
        if not value.strip():
            faults.append(f"{path} line {line}: image {image!r} has no {what} ({column.value!r})")
        if values.setdefault(image, value) != value:
            faults.append(
                f"{path} line {line}: image {image!r} is in {what} {value!r} and {values[image]!r}"
            )
    for image, path in zip(frame["image"], frame["path"], strict=True):
        file, page = file_and_page(path)
        names = (stem_of(file), PurePosixPath(file).name, file) if page is not None else ()
        found = [values[name] for name in names if name in values]
        if image not in values and found:
            values[image] = found[0]
    missing = [image for image in of_split(frame, "train")["image"] if image not in values]
    faults += [
        f"{path}: no row for training image {image!r}{hint}"
        for image, hint in zip(missing, hints(missing, list(values)), strict=True)
    ]
    if faults:
        raise InputFault(listed(faults))
    return [values.get(image, image) for image in frame["image"]]
