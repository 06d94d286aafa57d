"""How competitions write a mask as text, and the conventions of known ones in `FORMATS`.

One mask of 2 rows and 3 columns, and an empty one, in every convention; a start is a number of
the first pixel, or, for pneumothorax, the gap from the end of the previous run:

>>> from competition.masks.rle import decode, encode
>>> from competition.masks.runs import Runs
>>> mask = Runs.from_dense([[1, 1, 0], [0, 1, 0]])
>>> for name, form in FORMATS.items():
...     text, empty = encode(mask, form), encode(Runs.empty((2, 3)), form)
...     assert decode(text, (2, 3), form) == mask and len(decode(empty, (2, 3), form)) == 0
...     print(f"{name:13} {form.rows:12} {text!r:10} {empty!r}")
hand-bone     image-class  '1 2 5 1'  ''
pneumothorax  image        '0 1 1 2'  '-1'
salt          image        '1 1 3 2'  ''
steel         image-class  '1 1 3 2'  ''
ships         object       '1 1 3 2'  ''
clouds        image-class  '1 1 3 2'  ''
nuclei        object       '1 1 3 2'  ''
kidney        image        '1 1 3 2'  ''
organs        image        '1 1 3 2'  ''
gi-tract      image-class  '1 2 5 1'  ''
contrails     image        '1 1 3 2'  '-'
ink           image        '1 2 5 1'  ''
vessels       image        '1 2 5 1'  '1 0'
cells         object       '1 2 5 1'  ''
cars          image        '1 2 5 1'  ''
folders       image        '1 2 5 1'  ''
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from competition.errors import InputFault

Order = Literal["rows", "columns"]
Base = Literal[0, 1]


@dataclass(frozen=True)
class RleFormat:
    """How one competition writes a mask as text.

    order: pixels are counted along rows (C order) or along columns (F order).
    base: number of the first pixel, for absolute starts; a gap counts pixels and has no base.
    relative: each start is the gap from the end of the previous run, the first one from pixel 0.
    empty: the token of an empty mask, written and accepted.
    rows: what one row of the file holds: an image, an image × class, or an object.

    >>> RleFormat("columns", base=2)
    Traceback (most recent call last):
    competition.errors.InputFault: base of a text format is one of [0, 1], found 2
    """

    # Read by pydantic where a format is a table of a file: a mistyped key is refused.
    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    order: Order
    base: Base = 1
    relative: bool = False
    empty: str = ""
    rows: Literal["image", "image-class", "object"] = "image"

    def __post_init__(self) -> None:
        _expect("order", self.order, ("rows", "columns"))
        _expect("base", self.base, (0, 1))
        _expect("relative", self.relative, (False, True))
        _expect("rows", self.rows, ("image", "image-class", "object"))
        if not _can_stand_for_nothing(self.empty):
            raise InputFault(
                f"an empty mask cannot be written {self.empty!r}: its token is one line of text "
                "with no space around it, and does not read as a mask with pixels"
            )


def _expect(field: str, found: object, choices: tuple) -> None:
    if not any(found == choice and type(found) is type(choice) for choice in choices):
        raise InputFault(f"{field} of a text format is one of {list(choices)}, found {found!r}")


def _can_stand_for_nothing(token: object) -> bool:
    if not isinstance(token, str) or token != token.strip() or len(token.splitlines()) > 1:
        return False
    numbers = token.split(" ")
    reads_as_a_mask = (
        len(numbers) % 2 == 0
        and all(number.isascii() and number.isdigit() for number in numbers)
        and all(int(length) > 0 for length in numbers[1::2])
    )
    return not reads_as_a_mask


HAND_BONE = RleFormat("rows", rows="image-class")
PNEUMOTHORAX = RleFormat("columns", base=0, relative=True, empty="-1")
SALT = RleFormat("columns")
STEEL = RleFormat("columns", rows="image-class")
SHIPS = RleFormat("columns", rows="object")
CLOUDS = RleFormat("columns", rows="image-class")
NUCLEI = RleFormat("columns", rows="object")
KIDNEY = RleFormat("columns")
ORGANS = RleFormat("columns")
GI_TRACT = RleFormat("rows", rows="image-class")  # the official page says columns, and is wrong
CONTRAILS = RleFormat("columns", empty="-")
INK = RleFormat("rows")
VESSELS = RleFormat("rows", empty="1 0")
CELLS = RleFormat("rows", rows="object")
CARS = RleFormat("rows")
FOLDERS = RleFormat("rows")

FORMATS: dict[str, RleFormat] = {
    "hand-bone": HAND_BONE,
    "pneumothorax": PNEUMOTHORAX,
    "salt": SALT,
    "steel": STEEL,
    "ships": SHIPS,
    "clouds": CLOUDS,
    "nuclei": NUCLEI,
    "kidney": KIDNEY,
    "organs": ORGANS,
    "gi-tract": GI_TRACT,
    "contrails": CONTRAILS,
    "ink": INK,
    "vessels": VESSELS,
    "cells": CELLS,
    "cars": CARS,
    "folders": FOLDERS,
}
