"""Transforms of albumentations that a recipe names: checked when the recipe is loaded, and built.

albumentations takes seconds to import, so it is imported where a recipe names a transform. It only
warns of an argument that it does not know, and finds most of what it cannot take when an image comes;
here each transform is tried on a made-up image of the recipe's size, channels and bits.
"""

import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from competition.errors import InputFault, in_one_line, listed, nearest
from competition.recipes.recipe import Recipe, Transform

if TYPE_CHECKING:
    import albumentations

_OFFERED_BY = "its documentation"
_GROUPS = ("OneOf", "SomeOf", "Sequential")
"""What holds further transforms, as tables in `transforms`."""
_BASES = ("BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D")

_SIZED = "changes the size of images; `size`, `fit` and sampling.crop of the recipe do that"
_BOXES = "works on boxes, and there are masks alone"
_VOLUMES = "is for volumes, and examples are images"
_OTHERS = "takes a second image, which no transform is given"
_PIXELS = "changes the channels or the type of pixels, which the network expects as they are"
_REFUSED = {
    **dict.fromkeys(
        (
            *(
                "CenterCrop",
                "Crop",
                "CropNonEmptyMaskIfExists",
                "RandomCrop",
                "RandomCropFromBorders",
            ),
            *("LongestMaxSize", "SmallestMaxSize", "RandomScale", "Resize", "Pad", "PadIfNeeded"),
        ),
        _SIZED,
    ),
    **dict.fromkeys(
        (
            *("AtLeastOneBBoxRandomCrop", "BBoxSafeRandomCrop", "RandomCropNearBBox"),
            "RandomSizedBBoxSafeCrop",
        ),
        _BOXES,
    ),
    **dict.fromkeys(
        (
            *("CenterCrop3D", "CoarseDropout3D", "CubicSymmetry", "Pad3D", "PadIfNeeded3D"),
            *("RandomCrop3D", "ToTensor3D"),
        ),
        _VOLUMES,
    ),
    **dict.fromkeys(
        ("FDA", "HistogramMatching", "OverlayElements", "PixelDistributionAdaptation"), _OTHERS
    ),
    **dict.fromkeys(("FromFloat", "ToFloat", "Normalize", "ToTensorV2"), _PIXELS),
    **dict.fromkeys(
        ("FrequencyMasking", "TimeMasking"),
        "is for spectrograms; XYMasking drops stripes of images",
    ),
    "TimeReverse": "is for spectrograms; HorizontalFlip mirrors images",
    "Mosaic": "takes further images, which no transform is given; augmentation.mosaic does it",
    "ToRGB": "makes three channels of one, which `channels` in [data] does",
    "PiecewiseAffine": "takes seconds an image; ElasticTransform or ThinPlateSpline bends as well",
    "TextImage": "writes texts into boxes, and there are none",
    "Lambda": "runs functions, which no file of values can hold",
    "MaskDropout": "reads one class of objects from a mask, and masks travel eight classes in a byte",
    "ConstrainedCoarseDropout": "reads one class of objects from a mask, and masks travel eight "
    "classes in a byte; CoarseDropout drops anywhere",
    "Morphological": "grows the numbers of masks, and masks travel eight classes in a byte",
}
_FILLED = ("RandomResizedCrop", "RandomSizedCrop")
"""Those whose `size` is that of the example, which need not be said."""

_MIRROR, _UPSIDE, _TURN = "horizontal_flip", "vertical_flip", "quarter_turns"
_NEEDS = {
    "HorizontalFlip": (_MIRROR,),
    "RandomGridShuffle": (_MIRROR,),
    "VerticalFlip": (_UPSIDE,),
    "RandomRotate90": (_TURN,),
    "Transpose": (_MIRROR, _TURN),
    "D4": (_MIRROR, _UPSIDE, _TURN),
    "SquareSymmetry": (_MIRROR, _UPSIDE, _TURN),
}
"""What of the competition must be allowed for a transform."""
_ANGLES = {
    "Rotate": "limit",
    "SafeRotate": "limit",
    "ShiftScaleRotate": "rotate_limit",
    "Affine": "rotate",
}
"""The parameter that says by how many degrees a transform turns."""
_UPRIGHT = 45
"""Degrees up to which an image still stands upright, and shear leaves its sides in order."""

_PLANES, _TRIALS = 5, 2
"""Bit planes of a trial, of which OpenCV takes four at once, and how often it is made."""


class Allowed(NamedTuple):
    """What the competition allows. permutation: of the classes under mirroring, None where that is
    forbidden; turns: which of `vertical_flip` and `quarter_turns`.
    """

    permutation: tuple[int, ...] | None = None
    turns: Collection[str] = ()

    def refusal(self, key: str) -> str:
        """Why what needs this key of the competition file is not allowed; "" where it is."""
        if key != _MIRROR:
            return "" if key in self.turns else f'needs {key} = "allowed" in the competition file'
        if self.permutation is None:
            return f'exchanges left and right, and needs {key} = "allowed" in the competition file'
        if self.permutation != tuple(range(len(self.permutation))):
            return f"exchanges left and right without the classes of {key}; augmentation.flip does both"
        return ""


class Further(NamedTuple):
    """The transforms of a recipe's `preset` and `also`, and those of its preset that cannot take the
    images, each by its name and why.
    """

    transforms: "tuple[albumentations.BasicTransform | albumentations.BaseCompose, ...]" = ()
    left_out: tuple[str, ...] = ()


def further_transforms(recipe: Recipe, allowed: Allowed) -> Further:
    """What `augmentation.preset` and `augmentation.also` of a recipe ask for, built.

    InputFault lists all that is wrong with `also`: unknown names and parameters, values out of their
    range, what the competition does not allow, and what cannot take these images or their masks.
    """
    asked = recipe.augmentation
    if asked.preset is None and not asked.also:
        return Further()
    builder, faults = _Builder(recipe, allowed), []
    made, left_out = [], []
    for one in preset_transforms(recipe):
        try:
            made.append(builder.built(one.table, one.name))
        except InputFault as fault:
            left_out.append(str(fault))
    for place, one in enumerate(asked.also):
        try:
            made.append(builder.built(one.table, f"augmentation.also[{place}], {one.name!r}"))
        except InputFault as fault:
            faults += str(fault).splitlines()
    if faults:
        raise InputFault(listed([f"recipe {recipe.name!r}: {fault}" for fault in faults]))
    return Further(tuple(made), tuple(left_out))


def preset_transforms(recipe: Recipe) -> tuple[Transform, ...]:
    """The transforms of `augmentation.preset`, in order; what is said in pixels fits the size.

    Another list under a known name raises `settings.DEFAULTS`: it is another training.
    """
    side = min(recipe.sampling.crop or recipe.size)
    blur = {"name": "GaussianBlur", "blur_limit": [3, 5]}
    noise = {"name": "GaussNoise", "std_range": [0.02, 0.08]}
    colour = {"name": "ColorJitter", "brightness": 0, "contrast": 0, "saturation": 0.3, "hue": 0.05}
    gamma = {"name": "RandomGamma", "gamma_limit": [70, 150]}
    jpeg = {"name": "ImageCompression", "quality_range": [50, 95]}
    match recipe.augmentation.preset:
        case "light":
            tables = [
                colour | {"p": 0.3},
                gamma | {"p": 0.2},
                blur | {"p": 0.1},
                noise | {"p": 0.1},
            ]
        case "strong":
            # Displaced by 1 to 2 % of the side (standard deviation), alike over about 5 % of it.
            smooth = 0.05 * side
            displaced = {
                "name": "ElasticTransform",
                "alpha": float(0.01 * side * 2 * np.pi**0.5 * smooth * 3**0.5),
                "sigma": max(1.0, smooth),
                "noise_distribution": "uniform",
            }
            grid = {"name": "GridDistortion", "num_steps": 5, "distort_limit": 0.2}
            lens = {"name": "OpticalDistortion", "distort_limit": 0.2}
            motion = {"name": "MotionBlur", "blur_limit": [3, 7]}
            hole = {f"hole_{side}_range": [0.05, 0.15] for side in ("height", "width")}
            tables = [
                {"name": "OneOf", "p": 0.3, "transforms": [displaced, grid, lens]},
                colour | {"saturation": 0.5, "hue": 0.1, "p": 0.5},
                gamma | {"p": 0.3},
                {"name": "OneOf", "p": 0.3, "transforms": [blur, motion]},
                noise | {"p": 0.3},
                jpeg | {"p": 0.3},
                {"name": "CoarseDropout", "num_holes_range": [1, 6], "p": 0.3, **hole},
            ]
        case "medical":
            # Noise, blur, low resolution and gamma as often as in nnU-Net (Isensee et al. 2021).
            low = {"name": "Downscale", "scale_range": [0.5, 0.95]}
            soft = {"name": "GaussianBlur", "blur_limit": 0, "sigma_limit": [0.5, 1.0]}
            tables = [noise | {"p": 0.1}, soft | {"p": 0.2}, low | {"p": 0.25}, gamma | {"p": 0.3}]
        case None:
            tables = []
    return tuple(Transform.model_validate(table) for table in tables)


class _Builder:
    """Builds transforms for the examples of one recipe."""

    def __init__(self, recipe: Recipe, allowed: Allowed) -> None:
        self.size = recipe.augmented_size
        self.channels, self.bits = recipe.network.channels, recipe.network.bits
        self.allowed = allowed

    def built(self, table: Mapping[str, Any], where: str) -> Any:
        """The transform that a table asks for; a line of the InputFault begins with `where`."""
        import albumentations

        name, given = table["name"], {key: one for key, one in table.items() if key != "name"}
        if name in _GROUPS:
            return self._group(name, given, where)
        known = _known()
        if name in _REFUSED:
            raise InputFault(f"{where} {_REFUSED[name]}")
        if name not in known:
            offered = [*(one for one in known if one not in _REFUSED), *_GROUPS]
            raise InputFault(
                f"{where}: albumentations {albumentations.__version__} has no such transform; "
                f"{nearest(name, offered, all_by=_OFFERED_BY)}"
            )
        if name in _FILLED:
            given = {"size": list(self.size)} | given
        _check_parameters(known[name], given, where)
        made = _instance(known[name], given, where)
        self._check_allowed(name, made, where)
        if given.get("fill_mask") not in (None, 0):
            raise InputFault(f"{where}: fill_mask must be 0: what is filled belongs to no class")
        self._try(_instance(known[name], given | {"p": 1.0}, where), where)
        return made

    def _group(self, name: str, given: dict[str, Any], where: str) -> Any:
        import albumentations

        tables = given.pop("transforms", None)
        if not (isinstance(tables, list) and tables and all(map(_is_transform, tables))):
            raise InputFault(
                f"{where} needs transforms, a list of tables that have a name each; found {tables!r}"
            )
        group, faults, made = getattr(albumentations, name), [], []
        for place, table in enumerate(tables):
            try:
                made.append(self.built(table, f"{where}, transforms[{place}], {table['name']!r}"))
            except InputFault as fault:
                faults += str(fault).splitlines()
        if faults:
            raise InputFault("\n".join(faults))
        _check_parameters(group, given, where)
        return _instance(group, {"transforms": made, **given}, where)

    def _check_allowed(self, name: str, made: Any, where: str) -> None:
        needs = _NEEDS.get(name, ())
        if name in _ANGLES and np.abs(getattr(made, _ANGLES[name])).max() > _UPRIGHT:
            key = _ANGLES[name]
            if self.allowed.refusal(_TURN):
                raise InputFault(
                    f"{where} turns by more than {_UPRIGHT}°, and {self.allowed.refusal(_TURN)}; or "
                    f"set {key} = [-{_UPRIGHT}, {_UPRIGHT}]"
                )
        if name == "Affine":
            scales = [bound for pair in made.scale.values() for bound in pair]
            shears = [abs(bound) for pair in made.shear.values() for bound in pair]
            if min(scales) <= 0:
                raise InputFault(f"{where}: scale must be > 0: with less an image is turned over")
            if max(shears) > _UPRIGHT:
                raise InputFault(
                    f"{where}: shear must be from -{_UPRIGHT} to {_UPRIGHT} degrees: with more an "
                    "image may be turned over"
                )
        for key in needs:
            if self.allowed.refusal(key):
                raise InputFault(f"{where} {self.allowed.refusal(key)}")
        if _TURN in needs and self.size[0] != self.size[1]:
            raise InputFault(
                f"{where} turns by 90°, and examples of {list(self.size)} are not square"
            )

    def _try(self, made: Any, where: str) -> None:
        """Shows it a made-up image and bit planes."""
        import albumentations

        image = np.random.default_rng(0).random((*self.size, self.channels), np.float32)
        image = image if self.bits == 16 else (255 * image).astype(np.uint8)
        planes = np.zeros((*self.size, _PLANES), np.uint8)
        height, width = self.size
        planes[height // 4 : height // 2, width // 4 :] = 5
        planes[height // 2 :, : width // 2] = 130
        every = albumentations.Compose([made])
        shown = (
            f"{self.channels} channels of {self.bits} bits"
            if self.channels > 1
            else (f"one channel of {self.bits} bits")
        )
        for seed in range(_TRIALS):
            every.set_random_seed(seed)
            try:
                found = every(image=image, mask=planes)
            except Exception as error:  # whatever a library of a hundred transforms may raise
                said = in_one_line(error) or type(error).__name__
                raise InputFault(f"{where} cannot take images of {shown}: {said}") from error
            changed, moved = found["image"], found["mask"]
            if changed.shape[:2] != self.size or moved.shape != planes.shape:
                raise InputFault(f"{where} {_SIZED}")
            if (changed.shape, changed.dtype) != (image.shape, image.dtype):
                raise InputFault(f"{where} {_PIXELS}")
            if self.bits == 16 and len(np.unique(changed)) <= 256 < len(np.unique(image)):
                raise InputFault(f"{where} leaves 256 levels of the 65,536 of these images")
            if not np.isin(moved, (0, 5, 130)).all():
                raise InputFault(
                    f"{where} makes new numbers in masks, which travel eight classes in a byte; leave "
                    "mask_interpolation and values of masks as they are"
                )


def _is_transform(table: Any) -> bool:
    return isinstance(table, dict) and isinstance(table.get("name"), str)


def _known() -> dict[str, Any]:
    import albumentations

    every = ((name, getattr(albumentations, name)) for name in dir(albumentations))
    kind = albumentations.BasicTransform
    return {
        name: one
        for name, one in every
        if inspect.isclass(one) and issubclass(one, kind) and name not in _BASES
    }


def _check_parameters(kind: Any, given: Mapping[str, Any], where: str) -> None:
    """InputFault for one that the transform does not have, of which albumentations only warns."""
    parameters = inspect.signature(kind.__init__).parameters
    known = [name for name in parameters if name not in ("self", "transforms", "strict")]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputFault(
            "\n".join(
                f"{where} has no parameter {name!r}; {nearest(name, known, all_by=_OFFERED_BY)}"
                for name in unknown
            )
        )


def _instance(kind: Any, given: Mapping[str, Any], where: str) -> Any:
    share = given.get("p", 0.5)
    if not isinstance(share, int | float) or not 0 <= share <= 1:  # a few leave it unchecked
        raise InputFault(f"{where}: p must be from 0 to 1; found {share!r}")
    strict = {"strict": True} if "InitSchema" in vars(kind) else {}  # else it has no such argument
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on which transform is better
            return kind(**given, **strict)
    except (TypeError, ValueError) as error:
        cause = error.__cause__
        if not isinstance(cause, ValidationError):
            raise InputFault(f"{where}: {in_one_line(error)}") from error
        raise InputFault("\n".join(f"{where}: {one}" for one in _mistakes(cause))) from error


def _mistakes(error: ValidationError) -> Iterator[str]:
    """Each parameter once: one that may be of several types has a mistake for each of them."""
    seen = set()
    for fault in error.errors():
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if key in seen:
            continue
        seen.add(key)
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            yield f"needs {key}"
        else:
            yield f"{key}: {said}; found {fault['input']!r}" if key else said
