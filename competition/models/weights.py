"""Published encoder weights, and one clear message where they cannot be had."""

import os
import pickle
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from competition.errors import MachineFault
from competition.models.base import Normalisation
from competition.recipes import TIMM

HUB = "https://huggingface.co"
UNREADABLE = (OSError, RuntimeError, EOFError, pickle.UnpicklingError)


def published(weights: WeightsEnum) -> dict[str, Tensor]:
    """The state of torchvision's published weights, from its cache or the network.

    Raises MachineFault where neither has them whole.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    with fetching(weights.url, cached, faults=UNREADABLE):
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)


def torchvision_normalisation(weights: WeightsEnum) -> Normalisation:
    """What torchvision's published weights were trained with."""
    transforms = weights.transforms()
    return Normalisation(tuple(transforms.mean), tuple(transforms.std))


def timm_normalisation(encoder: str) -> Normalisation:
    """What timm's published weights of an encoder, by its name in a recipe, were trained with."""
    import timm  # not at the top: most networks are not timm's, and the import takes seconds

    settings = timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
    assert settings is not None  # every model of timm's has them
    return Normalisation(tuple(settings.mean), tuple(settings.std))


def hub_cache() -> Path:
    """Where smp, timm and transformers keep what they fetch from the hub."""
    return Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"


@contextmanager
def fetching(
    address: str, cached: Path, *, faults: tuple[type[Exception], ...] = (OSError,)
) -> Generator[None]:
    """Turns a failed fetch of `address` into a MachineFault that says what to do."""
    try:
        yield
    except faults as error:
        raise MachineFault(
            f"pretrained weights {address} could not be had ({error}) and are not whole at "
            f"{str(cached)!r}; put the file there, or train from scratch with --no-pretrained"
        ) from error
