"""The one image loader: training, prediction and the doctor all see a file the same way."""

import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import cast

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile

from competition.data.dicom import DicomImage
from competition.data.levels import RGB, kept
from competition.data.nifti import NiftiImage
from competition.data.npy import NpyImage
from competition.data.pages import PAGES_KEY, file_and_page, file_of, may_have_pages, refuse_axis
from competition.data.tiff_samples import TiffSamples, has_tiff_header
from competition.errors import InputFault
from competition.spec import PixelForm

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What Pillow opens; it knows more, some of which run programs (EPS)."""

_BY_ENDING = {".dcm": DicomImage, ".npy": NpyImage, ".nii": NiftiImage, ".nii.gz": NiftiImage}
"""What is not Pillow's, told by the ending alone."""

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"),
    *_BY_ENDING,
)
"""Of the files that hold images; one of them has two points."""

PIXEL_LIMIT = 2**27
"""Most pixels that are decoded unless a caller says otherwise: 11,585², 400 MB as RGB."""

STRIP_ENDINGS = (".npy", ".tif", ".tiff")
"""Of files that are read strip by strip where they have more pixels; see `scaled.py`."""

STRIP_LIMIT = 2**32
"""Most pixels of those: 65,536²."""

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before any decoding

_ORIENTATION = 0x0112
_TURNS = {
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}
"""Of an EXIF orientation: whether rows are reversed, whether columns are, and whether they then change
places."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_PNG = b"\x89PNG\r\n\x1a\n"
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def safe_path(root: Path, relative: str, *, links: bool = False) -> Path:
    """`root / relative`, refused where it leaves `root` by `..`, an absolute path or a symlink.

    links: symlinks are followed, since the competition file says that the data lie elsewhere.
    Checked before the file is opened. A backslash is refused too: it is a separator on Windows,
    so one text would name two files.
    """
    parts = PurePosixPath(relative)
    if not relative or "\0" in relative or "\\" in relative or ":" in relative[:2]:
        raise InputFault(f"path {relative!r}: expected a relative path with forward slashes")
    if parts.is_absolute() or ".." in parts.parts:
        raise InputFault(f"path {relative!r} leaves the data folder {root}")
    home = os.path.realpath(root)
    try:
        path = os.path.realpath(root / relative, strict=True)
    except FileNotFoundError:
        path = os.path.realpath(root / relative)
    except OSError as error:
        raise InputFault(f"path {relative!r} cannot be followed: {error.strerror}") from error
    if not links and os.path.commonpath([home, path]) != home:
        raise InputFault(
            f"path {relative!r} is a link out of the data folder {root}, to {path}; if the data lie "
            'there, links = "followed" in [data]'
        )
    return root / relative


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) in pixels as `read_image` returns it, from the header alone."""
    file = _beyond_pillow(path)
    if file is not None:
        return file.size
    with _opened(path) as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def page_count(path: Path, axis: int | None = None) -> int:
    """How many slices a file has, along this axis of its array (None: the usual one); from its header
    alone. InputFault where it is none of the files that may have several, or has no such axis.
    """
    with _readable(path):
        kind = _kind_of(str(path))
        if kind is not None:
            return kind.pages(path, axis)
        refuse_axis(axis, "pages")
        with Image.open(path, formats=("TIFF",)) as image:
            return getattr(image, "n_frames", 1)


def read_image(path: Path, form: PixelForm = RGB, *, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """uint8 or uint16 (H, W, C), 0 black, as `form` says, turned as its EXIF orientation asks.

    By default uint8 (H, W, 3), RGB: grey and 1-bit images have three equal channels; a palette gives
    its colours; what is transparent is laid on black (alpha that is opaque everywhere changes nothing),
    but where two channels of grey and alpha are asked for, or four. Values deeper than the bits that
    are kept lose their low bits by the depth the file declares, 16 for a 16-bit file, or by
    `form.depth` where the organisers use fewer (12 in 16); `form.range` places them otherwise (see
    `kept`). A TIFF whose zero is white (MONOCHROME1) is turned round. DICOM and arrays: see
    `DicomImage.values`, `NpyImage.values`. `form.bands` is no matter of one file: see `read_pixels`.
    InputFault names a file that cannot be read whole, or that has more than `limit` pixels (its header
    is read, nothing is decoded).
    """
    file, orientation = _beyond_pillow(path), 1
    if form.frame is not None and not isinstance(file, NpyImage):
        raise InputFault(f"{path}: frame in [data] is for arrays (.npy)")
    if file is not None:
        _refuse_large(file.size, path, limit, image=True)
        values, bits = _stored(file, form)
    else:
        with _opened(path) as image:
            _refuse_large(image.size[::-1], path, limit, image=True)
            orientation = _orientation(image)
            values, bits = _values(image, path, form)
    return np.ascontiguousarray(_turned(kept(values, bits, form, path), orientation))


def read_values(path: Path) -> tuple[np.ndarray, int | None]:
    """What a file stores, (H, W) or (H, W, n) before it is turned, and how many bits hold it: None of
    decimals and signed numbers. Alpha is the last channel.
    """
    every = PixelForm(channels=4)
    file = _beyond_pillow(path)
    if file is not None:
        _refuse_large(file.size, path, PIXEL_LIMIT)
        return _stored(file, every)
    with _opened(path) as image:
        _refuse_large(image.size[::-1], path, PIXEL_LIMIT)
        return _values(image, path, every)


def _stored(file: "_BeyondPillow", form: PixelForm) -> tuple[np.ndarray, int | None]:
    """Values (H, W) or (H, W, n) and their bits, as `kept` takes them, of what Pillow does not read."""
    if isinstance(file, NpyImage) and form.frame is not None:
        file = file.at(form.frame)
    if isinstance(file, DicomImage):
        return (file.rescaled(), None) if form.range else file.values(form.depth, kept=form.bits)
    return file.values(form.depth)


def read_index(path: Path, *, threshold: int | None = None, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """The stored numbers of a mask image: uint8, uint16 or int32 (H, W), EXIF-turned.

    A palette gives its index, never its colour (two palettes order one colour differently). Three
    channels must be equal. With `threshold` the result is uint8 0/1: 1 where value >= threshold.
    A JPEG smears its values, so it is refused without one. DICOM is refused as well.
    """
    file, orientation = _beyond_pillow(path), 1
    if isinstance(file, DicomImage):
        raise InputFault(f"{path}: a mask in DICOM is not read; save it as PNG")
    if file is not None:
        _refuse_large(file.size, path, limit)
        values = file.numbers()
    else:
        with _opened(path) as image:
            _refuse_large(image.size[::-1], path, limit)
            if image.format in ("JPEG", "MPO") and threshold is None:
                raise InputFault(
                    f"{path}: a mask in JPEG has smeared values; set threshold in [labels], or save "
                    "it as PNG"
                )
            orientation = _orientation(image)
            values = _single_channel(_decoded(image, path), path)
    if threshold is not None:
        values = (values >= threshold).astype(np.uint8)
    return np.ascontiguousarray(_turned(values, orientation))


def read_colours(path: Path, *, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """The colours of a mask image: int32 (H, W), red · 65536 + green · 256 + blue, EXIF-turned.

    A palette gives its colours, and alpha that is opaque everywhere changes nothing. InputFault for
    pixels that are not opaque, for more than 8 bits a channel, for a JPEG, which smears colours, and
    for DICOM and arrays.
    """
    file = _beyond_pillow(path)
    if file is not None:
        raise InputFault(
            f"{path}: colours of masks are not read from {file.format}; save it as PNG"
        )
    with _opened(path) as image:
        _refuse_large(image.size[::-1], path, limit)
        if image.format in ("JPEG", "MPO"):
            raise InputFault(
                f"{path}: a mask in JPEG has smeared colours; take the originals, such as PNG"
            )
        orientation = _orientation(image)
        if _file_depth(image) > 8 or image.mode == "F":
            raise InputFault(f"{path} has more than 8 bits a channel; colours of masks have 8")
        rgba = np.asarray(_decoded(image, path).convert("RGBA"), np.int32)
    if rgba[..., 3].min() != 255:
        raise InputFault(f"{path}: a mask with transparent pixels; expected opaque colours")
    codes = rgba[..., 0] << 16 | rgba[..., 1] << 8 | rgba[..., 2]
    return np.ascontiguousarray(_turned(codes, orientation))


def png_mask(content: bytes, *, within: tuple[int, int]) -> np.ndarray:
    """bool (h, w) of a PNG that a label file holds: what is not transparent, else what is above 0.

    InputFault where it is none, is damaged, or is larger than `within` (height, width).
    """
    try:
        image = Image.open(BytesIO(content), formats=("PNG",))
        if image.height > within[0] or image.width > within[1]:
            raise InputFault(
                f"its PNG of {image.height} × {image.width} (height × width) is larger than its image "
                f"of {within[0]} × {within[1]}"
            )
        _check_png(content)
        values = np.asarray(image)
    except InputFault:
        raise
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise InputFault(f"its PNG cannot be read: {error}") from error
    if image.mode in _WITH_ALPHA:
        values = values[..., -1]
    return values > 0 if values.ndim == 2 else values.max(axis=2) > 0


@dataclass(frozen=True)
class FileFacts:
    """What a header declares: format, mode (Pillow's; the photometric interpretation of DICOM, the
    dtype of an array), bits a value, EXIF orientation (1: none).
    """

    format: str
    mode: str
    depth: int
    orientation: int


def file_facts(path: Path) -> FileFacts:
    """The facts of an image file, from its header alone."""
    file = _beyond_pillow(path)
    if file is not None:
        return FileFacts(file.format, file.mode, file.depth, 1)
    with _opened(path) as image:
        depth = 1 if image.mode == "1" else _file_depth(image)
        return FileFacts(str(image.format), image.mode, depth, _orientation(image))


_BeyondPillow = DicomImage | NpyImage | NiftiImage | TiffSamples


def _kind_of(file: str) -> type[_BeyondPillow] | None:
    """What reads a file; None where Pillow does."""
    if file.lower().endswith((".tif", ".tiff")):
        return TiffSamples if _is_tiff_beyond_pillow(Path(file)) else None
    kinds = [kind for ending, kind in _BY_ENDING.items() if file.lower().endswith(ending)]
    return kinds[0] if kinds else None


def _beyond_pillow(path: Path) -> _BeyondPillow | None:
    """What Pillow does not read, with its header read and nothing decoded; None for the rest."""
    file, page = file_and_page(path)
    kind = _kind_of(file)
    if kind is None:
        return None
    with _readable(path):
        return kind.opened(Path(file), page)


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """InputFault that names the file for what is wrong with its header."""
    try:
        yield
    except InputFault:
        raise
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except (OSError, SyntaxError, ValueError) as error:
        found = _emptiness(path) or str(error)
        raise InputFault(f"{path} is not an image that can be read: {found}") from error


def _is_tiff_beyond_pillow(path: Path) -> bool:
    """Whether it is a TIFF of pixels that Pillow has no mode for, such as five samples each."""
    try:
        Image.open(path, formats=("TIFF",)).close()
    except (OSError, SyntaxError, ValueError):
        return path.is_file() and has_tiff_header(path)
    return False


def _opened(path: Path) -> Image.Image:
    """The image, or the page of a TIFF, with its header read and nothing decoded."""
    file, page = file_and_page(path)
    with _readable(path):
        image = Image.open(file, formats=IMAGE_FORMATS)
    if page is not None:
        size = image.size
        try:
            image.seek(page.number)
        except EOFError:
            frames = getattr(image, "n_frames", 1)
            raise InputFault(
                f"{path}: the file has {frames} pages, and none of number {page.number} (from 0)"
            ) from None
        if image.size != size:
            raise InputFault(
                f"{path} has {image.height} × {image.width} pixels and the first page of its file "
                f"{size[1]} × {size[0]}: they are no slices of one volume"
            )
    elif getattr(image, "is_animated", False) and image.format != "MPO":
        frames = getattr(image, "n_frames", "several")
        hint = f": {PAGES_KEY}" if may_have_pages(file) else ""
        raise InputFault(f"{path} holds {frames} pictures; expected one{hint}")
    return image


def _decoded(image: Image.Image, path: Path) -> Image.Image:
    try:
        if image.format == "PNG":
            _check_png(Path(path).read_bytes())
        image.load()
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise InputFault(f"{path} is damaged: {error}; download it again") from error
    return image


def _check_png(content: bytes) -> None:
    """ValueError where a chunk's checksum is wrong or the end is missing: Pillow skips both."""
    position = len(_PNG)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        end = position + 8 + length
        kind = content[position + 4 : position + 8]
        if end + 4 > len(content):
            break
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise ValueError(f"wrong checksum in its {kind.decode('ascii', 'replace')} chunk")
        if kind == b"IEND":
            return
        position = end + 4
    raise ValueError(f"it is cut off after {len(content)} bytes")


def _values(image: Image.Image, path: Path, form: PixelForm) -> tuple[np.ndarray, int | None]:
    """(H, W) or (H, W, n) of an image before it is turned, and their bits as `kept` takes them."""
    depth = form.depth or _file_depth(image)
    further = _colour_depth(image) if form.bits == 16 or form.range else 8
    if _is_deep_colour(image) or further > 8:
        bits = depth if further == 8 else form.depth or further
        return _deep_colours(Path(path), bits, alpha=form.channels == 4)
    image = _decoded(image, path)
    if image.mode in _DEEP:
        grey = np.asarray(image)
        zero_is_white = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
        if _is_signed(image):
            return grey, None
        if zero_is_white and not form.range:  # Pillow does so for 8 bits alone
            return 2**depth - 1 - grey.astype(np.int32), depth
        return grey, depth
    if image.mode == "F":
        return np.asarray(image), None
    own = {2: ("LA",), 4: ("RGBA", "CMYK")}.get(form.channels, ())
    if image.mode in own:
        return np.asarray(image), 8
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _on_black(np.asarray(image.convert("RGBA")), 255), 8
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")), 8


def _is_signed(image: Image.Image) -> bool:
    """Whether a TIFF says that its numbers may be below 0, such as Hounsfield units."""
    return isinstance(image, TiffImageFile) and 2 in image.tag_v2.get(_SAMPLE_FORMAT, ())


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether a PNG has colours of 16 bits, of which Pillow keeps 8; before it is decoded."""
    if not isinstance(image, PngImageFile) or image.mode in _DEEP:
        return False
    return any(str(tile[3]).endswith(";16B") for tile in image.tile)


def _colour_depth(image: Image.Image) -> int:
    """Bits of each colour of a TIFF or a PPM, of which Pillow keeps 8; before it is decoded."""
    if isinstance(image, TiffImageFile) and image.mode in ("RGB", "RGBA"):
        return _file_depth(image)
    if isinstance(image, PpmImageFile) and image.mode == "RGB" and image.tile[0][0] == "ppm":
        _, largest = cast("tuple[str, int]", image.tile[0][3])
        return largest.bit_length()
    return 8


def _deep_colours(path: Path, bits: int, *, alpha: bool) -> tuple[np.ndarray, int]:
    """(H, W, 3) of 16 bits a channel, laid on black, or with its alpha; and their bits."""
    content = path.read_bytes()
    try:
        if content.startswith(_PNG):
            _check_png(content)
    except ValueError as error:
        raise InputFault(f"{path} is damaged: {error}; download it again") from error
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise InputFault(f"{path} is damaged: it cannot be decoded; download it again")
    values = np.asarray(decoded, np.uint16)
    colours = values[..., 2::-1]  # OpenCV's order is blue, green, red
    if values.shape[2] < 4:
        return colours, bits
    rgba = np.concatenate([colours, values[..., 3:]], axis=2)
    return (rgba, bits) if alpha else (_on_black(rgba, 65535), bits)


def _on_black(rgba: np.ndarray, opaque: int) -> np.ndarray:
    """(H, W, 3) of their dtype: colour × alpha; equal to the colour where alpha is `opaque`."""
    alpha = rgba[..., 3:]
    if alpha.min() == opaque:
        return rgba[..., :3]
    product = rgba[..., :3].astype(np.uint64) * alpha + opaque // 2
    return (product // opaque).astype(rgba.dtype)


def _single_channel(image: Image.Image, path: Path) -> np.ndarray:
    """The numbers of a mask (H, W); equal channels count as one, an opaque alpha as none."""
    values = np.asarray(image)
    if values.ndim == 2:
        return values.astype(np.uint8 if values.dtype == bool else values.dtype.newbyteorder("="))
    if image.mode in ("LA", "RGBA"):
        if values[..., -1].min() != 255:
            raise InputFault(f"{path}: a mask with transparent pixels; expected one channel")
        values = values[..., :-1]
    if image.mode in ("CMYK", "PA") or (values != values[..., :1]).any():
        raise InputFault(f"{path} is a colour picture ({image.mode}); a mask has one channel")
    return values[..., 0]


def _file_depth(image: Image.Image) -> int:
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))[0])
    return 16 if image.mode in _DEEP or _is_deep_colour(image) else 8


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1…8 as far as the header tells; Pillow turns a TIFF by itself."""
    if image.format == "TIFF":
        return 1
    return Image.Image.getexif(image).get(_ORIENTATION, 1)  # PNG's own getexif decodes first


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, …) as it is meant to be seen: EXIF values 2…8 mirror and rotate."""
    upside_down, mirrored, across = _TURNS.get(orientation, (False, False, False))
    pixels = pixels[::-1] if upside_down else pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    return pixels.swapaxes(0, 1) if across else pixels


def _refuse_large(size: tuple[int, int], path: Path, limit: int, *, image: bool = False) -> None:
    """image: of a file that is no mask."""
    height, width = size
    if width * height > limit:
        in_strips = image and file_of(str(path)).lower().endswith(STRIP_ENDINGS)
        hint = "; a recipe with tiles reads it strip by strip" if in_strips else ""
        raise InputFault(
            f"{path} has {height} × {width} pixels; the limit is {limit:,} ({limit**0.5:,.0f}²){hint}"
        )


def _emptiness(path: Path) -> str:
    path = Path(file_of(str(path)))
    return "it is empty" if path.is_file() and path.stat().st_size == 0 else ""
