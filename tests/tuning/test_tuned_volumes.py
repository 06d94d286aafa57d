"""What is decided where the metric sees volumes: judged on volumes, nothing where that does not gain."""

import numpy as np
import pandas as pd
import pytest
from made_stores import store_of

from competition.decoding.decisions import decide
from competition.decoding.ensemble import score_members
from competition.masks import Runs
from competition.scoring import evaluate_volumes
from competition.spec import parse_competition
from competition.tuning.search import passes_over, search_decisions

SIZE, DEPTH, SCANS = (24, 24), 4, 12
ROWS, COLUMNS = np.indices(SIZE)


def competition(folder):
    table = {
        "name": "scans",
        "classes": ["a"],
        "horizontal_flip": "allowed",
        "data": {
            "root": ".",
            "train_images": "*.png",
            "group": "volume",
            "volume": {"pattern": "v[0-9]+"},
        },
        "labels": {"kind": "masks", "files": "masks/{stem}.png"},
        "submission": {"image": "i", "rle": "r", "rows": "image", "order": "rows"},
        "metric": {"name": "dice-hausdorff"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition(table, folder=folder, source="competition.toml")


def disc(row, column, radius):
    return (radius - np.hypot(ROWS - row, COLUMNS - column)).astype(np.float32)


def scans(folder, *, speck: float):
    """Two discs and a network that is too timid; at this logit it sees a third one of their size in a
    far corner of every scan, in one slice.
    """
    random = np.random.default_rng(0)
    truth, logits, slices = {}, {}, {}
    for scan in range(SCANS):
        radii, shift = random.uniform(3, 4, 2), random.uniform(0, 3)
        found = np.maximum(disc(5, 5 + shift, radii[0]), disc(14 + shift, 6, radii[1]))
        for place in range(DEPTH):
            image = f"v{scan}_{place}"
            truth[image] = Runs.from_dense((found > 0)[None])
            guess = found - 1.2 + random.normal(0, 0.1, SIZE)
            if place == 0:
                guess[disc(23, 23, 8) > 0] = speck
            logits[image], slices[image] = guess[None].astype(np.float32), (f"v{scan}", place)
    folds = pd.DataFrame(
        {
            "image": list(truth),
            "group": [slices[image][0] for image in truth],
            "fold": [int(slices[image][0][1:]) % 3 for image in truth],
        }
    )
    return (
        {"one": store_of(folder / "one", logits, size=SIZE, classes=("a",))},
        truth,
        folds,
        slices,
    )


def tuned(folder, *, speck):
    stores, truth, folds, slices = scans(folder, speck=speck)
    spec, ticks = competition(folder), []
    ensemble = score_members(stores, truth, folds, spec, slices=slices)
    found = search_decisions(
        stores,
        truth,
        folds,
        spec,
        ensemble=ensemble,
        slices=slices,
        advance=lambda: ticks.append(1),
    )
    assert len(ticks) == len(truth) * passes_over(spec.metric)
    assert ensemble.score == found.decisions.plain
    return stores, truth, spec, found


def score_of(stores, truth, spec, decisions, rules=None):
    """The masks as `submit` decides them, scored as the organisers do."""
    together = decisions.mixture.blended(stores, exclusive=False)
    masks = {image: decide(together, image, rules or decisions.rules) for image in truth}
    scans_of = [
        [[found[f"v{scan}_{place}"] for place in range(DEPTH)] for scan in range(SCANS)]
        for found in (truth, masks)
    ]
    return evaluate_volumes(*scans_of, spec.metric)


def last_step(decisions):
    return decisions.steps[-1]


def test_what_gains_on_volumes_is_kept_and_scores_as_is_said(tmp_path):
    stores, truth, spec, found = tuned(tmp_path, speck=-9.0)
    decisions = found.decisions
    step = last_step(decisions)
    assert step.name == "all of these, on whole volumes" and step.adopted
    assert score_of(stores, truth, spec, decisions) == pytest.approx(decisions.apparent)
    assert decisions.cross_fitted.value > decisions.plain.value + 0.05
    assert decisions.apparent >= decisions.cross_fitted.value - 1e-9
    assert decisions.present is None and decisions.absent is None


def test_what_gains_on_slices_alone_is_not_kept(tmp_path):
    """Below 0.5 the speck comes in: a little Dice is won, and the distance is as far as can be."""
    stores, truth, spec, found = tuned(tmp_path, speck=-0.6)
    decisions = found.decisions
    assert any(step.adopted for step in decisions.steps[:-1])
    step = last_step(decisions)
    assert not step.adopted and step.gain < 0
    assert decisions.rules["a"].threshold == 0.5 and decisions.rules["a"].minimum_area == 0
    assert decisions.cross_fitted == decisions.plain
    assert score_of(stores, truth, spec, decisions) == pytest.approx(decisions.plain.value)
    assert decisions.apparent == decisions.plain.value


def test_the_sums_of_groups_are_those_of_the_reported_scores(tmp_path):
    *_, found = tuned(tmp_path, speck=-9.0)
    assert found.after.sums.shape == (SCANS, 1, 4)
    of_slices, slices, of_volumes, volumes = found.after.sums.sum(axis=0)[0]
    assert (slices, volumes) == (SCANS * DEPTH, SCANS)
    expected = 0.4 * of_slices / slices + 0.6 * of_volumes / volumes
    assert found.decisions.cross_fitted.value == pytest.approx(expected)
