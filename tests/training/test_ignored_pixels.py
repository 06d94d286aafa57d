"""Pixels that do not count have no part in a training: loss, gradients, targets, validation."""

import numpy as np
import pytest
import torch
from test_losses import NAMES, batch, distances_of, formula, one
from test_sampler import STILL
from training_runs import task_of

from competition.data.augment import mirror, random_crop
from competition.data.letterbox import Letterbox
from competition.data.loader import Draw, Labelled, TrainingSet
from competition.masks import Runs, unpack
from competition.models import Output
from competition.recipes import LossTerm, Recipe, Sampling
from competition.scoring import Metric
from competition.training.fit import loss_context_of, scorer_at_native_size
from competition.training.losses import LossContext, build_loss, total_loss
from competition.training.step import TrainingStep

TERMS = [
    *(LossTerm(name=name) for name in NAMES),
    LossTerm(name="focal", gamma=0.0),
    LossTerm(name="focal", gamma=1.0),
    LossTerm(name="dice", over="batch"),
    LossTerm(name="dice", empty="skip"),
    LossTerm(name="dice", empty="bce"),
    LossTerm(name="jaccard", over="batch", empty="bce"),
    LossTerm(name="dice", exclusive=True),
    LossTerm(name="lovasz", exclusive=True),
    LossTerm(name="lovasz", over="batch", empty="bce"),
    LossTerm(name="boundary", exclusive=True),
    LossTerm(name="bce", class_weights="inverse"),
    LossTerm(name="cross-entropy", class_weights="inverse"),
    LossTerm(name="metric"),
]
CONTEXT = LossContext(metric=Metric(name="iou", over="pixels"), frequencies=[0.3, 0.1, 0.2])
terms = pytest.mark.parametrize("term", TERMS, ids=str)


def somewhere(seed: int = 1, classes: int = 1) -> torch.Tensor:
    """bool (2,1,16,16), or of each class."""
    return torch.from_numpy(np.random.default_rng(seed).random((2, classes, 16, 16)) < 0.3)


def loss_and_slope(term, logits, targets, ignored):
    logits = logits.float().requires_grad_()
    distances = distances_of(targets)
    value = build_loss((term,), CONTEXT)(logits, targets, distances, ignored)
    (slope,) = torch.autograd.grad(value, logits)
    return value.detach(), slope


@pytest.mark.parametrize("classes", [1, 3])
@terms
def test_gradients_are_zero_at_ignored_pixels_and_there_alone(term, classes):
    logits, targets = batch(exclusive=True)
    ignored = somewhere(classes=classes)
    value, slope = loss_and_slope(term, logits, targets, ignored)
    everywhere = ignored.expand_as(slope)
    assert value.isfinite() and slope.isfinite().all()
    assert (slope[everywhere] == 0).all() and (slope[~everywhere] != 0).any()


def test_a_pixel_that_one_class_ignores_has_no_part_in_a_cross_entropy():
    logits, targets = batch(exclusive=True)
    ignored = somewhere(classes=3)
    loss = build_loss(one("cross-entropy"))
    by_class = loss(logits, targets, None, ignored)
    assert by_class == pytest.approx(
        loss(logits, targets, None, ignored.any(1, keepdim=True)).item()
    )


@terms
def test_labels_and_logits_of_ignored_pixels_change_nothing(term):
    logits, targets = batch(exclusive=True)
    ignored = somewhere()
    loss = build_loss((term,), CONTEXT)
    distances = distances_of(targets)
    other = torch.where(ignored, 1 - targets, targets)
    others = torch.where(ignored, -3 * logits, logits), torch.where(ignored, 50.0, distances)
    value = loss(logits, targets, distances, ignored)
    assert torch.equal(value, loss(others[0], other, others[1], ignored))
    assert not torch.equal(value, loss(logits, targets, distances))


@terms
def test_the_loss_is_that_of_the_other_pixels_alone(term):
    """The columns that count, cut out: a mean over pixels is one over them."""
    logits, targets = batch(exclusive=True)
    ignored = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    ignored[..., 10:] = True
    loss, distances = build_loss((term,), CONTEXT), distances_of(targets)
    found = loss(logits, targets, distances, ignored)
    rest = (logits[..., :10], targets[..., :10], distances[..., :10])
    assert found.item() == pytest.approx(loss(*rest).item(), rel=1e-5)
    if term in [LossTerm(name=name) for name in NAMES if name != "boundary"]:
        assert found.item() == pytest.approx(formula(term, *rest[:2]), rel=1e-5)


@terms
def test_a_batch_that_is_ignored_wholly_has_no_gradient(term):
    logits, targets = batch(exclusive=True)
    value, slope = loss_and_slope(term, logits, targets, torch.ones_like(somewhere()))
    assert value.isfinite() and not slope.any()


def test_auxiliary_outputs_and_presence_leave_them_out():
    logits, targets = batch()
    ignored = somewhere()
    ignored[1] = True
    coarse = logits[..., ::2, ::2].clone().requires_grad_()
    presence = torch.zeros(2, 3, requires_grad=True)
    loss = build_loss(one("bce"))

    def total(targets):
        output = Output(logits, (coarse,), presence)
        return total_loss(loss, output, targets, auxiliary=0.4, presence=0.1, ignored=ignored)

    value = total(targets)
    value.backward()
    assert not coarse.grad[1].any() and coarse.grad[0].any()
    assert not presence.grad[1].any() and presence.grad[0].all()
    assert torch.equal(value, total(torch.where(ignored, 1, targets)))


# Targets


def test_a_pixel_that_touches_an_ignored_one_is_ignored_at_every_size():
    random = np.random.default_rng(0)
    for native, size in (((20, 30), (8, 8)), ((7, 5), (16, 12)), ((9, 9), (9, 9))):
        mask = random.random(native) < 0.03
        mask[-1, -1] = True
        letterbox = Letterbox.of(native, size, "pad")
        found = letterbox.touched(Runs.from_dense(mask[None]))
        assert found.shape == (1, *size) and found.dtype == np.uint8
        expected = np.zeros(size, np.uint8)
        for y, x in np.argwhere(mask):
            spans = [
                (place * down / side, (place + 1) * down / side)
                for place, down, side in zip((y, x), letterbox.resized, native, strict=True)
            ]
            rows, columns = (slice(int(a + 1e-9), int(np.ceil(b - 1e-9))) for a, b in spans)
            expected[rows, columns] = 1
        assert np.array_equal(found[0], expected)


def test_ignored_pixels_are_mirrored_and_classes_exchanged_without_them():
    random = np.random.default_rng(2)
    planes = random.integers(0, 256, (3, 6, 8), dtype=np.uint8)
    planes[1] &= 1
    image = np.zeros((6, 8, 3), np.uint8)
    permutation = (*range(7), 8, 7)
    _, alone = mirror(image, planes[:2], permutation)
    _, found = mirror(image, planes, permutation)
    assert np.array_equal(found[:2], alone) and np.array_equal(found[2], planes[2, :, ::-1])


def test_a_crop_looks_for_masks_and_not_for_ignored_pixels():
    planes = np.zeros((2, 40, 40), np.uint8)
    planes[0, 30, 30], planes[1, :5, :5] = 1, 1
    image = np.zeros((40, 40, 3), np.uint8)
    for seed in range(20):
        _, window = random_crop(
            image,
            planes,
            Sampling(crop=(8, 8)),
            extent=(40, 40),
            positive=True,
            random=np.random.default_rng(seed),
            of_classes=1,
        )
        assert window[0].any() and not window[1].any() and window.shape == (2, 8, 8)


class Laid:
    """Images of `native` size in the network's input."""

    def __init__(self, names, native, size):
        self.letterboxes = dict.fromkeys(names, Letterbox.of(native, size, "stretch"))
        self.pixels = np.zeros((*size, 3), np.uint8)

    def __getitem__(self, image):
        return self.pixels


def training_set(ignored, *, classes=33, **augmentation):
    """Two images of 40 × 60 at 20 × 30, each class a rectangle; the first one may ignore pixels."""
    masks = np.zeros((classes, 40, 60), bool)
    for k in range(classes):
        masks[k, k : k + 8, k : k + 25] = True
    runs = dict.fromkeys("ab", Runs.from_dense(masks))
    recipe = Recipe(
        name="x", about="x", size=(20, 30), augmentation=STILL.model_copy(update=augmentation)
    )
    labelled = Labelled(
        ("a", "b"), dict.fromkeys("ab", Laid("ab", (40, 60), (20, 30))), runs, ignored
    )
    return TrainingSet(labelled, recipe, permutation=tuple(range(classes)), seed=0)


def test_targets_say_which_pixels_are_ignored_and_give_them_no_class():
    mask = np.zeros((1, 40, 60), bool)
    mask[:, 5, 3:40] = True
    found = training_set({"a": Runs.from_dense(mask)}, flip=0.0)
    first, second = found[Draw(0, 0, None, 0)], found[Draw(0, 1, None, 1)]
    expected = np.zeros((1, 20, 30), bool)
    expected[:, 2, 1:20] = True
    assert np.array_equal(first["ignored"].numpy() > 0, expected)
    assert not second["ignored"].any()
    plain = training_set({}, flip=0.0)[Draw(0, 0, None, 0)]
    assert "ignored" not in plain
    assert torch.equal(second["planes"], plain["planes"])
    before, after = (unpack(one["planes"], 33) for one in (plain, first))
    assert torch.equal(after, before & ~torch.from_numpy(expected)) and not torch.equal(
        after, before
    )


def test_ignored_pixels_move_with_the_classes():
    """A class and ignored pixels in one place stay in one place under turns, shifts and mirroring."""
    mask = np.zeros((1, 40, 60), bool)
    mask[:, 10:30, 20:50] = True
    ignoring = training_set({"a": Runs.from_dense(mask)}, rotate=20, shift=0.2, scale=0.3)
    same = training_set({}, rotate=20, shift=0.2, scale=0.3)
    same.labelled.runs["a"] = Runs.from_dense(np.repeat(mask, 33, axis=0))
    for epoch in range(6):
        moved = unpack(same[Draw(epoch, 0, None, 0)]["planes"], 33)[7]
        found = ignoring[Draw(epoch, 0, None, 0)]["ignored"][0] > 0
        assert torch.equal(found, moved) and found.any()


def test_a_class_may_ignore_pixels_that_others_do_not():
    masks = np.zeros((33, 40, 60), bool)
    masks[2, 10:30, 20:50] = masks[32, 4:9] = True
    of_all = np.zeros((1, 40, 60), bool)
    of_all[:, 20:] = True
    ignored = {"a": Runs.from_dense(masks), "b": Runs.from_dense(of_all)}
    examples = [training_set(ignored, flip=0.0)[Draw(0, i, None, i)] for i in (0, 1)]
    plain = [training_set({}, flip=0.0)[Draw(0, i, None, i)] for i in (0, 1)]
    for example, before, dense in zip(examples, plain, (masks, of_all), strict=True):
        expected = torch.from_numpy(np.broadcast_to(dense[:, ::2, ::2], (33, 20, 30)).copy())
        expected |= torch.from_numpy(np.broadcast_to(dense[:, 1::2, 1::2], (33, 20, 30)).copy())
        assert torch.equal(unpack(example["ignored_planes"], 33) > 0, expected)
        assert torch.equal(unpack(example["planes"], 33), unpack(before["planes"], 33) & ~expected)
        assert "ignored" not in example


def test_ignored_pixels_of_paired_classes_change_places_with_them():
    masks = np.zeros((33, 40, 60), bool)
    masks[0, 10:30, :20] = True
    pairs = (32, *range(1, 32), 0)
    dataset = training_set({"a": Runs.from_dense(masks)}, flip=1.0)
    dataset.flip = (1.0, pairs)
    found = unpack(dataset[Draw(0, 0, None, 0)]["ignored_planes"], 33) > 0
    assert found.flatten(1).any(1).nonzero().tolist() == [[32]]
    assert found[32, 5:15, 20:].all()


def test_where_no_pixel_is_ignored_examples_are_what_they_were():
    nothing = {"a": Runs.empty((1, 40, 60)), "b": Runs.empty((1, 40, 60))}
    for dataset in (training_set(nothing), training_set({})):
        example = dataset[Draw(0, 0, None, 0)]
        assert set(example) == {"images", "planes", "place"}


# A step, and validation


@pytest.mark.parametrize("loss_at", ["image", "logits"])
def test_a_step_of_a_batch_without_ignored_pixels_is_the_same_bit_by_bit(project, loss_at):
    values = []
    for ignored in (None, "none", "some"):
        step, example = step_and_batch(project, loss_at)
        if ignored is not None:
            example["ignored"] = torch.zeros_like(example["planes"][:, :1])
        if ignored == "some":
            example["ignored"][0, :, :9, :9] = 1
        loss = step.loss(example, step=0, index=0)
        slopes = torch.autograd.grad(loss, list(step.network.parameters()), allow_unused=True)
        values.append((loss.detach(), [one for one in slopes if one is not None]))
    (plain, slopes), (same, others), (other, _) = values
    assert torch.equal(plain, same) and not torch.equal(plain, other)
    assert all(torch.equal(*pair) for pair in zip(slopes, others, strict=True))


@pytest.mark.parametrize("loss_at", ["image", "logits"])
@pytest.mark.parametrize("of_classes", [False, True])
def test_labels_of_ignored_pixels_change_no_step(project, loss_at, of_classes):
    losses, bit = [], 2 if of_classes else 255
    for bits in (0, bit):
        step, example = step_and_batch(project, loss_at)
        key, planes = "ignored_planes" if of_classes else "ignored", example["planes"]
        example[key] = torch.zeros_like(planes if of_classes else planes[:, :1])
        example[key][:, 0, 3:17, 5:9] = bit
        planes[:, 0, 3:17, 5:9] = planes[:, 0, 3:17, 5:9] & ~bit | bits
        losses.append(step.loss(example, step=0, index=0))
    assert torch.equal(*losses)
    step, example = step_and_batch(project, loss_at)
    assert not torch.equal(losses[0], step.loss(example, step=0, index=0))


def step_and_batch(project, loss_at):
    from competition.models import build

    task = task_of(project, loss_at=loss_at)
    recipe, classes = task.training.recipe, len(task.training.classes)
    torch.manual_seed(0)
    network = build(recipe.network, classes, pretrained=False)
    step = TrainingStep(
        network, recipe, classes=classes, steps=9, seed=0, context=loss_context_of(task)
    )
    dataset = TrainingSet(task.train, recipe, permutation=task.permutation, seed=0)
    examples = [dataset[Draw(0, place, None, place)] for place in range(2)]
    return step, {name: torch.stack([e[name] for e in examples]) for name in ("images", "planes")}


def test_a_coarse_cell_that_holds_an_ignored_pixel_is_ignored(project):
    step, example = step_and_batch(project, "logits")
    example["ignored"] = torch.zeros_like(example["planes"][:, :1])
    height, width = (side // 4 for side in example["ignored"].shape[-2:])
    *_, nothing = step._asked_for(example, (height, width))
    example["ignored"][1, 0, 4, 11] = 1
    targets, _, found = step._asked_for(example, (height, width))
    assert nothing is None and targets.shape[-2:] == found.shape[-2:] == (height, width)
    assert found.nonzero().tolist() == [[1, 0, 1, 2]]


def test_every_side_of_a_training_knows_the_ignored_pixels(project):
    task = task_of(project, best={"rounds": 1, "aside": 0.3})
    sides = (task.train, task.validation, task.aside)
    assert all(side.ignored is project.ignored for side in sides)


def labelled_with(ignored):
    laid = Laid("a", (20, 30), (20, 30))
    truth = np.zeros((2, 20, 30), bool)
    truth[0, 5:15, 5:15] = True
    runs = {"a": Runs.from_dense(truth).without(ignored)}
    return Labelled(("a",), {"a": laid}, runs, {"a": ignored})


def test_validation_scores_the_pixels_that_count():
    mask = np.zeros((1, 20, 30), bool)
    mask[:, :, 10:] = True
    ignored = Runs.from_dense(mask)
    logits = np.full((2, 20, 30), -5, np.float32)
    logits[0, 5:15, 5:28], logits[1, 2:4, 12:20] = 5, 5
    for metric, perfect in (
        (Metric(name="dice"), [50, 50, 50]),
        (Metric(name="surface-dice", tolerance=0.0), 1),
    ):
        score = scorer_at_native_size(labelled_with(ignored), metric, exclusive=False)("a", logits)
        assert np.array_equal(score.scores[0], perfect)
        assert score.labelled.tolist() == score.hit.tolist() == [True, False]
    dice = Metric(name="dice")
    score = scorer_at_native_size(labelled_with(ignored), dice, exclusive=False)("a", logits)
    assert score.scores[1].tolist() == [0, 0, 0]


def test_frequencies_of_classes_are_shares_of_the_pixels_that_count(project):
    task = task_of(project)
    plain = np.array(loss_context_of(task).frequencies)
    images = task.train.images
    half = {}
    for image in images:
        mask = np.zeros((1, *task.train.runs[image].shape[1:]), bool)
        mask[:, : mask.shape[1] // 2] = True
        half[image] = Runs.from_dense(mask)
    areas = sum(np.array(task.train.runs[i].area()) for i in images)
    left = sum(h.height * h.width - int(h.area()[0]) for h in half.values())
    labelled = Labelled(images, task.train.letterboxed, task.train.runs, half)
    found = loss_context_of(type(task)(**{**vars(task), "train": labelled})).frequencies
    assert np.allclose(found, areas / left) and (np.array(found) > plain).any()
