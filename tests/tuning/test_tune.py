"""From stores to decisions.json to masks."""

import json

import numpy as np
import pandas as pd
import pytest
from made_stores import store_of, swept_images

from competition.decoding.blend import blend
from competition.decoding.decisions import ClassRule, Mixture, decide, plain_rules, read_decisions
from competition.decoding.ensemble import read_ensemble, score_members
from competition.decoding.threshold_sweep import THRESHOLDS, Rules
from competition.errors import InputFault
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.scoring import aggregate, score_image
from competition.spec import parse_competition
from competition.tuning.search import PASSES, search_decisions

CLASSES = ("a", "b")
SIZE = (24, 24)


def competition(tmp_path, **changes):
    table = {
        "name": "discs",
        "classes": CLASSES,
        "horizontal_flip": "allowed",
        "data": {"root": ".", "train_images": "train/*.png", "test_images": "test/*.png"},
        "labels": {"kind": "masks", "files": "masks/{stem}.png", "values": "index"},
        "submission": {
            "sample": "s.csv",
            "image": "i",
            "label": "c",
            "rle": "r",
            "rows": "image-class",
            "order": "rows",
        },
        "metric": {"name": "dice"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition({**table, **changes}, folder=tmp_path, source="competition.toml")


def tune(stores, truth, folds, spec, **options):
    ensemble = score_members(stores, truth, folds, spec)
    return search_decisions(stores, truth, folds, spec, ensemble=ensemble, **options).decisions


def disc(row, column, radius, size=SIZE):
    rows, columns = np.indices(size)
    return (radius - np.hypot(rows - row, columns - column)).astype(np.float32)


def made(folder, images):
    """Class a: too timid a network (best threshold under 0.5); class b: ghosts where it is absent."""
    generator = np.random.default_rng(0)
    truth, first, second = {}, {}, {}
    for number in range(images):
        a = disc(*generator.uniform(8, 16, 2), generator.uniform(4, 6))
        present = number % 4 != 0
        b = disc(*generator.uniform(8, 16, 2), 6 if present else 1.6)
        image = f"i{number}"
        truth[image] = Runs.from_dense(np.stack([a > 0, (b > 0) & present]))
        for logits, seed in ((first, 100), (second, 200)):
            noise = np.random.default_rng(seed + number).normal(0, 0.1, (2, *SIZE))
            logits[image] = (np.stack([a - 1.2, b]) + noise).astype(np.float32)
    stores = {
        name: store_of(folder / name, logits, size=SIZE)
        for name, logits in (("one", first), ("two", second))
    }
    folds = pd.DataFrame(
        {
            "image": list(truth),
            "group": [f"g{n // 2}" for n in range(images)],
            "fold": [n // 4 % 3 for n in range(images)],
        }
    )
    return stores, truth, folds


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return made(tmp_path_factory.mktemp("case"), 36)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return made(tmp_path_factory.mktemp("small"), 12)


@pytest.fixture(scope="module")
def decided(case, tmp_path_factory):
    ticks = []
    spec = competition(tmp_path_factory.mktemp("spec"))
    decisions = tune(*case, spec, advance=lambda: ticks.append(1))
    assert len(ticks) == 36 * PASSES
    return decisions


def test_the_search_lifts_the_score_and_says_by_how_much(decided):
    assert decided.cross_fitted.value > decided.plain.value + 0.1
    assert decided.apparent >= decided.cross_fitted.value
    assert all(step.low > 0 for step in decided.steps if step.adopted)
    assert {step.stage for step in decided.steps} == {"mixture", "thresholds", "post-processing"}
    assert (decided.images, decided.groups, decided.folds) == (36, 18, (0, 1, 2))
    assert sum(member.weight for member in decided.members) == pytest.approx(1)


def test_the_members_scores_are_those_of_their_masks_at_threshold_0_5(case, tmp_path):
    stores, truth, folds = case
    spec = competition(tmp_path)
    ensemble = score_members(stores, truth, folds, spec)
    assert [member.name for member in ensemble.members] == ["one", "two"]
    for member in ensemble.members:
        masks = {i: blend({"m": stores[member.name]}).runs_at(i, np.array([0.5]))[0] for i in truth}
        rows = [score_image(truth[image], masks[image], spec.metric) for image in truth]
        assert member.score.value == pytest.approx(aggregate(np.stack(rows), spec.metric))


@pytest.mark.parametrize("groups", [1, 2])
def test_with_too_few_groups_nothing_is_decided_and_that_is_said(small, tmp_path, groups):
    stores, truth, folds = small
    folds = folds.assign(group=[f"g{n % groups}" for n in range(len(folds))])
    spec, ticks = competition(tmp_path), []
    decisions = tune(stores, truth, folds, spec, advance=lambda: ticks.append(1))
    assert len(ticks) == len(truth) * PASSES
    assert decisions.steps == () and decisions.parts == 1 and decisions.groups == groups
    assert decisions.rules == plain_rules(CLASSES)
    assert decisions.mixture == Mixture.equal(stores)
    scores = score_members(stores, truth, folds, spec)
    assert decisions.cross_fitted == decisions.plain == scores.score
    assert decisions.apparent == pytest.approx(scores.score.value)
    assert "nothing is decided: groups are held out in turn, and that takes 3" in decisions.text()
    assert "nested" not in decisions.text()


def test_predictions_of_no_image_are_named(case, tmp_path):
    _, truth, folds = case
    nothing = {"one": store_of(tmp_path / "one", {}, size=SIZE)}
    with pytest.raises(InputFault, match="predictions of no image; predict again"):
        score_members(nothing, truth, folds, competition(tmp_path))


def test_an_empty_submission_is_scored_beside_the_members(case, tmp_path):
    """Where most masks are empty it scores high, and a network that finds nothing looks good."""
    stores, truth, folds = case
    ensemble = score_members(stores, truth, folds, competition(tmp_path))
    empty = np.stack([mask.area() == 0 for mask in truth.values()]).mean()
    assert 0 < empty == pytest.approx(ensemble.empty.value)
    assert f"  {ensemble.empty}  an empty submission" in ensemble.text()


def test_what_is_decided_stands_beside_an_empty_submission(case, decided, tmp_path):
    stores, truth, folds = case
    empty = score_members(stores, truth, folds, competition(tmp_path)).empty
    assert decided.empty == empty
    assert f"  {empty}  an empty submission" in decided.text()


def test_a_member_that_beats_the_mean_is_submitted_alone_and_the_others_are_not_read(tmp_path):
    stores, truth, folds = made(tmp_path, 36)
    generator = np.random.default_rng(5)
    wild = {
        image: generator.normal(0, 3, (2, *SIZE)).astype(np.float32)
        for image in stores["one"].images
    }
    members = {"one": stores["one"], "wild": store_of(tmp_path / "wild", wild, size=SIZE)}
    decisions = tune(members, truth, folds, competition(tmp_path))
    assert decisions.mixture.alone == "one"
    assert [member.weight for member in decisions.members] == [1.0, 0.0]
    kept = {step.name for step in decisions.steps if step.adopted}
    assert {"best member alone", "heads and weights at native size"} <= kept
    together = decisions.mixture.blended(members, exclusive=False)
    assert together.members == (members["one"],)
    assert "of the members one alone is submitted" in decisions.text()
    assert decisions.cross_fitted.value > decisions.plain.value + 0.1


def test_the_exponent_that_was_fitted_is_written_said_and_applied(tmp_path):
    """In a rim of each disc one member, another one in each image, is at .7 and the others at .25: a
    power mean finds it. Beside the disc all are at .45, so that no bias and no threshold does.
    """
    truth, logits, rows = {}, {name: {} for name in "xyz"}, []
    for number in range(36):
        generator, image = np.random.default_rng(number), f"i{number}"
        shape = np.stack([disc(*generator.uniform(8, 16, 2), 6) for _ in CLASSES])
        truth[image] = Runs.from_dense(shape > 0)
        rows.append((image, f"g{number // 2}", number // 2 % 3))
        for place, name in enumerate("xyz"):
            rim = 0.7 if place == number % 3 else 0.25
            levels = np.select([shape > 2, shape > 0, shape > -4], [0.99, rim, 0.45], 0.01)
            logits[name][image] = np.log(levels / (1 - levels)).astype(np.float32)
    stores = {name: store_of(tmp_path / name, one, size=SIZE) for name, one in logits.items()}
    folds = pd.DataFrame(rows, columns=["image", "group", "fold"])
    spec = competition(tmp_path)
    found = tune(stores, truth, folds, spec)
    assert found.mixture.mean == "power mean 3"
    assert "power mean of probabilities: kept" in found.text()
    assert "  probabilities are averaged by the power mean of exponent 3\n" in found.text()
    found.write(tmp_path / "decisions.json")
    read = read_decisions(tmp_path / "decisions.json", classes=CLASSES)
    assert read == found
    together = read.mixture.blended(stores, exclusive=False)
    masks = {image: decide(together, image, read.rules) for image in truth}
    scores = [score_image(truth[image], masks[image], spec.metric) for image in truth]
    assert aggregate(np.stack(scores), spec.metric) == pytest.approx(found.apparent)


def test_of_one_member_and_of_a_mixture_nothing_is_said_to_be_alone(decided):
    assert decided.mixture.alone is None and "alone is submitted" not in decided.text()
    assert Mixture.equal(["one"]).alone is None


def test_the_masks_that_are_handed_in_score_as_is_said(case, decided, tmp_path):
    """Every decision is read back from the file, as `submit` does it."""
    stores, truth, _ = case
    spec = competition(tmp_path)
    decided.write(tmp_path / "decisions.json")
    read = read_decisions(tmp_path / "decisions.json", classes=CLASSES)
    together = read.mixture.blended(stores, exclusive=False)
    masks = {image: decide(together, image, read.rules) for image in truth}
    rows = [score_image(truth[image], masks[image], spec.metric) for image in truth]
    assert aggregate(np.stack(rows), spec.metric) == pytest.approx(decided.apparent)


def test_the_sums_of_any_rules_are_the_scores_of_their_masks(case, tmp_path):
    stores, truth, _ = case
    together = blend({"one": stores["one"]})
    metric_sums = MetricSums.of(competition(tmp_path))
    swept = swept_images(together, truth, metric_sums)
    chosen = Rules(np.array([3, 8]), np.array([12, 16]), np.array([20, 70]), np.array([0, 0]))
    by_class = {
        name: ClassRule(threshold=THRESHOLDS[cut], top=THRESHOLDS[top], minimum_area=int(least))
        for name, cut, top, least in zip(
            CLASSES, chosen.threshold, chosen.top, chosen.minimum, strict=True
        )
    }
    found = swept.outcome(chosen)
    for place, image in enumerate(together.images):
        masks = decide(together, image, by_class)
        assert found[place] == pytest.approx(metric_sums.of_image(truth[image], masks))


def test_decisions_are_read_as_they_were_written(decided, tmp_path):
    decided.write(tmp_path / "decisions.json")
    assert read_decisions(tmp_path / "decisions.json", classes=CLASSES) == decided


def test_decisions_for_another_class_order_are_refused(decided, tmp_path):
    path = tmp_path / "decisions.json"
    decided.write(path)
    with pytest.raises(InputFault, match=r"rules for \['a', 'b'\]; the competition's classes are"):
        read_decisions(path, classes=CLASSES[::-1])


def test_decisions_about_other_members_are_refused(case, decided):
    with pytest.raises(InputFault, match="tune again"):
        decided.mixture.blended({"one": case[0]["one"]}, exclusive=False)


@pytest.mark.parametrize("content", ["", "{", '{"rules": {}}', "<html>"])
def test_a_damaged_file_of_decisions_is_refused(tmp_path, content):
    path = tmp_path / "decisions.json"
    path.write_text(content)
    with pytest.raises(InputFault, match="decisions.json"):
        read_decisions(path, classes=CLASSES)


def test_an_ensemble_is_about_the_members_that_were_scored(case, tmp_path):
    stores, truth, folds = case
    ensemble = score_members(stores, truth, folds, competition(tmp_path))
    with pytest.raises(InputFault, match="ensemble` again"):
        ensemble.blended({"one": stores["one"]}, exclusive=False)


def test_an_ensemble_is_read_as_it_was_written(case, tmp_path):
    ensemble = score_members(*case, competition(tmp_path))
    path = tmp_path / "ensemble.json"
    ensemble.write(path)
    assert read_ensemble(path, classes=CLASSES) == ensemble
    with pytest.raises(InputFault, match="competition's are"):
        read_ensemble(path, classes=CLASSES[::-1])


def test_the_same_input_gives_the_same_bytes(small, tmp_path):
    stores, truth, folds = small
    for name, frame in (("x", folds), ("y", folds[::-1])):
        tune(stores, truth, frame, competition(tmp_path)).write(tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    json.loads((tmp_path / "x").read_text())


@pytest.mark.parametrize("metric", [{"name": "dice", "over": "pixels"}, {"name": "mean-precision"}])
def test_other_metrics_are_tuned_the_same_way(small, tmp_path, metric):
    decisions = tune(*small, competition(tmp_path, metric=metric))
    assert all(step.apparent_gain >= 0 for step in decisions.steps if step.stage == "thresholds")
    assert any(step.apparent_gain > 0 for step in decisions.steps)
    assert (decisions.present is None) == ("over" in metric)


def rules(**changes):
    rule = ClassRule(threshold=0.5, top=0.5, minimum_area=0)
    return {"a": rule.model_copy(update=changes), "b": rule}


def sure_spot(tmp_path):
    """Class a: 4 × 6 pixels at .7, of which 2 × 2 at .95; class b nothing."""
    logits = np.full((2, 8, 12), -4, np.float32)
    logits[0, 2:6, 3:9] = 0.85
    logits[0, 3:5, 5:7] = 3
    return blend({"m": store_of(tmp_path / "m", {"x": logits})})


def test_a_prediction_is_kept_where_enough_of_it_is_sure(tmp_path):
    together = sure_spot(tmp_path)
    kept = decide(together, "x", rules(top=0.9, minimum_area=4))
    assert kept.area().tolist() == [24, 0]
    assert decide(together, "x", rules(top=0.9, minimum_area=5)).area().tolist() == [0, 0]


def test_minimum_areas_follow_the_size_that_is_handed_in(tmp_path):
    together = sure_spot(tmp_path)
    assert decide(together, "x", rules(minimum_area=15), (16, 24)).area()[0] >= 60
    assert decide(together, "x", rules(minimum_area=30), (16, 24)).area()[0] == 0
