"""A download without a preset → the values of its competition file, each with where it comes from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from competition.data.dicom import dicom_spacing
from competition.data.labels import LabelCache
from competition.data.nifti import nifti_spacing
from competition.data.pages import ending_of, file_of, is_nifti
from competition.errors import InputFault, listed
from competition.new import detect
from competition.new.annotations import annotation_sources, files_of_others
from competition.new.class_names import is_void
from competition.new.download import FIRST_CHANNEL, Survey, survey
from competition.new.file_text import toml_item
from competition.new.grouping import groups_of
from competition.new.label_files import beginning
from competition.new.mask_labels import mask_sources
from competition.new.mask_values import slices_in
from competition.new.pixel_values import pixel_keys
from competition.new.survey import (
    MASK_WORDS,
    WAYS,
    WHOLE_PATH,
    Place,
    Table,
    Way,
    ids_of,
    is_test,
    meets,
)
from competition.new.text_labels import (
    class_column,
    few_values,
    image_in,
    naming_of,
    text_sources,
)
from competition.new.values import FoundValue, FoundValues, Source
from competition.spec import PathPart, PixelForm


@dataclass
class FoundLayout:
    """What a download was found to be."""

    values: FoundValues
    notes: list[str] = field(default_factory=list)
    """What lies there and was not used, and what could not be read."""
    catalog: pd.DataFrame | None = None
    labels: LabelCache | None = None
    """As the values say, where they were read; so is the catalog."""

    def plain(self) -> dict[str, Any]:
        """The values alone, by dotted key."""
        return {key: found.value for key, found in self.values.items()}


def lay_out(root: Path, name: str, given: Mapping[str, Any]) -> FoundLayout:
    """The values of a competition file for what lies in `root`, before any label is read.

    given: values that the person has said; they settle what the search would have to choose.
    InputFault where no labels, or several kinds of them, are found.
    """
    seen = survey(root, given)
    source = _chosen_source(seen)
    sample = _sample(seen, source)
    values: FoundValues = {"name": FoundValue(name, "chosen", "the folder's name")}
    layout = FoundLayout(values)
    test = _test_place(seen, source, sample)
    values |= _data(seen, source, test, sample)
    values |= pixel_keys(root, slices_in(root, source.images.paths), given, _bands(values))
    values |= source.values
    values |= _submission(seen, source, sample)
    _name_classes(layout, seen, source, sample, name)
    values |= groups_of(seen, source, values)
    values |= _usual(values)
    layout.notes += [f"not read: {text}" for text in seen.unread]
    used = {source.images.pattern, *source.images.further, *source.used}
    used |= {test.pattern} if test else set()
    used |= {file for value in values.values() for file in value.files}
    layout.notes += _unused(seen, used)
    return layout


def _chosen_source(seen: Survey) -> Source:
    """The labels; where csv and mask images say the same, the csv, which the images prove."""
    found = [
        *text_sources(replace(seen, images=tuple(_sliced(seen, seen.images)))),
        *annotation_sources(seen.root, seen.files, seen.images),
        *mask_sources(seen),
    ]
    kind = seen.given.get("labels.kind")
    for key in ("labels.kind", "labels.files", "labels.file"):
        if key in seen.given:
            said = seen.given[key]
            found = [one for one in found if key in one.values and one.values[key].value == said]
    of_place = [s for s in found if s.images.pattern == seen.given.get("data.train_images")]
    found = of_place or found
    if not found:
        raise InputFault(_nothing_labelled(seen, kind))
    found.sort(key=lambda source: is_test(source.images))  # a solution holds answers, not labels
    first = found[0]
    others = [
        source
        for source in found[1:]
        if source.images == first.images and not (first.kind == "rle" and source.kind == "masks")
    ]
    if others:
        lines = [
            f"  --set {key}={source.values[key].value}"
            for source in (first, *others)
            for key in ("labels.files", "labels.file")
            if key in source.values
        ]
        raise InputFault(
            f"{seen.root}: {len(lines)} kinds of labels for {first.images.pattern}; say which:\n"
            + "\n".join(lines)
        )
    unclear = first.values.get("labels.values")
    if unclear is not None and unclear.candidates:
        raise InputFault(
            f"{seen.root}: {unclear.why}: are these numbers of classes, or of objects? say --set "
            "labels.values=index, or --set labels.values=nonzero"
        )
    return _with_pictures(first, found)


def _with_pictures(source: Source, found: Sequence[Source]) -> Source:
    """A csv of one class with the mask images that hold the same."""
    pictured = [one for one in found if one.kind == "masks" and one.images == source.images]
    if source.kind != "rle" or len(pictured) != 1 or "labels.label" in source.values:
        return source
    files = pictured[0].values["labels.files"]
    if "{class}" in files.value or pictured[0].values["labels.values"].value != "nonzero":
        return source
    masks = FoundValue(files.value, "found", f"{files.why}; the doctor proves the order by them")
    return replace(
        source,
        values=source.values | {"labels.masks": masks},
        used=(*source.used, *pictured[0].used),
    )


def _nothing_labelled(seen: Survey, kind: str | None) -> str:
    """What was looked for, and what lies there."""
    there = [f"  {place.pattern}: {len(place)} images" for place in seen.images]
    there += [f"  {place.pattern}: {len(place)} images of few values" for place in seen.masks]
    there += [
        f"  {place.pattern}: named like masks, and cannot be read as such: more than 40 colours, more "
        "than two greys in JPEG, or transparent pixels; save them as PNG of few opaque colours"
        for place in seen.images
        if place.words & MASK_WORDS
    ]
    there += [f"  {table.path}: {', '.join(table.columns)}" for table in seen.tables]
    there += [f"  {line}" for line in files_of_others(seen.root, seen.files)]
    there += [f"  not read: {text}" for text in seen.unread]
    what = f"labels of kind {kind!r}" if kind else "labels"
    return (
        f"{seen.root}: no {what} found for these images; there lie\n{listed(there)}\nLooked for: mask "
        "images named after the images, a csv with a column of run-length texts whose rows name the "
        "images, and annotation files. `new --preset NAME` takes a layout that you name"
    )


@dataclass(frozen=True)
class Sample:
    """The organisers' sample and how its rows name test images."""

    table: Table
    images: Place
    way: Way
    column: str
    separator: str | None


def _sample(seen: Survey, source: Source) -> Sample | None:
    """The csv whose rows name images that are not the labelled ones."""
    labelled = set(map(file_of, source.images.paths))
    others = _sliced(seen, [place for place in seen.images if not set(place.paths) & labelled])
    found = []
    for table in seen.tables:
        if table.texts is None or table is source.table:
            continue
        naming = naming_of(table, others)
        if naming is not None:
            found.append(Sample(table, *naming))
    said = [one for one in found if one.table.is_sample] or found
    if "submission.sample" in seen.given:
        said = [one for one in found if one.table.path == seen.given["submission.sample"]]
    if len(said) > 1:
        names = ", ".join(one.table.path for one in said)
        raise InputFault(
            f"{seen.root}: {names} may each be the sample submission; say which by --set "
            f"submission.sample={said[0].table.path}, or move the others away"
        )
    lonely = [table for table in seen.tables if table.is_sample and table is not source.table]
    if not said and lonely:
        table = lonely[0]
        within = naming_of(table, _sliced(seen, seen.images))
        if within is not None:
            raise InputFault(
                f"the images of {table.path} lie among the labelled ones, {within[0].pattern}: move the "
                "test images into a folder of their own"
            )
        raise InputFault(
            f"{table.path} names no images that lie here: its rows begin with "
            f"{', '.join(repr(v[0]) for v in table.columns.values())}; are the test images unpacked?"
        )
    return said[0] if said else None


def _sliced(seen: Survey, places: Sequence[Place]) -> list[Place]:
    """Places whose files hold several slices with the paths of these: what rows of a csv name."""
    return [replace(one, paths=tuple(slices_in(seen.root, one.paths))) for one in places]


def _test_place(seen: Survey, source: Source, sample: Sample | None) -> Place | None:
    if sample is not None:
        return sample.images
    labelled = set(map(file_of, source.images.paths))
    rest = [p for p in seen.images if not set(p.paths) & labelled]
    said = [place for place in rest if place.pattern == seen.given.get("data.test_images")]
    if said:
        return said[0]
    named = [place for place in rest if is_test(place) and not place.further]
    if len(named) > 1:
        raise InputFault(
            f"{seen.root}: {', '.join(p.pattern for p in named)} may each be the test images; say which "
            f"by --set data.test_images={named[0].pattern}"
        )
    return named[0] if named else None


def _data(seen: Survey, source: Source, test: Place | None, sample: Sample | None) -> FoundValues:
    """Where the images lie, and how label rows name them."""
    images = source.images
    several = [images.pattern, *images.further]
    values: FoundValues = {
        "data.train_images": FoundValue(
            several if images.further else images.pattern,
            "found",
            f"{len(source.labelled)} of {len(images)} images have labels",
        )
    }
    if test is not None:
        why = f"named by {sample.table.path}" if sample else "by the folder's name"
        values["data.test_images"] = FoundValue(test.pattern, "found", f"{len(test)} images, {why}")
    shown = [images.pattern]
    if test is not None and test.pattern.count("/") == images.pattern.count("/"):
        shown.append(test.pattern)  # one glob must meet the masks of both
    among = [
        place
        for place in seen.masks
        if any(all(meets(pattern, path) for path in place.paths) for pattern in shown)
    ]
    if among:
        why = f"{sum(map(len, among))} masks lie among the images"
        pattern = _of_both([place.pattern for place in among])
        values["data.not_images"] = FoundValue(pattern, "found", why)
    way: Way = "name"
    why = "nothing names images otherwise"
    if seen.channels > 1 and FIRST_CHANNEL in images.pattern:
        ending, told = ending_of(images.paths[0]), f"{seen.channels} channels in dataset.json"
        bands = [f"{{part}}_{number:04}{ending}" for number in range(seen.channels)]
        values["data.bands"] = FoundValue(bands, "found", told)
        part = {"pattern": "([^/]+)_0000[.]", "value": r"\1"}
        values["data.part"] = FoundValue(part, "found", "what the files of an image share")
    files = list(dict.fromkeys(map(file_of, images.paths)))
    slices = slices_in(seen.root, files)
    if len(slices) > len(files):
        why = f"{len(files)} files hold {len(slices)} slices"
        values["data.volume"] = FoundValue("file", "found", f"{why}, an image each")
        values |= _spacing_of_volumes(seen, files)
        way, why = "stem", "the file's name and the number of the slice"
    values |= _spacing_of_pixels(seen, files)
    if len(ids_of(images, way)) < len(images):
        way = next(w for w in WAYS if len(ids_of(images, w)) == len(images))
        why = f"names repeat, and the {way} tells images apart"
    if sample is not None:
        way, why = sample.way, f"as {sample.table.path} names them"
    elif source.way is not None:
        way, why = source.way, source.values["labels.image"].why
    if way == WHOLE_PATH:
        way = PathPart(pattern=".+")
    written = way.model_dump(exclude_defaults=True) if isinstance(way, PathPart) else way
    values["data.image_id"] = FoundValue(written, "found", why)
    return values


def _bands(values: FoundValues) -> PixelForm:
    """The files that were found to be channels; none, where an image is one file."""
    if "data.bands" not in values:
        return PixelForm()
    return PixelForm(bands=values["data.bands"].value, part=values["data.part"].value)


def _spacing_of_pixels(seen: Survey, files: Sequence[str]) -> FoundValues:
    """mm between pixels of DICOM, where all headers say the same."""
    if not all(path.lower().endswith(".dcm") for path in files):
        return {}
    told = {dicom_spacing(seen.root / path) for path in files}
    if None in told or len(told) > 1:
        return {}
    return {
        "data.spacing": FoundValue(list(told.pop() or ()), "found", "in the headers of all files")
    }


def _spacing_of_volumes(seen: Survey, files: Sequence[str]) -> FoundValues:
    """mm between pixels and slices of NIfTI, where all headers say the same."""
    if not all(map(is_nifti, files)):
        return {}
    told = {nifti_spacing(seen.root / path, None) for path in files}
    if len({tuple(round(side, 3) for side in one) for one in told}) > 1:
        return {}
    slices, *pixel = (round(side, 6) for side in told.pop())
    why = "in the headers of all files"
    return {
        "data.spacing": FoundValue(pixel, "found", why),
        "data.slice_spacing": FoundValue(slices, "found", why),
    }


def _of_both(patterns: Sequence[str]) -> str:
    """One glob for several of one depth: a * where they differ, before what they end with."""
    parts = []
    for names in zip(*(PurePosixPath(pattern).parts for pattern in patterns), strict=True):
        behind = beginning([name[::-1] for name in names])[::-1]
        parts.append(names[0] if len({*names}) == 1 else f"*{behind.lstrip('*')}")
    return "/".join(parts)


def _submission(seen: Survey, source: Source, sample: Sample | None) -> FoundValues:
    """The form of what is submitted: the sample's, or one of our own."""
    if sample is None:
        return _own_submission(source)
    table, source_is = sample.table, f"in {sample.table.path}"
    values = {
        "submission.sample": FoundValue(
            table.path,
            "found",
            f"{len(table)} rows of {sample.images.pattern}",
            files=(table.path,),
        ),
        "submission.image": FoundValue(sample.column, "found", source_is),
        "submission.rle": FoundValue(str(table.texts), "found", source_is),
    }
    said = seen.given.get("submission.label")
    label = class_column(table, sample.column, said) if sample.separator is None else None
    if sample.separator is not None:
        values["submission.separator"] = FoundValue(
            sample.separator, "found", "between image and class"
        )
    if label is not None:
        values["submission.label"] = FoundValue(label, "found", few_values(table.columns[label]))
    values["submission.rows"] = _row_form(source, sample, label)
    texts = table.columns[str(table.texts)]
    tokens = {text.strip(" ") for text in texts if " " not in text.strip()}
    if len(tokens) == 1:
        (token,) = tokens
        values["submission.empty"] = FoundValue(token, "found", f"in {table.path}")
    elif len(set(texts)) == 1 and texts[0].split()[1:] == ["0"]:
        values["submission.empty"] = FoundValue(
            texts[0], "found", f"in {table.path}: a run of no pixels"
        )
    else:
        placeholder = f"{texts[0]!r} in the sample stands for any mask"
        written = source.values.get("labels.empty", FoundValue("", "found", "")).value
        values["submission.empty"] = FoundValue(
            written, "found", f"{placeholder}; as the labels have it"
        )
    values["submission.public"] = FoundValue(
        0.5, "chosen", "share of the test part on Public: see the organisers' page"
    )
    if source.kind != "rle":
        values["submission.order"] = FoundValue(
            "rows",
            "asked",
            "labels are no texts, so nothing here proves it: the organisers' page says it",
            ("rows", "columns"),
        )
    return values


def _own_submission(source: Source) -> FoundValues:
    """The form of our own sample."""
    several = "classes" in source.values and len(source.values["classes"].value) > 1
    several = several or "labels.label" in source.values
    own = "there is no sample of organisers"
    values = {
        "submission.image": FoundValue("image", "chosen", own),
        "submission.rle": FoundValue("rle", "chosen", own),
        "submission.rows": FoundValue("image-class" if several else "image", "chosen", own),
        "submission.order": FoundValue("rows", "chosen", own),
    }
    if several:
        values["submission.label"] = FoundValue("class", "chosen", own)
    return values


def _row_form(source: Source, sample: Sample, label: str | None) -> FoundValue:
    if label is not None or sample.separator is not None:
        return FoundValue("image-class", "found", f"each row of {sample.table.path} has a class")
    keys = sample.table.columns[sample.column]
    if len(set(keys)) < len(keys):
        return FoundValue("object", "found", f"{sample.table.path} repeats images")
    if source.kind == "rle" and source.values["labels.rows"].value == "object":
        return FoundValue(
            "object",
            "asked",
            "label rows are objects; is a row of the submission one too, or a whole image?",
            ("object", "image"),
        )
    return FoundValue("image", "found", f"{sample.table.path} names each image once")


def _name_classes(
    layout: FoundLayout, seen: Survey, source: Source, sample: Sample | None, name: str
) -> None:
    """The classes in the organisers' order, and a name for one without."""
    values = layout.values
    ordered = next((one for one in seen.names if one.ordered), None)
    columns = []
    if "submission.label" in values and sample is not None:
        columns.append((sample.table, values["submission.label"].value))
    if sample is not None and sample.separator is not None:
        separator = sample.separator
        ids = ids_of(sample.images, sample.way)
        rows = sample.table.columns[sample.column]
        keys = [key[len(image_in(key, separator, ids)) + len(separator) :] for key in rows]
        columns.append((Table(sample.table.path, {"key": keys}), "key"))
    if "labels.label" in values and source.table is not None:
        columns.append((source.table, values["labels.label"].value))
    if source.kind == "yolo" and ordered is not None:
        if len(ordered.ordered) < len(values["classes"].value):
            raise InputFault(
                f"{ordered.source} names {len(ordered.ordered)} classes, and the label files number "
                f"{len(values['classes'].value)}"
            )
        why = f"in {ordered.source}, by their numbers"
        files = (ordered.source,)
        values["classes"] = FoundValue(list(ordered.ordered), "found", why, files=files)
    for table, column in columns:
        named = list(dict.fromkeys(table.columns[column]))
        known = values.get("classes")
        if ordered is not None and set(ordered.ordered) == set(named):
            why, files = f"in {ordered.source}", (ordered.source,)
            values["classes"] = FoundValue(list(ordered.ordered), "found", why, files=files)
            return
        if known is None or set(known.value) == set(named):
            why, files = f"in the order of {table.path}", (table.path,)
            values["classes"] = FoundValue(named, "found", why, files=files)
            return
        if known.origin == "chosen" and len(known.value) == len(named):
            _rename(values, named, table.path)
            return
    if "classes" not in values:
        values["classes"] = FoundValue([name], "chosen", "there is one class; call it as you like")
    named = values["classes"].value
    void = [one for one in named if is_void(one)]
    if void and source.kind not in ("masks", "yolo") and len(void) < len(named):
        kept = [one for one in named if one not in void]
        values["classes"] = replace(values["classes"], value=kept)
        values["labels.ignore"] = FoundValue(void, "found", "by its name such pixels do not count")


def _rename(values: FoundValues, named: list[str], source: str) -> None:
    """Names of the sample for classes that the masks number: which is which, is asked."""
    before = values["classes"].value
    why = f"the masks' classes in the order of {source}? compare labels.png, and put them right"
    if "labels.colours" in values:
        colours = values["labels.colours"].value
        renamed = {new: colours[old] for old, new in zip(before, named, strict=True)}
        values["classes"] = FoundValue(named, "found", f"in the order of {source}")
        shown = toml_item(renamed).as_string()
        values["labels.colours"] = FoundValue(renamed, "asked", why, (shown,))
    else:
        values["classes"] = FoundValue(named, "asked", why, (str(named).replace("'", '"'),))


_METRICS = (
    *("dice", "iou", "f-beta", "mean-precision", "object-precision", "object-f-beta"),
    *("surface-dice", "hausdorff-95"),
)


def _usual(values: FoundValues) -> FoundValues:
    """What the data cannot say, and what is yours to choose."""
    rows = values["submission.rows"].value
    organised = "submission.sample" in values
    metric = "object-precision" if rows == "object" else "dice"
    said = "not in the data: see the organisers' page" if organised else "usual; yours to choose"
    metrics = (metric, *(one for one in _METRICS if one != metric))
    classes = values["classes"].value
    pairs = detect.mirrored_pairs(classes)
    mirror = (
        FoundValue(pairs, "found", "classes named left and right")
        if pairs
        else FoundValue("allowed", "found", "no class is named after a side")
    )
    return {
        "horizontal_flip": mirror,
        "metric.name": FoundValue(
            metric, "chosen", said, metrics if organised else (), marked=False
        ),
        "metric.empty": FoundValue("one", "chosen", f"{said} (empty truth and empty mask)"),
        "split.folds": FoundValue(5, "chosen", "usual"),
        "split.seed": FoundValue(0, "chosen", "decides between equally good splits"),
        "ensemble.recipes": FoundValue(
            ["auto"], "chosen", "planned for your time by `podium plan`; docs/models.md has others"
        ),
        "ensemble.views": FoundValue(["mirror"], "chosen", "where horizontal_flip allows it"),
    }


def _unused(seen: Survey, used: Collection[str]) -> list[str]:
    """Images and csv files that nothing was made of."""
    notes = [
        f"not used: {place.pattern} ({len(place)} images)"
        for place in (*seen.images, *seen.masks)
        if place.pattern not in used and not place.further
    ]
    return notes + [f"not used: {t.path}" for t in seen.tables if t.path not in used]
