"""Labels → label files in a folder: polygons in a file an image, or COCO's one file of all images.

They are read back by the label readers and compared before the folder appears.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from competition.data.bands import all_pixel_files
from competition.data.pages import file_and_page
from competition.data.pixel_labels import PixelLabels
from competition.data.readers import coco, polygons
from competition.data.readers.file_per_image import pattern_files
from competition.errors import InputFault, MachineFault, listed
from competition.masks import Runs, polygons_from_runs, runs_from_polygons
from competition.masks.counts import counts_from_runs
from competition.spec import CocoLabels, Competition, NamedLabels, PolygonLabels
from competition.workspace import whole_folder

ExportKind = Literal["polygons", "coco"]
EXPORT_KINDS: tuple[ExportKind, ...] = get_args(ExportKind)

_COCO_FILE = "labels.json"
_CORNER = 1.25
"""A side of the polygon around the first pixel, between edges: one of 1 looks like shares."""


def write_label_files(
    competition: Competition,
    images: pd.DataFrame,
    labels: Mapping[str, PixelLabels],
    folder: Path,
    kind: ExportKind,
    *,
    with_images: bool = False,
) -> PolygonLabels | CocoLabels:
    """Write the labels of these images, rows of the catalog, into a new folder, whole or not at all.

    Returns the `[labels]` by which the folder is read as a `root`. with_images: their files are copied
    to the same paths in it. "polygons" is `{"annotations": [{"label": …, "points": …}]}` beside each
    image, by the competition's own pattern, units and coordinates where its labels are of this kind;
    "coco" has counts of pixels, and regions of `iscrowd = 1` where pixels do not count.

    InputFault where the folder is not empty, images are slices of files, two would have one label
    file, or classes that exclude each other share pixels; MachineFault where another mask was read
    back than was written.
    """
    folder = folder.resolve()
    _refuse(competition, images, labels, folder)
    options = _options(competition, images, labels, kind)
    with whole_folder(folder) as working:
        meant = competition.model_copy(
            update={
                "labels": options,
                "data": competition.data.model_copy(update={"root": str(working)}),
            }
        )
        if isinstance(options, CocoLabels):
            _write_coco(meant, options, images, labels)
            found = coco.read(meant, images)
        else:
            _write_polygons(meant, options, images, labels)
            found = polygons.read(meant, images)
        if with_images:
            _copy_images(competition, images, working)
        wrong = [
            f"image {image!r}: other masks were read back than were written"
            for image in images["image"]
            if found[image] != labels[image]
        ]
        if wrong:
            raise MachineFault(f"{listed(wrong)}\nnothing was written")
    return options


def _refuse(
    competition: Competition, images: pd.DataFrame, labels: Mapping[str, PixelLabels], folder: Path
) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputFault(f"{folder} is there already; name another folder, or delete it")
    paged = [path for path in images["path"] if file_and_page(path)[1] is not None]
    if paged:
        raise InputFault(
            f"{paged[0]} is a slice of a file, and these label files are of whole image files"
        )
    faults = []
    for image in images["image"] if competition.exclusive else ():
        classes = labels[image].classes
        shared = int(classes.area().sum() - classes.any_mask().area()[0])
        if shared:
            faults.append(
                f"image {image!r}: {shared} pixels are of two classes, which exclude each other "
                "(exclusive in the competition file)"
            )
    if faults:
        raise InputFault(listed(faults))


def _options(
    competition: Competition,
    images: pd.DataFrame,
    labels: Mapping[str, PixelLabels],
    kind: ExportKind,
) -> PolygonLabels | CocoLabels:
    if kind == "coco":
        return CocoLabels(kind="coco", files=_COCO_FILE)
    own = competition.labels
    named = own.ignore if isinstance(own, NamedLabels) else ()
    free = (*named, *(name for name in ("ignored", "uncounted") if name not in competition.classes))
    ignores = any(len(labels[image].ignored) for image in images["image"])
    ignore = free[:1] if ignores else ()
    if isinstance(own, PolygonLabels):
        asked = [own.model_copy(update={"ignore": ignore, "ignore_files": None})]
    else:
        patterns = ("labels/{stem}.json", "labels/{folder}/{stem}.json")
        asked = [PolygonLabels(kind="polygons", files=one, ignore=ignore) for one in patterns]
    for options in asked:
        spec = competition.model_copy(update={"labels": options})
        if len(pattern_files(spec, images, options.files)) == len(images):
            return options
    raise InputFault(
        f"several images would have one label file {asked[-1].files!r}: stem and folder of an image "
        "do not tell them apart; write kind coco"
    )


def _write_polygons(
    competition: Competition,
    options: PolygonLabels,
    images: pd.DataFrame,
    labels: Mapping[str, PixelLabels],
) -> None:
    paths = pattern_files(competition, images, options.files)
    for image, target in zip(images["image"], paths, strict=True):
        one = labels[image]
        named = list(zip(competition.classes, one.classes, strict=True))
        named += [(name, one.ignored[0]) for name in options.ignore[:1]]
        annotations = [
            {"type": "poly_seg", "label": name, "points": points}
            for name, mask in named
            for points in _points(mask, options)
        ]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"annotations": annotations}) + "\n", encoding="utf-8")


def _points(mask: Runs, options: PolygonLabels) -> list[list[list[float]]]:
    """The polygons of a mask (H, W), as the reader takes them."""
    rings = polygons_from_runs(mask, options.coordinates)
    if options.units == "shares":
        return [(ring / (mask.width, mask.height)).tolist() for ring in rings]
    written = []
    for ring in rings:
        if len(ring) < 3 or ring.max() > 1:
            written.append(ring.tolist())
        elif options.coordinates == "edges":
            written.append((ring * _CORNER).tolist())
        else:
            written += _lines(runs_from_polygons([ring], (mask.height, mask.width), "centres"))
    return written


def _lines(mask: Runs) -> list[list[list[float]]]:
    """A mask in the first two rows and columns as lines: a polygon of it looks like shares."""
    segments = zip(*(one.tolist() for one in mask.segments()), strict=True)
    return [[[left, row], [right - 1, row]] for row, left, right in segments]


def _write_coco(
    competition: Competition,
    options: CocoLabels,
    images: pd.DataFrame,
    labels: Mapping[str, PixelLabels],
) -> None:
    """Categories are numbered from 1, in the order of the classes."""
    pictures, annotations = [], []
    for number, (image, path) in enumerate(zip(images["image"], images["path"], strict=True), 1):
        one = labels[image]
        size = {"width": one.classes.width, "height": one.classes.height}
        pictures.append({"id": number, "file_name": path, **size})
        regions = [(k, mask, 0) for k, mask in enumerate(one.classes)] + [(0, one.ignored[0], 1)]
        annotations += [
            {"image_id": number, "category_id": k + 1, "iscrowd": crowd, **_counted(mask)}
            for k, mask, crowd in regions
            if len(mask)
        ]
    content = {
        "images": pictures,
        "categories": [{"id": k, "name": n} for k, n in enumerate(competition.classes, 1)],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
    }
    target = competition.root / options.files
    target.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _counted(mask: Runs) -> dict[str, Any]:
    """What COCO has of a mask (H, W) that is not empty."""
    top, left, bottom, right = mask.bounding_boxes()[0].tolist()
    return {
        "segmentation": {
            "size": [mask.height, mask.width],
            "counts": counts_from_runs(mask, "columns"),
        },
        "area": int(mask.area()[0]),
        "bbox": [left, top, right - left, bottom - top],
    }


def _copy_images(competition: Competition, images: pd.DataFrame, folder: Path) -> None:
    for path in sorted(set(all_pixel_files(images["path"], competition.data))):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(competition.root / path, target)
