"""Encoder weights, published or from a file, and one clear message where they cannot be had."""

import os
import pickle
import re
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from competition.errors import InputFault, MachineFault
from competition.models.base import Normalisation
from competition.recipes import TIMM
from competition.recipes.weights_file import weights_file

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


def require_published(encoder: str) -> None:
    """InputFault where timm knows no weights of an encoder, by its name in a recipe, to begin with."""
    import timm

    name = encoder.removeprefix(TIMM)
    family, _, tag = name.partition(".")
    tags = timm.list_models(f"{family}.*", pretrained=True)
    if name in tags or (tags and not tag):
        return
    offered = ", ".join(repr(TIMM + one) for one in tags[:3]) or "none: take another encoder"
    raise InputFault(
        f"network.encoder = {encoder!r}: timm has no such published weights, of this network it has "
        f"{offered}; or --no-pretrained"
    )


_CLASSIFIERS = ("fc.", "classifier.", "head.", "last_linear.")
_COUNTER = "num_batches_tracked"


def load_encoder(encoder: nn.Module, named: str, *, beyond: Collection[str] = ()) -> None:
    """Put the weights that a recipe names into an encoder, in place.

    Every weight of the encoder must be in the file, with its shape, and the file may hold nothing else
    but a classifier and what `beyond` lists: of the whole network that the encoder is cut from.
    InputFault names what is missing and what is left over.
    """
    path = weights_file(named)
    wanted = encoder.state_dict()
    found = _named_as(_read(path), wanted)
    missing = [key for key in wanted if key not in found and not key.endswith(_COUNTER)]
    known = {*wanted, *beyond}
    left = [key for key in found if key not in known and not key.startswith(_CLASSIFIERS)]
    shapes = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    lists = {"missing": missing, "left over": left, "of another shape": shapes}
    faults = [f"{what}: {_first(keys)}" for what, keys in lists.items() if keys]
    if faults:
        raise InputFault(
            f"weights = {named!r}: {path.name} is not of this encoder; {'; '.join(faults)}: set "
            "network.encoder to the one that it is of"
        )
    encoder.load_state_dict({key: found.get(key, value) for key, value in wanted.items()})


def _first(keys: list[str], most: int = 5) -> str:
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest


def _read(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name; nothing of it is run."""
    from timm.models import load_state_dict  # most networks are not timm's; seconds

    try:
        content = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # whatever torch and safetensors raise for a file that is none
        raise InputFault(f"weights: {path} cannot be read: {error}") from error
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise InputFault(f"weights: {path} holds no table of weights; expected a state dict")
    return dict(content)


def _named_as(found: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """The file's weights under the names of the encoder, as far as its way of naming is known."""
    if any(key.startswith("_blocks.") for key in found):
        found = _as_timm(found, wanted)
    ours, theirs = (any(key.startswith("model.") for key in keys) for keys in (wanted, found))
    if ours and not theirs:  # smp wraps timm's networks
        found = {f"model.{key}": value for key, value in found.items()}
    return dict(found)


_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_OUTSIDE |= {"_fc": "classifier"}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
_EXPANDED |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}


def _as_timm(found: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """EfficientNets as efficientnet_pytorch names them, under timm's names.

    There the blocks are numbered through; timm counts them stage by stage, which `wanted` tells.
    """
    matches = (re.match(r"(?:model\.)?blocks\.(\d+)\.(\d+)\.", key) for key in wanted)
    places = sorted({(int(m[1]), int(m[2])) for m in matches if m})
    expanded = {key.split(".")[1] for key in found if "._expand_conv." in key}
    renamed = {}
    for key, value in found.items():
        parts = key.split(".")
        if parts[0] == "_blocks" and parts[1].isdecimal() and int(parts[1]) < len(places):
            stage, place = places[int(parts[1])]
            names = _EXPANDED if parts[1] in expanded else _PLAIN
            parts = ["blocks", f"{stage}", f"{place}", names.get(parts[2], parts[2]), *parts[3:]]
        else:
            parts[0] = _OUTSIDE.get(parts[0], parts[0])
        renamed[".".join(parts)] = value
    return renamed


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
