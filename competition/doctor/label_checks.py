"""Labels against images: classes, overlap, and whether mirroring is a fact."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from competition.data.catalog import of_split, with_labels
from competition.data.images import read_colours, read_index
from competition.data.labels import PackedRuns, RunBlock, read_labels
from competition.data.letterbox import Letterbox
from competition.data.readers.file_per_image import pattern_places
from competition.data.readers.rle import label_rows
from competition.doctor.report import Report
from competition.errors import InputFault
from competition.masks import Runs
from competition.recipes import Recipe, recipe_of
from competition.recipes.planned import AUTO, asks_for_plan
from competition.scoring import dice_from_statistics, dice_statistics
from competition.spec import (
    Competition,
    MaskLabels,
    NamedLabels,
    RleLabels,
    YoloLabels,
    colour_code,
)

_SIDED = 0.95
_ENOUGH = 10
_MOSTLY = 0.5
_LOOKED_AT = 60
_FEW_LOST, _POOR = 0.02, 0.8
_SMEARED = 0.2


def check_labels(
    competition: Competition, catalog: pd.DataFrame, labels: Mapping[str, Runs]
) -> Report:
    """All checks of labels that could be read; `labels` are those of all training images."""
    images, labels = of_split(catalog, "train"), PackedRuns.packed(labels)
    return (
        _check_classes(competition, images, labels)
        + _check_overlap(competition, labels)
        + check_flip(competition, labels)
        + check_inverted(competition, labels)
        + check_smeared(competition, labels)
        + check_sizes(competition, images, labels)
    )


def _check_classes(competition: Competition, images: pd.DataFrame, labels: PackedRuns) -> Report:
    areas = labels.areas(images["image"])
    present = areas > 0
    counts = present.sum(axis=0)
    pixels = (images["height"] * images["width"]).to_numpy()
    share = areas.sum(axis=1) / pixels
    rarest, commonest = int(np.argmin(counts)), int(np.argmax(counts))
    names = competition.classes
    often = (
        f"{len(names)}, each in {counts.min()} to {counts.max()} of {len(images)} images "
        f"(rarest {names[rarest]!r}, commonest {names[commonest]!r})"
    )
    area = areas.sum(axis=0) / pixels.sum()
    table = tuple(
        (
            f"class {_value_of(competition, k)}",
            f"{name!r}: {area[k]:.2%} of the pixels, {counts[k]} images",
        )
        for k, name in enumerate(names)
    )
    found = (
        ("classes", often if len(names) > 1 else f"{names[0]!r}, in {counts[0]} images"),
        ("empty", f"{1 - present.mean():.1%} of the masks, {(~present.any(axis=1)).sum()} images"),
        ("positive", f"{share.mean():.1%} of the pixels, summed over classes"),
        *table,
    )
    warnings = [
        f"class {name!r} is in no training image: nothing can be learnt of it"
        for name, count in zip(names, counts, strict=True)
        if count == 0
    ]
    warnings += [
        f"class {name!r} is in {count} images, fewer than the {competition.split.folds} folds"
        for name, count in zip(names, counts, strict=True)
        if 0 < count < competition.split.folds
    ]
    return Report.of("classes", warnings=warnings, found=found)


def check_ignored(
    competition: Competition, catalog: pd.DataFrame, ignored: Mapping[str, Runs]
) -> Report:
    """How many pixels do not count; images of which none does; what is ignored and never there.

    ignored: Runs (1, H, W) of all labelled images.
    """
    labels = competition.labels
    named: list[int | str] = list(getattr(labels, "ignore", ()))
    if not named and labels.ignore_files is None:
        return Report()
    areas = {image: int(mask.area()[0]) for image, mask in ignored.items()}
    pixels = sum(mask.plane for mask in ignored.values())
    share, some = sum(areas.values()) / max(pixels, 1), sum(map(bool, areas.values()))
    warnings = [
        f"image {image!r} is ignored wholly: nothing is learnt or scored there; leave it out by "
        "exclude in [data]"
        for image, mask in ignored.items()
        if areas[image] == mask.plane
    ]
    missing = _never_there(competition, catalog, named) if share else named
    warnings += [f"ignore in [labels] names {one!r}, which no label has" for one in missing]
    if not share and labels.ignore_files is not None:
        warnings.append(
            f"no pixel of {labels.ignore_files!r}, ignore_files in [labels], is "
            + ("0" if labels.ignore_at == "zero" else "above 0")
        )
    found = [("ignored", f"{share:.2%} of the pixels, {some} images")]
    return Report.of("ignored pixels", warnings=warnings, found=found)


def describe_annotators(annotators: Mapping[str, Runs], classes: int) -> Report:
    """How many there are, and how well they agree. annotators: Runs (R * classes, H, W) by image."""
    if not annotators:
        return Report()
    counts, agreement = [], []
    for masks in annotators.values():
        counts.append(masks.classes // classes)
        each = [masks.select(range(k * classes, (k + 1) * classes)) for k in range(counts[-1])]
        for one, other in itertools.combinations(each, 2):
            dice = dice_from_statistics(*dice_statistics(one, other), empty="skip")
            agreement += dice[~np.isnan(dice)].tolist()
    several = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(counts[0])
    told = f"{several} of an image, in {len(counts)} images"
    if agreement:
        told += f"; two of them agree to a Dice of {np.mean(agreement):.3f}, in the mean"
    return Report.fact("annotators", told)


def _never_there(
    competition: Competition, catalog: pd.DataFrame, named: Sequence[int | str]
) -> Sequence[int | str]:
    """Of some values or names those that stand in no label file."""
    for found in _found_in_files(competition, catalog):
        named = [one for one in named if one not in found]
        if not named:
            break
    return named


def _found_in_files(competition: Competition, catalog: pd.DataFrame) -> Iterator[set[int | str]]:
    """Values or names in one label file after another; these have been read before."""
    labels = competition.labels
    match labels:
        case MaskLabels(files=pattern, values="colours"):
            for path in pattern_places(competition, with_labels(catalog), pattern):
                codes = set(np.unique(read_colours(path)).tolist())
                yield {value for value in labels.ignore if colour_code(str(value)) in codes}
        case MaskLabels(files=pattern):
            for path in pattern_places(competition, with_labels(catalog), pattern):
                yield set(np.unique(read_index(path)).tolist())
        case RleLabels():
            rows, empty = label_rows(competition), competition.label_format.empty
            yield {
                name
                for (_, name), text in zip(rows.keys, rows.texts, strict=True)
                if text.strip(" ") != empty
            }
        case NamedLabels():
            # read once more, with what is ignored as classes
            names = (*competition.classes, *labels.ignore)
            plain = labels.model_copy(
                update={"ignore": (), "ignore_files": None, "ignore_at": "nonzero"}
            )
            changes = {"classes": names, "exclusive": False, "labels": plain}
            for mask in read_labels(competition.model_copy(update=changes), catalog).values():
                yield {name for name, area in zip(names, mask.area(), strict=True) if area}


def _value_of(competition: Competition, k: int) -> str:
    """What a class is called by in the labels, where that is a number or a colour; else its place."""
    labels = competition.labels
    if isinstance(labels, MaskLabels) and labels.values == "index":
        return f"value {k + labels.first}"
    if isinstance(labels, MaskLabels) and labels.values == "colours":
        return labels.colours[competition.classes[k]]
    if isinstance(labels, YoloLabels):
        return f"value {k}"
    return str(k + 1)


def _check_overlap(competition: Competition, labels: PackedRuns) -> Report:
    if len(competition.classes) == 1:
        return Report()
    pixels = zip(labels, labels.shared_areas().tolist(), strict=True)
    shared = {image: count for image, count in pixels if count}
    if competition.exclusive and shared:
        image, pixels = next(iter(shared.items()))
        return Report.error(
            "overlap",
            f"exclusive = true, and classes overlap in {len(shared)} of {len(labels)} images, in "
            f"{image!r} by {pixels} pixels: set exclusive = false",
        )
    return Report.fact("overlap", f"classes share pixels in {len(shared)} images")


def check_inverted(competition: Competition, labels: Mapping[str, Runs]) -> Report:
    """Masks that cover most of the image and of its frame: what is drawn is rarely the background."""
    masks = PackedRuns.packed(labels)
    heights, widths = masks.arrays["shapes"][:, 1:].T
    pixels = heights * widths
    frame = pixels - np.maximum(heights - 2, 0) * np.maximum(widths - 2, 0)
    areas = masks.areas() / pixels[:, None]
    frames = masks.totals(_on_frame) / frame[:, None]
    lines = []
    for k, name in enumerate(competition.classes):
        present = areas[:, k] > 0
        if present.sum() >= 3 and areas[present, k].mean() > _MOSTLY < frames[present, k].mean():
            lines.append(
                f"class {name!r} covers {areas[present, k].mean():.0%} of the pixels and "
                f"{frames[present, k].mean():.0%} of the border of its images: are its masks inverted?"
            )
    return Report.of("inverted masks", warnings=lines)


def _on_frame(block: RunBlock) -> np.ndarray:
    """How many pixels of each run lie on the border of the image, (M,)."""
    height, width = block.heights, block.widths

    def before(pixels: np.ndarray) -> np.ndarray:
        """Of the first pixels of the image."""
        rows, columns = np.divmod(pixels, width)
        inner = np.clip(rows - 1, 0, np.maximum(height - 2, 0))  # whole rows with two such pixels
        whole = np.where(rows > 0, width, 0) + np.where(rows >= height, width, 0) * (height > 1)
        edge = (rows == 0) | (rows == height - 1)
        return (
            whole + np.minimum(2, width) * inner + np.where(edge, columns, np.minimum(columns, 1))
        )

    return before(block.stops) - before(block.starts)


def check_smeared(competition: Competition, labels: Mapping[str, Runs]) -> Report:
    """Index masks that were resized with interpolation, on some images.

    Between a class and another one there are then rims of the values that lie between theirs: pixels
    with a lower value on one side and a higher one on the other. Masks as drawn have next to none.
    """
    options = competition.labels
    if not isinstance(options, MaskLabels) or options.values != "index":
        return Report()
    between = changes = 0
    images = list(labels)
    for image in images[:: -(-len(images) // _LOOKED_AT) or 1]:
        values = _label_map(labels[image])
        for lines in (values, values.T):
            steps = np.sign(np.diff(lines, axis=1))
            between += int((steps[:, :-1] * steps[:, 1:] > 0).sum())
            changes += int((steps != 0).sum())
    if between <= _SMEARED * changes:
        return Report()
    return Report.warning(
        "smeared masks",
        f"{between / changes:.0%} of the borders between classes pass through values that lie between "
        "theirs: were the masks resized with interpolation? Take the originals, or resize by nearest "
        "neighbour",
    )


def _label_map(mask: Runs) -> np.ndarray:
    """int16 (H, W): 0 background, k + 1 class k."""
    values = np.zeros((mask.height, mask.width), np.int16)
    for k in range(mask.classes):
        values[mask[k].to_dense()] = k + 1
    return values


def check_sizes(
    competition: Competition, images: pd.DataFrame, labels: Mapping[str, Runs]
) -> Report:
    """What of the masks is left at the size of each recipe of the ensemble, on some images.

    The best Dice is that of a network that answers its targets exactly, enlarged again.
    """
    chosen = images["image"].tolist()
    chosen = chosen[:: -(-len(chosen) // _LOOKED_AT) or 1]
    report = Report()
    for name in dict.fromkeys(competition.ensemble.recipes):
        if name == AUTO and asks_for_plan(competition):
            report += Report.fact("recipe size", "planned by `podium plan`, which looks at sizes")
            continue
        recipe = recipe_of(competition, name)
        present = lost = 0
        scores = []
        for image in chosen:
            truth = labels[image]
            reached = _reached(truth, recipe)
            there = truth.area() > 0
            present, lost = present + there.sum(), lost + (there & (reached.area() == 0)).sum()
            scores.append(dice_from_statistics(*dice_statistics(truth, reached))[there])
        best = float(np.concatenate(scores).mean()) if present else 1.0
        size = f"{recipe.size[0]} × {recipe.size[1]}"
        if recipe.tiles is not None:
            size = f"scale {recipe.tiles.scale:g}"
        report += Report.fact(
            f"at {size}", f"{lost} of {present} masks vanish, best Dice {best:.3f} ({name})"
        )
        if lost > _FEW_LOST * present or best < _POOR:
            report += Report.warning(
                "recipe size",
                f"at {size}, that of recipe {name!r}, {lost} of {present} masks vanish, and the best "
                f"Dice of any network is {best:.3f}: "
                + ("raise size, or take tiles" if recipe.tiles is None else "raise tiles.scale"),
            )
    return report


def _reached(truth: Runs, recipe: Recipe) -> Runs:
    """The most that a network tells of masks at the recipe's size, or scale."""
    native = truth.height, truth.width
    if recipe.tiles is None:
        return Letterbox.of(native, recipe.size, recipe.fit).reached(truth)
    # At the native scale and above nothing is lost, and the images are the largest.
    scale = recipe.tiles.scale
    return truth if scale >= 1 else Letterbox.scaled(native, scale).reached(truth)


def check_objects(competition: Competition) -> Report:
    """Rows of objects that are there twice: a perfect answer would match one of them alone."""
    if not isinstance(competition.labels, RleLabels) or competition.label_format.rows != "object":
        return Report()
    try:
        rows = label_rows(competition)
    except InputFault:
        return Report()  # the label check says what is wrong
    empty = competition.label_format.empty
    counts = Counter(zip(rows.keys, rows.texts, strict=True))
    twice = [key for (key, text), n in counts.items() if n > 1 and text.strip(" ") != empty]
    if not twice:
        return Report()
    return Report.warning(
        "objects",
        f"{rows.path}: {len(twice)} objects are repeated, such as one of image {twice[0][0]!r}: they "
        "would be counted twice; delete the copies",
    )


def check_flip(competition: Competition, labels: Mapping[str, Runs]) -> Report:
    """`horizontal_flip` against where classes lie.

    A class that is on one side in 95 % of ten images and more is never seen on the other: mirrored
    images would teach it there. Pairs are right where mirroring brings each onto its partner's side.
    """
    if not competition.may_flip:
        return Report()
    shown = kept_sides(competition, labels)
    if not shown:
        return Report()
    return Report.warning(
        "mirroring",
        f"horizontal_flip lets images be mirrored, and {shown} would come to a side where they are "
        'never seen: set "forbidden", or name the pairs of classes that change places',
    )


def kept_sides(competition: Competition, labels: Mapping[str, Runs]) -> str:
    """The classes that lie on one side and would come to the other, in words; "" without any."""
    if len(competition.classes) == 1:
        return ""
    left, known = _left_share(labels)
    swap = np.array(competition.flip_permutation)
    with np.errstate(invalid="ignore"):
        sided = (known >= _ENOUGH) & (np.maximum(left, 1 - left) >= _SIDED)
        same_side = sided & sided[swap] & ((left > 0.5) == (left[swap] > 0.5))
    wrong = np.flatnonzero(same_side).tolist()
    names = [
        f"{competition.classes[k]!r} ({'left' if left[k] > 0.5 else 'right'} in "
        f"{max(left[k], 1 - left[k]):.0%} of {known[k]} images)"
        for k in wrong
    ]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _left_share(labels: Mapping[str, Runs]) -> tuple[np.ndarray, np.ndarray]:
    """(K,) share of images with the class whose centroid is left of the middle; (K,) their number."""
    masks = PackedRuns.packed(labels)
    areas, moments = masks.areas(), masks.totals(_moment)
    known = (areas > 0).sum(axis=0)
    middle = areas * masks.arrays["shapes"][:, 2:] / 2
    left = ((areas > 0) & (moments < middle)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return left / known, known


def _moment(block: RunBlock) -> np.ndarray:
    """The sum over each run of the columns of its pixels' middles, (M,)."""
    width = block.widths

    def before(pixels: np.ndarray) -> np.ndarray:
        """Of the first pixels of the image, a row's from the left."""
        rows, columns = np.divmod(pixels, width)
        return (rows * width * width + columns * columns) / 2

    return before(block.stops) - before(block.starts)
