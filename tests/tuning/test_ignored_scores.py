"""Pixels that do not count, in scores and in what is fitted: as if the image had none there."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import DICE, smooth_logits, store_of, swept_images

from competition.decoding.blend import blend
from competition.decoding.calibration import BINS, count_pixels
from competition.decoding.ensemble import score_members
from competition.decoding.postprocess import CHAINS, postprocessed
from competition.decoding.threshold_sweep import THRESHOLDS
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.private_interval import member_sums
from competition.masks import Runs
from competition.scoring import Metric
from competition.spec import Competition
from competition.tuning.pixel_samples import draw
from competition.tuning.postprocess_search import operation_sums
from competition.tuning.search import search_decisions

GRID = (12, 16)
METRICS = [
    Metric(name="dice"),
    Metric(name="iou", empty="zero", eps=1e-4),
    Metric(name="f-beta", beta=2.0),
    Metric(name="mean-precision"),
    Metric(name="dice", over="pixels"),
    Metric(name="object-precision"),
    Metric(name="surface-dice", tolerance=1.0),
    Metric(name="hausdorff-95"),
]
masks = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).random((2, 9, 11)))


def brute_counts(truth, prediction, counted):
    """(intersection, truth, prediction) of each class, pixel by pixel, over those that count."""
    pixels = np.argwhere(counted)
    found = np.zeros((3, len(truth)), int)
    for k in range(len(truth)):
        for y, x in pixels:
            t, p = bool(truth[k, y, x]), bool(prediction[k, y, x])
            found[:, k] += (t and p, t, p)
    return found


@settings(deadline=None, max_examples=40)
@given(masks, masks, masks, st.sampled_from([0.0, 0.2, 1.1]))
def test_pixels_that_do_not_count_are_in_no_sum(truth, prediction, ignored, share):
    truth, prediction, ignored = truth > 0.5, prediction > 0.5, ignored[:1] < share
    pooled = MetricSums(Metric(name="dice", over="pixels"))
    runs = (Runs.from_dense(one) for one in (truth, prediction))
    found = pooled.of_image(*runs, ignored=Runs.from_dense(ignored))
    assert np.array_equal(found.T, brute_counts(truth, prediction, ~ignored[0]))


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{m.over}")
def test_what_is_predicted_or_labelled_there_changes_no_metric(metric):
    random, sums = np.random.default_rng(1), MetricSums(metric)
    for _ in range(20):
        ignored = random.random((1, 9, 11)) < 0.3
        pair = random.random((2, 2, 9, 11)) < 0.4
        other = np.where(ignored, random.random((2, 2, 9, 11)) < 0.5, pair)
        here, there = (
            sums.of_image(*map(Runs.from_dense, two), ignored=Runs.from_dense(ignored))
            for two in (pair, other)
        )
        assert np.array_equal(here, there)
        without = [Runs.from_dense(one & ~ignored) for one in pair]
        assert np.array_equal(here, sums.of_image(*without))


def test_of_an_object_only_what_counts_is_matched():
    """Half of the object is ignored; a second one lies wholly there and is none."""
    truth, prediction, ignored = (np.zeros((1, 6, 12), bool) for _ in range(3))
    truth[:, 1:3, 1:5] = truth[:, 4:6, 8:10] = True
    prediction[:, 1:3, 1:3] = prediction[:, 0, 11] = True
    ignored[:, 1:3, 3:5] = ignored[:, 3:, 7:] = ignored[:, 0, 11] = True
    sums = MetricSums(Metric(name="object-precision"))
    pair = Runs.from_dense(truth), Runs.from_dense(prediction)
    assert sums.of_image(*pair, ignored=Runs.from_dense(ignored))[0, 0] == 1.0
    assert sums.of_image(*pair)[0, 0] < 0.5


@pytest.fixture
def case(tmp_path):
    """Two members, six images; labels twice as fine as the grid, with stripes that do not count."""
    size = (24, 32)
    random = np.random.default_rng(3)
    truth = {f"i{n}": Runs.from_dense(smooth_logits(90 + n, size) > 1) for n in range(6)}
    ignored = {}
    for image in truth:
        mask = np.zeros((1, *size), bool)
        top = int(random.integers(2, 10))
        mask[:, top : top + 8, 4:20] = True
        ignored[image] = Runs.from_dense(mask)
    ignored["i5"] = Runs.empty((1, *size))
    truth = {image: mask.without(ignored[image]) for image, mask in truth.items()}
    logits = {
        name: {image: smooth_logits(seed + n, GRID) for n, image in enumerate(truth)}
        for seed, name in ((0, "one"), (20, "two"))
    }
    stores = {name: store_of(tmp_path / name, one, size=size) for name, one in logits.items()}
    return stores, truth, ignored, logits


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: f"{m.name}-{m.over}")
def test_a_sweep_is_that_of_decoding_and_then_leaving_pixels_out(case, metric):
    stores, truth, ignored, _ = case
    together, sums = blend(stores), MetricSums(metric)
    swept = swept_images(together, truth, sums, ignored=ignored)
    for place, threshold in enumerate(THRESHOLDS):
        for row, image in enumerate(together.images):
            whole = together.runs_at(image, np.array([threshold]))[0]
            counted = ~ignored[image].to_dense()
            left = Runs.from_dense(whole.to_dense() & counted)
            assert np.array_equal(swept.sums[row, :, place], sums.of_image(truth[image], left))
            assert np.array_equal(swept.areas[row, :, place], whole.area())


def test_operations_see_whole_masks_and_are_counted_where_pixels_count(case):
    _, truth, ignored, _ = case
    for image, label in truth.items():
        whole = Runs.from_dense(smooth_logits(40, (24, 32)) > 1)
        found = operation_sums([whole], label, DICE, exclusive=False, ignored=ignored[image])
        for place, chain in enumerate(CHAINS):
            done = postprocessed(whole, chain).without(ignored[image])
            assert np.array_equal(found[0, place], DICE.of_image(label, done))


def test_no_ignored_pixel_is_drawn_or_counted(case):
    stores, truth, ignored, _ = case
    samples = draw(stores, truth, ignored=ignored)
    for place, image in enumerate(samples.images):
        counted = ~ignored[image].to_dense()[0, 1::2, 1::2]
        labels = truth[image].to_dense()[:, 1::2, 1::2]
        codes = np.stack([store.read(image).codes for store in stores.values()]).astype(int)
        decided = [*(codes > 127), codes.sum(axis=0) > 255]
        assert np.array_equal(samples.labelled[place], (labels & counted).sum((1, 2)))
        for number, one in enumerate(decided):
            assert np.array_equal(samples.predicted[number, place], (one & counted).sum((1, 2)))
            both = one & labels & counted
            assert np.array_equal(samples.common[number, place], both.sum((1, 2)))
        every = {tuple(column) for column in codes[..., counted].reshape(4, -1).T.tolist()}
        for sample in samples.classes:
            own = sample.image == place
            assert {tuple(c) for c in sample.codes[..., own].reshape(4, -1).T.tolist()} <= every
            assert sample.weight[own].sum() == pytest.approx(counted.sum(), rel=0.05)


def test_where_all_pixels_count_the_draw_is_the_same(case):
    stores, truth, ignored, _ = case
    nothing = {image: Runs.empty(mask.shape) for image, mask in ignored.items()}
    plain, other = draw(stores, truth), draw(stores, truth, ignored=nothing)
    for one, two in zip(plain.classes, other.classes, strict=True):
        for name in ("image", "codes", "truth", "weight", "decided"):
            assert np.array_equal(getattr(one, name), getattr(two, name))


def test_curves_of_pixels_leave_them_out(case):
    stores, truth, ignored, _ = case
    found = count_pixels(blend(stores), truth.__getitem__, list(truth), ignored=ignored)
    assert found.by_image.shape[-1] == BINS
    for place, image in enumerate(truth):
        counted = ~ignored[image].to_dense()[0, 1::2, 1::2]
        assert found.by_image[place].sum() == 2 * counted.sum()
        inside = truth[image].to_dense()[:, 1::2, 1::2] & counted
        assert found.by_image[place, 1].sum() == inside.sum()


def test_members_are_compared_where_pixels_count(case):
    _, truth, ignored, _ = case
    two = [Runs.from_dense(smooth_logits(seed, (24, 32)) > 1) for seed in (7, 8)]
    singles = [lambda image: two[0], lambda image: two[1]]
    for against in ({}, {"truth": truth.__getitem__}):
        found = member_sums(list(truth), singles[0], singles, DICE, ignored=ignored, **against)
        for place, image in enumerate(truth):
            left = [mask.without(ignored[image]) for mask in (two[0], *two)]
            label = truth[image] if against else left[0]
            expected = [DICE.of_image(label, mask) for mask in left]
            assert np.array_equal(found[place], expected)


def spec() -> Competition:
    return Competition.model_validate(
        {
            "name": "made",
            "classes": ["a", "b"],
            "horizontal_flip": "forbidden",
            "data": {"root": ".", "train_images": "a", "test_images": "b"},
            "labels": {"kind": "masks", "files": "x", "values": "index", "ignore": 255},
            "submission": {
                "sample": "s",
                "image": "i",
                "label": "c",
                "rle": "r",
                "rows": "image-class",
                "order": "rows",
            },
            "metric": {"name": "dice", "over": "pixels"},
            "ensemble": {"recipes": ["unet"]},
        }
    )


def test_what_networks_say_of_ignored_pixels_moves_no_score(case, tmp_path):
    """Of members that differ there alone every score at threshold 0.5 and every step is the same."""
    stores, truth, ignored, logits = case
    other = {name: {} for name in stores}
    for name, by_image in logits.items():
        for image, values in by_image.items():
            inside = ignored[image].to_dense()[0].reshape(12, 2, 16, 2).all(axis=(1, 3))
            deep = np.pad(inside, 1)  # whose own and neighbouring cells are ignored
            deep = np.all([np.roll(deep, s, a) for s in (-1, 0, 1) for a in (0, 1)], axis=0)
            changed = values.copy()
            changed[:, deep[1:-1, 1:-1]] *= -1
            other[name][image] = changed
    assert any(not np.array_equal(other["one"][i], logits["one"][i]) for i in truth)
    others = {
        name: store_of(tmp_path / f"other-{name}", one, size=(24, 32))
        for name, one in other.items()
    }
    others = dict(zip(stores, others.values(), strict=True))
    folds = pd.DataFrame({"image": list(truth), "group": list(truth), "fold": [0, 1, 2, 0, 1, 2]})
    found = []
    for members in (stores, others):
        ensemble = score_members(members, truth, folds, spec(), ignored=ignored)
        tuned = search_decisions(members, truth, folds, spec(), ensemble=ensemble, ignored=ignored)
        scores = ensemble, tuned.decisions.plain, tuned.decisions.compared
        found.append((*scores, tuned.before.sums, tuned.sweep.sums))
    assert found[0][:3] == found[1][:3] and len(found[0][2]) == 3
    assert all(np.array_equal(*pair) for pair in zip(found[0][3:], found[1][3:], strict=True))
    without = score_members(stores, truth, folds, spec())
    assert without.score.value != found[0][0].score.value
