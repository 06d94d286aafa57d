"""The blend: a weighted mean of logits on one grid, whatever grids its members have."""

import numpy as np
import pytest
from made_stores import smooth_logits, store_of

from competition.decoding.blend import blend
from competition.decoding.head import Head
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.from_logits import runs_from_logits

HALF = np.array([0.5])


def images(seed=0, **options):
    return {name: smooth_logits(seed + place, **options) for place, name in enumerate("xy")}


def test_one_member_is_decoded_from_its_codes_as_they_are_stored(tmp_path):
    store = store_of(tmp_path / "m", images())
    together = blend({"m": store})
    for image in store.images:
        stored = store.read(image)
        expected = runs_from_logits(
            stored.codes, (8, 12), [0.3, 0.6], scale=stored.scale, offset=stored.offset
        )
        assert together.runs_at(image, np.array([[0.3, 0.6]])) == [expected]


def test_members_of_one_foundare_averaged_by_their_weights(tmp_path):
    first, second = store_of(tmp_path / "1", images(0)), store_of(tmp_path / "2", images(7))
    together = blend({"1": first, "2": second}, {"1": 3.0, "2": 1.0})
    for image in first.images:
        mean = 0.75 * first.read(image).logits() + 0.25 * second.read(image).logits()
        assert np.allclose(together.logit_grid(image).logits(), mean, atol=1e-5)


def test_members_that_count_equally_are_added_as_codes(tmp_path):
    stores = [store_of(tmp_path / str(number), images(number)) for number in range(3)]
    together = blend(dict(zip("abc", stores, strict=True)))
    for image in stores[0].images:
        stored = [store.read(image) for store in stores]
        found = together.logit_grid(image)
        assert found.values.dtype == np.uint16
        assert (found.values == sum(one.codes.astype(int) for one in stored)).all()
        mean = np.mean([one.logits() for one in stored], axis=0)
        assert np.allclose(found.logits(), mean, atol=1e-5)
        assert together.runs_at(image, HALF) == [runs_from_logits(mean, found.size, 0.5)]


def test_probabilities_are_averaged_where_that_is_asked_for(tmp_path):
    first, second = store_of(tmp_path / "1", images(0)), store_of(tmp_path / "2", images(7))
    weights = {"1": (3.0, 1.0), "2": (1.0, 1.0)}
    together = blend({"1": first, "2": second}, weights, mean="probabilities")
    for image in first.images:
        one, two = (1 / (1 + np.exp(-store.read(image).logits())) for store in (first, second))
        expected = np.stack([0.75 * one[0] + 0.25 * two[0], 0.5 * one[1] + 0.5 * two[1]])
        logits = np.log(expected / (1 - expected))
        assert np.allclose(together.logit_grid(image).logits(), logits, atol=1e-3)
        assert together.runs_at(image, HALF) != blend({"1": first, "2": second}, weights).runs_at(
            image, HALF
        )


POWERS = {
    "geometric mean": 0,
    "probabilities": 1,
    "root mean square": 2,
    "power mean 3": 3,
    "power mean 4": 4,
}


@pytest.mark.parametrize("mean", POWERS)
def test_a_mean_of_probabilities_is_the_power_mean_of_its_exponent(tmp_path, mean):
    """(Σ w·p^x)^(1/x), which at x = 0 is Π p^w, on one grid and on two."""
    first, second = store_of(tmp_path / "1", images(0)), store_of(tmp_path / "2", images(7))
    coarse = store_of(tmp_path / "3", dict.fromkeys("xy", np.full((2, 4, 6), -3.0, np.float32)))
    for other in (second, coarse):
        together = blend({"1": first, "2": other}, {"1": 3.0, "2": 1.0}, mean=mean)
        one, two = (1 / (1 + np.exp(-store.read("x").logits())) for store in (first, other))
        two = two[:, :1, :1] if other is coarse else two
        power = POWERS[mean]
        if power:
            expected = (0.75 * one**power + 0.25 * two**power) ** (1 / power)
        else:
            expected = one**0.75 * two**0.25
        logits = np.log(expected / (1 - expected))
        assert np.allclose(together.logit_grid("x").logits(), logits, atol=2e-3)


@pytest.mark.parametrize("mean", POWERS)
def test_members_that_are_surer_than_float32_tells_have_finite_means(tmp_path, mean):
    """A head may move logits far beyond what a store holds, and a class may not want a member."""
    head = Head(kind="scale and bias", bias=(-200.0, 200.0), mix=((1.0,), (1.0,)))
    members = {name: store_of(tmp_path / name, images(place)) for place, name in enumerate("ab")}
    weights, heads = {"a": (1.0, 1.0), "b": (0.0, 1.0)}, dict.fromkeys("ab", head)
    found = blend(members, weights, heads=heads, mean=mean).logit_grid("x").logits()
    assert np.isfinite(found).all() and (found[0] < -13).all() and (found[1] > 13).all()


@pytest.mark.parametrize("mean", POWERS)
def test_the_probabilities_of_one_member_are_its_own(tmp_path, mean):
    store = store_of(tmp_path / "m", images())
    together = blend({"m": store}, mean=mean)
    assert together.runs_at("x", HALF) == blend({"m": store}).runs_at("x", HALF)


def test_a_member_of_weight_zero_is_not_read(tmp_path):
    first, second = store_of(tmp_path / "1", images(0)), store_of(tmp_path / "2", images(7))
    together = blend({"1": first, "2": second}, {"1": 1.0, "2": 0.0})
    assert together.members == (first,)


def ramp(grid, region, size=(8, 12)):
    """Logits that are one linear function of the image, sampled on a padded grid."""
    top, left, height, width = region
    down = (np.arange(grid[0]) + 0.5 - top) / height
    right = (np.arange(grid[1]) + 0.5 - left) / width
    plane = 4 * down[:, None] + 5 * right[None] - 4
    return np.stack([plane, -plane]).astype(np.float32)


def test_members_of_other_grids_and_paddings_meet_at_the_same_place_of_the_image(tmp_path):
    fine_region, coarse_region = (0.0, 0.0, 16.0, 24.0), (0.0, 1.5, 8.0, 9.0)
    fine = store_of(tmp_path / "1", {"x": ramp((16, 24), fine_region)}, region=fine_region)
    coarse = store_of(tmp_path / "2", {"x": ramp((10, 12), coarse_region)}, region=coarse_region)
    for order in ({"1": fine, "2": coarse}, {"2": coarse, "1": fine}):
        found = blend(order).logit_grid("x")
        assert found.region == fine_region
        inner = found.values[:, 2:-2, 2:-2]
        assert np.abs(inner - ramp((16, 24), fine_region)[:, 2:-2, 2:-2]).max() < 0.045


def test_three_members_weigh_the_same_in_any_order(tmp_path):
    grids = [(4, 6), (8, 12), (5, 7)]
    stores = {
        str(place): store_of(tmp_path / str(place), {"x": smooth_logits(place, grid)})
        for place, grid in enumerate(grids)
    }
    forward = blend(stores).logit_grid("x")
    backward = blend(dict(reversed(stores.items()))).logit_grid("x")
    assert forward.values.shape == (2, 8, 12)
    assert np.allclose(forward.values, backward.values, atol=1e-5)


def test_exclusive_classes_never_share_a_pixel(tmp_path):
    store = store_of(tmp_path / "m", {"x": smooth_logits(3) + 2})
    stored = store.read("x")
    free = blend({"m": store}).runs_at("x", HALF)[0]
    alone = blend({"m": store}, exclusive=True).runs_at("x", HALF)[0]
    assert free.area().sum() > free.any_mask().area().sum()
    winners = label_runs_from_logits(
        stored.codes, (8, 12), background=False, scale=stored.scale, offset=stored.offset
    )
    assert alone == free & winners
    assert alone.area().sum() == alone.any_mask().area().sum()


def test_masks_come_at_the_size_asked_for(tmp_path):
    together = blend({"m": store_of(tmp_path / "m", {"x": np.full((2, 4, 6), 3, np.float32)})})
    assert together.runs_at("x", HALF, (5, 9)) == [Runs.full((2, 5, 9))]
    assert together.native_size("x") == (8, 12)


def test_members_of_other_images_are_refused(tmp_path):
    first = store_of(tmp_path / "1", {"x": smooth_logits(0)})
    second = store_of(tmp_path / "2", {"z": smooth_logits(0)})
    with pytest.raises(InputFault, match="image 'x' is predicted by only one of '1' and '2'"):
        blend({"1": first, "2": second})


def test_members_that_saw_other_native_sizes_are_refused(tmp_path):
    first = store_of(tmp_path / "1", {"x": smooth_logits(0)})
    second = store_of(tmp_path / "2", {"x": smooth_logits(0)}, size=(8, 13))
    with pytest.raises(InputFault, match="image 'x'.*predict again"):
        blend({"1": first, "2": second}).logit_grid("x")


@pytest.mark.parametrize("weights", [{"m": -1.0}, {"m": 0.0}, {"n": 1.0}, {}])
def test_weights_that_are_none_are_refused(tmp_path, weights):
    with pytest.raises(InputFault, match="weights"):
        blend({"m": store_of(tmp_path / "m", images())}, weights or {"m": 1.0, "n": 1.0})


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(InputFault, match="no members"):
        blend({})
