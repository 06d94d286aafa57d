"""What the images of a download hold: how many channels, and values that nothing places."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.data.images import file_facts, read_values
from competition.errors import InputFault
from competition.new.values import FoundValue, FoundValues

_LOOKED_AT = 24


def pixel_keys(root: Path, paths: Sequence[str], given: Mapping[str, Any]) -> FoundValues:
    """The keys that say what is kept of these images, where they are no grey or colour images of whole
    numbers: `channels`, and `range` as a question, with what was met as its candidate.

    Of some images, spread evenly. given: values said beforehand: where they say how files become
    channels, nothing is looked for.
    """
    if {"data.channels", "data.bands", "data.frame"} & given.keys():
        return {}
    counts, placed, low, high = set(), True, np.inf, -np.inf
    looked_at = paths[:: -(-len(paths) // _LOOKED_AT)]
    for path in looked_at:
        try:
            values, bits = read_values(root / path)
        except InputFault:
            continue  # the doctor names it
        counts.add(_channels(root / path, values))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        placed &= bits is not None or (values.dtype.kind == "f" and low >= 0 and high <= 1)
    found: FoundValues = {}
    if len(counts) == 1 and not counts & {1, 3}:
        (count,) = counts
        found["data.channels"] = FoundValue(count, "found", f"each image has {count} channels")
    if not placed and np.isfinite([low, high]).all():
        ends = [float(f"{end:.6g}") for end in (low, high)]
        why = (
            f"{len(looked_at)} images have values {ends[0]:g}…{ends[1]:g}: which are black, white?"
        )
        found["data.range"] = FoundValue(ends, "asked", why, (str(ends),))
    return found


def _channels(path: Path, values: np.ndarray) -> int:
    """Of one image; alpha of a picture is none, but for a TIFF, where it may be a band."""
    count = 1 if values.ndim == 2 else values.shape[2]
    if count not in (2, 4):
        return count
    stored = file_facts(path).format
    opaque = values.dtype.kind == "u" and values[..., -1].min() == np.iinfo(values.dtype).max
    return count if stored == "NPY" or (stored == "TIFF" and not opaque) else count - 1
