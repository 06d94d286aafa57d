"""Mask images in a download: whose they are, and how their pixels name classes."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from competition.data.images import read_image, read_index
from competition.data.pages import file_and_page
from competition.errors import InputFault
from competition.new.class_names import ClassNames, is_background, is_void
from competition.new.download import Survey
from competition.new.label_files import LabelPattern, part_of, pattern_of
from competition.new.mask_values import VOID, Coding, coding_of, may_number_objects, slices_in
from competition.new.survey import MASK_WORDS, PART_WORDS, Place, meets, words
from competition.new.values import FoundValue, FoundValues, Source


def mask_sources(seen: Survey) -> list[Source]:
    """Mask images that are named after images."""
    found, said = [], seen.given.get("labels.values")
    for masks in _together(seen.masks, seen.images):
        fits = [(pattern_of(masks, place), place) for place in seen.images]
        fitting = [(one, place) for one, place in fits if one is not None]
        if not fitting:
            continue
        best, place = max(fitting, key=lambda pair: (len(pair[0].images), -len(pair[1])))
        coding = coding_of(seen.root, masks.paths)
        if coding is None:
            for path in slices_in(seen.root, masks.paths):  # a damaged one is named
                (read_index if file_and_page(path)[1] else read_image)(seen.root / path)
            continue
        if coding.kind == "index" and said == "nonzero":
            coding = Coding("objects", coding.values)
        values: FoundValues = {
            "labels.kind": FoundValue(
                "masks", "found", f"{masks.pattern} are images of few values"
            ),
            "labels.files": FoundValue(
                best.pattern,
                "found",
                f"{len(masks)} files for {len(best.images)} of {len(place)} images",
            ),
            **part_of(best),
            **_coded(seen, masks, best, coding),
        }
        unnamed = values.get("classes") is not None and values["classes"].origin == "chosen"
        if unnamed and said is None and may_number_objects(seen.root, masks.paths, coding):
            why = f"every image of {masks.pattern} has the values 1 … k, a piece each"
            values["labels.values"] = FoundValue("index", "asked", why, ("index", "nonzero"))
        bare = len(place) - len(best.images)
        if bare:
            values["labels.positives_only"] = FoundValue(
                True,
                "asked",
                f"{bare} images have no mask file: do they hold nothing (true)? if they are unlabelled, "
                "write false and name them in exclude of [data]",
                ("true", "false"),
            )
        used = (masks.pattern, *masks.further)
        found.append(Source("masks", place, values, best.images, used))
    return sorted([*found, *_of_kinds(seen, found)], key=lambda source: -len(source.labelled))


def _of_kinds(seen: Survey, found: Sequence[Source]) -> Iterator[Source]:
    """Folders such as leftMask and rightMask, each with a mask of every image, as two classes and as
    one that is their union: which of them it is, a person says.
    """
    beside: dict[tuple[tuple[str, ...], str, tuple[str, ...]], list[Source]] = {}
    for source in found:
        parts = PurePosixPath(source.used[0]).parts
        for level, part in enumerate(parts[:-1] if len(source.used) == 1 else ()):
            if words(part) & MASK_WORDS and words(part) - MASK_WORDS - PART_WORDS:
                place = parts[:level], source.images.pattern, parts[level + 1 :]
                beside.setdefault(place, []).append(source)
    for members in beside.values():
        plain = all(one.values["labels.values"].value == "nonzero" for one in members)
        if len(members) < 2 or not plain:
            continue
        patterns = [one.used[0] for one in members]
        own = [place for place in seen.masks if place.pattern in patterns]
        paths = tuple(sorted(path for place in own for path in place.paths))
        joined = pattern_of(Place(patterns[0], paths), members[0].images)
        if joined is None or not joined.classes or joined.strange:
            continue
        why = f"{len(paths)} files in {len(members)} folders"
        values = members[0].values | {
            "labels.files": FoundValue(joined.pattern, "found", why),
            "classes": FoundValue(list(joined.classes), "found", "the folders of the mask files"),
        }
        used = tuple(patterns)
        yield Source("masks", members[0].images, values, joined.images, used)
        union = joined.pattern.replace("{class}", "*")
        glob = re.sub(r"{\w+}", "*", union)
        if tuple(sorted(path for path in seen.files if meets(glob, path))) == paths:
            files = FoundValue(union, "found", f"{why}, united")
            values = members[0].values | {"labels.files": files}
            yield Source("masks", members[0].images, values, joined.images, used)


def _together(masks: Sequence[Place], images: Sequence[Place]) -> list[Place]:
    """Places whose files differ by name alone (scan/liver.png, scan/spleen.png) as one of classes."""
    beside: dict[str, list[Place]] = {}
    for place in (one for one in masks if not one.further):
        beside.setdefault(place.pattern.rpartition("/")[0], []).append(place)
    found = [place for place in masks if place.further]
    for folder, members in beside.items():
        joined = Place(f"{folder}/*.*", tuple(sorted(p for one in members for p in one.paths)))
        fits = [pattern_of(joined, place) for place in images] if len(members) > 1 else []
        found += [joined] if any(one is not None and one.classes for one in fits) else members
    return found


def _coded(seen: Survey, masks: Place, found: LabelPattern, coding: Coding) -> FoundValues:
    """How these masks code classes."""
    if found.classes:
        named = FoundValue(list(found.classes), "found", "names in the paths of the mask files")
        kind = {"labels.values": FoundValue("nonzero", "found", "a file a class")}
        return kind | {"classes": named} | _smeared(coding)
    match coding.kind:
        case "smeared" | "nonzero":
            values = sorted(coding.values) or ["two greys"]
            shown = " and ".join(map(str, values))
            return {"labels.values": FoundValue("nonzero", "found", f"values {shown}")} | _smeared(
                coding
            )
        case "objects":
            return {
                "labels.values": FoundValue("nonzero", "found", "numbers of objects, which go on"),
                "labels.threshold": FoundValue(1, "found", "whatever is above 0 is of the class"),
            }
        case "colours":
            return _of_colours(seen, coding.colours, "colours")
    levels = sorted(coding.values)
    if len(levels) > 2 and min(b - a for a, b in itertools.pairwise(levels)) >= 10:
        greys = {f"#{v:02x}{v:02x}{v:02x}": n for v, n in coding.values.items()}
        return _of_colours(seen, greys, "greys")
    return _of_index(seen, coding)


def _voc_colours() -> dict[str, int]:
    """Colour → number, as the Pascal VOC development kit makes them: three bits of it a digit."""
    found = {}
    for number in range(256):
        channels, rest = [0, 0, 0], number
        for shift in range(7, -1, -1):
            channels = [c | ((rest >> k) & 1) << shift for k, c in enumerate(channels)]
            rest >>= 3
        red, green, blue = channels
        found[f"#{red:02x}{green:02x}{blue:02x}"] = number
    return found


_VOC = _voc_colours()


def _smeared(coding: Coding) -> FoundValues:
    if coding.kind != "smeared":
        return {}
    return {"labels.threshold": FoundValue(128, "found", "masks in JPEG, of two greys")}


def _of_colours(seen: Survey, colours: Mapping[str, int], what: str) -> FoundValues:
    """A class for each colour but black, named by a list of the download, else by its number."""
    given = next((one for one in seen.names if set(colours) <= {*one.by_colour, "#000000"}), None)
    names = given.by_colour if given else {}
    void = [colour for colour in colours if is_void(names.get(colour, ""))]
    grounds = [c for c in colours if is_background(names.get(c, "")) and c != "#000000"]
    order = list(names) if given else sorted(colours, key=lambda c: (_VOC.get(c, 256), c))
    coded = [
        colour
        for colour in order
        if colour not in (*void, *grounds)
        and not (
            colour == "#000000" and (not given or is_background(names.get(colour, "background")))
        )
    ]
    named = {names.get(colour, f"class-{k}"): colour for k, colour in enumerate(coded, 1)}
    known = "in VOC's order" if set(colours) <= _VOC.keys() else "by their numbers"
    why = f"named in {given.source}" if given else f"{known}; no list names them"
    values: FoundValues = {
        "labels.values": FoundValue("colours", "found", f"{len(colours)} {what} in all masks"),
        "labels.colours": FoundValue(named, "found", why),
        "classes": FoundValue(
            list(named), "found" if given else "chosen", why, files=(given.source,) if given else ()
        ),
    }
    if void:
        values["labels.ignore"] = FoundValue(
            void, "found", f"{names[void[0]]!r} in {_source_of(given)}"
        )
    if grounds:
        values["labels.background"] = FoundValue(grounds, "found", f"in {_source_of(given)}")
    return values


def _source_of(names: ClassNames | None) -> str:
    return names.source if names else "the masks"


def _of_index(seen: Survey, coding: Coding) -> FoundValues:
    """FoundValues as numbers of classes; one far beyond the others does not count."""
    levels = sorted(coding.values)
    void = [value for value in levels if value in VOID and value - 1 not in coding.values]
    counted = [value for value in levels if value not in void]
    values: FoundValues = {
        "labels.values": FoundValue("index", "found", f"values {_ranges(levels)}")
    }
    given = next((one for one in seen.names if set(counted) <= set(one.by_value)), None)
    if given is not None:
        void += [v for v in counted if is_void(given.by_value[v])]
    total = sum(coding.values.values())
    if void:
        share = sum(coding.values[value] for value in void) / total
        values["labels.ignore"] = FoundValue(
            void[0] if len(void) == 1 else void,
            "found",
            f"{share:.1%} of pixels; beyond the classes, as VOC and Cityscapes mark what does not count",
        )
    highest = max(value for value in levels if value not in void)
    if given is not None:
        return values | _by_value(given, void, highest)
    listed_names = next((one for one in seen.names if one.ordered), None)
    if listed_names is not None:
        return values | _by_order(listed_names, highest)
    names = [f"class-{k}" for k in range(1, highest + 1)]
    values["classes"] = FoundValue(names, "chosen", "no list names the values")
    return values | _first(coding, total)


def _first(coding: Coding, total: int) -> FoundValues:
    """Whether 0 is background, where no list of names tells."""
    share = coding.values.get(0, 0) / total
    black = coding.palette.get(0) == "#000000"
    if black:
        return {
            "labels.first": FoundValue(1, "found", "the palette shows value 0 black: background")
        }
    if coding.present > 0.9 and share > 0.5:
        why = f"value 0 is in {coding.present:.0%} of the masks and {share:.0%} of the pixels"
        return {"labels.first": FoundValue(1, "found", f"{why}: background")}
    why = f"value 0 has {share:.0%} of the pixels: is it background (1), or the first class (0)?"
    return {"labels.first": FoundValue(1, "asked", why, ("1", "0"))}


def _by_value(given: ClassNames, void: Sequence[int], highest: int) -> FoundValues:
    """Classes as a list names their values."""
    named = {
        value: name
        for value, name in sorted(given.by_value.items())
        if value not in void and not is_void(name)
    }
    first = 1 if is_background(named.get(0, "")) or 0 not in named else 0
    last = max(highest, *named)
    names = [named.get(value, f"class-{value}") for value in range(first, last + 1)]
    return {
        "classes": FoundValue(names, "found", f"in {given.source}", files=(given.source,)),
        "labels.first": FoundValue(
            first, "found", f"in {given.source}: 0 is {named.get(0, 'not named')!r}"
        ),
    }


def _by_order(given: ClassNames, highest: int) -> FoundValues:
    """Classes as a list has them, where their number tells whether 0 is one."""
    names = list(given.ordered)
    if is_background(names[0]):
        names = names[1:]
        first = 1
    elif len(names) == highest:
        first = 1
    elif len(names) == highest + 1:
        first = 0
    else:
        raise InputFault(
            f"{given.source} names {len(names)} classes, and the masks have values up to {highest}; "
            f"expected {highest} names (0 is background) or {highest + 1} (0 is the first class)"
        )
    why = f"{given.source} has {len(given.ordered)} names, and the highest value is {highest}"
    values: FoundValues = {"labels.first": FoundValue(first, "found", why)}
    if is_void(names[-1]):
        number = len(names) - 1 + first
        values["labels.ignore"] = FoundValue(number, "found", f"{names[-1]!r} in {given.source}")
        names = names[:-1]
    return values | {"classes": FoundValue(names, "found", why, files=(given.source,))}


def _ranges(values: Sequence[int]) -> str:
    """`0 to 20 and 255` of many numbers."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return " and ".join(str(a) if a == b else f"{a} to {b}" for a, b in parts)
