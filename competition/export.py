"""A trained network as ONNX and as torch.export, heads fused, checked against torch.

The exported function is pixels (B,C,h,w) float32, 0…255 (0…65,535 where 16 bits are kept) → logits
(B,K,h',w') float32, for any B and the one h, w. It normalises as the network's encoder expects: nobody
has to know how.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from competition.decoding.decisions import read_decisions
from competition.decoding.head import Head
from competition.errors import InputFault
from competition.models.adapters import LearntUp
from competition.models.base import SegmentationNetwork, bias_of
from competition.models.fine_tuning import merge_low_rank
from competition.models.head import Pointwise
from competition.workspace import whole_file


def fused(network: SegmentationNetwork, fitted: Pointwise | None = None) -> SegmentationNetwork:
    """A copy in eval mode without 1×1 heads: its own, and one `fitted` on its predictions. Low-rank
    updates are part of the weights that they are of.

    Both are folded into the convolution (or the transposed one) that makes the logits. Other
    heads stay as they are, and so does the limit that a presence head sets; a fitted head behind
    either stays a layer.
    """
    network = copy.deepcopy(network).eval()
    merge_low_rank(network)
    if isinstance(network.head, Pointwise):
        _fold(network, network.head)
        network.head = nn.Identity()
    if fitted is None:
        return network
    if isinstance(network.head, nn.Identity) and network.presence is None:
        _fold(network, fitted)
    else:
        network.fitted = copy.deepcopy(fitted)
    return network


@torch.no_grad()
def _fold(network: SegmentationNetwork, head: Pointwise) -> None:
    mix, shift = head.weight[:, :, 0, 0], bias_of(head)
    if isinstance(network.up, LearntUp):
        last = network.up
        last.weight.copy_(torch.einsum("ij,njab->niab", mix, last.weight))
        bias = bias_of(last)
        bias.copy_(mix @ bias + shift)
        return
    last = network.body.logit_layers()[0]
    last.weight.copy_(_mixed(mix, last.weight))
    bias = bias_of(last)
    shuffled = bias.numel() // len(shift)
    bias.copy_(_mixed(mix, bias) + shift.repeat_interleave(shuffled))


def _mixed(mix: Tensor, values: Tensor) -> Tensor:
    """Values (r·K,…) of K classes with r channels each → the same, mixed by (K,K)."""
    classes = values.unflatten(0, (len(mix), -1))
    return torch.tensordot(mix, classes, dims=1).flatten(0, 1)


def decided_head(path: Path, member: str, *, classes: Sequence[str]) -> Pointwise:
    """The head that decisions.json at `path` has for a member; InputFault where it has none."""
    heads = read_decisions(path, classes=classes).mixture.heads
    if member not in heads:
        kept = ", ".join(heads) or "none"
        raise InputFault(
            f"{path} keeps no head for {member!r} (a checkpoint's member is the folder above its "
            f"fold); members with one: {kept}; export without --decisions"
        )
    return pointwise(heads[member])


def pointwise(head: Head) -> Pointwise:
    """The same layer as a module, for `fused`."""
    mix = torch.tensor(head.mix, dtype=torch.float32)
    layer = Pointwise(len(head.bias))
    with torch.no_grad():
        layer.weight.copy_((torch.diag(mix[:, 0]) if head.kind != "1x1" else mix)[..., None, None])
        bias_of(layer).copy_(torch.tensor(head.bias, dtype=torch.float32))
    return layer


TOLERANCE = 1e-3
"""Largest difference of a logit, as a share of the largest logit."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares with torch on this machine."""

    onnx: Path
    program: Path
    difference: float
    """Largest difference between ONNX and torch logits, as a share of the largest logit."""
    speed: float
    """Torch's time over ONNX's for one image."""


class LogitsOnly(nn.Module):
    """Pixels, 0…255 or 0…65,535 → the logits alone."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        network.body.make_exportable()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.network.normalised(images)).logits.float()


def export_network(
    network: SegmentationNetwork,
    folder: Path,
    *,
    size: tuple[int, int],
    fitted: Pointwise | None = None,
) -> Exported:
    """Write `folder`/model.onnx and model.pt2, the heads fused, and check both.

    fitted: a 1×1 head fitted on the network's stored predictions. InputFault where the extra
    `export` is missing or the exported network disagrees with torch; nothing is left then.
    """
    runtime, channels = _onnxruntime(), network.channels
    model = LogitsOnly(fused(network, fitted)).eval()
    program = _program(model, (channels, *size))
    content = _onnx(program)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def on_onnx(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    difference = max(
        _difference(network, fitted, function, (batch, channels, *size))
        for batch in (1, 3)
        for function in (on_onnx, program.module())
    )
    if not difference <= TOLERANCE:
        raise InputFault(
            f"the exported network differs from torch by {difference:.2g} of the largest logit, "
            f"allowed is {TOLERANCE:g}; nothing was written"
        )
    speed = _speed(model, on_onnx, (1, channels, *size))
    onnx, saved = folder / "model.onnx", folder / "model.pt2"
    with whole_file(onnx, "wb") as file:
        file.write(content)
    with whole_file(saved, "wb") as file:
        torch.export.save(program, file)
    return Exported(onnx, saved, difference, speed)


def _onnxruntime() -> ModuleType:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputFault(
            f"export needs {error.name}: python -m pip install 'podium[export]'"
        ) from error
    return onnxruntime


def _program(model: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """Traced with two images: with one, torch takes the batch size for a constant."""
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        return torch.export.export(
            model, (torch.zeros(2, *shape),), dynamic_shapes={"images": {0: batch}}
        )


def _onnx(program: torch.export.ExportedProgram) -> bytes:
    exported = torch.onnx.export(
        program, input_names=["images"], output_names=["logits"], dynamo=True, verbose=False
    )
    assert exported is not None  # with dynamo it is
    return exported.model_proto.SerializeToString()


def _difference(
    network: SegmentationNetwork,
    fitted: Pointwise | None,
    function: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
) -> float:
    """Between `function` and the network itself on noise, as a share of the largest logit."""
    noise = np.random.default_rng(0).integers(0, network.white + 1, shape)
    images = torch.from_numpy(noise.astype(np.float32))
    with torch.no_grad():
        logits = network.eval()(network.normalised(images)).logits.float()
        expected = logits if fitted is None else fitted(logits)
        found = function(images)
    if found.shape != expected.shape:
        return float("inf")
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item()


def _speed(model: nn.Module, function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> float:
    images = torch.zeros(shape)
    with torch.no_grad():
        return _fastest(lambda: model(images)) / _fastest(lambda: function(images))


def _fastest(run: Callable[[], Tensor], *, times: int = 5) -> float:
    """Seconds of the fastest of some runs, after one to warm up."""
    run()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
