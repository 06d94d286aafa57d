"""`competition.toml` → `Competition`: what the organisers fixed, and nothing that a competitor chooses.

The one exception is `[ensemble]`, which says what the submission is made of, and `[recipes.NAME]`,
which derives a recipe from a built-in one (`[variants.NAME]`: from any); they live here so that one
file describes a whole entry.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, ValidationError, model_validator
from pydantic_core import ErrorDetails

from competition.errors import FEW, InputFault, nearest
from competition.marks import MARKS, wrong_labels
from competition.masks.rle_formats import RleFormat
from competition.scoring.metrics import Metric
from competition.scoring.objects import CONNECTED_COMPONENTS, ObjectRule
from competition.settings import Settings
from competition.workspace import plain_name


class CsvColumn(Settings):
    """A value per image, read from a csv: `{ file = "groups.csv", image = "id", value = "patient" }`."""

    file: str
    image: str
    value: str


class PathPart(Settings):
    """A part of an image's path below root: `{ pattern = "case\\d+" }`."""

    pattern: str = Field(description="regular expression, searched for in the path")
    value: str = Field(
        r"\g<0>", description=r"what is made of it, with \1 for what its first brackets met"
    )
    digits: int = Field(0, ge=0, description="zeros are put before a number of fewer digits")

    @model_validator(mode="after")
    def _fits(self) -> "PathPart":
        try:
            found = re.compile(self.pattern)
            groups = set(re.findall(r"\\(\d)", self.value))
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from None
        beyond = [number for number in sorted(groups) if int(number) > found.groups]
        if beyond:
            raise ValueError(
                f"value {self.value!r} asks for \\{beyond[0]}, and {self.pattern!r} has "
                f"{found.groups} brackets"
            )
        return self

    def of(self, path: str) -> str | None:
        """What the pattern makes of a path; None where it is not met."""
        found = re.search(self.pattern, path)
        return found and found.expand(self.value).zfill(self.digits)


def _as_pairs(given: Any) -> Any:
    """One pair of numbers stands for a list of it."""
    is_pair = isinstance(given, list | tuple) and len(given) == 2
    numbers = is_pair and all(isinstance(end, int | float) for end in given)
    return (tuple(given),) if numbers else given


class PixelForm(Settings):
    """What is kept of an image's pixels, from its files to the network."""

    channels: int = Field(
        3, ge=1, description="of an image; 3: grey is repeated; with bands: one for each"
    )
    bits: Literal[8, 16] = Field(8, description="of a value that are kept")
    depth: Annotated[int, Field(ge=8, le=16)] | None = Field(
        None, description="bits a pixel uses, where fewer than its file declares (12 in 16)"
    )
    range: Annotated[tuple[tuple[FiniteFloat, FiniteFloat], ...], BeforeValidator(_as_pairs)] = (
        Field(
            (),
            description="values that are black and white: [low, high] of all channels, or of each",
        )
    )
    bands: tuple[str, ...] = Field(
        (),
        description="files that are an image's channels, in this order: beside the image, or below root "
        "where there is a slash; {folder}, {stem} and {part} are those of the image",
    )
    part: PathPart | None = Field(
        None, description="what {part} stands for in bands: a part of the image's path"
    )
    frame: int | None = Field(
        None, ge=0, description="of arrays with one more axis, the last: the place there, from 0"
    )
    neighbours: int = Field(
        0,
        ge=0,
        description="slices of the volume before and after an image that are channels of it too (2.5-D)",
    )

    @model_validator(mode="before")
    @classmethod
    def _bands_are_channels(cls, given: Any) -> Any:
        bands = given.get("bands") if isinstance(given, dict) else None
        known = isinstance(bands, list | tuple) and len(bands) > 0 and "channels" not in given
        return {**given, "channels": len(bands)} if known else given

    @model_validator(mode="after")
    def _pixels_fit_together(self) -> Self:
        if self.bands and self.channels != len(self.bands):
            raise ValueError(
                f"bands names {len(self.bands)} files, a channel each; leave channels = "
                f"{self.channels} out"
            )
        if len(set(self.bands)) != len(self.bands):
            raise ValueError("a file stands twice in bands")
        if ("{part}" in "".join(self.bands)) != (self.part is not None):
            raise ValueError("part says what {part} stands for in bands: name both, or neither")
        if len(self.range) not in (0, 1, self.channels):
            raise ValueError(
                f"range has {len(self.range)} pairs; expected one, or {self.channels}: one for each "
                "channel"
            )
        if any(low == high for low, high in self.range):
            raise ValueError("range = [low, high]: what is black and what is white differ")
        if self.range and self.depth is not None:
            raise ValueError("range and depth both say which value is white; keep range")
        return self

    @property
    def white(self) -> int:
        """The largest value that is kept, 255 or 65,535; 0 is black."""
        return 2**self.bits - 1

    @property
    def network_channels(self) -> int:
        """What a network sees at once: the image's own channels and those of its neighbours."""
        return self.channels * (2 * self.neighbours + 1)

    @property
    def pixels(self) -> "PixelForm":
        """These keys alone."""
        return PixelForm(**{key: getattr(self, key) for key in PixelForm.model_fields})


class Data(PixelForm):
    """Where the images lie."""

    root: str = Field(description="folder of the download, relative to this file")
    links: Literal["refused", "followed"] = Field(
        "refused", description="links that lead out of root; followed: data that lie elsewhere"
    )
    train_images: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="glob of the labelled images below root, or several"
    )
    test_images: str | None = Field(
        None, description="glob of the test images below root; none: a data set without a test part"
    )
    extra_images: str | None = Field(
        None, description="glob of further labelled images: trained on, in no fold, never validated"
    )
    unlabelled_images: str | None = Field(
        None,
        description="glob of images without labels, for pseudo rounds: never scored, never submitted",
    )
    not_images: str | None = Field(
        None,
        description="glob of files that lie among the images and are none, such as their masks",
    )
    image_id: Literal["name", "stem", "folder", "path"] | PathPart = Field(
        "name",
        description="how label rows name an image: file name, name without ending, folder, path below "
        "the folder where the glob begins, or a part of the path",
    )
    group: Literal["image", "folder", "volume"] | PathPart | CsvColumn = Field(
        "image", description="what must stay on one side of a split, for example the patient"
    )
    volume: Literal["folder", "file"] | PathPart | CsvColumn | None = Field(
        None,
        description="the scan that an image is a slice of; none: images stand alone; file: each file is "
        "one, and each of its slices, pages or frames is an image (NIfTI, TIFF, DICOM, .npy)",
    )
    slice_axis: Literal[0, 1, 2] | None = Field(
        None,
        description="of the array in a file, along which its slices lie; none: 2 of NIfTI, 0 of .npy",
    )
    slice_number: PathPart | None = Field(
        None,
        description="the part of the path that numbers the slices of a volume; none: they lie in the "
        "order of their paths, with numbers as numbers",
    )
    stratum: Literal["none", "size"] | CsvColumn = Field(
        "none", description="what every fold must have its share of"
    )
    exclude: tuple[str, ...] = Field(
        (),
        description="training images that are left out, by their id: damaged or wrongly labelled; or a "
        "file marks.csv, for those that are marked in the viewer",
    )
    look_alikes: int = Field(
        0,
        ge=0,
        description="pairs of images in two groups that look alike and were looked at: the doctor "
        "tells of them once there are more",
    )
    spacing: tuple[float, float] | None = Field(None, description="mm per pixel: row, column")
    slice_spacing: Annotated[float, Field(gt=0)] | None = Field(
        None, description="mm from slice to slice of a volume"
    )

    @model_validator(mode="after")
    def _volumes_are_whole(self) -> Self:
        if self.volume is None:
            if self.neighbours:
                raise ValueError("neighbours are slices of a volume; volume says what they are")
            needing = [k for k in ("slice_number", "slice_spacing") if getattr(self, k) is not None]
            needing += ["group = 'volume'"] if self.group == "volume" else []
            if needing:
                raise ValueError(f"{needing[0]} is about volumes; volume says what they are")
        if self.slice_axis is not None and self.volume != "file":
            raise ValueError("slice_axis is about files of several slices: set volume = 'file'")
        if self.volume is not None and self.group == "image":
            raise ValueError(
                "slices of one volume are alike: set group = 'volume', or what holds several of them, "
                "such as the patient"
            )
        return self


def _as_list(given: Any) -> Any:
    """One value stands for a list of it."""
    return (given,) if isinstance(given, str | int) and not isinstance(given, bool) else given


_Value = Annotated[int, Field(ge=0)] | str
"""A number in a mask, or a colour."""


class LabelSettings(Settings):
    """What labels of every kind have."""

    ignore_files: str | None = Field(
        None, description="pattern of mask images, as files: pixels > 0 there do not count"
    )
    ignore_at: Literal["nonzero", "zero"] = Field(
        "nonzero",
        description="of ignore_files: which pixels do not count; zero: the files show what does",
    )
    part: PathPart | None = Field(
        None, description="what {part} stands for in files: a part of the image's path"
    )

    @model_validator(mode="after")
    def _part_is_named_where_it_stands(self) -> Self:
        if self.ignore_at == "zero" and self.ignore_files is None:
            raise ValueError("ignore_at says which pixels of ignore_files do not count; name both")
        patterns = (getattr(self, key, "") for key in ("files", "ignore_files", "annotators"))
        used = any("{part}" in str(pattern) for pattern in patterns)
        if used != (self.part is not None):
            raise ValueError("part says what {part} stands for in files: name both, or neither")
        return self


class NamedLabels(LabelSettings):
    """What labels have that name their classes."""

    ignore: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(
        (), description="names in the label files that are no classes; their pixels do not count"
    )


_OF_AN_IMAGE = "path below root; {folder} and {stem} are those of the image"


class PolygonLabels(NamedLabels):
    """One JSON file an image: `{"annotations": [{"label": …, "points": [[x, y], …]}, …]}`."""

    kind: Literal["polygons"]
    files: str = Field(description=_OF_AN_IMAGE)
    units: Literal["pixels", "shares"] = Field(
        "pixels", description="of coordinates; shares: of the image's width and height, 0 to 1"
    )
    coordinates: Literal["centres", "edges"] = Field(
        "centres",
        description="where (0, 0) is in the first pixel; centres: as cv2, the outline belongs to the "
        "polygon; edges: at its corner, as COCO and CVAT have it",
    )


_COORDINATES = "where (0, 0) is in the first pixel, as in kind polygons"


class ExportLabels(NamedLabels):
    """What labels have that a tool exports for many images at once: points of the plane."""

    files: str = Field(description="path below root, or a glob of several")
    coordinates: Literal["centres", "edges"] = Field("edges", description=_COORDINATES)


class DrawnLabels(NamedLabels):
    """What labels of one file an image have whose tool draws outlines into pixels."""

    files: str = Field(description=_OF_AN_IMAGE)
    coordinates: Literal["centres", "edges"] = Field("centres", description=_COORDINATES)


class CocoLabels(ExportLabels):
    """JSON files of many images: COCO's `images`, `categories` and `annotations`."""

    kind: Literal["coco"]


class CvatLabels(ExportLabels):
    """XML files of many images: "CVAT for images 1.1", with polygons and masks."""

    kind: Literal["cvat"]


class LabelStudioLabels(ExportLabels):
    """JSON files of many images: the export "JSON" of Label Studio, with polygons and brushes."""

    kind: Literal["label-studio"]


class LabelmeLabels(DrawnLabels):
    """One JSON file an image, of labelme: polygons, rectangles, circles, masks."""

    kind: Literal["labelme"]


class SuperviselyLabels(DrawnLabels):
    """One JSON file an image, of Supervisely: polygons and bitmaps."""

    kind: Literal["supervisely"]


class YoloLabels(LabelSettings):
    """One text file an image, of YOLO: a line for each polygon, the class as its number from 0."""

    kind: Literal["yolo"]
    files: str = Field(description=_OF_AN_IMAGE)
    coordinates: Literal["centres", "edges"] = Field("edges", description=_COORDINATES)
    positives_only: bool = Field(False, description="true: an image that holds nothing has no file")


class RleLabels(NamedLabels):
    """A csv of run-length texts; what is not given here is as in `[submission]`."""

    kind: Literal["rle"]
    file: str = Field(description="path below root")
    image: str = Field(description="column of the image")
    label: str | None = Field(
        None, description="column of the class; none: there is one, or [submission] separator"
    )
    rle: str = Field(description="column of the text")
    rows: Literal["image", "image-class", "object"] = "image"
    positives_only: bool = Field(False, description="true: an empty mask has no row")
    masks: str | None = Field(
        None, description="mask images of the same labels, which prove the order; as in kind masks"
    )
    order: Literal["rows", "columns"] | None = None
    base: Literal[0, 1] | None = None
    relative: bool | None = None
    empty: str | None = None


class MaskLabels(LabelSettings):
    """Mask images: one an image, one for each of its classes, or one for each of its objects."""

    kind: Literal["masks"]
    files: str = Field(
        description="path below root; {folder} and {stem} are those of the image, {class} the class "
        "that a file is of, and * stands for whatever tells several files of an image apart"
    )
    values: Literal["nonzero", "index", "colours"] = Field(
        "nonzero",
        description="nonzero: > 0 is the one class; index: value k is the k-th class; colours: those "
        "of the key colours",
    )
    first: Literal[0, 1] = Field(
        1,
        description="index: value of the first class; 1: 0 is background, 0: every pixel has a class",
    )
    threshold: int | None = Field(
        None, ge=1, description="smeared masks (JPEG): inside from this value; with nonzero only"
    )
    ignore: Annotated[tuple[_Value, ...], BeforeValidator(_as_list)] = Field(
        (),
        description='values that do not count: of index masks such as 255, or "#rrggbb" of colours',
    )
    colours: dict[str, str] = Field(
        default_factory=dict, description='colour of each class, such as { nucleus = "#800000" }'
    )
    background: tuple[str, ...] = Field(
        (), description="colours of no class, beside black; with colours only"
    )
    positives_only: bool = Field(False, description="true: an image that holds nothing has no file")

    annotators: str | None = Field(
        None,
        description="masks of several annotators, coded as files: a pattern with * (a file each), or "
        "one .npy (H, W, 1, R) an image; training draws from them, scores keep to files",
    )

    @model_validator(mode="after")
    def _annotators_are_several(self) -> "MaskLabels":
        pattern = self.annotators
        if pattern is None:
            return self
        if "{class}" in pattern or "{class}" in self.files:
            raise ValueError("annotators have one mask each for all classes, not a file a {class}")
        if "*" not in pattern and not pattern.endswith(".npy"):
            raise ValueError(
                f"annotators {pattern!r} names one file an image: set a * where its annotators differ, "
                "or name a .npy (H, W, 1, R)"
            )
        if "*" not in pattern and self.values == "colours":
            raise ValueError(
                "annotators in one .npy have numbers, not colours; name a file each by *"
            )
        return self

    @model_validator(mode="after")
    def _options_fit_the_values(self) -> "MaskLabels":
        if self.threshold is not None and self.values != "nonzero":
            raise ValueError(f"a threshold makes one class; values = {self.values!r} has several")
        if "{class}" in self.files and self.values != "nonzero":
            raise ValueError(f"a file of one {{class}} is nonzero, not {self.values!r}")
        if self.values != "colours" and (self.colours or self.background):
            raise ValueError('colours and background are for values = "colours"')
        if self.ignore and self.values == "nonzero":
            raise ValueError("ignore names values of index masks; set values = 'index'")
        odd = [v for v in self.ignore if isinstance(v, str) != (self.values == "colours")]
        if odd:
            meant = '"#rrggbb"' if self.values == "colours" else "a valid integer"
            raise ValueError(
                f"ignore holds {odd[0]!r}; with values = {self.values!r} it is {meant}"
            )
        return self

    @model_validator(mode="after")
    def _colours_tell_apart(self) -> "MaskLabels":
        owners: dict[int, str] = {}
        named = [("background", colour) for colour in self.background]
        named += [("ignore", str(colour)) for colour in self.ignore if self.values == "colours"]
        for owner, colour in (*self.colours.items(), *named):
            before = owners.setdefault(colour_code(colour), owner)
            if before != owner:
                raise ValueError(f"{colour} is the colour of {before!r} and of {owner!r}")
        return self


def colour_code(colour: str) -> int:
    """Red, green and blue of "#rrggbb" as one number.

    >>> colour_code("#000100")
    256
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise ValueError(f'{colour!r} is no colour; "#rrggbb" is asked for, such as "#800000"')
    return int(colour[1:], 16)


Labels = Annotated[
    PolygonLabels
    | RleLabels
    | MaskLabels
    | CocoLabels
    | CvatLabels
    | LabelStudioLabels
    | LabelmeLabels
    | SuperviselyLabels
    | YoloLabels,
    Field(discriminator="kind"),
]


_TEXT_FORM = ("order", "base", "relative", "empty", "rows")
"""Keys of `[submission]` and of `[labels]` that say how a run-length text is written."""


class Submission(Settings):
    """What is submitted: the sample gives columns, rows and order; this says how to read them."""

    sample: str | None = Field(
        None,
        description="the organisers' sample file, below root; none where there is no test part",
    )
    image: str = Field(description="column of the image")
    label: str | None = Field(None, description="column of the class")
    separator: str | None = Field(
        None, description="where image and class share a column: what stands between, as in x.jpg_1"
    )
    rle: str = Field(description="column of the run-length text")
    rows: Literal["image", "image-class", "object"]
    order: Literal["rows", "columns"]
    base: Literal[0, 1] = 1
    relative: bool = False
    empty: str = ""
    size: tuple[int, int] | None = Field(None, description="height, width, where not the image's")
    public: float = Field(
        0.5, gt=0, lt=1, description="share of the test part that the public leaderboard scores"
    )

    @model_validator(mode="after")
    def _class_has_a_place(self) -> "Submission":
        if self.rows == "image-class" and self.label is None and self.separator is None:
            raise ValueError(
                "rows = 'image-class' needs label (a column) or separator (in the key)"
            )
        return self

    @property
    def format(self) -> RleFormat:
        return RleFormat(**{key: getattr(self, key) for key in _TEXT_FORM})


class Split(Settings):
    """How the labelled images are divided; written once to folds/<competition>.csv."""

    folds: int = Field(5, ge=2)
    seed: int = 0
    holdout: float | None = Field(
        None, gt=0, le=0.5, description="share of the groups kept from every decision, scored once"
    )


class Refinement(Settings):
    """Stored predictions refined by the image: a guided filter (He, Sun & Tang 2010)."""

    radius: int = Field(
        ge=1, description="of its windows, in pixels of the size that the network sees"
    )
    epsilon: float = Field(
        gt=0, description="variance of a window's pixels, from 0 to 1, that counts as an edge"
    )
    only: bool = Field(False, description="true: not beside the predictions as they are")


class EnsembleTable(Settings):
    """What the submission is made of; the first recipe is what a bare `invoke train` trains."""

    recipes: tuple[str, ...] = Field(min_length=1)
    folds: tuple[int, ...] | None = Field(None, description="folds that are trained; none: all")
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    views: tuple[str, ...] = Field(
        ("mirror",), description="test-time views; those that mirror are for where it is allowed"
    )
    choose_views: bool = Field(
        False, description="true: of the views, those whose gain out of fold is significant"
    )
    refine: Refinement | None = Field(
        None, description="refine every network's predictions by the image, as members of their own"
    )
    pseudo: str | None = Field(None, description="pseudo-label round that its networks train with")

    @model_validator(mode="before")
    @classmethod
    def _flips_are_views(cls, given: Any) -> Any:
        """Files of 0.1.0 say `flips = true` or `false`."""
        known = isinstance(given, dict) and isinstance(given.get("flips"), bool)
        if not known:
            return given
        if "views" in given:
            raise ValueError("flips is the earlier name of views; keep views alone")
        rest = {key: value for key, value in given.items() if key != "flips"}
        return {"views": ("mirror",) if given["flips"] else (), **rest}


class Competition(Settings):
    """A competition as its organisers fixed it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    classes: tuple[str, ...] = Field(min_length=1, description="in the organisers' order")
    exclusive: bool = Field(False, description="true: a pixel has at most one class")
    horizontal_flip: Literal["allowed", "forbidden"] | tuple[tuple[str, str], ...] = Field(
        description="may an image be mirrored; or the pairs of classes that change places"
    )
    vertical_flip: Literal["allowed", "forbidden"] = Field(
        "forbidden", description="may an image be turned upside down in the mirror: no up, no down"
    )
    quarter_turns: Literal["allowed", "forbidden"] = Field(
        "forbidden", description="may an image be turned by 90°, 180° and 270°: seen from above"
    )
    data: Data
    labels: Labels
    submission: Submission
    metric: Metric
    objects: ObjectRule = CONNECTED_COMPONENTS
    split: Split = Split()
    ensemble: EnsembleTable
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="changes to lay over any recipe: RECIPE@VARIANT"
    )
    folder: Path = Field(Path(), exclude=True, description="where the file lies")
    marked: tuple[str, ...] = Field(
        (),
        exclude=True,
        description="of data.exclude: what files of marks name, not the file itself",
    )
    questions: tuple[str, ...] = Field(
        (), exclude=True, description="what the file leaves open, each as a sentence with its line"
    )

    @model_validator(mode="after")
    def _classes_are_known(self) -> "Competition":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a class stands twice in {list(self.classes)}")
        if self.flip_pairs and self.quarter_turns == "allowed":
            raise ValueError(
                "quarter_turns are for images without left and right; horizontal_flip has pairs of them"
            )
        if self.metric.over_volumes and self.data.volume is None:
            raise ValueError(
                f"the metric {self.metric.name!r} sees the slices of a scan as one volume: volume in "
                "[data] says which images those are"
            )
        if self.data.test_images is None and self.submission.sample is not None:
            raise ValueError("sample in [submission] names test images: name them in [data] too")
        for name in self.recipes:
            plain_name("recipe", name)
        for name in self.variants:
            plain_name("variant", name)
        odd = [name for name in (*self.recipes, *self.variants) if "@" in name]
        if odd:
            raise ValueError(f"{odd[0]!r} holds '@', which stands between a recipe and a variant")
        if self.exclusive and len(self.classes) == 1:
            raise ValueError("exclusive is about two classes and more; there is one")
        if isinstance(self.labels, MaskLabels):
            _check_masks(self.labels, self.classes)
            pattern = self.labels.annotators
            if self.data.volume == "file" and pattern is not None and "*" not in pattern:
                raise ValueError(
                    "annotators in one .npy are those of one image; volume = 'file' makes several of a "
                    "file, so name a file each by *"
                )
        self._refuse_ignored_classes()
        flipped = [c for pair in self.flip_pairs for c in pair]
        unknown = sorted(set(flipped) - set(self.classes))
        if unknown:
            raise ValueError(f"horizontal_flip names {unknown}; classes are {list(self.classes)}")
        if len(set(flipped)) != len(flipped):
            raise ValueError("a class stands in two pairs of horizontal_flip")
        return self

    @model_validator(mode="after")
    def _recipes_take_the_images(self) -> "Competition":
        """A recipe that says a number itself says that of the images."""
        tables = [("recipes", self.recipes), ("variants", self.variants)]
        for kind, named in tables:
            for name, table in named.items():
                of_images = {"channels": self.data.network_channels, "bits": self.data.bits}
                for key, kept in of_images.items():
                    network = table.get("network")
                    said = network.get(key, kept) if isinstance(network, dict) else kept
                    if said != kept:
                        raise ValueError(
                            f"{kind}.{name}.network.{key} is {said!r}, and images have {kept} ({key} "
                            "in [data]), which every network takes; leave it out"
                        )
        return self

    def _refuse_ignored_classes(self) -> None:
        """What is ignored is no class, and where rows have no names none can be ignored."""
        labels, names = self.labels, self.classes
        if isinstance(labels, MaskLabels):
            classes = {value: names[value - labels.first] for value in self._mask_values}
            counted = [f"{v} ({classes[v]!r})" for v in labels.ignore if v in classes]
        else:
            named = labels.ignore if isinstance(labels, NamedLabels) else ()
            counted = [repr(name) for name in named if name in names]
        if counted:
            raise ValueError(f"labels.ignore names what is a class: {', '.join(counted)}")
        if not isinstance(labels, RleLabels) or labels.label is not None:
            return
        if labels.ignore and (self.submission.separator is None or labels.rows == "image"):
            raise ValueError(
                "labels.ignore names classes, and the label csv has no column of them (labels.label)"
            )

    @property
    def _mask_values(self) -> range:
        """Those of the classes in index masks."""
        first = self.labels.first if isinstance(self.labels, MaskLabels) else 1
        return range(first, first + len(self.classes))

    @property
    def root(self) -> Path:
        """The data folder, as an absolute path."""
        return (self.folder / self.data.root).resolve()

    @property
    def links(self) -> bool:
        """Whether links that lead out of the data folder are followed."""
        return self.data.links == "followed"

    @property
    def flip_pairs(self) -> tuple[tuple[str, str], ...]:
        return self.horizontal_flip if isinstance(self.horizontal_flip, tuple) else ()

    @property
    def may_flip(self) -> bool:
        return self.horizontal_flip != "forbidden"

    @property
    def turns(self) -> tuple[str, ...]:
        """What is allowed of vertical_flip and quarter_turns."""
        keys = ("vertical_flip", "quarter_turns")
        return tuple(key for key in keys if getattr(self, key) == "allowed")

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """Class that stands at each place after mirroring: identity but for the pairs."""
        order = list(range(len(self.classes)))
        for left, right in self.flip_pairs:
            i, j = self.classes.index(left), self.classes.index(right)
            order[i], order[j] = j, i
        return tuple(order)

    @property
    def permutation(self) -> tuple[int, ...] | None:
        """Of the classes under mirroring; None where it is forbidden."""
        return self.flip_permutation if self.may_flip else None

    @property
    def label_format(self) -> RleFormat:
        """The text form of the label csv: the submission's, but for what `[labels]` says."""
        if not isinstance(self.labels, RleLabels):
            raise InputFault(f"labels of {self.name!r} are {self.labels.kind}, not run-length text")
        own = {key: getattr(self.labels, key) for key in _TEXT_FORM}
        changed = {key: value for key, value in own.items() if value is not None}
        return replace(self.submission.format, **changed)


def _check_masks(labels: MaskLabels, classes: tuple[str, ...]) -> None:
    """ValueError where the masks cannot hold these classes."""
    if labels.values == "nonzero" and "{class}" not in labels.files and len(classes) > 1:
        raise ValueError(
            f"nonzero masks hold one class, not {len(classes)}; use index or colours, or a file of "
            "each {class}"
        )
    if labels.values == "colours" and set(labels.colours) != set(classes):
        missing = [name for name in classes if name not in labels.colours]
        strange = [name for name in labels.colours if name not in classes]
        found = [f"without a colour: {missing}"] if missing else []
        found += [f"no such classes: {strange}"] if strange else []
        raise ValueError(f"colours needs each of {list(classes)}; {'; '.join(found)}")


def load_competition(path: Path) -> Competition:
    """Read and check a competition file; InputFault lists every mistake with its key."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputFault(
            f"no competition file {str(path)!r}; `python -m competition new` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputFault(f"{path} cannot be read as UTF-8 text: {error}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputFault(f"{path} is not valid TOML: {error}") from error
    table, questions = settled(table, text, source=str(path))
    competition = parse_competition(
        table, folder=path.resolve().parent, source=str(path), questions=questions
    )
    return _with_marks(competition)


def _with_marks(competition: Competition) -> Competition:
    """With the images that files of marks in `exclude` call wrongly labelled, in place of the files."""
    named = competition.data.exclude
    files = [competition.folder / name for name in named if Path(name).name == MARKS]
    if not files:
        return competition
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        raise InputFault(
            f"exclude in [data]: {missing[0]} does not exist; `podium view` writes it with a mark"
        )
    marked = tuple(sorted({image for path in files for image in wrong_labels(path)} - {*named}))
    own = tuple(name for name in named if Path(name).name != MARKS)
    data = competition.data.model_copy(update={"exclude": (*own, *marked)})
    return competition.model_copy(update={"data": data, "marked": marked})


OPEN = "? "
"""What the value of a marked line begins with: candidates follow, with bars between."""


def settled(table: dict[str, Any], text: str, *, source: str) -> tuple[dict[str, Any], list[str]]:
    """The table with each marked value replaced by its first candidate, and the open questions.

    >>> settled({"order": "? rows | columns"}, 'order = "? rows | columns"', source="c.toml")
    ({'order': 'rows'}, ["c.toml line 1: order is open; write 'rows' or 'columns'"])
    """
    lines, questions = text.splitlines(), []

    def value_of(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: value_of(f"{key}.{name}", one) for name, one in value.items()}
        if not (isinstance(value, str) and value.startswith(OPEN)):
            return value
        candidates = [candidate(one) for one in value.removeprefix(OPEN).split(" | ")]
        shown = " or ".join(repr(one) for one in candidates)
        section, _, name = key.lstrip(".").rpartition(".")
        where = f" in [{section}]" if section else ""
        line = _line_of(lines, section, name)
        questions.append(f"{source}{line}: {name}{where} is open; write {shown}")
        return candidates[0]

    return value_of("", table), questions


def _line_of(lines: Sequence[str], section: str, name: str) -> str:
    """` line N`, where a key stands; "" inside an inline table."""
    here = ""
    for number, line in enumerate(lines, 1):
        found = re.match(r"\s*\[([^\[\]]+)\]\s*(#|$)", line)
        here = found[1].strip() if found else here
        if here == section and re.match(rf"\s*{re.escape(name)}\s*=", line):
            return f" line {number}"
    return ""


def candidate(text: str) -> Any:
    """A candidate of a marked line: a value as TOML has it, or text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_competition(
    table: dict[str, Any], *, folder: Path, source: str, questions: Sequence[str] = ()
) -> Competition:
    """A competition from a parsed table; `source` names it in messages."""
    for key in ("folder", "questions", "marked"):  # ours, not the file's
        if key in table:
            raise InputFault(f"{source}: {key}: no such key; docs/competition-file.md has them all")
    try:
        return Competition(**table, folder=folder, questions=tuple(questions))
    except ValidationError as error:
        raise InputFault(describe_mistakes(error, source)) from error


def describe_mistakes(error: ValidationError, source: str) -> str:
    """pydantic's findings as lines `file: key: what is wrong, found what`."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "the file"
        found = "" if fault["type"] == "missing" else f"; found {fault['input']!r}"
        lines.append(f"{source}: {key}: {_expected(fault)}{found}")
    return "\n".join(lines)


def _expected(fault: ErrorDetails) -> str:
    """pydantic's own words; of many names, the nearest."""
    names = re.findall(r"'([^']*)'", fault.get("ctx", {}).get("expected", ""))
    if fault["type"] == "extra_forbidden":
        return "no such key; docs/competition-file.md has them all"
    if fault["type"] != "literal_error" or len(names) <= FEW:
        return fault["msg"].removeprefix("Value error, ")
    known = nearest(str(fault["input"]), names, all_by="docs/competition-file.md")
    return f"no such name; {known}"
