"""Masks of several annotators beside mask images: `annotators`, drawn from in training alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from competition.data.npy import last_axis_masks
from competition.data.readers.file_per_image import (
    pattern_files,
    read_files,
    read_several,
    require_size,
)
from competition.data.readers.masks import coded_mask, read_mask
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Competition, MaskLabels


def annotator_files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """The files that are read and exist; none where the labels name no pattern."""
    options = _options(competition)
    if options is None:
        return []
    return [p for p in pattern_files(competition, images, str(options.annotators)) if p.is_file()]


def read_annotators(competition: Competition, images: pd.DataFrame) -> dict[str, Runs]:
    """Runs (R * K, H, W) of each image that has any: the K classes of its first annotator, of its
    second, …, as the labels code them. What an annotator's mask ignores is of no class.
    """
    options = _options(competition)
    if options is None:
        return {}
    pattern = str(options.annotators)
    _refuse_shared(competition, images, options)
    if "*" in pattern:
        found = read_several(
            competition, images, pattern, read_mask, positives_only=True, key="annotators"
        )
        several: Mapping[str, Sequence[Runs]] = {
            image: [mask.classes.without(mask.ignored) for _, mask in own]
            for image, own in found.items()
        }
    else:
        several = read_files(
            competition, images, pattern, _read_array, positives_only=True, key="annotators"
        )
    return {image: Runs.stack(masks) for image, masks in several.items() if masks}


def _options(competition: Competition) -> MaskLabels | None:
    """The labels, where they name annotators."""
    labels = competition.labels
    return labels if isinstance(labels, MaskLabels) and labels.annotators is not None else None


def _refuse_shared(competition: Competition, images: pd.DataFrame, options: MaskLabels) -> None:
    """The labels are those of the organisers; a file that is both would count twice."""
    both = {*pattern_files(competition, images, options.files)}
    shared = [path for path in annotator_files(competition, images) if path in both]
    if shared:
        lines = [f"{path} is met by files and by annotators in [labels]" for path in shared]
        raise InputFault(listed(lines))


def _read_array(competition: Competition, path: Path, size: tuple[int, int]) -> list[Runs]:
    """Of one array of all annotators of an image."""
    masks = []
    for values in last_axis_masks(path):
        require_size(values.shape, size, path)
        mask = coded_mask(competition, values, path)
        masks.append(mask.classes.without(mask.ignored))
    return masks
