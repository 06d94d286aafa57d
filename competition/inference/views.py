"""Test-time views: the network predicts each image as it is, and once more as each view shows it.

A view is a forward and a backward; nothing else in the package knows which there are. To add one, add
it to `VIEWS`, and name it in `[ensemble] views` of a competition file.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from competition.errors import InputFault, nearest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """forward: images (B,C,h,w) → as the network sees them; backward: its logits (B,K,h',w') → those
    of the images as they are. mirrors: left and right change places, so that it is for competitions
    that allow it alone, and paired classes change places too. needs: the key that must allow it;
    square: only where images have as many rows as columns.
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


def checked_views(
    names: Iterable[str], *, may_mirror: bool, turns: Collection[str] = ()
) -> tuple[str, ...]:
    """The names, without views that the competition forbids; InputFault for an unknown one.

    turns: which of `vertical_flip` and `quarter_turns` are allowed.
    """
    for name in names:
        if name not in VIEWS:
            known = nearest(name, VIEWS, all_by="docs/competition-file.md")
            raise InputFault(f"no test-time view {name!r} in [ensemble] views; {known}")
    allowed = [
        name
        for name in names
        if (may_mirror or not VIEWS[name].mirrors) and VIEWS[name].needs in ("", *turns)
    ]
    return tuple(dict.fromkeys(allowed))


def refuse_unsquare(names: Iterable[str], size: tuple[int, int]) -> None:
    """InputFault for quarter turns of images that have not as many rows as columns."""
    odd = [name for name in names if VIEWS[name].square and size[0] != size[1]]
    if odd:
        raise InputFault(
            f"the test-time view {odd[0]!r} in [ensemble] views turns images by 90°, and this recipe's "
            f"size {list(size)} is not square: leave it out, or take a square size"
        )
