"""Which examples a run shows: every image in turn, or positives in a share that changes."""

import itertools

import numpy as np
import pytest

from competition.data.loader import Labelled, TrainingSet
from competition.errors import InputFault
from competition.masks import Runs, unpack
from competition.recipes import Augmentation, Recipe, Sampling, Schedule
from competition.training.plan import plan_of
from competition.training.sampler import (
    BatchShare,
    Ratio,
    RatioSampler,
    RunSampler,
    run_sampler,
    share_without_mask,
    without_mask_note,
)

STILL = Augmentation(rotate=0, scale=0, shift=0, intensity=0)


class Whole:
    """Images of 40 × 60 that show their own place: red is the row, green the column."""

    def __init__(self, names):
        rows, columns = np.mgrid[:40, :60].astype(np.uint8)
        picture = np.stack([rows, columns, 0 * rows], axis=2)
        self.pixels = dict.fromkeys(names, picture)
        self.letterboxes = dict.fromkeys(names, self)
        self.resized = (40, 60)

    def __getitem__(self, image):
        return self.pixels[image]

    def planes(self, runs, window=None):
        return np.packbits(runs.to_dense(), axis=0, bitorder="little")


def labelled(count=10, positives=4):
    """Images "0" … of which the first have a mask of 4 × 4 pixels."""
    names = tuple(str(number) for number in range(count))
    runs = {}
    for number in range(count):
        mask = np.zeros((1, 40, 60), bool)
        if number < positives:
            mask[0, 30:34, 50 - number : 54 - number] = True
        runs[str(number)] = Runs.from_dense(mask)
    return Labelled(names, dict.fromkeys(names, Whole(names)), runs)


def recipe(iterations=100, **sampling):
    return Recipe(
        name="x",
        about="x",
        batch=4,
        size=(40, 60),
        augmentation=STILL,
        schedule=Schedule(iterations=iterations),
        sampling=Sampling(**sampling),
    )


def drawn(sampler, rounds):
    found = []
    for number in range(rounds):
        sampler.set_epoch(number)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


def test_rounds_of_any_length_cut_one_stream_in_which_every_image_comes_once_a_pass():
    stream = list(itertools.chain(*drawn(RunSampler(7, examples=5, seed=1), 7)))
    assert stream == list(itertools.chain(*drawn(RunSampler(7, examples=35, seed=1), 1)))
    for start in range(0, 35, 7):
        assert sorted(draw.index for draw in stream[start : start + 7]) == list(range(7))
        assert {draw.epoch for draw in stream[start : start + 7]} == {start // 7}


def test_a_round_does_not_depend_on_the_rounds_drawn_before():
    rounds = drawn(RunSampler(7, examples=5, seed=1), 4)
    late = RunSampler(7, examples=5, seed=1)
    late.set_epoch(3)
    assert list(late) == rounds[3]
    ratio = Ratio(0.8, 0.4, total=100)
    sampler = RatioSampler([0, 1], [2, 3, 4], ratio, examples=20, seed=1)
    rounds = drawn(sampler, 5)
    sampler.set_epoch(2)
    assert list(sampler) == rounds[2] and rounds[0] != rounds[1]


def test_the_share_of_positives_falls_from_the_first_to_the_last_as_a_line():
    data = labelled(count=50, positives=10)
    chosen = recipe(iterations=500, positives=(0.8, 0.4))
    plan = plan_of(chosen, len(data))
    stream = list(itertools.chain(*drawn(run_sampler(data, chosen, plan, seed=0), plan.rounds)))
    assert len(stream) == 2000
    shown = np.array([data.runs[data.images[draw.index]].area().any() for draw in stream])
    assert all(draw.positive == shows for draw, shows in zip(stream, shown, strict=True))
    shares = shown.reshape(10, 200).mean(1)
    assert shares == pytest.approx(np.linspace(0.78, 0.42, 10), abs=0.011)
    batches = shown.reshape(-1, 4).sum(1)
    assert batches[:20].min() >= 3 and batches[-20:].max() <= 2  # spread evenly, not in clumps


def test_each_kind_comes_evenly_and_the_seed_decides_the_order():
    ratio = Ratio(0.5, 0.5, total=100)
    stream = drawn(RatioSampler([0, 1], [2, 3, 4, 5], ratio, examples=80, seed=0), 1)[0]
    counts = np.bincount([draw.index for draw in stream])
    assert counts.tolist() == [20, 20, 10, 10, 10, 10]
    other = drawn(RatioSampler([0, 1], [2, 3, 4, 5], ratio, examples=80, seed=1), 1)[0]
    assert stream != other


def test_every_batch_has_the_share_of_pseudo_images_that_the_round_asks_for():
    data, chosen = labelled(count=50, positives=10), recipe(iterations=100)
    pseudo = BatchShare(frozenset(data.images[:30]), 0.25)
    plan = plan_of(chosen, len(data))
    sampler = run_sampler(data, chosen, plan, seed=0, pseudo=pseudo)
    stream = list(itertools.chain(*drawn(sampler, plan.rounds)))
    taken = np.array([data.images[draw.index] in pseudo.images for draw in stream])
    assert len(stream) == 400 and set(taken.reshape(-1, 4).sum(1)) == {1}
    assert {draw.index for draw in stream} == set(range(50))  # none is left out
    assert {draw.positive for draw in stream} == {None}


def test_only_one_may_choose_the_images_of_a_batch():
    chosen = recipe(positives=(0.8, 0.4))
    with pytest.raises(InputFault, match=r"its pseudo round, 0.25, both choose .* --batch-share 0"):
        pseudo = BatchShare(frozenset({"0"}), 0.25)
        run_sampler(labelled(), chosen, plan_of(chosen, 10), seed=0, pseudo=pseudo)


@pytest.mark.parametrize("positives", [0, 10])
def test_a_ratio_of_images_needs_both_kinds(positives):
    chosen = recipe(positives=(0.8, 0.4))
    with pytest.raises(InputFault, match=f"{positives} of the 10 training images have one"):
        run_sampler(labelled(positives=positives), chosen, plan_of(chosen, 10), seed=0)


def examples(data, chosen, rounds=1):
    plan = plan_of(chosen, len(data))
    dataset = TrainingSet(data, chosen, permutation=None, seed=0)
    for draw in itertools.chain(*drawn(run_sampler(data, chosen, plan, seed=0), rounds)):
        yield draw, dataset[draw]


def test_a_crop_cuts_image_and_masks_alike():
    data, tops = labelled(positives=10), set()
    for draw, example in examples(data, recipe(crop=(16, 24)), rounds=10):
        assert example["images"].shape == (3, 16, 24) and example["planes"].shape == (1, 16, 24)
        top, left = int(example["images"][0, 0, 0]), int(example["images"][1, 0, 0])
        whole = data.runs[str(draw.index)].to_dense()[0]
        found = unpack(example["planes"].numpy(), 1)[0]
        assert np.array_equal(found, whole[top : top + 16, left : left + 24])
        tops.add(top)
    assert tops == set(range(25))


def test_a_crop_depends_on_seed_pass_and_image_alone():
    data, chosen = labelled(), recipe(crop=(16, 24))
    first = {draw: example["images"] for draw, example in examples(data, chosen)}
    for draw, example in examples(data, chosen):
        assert (first[draw] == example["images"]).all()
    places = {(int(one[0, 0, 0]), int(one[1, 0, 0])) for one in first.values()}
    assert len(places) > 10


def share_with_mask(chosen, positives=4):
    shown = [
        bool(e["planes"].any()) for _, e in examples(labelled(positives=positives), chosen, 20)
    ]
    return np.mean(shown)


def test_centred_crops_show_a_mask_and_the_others_lie_anywhere():
    assert share_with_mask(recipe(crop=(8, 8), centred=1.0), positives=10) == 1
    by_chance = share_with_mask(recipe(crop=(8, 8)), positives=10)
    assert by_chance < 0.2
    half = share_with_mask(recipe(crop=(8, 8), centred=0.5), positives=10)
    assert half == pytest.approx(0.5 + by_chance / 2, abs=0.05)


def test_a_share_of_positive_crops_is_kept_also_where_every_image_has_a_mask():
    assert share_with_mask(recipe(crop=(8, 8), positives=(0.7, 0.7)), positives=10) == 0.7
    assert share_with_mask(recipe(crop=(8, 8), positives=(0.8, 0.4))) == pytest.approx(0.6)


def test_what_is_padded_is_not_cropped_where_the_image_is_large_enough():
    data = labelled()
    for whole in data.letterboxed.values():
        whole.resized = (20, 60)
    for _, example in examples(data, recipe(crop=(16, 24)), rounds=5):
        assert example["images"][0].max() < 20


@pytest.mark.parametrize(
    ("sampling", "text"),
    [
        ({"centred": 0.5}, "set sampling.crop or tiles too"),
        ({"crop": (8, 8), "centred": 0.5, "positives": (0.8, 0.4)}, "set one of them"),
        ({"crop": (41, 8)}, "larger than size"),
        ({"crop": (0, 8)}, "greater than or equal to 1"),
        ({"positives": (0.8, 1.4)}, "less than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(sampling, text):
    with pytest.raises(ValueError, match=text):
        recipe(**sampling)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [((), [0]), (("vertical_flip",), [0, 39]), (("quarter_turns",), [0, 39])],
)
def test_a_training_set_shows_the_turns_that_the_competition_allows(turns, expected):
    """Red is the row: upside down the first one is 39. Images that are not square turn by halves."""
    data, chosen = labelled(), recipe()
    dataset = TrainingSet(data, chosen, permutation=None, seed=0, turns=turns)
    draws = itertools.chain(*drawn(run_sampler(data, chosen, plan_of(chosen, 10), seed=0), 4))
    corners = {int(dataset[draw]["images"][0, 0, 0]) for draw in draws}
    assert sorted(corners) == expected


def empty_share(data, chosen):
    plan = plan_of(chosen, len(data))
    return share_without_mask(run_sampler(data, chosen, plan, seed=0), data, chosen.batch)


def test_the_share_of_batches_that_show_no_mask_is_that_of_what_is_drawn():
    data = labelled(count=40, positives=3)
    chosen = Recipe(name="x", about="x", batch=4, schedule=Schedule(epochs=5))
    sampler = run_sampler(data, chosen, plan_of(chosen, 40), seed=0)
    with_mask = np.reshape([draw.index < 3 for draw in sampler], (10, 4)).any(axis=1)
    assert empty_share(data, chosen) == pytest.approx(1 - np.mean(with_mask))
    assert 0.7 <= empty_share(data, chosen) < 1
    assert empty_share(labelled(count=40, positives=40), chosen) == 0
    assert empty_share(labelled(count=3, positives=0), chosen) == 0  # not one whole batch


def test_a_share_of_positives_leaves_no_batch_empty():
    data = labelled(count=40, positives=3)
    assert empty_share(data, recipe(positives=(0.5, 0.5))) == 0
    assert empty_share(data, recipe(positives=(0.1, 0.1))) == pytest.approx(0.6, abs=0.1)
    # Where every image has a mask, crops that must show none are drawn all the same.
    crops = recipe(positives=(0.1, 0.1), crop=(8, 8))
    assert empty_share(labelled(count=40, positives=40), crops) == pytest.approx(0.6, abs=0.1)


def test_the_note_says_of_crops_that_it_may_be_more():
    assert "in 12.5% of the batches no image has a mask" in without_mask_note(0.125, recipe())
    note = without_mask_note(0.125, recipe(crop=(8, 8)))
    assert "at least 12.5% of the batches" in note and "sampling.positives" in note
