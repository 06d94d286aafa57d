"""What a plan chooses, from made-up facts and costs: every value follows from one of them."""

from dataclasses import replace

import pytest

from competition.planning.choice import LONG, MachineFacts, PlanRequest, TimeGiven, choose
from competition.planning.data_facts import DataFacts, sizes_for
from competition.planning.plan_file import plan_text
from competition.planning.step_costs import StepCost
from competition.recipes import recipe_named
from competition.recipes.planned import PlanFile, read_plan

CEILINGS = {
    (96, 96): 0.95,
    (128, 128): 0.975,
    (192, 192): 0.99,
    (256, 256): 0.995,
    (384, 384): 0.998,
}
FACTS = DataFacts(
    images=300,
    predicted=100,
    classes=2,
    exclusive=False,
    native=(384, 384),
    aspects=1.0,
    empty_masks=0.0,
    empty_images=0.0,
    labelled=0.1,
    class_share=0.05,
    mirrored=False,
    turned=False,
    sizes=tuple(CEILINGS),
    ceilings=CEILINGS,
    told_apart=dict.fromkeys(CEILINGS, 1.0),
    decode=0.001,
)
MACHINE = MachineFacts(kind="cpu", memory=2**34, start=5.0)
MINUTES = PlanRequest(TimeGiven(15 * 60, "submit", spent=10.0), folds=(0, 1, 2, 3, 4), parts=5)
LITE = {"light-unet-lite0": True}
THIN = {(256, 256): 0.3, (512, 512): 0.6, (1024, 1024): 1.0}
ROADS = {
    "native": (1024, 1024),
    "sizes": tuple(THIN),
    "ceilings": THIN,
    "told_apart": dict.fromkeys(THIN, 1.0),
}
RARE = {"empty_images": 0.95, "empty_masks": 0.95, "ceilings": dict.fromkeys(CEILINGS, 0.99)}
TEXTURE = dict.fromkeys(CEILINGS, 1.0) | {(96, 96): 0.8, (128, 128): 0.95}


def costs(seconds=2e-6, overhead=0.02, memory=2000):
    """A machine whose steps take so many seconds a pixel and so many more each."""

    def cost_of(recipe):
        height, width = recipe.sampling.crop or recipe.size
        step = overhead + seconds * height * width * recipe.batch
        predict = seconds * recipe.size[0] * recipe.size[1] / 4
        return StepCost(step, 2 * step, predict, 0.002, memory * height * width * recipe.batch)

    return cost_of


def chosen(facts=FACTS, machine=MACHINE, ask=MINUTES, cost_of=None, networks=None):
    """key → value of the plan, its folds among them."""
    choice = choose(facts, machine, cost_of or costs(), ask, networks or LITE)
    return {one.key: one.value for one in choice.recipe} | {"folds": choice.folds}


def minutes(amount, **others):
    return {"ask": MINUTES._replace(time=TimeGiven(60 * amount, "submit", 10.0), **others)}


CARD = {"machine": MACHINE._replace(kind="cuda"), "cost_of": costs(1e-9)}
OTHERWISE = [
    ("base", {"networks": {"unet-resnet18": False}}),
    ("pretrained", {"networks": {"unet-resnet18": False}}),
    ("size", {"facts": replace(FACTS, ceilings=dict.fromkeys(CEILINGS, 1.0))}),
    ("size", minutes(2)),
    ("size", {"cost_of": costs(2e-7)}),
    ("fit", {"facts": replace(FACTS, aspects=2.5)}),
    ("sampling.crop", {"facts": replace(FACTS, **ROADS)}),
    ("sampling.centred", {"facts": replace(FACTS, **ROADS)}),
    ("sampling.positives", {"facts": replace(FACTS, **RARE)}),
    ("batch", CARD),
    ("batch", minutes(60, folds=(0,), all_folds=True)),
    ("loss", {"facts": replace(FACTS, exclusive=True)}),
    ("loss", {"facts": replace(FACTS, empty_masks=0.2)}),
    ("loss", {"facts": replace(FACTS, empty_masks=0.4)}),
    ("network.prior", {"facts": replace(FACTS, class_share=0.2)}),
    ("network.prior", {"facts": replace(FACTS, exclusive=True, labelled=0.96)}),
    ("optimizer.learning_rate", CARD),
    ("schedule.iterations", {"cost_of": costs(4e-6)}),
    ("ema", {"cost_of": costs(2e-5)}),
    ("augmentation.rotate", {"facts": replace(FACTS, mirrored=True)}),
    ("augmentation.scale", {"facts": replace(FACTS, turned=True)}),
    ("validate_every", {"facts": replace(FACTS, decode=0.5, images=30)}),
    ("folds", minutes(240)),
]


@pytest.mark.parametrize(
    ("key", "other"), OTHERWISE, ids=lambda one: one if isinstance(one, str) else ""
)
def test_other_data_or_another_machine_set_each_value_otherwise(key, other):
    assert chosen(**other).get(key) != chosen().get(key)


def test_every_value_has_a_test_above_and_a_reason():
    keys = {key for key, _ in OTHERWISE}
    for _, other in [("", {}), *OTHERWISE]:
        arguments = {"facts": FACTS, "machine": MACHINE, "cost_of": costs(), "ask": MINUTES}
        choice = choose(**{**arguments, "networks": LITE, **other})
        for one in choice.recipe:
            assert one.reason
            assert one.key in keys
        assert choice.why_folds


@pytest.mark.parametrize("amount", [3, 15, 60, 600])
def test_the_parts_of_a_plan_fill_its_time(amount):
    choice = choose(FACTS, MACHINE, costs(), minutes(amount)["ask"], LITE)
    assert 0.9 * 60 * amount < sum(choice.seconds.values()) <= 60 * amount


def test_where_masks_are_rare_the_size_is_one_at_which_they_are_recognised():
    rare = replace(FACTS, **RARE)
    assert chosen(rare)["size"] == [128, 128]
    assert chosen(replace(rare, told_apart=TEXTURE))["size"] == [192, 192]
    sizes = {
        one.key: one.reason
        for one in choose(replace(rare, told_apart=TEXTURE), MACHINE, costs(), MINUTES, LITE).recipe
    }
    assert "tell 100.0% of images with a mask from those without, 95.0% one size" in sizes["size"]


def test_the_dice_follows_the_share_of_empty_masks():
    terms = [chosen(replace(FACTS, empty_masks=share))["loss"][1] for share in (0.0, 0.1, 0.44)]
    assert terms == [
        {"name": "dice", "over": "image"},
        {"name": "dice", "over": "batch", "epsilon": 1.0},
        {"name": "dice", "over": "image", "epsilon": 1.0},
    ]
    exclusive = replace(FACTS, empty_masks=0.44, exclusive=True)
    assert chosen(exclusive)["loss"][1]["over"] == "batch"


def test_rare_masks_begin_with_the_share_that_they_have_of_what_is_shown():
    rare = replace(FACTS, class_share=0.001, **RARE)
    assert chosen(rare)["network.prior"] == pytest.approx(0.001 * 0.55 / 0.05, rel=0.01)


def test_more_time_never_makes_the_input_smaller():
    asks = [minutes(amount, folds=(0,), all_folds=True) for amount in (2, 5, 15, 60, 240)]
    sides = [chosen(**ask)["size"][0] for ask in asks]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1]


def test_a_time_that_is_too_short_takes_what_is_least_late():
    hasty = choose(FACTS, MACHINE, costs(), minutes(0.2)["ask"], LITE)
    values = {one.key: one.value for one in hasty.recipe}
    assert values["size"] == [96, 96]
    assert values["schedule.iterations"] == 20


def test_folds_that_are_asked_for_are_taken_all():
    assert chosen(**minutes(1, folds=(1, 3), all_folds=True))["folds"] == (1, 3)


def test_a_batch_fits_the_card():
    facts = replace(FACTS, sizes=((384, 384),))
    for fitting in (8, 16):
        machine = MACHINE._replace(kind="cuda", memory=fitting * 384 * 384 * 2000 + 1)
        assert chosen(facts, machine, cost_of=costs(1e-9))["batch"] == fitting


def test_one_fold_of_five_predicts_a_fifth_of_the_images():
    one = choose(FACTS, MACHINE, costs(), minutes(15, folds=(0,), all_folds=True)["ask"], LITE)
    five = choose(FACTS, MACHINE, costs(), minutes(15, all_folds=True)["ask"], LITE)
    assert five.seconds["decisions"] > 3 * one.seconds["decisions"]


def test_validations_are_as_many_as_their_share_of_the_time_allows():
    counts = []
    for decode in (0.001, 0.5, 50):
        values = chosen(replace(FACTS, decode=decode), **minutes(300, folds=(0,), all_folds=True))
        counts.append(values["schedule.iterations"] / values["validate_every"])
    assert counts[0] == pytest.approx(20, rel=0.1)
    assert counts[0] > counts[1] > 1 == counts[2]


def test_the_fewer_steps_the_larger_the_rate_but_three_times_at_most():
    asks = [minutes(amount, folds=(0,), all_folds=True) for amount in (1, 15, 60, 600, 6000)]
    values = [chosen(replace(FACTS, sizes=((96, 96),)), **ask) for ask in asks]
    steps = [one["schedule.iterations"] for one in values]
    rates = [one["optimizer.learning_rate"] for one in values]
    assert steps == sorted(steps) and steps[0] < 900 and steps[-1] > LONG
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[-1]) == (3e-3, 1e-3)
    assert 1e-3 < rates[1] < 3e-3


@pytest.mark.parametrize("freedom", [{}, {"mirrored": True}, {"mirrored": True, "turned": True}])
def test_images_that_are_seen_often_are_changed_more(freedom):
    few, many = (chosen(replace(FACTS, images=n, **freedom)) for n in (3000, 30))
    for key in ("augmentation.rotate", "augmentation.scale"):
        assert few[key] < many[key]


def test_seeds_share_the_time():
    one, three = (
        choose(FACTS, MACHINE, costs(), minutes(15, all_folds=True, seeds=n)["ask"], LITE)
        for n in (1, 3)
    )
    assert three.cpu_seconds == pytest.approx(one.cpu_seconds, rel=0.1)
    assert sum(three.seconds.values()) <= 15 * 60


def test_until_trained_leaves_all_the_time_to_training():
    trained = MINUTES._replace(time=TimeGiven(15 * 60, "train", 10.0), all_folds=True)
    submitted = MINUTES._replace(all_folds=True)
    choices = [choose(FACTS, MACHINE, costs(), ask, LITE) for ask in (trained, submitted)]
    assert choices[0].seconds["training"] > choices[1].seconds["training"] + 10


def test_a_softmax_begins_with_the_share_of_the_background():
    facts = replace(FACTS, exclusive=True, classes=11, labelled=0.96)
    prior = chosen(facts=facts)["network.prior"]
    odds = prior / (1 - prior)
    assert 1 / (1 + 11 * odds) == pytest.approx(0.04, abs=0.002)


def test_the_file_is_a_recipe_that_can_be_read_again(tmp_path):
    time = MINUTES.time
    for _, other in [("", {}), *OTHERWISE]:
        arguments = {"facts": FACTS, "machine": MACHINE, "cost_of": costs(), "ask": MINUTES}
        choice = choose(**{**arguments, "networks": LITE, **other})
        path = tmp_path / "plan.toml"
        path.write_text(plan_text(choice, time, "a machine"))
        plan = read_plan(path)
        assert isinstance(plan, PlanFile)
        assert plan.folds == choice.folds
        recipe = recipe_named("auto", {"auto": plan.recipe})
        values = {one.key: one.value for one in choice.recipe}
        assert list(recipe.size) == values["size"]
        assert recipe.schedule.iterations == values["schedule.iterations"]
        assert recipe.network.prior == values["network.prior"]
        assert [term.name for term in recipe.loss] == [term["name"] for term in values["loss"]]


def test_sizes_have_the_aspect_of_the_images_and_end_at_them():
    sizes = sizes_for((256, 1600))
    assert sizes[-1][0] >= 256
    assert all(4 < width / height < 9 for height, width in sizes[2:])
