"""CVAT: XML files of many images ("CVAT for images 1.1"), with polygons and masks.

https://docs.cvat.ai/docs/other/xml_format: points are "x,y;x,y;…", (0, 0) the corner of the first
pixel. A mask is counts of pixels outside and inside in turn, along the rows of its box of `width` ×
`height` at `left`, `top`. Boxes, ellipses, lines and points are no masks, and refused; a tag, which
is of the image, has no pixels.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from competition.data.catalog import sizes_of
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.exports import ListedImage, export_files, read_exports
from competition.data.readers.shapes import drawn, known_name, labels_of_shapes, names_of, placed
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.masks.counts import runs_from_counts
from competition.masks.polygons import Coordinates
from competition.spec import Competition, CvatLabels

_NO_SHAPES = ("tag", "attribute")


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return export_files(competition, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; shapes of one class are united."""
    options, names = _options(competition), names_of(competition)
    found = read_exports(competition, images, options.files, _listed)
    labels, faults = {}, []
    for image, size in sizes_of(images).items():
        shapes, entry = [], found[image]
        for number, element in enumerate(entry.content):
            place = f"{entry.place} {element.tag} {number}"
            try:
                name = known_name(element.get("label"), names, place)
                shapes.append((name, _mask(element, size, options.coordinates, place)))
            except InputFault as fault:
                faults.append(str(fault))
        labels[image] = labels_of_shapes(competition, size, shapes)
    if faults:
        raise InputFault(listed(faults))
    return labels


def _options(competition: Competition) -> CvatLabels:
    assert isinstance(competition.labels, CvatLabels)
    return competition.labels


def _listed(path: Path) -> Iterator[ListedImage[list[ElementTree.Element]]]:
    """The images of a file with their shapes."""
    root = _parsed(path)
    for image in root.iter("image"):
        name = image.get("name")
        if not name:
            raise InputFault(f"{path} image {image.get('id')}: no name")
        place = f"{path} image {name!r}"
        size = (_number(image, "height", place), _number(image, "width", place))
        shapes = [element for element in image if element.tag not in _NO_SHAPES]
        yield ListedImage(place, name, size, content=shapes, empty=not shapes)


def _parsed(path: Path) -> ElementTree.Element:
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content:  # entities may grow without end
            raise InputFault(f"{path} declares a document type; CVAT's files have none")
        root = ElementTree.fromstring(content)
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except OSError as error:
        raise InputFault(f"{path} cannot be read: {error.strerror}") from error
    except ElementTree.ParseError as error:
        raise InputFault(f"{path} is not whole XML: {error}") from error
    if root.tag != "annotations":
        raise InputFault(f"{path} is <{root.tag}>; expected CVAT's <annotations>")
    if root.find("track") is not None:
        raise InputFault(f'{path} holds tracks; export it as "CVAT for images 1.1"')
    return root


def _number(element: ElementTree.Element, key: str, place: str) -> int:
    text = element.get(key, "")
    if not (text.isascii() and text.isdigit()):
        raise InputFault(f"{place}: {key} {element.get(key)!r}; expected a whole number")
    return int(text)


def _mask(
    element: ElementTree.Element, size: tuple[int, int], coordinates: Coordinates, place: str
) -> Runs:
    """Runs (H, W) of one shape."""
    if element.tag == "polygon":
        try:
            pairs = element.get("points", "").split(";")
            points = [[float(number) for number in pair.split(",")] for pair in pairs]
        except ValueError as error:
            raise InputFault(f"{place}: points are not x,y;x,y;…: {error}") from error
        return drawn([points], size, coordinates, place)
    if element.tag != "mask":
        raise InputFault(f"{place}: a {element.tag} is no mask; expected polygons and masks alone")
    top, left, height, width = (
        _number(element, key, place) for key in ("top", "left", "height", "width")
    )
    try:
        counts = [int(number) for number in element.get("rle", "").split(",")]
        inside = runs_from_counts(counts, (height, width), "rows")
    except ValueError as error:
        raise InputFault(f"{place}: rle: {error}") from error
    return placed(inside.to_dense(), (top, left), size, place)
