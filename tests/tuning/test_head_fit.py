"""A head is one linear layer, whether it is applied to a member, mixed in, or folded into a network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_stores import smooth_logits, store_of
from pydantic import ValidationError

from competition import export
from competition.decoding.blend import blend
from competition.decoding.decisions import Mixture
from competition.decoding.head import Head, identity_row
from competition.errors import InputFault
from competition.export import decided_head, pointwise
from competition.models.head import Pointwise

CLASSES = 2


def head_of(kind, seed=0, classes=CLASSES):
    generator = np.random.default_rng(seed)
    start = np.stack([identity_row(kind, place, classes) for place in range(classes)])
    return Head.of_rows(kind, start + generator.normal(0, 0.2, start.shape))


@pytest.mark.parametrize("kind", ["scale and bias", "1x1"])
def test_a_head_of_identity_rows_changes_nothing(kind):
    rows = np.stack([identity_row(kind, place, CLASSES) for place in range(CLASSES)])
    logits = smooth_logits(0)
    assert np.allclose(Head.of_rows(kind, rows).applied(logits), logits)


@pytest.mark.parametrize("kind", ["scale and bias", "1x1"])
def test_rows_come_back_as_they_were_given(kind):
    head = head_of(kind)
    rows = np.stack([head.row(place) for place in range(CLASSES)])
    assert Head.of_rows(kind, rows) == head
    assert Head.model_validate_json(head.model_dump_json()) == head


@pytest.mark.parametrize("kind", ["scale and bias", "1x1"])
def test_a_head_becomes_a_1x1_layer_of_the_models(kind):
    head, logits = head_of(kind), smooth_logits(2)
    layer = pointwise(head)
    assert isinstance(layer, Pointwise)
    with torch.no_grad():
        found = layer(torch.from_numpy(logits)[None])[0].numpy()
    assert np.allclose(found, head.applied(logits), atol=1e-5)


def test_a_head_of_other_classes_is_refused():
    with pytest.raises(InputFault, match="3 classes on logits of 2; tune again"):
        head_of("1x1", classes=3).applied(smooth_logits(0))


def test_the_head_that_was_decided_for_a_member_becomes_its_layer(tmp_path, monkeypatch):
    head = head_of("1x1")
    mixture = Mixture(weights={"one": 0.5, "two": 0.5}, heads={"one": head})
    monkeypatch.setattr(
        export, "read_decisions", lambda path, classes: SimpleNamespace(mixture=mixture)
    )
    layer = decided_head(tmp_path / "decisions.json", "one", classes=("a", "b"))
    assert np.allclose(layer.bias.detach().numpy(), head.bias)
    with pytest.raises(InputFault, match="no head for 'two'.*members with one: one"):
        decided_head(tmp_path / "decisions.json", "two", classes=("a", "b"))


@pytest.mark.parametrize("change", [{"bias": (0.0,)}, {"mix": ((1.0,),)}])
def test_a_head_of_sizes_that_disagree_is_refused(change):
    content = head_of("1x1").model_dump() | change
    with pytest.raises(ValidationError, match="is expected"):
        Head.model_validate(content)


@pytest.mark.parametrize("kinds", [("1x1", None), ("scale and bias", "1x1"), (None, "1x1")])
def test_members_are_mixed_after_their_heads_with_a_weight_for_each_class(tmp_path, kinds):
    names = ("one", "two")
    stores = {
        name: store_of(tmp_path / name, {"x": smooth_logits(seed)})
        for seed, name in enumerate(names)
    }
    heads = {name: head_of(kind) for name, kind in zip(names, kinds, strict=True) if kind}
    weights = {"one": (0.75, 0.25), "two": (0.25, 0.75)}
    expected = 0
    for name in names:
        logits = stores[name].read("x").logits()
        logits = heads[name].applied(logits) if name in heads else logits
        expected = expected + np.array(weights[name])[:, None, None] * logits
    found = blend(stores, weights, heads=heads).logit_grid("x").values
    assert np.allclose(found, expected, atol=1e-5)


def test_a_single_member_goes_through_its_head(tmp_path):
    store, head = store_of(tmp_path / "m", {"x": smooth_logits(4)}), head_of("1x1")
    found = blend({"m": store}, heads={"m": head}).logit_grid("x").values
    assert np.allclose(found, head.applied(store.read("x").logits()), atol=1e-5)


def test_members_of_two_grids_meet_after_their_heads(tmp_path):
    fine = store_of(tmp_path / "1", {"x": smooth_logits(0, grid=(8, 12))})
    coarse = store_of(tmp_path / "2", {"x": smooth_logits(1)})
    head = head_of("scale and bias")
    whole = blend({"1": fine, "2": coarse}, heads={"1": head, "2": head}).logit_grid("x").values
    before = blend({"1": fine, "2": coarse}).logit_grid("x").values
    assert np.allclose(whole, head.applied(before), atol=1e-4)
