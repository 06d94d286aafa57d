"""An image and the outlines of its classes at the size of a screen, for pages that switch classes on
and off: the picture as JPEG, each mask as an SVG path.

The one place where runs become paths: the report and the viewer draw what it gives.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from competition.masks import Runs
from competition.masks.geometry import crop
from competition.pictures.overlays import class_colours, fitted, shown_with

PATH_UNITS = 10
"""Units of a path in a pixel of the screen: paths are whole numbers, and short."""

MOST_CHARACTERS = 60_000
"""Of all paths of an image; a mask that takes more than its share (noise) is drawn at half the size, and
so on: a pixel there is inside where half of it is. One mask may take a third, or what is left to each.
"""

_MOST_EDGES = 40_000
"""Of a mask along its rows; OpenCV takes minutes to follow the outlines of many more."""

_TOLERANCE = 0.4
"""Pixels of the screen by which an outline may leave the mask's border."""


@dataclass(frozen=True)
class OutlinedImage:
    """An image as it is shown, and where each class lies on it.

    size: (height, width) in pixels of the screen, the image's aspect; jpeg: the picture, of that size;
    truth, prediction: class (its place in the class order, 0 to K − 1) → the `d` of an SVG path, only
    of classes that have a pixel. A path is in units of 1 / PATH_UNITS screen pixel (see `view_box`),
    to be filled by `evenodd`: holes are subpaths. ignored: the path of what does not count, "" if none.
    A browser takes a path as it is: `<path d=…>` in an `<svg viewBox=…>`, or `new Path2D(d)` on a
    canvas scaled by 1 / PATH_UNITS.
    """

    size: tuple[int, int]
    jpeg: bytes
    truth: Mapping[int, str]
    prediction: Mapping[int, str]
    ignored: str = ""

    @property
    def view_box(self) -> str:
        """Of the `<svg>` that is laid over the picture: "0 0 width height" in units of the paths."""
        height, width = self.size
        return f"0 0 {width * PATH_UNITS} {height * PATH_UNITS}"


def outlined_image(
    pixels: np.ndarray,
    truth: Runs | None,
    prediction: Runs | None,
    *,
    longest: int = 512,
    ignored: Runs | None = None,
    quality: int = 80,
) -> OutlinedImage:
    """A picture whose longer side is `longest` pixels, with the outlines of both sides' classes.

    pixels: uint8 (H, W, 3), RGB; truth, prediction: (K, H, W) of that size, None where there is none;
    ignored: (1, H, W); quality: of the JPEG, 1 to 95. InputFault for masks of another size.
    """
    height, width = pixels.shape[:2]
    truth, prediction, ignored = (
        None if runs is None else shown_with(pixels, runs) for runs in (truth, prediction, ignored)
    )
    size = fitted((height, width), longest)
    return OutlinedImage(
        size,
        jpeg_bytes(pixels, size, quality=quality),
        {} if truth is None else class_paths(truth, size),
        {} if prediction is None else class_paths(prediction, size),
        "" if ignored is None else class_paths(ignored, size).get(0, ""),
    )


def jpeg_bytes(pixels: np.ndarray, size: tuple[int, int], *, quality: int = 80) -> bytes:
    """uint8 (H, W, 3), RGB, resized to (height, width), as a JPEG file; the same bytes each time."""
    if pixels.shape[:2] != size:
        smaller = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, size[::-1], interpolation=how)
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, optimize=True)
    return file.getvalue()


def class_paths(runs: Runs, size: tuple[int, int]) -> dict[int, str]:
    """Class → the `d` of the SVG path around its pixels, of the classes that have any.

    runs: (K, H, W) or (H, W), of any size; size: (height, width) on the screen, in pixels. In units
    of 1 / PATH_UNITS screen pixel from the upper left corner of the image, closed, holes by evenodd.
    Follows the mask's border to half a screen pixel; what is smaller than that is drawn that large.

    >>> class_paths(Runs.from_dense(np.array([[0, 1, 1], [0, 1, 1]])), (2, 3))
    {0: 'M10 0v20h20v-20z'}
    """
    fine = 2 * size[0], 2 * size[1]
    if runs.height > fine[0] and runs.width > fine[1]:
        runs = _touched(runs, fine)
    scale = np.array([size[1] / runs.width, size[0] / runs.height])
    boxes, paths = runs.bounding_boxes(), {}
    present = np.flatnonzero(runs.area())
    most = MOST_CHARACTERS // max(3, len(present))
    for k in present:
        top, left, bottom, right = (int(side) for side in boxes[k])
        dense = crop(runs[k], top, left, bottom - top, right - left).to_dense().view(np.uint8)
        paths[int(k)] = _path(dense, scale * (left, top), scale, most)
    return paths


def _touched(runs: Runs, size: tuple[int, int]) -> Runs:
    """Smaller, (height, width) `size`: inside wherever a pixel of the mask lies, at least in part."""
    height, width = size
    rows, lefts, rights = runs.segments()
    classes = rows // runs.height
    lines = classes * height + (rows - classes * runs.height) * height // runs.height
    starts = lines * width + lefts * width // runs.width
    stops = lines * width + -(-rights * width // runs.width)
    return Runs.from_unsorted(starts, stops, (*runs.shape[:-2], height, width))


def _path(dense: np.ndarray, corner: np.ndarray, scale: np.ndarray, most: int) -> str:
    """Of uint8 (h, w), 1 inside; corner: (x, y) on the screen; scale: of a pixel there, (x, y); most:
    characters.
    """
    if np.count_nonzero(dense[:, 1:] != dense[:, :-1]) <= _MOST_EDGES:
        path = _followed(dense, corner, scale, most)
        if len(path) <= most:
            return path
    height, width = (-(-side // 2) for side in dense.shape)
    half = cv2.resize(dense * np.uint8(255), (width, height), interpolation=cv2.INTER_AREA) > 127
    larger = scale * (dense.shape[1] / width, dense.shape[0] / height)
    return _path(half.astype(np.uint8), corner, larger, most)


def _followed(dense: np.ndarray, corner: np.ndarray, scale: np.ndarray, most: int) -> str:
    """The whole path, or a beginning that is longer than `most`; see `_path`."""
    # Of pixels of half a screen pixel or less the borders are not seen apart from the centres.
    contours, origin = (_borders(dense), 0.0) if scale.max() > 0.5 else (_contours(dense), 0.5)
    parts, written = [], 0
    for contour in contours:
        if written > most:
            break
        points = ((contour + origin) * scale + corner).astype(np.float32)
        simple = cv2.approxPolyDP(points[:, None], _TOLERANCE, True)[:, 0]
        parts.append(_subpath(np.rint(simple * PATH_UNITS).astype(np.int64)))
        written += len(parts[-1])
    return "".join(parts)


def _borders(dense: np.ndarray) -> list[np.ndarray]:
    """Contours (n, 2) of (x, y) along the borders of pixels, 0 at the upper left corner.

    Each pixel takes the 3 × 3 nodes of a lattice twice as fine that lie in it and on its border, so
    that the outermost nodes of a mask are the corners of its pixels.
    """
    height, width = dense.shape
    lattice = np.zeros((2 * height + 1, 2 * width + 1), np.uint8)
    for down in range(3):
        for across in range(3):
            lattice[down : down + 2 * height : 2, across : across + 2 * width : 2] |= dense
    return [contour / 2 for contour in _contours(lattice)]


def _contours(dense: np.ndarray) -> list[np.ndarray]:
    """(n, 2) of (x, y) through the outermost pixels of each piece, and those around its holes."""
    found, _ = cv2.findContours(dense, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.reshape(-1, 2) for contour in found]


def _subpath(points: np.ndarray) -> str:
    """Closed, of whole (x, y), by steps; a single point is a line of no length, which is drawn as a
    dot where line ends are round.
    """
    steps = np.diff(points, axis=0)
    first = f"M{points[0, 0]} {points[0, 1]}"
    return first + ("".join(_step(int(x), int(y)) for x, y in steps if x or y) or "h0") + "z"


def _step(x: int, y: int) -> str:
    if y == 0:
        return f"h{x}"
    if x == 0:
        return f"v{y}"
    return f"l{x}{y}" if y < 0 else f"l{x} {y}"


def page_svg(
    outlined: OutlinedImage,
    classes: int,
    *,
    shown: Collection[int] | None = None,
    truth: bool = True,
    prediction: bool = True,
) -> str:
    """The image and its masks as one SVG document: masks filled and outlined, labels dashed.

    classes: K, by which the colours are those of the contact sheets; shown: of them, 0 to K − 1, None
    for all; truth, prediction: whether each side is drawn. What is ignored is hatched.
    """
    height, width = outlined.size
    colours = ["#{:02x}{:02x}{:02x}".format(*tone) for tone in class_colours(classes).tolist()]
    code = base64.b64encode(outlined.jpeg).decode()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{outlined.view_box}">',
        f'<image href="data:image/jpeg;base64,{code}" width="{width * PATH_UNITS}" '
        f'height="{height * PATH_UNITS}"/>',
        '<g fill-rule="evenodd" stroke-linejoin="round" stroke-linecap="round">',
    ]
    if outlined.ignored:
        parts += [
            f'<defs><pattern id="hatch" width="{8 * PATH_UNITS}" height="{8 * PATH_UNITS}" '
            f'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<rect width="{3 * PATH_UNITS}" height="{8 * PATH_UNITS}" fill="#fff"/></pattern></defs>'
            f'<path d="{outlined.ignored}" fill="url(#hatch)" fill-opacity=".7"/>'
        ]
    sides = [
        (prediction, outlined.prediction, 'fill="{0}" fill-opacity=".28"', ""),
        (
            truth,
            outlined.truth,
            'fill="none"',
            f' stroke-dasharray="{6 * PATH_UNITS} {5 * PATH_UNITS}"',
        ),
    ]
    for drawn, paths, fill, dashes in sides:
        for k, path in paths.items() if drawn else ():
            if shown is None or k in shown:
                tone = colours[k]
                stroke = f'stroke="{tone}" stroke-width="{2 * PATH_UNITS}"{dashes}'
                parts.append(f'<path d="{path}" {fill.format(tone)} {stroke}/>')
    return "".join([*parts, "</g></svg>"])
