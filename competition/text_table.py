"""Tables for people in plain text, as wide as they need: a table cut at a terminal's edge loses numbers."""

import io

from rich import box
from rich.console import Console
from rich.table import Table


def text_table(*columns: str) -> Table:
    """Columns by name: the first to the left, the others, numbers, to the right."""
    table = Table(box=box.SIMPLE_HEAD)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
    return table


def rendered(table: Table) -> str:
    """The table's lines, without colours and trailing spaces."""
    console = Console(file=io.StringIO(), width=10_000, color_system=None)
    console.print(table)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).strip("\n")
