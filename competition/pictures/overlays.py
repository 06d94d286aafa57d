"""Masks over images, and contact sheets of them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from competition.data.images import PIXEL_LIMIT
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.geometry import resize_area
from competition.workspace import whole_file

_SHIFT = 4
"""Bits of a fraction of a pixel in OpenCV's drawing."""

_PAPER, _INK, _FAINT = (250, 250, 248), (32, 33, 36), (120, 122, 126)
RIGHT, FALSE, MISSED = (58, 181, 92), (226, 62, 62), (64, 128, 240)
"""Colours of `comparison`: green, red, blue."""

_GAP = 12

_STRIPE, _PERIOD = 3, 8
"""Pixels of a bright and of a dark line, and from one pair of lines to the next, along a row."""


def class_colours(classes: int) -> np.ndarray:
    """RGB uint8 (K, 3): neighbours in the class order lie far apart on the colour circle.

    Hues by the golden angle in CIELAB, where equal steps look about equal, in four lightnesses in
    turn, all light enough for radiographs and dark enough for bright fields.
    """
    places = np.arange(classes)
    hue = np.radians((150 + places * 137.508) % 360)
    light = np.array([74, 84, 64, 54])[places % 4]
    lab = np.stack([light, 52 * np.cos(hue), 52 * np.sin(hue)], axis=1).astype(np.float32)
    rgb = cv2.cvtColor(lab[None], cv2.COLOR_Lab2RGB)[0] if classes else lab
    return (rgb * 255).round().astype(np.uint8)


def overlay(
    image: np.ndarray,
    runs: Runs,
    *,
    size: tuple[int, int] | None = None,
    colours: np.ndarray | None = None,
    fill: float = 0.3,
    ignored: Runs | None = None,
) -> np.ndarray:
    """The image with each class tinted and outlined: uint8 (height, width, 3).

    image: uint8 (H, W, 3); runs: (K, H, W) or (H, W) of the same size; size: (height, width) of
    the picture, the image's unless given; colours: uint8 (K, 3); ignored: pixels (1, H, W) that do
    not count, hatched.
    """
    runs = shown_with(image, runs)
    ignored = None if ignored is None else shown_with(image, ignored)
    colours = class_colours(runs.classes) if colours is None else colours
    picture = _resized(image, size or image.shape[:2])
    scale = picture.shape[1] / runs.width, picture.shape[0] / runs.height
    painted = picture.astype(np.float32)
    for k in np.flatnonzero(runs.area()):
        _tint(painted, runs[k], colours[k], fill)
    canvas = painted.round().astype(np.uint8)
    for k in np.flatnonzero(runs.area()):
        _outline(canvas, runs[k], colours[k], scale)
    if ignored is not None and len(ignored):
        _hatch(canvas, ignored[0])
    return canvas


def shown_with(image: np.ndarray, runs: Runs) -> Runs:
    """Masks of the image's size (H, W, 3); those of an image that was too large to be decoded whole, and
    is seen shrunk (`data/strips.py`), are shrunk with it. InputFault for others of another size.
    """
    size = image.shape[0], image.shape[1]
    if size == (runs.height, runs.width):
        return runs
    if runs.plane <= PIXEL_LIMIT:
        raise InputFault(f"an image of {size} and masks of {(runs.height, runs.width)}")
    return resize_area(runs, size)


def comparison(
    image: np.ndarray,
    truth: Runs,
    prediction: Runs,
    *,
    size: tuple[int, int] | None = None,
    ignored: Runs | None = None,
) -> np.ndarray:
    """Truth and prediction side by side, and where they differ: uint8 (height, 3 width + gaps, 3).

    Third panel: green both, red predicted only, blue missed; over all classes together. ignored:
    pixels (1, H, W) that do not count, hatched in all panels and never different.
    """
    whole = prediction
    if ignored is not None:
        truth, prediction = truth.without(ignored), prediction.without(ignored)
    first, second = truth.any_mask(), prediction.any_mask()
    if len(truth.shape) == 3 and truth.classes > 1:
        wrong = (truth ^ prediction).any_mask()
        second_only, first_only = (prediction - truth).any_mask(), (truth - prediction).any_mask()
        both = (first & second) - wrong
    else:
        both, second_only, first_only = first & second, second - first, first - second
    compared = Runs.stack([both, second_only, first_only])
    colours = np.array([RIGHT, FALSE, MISSED], np.uint8)
    panels = [
        overlay(image, truth, size=size, ignored=ignored),
        overlay(image, whole, size=size, ignored=ignored),
        overlay(image, compared, size=size, colours=colours, fill=0.45, ignored=ignored),
    ]
    return beside(panels)


def glowing(
    image: np.ndarray, share: np.ndarray, *, size: tuple[int, int] | None = None
) -> np.ndarray:
    """The image darkened, and lit where `share` is high: uint8 (height, width, 3).

    image: uint8 (H, W, 3); share: uint8 (h, w) of the same aspect, 255 for all of it; size: as in
    `overlay`.
    """
    picture = _resized(image, size or image.shape[:2]).astype(np.float32) * 0.5
    weight = _resized(share, picture.shape[:2])[..., None].astype(np.float32) / 255
    return (picture + (np.array(FALSE, np.float32) - picture) * weight).round().astype(np.uint8)


def beside(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures (height, w, 3) of one height in a row, with gaps between them."""
    gap = np.full((panels[0].shape[0], 4, 3), _PAPER, np.uint8)
    spaced = [one for panel in panels for one in (gap, panel)]
    return np.concatenate(spaced[1:], axis=1)


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A (height, width) of the same aspect whose longer side is `longest` pixels.

    >>> fitted((100, 200), 50)
    (25, 50)
    """
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def contact_sheet(
    tiles: Sequence[np.ndarray],
    path: Path,
    *,
    columns: int = 4,
    captions: Sequence[str] = (),
    title: str = "",
    legend: Sequence[str] = (),
    hatched: bool = False,
) -> None:
    """Write pictures uint8 (h, w, 3) of any sizes as one PNG, row by row, captions below them.

    legend: names of the classes, shown in the colours that `overlay` gives them; hatched: it says
    too what hatched pixels are.
    """
    if not tiles:
        raise InputFault(f"{path}: a contact sheet of no pictures")
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width = max(tile.shape[1] for tile in tiles)
    across = min(columns, len(tiles))
    line = 22 if captions else 0
    heights = [max(tile.shape[0] for tile in row) + line + _GAP for row in rows]
    names = _legend_rows([*legend, *(["ignored"] if hatched else [])], across * (width + _GAP))
    top = _GAP + (34 if title else 0)
    size = (across * (width + _GAP) + _GAP, top + sum(heights) + 24 * len(names))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP - 2), title, fill=_INK, font=_font(20))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, upper = _GAP + column * (width + _GAP), top + sum(heights[:row])
        sheet.paste(Image.fromarray(tile), (left, upper))
        if captions:
            text = _shortened(captions[number], width)
            pen.text((left, upper + tile.shape[0] + 3), text, fill=_FAINT, font=_font(13))
    _draw_legend(sheet, names, len(legend), size[1] - 24 * len(names))
    with whole_file(path, "wb") as file:
        sheet.save(file, format="PNG")


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how)


def _tint(painted: np.ndarray, mask: Runs, colour: np.ndarray, fill: float) -> None:
    """Mix the colour into float32 (h, w, 3) where the mask, resized to it, is."""
    share = _resized(mask.to_dense().view(np.uint8) * np.uint8(255), painted.shape[:2])
    rows, columns = (np.flatnonzero(share.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    weight = share[box][..., None].astype(np.float32) * (fill / 255)
    painted[box] += (colour.astype(np.float32) - painted[box]) * weight


def _outline(
    canvas: np.ndarray, mask: Runs, colour: np.ndarray, scale: tuple[float, float]
) -> None:
    """Draw the border of a mask on uint8 (h, w, 3), smooth to a fraction of a pixel."""
    dense = mask.to_dense().view(np.uint8)
    contours, _ = cv2.findContours(dense, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = [((contour.reshape(-1, 2) + 0.5) * scale - 0.5) for contour in contours]
    whole = [np.round(points * (1 << _SHIFT)).astype(np.int32) for points in lines]
    thickness = 1 if max(canvas.shape[:2]) < 700 else 2
    tone = tuple(int(value) for value in colour)
    cv2.polylines(canvas, whole, True, tone, thickness, cv2.LINE_AA, _SHIFT)


def _hatch(canvas: np.ndarray, mask: Runs) -> None:
    """Lines at 45° on uint8 (h, w, 3) where the mask (H, W) is: a bright one beside a dark one each."""
    dense, size = mask.to_dense().view(np.uint8) * np.uint8(255), canvas.shape[:2]
    # What is thinner than a pixel of the picture is seen too; what is enlarged keeps its edges.
    least = 1 if size[0] * size[1] < dense.size else 128
    rows, columns = np.indices(size, sparse=True)
    place = (rows + columns) % _PERIOD
    inside = _resized(dense, size) >= least
    canvas[inside & (place < _STRIPE)] = 255
    canvas[inside & (place >= _STRIPE) & (place < 2 * _STRIPE)] = 0


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shortened(text: str, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels."""
    font = _font(13)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        shorter = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
        if font.getlength(shorter) <= width:
            return shorter
    return "…"


def _legend_rows(names: Sequence[str], width: int) -> list[list[tuple[int, int, str]]]:
    """(left, class, name) of each entry, in rows that fit `width` pixels."""
    rows: list[list[tuple[int, int, str]]] = []
    left = width
    for k, name in enumerate(names):
        length = int(_font(13).getlength(name)) + 36
        if left + length > width:
            rows.append([])
            left = _GAP
        rows[-1].append((left, k, name))
        left += length
    return rows


def _draw_legend(
    sheet: Image.Image,
    rows: Sequence[Sequence[tuple[int, int, str]]],
    classes: int,
    top: int,
) -> None:
    """A box and a name each; what comes after the classes is hatched."""
    pen, colours = ImageDraw.Draw(sheet), class_colours(classes)
    for number, row in enumerate(rows):
        upper = top + 24 * number
        for left, k, name in row:
            box = (left, upper + 2, left + 13, upper + 15)
            if k < classes:
                pen.rounded_rectangle(box, radius=3, fill=tuple(int(c) for c in colours[k]))
            else:
                patch = np.full((14, 14, 3), _FAINT, np.uint8)
                _hatch(patch, Runs.full((1, 14, 14))[0])
                sheet.paste(Image.fromarray(patch), box[:2])
            pen.text((left + 19, upper), name, fill=_INK, font=_font(13))
