"""Each loss against its formula, written out in float64 with numpy."""

import ast
import inspect
from typing import get_args

import numpy as np
import pytest
import torch

from competition.data.augment import signed_distances
from competition.errors import InputFault
from competition.models import Output
from competition.recipes import LossTerm
from competition.scoring.metrics import METRICS, Metric
from competition.training import losses
from competition.training.losses import (
    LossContext,
    build_loss,
    class_weights,
    needs_distances,
    term_values,
    total_loss,
)

BOTH = (LossTerm(name="bce", weight=0.25), LossTerm(name="dice", weight=0.75))
NAMES = (
    "bce",
    "focal",
    "dice",
    "jaccard",
    "tversky",
    "focal-tversky",
    "lovasz",
    "cross-entropy",
    "boundary",
)
EPS = 1e-6
SCHEMA = get_args(LossTerm.model_fields["name"].annotation)


def batch(*, exclusive: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2,3,16,16) and targets; class 2 of image 1 is empty."""
    random = np.random.default_rng(0)
    targets = random.random((2, 3, 16, 16)) > 0.7
    if exclusive:
        targets &= np.cumsum(targets, 1) == 1
    targets[1, 2] = False
    logits = random.normal(0, 2, targets.shape)
    return torch.from_numpy(logits), torch.from_numpy(targets.astype(np.uint8))


def one(name: str, **options) -> tuple[LossTerm]:
    return (LossTerm(name=name, **options),)


def distances_of(targets: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.stack([signed_distances(t) for t in targets.numpy().astype(bool)]))


def counts(p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft TP, FP, FN of each image and class."""
    return tuple((a * b).sum((2, 3)) for a, b in ((p, t), (p, 1 - t), (1 - p, t)))


def softmax_with_background(x: np.ndarray) -> np.ndarray:
    exponents = np.exp(np.concatenate([np.zeros_like(x[:, :1]), x], 1))
    return exponents / exponents.sum(1, keepdims=True)


def lovasz(errors: np.ndarray, true: np.ndarray) -> float:
    """From the definition, pixel by pixel: how much the Jaccard loss of the set of wrong pixels
    rises as they join it, the largest error first; |wrong| / |true or wrong|.
    """
    true, wrong = set(np.flatnonzero(true)), set()
    loss = before = 0.0
    for pixel in np.argsort(-errors, kind="stable"):
        wrong.add(pixel)
        after = len(wrong) / len(true | wrong)
        loss += errors[pixel] * (after - before)
        before = after
    return loss


def lovasz_each(errors: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Errors and targets (B,K,h,w) → the loss of each image and class (B,K)."""
    pairs = zip(errors.reshape(-1, *t.shape[2:]), t.reshape(-1, *t.shape[2:]), strict=True)
    return np.reshape([lovasz(e.ravel(), true.ravel()) for e, true in pairs], t.shape[:2])


def lovasz_errors(x: np.ndarray, t: np.ndarray, *, exclusive: bool) -> np.ndarray:
    if exclusive:
        return np.abs(softmax_with_background(x)[:, 1:] - t)
    return np.maximum(0, 1 - x * (2 * t - 1))


def formula(term: LossTerm, logits: torch.Tensor, targets: torch.Tensor) -> float:
    x, t = logits.numpy().astype(np.float64), targets.numpy().astype(np.float64)
    p = softmax_with_background(x)[:, 1:] if term.exclusive else 1 / (1 + np.exp(-x))
    tp, fp, fn = counts(p, t)
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    match term.name:
        case "bce":
            return entropy.mean()
        case "focal":
            right = np.where(t == 1, p, 1 - p)
            balance = np.where(t == 1, term.alpha, 1 - term.alpha)
            return (balance * (1 - right) ** term.gamma * -np.log(right)).mean()
        case "dice":
            return (1 - (2 * tp + EPS) / (2 * tp + fp + fn + EPS)).mean()
        case "jaccard":
            return (1 - (tp + EPS) / (tp + fp + fn + EPS)).mean()
        case "tversky" | "focal-tversky":
            index = (tp + EPS) / (tp + term.alpha * fp + term.beta * fn + EPS)
            gamma = term.gamma or 1
            return ((1 - index) ** (gamma if term.form == "power" else 1 / gamma)).mean()
        case "lovasz":
            return lovasz_each(lovasz_errors(x, t, exclusive=term.exclusive), t).mean()
        case "cross-entropy":
            everything = softmax_with_background(x)
            truth = np.concatenate([1 - t.sum(1, keepdims=True), t], 1)
            return -np.log((everything * truth).sum(1)).mean()
        case "boundary":
            return (p * distances_of(targets).numpy()).mean()


@pytest.mark.parametrize(
    "term",
    [
        *(LossTerm(name=name) for name in NAMES),
        LossTerm(name="focal", alpha=0.6, gamma=1.0),
        LossTerm(name="tversky", alpha=0.7, beta=0.3),
        LossTerm(name="focal-tversky", gamma=3.0),
        LossTerm(name="focal-tversky", form="power"),
        LossTerm(name="focal-tversky", form="power", gamma=1.33),
        LossTerm(name="dice", exclusive=True),
        LossTerm(name="jaccard", exclusive=True),
        LossTerm(name="lovasz", exclusive=True),
    ],
    ids=str,
)
def test_every_term_equals_its_formula_in_float64(term: LossTerm):
    logits, targets = batch(exclusive=term.exclusive or term.name == "cross-entropy")
    found = build_loss((term,))(logits, targets, distances_of(targets))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(formula(term, logits, targets), rel=1e-5)


def test_a_mix_is_the_weighted_sum_of_its_terms():
    logits, targets = batch()
    parts = [t.weight * build_loss(one(t.name))(logits, targets) for t in BOTH]
    assert build_loss(BOTH)(logits, targets).item() == pytest.approx(sum(parts).item())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("inside", [0, 1])
def test_losses_of_half_precision_logits_and_constant_masks_are_finite(name, dtype, inside):
    """Sums over 512² ones overflow float16, and the Dice of other libraries becomes NaN."""
    for height in (-200.0, 0.0, 20.0):
        logits = torch.full((1, 2, 512, 512), height, dtype=dtype, requires_grad=True)
        targets = torch.zeros(1, 2, 512, 512, dtype=torch.uint8)
        targets[:, 0] = inside
        with torch.autocast("cpu", torch.bfloat16):
            value = build_loss(one(name))(logits, targets, torch.ones(1, 2, 512, 512))
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "focal-tversky"])
def test_an_empty_mask_predicted_empty_costs_nothing_and_predicted_full_everything(name):
    empty = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    loss = build_loss(one(name))
    assert loss(torch.full((1, 2, 8, 8), -200.0), empty).item() == pytest.approx(0, abs=1e-5)
    assert loss(torch.full((1, 2, 8, 8), 200.0), empty).item() == pytest.approx(1)


def test_a_power_pulls_where_a_mask_is_far_off_and_a_root_where_it_is_nearly_right():
    """The slopes of (1 − T)^γ and (1 − T)^(1/γ) by 1 − T: γ and 1/γ times its own power."""
    _, targets = batch()
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    missed = build_loss(one("tversky"))(logits, targets[:1, :1])
    (plain,) = torch.autograd.grad(missed, logits)
    for form, power in (("power", 4 / 3), ("root", 3 / 4)):
        value = build_loss(one("focal-tversky", form=form))(logits, targets[:1, :1])
        (slope,) = torch.autograd.grad(value, logits)
        assert torch.allclose(slope, plain * power * missed.detach() ** (power - 1))


def test_empty_masks_can_be_skipped_or_left_to_bce():
    logits, targets = batch()
    p, t = logits.double().sigmoid().numpy(), targets.numpy().astype(float)
    tp, fp, fn = counts(p, t)
    each = 1 - (2 * tp + EPS) / (2 * tp + fp + fn + EPS)
    there = t.any((2, 3))
    skipped = build_loss(one("dice", empty="skip"))(logits, targets)
    assert skipped.item() == pytest.approx(each[there].mean(), rel=1e-5)
    entropy = -np.log(1 - p[~there]).mean()
    with_bce = build_loss(one("dice", empty="bce"))(logits, targets)
    assert with_bce.item() == pytest.approx((each[there].sum() + entropy) / 6, rel=1e-5)


def test_a_batch_without_a_single_mask_costs_nothing_where_empty_masks_are_skipped():
    logits, targets = batch()
    assert build_loss(one("dice", empty="skip"))(logits, 0 * targets) == 0


def test_a_fraction_over_the_batch_adds_the_images_first():
    logits, targets = batch()
    tp, fp, fn = counts(logits.double().sigmoid().numpy(), targets.numpy().astype(float))
    tp, fp, fn = tp.sum(0), fp.sum(0), fn.sum(0)
    expected = (1 - (2 * tp + EPS) / (2 * tp + fp + fn + EPS)).mean()
    found = build_loss(one("dice", over="batch"))(logits, targets)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("over", ["image", "batch"])
@pytest.mark.parametrize("empty", ["count", "skip"])
def test_the_lovasz_softmax_of_a_hard_prediction_is_one_minus_its_iou(over, empty):
    """Class 2 of image 1 is empty: predicted somewhere its IoU is 0, and skipped it counts nothing."""
    logits, targets = batch(exclusive=True)
    hard = torch.where(logits == logits.amax(1, keepdim=True).clamp(min=0), 200.0, -200.0)
    p, t = (hard > 0).numpy(), targets.numpy().astype(bool)
    axes = (2, 3) if over == "image" else (0, 2, 3)
    each = 1 - (p & t).sum(axes) / (p | t).sum(axes)
    expected = each[t.any(axes)].mean() if empty == "skip" else each.mean()
    term = one("lovasz", exclusive=True, over=over, empty=empty)
    assert build_loss(term)(hard, targets).item() == pytest.approx(expected, rel=1e-5)


def test_a_lovasz_over_the_batch_sorts_its_pixels_together():
    logits, targets = batch()
    x, t = (
        a.double().numpy().transpose(1, 0, 2, 3).reshape(1, 3, 32, 16) for a in (logits, targets)
    )
    expected = lovasz_each(lovasz_errors(x, t, exclusive=False), t).mean()
    found = build_loss(one("lovasz", over="batch"))(logits, targets)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_lovasz_of_an_empty_mask_is_its_largest_error_nothing_or_bce():
    logits, targets = batch()
    x, t = logits.numpy(), targets.numpy().astype(float)
    each, there = lovasz_each(lovasz_errors(x, t, exclusive=False), t), t.any((2, 3))
    assert each[~there] == pytest.approx(1 + x[1, 2].max())
    skipped = build_loss(one("lovasz", empty="skip"))(logits, targets)
    assert skipped.item() == pytest.approx(each[there].mean(), rel=1e-5)
    entropy = np.log1p(np.exp(x[1, 2])).mean()
    with_bce = build_loss(one("lovasz", empty="bce"))(logits, targets)
    assert with_bce.item() == pytest.approx((each[there].sum() + entropy) / 6, rel=1e-5)


def test_a_class_covers_a_coarse_pixel_of_a_lovasz_from_half_of_it_on():
    """Masks averaged to the size of the logits are shares, of which no Jaccard loss is defined."""
    logits, targets = batch()
    shares = torch.where(targets > 0, 0.5, 0.49)
    loss = build_loss(one("lovasz"))
    assert loss(logits, shares) == loss(logits, targets)


def test_rare_classes_weigh_more_and_the_mean_weight_is_one():
    weights = class_weights("inverse", [0.5, 0.05, 0.0])
    assert weights[1] == pytest.approx(10 * weights[0])
    assert weights[2] == weights[1]
    assert np.mean(weights) == pytest.approx(1)
    logits, targets = batch()
    shares = LossContext(frequencies=[0.5, 0.05, 0.0])
    each = [
        build_loss(one("bce"))(logits[:, k : k + 1], targets[:, k : k + 1]).item() for k in range(3)
    ]
    found = build_loss(one("bce", class_weights="inverse"), shares)(logits, targets)
    assert found.item() == pytest.approx(np.average(each, weights=weights), rel=1e-5)


def test_class_weights_reach_fractions_and_cross_entropy_as_their_formulas_say():
    """Fractions: the weighted mean over classes; cross-entropy: over pixels, background weighs 1."""
    logits, targets = batch(exclusive=True)
    frequencies = [0.5, 0.05, 0.2]
    shares = LossContext(frequencies=frequencies)
    weights = np.array(class_weights("inverse-root", frequencies))
    p, t = logits.double().sigmoid().numpy(), targets.numpy().astype(float)
    tp, fp, fn = counts(p, t)
    each = 1 - (2 * tp + EPS) / (2 * tp + fp + fn + EPS)
    found = build_loss(one("dice", class_weights="inverse-root"), shares)(logits, targets)
    assert found.item() == pytest.approx(np.average(each.mean(0), weights=weights), rel=1e-5)
    truth = np.concatenate([1 - t.sum(1, keepdims=True), t], 1)
    weight = (truth * np.array([1, *weights])[:, None, None]).sum(1)
    wrong = -np.log((softmax_with_background(logits.numpy()) * truth).sum(1))
    found = build_loss(one("cross-entropy", class_weights="inverse-root"), shares)(logits, targets)
    assert found.item() == pytest.approx((weight * wrong).sum() / weight.sum(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_empty_masks_alone_has_a_finite_loss_and_slope(name):
    logits = torch.randn(2, 3, 16, 16, requires_grad=True)
    empty = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    value = build_loss(one(name))(logits, empty, distances_of(empty))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("metric", "term"),
    [
        (Metric(name="dice", eps=1e-4), LossTerm(name="dice", epsilon=1e-4)),
        (Metric(name="dice", over="pixels"), LossTerm(name="dice", over="batch")),
        (Metric(name="iou"), LossTerm(name="jaccard")),
        (Metric(name="f-beta", beta=2.0), LossTerm(name="tversky", alpha=0.2, beta=0.8)),
    ],
)
def test_the_competitions_own_score_is_a_loss(metric, term):
    logits, targets = batch()
    found = build_loss(one("metric"), LossContext(metric=metric))(logits, targets)
    assert found.item() == pytest.approx(build_loss((term,))(logits, targets).item())


def test_the_soft_score_of_a_hard_prediction_is_the_score_itself():
    """(2·Σtp + 1e-4) / (Σt + Σp + 1e-4), per image and class, then the mean."""
    logits, targets = batch()
    hard = torch.where(logits > 0, 200.0, -200.0)
    p, t = (logits > 0).numpy(), targets.numpy()
    score = (2 * (p * t).sum((2, 3)) + 1e-4) / (p.sum((2, 3)) + t.sum((2, 3)) + 1e-4)
    loss = build_loss(one("metric"), LossContext(metric=Metric(name="dice", eps=1e-4)))
    assert 1 - loss(hard, targets).item() == pytest.approx(score.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "context", "text"),
    [
        ({"name": "metric"}, LossContext(), "needs the competition's metric"),
        (
            {"name": "metric"},
            LossContext(metric=Metric(name="mean-precision")),
            "name dice or jaccard",
        ),
        ({"name": "bce", "class_weights": "inverse"}, LossContext(), "nobody counted"),
        ({"name": "cross-entropy"}, LossContext(exclusive=False), "overlap"),
        ({"name": "dice", "exclusive": True}, LossContext(exclusive=False), "overlap"),
    ],
)
def test_a_term_that_lacks_what_it_needs_is_refused(options, context, text):
    with pytest.raises(InputFault, match=text):
        build_loss((LossTerm(**options),), context)


def test_the_boundary_term_says_that_it_needs_distances():
    assert needs_distances(one("boundary")) and not needs_distances(BOTH)
    with pytest.raises(InputFault, match="distance maps"):
        build_loss(one("boundary"))(*batch())


@pytest.mark.parametrize(
    "options",
    [
        {"name": "bce", "gamma": 2.0},
        {"name": "dice", "alpha": 0.5},
        {"name": "focal", "gamma": 0.5},
        {"name": "focal-tversky", "gamma": 0.5},
        {"name": "bce", "over": "batch"},
        {"name": "lovasz", "epsilon": 1.0},
        {"name": "tversky", "form": "power"},
        {"name": "focal-tversky", "form": "power", "gamma": 0.5},
    ],
)
def test_an_option_that_the_term_does_not_use_is_refused(options):
    with pytest.raises(ValueError, match="does not use|gamma"):
        LossTerm(**options)


def test_coarse_logits_are_judged_at_the_size_of_the_targets():
    logits, targets = batch()
    coarse = logits[..., :8, :8].float()
    fine = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
    loss = build_loss(BOTH)
    assert loss(coarse, targets) == loss(fine, targets)


def test_each_further_auxiliary_output_weighs_half_and_presence_adds_its_own():
    logits, targets = batch()
    loss = build_loss(BOTH)
    finer, coarser = logits[..., ::2, ::2], logits[..., ::4, ::4]
    presence = torch.tensor([[2.0, 0.0, -1.0], [1.0, 1.0, -3.0]])
    there = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    found = total_loss(
        loss, Output(logits, (finer, coarser), presence), targets, auxiliary=0.4, presence=0.1
    )
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(presence, there)
    expected = loss(logits, targets) + 0.4 * loss(finer, targets) + 0.2 * loss(coarser, targets)
    assert found.item() == pytest.approx((expected + 0.1 * entropy).item())


def test_distances_fall_through_zero_at_the_edge_and_vanish_without_one():
    masks = np.zeros((3, 9, 9), bool)
    masks[0, 3:6, 3:6] = True
    masks[2] = True
    distances = signed_distances(masks)
    assert distances[0, 4, 4] == -1 and distances[0, 3, 3] == 0 and distances[0, 0, 4] == 3
    assert not distances[1:].any()


def test_a_term_that_nobody_resolved_is_refused():
    """It gave None once, which failed later and elsewhere."""
    logits, targets = batch()
    (term,) = one("metric")
    with pytest.raises(InputFault, match="'metric' has no values before it is resolved"):
        term_values(term, logits, targets, of_classes=None, distances=None)


def cases(function) -> set[str]:
    """The names that a function tells apart: `case "bce" | "dice":` and `term.name == "bce"`."""
    found = []
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(node, ast.Match) and ast.unparse(node.subject) == "term.name":
            patterns = [one for case in node.cases for one in ast.walk(case.pattern)]
            found += [one.value for one in patterns if isinstance(one, ast.MatchValue)]
        elif isinstance(node, ast.Compare) and ast.unparse(node.left) == "term.name":
            found += node.comparators
    return {ast.literal_eval(name) for name in found}


@pytest.mark.parametrize("name", SCHEMA)
def test_every_name_of_a_term_has_a_computation(name):
    logits, targets = batch(exclusive=True)
    context = LossContext(metric=Metric(name="dice"))
    assert build_loss(one(name), context)(logits, targets, distances_of(targets)).isfinite()
    assert needs_distances(one(name)) == (name == "boundary")


def test_every_name_that_is_computed_is_one_of_the_schema():
    computed = cases(term_values)
    assert computed == set(SCHEMA) - {"metric"} == set(NAMES)
    told_apart = [cases(function) for function in vars(losses).values() if ours(function)]
    assert set().union(*told_apart) <= set(SCHEMA)
    assert cases(losses.overlap_losses) <= computed


def ours(function) -> bool:
    return inspect.isfunction(function) and function.__module__ == losses.__name__


def test_every_metric_softens_into_terms_of_the_schema():
    metrics = [Metric(name="dice"), Metric(name="iou"), Metric(name="f-beta", beta=2.0)]
    assert {m.name for m in metrics} == {name for name, rule in METRICS.items() if rule.softened}
    for metric in metrics:
        assert LossTerm(**metric.rule.softened(metric)).name in SCHEMA
