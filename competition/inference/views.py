"""Test-time views: the network predicts each image as it is, and once more as each view shows it.

A view is a forward and a backward; nothing else in the package knows which there are. To add one, add
it to `VIEWS`, and name it in `[ensemble] views` of a competition file. There names are joined by "+",
"0.75x" is a scale, and "d4" stands for all turns and mirrorings that the competition allows.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from competition.errors import InputFault, nearest
from competition.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """forward: images (B,C,h,w) → as the network sees them; backward: its logits (B,K,h',w') → those
    of the images as they are. mirrors: left and right change places, so that it is for competitions
    that allow it alone, and paired classes change places too. needs: the key that must allow it;
    square: only where images have as many rows as columns. Logits of another size than those of the
    image as it is are resized to that by whoever predicts.
    """

    forward: "Callable[[Tensor], Tensor]"
    backward: "Callable[[Tensor], Tensor]"
    mirrors: bool = False
    needs: str = ""
    square: bool = False


def _turned(quarters: int) -> View:
    return View(
        lambda images: images.rot90(quarters, (-2, -1)),
        lambda logits: logits.rot90(-quarters, (-2, -1)),
        needs="quarter_turns",
        square=quarters % 2 == 1,
    )


VIEWS: dict[str, View] = {
    "mirror": View(lambda images: images.flip(-1), lambda logits: logits.flip(-1), mirrors=True),
    "flip": View(
        lambda images: images.flip(-2), lambda logits: logits.flip(-2), needs="vertical_flip"
    ),
    "turn-90": _turned(1),
    "turn-180": _turned(2),
    "turn-270": _turned(3),
}

AS_IT_IS = "as it is"
"""The view of an image that every network has."""
D4 = "d4"
"""The name of all turns and mirrorings of a square that the competition allows."""
_TURNED = ("turn-90", "turn-180", "turn-270", "mirror+turn-90", "mirror+turn-270")
_SCALE = re.compile(r"(\d+(?:\.\d+)?)x")
_SMALLEST, _LARGEST = 0.25, 4.0


def view_named(name: str) -> View:
    """The view of a name, which may be several joined by "+", shown one after the other.

    >>> view_named("mirror+turn-90").mirrors, view_named("mirror+turn-90").square
    (True, True)
    """
    view = _part(name.partition("+")[0])
    for part in name.split("+")[1:]:
        view = _then(view, _part(part))
    return view


def _part(name: str) -> View:
    if name == AS_IT_IS:
        return View(lambda images: images, lambda logits: logits)
    scale = _SCALE.fullmatch(name)
    return VIEWS[name] if scale is None else _scaled(float(scale[1]))


def _scaled(scale: float) -> View:
    """Images at `scale` times their height and width."""

    def resized(images: "Tensor") -> "Tensor":
        from torch.nn import functional

        size = [max(1, round(side * scale)) for side in images.shape[-2:]]
        return functional.interpolate(
            images, size, mode="bilinear", align_corners=False, antialias=scale < 1
        )

    return View(resized, lambda logits: logits)


def _then(first: View, second: View) -> View:
    return View(
        lambda images: second.forward(first.forward(images)),
        lambda logits: first.backward(second.backward(logits)),
        mirrors=first.mirrors != second.mirrors,
        square=first.square or second.square,
    )


def checked_views(
    names: Iterable[str], *, may_mirror: bool, turns: Collection[str] = ()
) -> tuple[str, ...]:
    """The names, without views that the competition forbids; InputFault for an unknown one.

    turns: which of `vertical_flip` and `quarter_turns` are allowed.
    """

    def is_allowed(name: str) -> bool:
        parts = [VIEWS[part] for part in name.split("+") if part in VIEWS]
        return all((may_mirror or not one.mirrors) and one.needs in ("", *turns) for one in parts)

    found: list[str] = []
    for name in names:
        if name == D4:
            half = () if is_allowed("turn-180") else ("mirror+flip",)
            found += ["mirror", "flip", *half, *_TURNED]
            continue
        for part in name.split("+"):
            _refuse_unknown(part)
        found.append(name)
    return tuple(dict.fromkeys(filter(is_allowed, found)))


def _refuse_unknown(name: str) -> None:
    scale = _SCALE.fullmatch(name)
    if scale is None and name not in VIEWS:
        known = nearest(name, [*VIEWS, D4], all_by="docs/competition-file.md")
        raise InputFault(
            f"no test-time view {name!r} in [ensemble] views; {known}, and scales such as '0.75x'"
        )
    if scale is None:
        return
    if not _SMALLEST <= float(scale[1]) <= _LARGEST or float(scale[1]) == 1:
        raise InputFault(
            f"the test-time view {name!r} in [ensemble] views is a scale; it must be from "
            f"{_SMALLEST:g}x to {_LARGEST:g}x, and not 1x, which is the image as it is"
        )


def refuse_unsquare(names: Iterable[str], size: tuple[int, int]) -> None:
    """InputFault for quarter turns of images that have not as many rows as columns."""
    odd = [name for name in names if view_named(name).square and size[0] != size[1]]
    if odd:
        raise InputFault(
            f"the test-time view {odd[0]!r} in [ensemble] views turns images by 90°, and this recipe's "
            f"size {list(size)} is not square: leave it out, or take a square size; in place of "
            f"{D4!r} stand 'mirror', 'flip' and 'turn-180'"
        )


class TriedView(Settings):
    """What a view gained out of fold, on top of those kept before it, and whether it was kept too."""

    view: str
    kept: bool
    gain: float
    low: float
    high: float
    p_value: float = Field(description="of permuting before and after within groups")

    def __str__(self) -> str:
        kept = "kept" if self.kept else "not kept"
        return f"{self.view} {kept}, gain {self.gain:+z.4f} ({self.low:+z.4f} to {self.high:+z.4f})"


class ChosenViews(Settings):
    """The views of a member's networks that were tried for each fold, by the scores on the others."""

    tried: dict[str, tuple[TriedView, ...]]

    def of(self, fold: int) -> tuple[str, ...] | None:
        """The views that the network of a fold predicts with, beside the image as it is; None of a fold
        for which none were tried.
        """
        tried = self.tried.get(str(fold))
        return None if tried is None else tuple(one.view for one in tried if one.kept)
