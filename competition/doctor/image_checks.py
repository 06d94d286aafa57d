"""Every image opens whole; which are plain, too dark for their depth, turned, or there twice."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from competition.data.bands import pixel_files
from competition.data.catalog import (
    ignored_paths,
    image_paths,
    image_patterns,
    slice_paths,
)
from competition.data.duplicates import (
    fine_structure,
    near_pairs,
    perceptual_hash,
    pixel_hash,
    thumbnail,
)
from competition.data.images import FileFacts, file_facts
from competition.data.strips import overview
from competition.doctor.outline_checks import check_outlines, outline_steepness
from competition.doctor.report import Diagnosis, Report, shares
from competition.errors import InputFault
from competition.machine import processes
from competition.masks import Runs
from competition.progress_bar import Watch, unwatched
from competition.scoring import dice_from_statistics, dice_statistics
from competition.spec import Competition

NEAR, ALIKE = 8, 0.7
"""Near duplicates differ in at most so many of 63 pHash bits, and their fine structure correlates
at least so much. That finds two radiographs of one patient among 425 panoramic X-rays (8 bits, .72),
two frames of one embryo among 664 microscopy images (4 bits, .88), and nothing else in either."""


_OTHER_SIZE, _OTHER_BRIGHTNESS, _TO_COMPARE = 2, 0.9, 10
"""Times as many pixels; of pairs of a test and a training image; images of each part, at least."""

_LEAST_CONTRAST = 64
"""Greys between the darkest and the brightest of all deep images: what 14 of 16 bits give."""


@dataclass(frozen=True)
class Looked:
    """What decoding one image told."""

    row: int
    facts: FileFacts
    darkest: int
    brightest: int
    """Of all channels; of 16 bits the high eight."""
    mean: float
    """In 0…255, and of each channel:"""
    means: tuple[float, ...]
    plain: bool
    pixels: str
    perceptual: np.ndarray
    small: np.ndarray
    """See `thumbnail`: a whole image would not fit."""
    outlines: np.ndarray | None
    """See `outline_steepness`."""


def check_images(
    competition: Competition,
    catalog: pd.DataFrame,
    labels: Mapping[str, Runs],
    *,
    watch: Watch = unwatched,
) -> Report:
    """Decodes all images (about 5 ms each); `labels` may be empty, they only describe copies."""
    looked, errors = _look(competition, catalog, labels, watch)
    junk = ignored_paths(competition)
    found = [("files", shares(Counter(f"{x.facts.format} {x.facts.mode}" for x in looked)))]
    turned = sum(x.facts.orientation > 1 for x in looked)
    if turned:
        found.append(("turned", f"{turned} images by their EXIF orientation"))
    if junk:
        found.append(("ignored", f"{len(junk)} files that are no images, such as {junk[0]!r}"))
    return (
        describe_catalog(catalog)
        + Report.of("files", errors=errors, found=found)
        + Report.of("plain images", warnings=_plain(catalog, looked))
        + _check_depth(competition, looked)
        + _check_shift(competition, catalog, looked)
        + _check_copies(catalog, looked, labels)
        + _check_near(competition, catalog, looked)
        + _check_outlines(catalog, looked)
    )


def check_readable(competition: Competition, *, said: str) -> Report:
    """Images that do not open, but those in `said`: where a damaged header already stopped the table
    of images, it must not hide the damage of others.
    """
    data, errors = competition.data, []
    try:
        paths = [
            path
            for pattern in sum(image_patterns(competition).values(), ())
            for path in image_paths(competition.root, pattern, links=competition.links)
        ]
    except InputFault:
        return Report()  # then that is what was said
    for path in paths:
        try:
            for one in slice_paths(competition, path):
                overview(competition.root, one, data)
        except InputFault as fault:
            errors += [str(fault)] if str(fault) not in said else []
    return Report.of("files", errors=errors)


def describe_catalog(catalog: pd.DataFrame) -> Report:
    """How many images there are, and of which sizes (height × width)."""
    sizes = Counter(f"{h} × {w}" for h, w in zip(catalog["height"], catalog["width"], strict=True))
    parts = catalog["split"].value_counts().to_dict()
    return Report(found=(("images", shares(parts)), ("sizes", shares(sizes))))


def _look(
    competition: Competition, catalog: pd.DataFrame, labels: Mapping[str, Runs], watch: Watch
) -> tuple[list[Looked], list[str]]:
    """What each image that opens told, in the catalog's order, and what is wrong with the others.

    In threads: decoding leaves the interpreter free.
    """
    rows = range(len(catalog)), catalog["path"].tolist(), map(labels.get, catalog["image"])
    looked: list[Looked] = []
    errors: list[str] = []
    with (
        watch("reading images", len(catalog)) as advance,
        ThreadPoolExecutor(processes()) as threads,
    ):
        for found in threads.map(partial(_looked_at, competition), *rows):
            advance()
            if isinstance(found, Looked):
                looked.append(found)
            else:
                errors.append(found)
    return looked, errors


def _looked_at(
    competition: Competition, row: int, relative: str, mask: Runs | None
) -> Looked | str:
    """What an image told, or what is wrong with its file."""
    data = competition.data
    try:
        image = overview(competition.root, relative, data)
    except InputFault as fault:
        return str(fault)
    facts = file_facts(competition.root / pixel_files(relative, data)[0])
    plain = bool((image == image[0, 0]).all())
    hashes = pixel_hash(image), perceptual_hash(image), thumbnail(image)
    shown = mask is not None and image.shape[:2] == (mask.height, mask.width)
    outlines = outline_steepness(image, mask) if mask is not None and shown else None
    levels = [int(end) >> data.bits - 8 for end in (image.min(), image.max())]
    means = image.mean(axis=(0, 1)) * (255 / data.white)
    found = float(means.mean()), tuple(means.tolist()), plain
    return Looked(row, facts, *levels, *found, *hashes, outlines)


def _plain(catalog: pd.DataFrame, looked: list[Looked]) -> list[str]:
    plain = [catalog["image"][x.row] for x in looked if x.plain]
    if not plain:
        return []
    return [f"{len(plain)} images have one colour throughout, such as {plain[0]!r}"]


def _check_outlines(catalog: pd.DataFrame, looked: list[Looked]) -> Report:
    seen = [x for x in looked if x.outlines is not None]
    return check_outlines(
        [catalog["image"][x.row] for x in seen],
        [x.outlines for x in seen if x.outlines is not None],
    )


def _check_depth(competition: Competition, looked: list[Looked]) -> Report:
    """Deep files of which none uses its high bits would reach the network nearly black; those that use
    few of their values, nearly grey or white.
    """
    deep = [x for x in looked if x.facts.depth > 8]
    if not deep or competition.data.depth is not None or competition.data.range:
        return Report()
    declared, brightest = max(x.facts.depth for x in deep), [x.brightest for x in deep]
    bits = max(8, declared - 8 + max(brightest).bit_length())
    usual = max(8, declared - 8 + int(np.median(brightest)).bit_length())
    if bits > declared - 2 >= usual + 1:
        few = sum(value >= 2 ** (usual - declared + 8) for value in brightest)
        return Report.warning(
            "depth",
            f"{len(deep)} images declare more than 8 bits, most of them use no more than {usual} of "
            f"them, and {few} use more: if these hold burnt-in pixels, the others reach the network "
            "nearly black; repair them and set depth in [data]",
        )
    if bits > declared - 2:
        return _check_contrast(deep)
    scanner = " (or 12, if that is what the scanner gives)" if bits < 12 < declared else ""
    return Report.error(
        "depth",
        f"{len(deep)} images declare more than 8 bits and none uses more than {bits} of them: "
        f"set depth = {bits} in [data]{scanner}",
    )


def _check_contrast(deep: list[Looked]) -> Report:
    """Signed values and those whose zero is white are not dark where they use few of their bits."""
    low, high = min(x.darkest for x in deep), max(x.brightest for x in deep)
    if high - low >= _LEAST_CONTRAST:
        return Report()
    return Report.warning(
        "depth",
        f"{len(deep)} images declare more than 8 bits and have no greys but {low}…{high} of 0…255: "
        "where they use fewer bits, set depth in [data]; where their values begin far from 0, save "
        "them with 8 bits",
    )


def _check_shift(competition: Competition, catalog: pd.DataFrame, looked: list[Looked]) -> Report:
    """A test part of other colours, sizes or brightness: out-of-fold scores say little of it."""
    parts = {
        split: [x for x in looked if catalog["split"][x.row] == split]
        for split in ("train", "test")
    }
    train, test = parts["train"], parts["test"]
    if not train or not test:
        return Report()
    warnings = []
    strange = Counter(x.facts.mode for x in test)
    for mode in {x.facts.mode for x in train}:
        del strange[mode]
    if strange:
        warnings.append(
            f"{strange.total()} test images are {', '.join(sorted(strange))}, as no training image is"
        )
    pixels = (catalog["height"] * catalog["width"]).to_numpy()
    sizes = [float(np.median([pixels[x.row] for x in part])) for part in (train, test)]
    if max(sizes) > _OTHER_SIZE * min(sizes):
        warnings.append(
            f"a test image has {sizes[1]:.0f} pixels and a training image {sizes[0]:.0f} (medians)"
        )
    if min(len(train), len(test)) >= _TO_COMPARE:
        for of_channel, levels in _brightnesses(competition):
            brighter = _share_brighter(*([levels(x) for x in part] for part in (train, test)))
            if max(brighter, 1 - brighter) > _OTHER_BRIGHTNESS:
                warnings.append(
                    f"a test image is brighter{of_channel} than a training image in {brighter:.0%} of "
                    "all pairs"
                )
    why = "the out-of-fold score may say little of the test part"
    return Report.of("test part", warnings=[f"{text}: {why}" for text in warnings])


def _brightnesses(competition: Competition) -> list[tuple[str, Callable[[Looked], float]]]:
    """What is compared between the parts: the mean of grey and colours, else that of each channel."""
    channels = competition.data.channels
    if channels in (1, 3) and not competition.data.bands:
        return [("", lambda x: x.mean)]
    names = competition.data.bands or tuple(map(str, range(channels)))
    return [(f" in channel {name}", lambda x, k=k: x.means[k]) for k, name in enumerate(names)]


def _share_brighter(train: list[float], test: list[float]) -> float:
    """Of all pairs those whose test image is brighter, ties half (the area under the ROC curve)."""
    difference = np.sign(np.subtract.outer(test, train))
    return float((difference.mean() + 1) / 2)


def _check_copies(
    catalog: pd.DataFrame, looked: list[Looked], labels: Mapping[str, Runs]
) -> Report:
    """Images equal in every pixel: an error over groups of the training part, else worth knowing."""
    sets: dict[str, list[int]] = defaultdict(list)
    for x in looked:
        if not x.plain:
            sets[x.pixels].append(x.row)
    errors, warnings, found = [], [], []
    for rows in (rows for rows in sets.values() if len(rows) > 1):
        copies = catalog.loc[rows]
        names = " = ".join(repr(image) for image in copies["image"])
        training = copies[copies["split"] == "train"]
        if training["group"].nunique() > 1:
            groups = ", ".join(repr(group) for group in training["group"].unique())
            errors.append(
                f"{names}: equal pixel by pixel, in the groups {groups}; a fold would be scored on "
                "what it was trained on. Give them one group (a csv in [data] group)"
            )
        elif 0 < (copies["split"] == "test").sum() < len(copies):
            warnings.append(f"{names}: a test image equals a training image")
        elif 0 < (copies["split"] == "unlabelled").sum() < len(copies):
            found.append(("copies", f"{names}: an unlabelled image equals another one"))
        else:
            agreement = _agreement([labels[i] for i in training["image"] if i in labels])
            found.append(("copies", f"{names}, kept in one group{agreement}"))
    return Report.of("copies", errors=errors, warnings=warnings, found=found)


def _agreement(masks: list[Runs]) -> str:
    """How well labels of equal images agree: what no network can be expected to beat there."""
    if len(masks) < 2 or masks[0].shape != masks[1].shape:
        return ""
    dice = dice_from_statistics(*dice_statistics(masks[0], masks[1]), empty="skip")
    there = dice[~np.isnan(dice)]
    return f"; their labels agree to a Dice of {there.mean():.3f}" if there.size else ""


def _check_near(competition: Competition, catalog: pd.DataFrame, looked: list[Looked]) -> Report:
    rows = [x for x in looked if not x.plain]
    if len(rows) < 2:
        return Report()
    alike = []
    groups = catalog["group"].to_numpy(str)[[x.row for x in rows]]
    unlike = np.array([x.pixels for x in rows]), groups
    for i, j, bits in near_pairs(np.stack([x.perceptual for x in rows]), NEAR, unlike=unlike):
        correlation = float(fine_structure(rows[i].small) @ fine_structure(rows[j].small))
        if correlation >= ALIKE:
            one, other = catalog.loc[rows[i].row], catalog.loc[rows[j].row]
            text = (
                f"{one['image']!r} ({one['split']}) and {other['image']!r} ({other['split']}) look "
                f"alike ({bits} of 63 pHash bits differ, fine structure correlates {correlation:.2f}) "
                "and are in two groups"
            )
            alike.append(Diagnosis("look-alikes", text, (one["image"], other["image"])))
    if not alike:
        return Report()
    known = competition.data.look_alikes
    if len(alike) <= known:
        return Report.fact("look-alikes", f"{_pairs(len(alike))} in two groups, looked at")
    told = (
        f"{_pairs(len(alike))} in two groups{f', {known} of them looked at' if known else ''}: put "
        "two of one patient into one group (a csv in [data] group); of the others say look_alikes = "
        f"{len(alike)} in [data] once you have looked at them"
    )
    return Report(doubtful=tuple(alike), found=(("look-alikes", told),))


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"
