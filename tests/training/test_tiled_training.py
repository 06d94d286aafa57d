"""Training and validation of a recipe with tiles: parts of images at their scale, never the whole."""

import numpy as np
import pandas as pd
import pytest
from training_runs import task_of

from competition.data.loader import Draw, Labelled, TrainingSet
from competition.data.scaled import scaled_images
from competition.inference.tiles import TileSet, Tiling
from competition.masks import Runs, planes_from_runs
from competition.masks.geometry import resize_area
from competition.recipes import Recipe, derive, recipe_named, small
from competition.scoring.metrics import Metric
from competition.training.fit import plain_images, scorer_at_native_size, tile_scorer

STILL = {"rotate": 0, "scale": 0, "shift": 0, "intensity": 0, "noise": 0, "flip": 0}
SIZES = {"large": (150, 210), "small": (20, 30)}


def recipe(**changes):
    base = {"size": (32, 48), "tiles": {"scale": 1.0}, "augmentation": STILL}
    return derive(Recipe(name="r", about=""), {**base, **changes})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Images whose red is the row and whose green is the column, with one class in their middle."""
    return laid_out(tmp_path_factory.mktemp("parts"), scale=1.0)


def laid_out(folder, scale):
    runs, rows = {}, []
    for name, (height, width) in SIZES.items():
        down, along = np.mgrid[:height, :width].astype(np.uint8)
        np.save(folder / f"{name}.npy", np.stack([down, along, 0 * down + 9], axis=2))
        mask = np.zeros((2, height, width), bool)
        mask[0, height // 2 : height // 2 + 5, width // 3 : width // 3 + 6] = True
        runs[name] = Runs.from_dense(mask)
        rows.append((name, f"{name}.npy", "train", height, width))
    catalog = pd.DataFrame(rows, columns=["image", "path", "split", "height", "width"])
    images = scaled_images(catalog, folder, folder / "cache", scale=scale)
    return Labelled(tuple(SIZES), dict.fromkeys(SIZES, images), runs)


def examples(labelled, chosen, *, image=0, positive=None, count=30):
    dataset = TrainingSet(labelled, chosen, permutation=None, seed=0)
    for epoch in range(count):
        example = dataset[Draw(epoch, image, positive, epoch)]
        yield example["images"].numpy(), example["planes"].numpy()


def test_an_example_is_a_part_of_the_image_and_its_masks_as_large_as_a_tile(labelled):
    whole = planes_from_runs(labelled.runs["large"])
    corners = set()
    for pixels, planes in examples(labelled, recipe()):
        assert pixels.shape == (3, 32, 48) and planes.shape == (1, 32, 48)
        top, left = int(pixels[0, 0, 0]), int(pixels[1, 0, 0])
        assert pixels[:, 31, 47].tolist() == [top + 31, left + 47, 9]
        assert np.array_equal(planes, whole[:, top : top + 32, left : left + 48])
        corners.add((top, left))
    assert len(corners) == 30 and max(top for top, _ in corners) > 100


def test_a_smaller_image_lies_at_the_top_left_beside_black(labelled):
    for pixels, planes in examples(labelled, recipe(), image=1, count=3):
        assert pixels[:, 19, 29].tolist() == [19, 29, 9]
        assert not pixels[:, 20:].any() and not pixels[:, :, 30:].any()
        assert np.array_equal(planes[:, :20, :30], planes_from_runs(labelled.runs["small"]))


@pytest.mark.parametrize("scale", [0.5, 1.6])
def test_masks_of_a_part_at_another_scale_are_those_of_the_whole_there(tmp_path, scale):
    labelled = laid_out(tmp_path, scale)
    images = labelled.letterboxed["large"]
    whole = planes_from_runs(resize_area(labelled.runs["large"], images.letterboxes["large"].size))
    everything, seen = images["large"], 0
    chosen = recipe(tiles={"scale": scale}, sampling={"centred": 0.5})
    for pixels, planes in examples(labelled, chosen):
        shown = pixels.transpose(1, 2, 0)
        places = np.argwhere((everything == shown[0, 0]).all(axis=2))
        parts = [everything[y : y + 32, x : x + 48] for y, x in places]
        place = next(
            p for p, part in zip(places, parts, strict=True) if np.array_equal(part, shown)
        )
        there = whole[:, place[0] : place[0] + 32, place[1] : place[1] + 48]
        assert np.array_equal(planes, there)
        seen += planes.any()
    assert seen >= 10


def test_parts_show_a_mask_or_none_as_the_sampler_asks(labelled):
    chosen = recipe(sampling={"positives": (0.5, 0.5)})
    assert all(planes.any() for _, planes in examples(labelled, chosen, positive=True))
    assert not any(planes.any() for _, planes in examples(labelled, chosen, positive=False))
    centred = recipe(sampling={"centred": 1.0})
    assert all(planes.any() for _, planes in examples(labelled, centred))


def test_what_is_turned_into_a_part_is_the_image_and_not_black(labelled):
    turned = recipe(augmentation={**STILL, "rotate": 45, "scale": 0.2, "shift": 0.05})
    inside = 0
    for pixels, _ in examples(labelled, turned, count=60):
        away = 20 < pixels[0].max() < 120 and 20 < pixels[1].max() < 160
        if away and pixels[0].min() > 20 and pixels[1].min() > 20:
            inside += 1
            assert pixels[2].min() == 9
    assert inside >= 5
    assert recipe().margin == 0


@pytest.mark.parametrize("image", [0, 1])
def test_the_margin_changes_nothing_where_nothing_is_turned(labelled, monkeypatch, image):
    chosen = recipe(sampling={"centred": 0.5})
    plain = list(examples(labelled, chosen, image=image))
    monkeypatch.setattr(Recipe, "margin", 9)
    for one, other in zip(plain, examples(labelled, chosen, image=image), strict=True):
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def test_a_run_that_was_killed_goes_on_to_the_same_weights(project, straight_and_resumed):
    tiles = {"scale": 0.7, "overlap": 0.25}
    task = task_of(project, size=(32, 32), tiles=tiles, swa=2)
    straight, _ = straight_and_resumed(task)
    assert "score" in (straight / "history.csv").read_text()


@pytest.mark.parametrize("exclusive", [False, True])
def test_validation_by_tiles_scores_as_the_whole_does(labelled, exclusive):
    """Tiles cut from one field of logits: their mean is the field."""
    tiling, random = Tiling((32, 48), (16, 24), 0.5), np.random.default_rng(0)
    metric = Metric(name="dice")
    by_tiles = tile_scorer(labelled, metric, tiling, exclusive=exclusive)
    at_once = scorer_at_native_size(labelled, metric, exclusive=exclusive)
    by_tiles("large", np.zeros((2, 16, 24), np.float32))  # of a validation that was broken off
    for image in ("small", "large"):
        cover = tiling.cover(SIZES[image])
        field = random.normal(0, 2, (2, max(cover.grid[0], 16), max(cover.grid[1], 24)))
        field = field.astype(np.float32)
        found = [
            by_tiles(image, field[:, top : top + 16, left : left + 24])
            for top in cover.tops
            for left in cover.lefts
        ]
        whole = field[:, : cover.grid[0], : cover.grid[1]]
        expected = at_once(image, whole)
        assert not any(found[:-1])
        assert np.allclose(found[-1].scores, expected.scores, atol=1e-3, equal_nan=True)
        assert np.array_equal(found[-1].labelled, expected.labelled)


def test_validation_loads_the_tiles_of_each_image_in_order(labelled):
    tiling = Tiling((32, 48), (32, 48), 0.5)
    loaded = plain_images(labelled, 4, tiling)
    assert isinstance(loaded.dataset, TileSet)
    shown = [name for batch in loaded for name in batch["image"]]
    assert shown == ["large"] * len(tiling.cover((150, 210))) + ["small"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sampling": {"crop": (16, 16)}}, "leave sampling.crop out and set size"),
        ({"fit": "pad"}, "tiles keep their aspect: leave it out"),
        ({"tiles": {"scale": 0}}, "greater than 0"),
        ({"tiles": {"overlap": 1.0}}, "less than or equal to 0.9"),
        ({"tiles": {"side": 512}}, "Extra inputs"),
    ],
)
def test_what_does_not_go_with_tiles_is_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        recipe(**changes)


def test_the_twin_for_cpus_sees_the_same_part_of_an_image():
    tiled = derive(recipe_named("unet", {}), {"size": (512, 512), "tiles": {"overlap": 0.25}})
    twin = small(tiled)
    assert twin.tiles.scale * 512 == twin.size[0] and twin.tiles.overlap == 0.25


def test_a_recipe_without_tiles_is_hashed_as_it_always_was():
    assert "tiles" not in Recipe(name="x", about="").chosen()
    assert recipe(tiles={"scale": 0.5}).chosen()["tiles"] == {"scale": 0.5}
