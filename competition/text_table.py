"""Tables in plain text. A table cut at a terminal's edge loses numbers: what has to give
way are the texts of one column, which go on in a further line.
"""

import io

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 100
"""Columns of a terminal that a page of text may take, whatever the names in it."""


def text_table(*columns: str, folded: str | None = None) -> Table:
    """Columns by name: the first to the left, the others, numbers, to the right.

    folded: the column, to the left too, that takes as many lines as the width leaves it.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for place, name in enumerate(columns):
        left = place == 0 or name == folded
        table.add_column(
            name, justify="left" if left else "right", overflow="fold", no_wrap=name != folded
        )
    return table


def rendered(table: Table, *, width: int = 10_000) -> str:
    """The table's lines, without colours and trailing spaces."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")
