"""Which label file is whose: a pattern with {stem}, {folder} and {class}, from the paths alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from competition.data.pages import ending_of, stem_of, without_ending
from competition.new.survey import LABELLED_PARTS, MASK_WORDS, Place, words
from competition.new.values import FoundValue, FoundValues

_MOST_CLASSES = 200


@dataclass(frozen=True)
class LabelPattern:
    """How the label files of a place belong to the images of another.

    pattern: as `files` in `[labels]` has it; classes: what stands at {class}, sorted; images: paths of
    those that have a file; strange: label files that belong to none.
    """

    pattern: str
    classes: tuple[str, ...]
    images: frozenset[str]
    strange: tuple[str, ...]
    part: dict[str, Any] | None = None
    """What {part} in the pattern stands for, as `part` in `[labels]` has it."""
    why: str = "what label files share with images"


def pattern_of(labels: Place, images: Place) -> LabelPattern | None:
    """The pattern by which label files belong to images; None where most belong to none.

    >>> masks = Place("masks/*_mask.png", ("masks/a_mask.png", "masks/b_mask.png"))
    >>> pattern_of(masks, Place("images/*.png", ("images/a.png", "images/b.png"))).pattern
    'masks/{stem}_mask.png'
    """
    owners = _Owners.of(images)
    met = {label: owners.image_of(label) for label in labels.paths}
    pairs = {label: image for label, image in met.items() if image is not None}
    if len(pairs) * 2 <= len(labels):
        return _by_core(labels, images) or _by_number(labels, images)
    forms = {label: owners.form(label, image) for label, image in pairs.items()}
    found = _joined(forms, pairs, alone=len(owners.by_folder) == len(images))
    if found is None:
        return None
    pattern, classes = found
    strange = tuple(label for label, image in met.items() if image is None)
    part = owners.part if "{part}" in pattern else None
    return LabelPattern(pattern, classes, frozenset(pairs.values()), strange, part)


def part_of(found: LabelPattern) -> FoundValues:
    """The key that a pattern with {part} needs."""
    if found.part is None:
        return {}
    return {"labels.part": FoundValue(found.part, "found", found.why)}


def _by_core(labels: Place, images: Place) -> LabelPattern | None:
    """Names that have a part in common, something else around it in each: img_07.png, mask_07.png.

    >>> masks = Place("gt/*.png", ("gt/mask_1.png", "gt/mask_2.png"))
    >>> found = pattern_of(masks, Place("im/*.png", ("im/img_1_rgb.png", "im/img_2_rgb.png")))
    >>> found.pattern
    'gt/mask_{part}.png'
    """
    endings = set(map(ending_of, labels.paths))
    if len(endings) > 1 or min(len(labels), len(images)) < 2:
        return None
    (before, behind), own = _cores(images.paths)
    (first, last), theirs = _cores(labels.paths)
    shared = {core: own[core] for core in theirs if core in own}
    if not all(theirs) or len(shared) * 2 <= len(labels) or len(own) < len(images):
        return None
    if any("/" in core for core in shared):
        begin = f"^{re.escape(before)}(.+)"
    else:
        begin = f"(?<![^/]){re.escape(before.rpartition('/')[2])}([^/]+)"
    packed = r"(?:\.nii)?" if any(ending_of(path) == ".nii.gz" for path in images.paths) else ""
    part = {"pattern": f"{begin}{re.escape(behind)}{packed}\\.[^./]+$", "value": r"\1"}
    strange = tuple(path for core, path in theirs.items() if core not in own)
    pattern = f"{first}{{part}}{last}{endings.pop()}"
    return LabelPattern(pattern, (), frozenset(shared.values()), strange, part)


def _by_number(labels: Place, images: Place) -> LabelPattern | None:
    """Names that have a number in common, with other zeros before it, each of one image.

    >>> masks = Place("gt/*.png", ("gt/0001.png", "gt/0002.png"))
    >>> found = pattern_of(masks, Place("im/*.png", ("im/1.png", "im/2.png")))
    >>> found.pattern, found.part["value"], found.part["digits"]
    ('gt/{part}.png', '\\\\1', 4)
    """
    endings = {PurePosixPath(path).suffix for path in labels.paths}
    if len(endings) > 1 or min(len(labels), len(images)) < 2:
        return None
    (before, behind), own = _cores(images.paths)
    (first, last), theirs = _cores(labels.paths)
    if "/" in behind or not all(one.isdecimal() and one.isascii() for one in (*own, *theirs)):
        return None
    numbers = {int(core): path for core, path in own.items()}
    met = [numbers[int(core)] for core in theirs if int(core) in numbers]
    if len(numbers) < len(images) or len({*met}) < len(labels):
        return None
    widths = {len(core) for core in theirs}
    zeros = any(core.startswith("0") and core != "0" for core in theirs)
    if zeros and len(widths) > 1:
        return None
    name = re.escape(before.rpartition("/")[2])
    part: dict[str, Any] = {
        "pattern": f"(?<![^/]){name}0*([0-9]+){re.escape(behind)}\\.[^./]+$",
        "value": r"\1",
    }
    if zeros:
        part["digits"] = widths.pop()
    pattern = f"{first}{{part}}{last}{endings.pop()}"
    why = f"their number, with other zeros before it: {len(met)} files, each of one image"
    return LabelPattern(pattern, (), frozenset(met), (), part, why)


def _cores(paths: Sequence[str]) -> tuple[tuple[str, str], dict[str, str]]:
    """What all paths begin and end with, not within a number, and path by what stands between."""
    stems = [without_ending(path) for path in paths]
    before = re.sub(r"\d+$", "", beginning(stems))
    rest = [stem[len(before) :] for stem in stems]
    behind = re.sub(r"^\d+", "", beginning([one[::-1] for one in rest])[::-1])
    cores = [one[: len(one) - len(behind)] for one in rest]
    return (before, behind), dict(zip(cores, paths, strict=True))


@dataclass(frozen=True)
class _Owners:
    """Images by what label files may be named after.

    level: where in their paths images differ above their own folder, such as train and val; folders:
    whether they differ by their own folder.
    """

    by_stem: dict[str, list[str]]
    by_folder: dict[str, list[str]]
    folders: bool
    level: int | None
    said: tuple[str, ...]
    """Words such as train and val in the names of their own folders, where those say more."""

    @classmethod
    def of(cls, images: Place) -> "_Owners":
        by_stem: dict[str, list[str]] = defaultdict(list)
        by_folder: dict[str, list[str]] = defaultdict(list)
        for path in images.paths:
            by_stem[stem_of(path)].append(path)
            by_folder[PurePosixPath(path).parent.name].append(path)
        above = [PurePosixPath(path).parts[:-2] for path in images.paths]
        same = len({len(parts) for parts in above}) == 1
        varied = (
            [i for i, names in enumerate(zip(*above, strict=True)) if len({*names}) > 1]
            if same
            else []
        )
        named = [
            {word for word in re.findall(r"[A-Z]?[a-z]+", name) if words(word) & LABELLED_PARTS}
            for name in by_folder
        ]
        said = sorted(set().union(*named)) if all(named) and len(named) > 1 else []
        level = varied[-1] if varied else None
        return cls(by_stem, by_folder, len(by_folder) > 1, level, tuple(said))

    @property
    def part(self) -> dict[str, str]:
        """The folder at the level, or the word, as `part` in `[labels]` has it."""
        if self.level is None:
            said = "|".join((*self.said, "[Tt]est"))  # labels of test images lie there too
            return {"pattern": f"({said})[^/]*/[^/]+$", "value": r"\1"}
        return {"pattern": f"^(?:[^/]+/){{{self.level}}}([^/]+)/", "value": r"\1"}

    def image_of(self, label: str) -> str | None:
        """The image that a label file is named after, by its folder or its own name, or lies beside."""
        path = PurePosixPath(label)
        for name in (*reversed(path.parts[:-1]), *_names_within(path.name)):
            found = self.by_stem.get(name, [])
            if len(found) > 1:
                near = [len(set(PurePosixPath(one).parts) & set(path.parts)) for one in found]
                best = [one for one, count in zip(found, near, strict=True) if count == max(near)]
                found = best if max(near) else found
            if len(found) == 1:
                return found[0]
        beside = [self.by_folder.get(part, []) for part in path.parts[:-1]]
        return next((found[0] for found in reversed(beside) if len(found) == 1), None)

    def form(self, label: str, image: str) -> "Form":
        """The parts of a label path, what is the image's own replaced."""
        path, own = PurePosixPath(label), PurePosixPath(image)
        above = None if self.level is None else own.parts[self.level]
        parts = []
        for part in path.parts[:-1]:
            if part == stem_of(image):
                parts.append("{stem}")
            elif self.folders and part == own.parent.name:
                parts.append("{folder}")
            elif above is not None and above in part:
                parts.append(part.replace(above, "{part}"))
            elif self.said and own.parent.name in part:
                parts.append(part.replace(own.parent.name, "{folder}"))
            elif above is None and (
                shared := [w for w in self.said if w in part and w in own.parent.name]
            ):
                parts.append(part.replace(shared[0], "{part}"))
            else:
                parts.append(part)
        stem = stem_of(image)
        named = stem in _names_within(path.name)
        return (*parts, path.name.replace(stem, "{stem}", 1) if named else path.name)


def _names_within(name: str) -> list[str]:
    """What a file may be named after, the longest first.

    >>> _names_within("scan_7_mask.png")
    ['scan_7_mask', 'scan_7', 'scan', '7_mask', 'mask']
    """
    stem = stem_of(name)
    cuts = [found.start() for found in re.finditer(r"[-_. ]", stem)]
    return [stem, *(stem[:cut] for cut in reversed(cuts)), *(stem[cut + 1 :] for cut in cuts)]


Form = tuple[str, ...]
"""The parts of a label path, what is the image's own replaced."""


def _joined(
    forms: dict[str, Form], image_of: dict[str, str], *, alone: bool
) -> tuple[str, tuple[str, ...]] | None:
    """One pattern for all forms, with {class} or * where they differ; None where they differ more.

    alone: whether each image has a folder of its own.
    """
    counts = Counter(forms.values())
    if len({len(form) for form in counts}) > 1:
        return None
    different = [i for i, parts in enumerate(zip(*counts, strict=True)) if len(set(parts)) > 1]
    if not different:
        (only,) = counts
        return ("/".join(only), ()) if _tells_apart(only, alone=alone) else None
    if len(different) > 1:
        return None
    (place,) = different
    varied = sorted({form[place] for form in counts})
    before, behind = _shared(varied)
    values = [part[len(before) : len(part) - len(behind)] for part in varied]
    owners = Counter((form[place], image_of[label]) for label, form in forms.items())
    kinds = {re.sub(r"[-_ ]?\d+$", "", value) for value in values}
    numbers = len(kinds) == 1 and kinds <= {"", *MASK_WORDS}
    several = len(set(image_of.values())) < len(forms)
    few = len(varied) <= min(_MOST_CLASSES, max(2, len(set(image_of.values())) // 2))
    classes = few and not numbers and all(values) and max(owners.values()) == 1
    template = list(next(iter(counts)))
    template[place] = f"{before}{{class}}{behind}" if classes else f"{before}*{behind}"
    if not (classes or several):
        return None
    if not _tells_apart(tuple(template), alone=alone):
        return None
    return "/".join(template), tuple(sorted(values)) if classes else ()


def _shared(parts: Sequence[str]) -> tuple[str, str]:
    """What all begin with and, behind it, end with: not past a word's middle.

    >>> _shared(["{stem}_left.png", "{stem}_lung.png"])
    ('{stem}_', '.png')
    """
    before = beginning(parts)
    before = before[: max(before.rfind(sign) for sign in "-_. }") + 1]
    rest = [part[len(before) :] for part in parts]
    behind = beginning([part[::-1] for part in rest])[::-1]
    signs = [place for sign in "-_. {" if (place := behind.find(sign)) >= 0]
    return before, behind[min(signs) :] if signs else ""


def beginning(parts: Sequence[str]) -> str:
    """What all of them begin with."""
    shortest = min(parts, key=len)
    for length in range(len(shortest), 0, -1):
        if all(part.startswith(shortest[:length]) for part in parts):
            return shortest[:length]
    return ""


def _tells_apart(form: Form, *, alone: bool) -> bool:
    return any("{stem}" in part or (alone and part == "{folder}") for part in form)
