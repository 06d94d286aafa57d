"""Examples of several images: what a pixel shows and what its classes are stay one."""

import multiprocessing
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from test_sampler import labelled as placed
from test_sampler import recipe
from test_transforms import FREE
from training_runs import task_of

from competition.data.letterbox import letterboxed_images
from competition.data.loader import Draw, Labelled, TrainingSet, training_loader
from competition.data.mixing import Laid, copy_paste, cut_mix, mixed, mosaic
from competition.machine import machine_of
from competition.masks import Runs, planes_from_runs, unpack
from competition.recipes import Augmentation, Recipe, derive
from competition.steps import data_sheets
from competition.training import fit
from competition.training.fit import training_set_of
from competition.training.plan import plan_of
from competition.training.sampler import run_sampler, without_mask_note

FIRST = multiprocessing.get_all_start_methods()[0]
SIZE, CLASSES = (40, 48), 11
STILL = {"rotate": 0, "scale": 0, "shift": 0, "intensity": 0, "noise": 0, "flip": 0}


def laid(number, extent=SIZE):
    """An image that shows its class, the number of its object, its row and column and its own number;
    class 10 lies inside of class 0.
    """
    random = np.random.default_rng(number)
    masks = np.zeros((CLASSES, *SIZE), bool)
    image = np.zeros((*SIZE, 5), np.uint8)
    for _ in range(12):
        top, left = random.integers(0, 36), random.integers(0, 44)
        kind = int(random.integers(CLASSES - 1))
        box = slice(top, top + 4), slice(left, left + 4)
        masks[:, *box] = False
        masks[kind, *box] = True
        image[*box, 0] = 1 + kind
        if kind == 0:
            masks[10, top + 1, left + 1] = True
            image[top + 1, left + 1, 0] = 100
    masks[:, extent[0] :] = masks[:, :, extent[1] :] = False
    image[..., 2], image[..., 3] = np.mgrid[: SIZE[0], : SIZE[1]]
    image[..., 4] = number
    image[extent[0] :] = image[:, extent[1] :] = 0
    return Laid(image, planes_from_runs(Runs.from_dense(masks)), extent)


def classes_agree(example):
    """Whether the planes say of every pixel what it shows."""
    shown, masks = example.image[..., 0], unpack(example.planes, CLASSES)
    expected = np.stack([shown == 1 + kind for kind in range(CLASSES - 1)] + [shown == 100])
    expected[0] |= shown == 100
    return np.array_equal(masks, expected)


KINDS = {
    "mosaic": lambda one, others, random: mosaic([one, *others], anywhere=False, random=random),
    "windows": lambda one, others, random: mosaic([one, *others], anywhere=True, random=random),
    "cutmix": lambda one, others, random: cut_mix(one, others[0], random=random),
    "copy": lambda one, others, random: copy_paste(one, others[0], classes=CLASSES, random=random),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_pixel_shows_and_what_its_classes_are_stay_one(kind):
    sources = set()
    for seed in range(30):
        four = [laid(number) for number in range(4)]
        found = KINDS[kind](four[0], four[1:], np.random.default_rng(seed))
        assert classes_agree(found) and found.image.shape == (*SIZE, 5)
        sources |= set(found.image[..., 4].ravel().tolist())
        place = np.dstack(np.mgrid[: SIZE[0], : SIZE[1]])
        assert (kind == "windows") or np.array_equal(found.image[..., 2:4], place)
        again = KINDS[kind](four[0], four[1:], np.random.default_rng(seed))
        assert all(np.array_equal(*pair) for pair in zip(found, again, strict=True))
    assert sources == ({0, 1, 2, 3} if kind in ("mosaic", "windows") else {0, 1})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_padded_is_taken_from_no_image_that_has_enough_of_its_own(kind):
    for seed in range(20):
        one = laid(1, extent=(30, 40) if kind == "windows" else SIZE)
        others = [laid(number, extent=(30, 40)) for number in (2, 3, 4)]
        found = KINDS[kind](one, others, np.random.default_rng(seed))
        assert classes_agree(found)
        if kind != "mosaic":
            assert (found.image[..., 4] > 0).all()
        if kind in ("cutmix", "copy"):  # and what is padded stays so
            found = KINDS[kind](others[0], [laid(1)], np.random.default_rng(seed))
            assert not found.image[30:].any() and not found.image[:, 40:].any()


def test_copy_paste_takes_whole_objects_of_one_class_with_all_that_lies_in_them():
    taken = set()
    for seed in range(40):
        one, other = laid(0), laid(1)
        found = copy_paste(one, other, classes=CLASSES, random=np.random.default_rng(seed))
        inside = found.image[..., 4] == 1
        count, parts = cv2.connectedComponents(inside.astype(np.uint8))
        theirs = unpack(other.planes, CLASSES)
        kinds = [k for k in range(CLASSES) if theirs[k][inside].all()]
        assert kinds and count >= 2
        whole = cv2.connectedComponents(theirs[kinds[0]].astype(np.uint8))[1]
        for part in range(1, count):
            where = parts == part
            assert len(set(whole[where])) == 1
            assert np.array_equal(whole == whole[where][0], where)
        taken.add(kinds[0])
    assert len(taken) > 3
    nothing = Laid(one.image, 0 * one.planes, SIZE)
    assert copy_paste(one, nothing, classes=CLASSES, random=np.random.default_rng(0)) is one


def test_each_happens_as_often_as_it_is_asked_for():
    def shares(**settings):
        random, count = np.random.default_rng(0), 0
        for _ in range(100):
            found = mixed(
                laid(0),
                lambda: laid(1),
                Augmentation(**settings),
                classes=CLASSES,
                anywhere=False,
                random=random,
            )
            count += bool((found.image[..., 4] == 1).any())
        return count

    assert shares() == 0 and shares(mosaic=1) == 100
    assert 15 < shares(cutmix=0.3) < 40 and 15 < shares(copy_paste=0.3) < 40


def test_other_images_come_from_the_training_part_and_one_alone_is_its_own_partner():
    data = placed(count=5)
    for number, image in enumerate(data.images):
        whole = data.letterboxed[image]
        pixels = dict(whole.pixels)
        pixels[image] = np.full_like(whole.pixels[image], 1 + number)
        whole.pixels = pixels
    chosen = derive(recipe(), {"augmentation": STILL | {"mosaic": 1.0}})
    for images, expected in ((data.images[:3], {1, 2, 3}), (data.images[:1], {1})):
        dataset = TrainingSet(replace(data, images=images), chosen, permutation=None, seed=0)
        seen = {
            int(value)
            for epoch in range(6)
            for value in dataset[Draw(epoch, 0, None, 0)]["images"].unique()
        }
        assert seen == expected


def test_positional_classes_stay_at_their_place_and_others_may_be_anywhere():
    data = placed(count=4)
    chosen = derive(recipe(), {"augmentation": STILL | {"mosaic": 1.0}})
    rows = torch.arange(40)[:, None].expand(40, 60)
    for permutation, still in ((None, True), ((0,), False)):
        dataset = TrainingSet(data, chosen, permutation=permutation, seed=0)
        shown = [dataset[Draw(epoch, 0, None, 0)]["images"][0] for epoch in range(4)]
        assert all(torch.equal(one.long(), rows) for one in shown) == still
    # Two classes that change places have sides, and so keep their places.
    data = replace(data, runs={key: Runs.stack([one, one]) for key, one in data.runs.items()})
    dataset = TrainingSet(data, chosen, permutation=(1, 0), seed=0)
    shown = dataset[Draw(0, 0, None, 0)]["images"][0].long()
    assert torch.equal(shown, rows)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Six images on disk, and a recipe that does to them all that there is."""
    folder = tmp_path_factory.mktemp("mixing")
    random, runs = np.random.default_rng(0), {}
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), random.integers(0, 256, (30, 40, 3), np.uint8))
        runs[str(number)] = Runs.from_dense(random.random((3, 30, 40)) > 0.9)
    rows = [
        {"image": str(n), "path": f"{n}.png", "split": "train", "height": 30, "width": 40}
        for n in range(6)
    ]
    laid_out = letterboxed_images(
        pd.DataFrame(rows), folder, folder / "cache", form=((32, 32), "pad")
    )
    data = Labelled(tuple(runs), dict.fromkeys(runs, laid_out), runs)
    also = [
        {"name": "ElasticTransform", "alpha": 90, "sigma": 5},
        {"name": "SomeOf", "n": 2, "transforms": [{"name": "D4"}, {"name": "Sharpen"}]},
    ]
    settings = {"preset": "strong", "mosaic": 0.5, "cutmix": 0.5, "copy_paste": 0.5, "also": also}
    chosen = Recipe(name="x", about="x", batch=2, size=(32, 32), augmentation=settings)
    return data, derive(chosen, {"schedule": {"iterations": 12}})


def test_streams_are_the_same_for_no_and_two_loader_processes(everything):
    data, chosen = everything
    batches = []
    for workers in (0, 2):
        dataset = TrainingSet(data, chosen, permutation=FREE.permutation, seed=0, turns=FREE.turns)
        sampler = run_sampler(data, chosen, plan_of(chosen, len(data)), seed=0)
        sampler.set_epoch(1)
        machine = replace(machine_of(), workers=workers, start_method=FIRST)
        batches.append(list(training_loader(dataset, sampler, batch=2, machine=machine)))
    for alone, beside in zip(*batches, strict=True):
        assert all(torch.equal(alone[key], beside[key]) for key in alone)
    shown = torch.cat([batch["images"] for batch in batches[0]]).flatten(1)
    assert len(shown.unique(dim=0)) == len(shown)


def test_the_note_on_batches_without_masks_knows_that_others_images_may_show_some():
    chosen = derive(recipe(crop=(8, 8)), {"augmentation": {"copy_paste": 0.1}})
    assert "in about 12.5% of the batches" in without_mask_note(0.125, chosen)


def augmented_task(project):
    settings = {"preset": "light", "mosaic": 0.5, "cutmix": 0.5, "copy_paste": 0.5, "rotate": 30}
    return task_of(project, augmentation=settings, size=[32, 32], schedule={"epochs": 2})


def test_the_sheet_shows_the_examples_that_the_network_sees_first(project, tmp_path, monkeypatch):
    task, drawn = augmented_task(project), {}
    monkeypatch.setattr(
        data_sheets, "contact_sheet", lambda tiles, path, **words: drawn.update(words, tiles=tiles)
    )
    monkeypatch.setattr(data_sheets, "overlay", lambda pixels, masks, **_: (pixels, masks))
    data_sheets.draw_examples(task, tmp_path / "examples.png", title="first")
    sampler = run_sampler(
        task.train, task.training.recipe, plan_of(task.training.recipe, 99), seed=0
    )
    dataset = training_set_of(task)
    shown = [dataset[sampler.draw(place)] for place in range(data_sheets._EXAMPLES)]
    classes = len(task.training.classes)
    assert len(drawn["tiles"]) == len(drawn["captions"]) == data_sheets._EXAMPLES
    assert set(drawn["captions"]) <= set(task.train.images)
    for (pixels, masks), example in zip(drawn["tiles"], shown, strict=True):
        assert np.array_equal(pixels, example["images"].numpy().transpose(1, 2, 0))
        assert np.array_equal(masks.to_dense(), unpack(example["planes"].numpy(), classes))


@pytest.mark.long
def test_a_run_with_all_of_it_that_is_killed_ends_with_the_weights_of_the_straight_one(
    project, straight_and_resumed
):
    chosen = replace(machine_of(), workers=2, start_method=FIRST)
    straight_and_resumed(augmented_task(project), 1, resumed_on=chosen)


def test_what_a_preset_leaves_out_is_said_before_the_training(project):
    task, said = augmented_task(project), []
    recipe = derive(task.training.recipe, {"network": {"channels": 5}})
    task = replace(task, training=task.training.model_copy(update={"recipe": recipe}))
    sampler = run_sampler(task.train, recipe, plan_of(recipe, 99), seed=0)
    fit._training_loader(task, sampler, machine_of(), said.append)
    assert said == [
        "left out of augmentation.preset = 'light': ColorJitter cannot take images of 5 channels of 8 "
        "bits: ColorJitter transformation expects 1-channel or 3-channel images."
    ]
