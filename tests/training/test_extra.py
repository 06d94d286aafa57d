"""Further labelled images: in every fold's training, in no fold, and never beside their own group."""

import shutil

import pytest

from competition.entry import Member
from competition.errors import InputFault
from competition.project import Project
from competition.steps import make_split, training_task


@pytest.fixture
def data(tiny_data, tmp_path):
    """Of six people, the last two are extra."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data, folder)
    people = sorted(path.name for path in (folder / "train" / "DCM").iterdir())
    for name in people[4:]:
        shutil.move(folder / "train" / "DCM" / name, folder / "train" / "more" / name)
    path = folder / "competition.toml"
    path.write_text(
        path.read_text().replace("[data]", '[data]\nextra_images = "train/more/*/*.png"')
    )
    return folder


def opened(data, tmp_path, said=None):
    say = (said if said is not None else []).append
    project = Project.open(data / "competition.toml", tmp_path / "work", say=say)
    make_split(project)
    return project


def task(project, fold):
    return training_task(project, Member("tiny"), fold, project.recipe("tiny"))


def test_extra_images_are_trained_on_in_every_fold_and_validated_in_none(data, tmp_path):
    project = opened(data, tmp_path)
    extra = set(project.rows("extra")["image"])
    assert len(extra) == 4 and not extra & set(project.folds["image"])
    held = []
    for fold in (0, 1):
        found = task(project, fold)
        assert extra <= set(found.train.images) and not extra & set(found.validation.images)
        assert len(found.train) == found.training.images == 4 + 4
        image = next(iter(extra))
        assert found.train.runs[image].area().any() and found.train.pixels(image).any()
        held += found.validation.images
    assert sorted(held) == sorted(project.rows("train")["image"])


def test_an_extra_copy_of_a_held_out_image_is_left_out_and_said(data, tmp_path):
    """Though its folder, and so its group, is another one."""
    project = opened(data, tmp_path)
    held = project.validation_images(0)[0]
    rows = project.catalog.set_index("image")
    source, copy = rows.loc[held, "path"], "train/more/AAA/copy.png"
    (data / copy).parent.mkdir()
    shutil.copy(data / source, data / copy)
    labels = data / "train" / "outputs_json"
    (labels / "AAA").mkdir()
    own = labels / rows.loc[held, "group"] / f"{held.removesuffix('.png')}.json"
    shutil.copy(own, labels / "AAA" / "copy.json")
    said = []
    project = opened(data, tmp_path, said)
    assert "copy.png" not in task(project, 0).train.images
    assert any("4 extra images; 1 left out, of the groups that fold 0 holds out" in s for s in said)
    assert "copy.png" in task(project, 1).train.images


def test_an_extra_image_makes_trainings_stale_and_other_spellings_of_the_glob_do_not(
    data, tmp_path
):
    inputs = opened(data, tmp_path).pipeline.train(Member("tiny"), 0).inputs()
    path = data / "competition.toml"
    path.write_text(path.read_text().replace("train/more/*/*.png", "train/mor[e]/*/*.png"))
    assert opened(data, tmp_path).pipeline.train(Member("tiny"), 0).inputs() == inputs
    shutil.rmtree(min((data / "train" / "more").iterdir()))
    for orphan in sorted((data / "train" / "outputs_json").iterdir())[4:5]:
        shutil.rmtree(orphan)
    fewer = opened(data, tmp_path).pipeline.train(Member("tiny"), 0).inputs()
    assert {key for key in inputs if inputs[key] != fewer[key]} == {"extra images", "labels"}


def test_an_image_cannot_be_extra_and_in_a_fold(data, tmp_path):
    path = data / "competition.toml"
    path.write_text(path.read_text().replace("train/more/*/*.png", "train/*/*/*.png"))
    with pytest.raises(InputFault, match="is shared by"):
        opened(data, tmp_path)


def test_an_extra_image_of_a_person_in_the_holdout_is_in_no_training(data, tmp_path):
    path = data / "competition.toml"
    path.write_text(path.read_text().replace("folds = 2", "folds = 2\nholdout = 0.25"))
    project = opened(data, tmp_path)
    person = project.rows("holdout")["group"].iloc[0]
    for kind in ("DCM", "outputs_json"):
        source = next((data / "train" / "DCM" / person).iterdir())
        if kind == "DCM":
            target = data / "train" / "more" / person / "again.png"
        else:
            source = data / "train" / kind / person / f"{source.stem}.json"
            target = data / "train" / kind / person / "again.json"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    project = opened(data, tmp_path)
    assert "again.png" in set(project.rows("extra")["image"])
    for fold in (0, 1):
        assert "again.png" not in task(project, fold).train.images
