"""What a report is made of, and its HTML: tables, figures, pictures whose classes can be switched."""

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined

from competition.pictures import class_colours

_NUMBER = re.compile(r"[−+-]?[\d,.]+ ?%?|–?")

_THEMED = {"#000000": "currentColor", "#202124": "currentColor", "#ffffff": "var(--paper)"}
"""Ink and paper of the plots, which follow the page's theme."""


@dataclass(frozen=True)
class Cell:
    """A cell with more than a text. tone: "good", "bad" or ""; share: 0 to 1, drawn as a bar."""

    text: str
    tone: str = ""
    share: float | None = None


@dataclass(frozen=True)
class ReportTable:
    """Rows of cells below their columns, sorted by whoever looks at it; note: what is left out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""
    note: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        """Every cell as `Cell`."""
        return [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether all of its cells are numbers, or empty."""
        columns = zip(*self.cells, strict=True) if self.rows else [()] * len(self.columns)
        return [all(_NUMBER.fullmatch(cell.text) for cell in column) for column in columns]


@dataclass(frozen=True)
class ReportFigure:
    """A plot. name: of its file; svg: its text; png: shown where there is no SVG."""

    name: str
    caption: str
    svg: str = ""
    png: bytes = b""

    @property
    def is_wide(self) -> bool:
        """Whether it needs the room of two."""
        if self.svg:
            found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', self.svg)
            width, height = map(float, found.groups()) if found else (1.0, 1.0)
        else:
            width, height = struct.unpack(">2I", self.png[16:24])  # of a PNG's first chunk
        return width > 2 * height and width > 0


@dataclass(frozen=True)
class ReportPanel:
    """One view of a picture: its masks, filled, and others as dashed outlines over them.

    filled, dashed: class → path (see `OutlinedImage`); jpeg: of another picture than the first panel's.
    """

    title: str
    filled: Mapping[int, str]
    dashed: Mapping[int, str]
    ignored: str = ""
    jpeg: bytes = b""


@dataclass(frozen=True)
class ReportPicture:
    """An image in panels side by side. size: (height, width); jpeg: what lies under the masks."""

    image: str
    note: str
    size: tuple[int, int]
    view_box: str
    jpeg: bytes
    panels: Sequence[ReportPanel]


@dataclass(frozen=True)
class ReportSection:
    """A heading, what it says, and what is to be seen. key: for links to it."""

    key: str
    title: str
    says: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    figures: Sequence[ReportFigure] = ()
    pictures: Sequence[ReportPicture] = ()


@dataclass(frozen=True)
class Headline:
    """A number that is read first. between: its interval, in words."""

    label: str
    value: str
    between: str = ""
    note: str = ""


@dataclass(frozen=True)
class ReportPage:
    """cautions: what speaks against trusting the score; facts: name → value, for the foot."""

    title: str
    subtitle: str
    classes: Sequence[str]
    headlines: Sequence[Headline]
    verdict: Sequence[str]
    cautions: Sequence[str]
    sections: Sequence[ReportSection]
    facts: Mapping[str, str]


def rendered_page(page: ReportPage) -> str:
    """The report as one HTML document that loads nothing, of whatever names images and classes have."""
    colours = [
        "#" + bytes(colour).hex() for colour in class_colours(len(page.classes)).astype(np.uint8)
    ]
    text = _template().render(
        page=page,
        colours=colours,
        numbers=range(len(page.classes)),
        style=_content("report.css"),
        script=_content("report.js"),
        inline=inline_svg,
        data=_base64,
    )
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def inline_svg(text: str, name: str) -> str:
    """A plot's file as an element of a page: no header, no address, colours of the page's theme, and
    ids that no other figure has.

    >>> inline_svg('<?xml version="1.0"?><svg xmlns="x"><path id="a" fill="#000000"/></svg>', "b")
    '<svg><path id="b-a" fill="currentColor"/></svg>'
    """
    svg = text[text.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    for plain, themed in _THEMED.items():
        svg = svg.replace(plain, themed)
    return svg


@cache
def _template():  # noqa: ANN202  jinja2's
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_content("report.html"))


def _content(name: str) -> str:
    return files("competition.report").joinpath(name).read_text(encoding="utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
