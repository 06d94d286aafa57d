"""Test-time views: the network predicts each image as it is, and once more as each view shows it.

A view is a forward and a backward; nothing else in the package knows which there are. To add one, add
it to `VIEWS`, and name it in `[ensemble] views` of a competition file.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from competition.errors import InputFault, nearest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """forward: images (B,C,h,w) → as the network sees them; backward: its logits (B,K,h',w') → those
    of the images as they are. mirrors: left and right change places, so that it is for competitions
    that allow it alone, and paired classes change places too.
    """

    forward: "Callable[[Tensor], Tensor]"
    backward: "Callable[[Tensor], Tensor]"
    mirrors: bool = False


VIEWS: dict[str, View] = {
    "mirror": View(lambda images: images.flip(-1), lambda logits: logits.flip(-1), mirrors=True),
}


def checked_views(names: Iterable[str], *, may_mirror: bool) -> tuple[str, ...]:
    """The names, without views that mirror where that is forbidden; InputFault for an unknown one."""
    for name in names:
        if name not in VIEWS:
            known = nearest(name, VIEWS, all_by="docs/competition-file.md")
            raise InputFault(f"no test-time view {name!r} in [ensemble] views; {known}")
    allowed = dict.fromkeys(name for name in names if may_mirror or not VIEWS[name].mirrors)
    return tuple(allowed)
