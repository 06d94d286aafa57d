"""The score that training tells of its own fold is the one that the ensemble step gives."""

import numpy as np
import pytest
import torch
from made_stores import smooth_logits, store_of
from test_ignored_pixels import Laid
from training_runs import task_of

from competition.data.loader import Labelled
from competition.decoding.blend import blend
from competition.decoding.decisions import decide, plain_rules
from competition.evaluation.metric_sums import MetricSums
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.scoring import Metric, aggregate
from competition.training import fit as fitting

CLASSES = ("a", "b", "c")


def test_validation_of_exclusive_classes_scores_what_the_ensemble_does(tmp_path):
    """Each class cut by itself, an image was told .883 where its decision had .976."""
    logits = {f"i{n}": smooth_logits(n, grid=(10, 15), classes=3) + 2 for n in range(4)}
    store = store_of(tmp_path / "m", logits, size=(20, 30), classes=CLASSES)
    truth = {
        image: label_runs_from_logits(smooth_logits(9 - n, (5, 6), 3), (20, 30), background=False)
        for n, image in enumerate(store.images)
    }
    laid = {image: Laid((image,), (20, 30), (10, 15)) for image in store.images}
    labelled = Labelled(store.images, laid, truth)
    metric = Metric(name="dice")
    for exclusive in (True, False):
        score = fitting.scorer_at_native_size(labelled, metric, exclusive=exclusive)
        found = [score(image, store.read(image).logits()).scores for image in store.images]
        sums, together = MetricSums(metric), blend({"m": store}, exclusive=exclusive)
        decided = [
            sums.of_image(truth[image], decide(together, image, plain_rules(CLASSES)))
            for image in store.images
        ]
        expected = sums.score(np.array(decided), np.array(store.images)).value
        on_a_card = [
            score(image, torch.from_numpy(store.read(image).logits())).scores
            for image in store.images
        ]
        assert np.array_equal(on_a_card, found)
        # Codes tie where float logits do not: a pixel or two of 600.
        assert aggregate(np.stack(found), metric) == pytest.approx(expected, abs=2e-3)


def test_a_training_knows_whether_its_classes_exclude_each_other(project, tmp_path, monkeypatch):
    told, scorer = [], fitting.scorer_at_native_size

    def listening(labelled, metric, *, exclusive):
        told.append(exclusive)
        return scorer(labelled, metric, exclusive=exclusive)

    monkeypatch.setattr(fitting, "scorer_at_native_size", listening)
    task = task_of(project, schedule={"epochs": 1, "warmup": 0.0})
    for exclusive in (False, True):
        changed = type(task)(**{**vars(task), "exclusive": exclusive})
        fitting.fit(changed, tmp_path / str(exclusive))
    assert told == [False, True]
