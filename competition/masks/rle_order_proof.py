"""In which order the strings of a competition run, proven on its data instead of believed.

Dice is blind to the pixel order: a mask read transposed passes every round trip and every
cross-validation, and official pages have been wrong about it. What tells:

- mask images of the same rows: only the right reading equals them;
- the numbers: a start that goes down proves relative text, a start of 0 or a run up to the last
  pixel the base;
- the frame: with the wrong base a mask that touches one side bleeds a pixel over the other;
- compactness, where images are not square: the wrong order shreds a mask (perimeter over root of
  area 8 against 85 on Severstal's steel);
- the images' own edges: the outlines of the right reading lie on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np

from competition.errors import InputFault
from competition.masks.geometry import transpose
from competition.masks.intervals import ranges
from competition.masks.morphology import boundary
from competition.masks.rle import decode_rows, sizes_of_rows
from competition.masks.rle_formats import Base, Order, RleFormat
from competition.masks.rle_parsing import read_pairs
from competition.masks.runs import Runs, intersection_area

Certainty = Literal["proven", "near certain", "likely", "unknown"]
CERTAINTIES: tuple[Certainty, ...] = ("unknown", "likely", "near certain", "proven")
MOST_IMAGES = 200


@dataclass(frozen=True)
class Finding:
    """A value, None where nothing tells, how sure it is, and a line with the figures."""

    value: Any
    certainty: Certainty
    line: str

    @property
    def is_sure(self) -> bool:
        return self.certainty in ("proven", "near certain")

    @property
    def reason(self) -> str:
        return f"{self.certainty}: {self.line}"


def from_compactness(pairs: list[tuple[int, Runs, Runs]]) -> Finding:
    """Perimeter over root of area, which transposing leaves as it is on a square."""
    ragged = np.array(
        [
            [_raggedness(mask) for mask in masks]
            for _, *masks in pairs
            if masks[0].height != masks[0].width
        ]
    ).reshape(-1, 2)
    if not len(ragged):
        return Finding(None, "unknown", "all images are square, so compactness is blind")
    value, certainty = sign_test(np.log(ragged[:, 1] / ragged[:, 0]), ("columns", "rows"))
    by_columns, by_rows = np.median(ragged, axis=0)
    line = (
        f"perimeter over root of area of {len(ragged)} masks is {by_columns:.1f} by columns, "
        f"{by_rows:.1f} by rows (medians)"
    )
    return Finding(value, certainty, line)


def _raggedness(mask: Runs) -> float:
    """Perimeter in pixel sides over the root of the area: 4 for a square, more for shreds."""
    sides = 2 * (len(mask.segments()[0]) + len(transpose(mask).segments()[0]))
    return sides / float(np.sqrt(mask.area()[0]))


def from_image_edges(
    pairs: list[tuple[int, Runs, Runs]],
    images: list[np.ndarray | None],
    choices: tuple[Any, Any] = ("columns", "rows"),
    readings: tuple[str, str] = ("by columns", "by rows"),
) -> Finding:
    """How much steeper an image is along the outline of a mask than elsewhere, in two readings.

    pairs: row and its two masks; choices: the values that they stand for; readings: in words.
    """
    pictured = [(image, masks) for row, *masks in pairs if (image := images[row]) is not None]
    steepness = np.array(
        [
            [steepness_along(gradient, mask) for mask in masks]
            for image, masks in pictured[:MOST_IMAGES]
            for gradient in [relative_gradient(image, (masks[0].height, masks[0].width))]
        ]
    ).reshape(-1, 2)
    if not len(steepness):
        return Finding(None, "unknown", "no images to compare outlines with")
    value, certainty = sign_test(steepness[:, 0] - steepness[:, 1], choices)
    one, other = np.median(steepness, axis=0)
    line = (
        f"along the outlines {len(steepness)} images are {one:.2f} times as steep as elsewhere "
        f"{readings[0]}, {other:.2f} times {readings[1]} (medians)"
    )
    return Finding(value, certainty, line)


def relative_gradient(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Magnitude of the grey gradient over its mean, float64 (H * W,); zero for a flat image."""
    if image.shape[:2] != shape:
        raise InputFault(f"an image of {image.shape[:2]} pixels beside a mask of {shape}")
    grey = image.astype(float).reshape(*shape, -1).mean(axis=2)
    slopes = [np.gradient(grey, axis=axis) for axis in (0, 1) if shape[axis] > 1]
    magnitude = np.sqrt(sum(np.square(slope) for slope in slopes))
    return (magnitude / max(float(magnitude.mean()), 1e-12)).ravel()


def steepness_along(gradient: np.ndarray, mask: Runs) -> float:
    """The mean of a gradient (H * W,) along the outline of a mask (H, W) that is not empty."""
    outline = boundary(mask)
    return float(gradient[ranges(outline.starts, outline.stops - outline.starts)].mean())


def sign_test(advantages: np.ndarray, choices: tuple[Any, Any]) -> tuple[Any, Certainty]:
    """The first choice where advantages (n,) are above 0, the second below, by a sign test.

    Also near certain: three or more that all agree and are twice as good (log advantage over .7).
    """
    against = advantages[advantages != 0]
    ahead, count = int((against > 0).sum()), against.size
    fewer = min(ahead, count - ahead)
    # Two-sided: how often fair coins would agree as much or more.
    chance = min(1.0, 2 * sum(comb(count, k) for k in range(fewer + 1)) / 2**count)
    choice = choices[0] if 2 * ahead > count else choices[1]
    strong = count >= 3 and fewer == 0 and float(np.abs(against).mean()) > np.log(2)
    if chance < 1e-6 or strong:
        return choice, "near certain"
    return (choice, "likely") if chance < 0.01 else (None, "unknown")


MOST_TEXTS = 4000

# Every way to read a text: order, relative, base.
_READINGS: list[tuple[Order, bool, Base]] = [
    (order, relative, base)
    for order in ("columns", "rows")
    for relative, base in ((False, 1), (False, 0), (True, 0))
]


Field = Literal["relative", "base", "order"]


@dataclass(frozen=True)
class OrderProof:
    """What was found of relative, base and order of texts; a value is None where nothing tells."""

    findings: Mapping[Field, Finding]

    @property
    def order(self) -> Order | None:
        return self.findings["order"].value

    @property
    def base(self) -> Base | None:
        return self.findings["base"].value

    @property
    def relative(self) -> bool | None:
        return self.findings["relative"].value

    @property
    def certainty(self) -> Certainty:
        """That of the least sure of the three."""
        return min((one.certainty for one in self.findings.values()), key=CERTAINTIES.index)

    @property
    def evidence(self) -> tuple[str, ...]:
        """A line for each, with figures."""
        return tuple(map(self._line, self.findings))

    def _line(self, field: Field) -> str:
        found = self.findings[field]
        return f"{field}: {found.value}, {found.reason}"

    def contradictions(self, format: RleFormat) -> dict[Field, str]:
        """One line for each field of a format that the data speak against, with the evidence."""
        lines: dict[Field, str] = {}
        for field in ("order", "base", "relative"):
            found, said = self.findings[field].value, getattr(format, field)
            if found not in (None, said) and not (field == "base" and format.relative):
                looks = "; decoded so, masks look transposed" if field == "order" else ""
                told = f"{field} is {said!r} in the format but {found!r} in the data{looks}"
                lines[field] = f"{told} ({self._line(field)})"
        return lines


@dataclass(frozen=True)
class _Sample:
    """Texts that hold a mask, with what is known of each: its size, mask image and image or None."""

    texts: list[str]
    shapes: list[tuple[int, int]]
    masks: list[Runs | None]
    images: list[np.ndarray | None]


def prove_order(
    texts: Sequence[str],
    shapes: tuple[int, int] | Sequence[tuple[int, int]],
    *,
    masks: Sequence[Runs | None] | None = None,
    images: Sequence[np.ndarray | None] | None = None,
) -> OrderProof:
    """How texts are to be read, from whatever evidence there is.

    texts: run-length texts; empty ones of any kind tell nothing. shapes: (H, W) of all, or of each.
    masks: mask images of the same rows, over (H, W). images: the pictures, (H, W) or (H, W, C).

    >>> proof = prove_order(["5 3 1 2"], (4, 4))
    >>> proof.relative, proof.evidence[0]
    (True, 'relative: True, proven: 1 of 1 texts are legal as relative, 0 as absolute')
    """
    sample = _sample(texts, shapes, masks, images)
    if not sample.texts:
        nothing = Finding(None, "unknown", "none of the texts holds a mask")
        return OrderProof({"relative": nothing, "base": nothing, "order": nothing})
    order, relative, base = _from_mask_images(sample)
    relative = relative or _relative(sample)
    base = base or _base_of_numbers(sample, relative.value)
    order = order or _order(sample, bool(relative.value), base.value)
    if base.value is None:
        found = [_base_of_frame(sample, order.value), _base_of_edges(sample, order.value)]
        base = max(found, key=lambda finding: CERTAINTIES.index(finding.certainty))
    return OrderProof({"relative": relative, "base": base, "order": order})


def _sample(
    texts: Sequence[str],
    shapes: tuple[int, int] | Sequence[tuple[int, int]],
    masks: Sequence[Runs | None] | None,
    images: Sequence[np.ndarray | None] | None,
) -> _Sample:
    """At most MOST_TEXTS of the texts that look like pairs of numbers, evenly spread."""
    sizes = sizes_of_rows(shapes, len(texts))
    masks = [None] * len(texts) if masks is None else masks
    images = [None] * len(texts) if images is None else images
    counts = [len(texts), len(sizes), len(masks), len(images)]
    if len(set(counts)) > 1:
        raise InputFault(
            f"{counts} texts, sizes, masks and images: one of each for every text is asked for"
        )
    rows = [row for row, text in enumerate(texts) if _holds_pairs(text)]
    if len(rows) > MOST_TEXTS:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, MOST_TEXTS).astype(int)]
    return _Sample(
        texts=[texts[row] for row in rows],
        shapes=[sizes[row] for row in rows],
        masks=[masks[row] for row in rows],
        images=[images[row] for row in rows],
    )


def _holds_pairs(text: object) -> bool:
    tokens = text.split() if isinstance(text, str) else []
    plain = all(token.isascii() and token.isdigit() for token in tokens)
    return plain and len(tokens) >= 2 and len(tokens) % 2 == 0 and tokens[1] != "0"


def _legal(sample: _Sample, relative: bool, base: Base) -> np.ndarray:
    """Which texts are legal in this coding, in either order: bool (n,)."""
    areas = np.array([height * width for height, width in sample.shapes])
    return ~read_pairs(sample.texts, areas, RleFormat("rows", base, relative)).faulty


def _readings(sample: _Sample, order: Order, relative: bool, base: Base) -> list[Runs | None]:
    """The mask of each text read this way, None where it is not legal."""
    form = RleFormat(order, base, relative)
    rows = np.flatnonzero(_legal(sample, relative, base)).tolist()
    read = decode_rows(
        [sample.texts[row] for row in rows], [sample.shapes[row] for row in rows], form
    )
    masks: list[Runs | None] = [None] * len(sample.texts)
    for row, mask in zip(rows, read, strict=True):
        masks[row] = mask
    return masks


def _relative(sample: _Sample) -> Finding:
    """Absolute starts cannot go down; gaps that are starts soon run past the last pixel."""
    gaps = int(_legal(sample, True, 0).sum())
    starts = int((_legal(sample, False, 0) | _legal(sample, False, 1)).sum())
    line = f"{gaps} of {len(sample.texts)} texts are legal as relative, {starts} as absolute"
    if gaps == starts:
        return Finding(None, "unknown", line)
    every_text = max(gaps, starts) == len(sample.texts)
    return Finding(gaps > starts, "proven" if every_text else "likely", line)


def _base_of_numbers(sample: _Sample, relative: bool | None) -> Finding:
    if relative:
        return Finding(0, "proven", "gaps count pixels, the first one from pixel 0")
    zero, one = int(_legal(sample, False, 0).sum()), int(_legal(sample, False, 1).sum())
    line = f"{zero} of {len(sample.texts)} texts are legal counted from 0, {one} from 1"
    if zero == one:
        return Finding(None, "unknown", line)
    every_text = max(zero, one) == len(sample.texts)
    return Finding(int(one > zero), "proven" if every_text else "likely", line)


def _from_mask_images(sample: _Sample) -> tuple[Finding | None, ...]:
    """Order, relative and base where the reading that equals the mask images settles them."""
    rows = [(row, mask) for row, mask in enumerate(sample.masks) if mask is not None]
    if not rows:
        return None, None, None
    overlaps = {
        reading: np.array([_iou(read[row], mask) for row, mask in rows])
        for reading in _READINGS
        for read in [_readings(sample, *reading)]
    }
    means = {reading: float(iou.mean()) for reading, iou in overlaps.items()}
    best = max(means.values())
    if best < 0.5:
        return None, None, None
    equal = [reading for reading, mean in means.items() if mean == best]
    exact = int((overlaps[equal[0]] == 1).sum())
    others = max((mean for mean in means.values() if mean != best), default=0.0)
    line = (
        f"{exact} of {len(rows)} texts equal their mask image, mean IoU {best:.4f}; "
        f"read otherwise {others:.4f} at best"
    )
    certainty: Certainty = "proven" if exact == len(rows) else "near certain"
    return tuple(
        Finding(values.pop(), certainty, line) if len(values) == 1 else None
        for values in ({reading[field] for reading in equal} for field in range(3))
    )


def _iou(read: Runs | None, mask: Runs) -> float:
    if read is None or read.shape != mask.shape:
        return 0.0
    shared = int(intersection_area(read, mask)[0])
    union = int(read.area()[0] + mask.area()[0]) - shared
    return shared / union if union else 1.0


def _order(sample: _Sample, relative: bool, base: Base | None) -> Finding:
    """From compactness and from the images' edges, whichever is the surer."""
    base = 0 if relative else 1 if base is None else base
    read = [_readings(sample, order, relative, base) for order in ("columns", "rows")]
    pairs = [(row, *pair) for row, pair in enumerate(zip(*read, strict=True)) if None not in pair]
    findings = [from_compactness(pairs), from_image_edges(pairs, sample.images)]
    surest = max(findings, key=lambda finding: CERTAINTIES.index(finding.certainty))
    line = "; ".join(finding.line for finding in findings)
    return Finding(surest.value, surest.certainty, line)


def _base_of_frame(sample: _Sample, order: str | None) -> Finding:
    """Masks end at the frame of the image: with the wrong base their runs cross it by a pixel."""
    if order is None and any(height != width for height, width in sample.shapes):
        return Finding(None, "unknown", "the order is unknown, and so is where lines end")
    rows = np.flatnonzero(_legal(sample, False, 0) & _legal(sample, False, 1)).tolist()
    texts, sizes = [sample.texts[row] for row in rows], [sample.shapes[row] for row in rows]
    areas = np.array([height * width for height, width in sizes])
    lines = np.array([height if order == "columns" else width for height, width in sizes])
    crosses = []
    for base in (0, 1):
        pairs = read_pairs(texts, areas, RleFormat("rows", base))
        length = lines[pairs.rows]
        crosses.append(pairs.starts // length != (pairs.stops - 1) // length)
    value, certainty = sign_test(crosses[0].astype(int) - crosses[1], (1, 0))
    line = f"{crosses[0].sum()} runs cross the frame counted from 0, {crosses[1].sum()} from 1"
    return Finding(value, certainty, line)


def _base_of_edges(sample: _Sample, order: Order | None) -> Finding:
    """Counted from the wrong number, a mask lies a pixel beside what the image shows."""
    if order is None:
        return Finding(None, "unknown", "the order is unknown, and so is where outlines lie")
    read = [_readings(sample, order, False, base) for base in (0, 1)]
    pairs = [(row, *pair) for row, pair in enumerate(zip(*read, strict=True)) if None not in pair]
    return from_image_edges(pairs, sample.images, (0, 1), ("counted from 0", "counted from 1"))
