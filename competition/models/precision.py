"""In which numbers a network computes: the one place that decides it for training and prediction."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

from competition.recipes import Recipe

Numbers = Literal["fp32", "bf16", "fp16"]


def numbers_of(recipe: Recipe) -> Numbers:
    """What `precision = "auto"` means on this machine, or what the recipe says.

    bfloat16 is chosen where the processor computes in it. Elsewhere it is emulated: on a CPU with
    AVX2 alone one step of the ResNet18-UNet at 192² took 36 times as long as in float32.
    float16 is for GPUs, which scale the loss; without one it is float32, for prediction too.
    """
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        return "fp32"
    if recipe.precision != "auto":
        return recipe.precision
    return "bf16" if _computes_in_bfloat16() else "fp32"


def autocast(device: torch.device, numbers: Numbers) -> AbstractContextManager[None]:
    """A context in which networks compute in `numbers`."""
    kind = torch.float16 if numbers == "fp16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=numbers != "fp32")


def computed_with(recipe: Recipe) -> dict[str, str | int]:
    """What a receipt says of the arithmetic: numbers, device and threads change the last digits."""
    cuda = torch.cuda.is_available()
    return {
        "numbers": numbers_of(recipe),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
    }


def _computes_in_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
