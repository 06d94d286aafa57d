"""The version for a device gives the runs of the numpy version, here on the CPU."""

import numpy as np
import pytest
import torch
from bilinear_reference import fields, probabilities, regions
from bilinear_reference import sizes as any_size
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import from_logits_torch
from competition.masks.argmax_from_logits import label_runs_from_logits
from competition.masks.from_logits import runs_from_logits
from competition.masks.from_logits_torch import label_runs_from_tensor, runs_from_tensor


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_tensor_gives_the_runs_of_its_array(data):
    logits, size = data.draw(fields()), data.draw(any_size)
    threshold, region = data.draw(probabilities), data.draw(regions(logits.shape[1:]))
    found = runs_from_tensor(torch.from_numpy(logits), size, threshold, region=region)
    assert found == runs_from_logits(logits, size, threshold, region=region)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_tensor_gives_the_labels_of_its_array(data):
    logits, size = data.draw(fields(classes=(2, 4))), data.draw(any_size)
    background, region = data.draw(st.booleans()), data.draw(regions(logits.shape[1:]))
    found = label_runs_from_tensor(
        torch.from_numpy(logits), size, background=background, region=region
    )
    assert found == label_runs_from_logits(logits, size, background=background, region=region)


def test_noise_is_taken_in_parts_without_a_seam(monkeypatch):
    monkeypatch.setattr(from_logits_torch, "PIXELS_AT_ONCE", 16)
    logits = np.random.default_rng(0).normal(size=(3, 12, 9)).astype(np.float32)
    tensor = torch.from_numpy(logits)
    assert runs_from_tensor(tensor, (30, 41)) == runs_from_logits(logits, (30, 41))
    assert label_runs_from_tensor(tensor, (30, 41), background=True) == label_runs_from_logits(
        logits, (30, 41), background=True
    )


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_codes_on_a_device_are_compared_in_the_code_domain(threshold):
    codes = np.random.default_rng(1).integers(0, 256, (2, 7, 9)).astype(np.uint8)
    options = {"scale": np.array([0.0625, 0.03]), "offset": np.array([-8.0, -3.9])}
    found = runs_from_tensor(torch.from_numpy(codes), (21, 30), threshold, **options)
    assert found == runs_from_logits(codes, (21, 30), threshold, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_give_the_runs_of_their_values(dtype):
    logits = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(3)).to(dtype)
    found = runs_from_tensor(logits, (20, 20), 0.4)
    assert found == runs_from_logits(logits.double().numpy(), (20, 20), 0.4)


def test_label_codes_with_a_scale_of_their_own_for_each_class_are_compared_as_logits():
    codes = np.random.default_rng(2).integers(0, 256, (3, 7, 9)).astype(np.uint8)
    for scale, offset in (([0.01, 0.03, 0.02], [0.0, -1.0, 0.5]), (0.0625, -8.0)):
        options = {"scale": np.array(scale), "offset": np.array(offset), "background": True}
        found = label_runs_from_tensor(torch.from_numpy(codes), (21, 30), **options)
        assert found == label_runs_from_logits(codes, (21, 30), **options)
    with pytest.raises(InputFault, match="scale and offset"):
        label_runs_from_tensor(torch.from_numpy(codes), (21, 30), background=True)


class Departures(torch.overrides.TorchFunctionMode):
    """Numbers that leave their device for the host, by the call that takes them."""

    WAYS = ("cpu", "numpy", "tolist", "item", "__array__", "to")

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        name = getattr(function, "__name__", "")
        if name in self.WAYS and (name != "to" or "cpu" in map(str, arguments[1:])):
            self.numbers = max(self.numbers, arguments[0].numel())
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("exclusive", [False, True])
def test_only_the_boundaries_of_runs_come_back_from_the_device(exclusive):
    rows, columns = np.mgrid[:40, :40]
    disc = 12 - np.hypot(rows - 20, columns - 18)
    logits = torch.from_numpy(np.stack([-disc, disc, disc - 5]).astype(np.float32))
    with Departures() as departures:
        if exclusive:
            found = label_runs_from_tensor(logits, (160, 160), background=False)
            boundaries = (
                len(found) + 1
            )  # where the winner changes, the end of one is the next's start
        else:
            found = runs_from_tensor(logits, (160, 160))
            boundaries = 2 * len(found)
    assert 0 < departures.numbers <= boundaries < 0.02 * 3 * 160 * 160


def test_logits_with_a_gradient_are_taken_as_they_are():
    logits = torch.ones(1, 2, 2, requires_grad=True)
    assert runs_from_tensor(logits, (4, 4)).area().tolist() == [16]


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(2, 2), "shape"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), "int64"),
        (torch.tensor([[[0.0]], [[float("nan")]]]), "class 1 hold non-finite"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), "scale and offset"),
    ],
)
def test_a_tensor_that_cannot_be_meant_is_refused(logits, message):
    with pytest.raises(InputFault, match=message):
        runs_from_tensor(logits, (4, 4))
