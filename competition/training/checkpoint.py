"""Checkpoints: the weights with all that a later step must know of them, written whole.

A checkpoint carries its recipe, classes, fold and seed, so prediction repeats no setting. Its
sha256 lies beside it, since torch.load accepts a file whose bytes have flipped.
"""

import hashlib
import pickle
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
from pydantic import ValidationError

from competition.errors import InputFault
from competition.models import SegmentationNetwork, build
from competition.recipes import Recipe
from competition.settings import Settings
from competition.spec import PixelForm
from competition.workspace import file_sha256, whole_file, write_text

_KIND = "podium checkpoint 2"


class Ancestor(Settings):
    """A trained member whose weights another one went on from."""

    member: str
    sha256: str
    """Of its checkpoint."""
    iterations: int
    """Up to there, its own ancestors' included."""


class Training(Settings):
    """Where a checkpoint's weights come from."""

    competition: str
    recipe: Recipe
    classes: tuple[str, ...]
    fold: int
    seed: int
    pseudo: str | None
    images: int
    iterations: int
    """Of this run alone."""
    pixels: PixelForm | None = None
    """What is kept of its images, but for `depth`; None: three channels of 8 bits, as of old."""
    ancestors: tuple[Ancestor, ...] = ()
    """The members that it continues, first one first."""
    soup: tuple[int, ...] = ()
    """The seeds whose weights these are the mean of; `seed` is the first of them then."""

    @property
    def iterations_in_all(self) -> int:
        return self.iterations + (self.ancestors[-1].iterations if self.ancestors else 0)


def save_checkpoint(path: Path, network: SegmentationNetwork, training: Training) -> str:
    """Write the checkpoint and its sha256 file; returns the sha256. Refuses weights not finite."""
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputFault(
            f"{len(broken)} of {len(weights)} weights are NaN or infinite, first {broken[0]!r}; "
            "nothing was saved: train with a lower learning rate"
        )
    content = {"kind": _KIND, "training": training.model_dump(mode="json"), "weights": weights}
    return write_torch(path, content)


def pixels_noted(form: PixelForm) -> PixelForm | None:
    """What a checkpoint notes of a competition's images: older ones note nothing, nor do theirs."""
    noted = form.pixels.model_copy(update={"depth": None})
    return noted if noted.chosen() else None


def load_checkpoint(
    path: Path, *, classes: tuple[str, ...], pixels: PixelForm | None = None
) -> tuple[SegmentationNetwork, Training]:
    """The network in eval mode and where it comes from; InputFault where anything is off.

    pixels: what is kept of the images that it will be shown; None: not compared.
    """
    content = read_torch(path)
    if content.get("kind") != _KIND:
        raise InputFault(f"{path} is not a checkpoint of this project; train again")
    training = training_in(path, content.get("training"), again="train again")
    if training.classes != classes:
        raise InputFault(
            f"{path} was trained for the classes {list(training.classes)}; "
            f"the competition has {list(classes)}; train again"
        )
    if pixels is not None and training.pixels != pixels_noted(pixels):
        raise InputFault(
            f"{path} was trained on images of {_said_of(training.pixels)}; the competition has "
            f"{_said_of(pixels_noted(pixels))} ([data]); train again"
        )
    network = build(training.recipe.network, len(classes), pretrained=False)
    try:
        network.load_state_dict(content.get("weights", {}), strict=True)
    except RuntimeError as error:
        found = shorten(str(error).splitlines()[-1], 120)
        raise InputFault(f"{path} holds another network ({found}); train again") from error
    return network.eval(), training


def _said_of(pixels: PixelForm | None) -> str:
    """`channels = 5, bits = 16` of what is kept, and all else that is set."""
    form = pixels or PixelForm()
    chosen = {"channels": form.channels, "bits": form.bits, **form.chosen()}
    return ", ".join(f"{key} = {value!r}" for key, value in chosen.items())


def training_in(path: Path, kept: Any, *, again: str) -> Training:
    """What a file says of its training, settings that have come since then at their defaults."""
    try:
        return Training.model_validate(kept)
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputFault(f"{path} is of settings that are not known ({found}); {again}") from error


def write_torch(path: Path, content: dict[str, Any]) -> str:
    """torch.save, whole or not at all, and the sha256 of the file beside it.

    For a moment the old file lies beside the new hash. So the old one's stands there too: whenever this
    is killed, what lies there can be read.
    """
    with whole_file(path, "w+b") as file:
        torch.save(content, file)
        file.seek(0)
        digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
        _note(path, [digest, *_noted(path)])
    _note(path, [digest])
    return digest


def move_torch(path: Path, target: Path) -> None:
    """Give what `write_torch` wrote another name, in place of what has it: killed at any time, one of
    both can be read.
    """
    noted = _noted(path)
    _note(target, [*noted, *_noted(target)])
    path.replace(target)
    _note(target, noted)


def _note(path: Path, digests: list[str]) -> None:
    write_text(hash_file(path), "".join(f"{one}\n" for one in digests))


def _noted(path: Path) -> list[str]:
    """The hashes that a file may have: one, but where a write was killed."""
    noted = hash_file(path)
    return noted.read_text(errors="replace").split() if noted.is_file() else []


def read_torch(path: Path) -> dict[str, Any]:
    """A dictionary of tensors and plain values; never runs code that a file may carry.

    torch before 2.10 can be made to (CVE-2026-24747); the hash beside the file guards against
    damage, not against malice.
    """
    if not path.is_file():
        raise InputFault(f"no checkpoint {path}; train it first")
    if file_sha256(path) not in _noted(path):
        raise InputFault(f"{path} is not what was written (its sha256 differs); train again")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputFault(f"{path} cannot be read ({error}); train again") from error
    if not isinstance(content, dict):
        raise InputFault(f"{path} holds a {type(content).__name__}, not a checkpoint; train again")
    return content


def hash_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
