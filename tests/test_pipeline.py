"""The whole way on a tiny competition, and what counts as fresh, stale and missing."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_competition import whole_way
from typer.testing import CliRunner

from competition import steps, workspace
from competition.__main__ import main
from competition.cli import app
from competition.decoding.blend import blend
from competition.decoding.calibration import areas_under, count_pixels, tradeoff_curves
from competition.decoding.decisions import read_decisions
from competition.decoding.ensemble import read_ensemble
from competition.doctor import examine
from competition.entry import Member, entry_of
from competition.errors import InputFault, MachineFault
from competition.evaluation import borders
from competition.evaluation.groups import read_group_sums
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.part_differences import PartDifference
from competition.evaluation.significance import step_gain
from competition.experiment import AblationChoice, experiment_of
from competition.inference import views as inference_views
from competition.inference.predict import view_means
from competition.inference.store import Store
from competition.leaderboard import read_leaderboard
from competition.pipeline import Pipeline, states
from competition.project import Project
from competition.recipes import Recipe
from competition.solution import score_file
from competition.steps import chosen_views, private_interval
from competition.steps.predict import letterboxed, prediction_settings
from competition.steps.prediction_stores import out_of_fold
from competition.submission import check_submission, evidence_path, read_receipt
from competition.training.checkpoint import load_checkpoint
from competition.workspace import file_sha256

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """A workspace in which everything up to the submission and a pseudo round is done."""
    said = []
    project = Project.open(
        tiny_data / "competition.toml", tmp_path_factory.mktemp("work"), say=said.append
    )
    project.said = said
    entry = entry_of(project.competition)
    whole_way(project, entry)
    steps.submit_entry(project, entry, plain=True)
    every = {"share": 1.0, "allow_missing": True}
    settings = steps.round_settings(project, entry, "round1", (), every)
    steps.make_pseudo_round(project, "round1", settings)
    return project


@pytest.fixture
def copied(finished, tmp_path):
    """The finished workspace, copied, so that a test may break it."""
    shutil.copytree(finished.workspace.root, tmp_path / "work")
    data = tmp_path / "data"
    shutil.copytree(finished.competition.root, data)
    return Project.open(data / "competition.toml", tmp_path / "work", say=lambda line: None)


def kinds(project, goal="submit"):
    pipeline = Pipeline(project)
    found = states(pipeline.stages(goal, entry_of(project.competition)))
    return {step.name: state for step, state in found}


def reopened(project, say=lambda line: None):
    source = project.competition.folder / "competition.toml"
    return Project.open(source, project.workspace.root, say=say)


def test_the_whole_way_ends_in_a_submission_that_the_checker_accepts(finished):
    project = finished
    csv = project.workspace.submission("main")
    check_submission(project.competition, csv, project.sample, project.sizes)
    receipt = read_receipt(csv)
    assert receipt["rows"] == 4 * len(project.competition.classes)
    assert receipt["out of fold"]["images"] == 12
    assert len(receipt["members"]["tiny"]["checkpoints"]) == 2
    assert set(receipt["thresholds"]) == set(project.competition.classes)
    assert csv.with_suffix(".png").stat().st_size > 10_000
    assert csv.with_suffix(".disputed.png").stat().st_size > 10_000


def test_every_score_on_the_way_stands_beside_that_of_an_empty_submission(finished):
    folder = entry_of(finished.competition).folder(finished.workspace)
    empty = read_ensemble(folder / "ensemble.json", classes=finished.classes).empty
    decisions = read_decisions(folder / "decisions.json", classes=finished.classes)
    assert decisions.empty == empty
    for name in ("main", "main-plain"):
        receipt = read_receipt(finished.workspace.submission(name))
        assert receipt["empty submission"] == empty.model_dump(mode="json")
    board = read_leaderboard(finished.workspace.submissions, finished.metric_sums, finished.classes)
    assert f"an empty submission {empty.value:.4f} there" in " ".join(board.text().split())
    lines = [line for line in finished.said if line.startswith("trained in")]
    scores = [float(re.search(r" held out \(an empty submission (\S+)\)", x)[1]) for x in lines]
    assert len(scores) == 2 and np.mean(scores) == pytest.approx(empty.value, abs=2e-4)


def test_submit_says_where_the_test_part_is_unlike_and_keeps_it(copied, monkeypatch):
    """Of six people and two nothing is sure, so that what is found is put here by hand."""
    measure = {"train": (90, 100, 110), "test": (40, 50, 60), "distance": 1.0, "p_value": 0.001}
    found = PartDifference(what="mean of grey", **measure)
    monkeypatch.setattr(private_interval, "part_differences", lambda *parts, **_: (found,))
    said = []
    project = reopened(copied, said.append)
    entry = entry_of(project.competition)
    steps.submit_entry(project, entry, force=True)
    (warning,) = (line for line in said if line.startswith("warning: the test images are unlike"))
    assert "mean of grey 100 (90 to 110) in training, 50 (40 to 60) in test" in warning
    expected = read_receipt(project.workspace.submission("main"))["expected private"]
    assert expected["differs"] == [found.model_dump(mode="json")]


def test_a_submission_says_what_private_will_be_and_where_it_rests(finished):
    project = finished
    csv = project.workspace.submission("main")
    receipt = read_receipt(csv)
    expected = receipt["expected private"]
    assert expected["low"] < expected["value"] < expected["high"]
    assert (expected["public_groups"], expected["private_groups"]) == (1, 1)
    assert expected["differs"] == [] and not any("unlike" in line for line in finished.said)
    sums = read_group_sums(evidence_path(csv), project.competition.classes)
    metric_sums = MetricSums.of(project.competition)
    assert metric_sums.value(sums.sums) == pytest.approx(receipt["out of fold"]["value"])
    plain = read_receipt(project.workspace.submission("main-plain"))
    sums = read_group_sums(
        evidence_path(project.workspace.submission("main-plain")), project.competition.classes
    )
    assert metric_sums.value(sums.sums) == pytest.approx(plain["out of fold"]["value"])
    table = steps.group_table(finished, entry_of(project.competition)).text(2)
    assert table.splitlines()[-1] == "… and 4 more groups"


def test_everything_is_fresh_after_it_was_made_and_nothing_is_made_again(finished):
    assert {state.kind for state in kinds(finished).values()} == {"fresh"}
    said = []
    again = reopened(finished, said.append)
    steps.train_network(again, Member("tiny"), 0)
    steps.submit_entry(again, entry_of(finished.competition))
    assert said == ["train tiny fold 0: done already", "submit main: done already"]


def test_each_command_of_the_chain_makes_what_it_says_and_nothing_else(copied, monkeypatch):
    """With its receipts gone, each step is made anew by the words that its stage gives."""
    monkeypatch.chdir(copied.workspace.root)
    file = str(copied.competition.folder / "competition.toml")
    entry = entry_of(copied.competition)
    plain = copied.pipeline.stages("submit", entry, plain=True)[-1:]
    for stage in copied.pipeline.stages("submit", entry)[2:] + plain:
        for step in stage.steps:
            step.receipt.unlink()
            step.outputs[0].unlink()
        result = CliRunner().invoke(app, [*stage.command, "-c", file])
        assert result.exit_code == 0 and stage.is_fresh(), (stage.command, result.output)
        if stage.command[0] == "submit":
            assert str(stage.steps[0].outputs[0]) in result.output.replace("\n", "")


def test_copied_data_is_not_stale(copied):
    """Content counts, not the time of a file."""
    assert {state.kind for state in kinds(copied).values()} == {"fresh"}


@pytest.mark.skipif(os.name == "nt", reason="Windows tells no time that a program cannot set")
def test_other_content_of_the_same_size_and_time_is_seen(copied):
    """As `cp -p` and `rsync -t` leave it."""
    path = next((copied.competition.root / "train" / "outputs_json").rglob("*.json"))
    (image,) = (one for one in copied.labels if one.startswith(path.stem))
    was, before = path.stat(), copied.labels[image]
    text = path.read_text()
    number = re.compile(r"\d\d+").search(text, text.index("points"))
    other = str(int(number[0]) - 9)
    path.write_text(f"{text[: number.start()]}{other:0>{len(number[0])}}{text[number.end() :]}")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    project = reopened(copied)
    assert kinds(project)["train tiny fold 0"].why == "labels changed"
    assert project.labels[image] != before


def test_a_changed_recipe_makes_its_training_stale_and_says_so(copied):
    path = copied.competition.folder / "competition.toml"
    path.write_text(path.read_text().replace("batch = 2", "batch = 3"))
    found = kinds(reopened(copied))
    assert (found["train tiny fold 0"].kind, found["train tiny fold 0"].why) == (
        "stale",
        "recipe changed",
    )
    assert found["folds"].kind == "fresh"


def test_other_bytes_of_the_weights_it_starts_from_make_a_training_stale(copied, tmp_path):
    """Those of a file alone: the hub's have one name. A file that is gone is said, not raised."""
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"one")
    member, recipe = entry_of(copied.competition).members[0], copied.recipe("tiny")
    changes = {"pretrained": True, "weights": str(weights)}
    copied.recipe = lambda name: recipe.model_copy(update=changes)
    before = copied.pipeline.train(member, 0).inputs()
    weights.write_bytes(b"two")
    after = copied.pipeline.train(member, 0).inputs()
    assert {key for key in before if before[key] != after[key]} == {"weights"}
    weights.unlink()
    assert "no such file" in copied.pipeline.train(member, 0).inputs()["weights"]
    changes["pretrained"] = False
    assert "weights" not in copied.pipeline.train(member, 0).inputs()


@pytest.mark.parametrize(
    ("views", "kind"),
    [
        ("flips = true", "fresh"),
        ('views = ["mirror"]', "fresh"),
        ("flips = false", "stale"),
        ('views = ["upside-down"]', "stale"),
        ('views = ["mirror", "upside-down"]', "stale"),
    ],
)
def test_other_views_make_predictions_stale_and_other_words_for_the_same_do_not(
    copied, monkeypatch, views, kind
):
    turned = inference_views.View(lambda images: images.flip(-2), lambda logits: logits.flip(-2))
    monkeypatch.setitem(inference_views.VIEWS, "upside-down", turned)
    path = copied.competition.folder / "competition.toml"
    path.write_text(path.read_text().replace("[ensemble]", f"[ensemble]\n{views}"))
    found = kinds(reopened(copied))
    assert found["predict tiny fold 0"].kind == kind
    assert found["train tiny fold 0"].kind == "fresh"
    assert kind == "fresh" or found["predict tiny fold 0"].why == "flips changed"


def test_a_choice_that_recipes_get_later_leaves_trainings_fresh_until_it_is_set(
    finished, monkeypatch
):
    class Later(Recipe):
        patience: int = 3

    step, recipe = finished.pipeline.train(Member("tiny"), 0), finished.recipe("tiny")
    for patience, kind in ((3, "fresh"), (4, "stale")):
        later = Later(**recipe.model_dump(), patience=patience)
        monkeypatch.setattr(finished, "recipe", lambda name, later=later: later)
        assert step.state().kind == kind


@pytest.mark.parametrize(
    ("section", "key", "stale"),
    [
        ("data", "look_alikes = 7", ""),
        ("labels", 'coordinates = "centres"', ""),
        ("labels", 'coordinates = "edges"', "labels changed"),
        ("", 'vertical_flip = "forbidden"', ""),
        ("", 'vertical_flip = "allowed"', "turns changed"),
    ],
)
def test_keys_that_came_later_count_once_they_change_what_is_read(copied, section, key, stale):
    path = copied.competition.folder / "competition.toml"
    text = path.read_text()
    changed = text.replace(f"[{section}]", f"[{section}]\n{key}") if section else f"{key}\n{text}"
    path.write_text(changed)
    assert key in path.read_text()
    found = kinds(reopened(copied))
    assert found["train tiny fold 0"].why == stale
    assert stale or {state.kind for state in found.values()} == {"fresh"}


def test_a_changed_label_file_makes_training_and_decisions_stale(copied):
    path = next((copied.competition.root / "train" / "outputs_json").rglob("*.json"))
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))
    found = kinds(reopened(copied))
    assert found["train tiny fold 1"].why == "labels changed"
    assert found["ensemble main"].why == "labels changed"


def test_renamed_test_images_are_predicted_averaged_and_handed_in_under_their_new_names(copied):
    """The same pixels made the same store.json, so their mean passed for fresh with the old names."""
    root = copied.competition.root
    old = next((root / "test").rglob("*.png"))
    old.rename(old.with_name("renamed.png"))
    for name in ("sample_submission.csv", "solution.csv"):
        path = root / name
        path.write_text(path.read_text().replace(old.name, "renamed.png"))
    again = reopened(copied)
    entry = entry_of(again.competition)
    steps.predict_entry(again, entry)
    assert kinds(again)["submit main"].kind == "stale"
    steps.submit_entry(again, entry)
    csv = again.workspace.submission("main")
    check_submission(again.competition, csv, again.sample, again.sizes)
    assert "renamed.png" in csv.read_text()


def test_another_way_to_name_images_makes_predictions_stale(copied, monkeypatch):
    step = copied.pipeline.predict(Member("tiny"), 0)
    other = copied.catalog.assign(image="id-" + copied.catalog["image"])
    is_test = copied.catalog["split"] == "test"
    monkeypatch.setitem(vars(copied), "catalog", copied.catalog.mask(is_test, other))
    assert step.state().why == "test ids changed"


def test_a_label_file_that_is_gone_is_named_and_nothing_is_written(copied):
    """It once came as a traceback: hashing what training reads looked for the file first."""
    root = copied.competition.root
    path = next((root / "train" / "outputs_json").rglob("*.json"))
    path.unlink()
    with pytest.raises(InputFault, match=f"{path.name} does not exist"):
        steps.train_network(reopened(copied), Member("tiny"), 0)


def test_another_order_of_the_classes_makes_everything_stale(copied):
    path = copied.competition.folder / "competition.toml"
    first, second, *_ = copied.competition.classes
    text = path.read_text().replace(first, "@").replace(second, first).replace("@", second)
    path.write_text(text)
    found = kinds(reopened(copied))
    assert "classes" in found["predict tiny fold 0"].why
    assert found["train tiny fold 0"].kind == found["submit main"].kind == "stale"
    with pytest.raises(InputFault, match="was trained for the classes"):
        steps.predict_network(reopened(copied), Member("tiny"), 0)


def test_two_groups_are_tuned_for_nothing_and_submitted(copied):
    """One fold of few patients: `submit` writes its csv all the same."""
    copied.folds["group"] = [f"g{n % 2}" for n in range(len(copied.folds))]
    entry = entry_of(copied.competition)
    steps.score_ensemble(copied, entry, force=True)
    decisions = steps.tune_entry(copied, entry, force=True)
    assert (decisions.parts, decisions.groups, decisions.steps) == (1, 2, ())
    path = steps.submit_entry(copied, entry, force=True)
    check_submission(copied.competition, path, copied.sample, copied.sizes)


def test_tune_leaves_every_metric_beside_the_others(copied):
    entry = entry_of(copied.competition)
    steps.score_ensemble(copied, entry, force=True)
    decisions = steps.tune_entry(copied, entry, force=True)
    folder = entry.folder(copied.workspace)
    rows = list(csv.DictReader((folder / "metrics.csv").open(newline="")))
    assert len(rows) == 2 * (len(copied.classes) + 2)
    plain = [row for row in rows if row["masks"] == "threshold 0.5"][: len(copied.classes)]
    images = list(copied.folds["image"])
    labelled = np.stack([copied.labels[image].area() for image in images])
    assert [int(row["pixels"]) for row in plain] == labelled.sum(axis=0).tolist()
    assert [int(row["images"]) for row in plain] == (labelled > 0).sum(axis=0).tolist()
    together = blend(out_of_fold(copied, entry))
    curves = count_pixels(together, copied.labels.__getitem__, images).by_class
    found = [float(row["area under ROC"] or "nan") for row in plain]
    assert found == pytest.approx(areas_under(tradeoff_curves(curves))[1], abs=1e-6, nan_ok=True)
    assert rows[-1]["area under ROC"]
    assert (folder / "confusion.png").stat().st_size > 5000
    assert decisions.images == len(images)


def test_tune_tells_borders_that_are_as_coarse_as_the_logits(copied, monkeypatch):
    """The limits are moved, since the tiny network finds next to nothing."""
    monkeypatch.setattr(borders, "FOUND", -1.0)
    monkeypatch.setattr(borders, "_FEWEST", 1)
    monkeypatch.setattr(borders, "_SHARE", 0.0)
    entry, said = entry_of(copied.competition), []
    together = blend(out_of_fold(copied, entry))
    grid = together.shown_size(together.images[0])
    project = Project.open(
        copied.competition.folder / "competition.toml", copied.workspace.root, say=said.append
    )
    for least in (-1.0, 1.1):
        monkeypatch.setattr(borders, "_LEAST", least)
        steps.score_ensemble(project, entry, force=True)
        steps.tune_entry(project, entry, force=True)
    (told,) = [line for line in said if "coarse borders" in line]
    assert told.startswith("warning: ") and f"the {grid[0]} × {grid[1]} of the logits" in told


def refining(project, words):
    """The project with other words for `refine` in its file."""
    path = project.competition.folder / "competition.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("refine")]
    place = lines.index("[ensemble]") + 1
    path.write_text("\n".join([*lines[:place], f"refine = {{ {words} }}", *lines[place:], ""]))
    return reopened(project)


def test_refined_predictions_are_members_of_their_own_that_need_no_training(copied):
    project = refining(copied, "radius = 2, epsilon = 0.01")
    entry = entry_of(project.competition)
    kept = [project.workspace.run("tiny", 0) / name for name in ("train.json", "predict.json")]
    times = [path.stat().st_mtime_ns for path in kept]
    assert [str(member) for member in entry.members] == ["tiny", "tiny+refined"]
    found = kinds(project)
    assert [name for name in found if name.startswith("train")] == [
        "train tiny fold 0",
        "train tiny fold 1",
    ]
    assert {found[f"{step} fold 0"].kind for step in ("train tiny", "predict tiny")} == {"fresh"}
    assert found["predict tiny+refined fold 0"].kind == "missing"
    steps.train_entry(project, entry)
    steps.predict_entry(project, entry)
    assert [path.stat().st_mtime_ns for path in kept] == times
    plain, refined = out_of_fold(project, entry).values()
    image = plain.images[0]
    assert plain.geometry(image).size == refined.geometry(image).size
    assert not np.array_equal(plain.read(image).codes, refined.read(image).codes)
    scored = steps.score_ensemble(project, entry)
    assert [member.name for member in scored.members] == ["tiny", "tiny+refined"]
    decisions = steps.tune_entry(project, entry)
    assert set(decisions.mixture.weights) == {"tiny", "tiny+refined"}
    assert "best member alone" in [step.name for step in decisions.steps]
    assert private_interval._member_rate(project, entry) == private_interval.USUAL
    path = steps.submit_entry(project, entry)
    check_submission(project.competition, path, project.sample, project.sizes)
    assert {state.kind for state in kinds(project).values()} == {"fresh"}

    other = kinds(refining(project, "radius = 2, epsilon = 0.02"))
    assert other["predict tiny fold 0"].kind == "fresh"
    assert other["predict tiny+refined fold 0"].why == "refine changed"
    (project.workspace.run("tiny", 1) / "test" / "store.json").write_text("{}")
    other = kinds(refining(project, "radius = 2, epsilon = 0.01"))
    assert other["predict tiny+refined fold 0"].kind == "fresh"
    assert other["predict tiny+refined fold 1"].why == "predictions test changed"


def test_refined_members_may_stand_alone_and_have_no_part_in_ablations(copied):
    project = refining(copied, "radius = 2, epsilon = 0.01, only = true")
    entry = entry_of(project.competition)
    assert [str(member) for member in entry.members] == ["tiny+refined"]
    found = kinds(project)
    assert found["train tiny fold 0"].kind == found["predict tiny fold 0"].kind == "fresh"
    shutil.rmtree(project.workspace.run("tiny", 0) / "oof")
    steps.predict_entry(project, entry)  # first what is refined
    assert list(out_of_fold(project, entry)) == ["tiny+refined"]
    choice = AblationChoice("skips")
    trials = experiment_of(project.competition, choice).entries
    assert not any(member.refined for row in trials for one in row for member in one.members)


def choosing(project, views, said=None):
    """The project with these views in its file, to be chosen by their gains."""
    path = project.competition.folder / "competition.toml"
    own = ("views", "choose_views")
    lines = [line for line in path.read_text().splitlines() if not line.startswith(own)]
    place = lines.index("[ensemble]") + 1
    words = [f"views = {json.dumps(views)}", "choose_views = true"]
    path.write_text("\n".join([*lines[:place], *words, *lines[place:], ""]))
    return reopened(project, lambda line: None if said is None else said.append(line))


def gaining(views, monkeypatch):
    """Gains of these views alone are significant."""
    tried = iter([])

    class Order(chosen_views._Judge):
        def tried(self, fold):
            nonlocal tried
            tried = iter(self.project.views)
            return super().tried(fold)

    def gain(before, after, groups, metric_sums):
        assert before.shape == after.shape and len(before) == len(groups)
        found = step_gain(before, after, groups, metric_sums)
        return replace(found, significant=next(tried) in views)

    monkeypatch.setattr(chosen_views, "_Judge", Order)
    monkeypatch.setattr(chosen_views, "step_gain", gain)


def test_views_that_gain_out_of_fold_are_kept_and_predicted_with(copied, monkeypatch):
    said = []
    project = choosing(copied, ["mirror", "0.5x"], said)
    entry, oof = entry_of(project.competition), {}
    before = kinds(project)
    assert before["views tiny"].kind == "missing" != before["train tiny fold 0"].kind
    for views in (("0.5x",), ()):
        gaining(views, monkeypatch)
        (project.workspace.runs / "tiny" / "views.json").unlink(missing_ok=True)
        steps.predict_entry(project, entry)
        assert project.views_of(entry.members[0], 1) == views
        store = Store.open(project.workspace.run("tiny", 0) / "oof", classes=project.classes)
        oof[views] = np.stack([store.read(image).logits() for image in store.images])
        assert {kinds(project)[f"predict tiny fold {fold}"].kind for fold in (0, 1)} == {"fresh"}
    assert np.abs(oof[()] - oof["0.5x",]).max() > 0.1
    told = [line for line in said if "by the scores of the other folds" in line]
    assert told[0].startswith("tiny fold 0 sees images as it is and 0.5x, by the scores of")
    assert ": mirror not kept, gain " in told[0] and "as it is, by the scores" in told[-1]
    plain = reopened(copied)
    path = plain.competition.folder / "competition.toml"
    path.write_text(path.read_text().replace('["mirror", "0.5x"]', "[]"))
    assert kinds(reopened(copied))["predict tiny fold 0"].kind == "fresh"  # nothing was kept
    assert not list(project.workspace.runs.rglob(".writing-*"))


def test_the_views_of_a_fold_are_chosen_by_the_others_alone(copied, monkeypatch):
    project = choosing(copied, ["mirror"])
    asked = []
    judge = chosen_views._Judge(project, (0, 1), project.workspace.runs)
    monkeypatch.setattr(
        judge,
        "_sums",
        lambda views, fold: (
            asked.append(fold)
            or np.ones((len(project.validation_images(fold)), len(project.classes), 2))
        ),
    )
    for fold in (0, 1):
        asked.clear()
        (tried,) = judge.tried(fold)
        assert set(asked) == {1 - fold} and not tried.kept and tried.gain == 0


def test_views_of_one_fold_alone_cannot_be_chosen(copied):
    project = choosing(copied, ["mirror"])
    with pytest.raises(InputFault, match="fold 0 is the only one; give two folds or more"):
        steps.predict_entry(project, entry_of(project.competition, folds=(0,)))
    with pytest.raises(InputFault, match="the test-time views of tiny fold 0 are not chosen yet"):
        project.views_of(Member("tiny"), 0)
    assert choosing(copied, []).pipeline.chooses_views is False


def test_a_view_alone_and_the_views_of_a_mean_are_the_same(copied):
    """What is judged is what is predicted."""
    project = choosing(copied, ["mirror", "0.75x"])
    images = project.validation_images(0)[:2]
    network, training = load_checkpoint(
        project.workspace.run("tiny", 0) / "checkpoint.pt", classes=project.classes
    )
    shown = letterboxed(project, training.recipe, "train")

    def logits(views, *, alone):
        settings = prediction_settings(project, training.recipe, views, alone=alone)
        return np.stack([one for _, one, _ in view_means([network], images, shown, settings)])

    every = ("as it is", "mirror", "0.75x")
    apart = [logits((view,), alone=True) for view in every]
    together = logits(every[1:], alone=False)
    assert np.allclose(np.mean(apart, axis=0), together, atol=1e-5)


def test_an_edited_submission_is_stale(copied):
    csv = copied.workspace.submission("main")
    csv.write_text(csv.read_text() + "\n")
    assert "edited" in kinds(copied)["submit main"].why


def test_a_lost_checkpoint_is_missing_and_what_follows_is_stale(copied):
    (copied.workspace.run("tiny", 0) / "checkpoint.pt").unlink()
    found = kinds(copied)
    assert (found["train tiny fold 0"].kind, found["predict tiny fold 0"].kind) == (
        "missing",
        "stale",
    )


def test_a_step_that_is_killed_is_missing_and_not_fresh(copied, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("competition.steps.tune.write_group_sums", killed)
    with pytest.raises(KeyboardInterrupt):
        steps.tune_entry(copied, entry_of(copied.competition), force=True)
    assert kinds(copied)["tune main"].kind == "missing"


def test_a_step_that_another_process_does_is_left_to_it_and_shown_as_running(
    copied, monkeypatch, capsys
):
    monkeypatch.setattr(workspace, "_LOOKING", 0.0)
    step, done = copied.pipeline.train(Member("tiny"), 0), []
    lock, file = copied.workspace.lock(step.name), copied.competition.folder / "competition.toml"
    monkeypatch.chdir(copied.workspace.root)
    with workspace.held(lock, step.name):
        with pytest.raises(
            MachineFault, match=f"{step.name} is being done by process {os.getpid()} on"
        ):
            copied.perform(step, lambda: done.append("twice"), force=True)
        assert main(["status", "--competition", str(file)]) == 0
        assert f"{step.name}    running: process {os.getpid()} on " in capsys.readouterr().out
        assert main(["status", "--json", "--competition", str(file)]) == 0
        steps = json.loads(capsys.readouterr().out)["steps"]
        assert [row["step"] for row in steps if row["running"]] == [step.name]
    assert not done and workspace.who_holds(lock) is None
    copied.perform(step, lambda: done.append("once"), force=True)
    assert done == ["once"]


def test_a_killed_process_lets_go_of_its_step(tmp_path):
    lock = tmp_path / "locks" / "train.lock"
    code = f"""
import os, signal
from pathlib import Path
from competition.workspace import held
with held(Path({str(lock)!r}), "train"):
    os.kill(os.getpid(), signal.SIGTERM)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert killed.returncode and lock.with_suffix(".json").exists()
    assert workspace.who_holds(lock) is None
    with workspace.held(lock, "train"):
        assert workspace.who_holds(lock).startswith(f"process {os.getpid()} on ")


def test_a_submission_of_outdated_decisions_says_so(copied):
    """The score in its receipt is that of other decisions: it may still be what is wanted."""
    said = []
    project = reopened(copied, said.append)
    entry = entry_of(project.competition)
    steps.submit_entry(project, entry, force=True)
    assert not any(line.startswith("warning") for line in said)
    path = entry.folder(project.workspace) / "decisions.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    steps.submit_entry(project, entry, force=True)
    (line,) = (line for line in said if line.startswith("warning"))
    assert "tune main is outdated: edited since it was written: decisions.json" in line
    assert "`python -m competition tune` and submit again" in line


def test_what_is_not_there_yet_is_told_with_the_command_that_makes_it(copied):
    entry = entry_of(copied.competition)
    shutil.rmtree(copied.workspace.run("tiny", 0) / "oof")
    with pytest.raises(InputFault, match="is not there yet; `python -m competition predict` first"):
        steps.tune_entry(copied, entry, force=True)


def test_a_fresh_checkout_lacks_everything_in_order(project):
    pipeline = Pipeline(project)
    stages = pipeline.stages("submit", entry_of(project.competition))
    assert [stage.command[0] for stage in stages] == [
        "folds",
        "train",
        "predict",
        "ensemble",
        "tune",
        "submit",
    ]
    assert not any(stage.is_fresh() for stage in stages)


def test_a_pseudo_round_that_is_not_there_is_made_of_the_ensembles_predictions_first(project):
    entry = entry_of(project.competition, pseudo="round1")
    names = [stage.command[0] for stage in Pipeline(project).stages("train", entry)]
    assert names == ["folds", "train", "predict", "pseudo", "train"]


def test_training_with_a_pseudo_round_sees_the_test_images_and_no_held_out_one(finished):
    member = Member("tiny", pseudo="round1")
    task = steps.training_task(finished, member, 0, finished.recipe("tiny"))
    held = set(finished.validation_images(0))
    assert set(task.train.images) >= set(finished.rows("test")["image"])
    assert not held & set(task.train.images)
    assert set(task.validation.images) == held


def test_a_pseudo_round_with_an_image_of_the_validation_fold_is_refused(copied):
    held = copied.validation_images(0)[0]
    folder = copied.workspace.pseudo("round1")
    path = folder / "labels.csv"
    rows = pd.read_csv(path, keep_default_na=False)
    rows.loc[rows["image"] == rows["image"][0], ["image", "rle", "ignored"]] = [held, "", ""]
    rows.to_csv(path, index=False)
    receipt = json.loads((folder / "receipt.json").read_text())
    receipt["round"]["labels_sha256"] = file_sha256(path)
    (folder / "receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(InputFault, match="is in the validation fold"):
        steps.training_task(copied, Member("tiny", pseudo="round1"), 0, copied.recipe("tiny"))


def test_scores_reach_the_leaderboard(finished):
    project = finished
    csv = project.workspace.submission("main")
    score_file(project.competition, csv, project.competition.root / "solution.csv", project.sizes)
    board = read_leaderboard(
        project.workspace.submissions,
        MetricSums.of(project.competition),
        project.competition.classes,
    )
    rows = {standing.name: standing for standing in board.standings}
    assert rows["main"].public is not None and rows["main-plain"].public is None
    assert rows["main"].images == 12
    assert rows["main"].expected is not None
    assert not np.isnan(board.order[0, 1])


def test_a_fold_that_is_not_there_is_named(project):
    with pytest.raises(InputFault, match="no fold 7; demo is split into folds 0 to 1"):
        entry_of(project.competition, folds=(7,))


def test_entries_have_names_of_their_own(project):
    spec = project.competition
    named = {
        entry_of(spec).name,
        entry_of(spec, recipes=("other",)).name,
        entry_of(spec, folds=(0,)).name,
        entry_of(spec, seeds=(1, 2)).name,
        entry_of(spec, pseudo="r2").name,
        entry_of(spec, pretrained=False).name,
    }
    assert named == {
        "main",
        "other",
        "main-folds-0",
        "main+seed1-2",
        "main+r2",
        "main+scratch",
    }


def test_a_data_set_without_a_test_part_goes_up_to_tuning_and_says_why_no_further(copied):
    said = []
    source = copied.competition.folder / "competition.toml"
    kept = [
        line
        for line in source.read_text().splitlines()
        if not line.startswith(("test_images", "sample"))
    ]
    source.write_text("\n".join(kept))
    shutil.rmtree(copied.competition.root / "test")
    project = reopened(copied, say=said.append)
    assert "submit main" not in kinds(project) and kinds(project)["tune main"].kind == "fresh"
    entry = entry_of(project.competition)
    steps.predict_entry(project, entry, force=True)
    steps.score_ensemble(project, entry, force=True)
    steps.tune_entry(project, entry, force=True)
    assert kinds(project)["predict tiny fold 0"].kind == kinds(project)["tune main"].kind == "fresh"
    assert examine(project.competition, project.workspace).errors == ()
    with pytest.raises(InputFault, match="has no test part, so there is nothing to submit"):
        steps.submit_entry(project, entry)
    with pytest.raises(InputFault, match="has no test part and no unlabelled images, so there"):
        settings = steps.round_settings(project, entry, "round2", (), {})
        steps.make_pseudo_round(project, "round2", settings)


def test_nothing_is_trained_on_data_that_the_doctor_calls_wrong(copied):
    image = next((copied.competition.root / "train").rglob("*.png"))
    image.write_bytes(image.read_bytes()[:-40])
    project = reopened(copied)
    with pytest.raises(InputFault, match=r"(?s)is damaged.*nothing was trained; `python -m"):
        steps.train_entry(project, entry_of(project.competition), force=True)
