"""What an epoch shows, and how: the same for the same seed, different everywhere else."""

import numpy as np
import pytest

from competition.data.augment import Turns, augment, mirror, transform
from competition.masks import Runs, planes_from_runs, unpack
from competition.recipes import Augmentation
from competition.spec import parse_competition
from competition.training.sampler import RunSampler

TEETH = ("tooth-15", "tooth-16", "tooth-26")


def teeth(**changes):
    table = {
        "name": "teeth",
        "classes": TEETH,
        "horizontal_flip": [["tooth-16", "tooth-26"]],
        "data": {"root": ".", "train_images": "a/*.png", "test_images": "b/*.png"},
        "labels": {"kind": "polygons", "files": "m/{stem}.json"},
        "submission": {
            "sample": "s.csv",
            "image": "i",
            "rle": "r",
            "rows": "image",
            "order": "rows",
        },
        "metric": {"name": "dice"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition(table | changes, folder=".", source="competition.toml")


def picture(size=(16, 24), classes=3):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), np.uint8)
    masks = np.zeros((classes, *size), bool)
    for place in range(classes):
        masks[place, 2 + place : 8 + place, 3 : 3 + 4 * (place + 1)] = True
    return image, planes_from_runs(Runs.from_dense(masks))


def test_a_flipped_tooth_16_becomes_a_tooth_26():
    image, planes = picture()
    before = unpack(planes, 3)
    flipped, swapped = mirror(image, planes, teeth().flip_permutation)
    after = unpack(swapped, 3)
    assert np.array_equal(flipped, image[:, ::-1])
    sixteen, twentysix = TEETH.index("tooth-16"), TEETH.index("tooth-26")
    assert np.array_equal(after[twentysix], before[sixteen][:, ::-1])
    assert np.array_equal(after[sixteen], before[twentysix][:, ::-1])
    assert np.array_equal(after[0], before[0][:, ::-1])


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own():
    sampler = RunSampler(20, examples=20, seed=3)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append([draw.index for draw in sampler])
        assert sorted(orders[-1]) == list(range(20))
        assert [draw.epoch for draw in sampler] == [epoch] * 20
    assert orders[0] != orders[1] != orders[2]
    again = RunSampler(20, examples=20, seed=3)
    again.set_epoch(2)
    assert [draw.index for draw in again] == orders[2]
    assert [draw.index for draw in RunSampler(20, examples=20, seed=4)] != orders[0]


def augmented(seed, change=None):
    image, planes = picture((32, 32))
    change = change or transform(Augmentation(rotate=20, shift=0.2, noise=1.0))
    return augment(image, planes, change=change, flip=(0.5, (0, 1, 2)), seed=seed)


def test_an_example_depends_on_seed_epoch_and_index_and_on_nothing_drawn_before():
    shared = transform(Augmentation(rotate=20, shift=0.2, noise=1.0))
    first = augmented((0, 1, 2), shared)
    for other in ((0, 1, 3), (0, 2, 2), (1, 1, 2)):
        assert not np.array_equal(augmented(other, shared)[0], first[0])
    for part, again in zip(first, augmented((0, 1, 2)), strict=True):
        assert np.array_equal(part, again)


def test_image_and_targets_move_together():
    size = (64, 64)
    masks = np.zeros((1, *size), bool)
    masks[0, 20:40, 10:45] = True
    image = np.repeat((masks[0] * np.uint8(255))[..., None], 3, axis=2)
    change = transform(Augmentation(rotate=25, shift=0.2, scale=0.3, intensity=0.0))
    planes = planes_from_runs(Runs.from_dense(masks))
    for epoch in range(8):
        seen, moved = augment(image, planes, change=change, flip=(0.5, (0,)), seed=(0, epoch, 0))
        bright, inside = seen[..., 0] > 127, unpack(moved, 1)[0] > 0
        assert (bright & inside).sum() / (bright | inside).sum() > 0.93


def test_nine_classes_ride_in_two_planes():
    image, planes = picture((16, 40), classes=9)
    assert planes.shape[0] == 2
    _, swapped = mirror(image, planes, (*range(7), 8, 7))
    before, after = unpack(planes, 9), unpack(swapped, 9)
    assert np.array_equal(after[8], before[7][:, ::-1])
    assert np.array_equal(after[3], before[3][:, ::-1])


@pytest.mark.parametrize("value", ["allowed", "forbidden"])
def test_a_flip_without_pairs_keeps_the_classes(value):
    spec = teeth(horizontal_flip=value)
    assert spec.flip_permutation == (0, 1, 2)
    assert spec.may_flip == (value == "allowed")


@pytest.mark.parametrize("size", [(24, 24), (16, 24)])
def test_turns_move_image_and_targets_alike_and_are_those_that_are_allowed(size):
    image, planes = picture(size)
    upside = (image[::-1], planes[:, ::-1])
    turned = [(np.rot90(image, k), np.rot90(planes, k, axes=(1, 2))) for k in range(4)]
    square = size[0] == size[1]
    for turns, expected in (
        (Turns(1.0), [(image, planes)]),
        (Turns(1.0, vertical=True), [upside]),
        (Turns(0.5, vertical=True), [(image, planes), upside]),
        (Turns(0.5, quarter=True), turned if square else turned[::2]),
    ):
        seen = set()
        for seed in range(40):
            found = turns.applied(image, planes, np.random.default_rng(seed))
            (place,) = [
                k
                for k, pair in enumerate(expected)
                if all(np.array_equal(a, b) for a, b in zip(found, pair, strict=True))
            ]
            seen.add(place)
        assert seen == set(range(len(expected)))


def test_what_is_not_allowed_changes_no_example():
    """Streams of random numbers of before stay as they are."""
    image, planes = picture((24, 24))
    change = transform(Augmentation())
    for epoch in range(6):
        options = {"change": change, "flip": (0.5, (0, 1, 2)), "seed": (0, epoch, 0)}
        plain = augment(image, planes, **options)
        again = augment(image, planes, **options, turns=Turns(0.5))
        assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))
