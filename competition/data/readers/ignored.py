"""Mask images of the pixels that do not count, beside labels of any kind: `ignore_files`."""

from pathlib import Path

import pandas as pd

from competition.data.readers.file_per_image import pattern_files, read_files, values_of_size
from competition.masks import Runs
from competition.spec import Competition


def ignore_files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """The files that are read; none where the labels name no pattern."""
    pattern = competition.labels.ignore_files
    return [] if pattern is None else pattern_files(competition, images, pattern)


def read_ignored(competition: Competition, images: pd.DataFrame) -> dict[str, Runs]:
    """Runs (1, H, W) by image: where its file is above 0, or where it is 0, as `ignore_at` says; empty
    where the labels name no pattern.
    """
    pattern = competition.labels.ignore_files
    if pattern is None:
        return {}
    return read_files(competition, images, pattern, _read_file, key="ignore_files")


def _read_file(competition: Competition, path: Path, size: tuple[int, int]) -> Runs:
    above = values_of_size(path, size)[None] > 0
    return Runs.from_dense(~above if competition.labels.ignore_at == "zero" else above)
