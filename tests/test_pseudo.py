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
from competition.data.leaks import refuse_leak
from competition.decoding.blend import blend
from competition.entry import NO_ROUND, entry_of
from competition.errors import InputFault
from competition.inference.store import Geometry, Provenance, StoreWriter
from competition.marks import Mark, add_mark
from competition.project import Project
from competition.pseudo.rounds import RoundSettings
from competition.pseudo.verdict import Verdict
from competition.steps.pseudo import decided_labels, known_images, round_labels
from competition.workspace import Workspace

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


def settings_for(project, *, name="round1", source=None, **asked):
    entry = entry_of(project.competition, pseudo=NO_ROUND)
    return steps.round_settings(project, entry, name, source, asked)


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
    settings = steps.round_settings(project, entry, "round1", None, {})
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


def test_a_csv_brings_no_labelled_image_in_either(leaking):
    validated = leaking.validation_images(0)[0]
    rows = [
        f"{image},{name},{'1 40' if name == leaking.classes[0] else '1 20'}"
        for image in ("same_pixels.png", "same_group.png", validated)
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
        steps.round_settings(copied, own, "round1", None, {})
    second = steps.round_settings(copied, own, "round2", None, {})
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"all_folds": None, "allow_missing": None}),
        (["--all-folds", "--refuse-missing"], {"all_folds": True, "allow_missing": False}),
        (["--per-fold", "--allow-missing"], {"all_folds": False, "allow_missing": True}),
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
        steps, "submit_entry", lambda project, entry, **_: taken.append(entry.name) or "written"
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
    asked = steps.round_settings(copied, entry_of(spec, pseudo="round1"), "round2", None, {})
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
