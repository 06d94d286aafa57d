"""Which label file is whose: a pattern with {stem}, {folder} and {class}, from the paths alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from competition.new.survey import Place

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


def pattern_of(labels: Place, images: Place) -> LabelPattern | None:
    """The pattern by which label files belong to images; None where most belong to none.

    >>> masks = Place("masks/*_mask.png", ("masks/a_mask.png", "masks/b_mask.png"))
    >>> pattern_of(masks, Place("images/*.png", ("images/a.png", "images/b.png"))).pattern
    'masks/{stem}_mask.png'
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in images.paths:
        by_stem[PurePosixPath(path).stem].append(path)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in images.paths:
        by_folder[PurePosixPath(path).parent.name].append(path)
    met = {label: _image_of(label, by_stem, by_folder) for label in labels.paths}
    pairs = [(label, image) for label, image in met.items() if image is not None]
    if len(pairs) * 2 <= len(labels):
        return None
    folders = "*" in PurePosixPath(images.pattern).parts[-2:-1]
    forms = {label: _form(label, image, folders=folders) for label, image in pairs}
    found = _joined(forms, dict(pairs), alone=len(by_folder) == len(images))
    if found is None:
        return None
    pattern, classes = found
    strange = tuple(label for label, image in met.items() if image is None)
    return LabelPattern(pattern, classes, frozenset(image for _, image in pairs), strange)


def _image_of(
    label: str, by_stem: dict[str, list[str]], by_folder: dict[str, list[str]]
) -> str | None:
    """The image that a label file is named after, by its folder or its own name, or lies beside."""
    path = PurePosixPath(label)
    for name in (*reversed(path.parts[:-1]), *_names_within(path.name)):
        found = by_stem.get(name, [])
        if len(found) > 1:
            found = [one for one in found if PurePosixPath(one).parent.name in path.parts]
        if len(found) == 1:
            return found[0]
    beside = [by_folder.get(part, []) for part in path.parts[:-1]]
    return next((found[0] for found in reversed(beside) if len(found) == 1), None)


def _names_within(name: str) -> list[str]:
    """What a file may be named after, the longest first.

    >>> _names_within("scan_7_mask.png")
    ['scan_7_mask', 'scan_7', 'scan', '7_mask', 'mask']
    """
    stem = PurePosixPath(name).stem
    cuts = [found.start() for found in re.finditer(r"[-_. ]", stem)]
    return [stem, *(stem[:cut] for cut in reversed(cuts)), *(stem[cut + 1 :] for cut in cuts)]


Form = tuple[str, ...]
"""The parts of a label path, what is the image's own replaced."""


def _form(label: str, image: str, *, folders: bool) -> Form:
    path, own = PurePosixPath(label), PurePosixPath(image)
    parts = []
    for part in path.parts[:-1]:
        if part == own.stem:
            parts.append("{stem}")
        elif folders and part == own.parent.name:
            parts.append("{folder}")
        else:
            parts.append(part)
    named = own.stem in _names_within(path.name)
    return (*parts, path.name.replace(own.stem, "{stem}", 1) if named else path.name)


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
    numbers = all(not value or re.fullmatch(r"[-_ ]?\d+", value) for value in values)
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
    before = _common(parts)
    before = before[: max(before.rfind(sign) for sign in "-_. }") + 1]
    rest = [part[len(before) :] for part in parts]
    behind = _common([part[::-1] for part in rest])[::-1]
    signs = [place for sign in "-_. {" if (place := behind.find(sign)) >= 0]
    return before, behind[min(signs) :] if signs else ""


def _common(parts: Sequence[str]) -> str:
    shortest = min(parts, key=len)
    for length in range(len(shortest), 0, -1):
        if all(part.startswith(shortest[:length]) for part in parts):
            return shortest[:length]
    return ""


def _tells_apart(form: Form, *, alone: bool) -> bool:
    return any("{stem}" in part or (alone and part == "{folder}") for part in form)
