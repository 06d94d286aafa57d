"""Small prediction stores with known logits, shared by the tests of decoding and tuning."""

import numpy as np

from competition.decoding.threshold_sweep import (
    THRESHOLDS,
    ThresholdSweep,
    assembled,
    require_labels,
    sweep_image,
)
from competition.evaluation.metric_sums import MetricSums
from competition.inference.store import Geometry, Provenance, Store, StoreWriter
from competition.scoring import Metric

DICE = MetricSums(Metric(name="dice"))


def store_of(folder, logits, *, size=(8, 12), region=None, classes=("a", "b"), part="oof"):
    """A store of float logits (K, h, w) by image."""
    provenance = Provenance(
        member=folder.name, recipe="r", recipe_sha256="0", folds=(0,), part=part, classes=classes
    )
    with StoreWriter(folder, provenance) as writer:
        for image, values in logits.items():
            whole = (0.0, 0.0, *map(float, values.shape[1:]))
            writer.add(image, values, Geometry(size, region or whole))
    return Store.open(folder, classes=classes)


def smooth_logits(seed, grid=(4, 6), classes=2):
    return np.random.default_rng(seed).normal(0, 3, (classes, *grid)).astype(np.float32)


def sweep_of(scores, *, areas=None, empty=0.0, truth=1, thresholds=THRESHOLDS):
    """A sweep with given scores (N, K, T), with areas (N, K, T) and the score of an empty mask."""
    scores = np.asarray(scores, float)
    shape = scores.shape[:2]
    empty = np.broadcast_to(np.asarray(empty, float), shape)
    return ThresholdSweep(
        metric_sums=DICE,
        images=tuple(f"image-{place}" for place in range(len(scores))),
        thresholds=thresholds,
        truth=np.broadcast_to(np.asarray(truth, np.int64), shape),
        areas=np.full(scores.shape, 10) if areas is None else np.asarray(areas),
        sums=np.stack([scores, np.ones_like(scores)], axis=-1),
        empty=np.stack([empty, np.ones(shape)], axis=-1),
    )


def swept_images(together, truth, metric_sums, *, ignored=None):
    """The sweep of a blend's images, one after another."""
    require_labels(together.images, truth)
    labelled = {image: (truth[image], (ignored or {}).get(image)) for image in together.images}
    rows = [sweep_image(together, image, pair, metric_sums) for image, pair in labelled.items()]
    return assembled(metric_sums, together.images, rows)
