"""The holdout's score and an ablation's sums leave out the pixels that do not count."""

import numpy as np
import pytest
from test_holdout import with_holdout

from competition import steps
from competition.data.labels import LabelCache
from competition.data.pixel_labels import PixelLabels
from competition.decoding.ensemble import score_members
from competition.entry import entry_of
from competition.inference.store import Geometry, Provenance, Store, StoreWriter
from competition.masks import Runs
from competition.scoring import aggregate, score_image
from competition.steps import ablation, holdout
from competition.steps.submit import Decoder


@pytest.fixture
def half_ignored(tiny_data, tmp_path):
    """The tiny competition, with a holdout, of whose images the right half does not count."""
    project = with_holdout(tiny_data, tmp_path)
    steps.make_split(project)
    found = {}
    for image, masks in project.labels.items():
        right = np.arange(masks.width) >= masks.width // 2
        ignored = Runs.from_dense(np.broadcast_to(right, (1, masks.height, masks.width)))
        found[image] = PixelLabels(masks, Runs.empty(ignored.shape)).ignoring(ignored)
    vars(project)["labels"] = LabelCache.of(found)
    return project


def everywhere(folder, project, images):
    """A store that is sure of every class at every pixel of these images."""
    provenance = Provenance(
        member="m", recipe="r", recipe_sha256="0", folds=(0,), part="oof", classes=project.classes
    )
    logits = np.full((len(project.classes), 4, 4), 5, np.float32)
    with StoreWriter(folder, provenance) as writer:
        for image in images:
            writer.add(image, logits, Geometry(project.sizes[image], (0.0, 0.0, 4.0, 4.0)))
    return Store.open(folder, classes=project.classes)


def expected(project, images):
    """Dice of masks that cover what counts of each image and nothing else."""
    rows = []
    for image in images:
        counted = Runs.full(project.labels[image].shape).without(project.ignored[image])
        rows.append(score_image(project.labels[image], counted, project.competition.metric))
    return aggregate(np.stack(rows), project.competition.metric)


def test_the_holdout_is_scored_on_the_pixels_that_count(half_ignored, tmp_path, monkeypatch):
    project = half_ignored
    images = project.rows("holdout")["image"].tolist()
    seen = {"m": everywhere(tmp_path / "oof", project, project.folds["image"])}
    held = {"m": everywhere(tmp_path / "held", project, images)}
    members = score_members(seen, project.labels, project.folds, project.competition)
    monkeypatch.setattr(holdout, "mean_predictions", lambda *_: held)
    monkeypatch.setattr(holdout, "read_decoder", lambda *_, **__: Decoder(members, None, False))
    found = steps.score_holdout(project, entry_of(project.competition), plain=True)
    assert found.images == len(images)
    assert found.score.value == pytest.approx(expected(project, images))


def test_an_ablation_compares_trials_on_the_pixels_that_count(half_ignored, tmp_path, monkeypatch):
    project = half_ignored
    images = project.folds["image"].tolist()
    stored = {"m": everywhere(tmp_path / "oof", project, images)}
    monkeypatch.setattr(ablation, "out_of_fold", lambda *_: stored)
    named, sums = ablation._sums(project, entry_of(project.competition))
    assert named == tuple(sorted(images))
    assert project.metric_sums.value(sums) == pytest.approx(expected(project, images))
