"""What the codes of the store cost: scores of float logits beside those of the same logits as codes.

`python -m benchmarks quantisation --checkpoint COMPETITION CHECKPOINT [--checkpoint …]`: the images
that the network has not seen, mirrors as `predict` has them, masks at native size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.forms import coarse
from benchmarks.quantisation_report import write
from competition.inference.codes import OFFSET, SCALE, quantise
from competition.inference.predict import view_means
from competition.masks import Runs
from competition.masks.from_logits import runs_at_thresholds
from competition.masks.raster import Region
from competition.project import Project
from competition.scoring import Metric, paired, score_image
from competition.scoring.bootstrap import Gain
from competition.spec import load as load_competition
from competition.steps import Bench
from competition.steps.training import placed_by_image, prediction_settings
from competition.training.checkpoint import load as load_checkpoint


def between_codes(probability: float) -> float:
    """The nearest probability that lies between two codes, as one half does.

    Codes are whole numbers: compared with any threshold, they act as with one between two of them.
    The rules are fitted on codes and applied to codes, so that is where floats are to be compared.

    >>> round(between_codes(0.3), 3)
    0.294
    """
    code = (np.log(probability / (1 - probability)) - OFFSET) / SCALE
    return float(1 / (1 + np.exp(-((np.floor(code) + 0.5) * SCALE + OFFSET))))


THRESHOLDS = tuple(between_codes(probability) for probability in (0.3, 0.5, 0.7))
METRICS = (Metric(name="dice"), Metric(name="mean-precision"))
CODINGS = {"the store's codes": quantise, "coarse beyond ±4": lambda x: coarse(quantise(x))}


@dataclass(frozen=True)
class Line:
    """A change of score by coding, on the held-out images of one network.

    score: with float logits; gain: mean change over images and classes, with its interval over
    groups; worst: the largest change of the mean of one image.
    """

    network: str
    coding: str
    metric: str
    threshold: float
    images: int
    score: float
    gain: Gain
    worst: float


def run(*, checkpoint: Sequence[tuple[str, str]], images: int) -> None:
    """Compare on every checkpoint and write docs/quantisation.md."""
    results, lines = [], []
    for competition, path in checkpoint:
        results.append(compared(Path(competition), Path(path), most=images))
        for line in lines_of(results[-1]):
            lines.append(line)
            print(_summary(line), flush=True)
    pooled = lines_of(together(results)) if len(results) > 1 else ()
    write([*pooled, *lines])


@dataclass(frozen=True, eq=False)
class Compared:
    """name: of the competition and network; groups: of the images (N,); scores: by coding, and of
    "float", float64 (N, metrics, thresholds, K).
    """

    name: str
    groups: np.ndarray
    scores: dict[str, np.ndarray]


def together(results: Sequence[Compared]) -> Compared:
    """All images of all networks, each with its mean over classes."""
    groups = [f"{place} {group}" for place, one in enumerate(results) for group in one.groups]
    scores = {
        name: np.concatenate([np.nanmean(one.scores[name], axis=-1) for one in results])[..., None]
        for name in results[0].scores
    }
    return Compared("all networks", np.array(groups), scores)


def compared(competition: Path, checkpoint: Path, *, most: int) -> Compared:
    """Scores with one checkpoint that lies where training put it: root/runs/name/member/fold-k.

    most: so many of its held-out images at most, evenly spread.
    """
    root = checkpoint.resolve().parents[4]
    bench = Bench.of(Project(load_competition(competition.resolve()), root), say=lambda text: None)
    truth = bench.project.labels
    scores: dict[str, list[np.ndarray]] = {name: [] for name in ("float", *CODINGS)}
    images = []
    for image, logits, region in float_logits(bench, checkpoint, most):
        images.append(image)
        scores["float"].append(scores_of(logits, truth[image], region, coded=False))
        for name, code in CODINGS.items():
            scores[name].append(scores_of(code(logits), truth[image], region, coded=True))
    stacked = {name: np.stack(rows) for name, rows in scores.items()}
    fold, member = (folder.name for folder in checkpoint.resolve().parents[:2])
    name = f"{bench.project.competition.name}, {member}, {fold}"
    groups = np.array([bench.project.groups[image] for image in images])
    return Compared(name, groups, stacked)


def float_logits(
    bench: Bench, checkpoint: Path, most: int
) -> Iterator[tuple[str, np.ndarray, Region]]:
    """(image, float32 (K, h, w), region) of images that the network has not seen."""
    network, training = load_checkpoint(checkpoint, classes=bench.project.competition.classes)
    held = bench.project.validation_images(training.fold)
    images = held[:: -(-len(held) // most)]
    placed = placed_by_image(bench, training.recipe, "train")[images[0]]
    settings = prediction_settings(bench, training.recipe)
    for image, logits, _ in view_means([network], images, placed, settings):
        yield image, logits, placed.placements[image].region(logits.shape[-2:])


def scores_of(values: np.ndarray, truth: Runs, region: Region, *, coded: bool) -> np.ndarray:
    """float64 (metrics, thresholds, K) of one image's logits or codes (K, h, w)."""
    code = {"scale": SCALE, "offset": OFFSET} if coded else {}
    size = (truth.height, truth.width)
    found = runs_at_thresholds(values, size, np.array(THRESHOLDS), region=region, **code)
    return np.array([[score_image(truth, runs, metric) for runs in found] for metric in METRICS])


def lines_of(result: Compared) -> Iterator[Line]:
    """A line for each coding, metric and threshold."""
    groups, scores = result.groups, result.scores
    for coding in CODINGS:
        for m, metric in enumerate(METRICS):
            for t, threshold in enumerate(THRESHOLDS):
                before, after = scores["float"][:, m, t], scores[coding][:, m, t]
                change = np.nanmean(after, axis=1) - np.nanmean(before, axis=1)
                yield Line(
                    result.name,
                    coding,
                    metric.name,
                    threshold,
                    len(groups),
                    float(np.nanmean(before)),
                    paired(before, after, groups),
                    float(change[np.argmax(np.abs(change))]),
                )


def _summary(line: Line) -> str:
    return (
        f"{line.network:28} {line.coding:20} {line.metric:15} at {line.threshold:.3f} {line.score:.4f}"
        f" change {line.gain.gain:+.1e} ({line.gain.low:+.1e} to {line.gain.high:+.1e})"
        f" worst image {line.worst:+.1e}"
    )
