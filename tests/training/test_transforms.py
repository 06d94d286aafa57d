"""Transforms of albumentations by name: refused when the recipe is loaded, or moving image and masks
alike, by streams that nothing but seed, pass and example decides.
"""

import inspect
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import albumentations
import cv2
import numpy as np
import pytest
from albumentations import DualTransform
from test_streams import teeth

from competition.data.augment import augment, transform
from competition.errors import InputFault
from competition.masks import Runs, planes_from_runs, unpack
from competition.recipes import (
    Allowed,
    Augmentation,
    Recipe,
    derive,
    further_transforms,
    recipe_of,
)
from competition.recipes import transforms as by_name
from competition.recipes.recipe import Transform

FREE = Allowed((0, 1), ("vertical_flip", "quarter_turns"))
STILL = {"rotate": 0, "scale": 0, "shift": 0, "intensity": 0, "noise": 0, "flip": 0}
SIZE = (64, 64)
NEEDED = {
    "Affine": {"rotate": 40, "shear": 20, "scale": [0.8, 1.2]},
    "RandomSizedCrop": {"min_max_height": [40, 60]},
    "CropAndPad": {"percent": 0.1},
    "GridElasticDeform": {"num_grid_xy": [4, 4], "magnitude": 5},
    "ElasticTransform": {"alpha": 300, "sigma": 8},
    "XYMasking": {"num_masks_x": 1, "num_masks_y": 1, "mask_x_length": 9, "mask_y_length": 9},
}
"""Parameters that a transform cannot do without, or does nothing without."""
DROPPED = ("CoarseDropout", "Erasing", "GridDropout", "PixelDropout", "XYMasking")
"""Those that paint over parts of the image, which are still what they were."""
TAKEN = [name for name in by_name._known() if name not in by_name._REFUSED]
MOVING = [name for name in TAKEN if issubclass(getattr(albumentations, name), DualTransform)]


def recipe_with(*also, preset=None, size=SIZE, channels=3, bits=8, **settings):
    changes = {
        "augmentation": STILL | {"also": also, "preset": preset} | settings,
        "network": {"channels": channels, "bits": bits},
    }
    return derive(Recipe(name="mine", about="", size=size), changes)


def changed_by(recipe, image, planes, seed=(0, 1, 2), allowed=FREE):
    further = further_transforms(recipe, allowed).transforms
    change = transform(recipe.augmentation, further)
    return augment(image, planes, change=change, flip=(0.0, (0,)), seed=seed)


def checkerboard(classes=40):
    """White and black cells of 16 pixels; the white ones are the first class and the last."""
    rows, columns = np.indices(SIZE) // 16
    white = (rows + columns) % 2 == 1
    white[16:32, 48:] = True  # so that it is itself in no mirror and no turn
    masks = np.zeros((classes, *SIZE), bool)
    masks[[0, -1]] = white
    image = np.repeat((white * np.uint8(255))[..., None], 3, axis=2)
    return image, planes_from_runs(Runs.from_dense(masks))


def table_of(name):
    return {"name": name, "p": 1.0, **NEEDED.get(name, {})}


@pytest.mark.parametrize("name", MOVING)
def test_on_a_checkerboard_every_transform_moves_image_and_masks_alike(name):
    image, planes = checkerboard()
    recipe, moved = recipe_with(table_of(name)), 0
    for number in range(3):
        seen, targets = changed_by(recipe, image, planes, (0, number, 0))
        masks = unpack(targets, 40)
        assert np.array_equal(masks[0], masks[-1]) and not masks[1:-1].any()
        if name in DROPPED:
            assert np.array_equal(targets, planes)
            continue
        bright = cv2.blur(seen[..., 0], (3, 3))
        sure = (bright < 64) | (bright > 191)  # not between two cells
        assert sure.mean() > 0.4
        assert ((bright > 127) == masks[0])[sure].mean() > 0.98
        moved += not np.array_equal(targets, planes)
    assert moved or name in (*DROPPED, "NoOp")


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in MOVING])
def test_what_changes_colours_leaves_masks_as_they_are(name):
    image, planes = checkerboard()
    noise = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    _, targets = changed_by(recipe_with(table_of(name)), cv2.blur(noise, (5, 5)), planes)
    assert np.array_equal(targets, planes)


@pytest.mark.parametrize("names", [TAKEN[part::4] for part in range(4)])
def test_a_stream_is_the_same_whatever_was_drawn_before(names):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    planes = checkerboard()[1]
    tables = [table_of(name) | {"p": 0.9} for name in names]
    for table in tables:
        recipe = recipe_with(table)
        shared = transform(recipe.augmentation, further_transforms(recipe, FREE).transforms)
        options = {"change": shared, "flip": (0.0, (0,))}
        for number in range(2):
            augment(image, planes, **options, seed=(5, number, 0))
        late = augment(image, planes, **options, seed=(0, 1, 2))
        first = changed_by(recipe, image, planes)
        assert all(np.array_equal(*pair) for pair in zip(late, first, strict=True)), table


def test_all_others_keep_left_and_right_top_and_bottom():
    """What would need a key of the competition file, and is not in the list of those that do."""
    across = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 64, axis=0)
    for name in MOVING:
        if name in by_name._NEEDS:
            continue
        table = table_of(name)
        if name in by_name._ANGLES:
            table |= {by_name._ANGLES[name]: [-45, 45]}
        recipe = recipe_with(table)
        for picture in (across, across.T):
            image = np.repeat(picture[..., None], 3, axis=2)
            for number in range(2):
                seen, _ = changed_by(recipe, image, np.zeros((1, *SIZE), np.uint8), (0, number, 0))
                shown = seen[..., 0] > 0
                assert np.corrcoef(seen[..., 0][shown], picture[shown])[0, 1] > 0.4, name


def test_every_transform_there_is_can_be_named_or_is_refused_with_a_sentence():
    every = {
        name
        for name in dir(albumentations)
        if inspect.isclass(getattr(albumentations, name))
        and issubclass(getattr(albumentations, name), albumentations.BasicTransform)
    }
    assert every == {*TAKEN, *by_name._REFUSED, *by_name._BASES}
    assert {*by_name._NEEDS, *by_name._ANGLES} <= {*TAKEN}
    for name in by_name._REFUSED:
        with pytest.raises(InputFault, match=f"'{name}' [a-z]+ .*[a-z]$"):
            further_transforms(recipe_with({"name": name}), FREE)


FORBIDDEN, PAIRED = Allowed(None), Allowed((1, 0))
REFUSED = [
    ([{"name": "ElasticTransfrom"}], FREE, "no such transform; the nearest of .* ElasticTransform"),
    ([{"name": "BasicTransform"}], FREE, "no such transform"),
    ([{"name": "ElasticTransform", "alfa": 3}], FREE, "no parameter 'alfa'; .* alpha, "),
    ([{"name": "ElasticTransform", "strict": False}], FREE, "no parameter 'strict'"),
    ([{"name": "ElasticTransform", "alpha": -1}], FREE, r"also\[0\], 'ElasticTransform': alpha: "),
    ([{"name": "Blur", "p": 3}], FREE, "p must be from 0 to 1; found 3"),
    ([{"name": "RandomSizedCrop"}], FREE, "needs min_max_height"),
    ([{"name": "RandomCrop", "height": 3}], FREE, "changes the size of images; `size`"),
    ([{"name": "ToGray", "num_output_channels": 1}], FREE, "changes the channels"),
    ([{"name": "CropAndPad", "px": 9, "keep_size": False}], FREE, "changes the size of images"),
    ([{"name": "HorizontalFlip"}], FORBIDDEN, 'needs horizontal_flip = "allowed"'),
    ([{"name": "HorizontalFlip"}], PAIRED, "without the classes of horizontal_flip; augmentation"),
    ([{"name": "RandomGridShuffle"}], PAIRED, "without the classes of horizontal_flip"),
    ([{"name": "VerticalFlip"}], PAIRED, 'needs vertical_flip = "allowed"'),
    ([{"name": "RandomRotate90"}], PAIRED, 'needs quarter_turns = "allowed"'),
    ([{"name": "D4"}], Allowed((0,), ("quarter_turns",)), 'needs vertical_flip = "allowed"'),
    ([{"name": "Transpose"}], Allowed((0,)), 'needs quarter_turns = "allowed"'),
    ([{"name": "SafeRotate"}], PAIRED, r"more than 45°, .* limit = \[-45, 45\]"),
    ([{"name": "Affine", "rotate": [0, 60]}], PAIRED, r"more than 45°, .* rotate = \[-45, 45\]"),
    ([{"name": "ShiftScaleRotate", "rotate_limit": 50}], PAIRED, "more than 45°"),
    ([{"name": "Affine", "scale": [-1, 1]}], FREE, "scale must be > 0"),
    ([{"name": "Affine", "shear": {"x": [-50, 0]}}], FREE, "shear must be from -45 to 45"),
    (
        [{"name": "Affine", "mask_interpolation": 1, "rotate": 9}],
        FREE,
        "makes new numbers in masks",
    ),
    ([{"name": "PixelDropout", "mask_drop_value": 9}], FREE, "makes new numbers in masks"),
    ([{"name": "CoarseDropout", "fill_mask": 5}], FREE, "fill_mask must be 0"),
    ([{"name": "OneOf"}], FREE, "needs transforms, a list of tables that have a name each"),
    ([{"name": "OneOf", "transforms": [{"p": 1}]}], FREE, "needs transforms, a list of tables"),
    ([{"name": "OneOf", "p": 2, "transforms": [{"name": "Blur"}]}], FREE, "p must be from 0 to 1"),
    (
        [{"name": "OneOf", "transforms": [{"name": "Blur"}, {"name": "Blurr"}]}],
        FREE,
        r"also\[0\], 'OneOf', transforms\[1\], 'Blurr': .* no such transform",
    ),
]


@pytest.mark.parametrize(("also", "allowed", "told"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line(also, allowed, told):
    with pytest.raises(InputFault, match=told) as fault:
        further_transforms(recipe_with(*also), allowed)
    assert "\n" not in str(fault.value) and str(fault.value).startswith("recipe 'mine': augm")


def test_all_faults_are_told_at_once_and_examples_that_are_not_square_take_no_quarter_turn():
    tables = [{"name": "Blurr"}, {"name": "Blur", "blur": 3}, {"name": "Blur", "p": -1}]
    with pytest.raises(InputFault) as fault:
        further_transforms(recipe_with(*tables), FREE)
    assert [line.split("]")[0][-1] for line in str(fault.value).splitlines()] == [*"012"]
    with pytest.raises(InputFault, match=r"examples of \[32, 64\] are not square"):
        further_transforms(recipe_with({"name": "D4"}, size=(32, 64)), FREE)


def test_what_the_images_are_decides_what_can_be_done_to_them():
    coloured = {"name": "HueSaturationValue"}
    with pytest.raises(InputFault, match="cannot take images of 5 channels of 8 bits: "):
        further_transforms(recipe_with(coloured, channels=5), FREE)
    with pytest.raises(InputFault, match="leaves 256 levels of the 65,536"):
        further_transforms(recipe_with({"name": "ImageCompression"}, bits=16), FREE)
    assert (
        len(further_transforms(recipe_with({"name": "ColorJitter"}, bits=16), FREE).transforms) == 1
    )


@pytest.mark.parametrize("preset", ["light", "strong", "medical"])
def test_a_preset_does_what_the_images_can_take_and_says_what_it_leaves_out(preset):
    counts = []
    for channels, bits in ((3, 8), (1, 8), (5, 8), (5, 16)):
        recipe = recipe_with(preset=preset, channels=channels, bits=bits)
        found = further_transforms(recipe, FORBIDDEN)
        counts.append(len(found.transforms))
        named = by_name.preset_transforms(recipe)
        assert len(found.transforms) + len(found.left_out) == len(named)
    assert counts[0] == counts[1] >= 4 and (counts[3] < counts[2] or preset != "strong")
    if preset != "medical":
        assert found.left_out[0].startswith(
            "ColorJitter cannot take images of 5 channels of 16 bits"
        )
    image, planes = checkerboard()
    recipe = recipe_with(preset=preset)
    seen = [changed_by(recipe, image, planes, (0, number, 0))[0] for number in range(6)]
    assert any(not np.array_equal(*pair) for pair in pairwise(seen))


def test_a_preset_bends_a_large_image_as_far_as_a_small_one():
    shares = []
    for side in (96, 192):
        group = by_name.preset_transforms(recipe_with(preset="strong", size=(side, side)))[0]
        displaced = group.table["transforms"][0]
        fields = albumentations.augmentations.geometric.functional.generate_displacement_fields(
            (side, side),
            displaced["alpha"],
            displaced["sigma"],
            same_dxdy=False,
            kernel_size=(0, 0),
            random_generator=np.random.default_rng(0),
            noise_distribution="uniform",
        )
        shares.append(np.std(fields) / side)
    assert 0.009 < min(shares) <= max(shares) < 0.016


def test_a_recipe_keeps_its_transforms_as_they_were_written_and_without_any_its_hash():
    tables = [{"name": "Blur", "p": 0.3, "blur_limit": [3, 5]}, {"name": "Sharpen"}]
    recipe = recipe_with(*tables)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.augmentation.chosen()["also"] == tables
    assert Transform(name="Blur", p=0.2) != Transform(name="Blur", p=0.3)
    assert Augmentation(also=(), preset=None).chosen() == {}


def test_a_transform_is_checked_when_a_competition_asks_for_its_recipe():
    recipes = {"mine": {"base": "unet-cpu", "augmentation": {"also": [{"name": "HorizontalFlip"}]}}}
    paired = teeth(recipes=recipes)
    with pytest.raises(
        InputFault, match=r"recipe 'mine': augmentation.also\[0\], 'HorizontalFlip'"
    ):
        recipe_of(paired, "mine")
    free = teeth(recipes=recipes, horizontal_flip="allowed")
    assert recipe_of(free, "mine").augmentation.also[0].name == "HorizontalFlip"


def test_the_example_of_the_docs_is_a_recipe():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (block,) = [
        one for one in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if ".also]]" in one
    ]
    recipe = recipe_of(teeth(**tomllib.loads(block)), "mine")
    assert [one.name for one in recipe.augmentation.also] == ["GridDistortion", "OneOf"]
    assert (recipe.augmentation.preset, recipe.augmentation.rotate) == ("light", 20)
