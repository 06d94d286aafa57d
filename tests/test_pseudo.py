"""Rounds on a competition: without leaks, for the student that they are for, and judged."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from made_stores import store_of
from typer.testing import CliRunner

from competition import steps
from competition.cli import app
from competition.data.labels import read_labels
from competition.data.leaks import refuse_leak
from competition.decoding.blend import blend
from competition.entry import NO_ROUND, Member, entry_of
from competition.errors import InputFault
from competition.inference.store import Geometry, Provenance, StoreWriter
from competition.marks import Mark, add_mark
from competition.masks import Runs
from competition.project import Project
from competition.pseudo.rounds import SOFT_LEVELS, RoundSettings
from competition.pseudo.verdict import Verdict
from competition.steps.pseudo import decided_labels, known_images, round_labels
from competition.submission import write_submission
from competition.workspace import Workspace, file_sha256, read_json

LEFT, RIGHT = slice(0, 12), slice(12, 24)


def logits_of(masks, shift=0):
    """Sure logits (K, 24, 24) of masks (K, H, W), moved to the right by so many cells."""
    planes = [
        cv2.resize(mask.to_dense().astype(np.float32), (24, 24), interpolation=cv2.INTER_AREA)
        for mask in masks
    ]
    return np.roll(np.where(np.stack(planes) >= 0.3, 6.0, -6.0), shift, axis=2).astype(np.float32)


def write_store(project, member, fold, part, logits):
    """A network's predictions, as if it had been trained; logits: (K, 24, 24) by image."""
    folder = project.workspace.run(member, fold) / part
    provenance = Provenance(
        member=member,
        recipe="tiny",
        recipe_sha256="0",
        folds=(fold,),
        part=part,
        classes=project.classes,
        checkpoints=(f"cafe{fold}",),
    )
    with StoreWriter(folder, provenance) as writer:
        for image, values in logits.items():
            whole = (0.0, 0.0, *map(float, values.shape[1:]))
            writer.add(image, values, Geometry(project.sizes[image], whole))


def half(project, image, columns):
    """Logits by which every class is in some of these columns, and nowhere else."""
    values = np.full((len(project.classes), 24, 24), -6, np.float32)
    values[:, 4 : 8 + sorted(project.sizes).index(image) % 9, columns] = 6
    return values


def write_test_stores(project, images=None):
    """Of fold 0 every mask lies on the left, of fold 1 on the right."""
    images = list(project.rows("test")["image"]) if images is None else images
    for fold, columns in ((0, LEFT), (1, RIGHT)):
        logits = {image: half(project, image, columns) for image in images}
        write_store(project, "tiny", fold, "test", logits)


def write_oof_stores(project, member, shifts):
    """The labels, moved by as many cells as are drawn from `shifts` for an image."""
    for fold in (0, 1):
        logits = {
            image: logits_of(project.labels[image], shifts[place % len(shifts)])
            for place, image in enumerate(project.validation_images(fold))
        }
        write_store(project, member, fold, "oof", logits)


@pytest.fixture(scope="module")
def predicted(tiny_data, tmp_path_factory):
    """A workspace with predictions of both folds and a round of them."""
    project = opened(tiny_data, tmp_path_factory.mktemp("work"))
    steps.make_split(project)
    write_test_stores(project)
    make(project)
    return project


@pytest.fixture
def copied(predicted, tmp_path):
    """The same, to be changed."""
    shutil.copytree(predicted.workspace.root, tmp_path / "work")
    return opened(predicted.competition.root, tmp_path / "work")


def opened(data, root, say=lambda line: None):
    return Project.open(data / "competition.toml", root, say=say)


def settings_for(project, *, name="round1", source=(), **asked):
    entry = entry_of(project.competition, pseudo=NO_ROUND)
    sources = source if isinstance(source, tuple) else (source,)
    return steps.round_settings(project, entry, name, sources, asked)


def make(project, name="round1", *, force=False, **asked):
    settings = settings_for(project, name=name, **asked)
    return steps.make_pseudo_round(project, name, settings, force=force)


def labels_csv(project, name="round1"):
    path = project.workspace.pseudo(name) / "labels.csv"
    return pd.read_csv(path, keep_default_na=False)


def test_the_student_of_a_fold_learns_from_the_networks_of_that_fold_alone(predicted):
    for fold, columns in ((0, LEFT), (1, RIGHT)):
        labels, receipt = round_labels(predicted, "round1", fold)
        assert receipt.teachers[f"fold-{fold}"] == (f"cafe{fold}",)
        assert receipt.indirect_leak(fold) is None
        assert labels.masks
        for masks in labels.masks.values():
            there = masks.to_dense().any(axis=(0, 1))
            middle = len(there) // 2
            wrong = there[middle + 2 :] if columns is LEFT else there[: middle - 2]
            assert there.any() and not wrong.any()


def test_a_fold_without_labels_has_no_student(predicted, tmp_path):
    project = opened(predicted.competition.root, tmp_path)
    steps.make_split(project)
    write_test_stores(project)
    entry = entry_of(project.competition, folds=(1,), pseudo=NO_ROUND)
    settings = steps.round_settings(project, entry, "round1", (), {})
    steps.make_pseudo_round(project, "round1", settings)
    assert round_labels(project, "round1", 1)[0].masks
    with pytest.raises(InputFault, match="no labels for the student of fold 0"):
        round_labels(project, "round1", 0)


def test_with_all_folds_every_student_learns_from_their_mean(copied):
    receipt = make(copied, "mean", all_folds=True, allow_missing=True)
    assert list(receipt.images) == ["all-folds"]
    assert receipt.teachers == {"all-folds": ("cafe0", "cafe1")}
    one, other = (round_labels(copied, "mean", fold)[0] for fold in (0, 1))
    assert one == other and receipt.indirect_leak(0)


@pytest.fixture
def leaking(tiny_data, tmp_path):
    """Planted test images that are known: by file, by group, by pixels. They come after the folds,
    which the doctor would refuse with them.
    """
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    steps.make_split(opened(data, tmp_path / "work"))
    first, second, third = sorted((data / "train").rglob("*.png"))[:5:2]
    copies, encoded, beside = (
        data / "test" / "DCM" / name for name in ("ID900", "ID901", third.parent.name)
    )
    for folder in (copies, encoded, beside):
        folder.mkdir()
    shutil.copy(first, copies / "same_bytes.png")
    pixels = cv2.imread(str(second), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(encoded / "same_pixels.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert (encoded / "same_pixels.png").read_bytes() != second.read_bytes()
    cv2.imwrite(str(beside / "same_group.png"), 255 - pixels)
    return opened(data, tmp_path / "work")


def test_images_that_a_student_may_be_validated_on_never_enter_a_round(leaking):
    validated = leaking.validation_images(0)[0]
    planted = ["same_bytes.png", "same_pixels.png", "same_group.png", validated]
    images = [*leaking.rows("test")["image"], validated]
    assert set(planted) <= set(images)
    write_test_stores(leaking, images)
    receipt = make(leaking, share=1.0)
    entered = set(labels_csv(leaking)["image"])
    assert entered == set(images) - set(planted) and len(entered) == 4
    reasons = receipt.left_out
    assert set(reasons) == set(planted)
    assert reasons[validated] == "is labelled already"
    assert reasons["same_bytes.png"].startswith("is of the group of")
    assert reasons["same_group.png"].startswith("is of the group of")
    assert reasons["same_pixels.png"].startswith("has the pixels of")


@pytest.fixture
def with_unlabelled(leaking, tiny_data, tmp_path):
    """Further images without labels: two new ones, and copies of labelled ones as in `leaking`."""
    data, more = leaking.competition.root, leaking.competition.root / "more"
    before = opened(data, tmp_path / "work").pipeline.train(Member("tiny", 0), 0).inputs()
    for folder in ("ID900", "ID901", next((data / "test").rglob("same_group.png")).parent.name):
        shutil.move(data / "test" / "DCM" / folder, more / folder)
    (more / "ID902").mkdir()
    for name in ("new1", "new2"):
        pixels = np.random.default_rng(len(name + folder)).integers(0, 256, (70, 64, 3), np.uint8)
        cv2.imwrite(str(more / "ID902" / f"{name}.png"), pixels // (1 + int(name[-1])))
    beside = data / "train" / "outputs_json" / "ID902" / "new1.json"
    beside.parent.mkdir()
    beside.write_text("labels of an unlabelled image are not read")
    file = data / "competition.toml"
    key = 'unlabelled_images = "more/*/*.png"\n'
    file.write_text(file.read_text().replace("[data]\n", f"[data]\n{key}"))
    project = opened(data, tmp_path / "work")
    assert project.pipeline.train(Member("tiny", 0), 0).inputs() == before  # and no fold changed
    return project


def test_unlabelled_images_teach_and_are_neither_scored_nor_submitted(with_unlabelled):
    project = with_unlabelled
    known = {"same_bytes.png", "same_pixels.png", "same_group.png"}
    assert set(project.rows("unlabelled")["image"]) == {"new1.png", "new2.png"} | known
    pipeline = project.pipeline
    assert (pipeline.predicted(), pipeline.averaged()) == (("test", "unlabelled"), ("test",))
    assert pipeline.unlabelled() == ("test", "unlabelled")
    outputs = [path.parent.name for path in pipeline.predict(Member("tiny", 0), 0).outputs]
    assert outputs == ["oof", "test", "unlabelled"]
    # Read anew: what the cache holds was read before there were unlabelled images.
    read = {*read_labels(project.competition, project.everything), *project.folds["image"]}
    assert not read & set(project.rows("unlabelled")["image"])
    write_test_stores(project)
    for fold, columns in ((0, LEFT), (1, RIGHT)):
        images = project.rows("unlabelled")["image"]
        logits = {image: half(project, image, columns) for image in images}
        write_store(project, "tiny", fold, "unlabelled", logits)
    receipt = make(project, share=1.0)
    tested = set(project.rows("test")["image"])
    assert set(labels_csv(project)["image"]) == tested | {"new1.png", "new2.png"}
    assert set(receipt.left_out) == known
    assert receipt.left_out["same_bytes.png"].startswith("has the pixels of")
    assert receipt.left_out["same_pixels.png"].startswith("has the pixels of")
    assert receipt.left_out["same_group.png"].startswith("is of the group of")
    student = Member("tiny", 0, pseudo="round1")
    task = steps.training_task(project, student, 0, project.recipe("tiny"))
    assert {"new1.png", "new2.png", *tested} < set(task.train.images)
    for image in ("new1.png", *tested):
        assert task.train.pixels(image).shape == (64, 64, 3)
    assert not known & set(task.train.images)
    assert state(project).kind == "fresh"
    write_store(project, "tiny", 0, "unlabelled", {"new1.png": half(project, "new1.png", RIGHT)})
    assert state(project).why == "predictions tiny fold 0 unlabelled changed"


def test_without_a_test_part_unlabelled_images_are_what_a_round_is_made_of(tiny_data, tmp_path):
    file, text = tmp_path / "c.toml", (tiny_data / "competition.toml").read_text()
    for line in text.splitlines(keepends=True):
        if line.startswith(("test_images", "sample ")):
            text = text.replace(line, "")
    text = text.replace('root = "."', f'root = "{tiny_data.as_posix()}"')
    file.write_text(text)
    project = Project.open(file, tmp_path, say=lambda line: None)
    steps.make_split(project)
    with pytest.raises(InputFault, match="no test part and no unlabelled images.*name test_images"):
        make(project)
    file.write_text(text.replace("[data]\n", '[data]\nunlabelled_images = "test/DCM/*/*.png"\n'))
    project = Project.open(file, tmp_path, say=lambda line: None)
    assert project.pipeline.unlabelled() == project.pipeline.predicted() == ("unlabelled",)
    images = list(project.rows("unlabelled")["image"])
    for fold in (0, 1):
        logits = {image: half(project, image, LEFT) for image in images}
        write_store(project, "tiny", fold, "unlabelled", logits)
    assert sum(make(project, share=1.0).images.values()) == 2 * len(images)


def test_a_csv_brings_no_labelled_image_in_either(leaking):
    validated = leaking.validation_images(0)[0]
    rows = [
        f"{image},{name},{'1 40' if name == leaking.classes[0] else '1 20'}"
        for image in ("same_bytes.png", "same_pixels.png", "same_group.png", validated)
        for name in leaking.classes
    ]
    source = leaking.workspace.root / "friend.csv"
    source.write_text("image_name,class,rle\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputFault, match="no image is left for the round:\n.*is labelled"):
        make(leaking, source=source, allow_missing=True)
    assert not leaking.workspace.pseudo("round1").exists()
    assert set(known_images(leaking, tuple(leaking.rows("test")["image"]))) == {
        "same_bytes.png",
        "same_pixels.png",
        "same_group.png",
    }


def vanishing(project):
    """Fold 1 predicts nothing of the first class."""
    images = list(project.rows("test")["image"])
    logits = {image: half(project, image, RIGHT) for image in images}
    for values in logits.values():
        values[0] = -6
    write_store(project, "tiny", 1, "test", logits)


def test_a_class_that_vanishes_stops_the_round_and_leaves_the_one_before(copied):
    before = labels_csv(copied)
    make(copied, share=0.9)
    vanishing(copied)
    with pytest.raises(InputFault, match="class 'ulna' is in .* of teacher 'fold-1'"):
        make(copied)
    assert labels_csv(copied).shape[1] == before.shape[1]
    assert round_labels(copied, "round1", 0)[0].masks
    assert copied.pipeline.round_settings("round1").share == 0.9


def test_with_leave_a_class_that_vanished_is_ignored_and_not_taken_for_absent(copied):
    vanishing(copied)
    make(copied, allow_missing=True)
    labels, _ = round_labels(copied, "round1", 1)
    for image, ignored in labels.ignored.items():
        assert ignored[0].area() == np.prod(copied.sizes[image])
    labels, _ = round_labels(copied, "round1", 0)
    assert any(masks[0].area() for masks in labels.masks.values())


def test_pixels_between_the_levels_do_not_count_and_are_no_mask(copied):
    images = list(copied.rows("test")["image"])
    for fold in (0, 1):
        logits = {image: half(copied, image, LEFT) for image in images}
        for values in logits.values():
            values[:, :, 12:14] = 0.2
        write_store(copied, "tiny", fold, "test", logits)
    make(copied, share=1.0)
    labels, _ = round_labels(copied, "round1", 0)
    for image, ignored in labels.ignored.items():
        share = ignored.area() / np.prod(copied.sizes[image])
        assert np.all((share > 0.05) & (share < 0.2))
        assert np.all((ignored & labels.masks[image]).area() == 0)


def test_a_class_that_is_not_sure_enough_in_an_image_is_ignored_in_all_of_it(copied):
    """Every second class is less sure in every second image; the others are trained on."""
    for fold, columns in ((0, LEFT), (1, RIGHT)):
        logits = {}
        for place, image in enumerate(copied.rows("test")["image"]):
            logits[image] = half(copied, image, columns)
            logits[image][place % 2 :: 2] /= 5
        write_store(copied, "tiny", fold, "test", logits)
    make(copied, share=1.0, least=0.9)
    for fold in (0, 1):
        labels, _ = round_labels(copied, "round1", fold)
        for place, image in enumerate(copied.rows("test")["image"]):
            pixels = np.prod(copied.sizes[image])
            unsure = labels.ignored[image].area() == pixels
            assert unsure.tolist() == [k % 2 == place % 2 for k in range(len(copied.classes))]
            assert np.all((labels.masks[image].area() == 0) == unsure)


def test_an_unsure_class_of_exclusive_ones_is_ignored_where_it_may_be(tmp_path):
    """Elsewhere the other class is trained on, and the ground."""
    logits = np.full((2, 8, 12), -6, np.float32)
    logits[0, 2:6, :4] = 6
    logits[1, 2:6, 6:10] = 1.5
    together = blend({"m": store_of(tmp_path / "m", {"i": logits}, part="test")}, exclusive=True)
    project = SimpleNamespace(exclusive=True, classes=("a", "b"))
    pairs = pd.DataFrame({"teacher": "t", "image": "i", "confidence": 0.5}, index=[0, 1])
    pairs = pairs.assign(used=True, sure=[True, False])
    (label,) = decided_labels(project, {"t": (together, ())}, RoundSettings(), pairs)
    ignored, masks = label.ignored.to_dense().any(axis=0), label.masks.to_dense()
    assert ignored[3, 8] and not ignored[:, :5].any() and 10 < ignored.sum() < 30
    assert masks[0, 3, 1] and not masks[1].any()


def test_a_soft_target_is_the_probability_and_leaves_no_pixel_out(copied):
    """Left of the middle 6, then 0.2 (p = .55), then −6: the mean over the cuts is the sigmoid."""
    images = list(copied.rows("test")["image"])
    for fold in (0, 1):
        logits = {image: half(copied, image, LEFT) for image in images}
        for values in logits.values():
            values[:, :, 8:16] = 0.2
        write_store(copied, "tiny", fold, "test", logits)
    make(copied, share=1.0, soft=True)
    labels, _ = round_labels(copied, "round1", 0)
    count = len(copied.classes)
    for image, masks in labels.masks.items():
        cuts = labels.soft[image].to_dense().reshape(len(SOFT_LEVELS), count, *masks.shape[1:])
        middle = cuts.mean(axis=0)[:, :, masks.width // 2]
        assert np.all(np.abs(middle - 0.55) <= 1 / 16)
        assert not labels.ignored[image].area().any()
        assert np.all(cuts[:4].all(axis=0) >= masks.to_dense())
    make(copied, share=1.0, soft=False)
    assert not round_labels(copied, "round1", 0)[0].soft


def test_soft_targets_of_exclusive_classes_are_refused(copied, monkeypatch):
    monkeypatch.setattr(Project, "exclusive", True)
    with pytest.raises(InputFault, match="--soft: the classes exclude each other.*--hard"):
        settings_for(copied, soft=True)


def test_a_student_draws_soft_targets_and_its_share_of_a_batch(copied):
    make(copied, share=1.0)
    member = entry_of(copied.competition, pseudo="round1").trained[0]
    recipe = copied.recipe(member.recipe)
    step = copied.pipeline.train(member, 0)
    before = step.inputs()
    plain = steps.training_task(copied, member, 0, recipe)
    assert plain.pseudo is None and not any(map(plain.train.annotators.get, plain.train.images))
    make(copied, share=1.0, soft=True, batch_share=0.5)
    task = steps.training_task(copied, member, 0, recipe)
    images = set(labels_csv(copied)["image"])
    assert task.pseudo == (images, 0.5)
    drawn = {image for image in task.train.images if task.train.annotators.get(image) is not None}
    assert drawn == images
    after = step.inputs()
    assert set(after) - set(before) == {"pseudo soft targets", "pseudo share of a batch"}


def test_settings_that_are_not_asked_for_stay_as_they_were(copied):
    make(copied, share=0.9, levels="0.2,0.8", measure="margin")
    again = settings_for(copied, least=0.1)
    assert (again.share, again.levels, again.measure) == (0.9, (0.2, 0.8), "margin")
    assert again.least == 0.1
    assert settings_for(copied, name="another") == settings_for(copied, name="third")


def test_settings_that_make_no_sense_are_refused(copied):
    with pytest.raises(InputFault, match="--levels 0.8,0.2: expected LOW,HIGH"):
        settings_for(copied, levels="0.8,0.2")
    with pytest.raises(InputFault, match="--measure marge: no such measure; .*margin"):
        settings_for(copied, measure="marge")
    with pytest.raises(InputFault, match="--all-folds is about predictions"):
        settings_for(copied, source=copied.workspace.root / "a.csv", all_folds=True)
    own = entry_of(copied.competition, pseudo="round1")
    with pytest.raises(InputFault, match="would have learnt from round1 itself"):
        steps.round_settings(copied, own, "round1", (), {})
    second = steps.round_settings(copied, own, "round2", (), {})
    assert second.teachers.pseudo == "round1"


def state(project, name="round1", settings=None):
    return project.pipeline.pseudo(name, settings).state()


def test_a_round_is_outdated_when_a_teacher_or_a_setting_changes(copied):
    assert state(copied).kind == "fresh"
    other = settings_for(copied, share=0.8)
    assert (state(copied, settings=other).kind, state(copied, settings=other).why) == (
        "stale",
        "settings changed",
    )
    vanishing(copied)
    assert state(copied).why == "predictions tiny fold 1 changed"


def test_what_a_person_marked_goes_before_what_the_teachers_are_sure_of(copied):
    """Of two images the surer one is rejected, and the unsure one accepted; and a class of another."""
    first, second, *_ = images = list(copied.rows("test")["image"])
    third, name = images[-1], copied.classes[0]
    for fold in (0, 1):
        logits = {image: half(copied, image, LEFT) for image in images}
        logits[second] = logits[second] * 0.01
        write_store(copied, "tiny", fold, "test", logits)
    least = {"least": 0.9, "share": 1.0}
    make(copied, **least)
    assert first in set(labels_csv(copied)["image"]) and second not in set(
        labels_csv(copied)["image"]
    )
    for mark in (Mark(first, "reject"), Mark(second, "accept"), Mark(third, "reject", name)):
        add_mark(copied.workspace.marks, mark)
    assert state(copied).why == "marks changed"
    receipt = make(copied, **least)
    labels = labels_csv(copied).set_index(["teacher", "image", "class"])
    there = set(labels_csv(copied)["image"])
    assert first not in there and second in there
    assert receipt.left_out[first] == "is rejected by a mark"
    assert receipt.marks == {"reject": 2, "accept": 1} and "marks: 2 reject" in receipt.text()
    found, _ = round_labels(copied, "round1", 0)
    assert (
        found.ignored[third].area()[0]
        == found.ignored[third].plane
        > found.ignored[third].area()[1]
    )
    assert not found.ignored[second].area().any() and found.masks[second].area().all()
    assert labels.loc["fold-0", third, name]["rle"] in ("", copied.competition.submission.empty)
    assert state(copied).kind == "fresh"
    add_mark(copied.workspace.marks, Mark(first, "none"))
    assert state(copied).why == "marks changed"


def test_a_csv_brings_no_rejected_image_in(copied):
    source = copied.workspace.root / "friend.csv"
    answers = pd.read_csv(copied.competition.root / "solution.csv", keep_default_na=False)
    answers.drop(columns="Usage").to_csv(source, index=False)
    first, second = sorted(copied.rows("test")["image"])[:2]
    add_mark(copied.workspace.marks, Mark(first, "reject"))
    add_mark(copied.workspace.marks, Mark(second, "reject", copied.classes[1]))
    receipt = make(copied, "friend", source=source, allow_missing=True)
    found, _ = round_labels(copied, "friend", 0)
    assert first in receipt.left_out and first not in found.masks
    assert found.ignored[second].area()[1] == found.ignored[second].plane


def test_a_round_is_done_where_its_teachers_are_gone(copied):
    shutil.rmtree(copied.workspace.runs)
    assert state(copied).kind == "fresh"
    student = entry_of(copied.competition, pseudo="round1")
    names = [stage.command[0] for stage in copied.pipeline.stages("train", student)]
    assert names == ["folds", "train"]


def test_a_round_of_a_csv_is_outdated_when_the_csv_changes_and_done_when_it_is_gone(copied):
    source = copied.workspace.root / "friend.csv"
    answers = pd.read_csv(copied.competition.root / "solution.csv", keep_default_na=False)
    answers.drop(columns="Usage").to_csv(source, index=False)
    make(copied, "friend", source=source, allow_missing=True)
    assert state(copied, "friend").kind == "fresh"
    assert settings_for(copied, name="friend", source=source).allow_missing
    answers.drop(columns="Usage")[::-1].to_csv(source, index=False)
    assert state(copied, "friend").why == "csv changed"
    source.unlink()
    assert state(copied, "friend").kind == "fresh"


@pytest.fixture
def voters(copied):
    """Three csv files of masks in the left, in the middle and on the right, which overlap."""
    paths = []
    for number, columns in enumerate((slice(0, 20), slice(10, 30), slice(15, 40))):
        masks = {}
        for image in copied.rows("test")["image"]:
            dense = np.zeros((len(copied.classes), *copied.sizes[image]), bool)
            dense[:, 5:30, columns] = True
            masks[image] = Runs.from_dense(dense)
        path = copied.workspace.root / f"voter{number}.csv"
        write_submission(copied.competition, copied.sample, masks.__getitem__, path, {})
        paths.append(path)
    return tuple(paths)


def test_several_csv_vote_and_each_of_them_counts_in_the_receipt(copied, voters):
    receipt = make(copied, "vote", source=voters)
    assert receipt.images == {"vote of 3 files": 4}
    labels, _ = round_labels(copied, "vote", 0)
    for masks in labels.masks.values():
        expected = np.zeros(masks.shape, bool)
        expected[:, 5:30, 10:30] = True  # where two of the three overlap
        assert masks == Runs.from_dense(expected)
    assert "voter0.csv, voter1.csv, voter2.csv trained on" in receipt.indirect_leak(0)
    written = read_json(copied.workspace.pseudo("vote") / "receipt.json")["inputs"]
    for path in voters:
        assert written[f"csv {path}"] == file_sha256(path)
    (stage,) = copied.pipeline.pseudo_stages("vote")
    named = [word for path in voters for word in ("--from", str(path))]
    assert stage.command == ("pseudo", "--round", "vote", *named)
    assert state(copied, "vote").kind == "fresh"
    text = voters[1].read_text()
    voters[1].write_text(text.rstrip("\n"))
    assert state(copied, "vote").why == f"csv {voters[1]} changed"
    voters[1].unlink()
    assert state(copied, "vote").kind == "fresh"


def test_csv_files_that_vote_have_the_same_images_and_vote_once(copied, voters):
    with pytest.raises(InputFault, match="a file votes twice"):
        settings_for(copied, source=(voters[0], voters[1], voters[0]))
    image = copied.rows("test")["image"].iloc[0]
    kept = [line for line in voters[2].read_text().splitlines() if not line.startswith(image)]
    voters[2].write_text("\n".join(kept) + "\n")
    with pytest.raises(
        InputFault, match=rf"voter2.csv: no row for image '{image}', which .*voter0"
    ):
        make(copied, "vote", source=voters)
    assert not copied.workspace.pseudo("vote").exists()


def test_csv_files_of_another_competition_are_one_message(copied, voters):
    """Unknown classes of one, unknown images of another; nothing is written."""
    classes, images = voters[0], voters[1]
    classes.write_text(classes.read_text().replace("radius", "tibia"))
    images.write_text(images.read_text().replace(".png", ".jpg"))
    with pytest.raises(InputFault) as raised:
        make(copied, "vote", source=voters)
    told = str(raised.value)
    assert "voter0.csv line " in told and "unknown class 'tibia'" in told
    assert told.count("voter1.csv: image ") == 4 and "voter2" not in told
    assert not copied.workspace.pseudo("vote").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"all_folds": None, "allow_missing": None}),
        (["--all-folds", "--refuse-missing"], {"all_folds": True, "allow_missing": False}),
        (["--per-fold", "--allow-missing"], {"all_folds": False, "allow_missing": True}),
        (["--soft", "--batch-share", "0.25"], {"soft": True, "batch_share": 0.25}),
        (["--hard"], {"soft": False, "batch_share": None}),
        (["--per-fold", "--all-folds"], None),
    ],
)
def test_a_setting_of_a_round_can_be_asked_for_and_taken_back(
    predicted, monkeypatch, words, expected
):
    asked = {}
    made = SimpleNamespace(text=lambda: "made")
    monkeypatch.setattr(steps, "round_settings", lambda *given: asked.update(given[-1]))
    monkeypatch.setattr(steps, "make_pseudo_round", lambda *given, **force: made)
    monkeypatch.chdir(predicted.workspace.root)
    file = str(predicted.competition.root / "competition.toml")
    told = CliRunner().invoke(app, ["pseudo", "-c", file, *words])
    if expected is None:
        assert "--all-folds and --per-fold are opposites" in str(told.exception)
    else:
        assert told.exit_code == 0 and expected.items() <= asked.items()


STUDENT = ["--pseudo", "round1"]


@pytest.fixture
def handed_in(monkeypatch):
    """The entries that would be submitted."""
    taken = []
    monkeypatch.setattr(
        steps,
        "submit_and_report",
        lambda project, entry, **_: taken.append(entry.name) or "written",
    )
    return taken


def submit(project, monkeypatch, *words):
    monkeypatch.chdir(project.workspace.root)
    file = str(project.competition.root / "competition.toml")
    return CliRunner().invoke(app, ["submit", "-c", file, *STUDENT, *words])


@pytest.mark.parametrize(
    ("teacher", "student", "adopted"), [((4, 3), (0, 1), True), ((0, 1), (4, 3), False)]
)
def test_submit_takes_a_round_only_where_it_was_adopted(
    copied, handed_in, monkeypatch, teacher, student, adopted
):
    entry = entry_of(copied.competition, pseudo="round1")
    refused = submit(copied, monkeypatch)
    assert "was not judged yet (to do" in str(refused.exception) and not handed_in
    write_oof_stores(copied, "tiny", teacher)
    write_oof_stores(copied, "tiny+round1", student)
    verdict = steps.judge_round(copied, entry)
    assert verdict.adopted is adopted and not verdict.leak
    assert verdict == Verdict.read(
        entry.folder(copied.workspace) / "verdict.json", what="a verdict", again="again"
    )
    found = submit(copied, monkeypatch)
    if adopted:
        assert handed_in == ["main+round1"]
        write_oof_stores(copied, "tiny+round1", (0, 0))
        found = submit(copied, monkeypatch)
        assert "was not judged yet (outdated: predictions tiny+round1" in str(found.exception)
    else:
        assert "round1 was not adopted: its students gained -0." in str(found.exception)
        assert not handed_in
    assert submit(copied, monkeypatch, "--despite-verdict").exit_code == 0
    assert handed_in[-1] == "main+round1"


def test_an_entry_without_a_round_has_no_verdict(copied):
    with pytest.raises(InputFault, match="learns from no round, so there is nothing to judge"):
        steps.judge_round(copied, entry_of(copied.competition, pseudo=NO_ROUND))


def test_a_student_is_compared_with_its_like(copied):
    """The same recipes, folds and seeds; soups with soups; a second round's with the first one's."""
    spec, pipeline = copied.competition, copied.pipeline
    student = entry_of(spec, pseudo="round1", seeds=(1, 2), soup=True)
    assert pipeline.teacher_of(student) == entry_of(spec, pseudo=NO_ROUND, seeds=(1, 2), soup=True)
    write_store(copied, "tiny+round1", 0, "test", {})
    asked = steps.round_settings(copied, entry_of(spec, pseudo="round1"), "round2", (), {})
    for fold, columns in ((0, LEFT), (1, RIGHT)):
        images = copied.rows("test")["image"]
        logits = {image: half(copied, image, columns) for image in images}
        write_store(copied, "tiny+round1", fold, "test", logits)
    steps.make_pseudo_round(copied, "round2", asked)
    second = entry_of(spec, pseudo="round2")
    assert pipeline.teacher_of(second) == entry_of(spec, pseudo="round1")


def commands(stages):
    return [stage.command[0] for stage in stages]


def test_a_round_is_judged_before_it_is_submitted_and_not_for_its_sake_alone(copied):
    student = entry_of(copied.competition, pseudo="round1")
    own, teacher = ["train", "predict"], ["folds", "train", "predict"]
    stages = copied.pipeline.stages
    assert commands(stages("verdict", student)) == [*teacher, *own, "verdict"]
    submitted = commands(stages("submit", student))
    assert submitted == [*teacher, *own, "verdict", "ensemble", "tune", "submit"]
    assert commands(stages("tune", student)) == ["folds", *own, "ensemble", "tune"]


GROUPS = {"v1": "ann", "v2": "bob", "t1": "eve", "t2": "ann", "t3": "bob"}


def test_an_image_of_the_validation_fold_is_never_trained_on():
    with pytest.raises(InputFault, match="image 'v2' is in the validation fold"):
        refuse_leak(["t1", "v2"], {"v1", "v2"}, groups=GROUPS)


def test_another_image_of_a_held_out_person_is_never_trained_on():
    with pytest.raises(InputFault) as caught:
        refuse_leak(["t1", "t2", "t3"], {"v1"}, groups=GROUPS)
    assert "'t2' is of group 'ann', and so is 'v1'" in str(caught.value)
    assert "t3" not in str(caught.value)


def test_images_of_other_people_are_trained_on():
    refuse_leak(["t1", "t3"], {"v1"}, groups=GROUPS)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", "..", ""])
def test_a_round_never_leaves_its_folder(tmp_path, name):
    """A round replaces the folder of its name: `--round ../..` would have replaced the project."""
    with pytest.raises(InputFault, match="pseudo round"):
        Workspace(tmp_path, "hands").pseudo(name)
