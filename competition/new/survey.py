"""What lies in a download: images by place, and csv files by what their columns hold."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from competition.data.catalog import fixed_folder, identity_of
from competition.data.csv_text import image_id, read_csv_text
from competition.data.images import ENDINGS
from competition.data.pages import ending_of, without_ending
from competition.errors import InputFault
from competition.spec import PathPart

LABELLED_PARTS = {"train", "training", "val", "valid", "validation", "tr"}
TEST_WORDS = {"test", "testing", "ts"}
"""Also as nnU-Net writes them: imagesTr, imagesTs."""
PART_WORDS = {*LABELLED_PARTS, *TEST_WORDS, "sample", "samples"}
PART_WORDS |= {"labeled", "labelled", "unlabeled", "unlabelled"}
MASK_WORDS = {
    *(
        "mask",
        "masks",
        "label",
        "labels",
        "anno",
        "annot",
        "annotation",
        "annotations",
        "gt",
        "truth",
        "groundtruth",
    ),
    *("seg", "segmentation", "segmentations", "segmentationclass", "target", "targets", "annots"),
}
IMAGE_WORDS = {"image", "images", "img", "imgs", "jpegimages", "photo", "photos", "scan", "scans"}
_ROLES = PART_WORDS | MASK_WORDS | IMAGE_WORDS
"""Words by which a folder says what it holds; folders of other names lie beside their like."""

_GLUED = re.compile(rf"(train|val|valid|test)({'|'.join(MASK_WORDS | IMAGE_WORDS)})")

_LARGEST_CSV = 2**31


def words(name: str) -> set[str]:
    """The words of a name, without numbers.

    >>> sorted(words("stage1_trainMasks"))
    ['masks', 'stage', 'train']
    >>> sorted(words("testannot"))
    ['annot', 'test']
    """
    found = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    parts = [_GLUED.fullmatch(word) for word in found]
    cut = [match.groups() if match else (word,) for word, match in zip(found, parts, strict=True)]
    return {word for several in cut for word in several}


@dataclass(frozen=True)
class Place:
    """Images that lie alike: the glob below the root that meets them, and their paths."""

    pattern: str
    paths: tuple[str, ...]
    further: tuple[str, ...] = ()
    """Globs of a place that is joined of several (see `parts_joined`)."""

    @cached_property
    def words(self) -> set[str]:
        """Of its folders and of what all its names have in common."""
        return set().union(*(words(part) for part in PurePosixPath(self.pattern).parts))

    def __len__(self) -> int:
        return len(self.paths)


def all_files(root: Path, *, links: bool) -> list[str]:
    """Paths below the root, with `/`, sorted; nothing hidden; links: folders behind links too."""
    found = []
    for folder, inside, names in os.walk(root, followlinks=links):
        inside[:] = sorted(name for name in inside if not _is_junk(name))
        here = Path(folder).relative_to(root)
        found += [(here / name).as_posix() for name in names if not _is_junk(name)]
    return sorted(found)


def _is_junk(name: str) -> bool:
    """Hidden, or left behind by the system that made the archive."""
    return name.startswith(".") or name == "__MACOSX" or name.lower() == "thumbs.db"


def places(paths: Iterable[str], endings: Sequence[str] = ENDINGS) -> list[Place]:
    """The files of these endings by where they lie; the largest place first.

    Folders that lie beside each other and hold the same are one place (`train/*/*.png`), unless their
    names say what they hold; files that are named after others with something added are another
    (`train/*_mask.png`). Endings that share a folder are one place, unless they name the same images.
    """
    folders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        if path.lower().endswith(tuple(endings)):
            folders[PurePosixPath(path).parts[:-1]].append(path)
    found = []
    for folder, inside in _joined(folders).items():
        same = _same_names(inside) if folder[-1:] == ("*",) else {}
        named = same or {
            f"{lead}{name}": own
            for lead, members in _by_lead(inside).items()
            for name, own in _by_name(members).items()
        }
        for name, own in named.items():
            literal = [part if part == "*" else _escaped(part) for part in (*folder, name)]
            found.append(Place("/".join(literal), tuple(sorted(own))))
    return sorted(found, key=lambda place: (-len(place), place.pattern))


def _escaped(part: str) -> str:
    """A name as a glob that means itself, but for its *."""
    return re.sub(r"[\[?]", r"[\g<0>]", part)


def _joined(folders: Mapping[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], list[str]]:
    """Folders that differ in one name alone become one with a `*`, the deepest difference first."""
    joined = dict(folders)
    for level in reversed(range(max(map(len, folders), default=0))):
        alike: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for folder in joined:
            if len(folder) > level and folder[level] != "*":
                alike[tuple(_shape(part) for i, part in enumerate(folder) if i != level)].append(
                    folder
                )
        for members in alike.values():
            for folder in _lying_beside(members, level):
                beside = (*folder[:level], "*", *folder[level + 1 :])
                joined[beside] = [*joined.get(beside, []), *joined.pop(folder)]
    for folder in [one for one in joined if "*" not in one]:
        for other in joined:
            if _lies_like(folder, other):
                alone = tuple("*" if b == "*" else a for a, b in zip(folder, other, strict=True))
                joined[alone] = joined.pop(folder)
                break
    for folder in sorted(joined, key=lambda one: one.count("*")):
        for other in joined:
            if folder != other and _met_by(folder, other):
                joined[other] += joined.pop(folder)
                break
    return joined


def _met_by(folder: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if len(folder) != len(other) or "*" not in other:
        return False
    pairs = zip(folder, other, strict=True)
    return all(b == a or (b == "*" and not words(a) & _ROLES) for a, b in pairs)


def _lies_like(folder: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether it is the one folder of its part: val/bonn beside train/*."""
    if len(folder) != len(other) or "*" not in other:
        return False
    pairs = [(a, b) for a, b in zip(folder, other, strict=True) if a != b]
    free = [a for a, b in pairs if b == "*" and not words(a) & _ROLES]
    parts = [a for a, b in pairs if b != "*" and words(a) & PART_WORDS and words(b) & PART_WORDS]
    return len(free) + len(parts) == len(pairs) and bool(parts)


def _shape(part: str) -> str:
    """A name without its numbers: scans of all patients have one."""
    return re.sub(r"\d+", "#", part)


def _lying_beside(folders: Sequence[tuple[str, ...]], level: int) -> Sequence[tuple[str, ...]]:
    """Those whose names at this level are of one kind: patients, scans, classes."""
    names = {folder[level] for folder in folders}
    if len(names) > 2 and len({_shape(name) for name in names}) == 1:
        return folders
    free = [folder for folder in folders if not words(folder[level]) & _ROLES]
    return free if len({folder[level] for folder in free}) > 1 else []


def _same_names(paths: Sequence[str]) -> dict[str, list[str]]:
    """Files by name where every folder has them: image.png and mask.png of each scan."""
    named: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        named[PurePosixPath(path).name].append(path)
    folders = {PurePosixPath(path).parent for path in paths}
    everywhere = all(len(own) * 2 > len(folders) for own in named.values())
    return dict(named) if everywhere and len(folders) > 2 else {}


def _by_lead(paths: Sequence[str]) -> dict[str, list[str]]:
    """Files of a folder by the words that they begin with, where those tell masks or the test part."""
    leads: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        lead = re.match(r"[A-Za-z]+", PurePosixPath(path).name)
        leads[lead[0] if lead else ""].append(path)
    if len(leads) > 4:
        return {"": list(paths)}
    others = [one for one in leads if not words(one) & (TEST_WORDS | MASK_WORDS)]
    said = len(others) == 1 and words(others[0]) & _ROLES
    return dict(leads) if said and len(leads) > 1 else {"": list(paths)}


def _by_name(paths: Sequence[str]) -> dict[str, list[str]]:
    """Files of a folder by what their names end with: `*_mask.png` beside `*.png`."""
    by_ending: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_ending[ending_of(path)].append(path)
    stems = {ending: set(map(without_ending, own)) for ending, own in by_ending.items()}
    named: dict[str, list[str]] = defaultdict(list)
    for ending, own in by_ending.items():
        others = set().union(*stems.values())
        others |= {cut for cut, ends in _cut_names(others).items() if len(ends) > 1}
        shared = any(len(stems[ending] & stems[e]) * 2 > len(own) for e in stems if e != ending)
        for path in own:
            stem = without_ending(path)
            added = _added(stem, others) or _numbered(stem, others)
            alone = shared or added or len(by_ending) == 1
            named[f"*{added}{ending}" if alone else "*.*"].append(path)
    for name in [one for one in named if one.count("*") > 1 and one != "*.*"]:
        before, _, ending = name.rpartition("*")
        named[name] += named.pop(before + ending, [])  # scan_mask.png beside scan_mask_1.png
    return dict(named)


def _cut_names(stems: Iterable[str]) -> dict[str, set[str]]:
    """Names without a last word such as _sat or _mask, and the words that stood behind them."""
    found: dict[str, set[str]] = defaultdict(set)
    for stem in stems:
        end = re.search(r"[-_. ][A-Za-z]+$", stem)
        if end:
            found[stem[: end.start()]].add(end[0])
    return found


def _added(stem: str, others: set[str]) -> str:
    """What stands behind another file's name, such as _mask; "" where it is no addition."""
    ends = re.finditer(r"[-_. ](?=[A-Za-z][A-Za-z_-]*$)", stem)
    cuts = [found.start() for found in ends if stem[: found.start()] in others]
    return stem[cuts[-1] :] if cuts else ""


def _numbered(stem: str, others: set[str]) -> str:
    """What stands behind another file's name and is one of several masks: `_mask*` of _mask_1."""
    plain = re.sub(r"[-_ ]?\d+$", "", stem)
    added = _added(plain, others) if plain != stem else ""
    return f"{added}*" if words(added) & MASK_WORDS else ""


WHOLE_PATH = "whole path"
WAYS = ("name", "stem", "folder", "path", WHOLE_PATH)
"""How a csv may name an image, the likeliest first; see `image_id` in `[data]`."""


Way = str | PathPart
"""One of `WAYS`, or a part of the path."""


@lru_cache(maxsize=64)  # asked for each column of each csv; a place may hold 100,000 paths
def ids_of(place: Place, way: Way) -> Mapping[str, str]:
    """Id → path of a place's images, by a way to name them; what two share is left out."""
    begins = [fixed_folder(pattern) for pattern in (place.pattern, *place.further)]

    def named(path: str) -> str:
        if way == WHOLE_PATH:
            return path
        return identity_of(path, way, _begin(path, begins) if way == "path" else None)

    pairs = [(image_id(named(path)), path) for path in place.paths]
    counts = Counter(name for name, _ in pairs)
    return {name: path for name, path in pairs if counts[name] == 1}


def _begin(path: str, begins: Sequence[PurePosixPath]) -> PurePosixPath:
    return next(one for one in begins if PurePosixPath(path).is_relative_to(one))


_PARTS, _JOINTS, _TRIED = 4, ("_", "-", "", ".", ":", "__"), 40
"""Of a path, how many of its last names an id may be joined of, and by what; paths looked at first."""


def part_naming(ids: Collection[str], place: Place) -> PathPart | None:
    """The part of their paths by which ids name images, where all ids do so.

    Names of folders and the file, joined (case1_day2_3 is case1/day2/3.png), or a number with other
    zeros (7 is 0007.png).
    """
    return next((one for one in _parts_of_paths(ids, place) if _names_all(one, ids, place)), None)


def _names_all(part: PathPart, ids: Collection[str], place: Place) -> bool:
    some = place.paths[:: -(-len(place.paths) // _TRIED)]
    met = any(image_id(part.of(path) or path) in ids for path in some)
    return met and ids_of(place, part).keys() >= set(ids)


def _parts_of_paths(ids: Collection[str], place: Place) -> Iterator[PathPart]:
    if not ids or not place.paths:
        return
    some, example = next(iter(ids)), PurePosixPath(place.paths[0])
    for chosen in range(3, 2 ** min(_PARTS, len(example.parts)), 2):  # bit 0 is the file's name
        places = [n for n in range(_PARTS) if chosen >> n & 1][::-1]
        names = ["([^/]+)" if n in places else "[^/]+" for n in range(places[0], -1, -1)]
        for joint in _JOINTS:
            if joint in some:
                value = joint.join(f"\\{n}" for n in range(1, len(places) + 1))
                for ending in (r"\.[^./]+$", "$"):
                    yield PathPart(pattern="/".join(names) + ending, value=value)
    widths = {len(one) for one in ids}
    if all(one.isdecimal() and one.isascii() for one in ids):
        digits = widths.pop() if len(widths) == 1 else 0
        yield PathPart(pattern=r"(?<!\d)0*(\d+)\.[^./]+$", value=r"\1", digits=digits)


@dataclass(frozen=True)
class Table:
    """A csv file below the root: its columns as text."""

    path: str
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    @cached_property
    def texts(self) -> str | None:
        """The column of run-length texts, None without one."""
        full = [name for name, values in self.columns.items() if _are_texts(values)]
        if full:
            return full[-1]
        said = [name for name in self.columns if words(name) & _TEXT_WORDS]
        rest = [name for name in said if _is_placeholder(self.columns[name])]
        return rest[-1] if rest else None

    @property
    def is_sample(self) -> bool:
        """Whether its name says so."""
        return bool(words(PurePosixPath(self.path).stem) & {"sample", "submission", "submit"})


def is_test(place: Place) -> bool:
    """Whether its names say that these are the test images."""
    return bool(place.words & TEST_WORDS) and not place.words & LABELLED_PARTS


def parts_joined(found: Sequence[Place]) -> list[Place]:
    """Places that differ by a word such as train and val alone, as one: both are labelled."""
    alike: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place in found:
        parts = PurePosixPath(place.pattern).parts
        said = [i for i, part in enumerate(parts[:-1]) if words(part) & LABELLED_PARTS]
        if len(said) == 1:
            plain = re.sub(r"(?i)train(ing)?|val(id)?(ation)?", "", parts[said[0]])
            alike[(*parts[: said[0]], plain, *parts[said[0] + 1 :])].append(place)
    return [
        Place(
            members[0].pattern,
            tuple(sorted(path for one in members for path in one.paths)),
            tuple(one.pattern for one in members[1:]),
        )
        for members in alike.values()
        if len(members) > 1
    ]


_TEXT_WORDS = {
    *("rle", "pixels", "mask", "masks", "predicted", "prediction", "segmentation", "annotation"),
    *("encoded", "annotations", "encoding"),
}
_PAIRS = re.compile(r" ?-?\d+( \d+)* ?")


def _are_texts(values: Sequence[str]) -> bool:
    """Whether these are pairs of numbers, with empty ones and tokens such as -1 between."""
    filled = [value for value in values if " " in value.strip()]
    if not filled or not all(_PAIRS.fullmatch(value) for value in filled[:200]):
        return False
    even = sum(len(value.split()) % 2 == 0 for value in filled[:200])
    return even == len(filled[:200])


def _is_placeholder(values: Sequence[str]) -> bool:
    return len(set(values)) <= 2


def tables(root: Path, paths: Iterable[str]) -> tuple[list[Table], list[str]]:
    """The csv files among these paths, and a line for each that cannot be read."""
    found, unread = [], []
    for path in paths:
        if not path.lower().endswith(".csv") or (root / path).stat().st_size > _LARGEST_CSV:
            continue
        try:
            frame = read_csv_text(root / path)
        except InputFault as fault:
            unread.append(str(fault))
            continue
        if len(frame):
            found.append(Table(path, {str(name): frame[name].tolist() for name in frame.columns}))
    return found, unread


def meets(pattern: str, path: str) -> bool:
    """Whether a glob of `places` meets a path.

    >>> meets("train/*/*.png", "train/p1/a.png"), meets("train/*.png", "train/p1/a.png")
    (True, False)
    """
    parts, names = PurePosixPath(pattern).parts, PurePosixPath(path).parts
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))
