"""What the images of a download hold: how many channels, and values that nothing places."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from competition.data.bands import pixel_files
from competition.data.images import file_facts, read_values
from competition.errors import InputFault
from competition.new.values import FoundValue, FoundValues
from competition.spec import PixelForm

_LOOKED_AT = 24


def pixel_keys(
    root: Path, paths: Sequence[str], given: Mapping[str, Any], form: PixelForm
) -> FoundValues:
    """The keys that say what is kept of these images, where they are no grey or colour images of whole
    numbers: `channels`, and `range` as a question, with what was met as its candidate.

    Of some images, spread evenly. given: values said beforehand: where they say how files become
    channels, nothing is looked for; form: the files of an image, where each is a channel.
    """
    if {"data.channels", "data.bands", "data.frame"} & given.keys():
        return {}
    looked_at = [pixel_files(path, form) for path in paths[:: -(-len(paths) // _LOOKED_AT)]]
    seen = [_Seen.of(root, files) for files in zip(*looked_at, strict=True)]
    found: FoundValues = {}
    counts = set().union(*(one.counts for one in seen))
    if not form.bands and len(counts) == 1 and not counts & {1, 3}:
        (count,) = counts
        found["data.channels"] = FoundValue(count, "found", f"each image has {count} channels")
    if not all(one.placed for one in seen) and np.isfinite([one.ends for one in seen]).all():
        pairs = [[float(f"{end:.6g}") for end in one.ends] for one in seen]
        shown = ", ".join(f"{low:g}…{high:g}" for low, high in pairs)
        ends = pairs if form.bands else pairs[0]
        why = f"{len(looked_at)} images have values {shown}: which are black, white?"
        found["data.range"] = FoundValue(ends, "asked", why, (str(ends),))
    return found


class _Seen(NamedTuple):
    """What files hold: numbers of channels, the lowest and the highest value, and whether these are
    placed between black and white.
    """

    counts: set[int]
    ends: tuple[float, float]
    placed: bool

    @classmethod
    def of(cls, root: Path, paths: Sequence[str]) -> "_Seen":
        counts, placed, low, high = set(), True, np.inf, -np.inf
        for path in paths:
            try:
                values, bits = read_values(root / path)
            except InputFault:
                continue  # the doctor names it
            counts.add(_channels(root / path, values))
            least, most = float(values.min()), float(values.max())
            low, high = min(low, least), max(high, most)
            shares = values.dtype.kind == "f" and least >= 0 and most <= 1
            placed &= bits is not None or shares
        return cls(counts, (low, high), placed)


def _channels(path: Path, values: np.ndarray) -> int:
    """Of one image; alpha of a picture is none, but for a TIFF, where it may be a band."""
    count = 1 if values.ndim == 2 else values.shape[2]
    if count not in (2, 4):
        return count
    stored = file_facts(path).format
    opaque = values.dtype.kind == "u" and values[..., -1].min() == np.iinfo(values.dtype).max
    return count if stored == "NPY" or (stored == "TIFF" and not opaque) else count - 1
