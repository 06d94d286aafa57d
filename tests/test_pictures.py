"""Pictures show what is there: colours inside the masks, nothing outside, every tile on the sheet."""

import numpy as np
import pytest
from PIL import Image

from competition.decoding.decisions import StepReport
from competition.errors import InputFault
from competition.evaluation.significance import Gain
from competition.masks import Runs
from competition.pictures import (
    FALSE,
    MISSED,
    RIGHT,
    bars,
    class_colours,
    class_scores,
    comparison,
    confusion,
    contact_sheet,
    differences,
    fitted,
    gains,
    glowing,
    overlay,
    overlays,
    reliability,
    threshold_curves,
    tradeoffs,
)
from competition.pictures.outlines import outlined_image


def grey(size=(40, 60), value=90):
    return np.full((*size, 3), value, np.uint8)


def box(top, left, bottom, right, size=(40, 60)):
    dense = np.zeros(size, bool)
    dense[top:bottom, left:right] = True
    return dense


def saturation(picture):
    return picture.max(axis=2).astype(int) - picture.min(axis=2)


def test_only_the_mask_is_tinted():
    inside = box(10, 10, 30, 40)
    picture = overlay(grey(), Runs.from_dense(inside[None]))
    margin = box(8, 8, 32, 42)
    assert saturation(picture)[inside].min() > 20
    assert np.array_equal(picture[~margin], grey()[~margin])


def test_the_image_handed_in_stays_as_it_is():
    image = grey()
    overlay(image, Runs.full((1, 40, 60)))
    assert np.array_equal(image, grey())


def test_an_empty_mask_changes_nothing():
    assert np.array_equal(overlay(grey(), Runs.empty((3, 40, 60))), grey())


def test_masks_stay_on_their_place_when_the_picture_is_made_smaller():
    picture = overlay(
        grey((400, 600)), Runs.from_dense(box(100, 300, 200, 600, (400, 600))[None]), size=(40, 60)
    )
    tinted = saturation(picture) > 20
    assert picture.shape == (40, 60, 3)
    rows, columns = np.flatnonzero(tinted.any(axis=1)), np.flatnonzero(tinted.any(axis=0))
    assert abs(rows[0] - 10) <= 1 and abs(rows[-1] - 19) <= 1
    assert abs(columns[0] - 30) <= 1 and columns[-1] == 59


def test_a_hole_is_not_tinted():
    dense = box(5, 5, 35, 55) & ~box(12, 15, 28, 45)
    picture = overlay(grey(), Runs.from_dense(dense[None]))
    assert np.array_equal(picture[15:25, 18:42], grey()[15:25, 18:42])
    tint = saturation(picture)[8, 30]
    assert saturation(picture)[9:13, 30].max() > 2 * tint, "the hole has no outline"


def test_every_class_has_its_own_colour_and_keeps_it():
    colours = class_colours(32).astype(int)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2)[~np.eye(32, dtype=bool)]
    assert distances.min() > 10
    assert np.array_equal(class_colours(5), class_colours(32)[:5])


def test_masks_of_another_size_are_refused():
    with pytest.raises(InputFault, match=r"an image of \(40, 60\) and masks of \(41, 60\)"):
        overlay(grey(), Runs.empty((1, 41, 60)))


def test_a_comparison_shows_hits_false_alarms_and_misses_in_their_colours():
    truth, prediction = box(5, 5, 35, 30), box(5, 20, 35, 50)
    panels = comparison(grey(), Runs.from_dense(truth[None]), Runs.from_dense(prediction[None]))
    difference = panels[:, -60:].astype(int)
    green, red, blue = (difference[20, column] for column in (25, 40, 12))
    assert green.argmax() == 1 and red.argmax() == 0 and blue.argmax() == 2
    assert panels.shape == (40, 3 * 60 + 8, 3)


def comparison_colours():
    return np.array([RIGHT, FALSE, MISSED], np.uint8)


def test_a_pixel_of_the_wrong_class_is_not_right():
    one = Runs.from_dense(np.stack([box(5, 5, 35, 30), box(0, 0, 0, 0)]))
    other = Runs.from_dense(np.stack([box(0, 0, 0, 0), box(5, 5, 35, 30)]))
    panel = comparison(grey(), one, other)[:, -60:]
    nothing_right = Runs.stack([Runs.empty((40, 60)), other.any_mask(), one.any_mask()])
    colours = comparison_colours()
    assert np.array_equal(panel, overlay(grey(), nothing_right, colours=colours, fill=0.45))


def test_a_picture_glows_only_where_the_share_is_high():
    share = np.zeros((20, 30), np.uint8)
    share[5:10, 15:20] = 255
    picture = glowing(grey(), share)
    assert np.array_equal(picture[14, 34], FALSE)
    assert np.array_equal(picture[35, 5], [45, 45, 45])
    assert glowing(grey(), share, size=(80, 120)).shape == (80, 120, 3)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_tile_is_on_the_sheet(tmp_path, count):
    tiles = [np.full((20 + 5 * n, 30, 3), 10 + 30 * n, np.uint8) for n in range(count)]
    contact_sheet(
        tiles, tmp_path / "sheet.png", columns=3, captions=[f"c{n}" for n in range(count)]
    )
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for tile in tiles:
        assert (sheet == tile[0, 0]).all(axis=2).sum() >= tile.shape[0] * tile.shape[1]


def test_captions_title_and_legend_of_any_text_are_drawn(tmp_path):
    names = [f"tooth-{n}" for n in range(32)]
    contact_sheet(
        [grey()], tmp_path / "a.png", captions=["é" * 300 + ".png"], title="ß", legend=names
    )
    plain = tmp_path / "b.png"
    contact_sheet([grey()], plain)
    assert Image.open(tmp_path / "a.png").size[1] > Image.open(plain).size[1]


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        contact_sheet([grey()], tmp_path / name, captions=["x"])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputFault, match="no pictures"):
        contact_sheet([], tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (100, 200)])
def test_a_fitted_size_is_never_empty(size):
    height, width = fitted(size, 50)
    assert max(height, width) == 50 and min(height, width) >= 1


def test_plots_are_written_whole(tmp_path):
    scores = np.random.default_rng(0).random((3, 19))
    threshold_curves(
        tmp_path / "curves.png",
        np.linspace(0.05, 0.95, 19),
        scores,
        names=["a", "b", "c"],
        chosen=[0.3, 0.5, 0.7],
    )
    bars(tmp_path / "bars.png", ["a", "b"], [0.5, 0.7], intervals=[(0.4, 0.6), (0.6, 0.8)])
    for name in ("curves.png", "bars.png"):
        assert np.asarray(Image.open(tmp_path / name)).std() > 5


def test_differences_are_drawn_with_the_published_ones_where_there_are_any(tmp_path):
    gains = [(0.02, 0.01, 0.03), (-0.01, -0.02, 0.005)]
    for published, name in (([0.005, None], "some"), ([None, None], "none")):
        path = tmp_path / f"{name}.png"
        differences(path, ["Dice − BCE", "focal − BCE"], gains, published=published, label="Dice")
        assert Image.open(path).size[0] > 500 and path.stat().st_size < 60_000
    orange = [
        int(
            (
                np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))[..., 0].astype(int)
                - np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))[..., 2]
                > 90
            ).sum()
        )
        for name in ("some", "none")
    ]
    assert orange[0] > 20 > orange[1]


def share_of(path, colour):
    """Share of a plot's pixels that have a colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return float((np.abs(pixels - colour).max(axis=2) < 12).mean())


def test_steps_that_were_kept_are_filled_and_others_are_not(tmp_path):
    blue = (0x2F, 0x6F, 0xBF)
    found = {}
    for kept in (True, False):
        gain = Gain(0.02, 0.005, 0.035, kept, probability=0.99, p_value=0.01, groups=20)
        step = StepReport.of("thresholds", "one threshold", 0.03, gain)
        gains(tmp_path / f"{kept}.png", [step], title="out of fold")
        found[kept] = share_of(tmp_path / f"{kept}.png", blue)
    assert found[True] > 1.5 * found[False]


def test_what_is_never_counted_leaves_a_gap_and_no_error(tmp_path):
    nan = np.nan
    class_scores(
        tmp_path / "classes.png",
        ["a", "b"],
        [0.5, nan],
        [0.6, nan],
        intervals=np.array([[0.5, 0.7], [nan, nan]]),
        title="40 images",
    )
    reliability(
        tmp_path / "reliability.png",
        np.array([0.1, nan]),
        np.array([0.2, nan]),
        intervals=np.array([[0.1, 0.3], [nan, nan]]),
        counts=np.array([50, 0]),
        title="",
    )
    curves = np.random.default_rng(0).random((3, 2, 20))
    curves[:, 1] = nan
    tradeoffs(
        tmp_path / "tradeoffs.png",
        curves,
        names=["a", "b"],
        chosen=curves[..., 3],
        areas=np.array([[0.9, nan], [0.8, nan]]),
        title="",
    )
    pixels = np.array([[8, 0, 2], [0, 0, 0], [1, 1, 98]])
    confusion(tmp_path / "confusion.png", pixels, names=["a", "b", "no class"], title="")
    for name in ("classes", "reliability", "tradeoffs", "confusion"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png")).std() > 5


# Ignored pixels


@pytest.mark.parametrize("shade", [0, 127, 255])
def test_ignored_pixels_are_hatched_and_seen_on_dark_and_bright(shade):
    image = np.full((40, 60, 3), shade, np.uint8)
    mask = np.zeros((1, 40, 60), bool)
    mask[:, 10:30, 20:50] = True
    picture = overlay(image, Runs.empty((2, 40, 60)), ignored=Runs.from_dense(mask))
    assert (picture[~mask[0]] == shade).all()
    inside = picture[10:30, 20:50, 0]
    assert {0, 255} <= set(np.unique(inside)) <= {0, shade, 255}
    assert np.array_equal(inside[1:, :-1], inside[:-1, 1:]), "lines of 45 degrees"
    assert (np.abs(inside.astype(int) - shade) > 100).mean() > 0.2


def test_ignored_pixels_thinner_than_one_of_the_picture_are_seen():
    mask = np.zeros((1, 400, 600), bool)
    mask[:, 201] = True
    image = np.full((400, 600, 3), 100, np.uint8)
    options = {"size": (40, 60), "ignored": Runs.from_dense(mask)}
    changed = overlay(image, Runs.empty((1, 400, 600)), **options) != 100
    assert changed[20].any() and not changed[18].any() and not changed[22].any()


def test_where_pixels_are_ignored_nothing_differs():
    one, other = (np.zeros((1, 40, 60), bool) for _ in range(2))
    one[:, 5:15, 5:15] = other[:, 5:15, 10:20] = True
    ignored = Runs.from_dense(one ^ other)
    found = comparison(grey(), Runs.from_dense(one), Runs.from_dense(other), ignored=ignored)
    colours = np.array([RIGHT, FALSE, MISSED], np.uint8)
    both = Runs.stack([Runs.from_dense(one & other), *[Runs.empty((1, 40, 60))] * 2])
    expected = overlay(grey(), both, colours=colours, fill=0.45, ignored=ignored)
    assert np.array_equal(found[:, -60:], expected)


def test_the_legend_says_what_hatched_pixels_are(tmp_path):
    plain, told = tmp_path / "plain.png", tmp_path / "told.png"
    contact_sheet([grey()], plain, legend=["a"])
    contact_sheet([grey()], told, legend=["a"], hatched=True)
    first, second = (np.array(Image.open(path).convert("L")) for path in (plain, told))
    assert second.shape[0] >= first.shape[0] and second.shape[1] == first.shape[1]
    assert (second == 0).sum() > (first == 0).sum() + 20


def test_masks_of_an_image_that_is_seen_shrunk_are_shrunk_with_it(monkeypatch):
    """One that is too large to be decoded whole."""
    monkeypatch.setattr(overlays, "PIXEL_LIMIT", 1000)
    large = np.zeros((1, 80, 60), bool)
    large[0, 20:60, 20:40] = True
    masks, pixels = Runs.from_dense(large), np.zeros((40, 30, 3), np.uint8)
    shrunk = Runs.from_dense(large[:, ::2, ::2])
    assert np.array_equal(overlay(pixels, masks), overlay(pixels, shrunk))
    seen = outlined_image(pixels, masks, None, longest=40)
    assert seen.truth == outlined_image(pixels, shrunk, None, longest=40).truth
    with pytest.raises(InputFault, match=r"an image of \(40, 30\) and masks of \(20, 15\)"):
        overlay(pixels, Runs.from_dense(large[:, ::4, ::4]))
