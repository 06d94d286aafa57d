"""FoundValues with where they come from → the text of a competition file."""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import Array

from competition.new.values import FoundValue, FoundValues

_WIDTH = 100
_HEAD = """\
# What the organisers fixed, as `new` read it off the download; docs/competition-file.md explains every
# key. Behind each value stands where it comes from: found, proven, asked, or chosen for you to change.
# A value that begins with a question mark is a question: until it is answered, every command but
# doctor stops.
"""
_ORDER = {
    "": ("name", "classes", "exclusive", "horizontal_flip"),
    "data": ("root", "train_images", "test_images", "not_images", "image_id", "group", "stratum"),
    "labels": ("kind", "files", "file", "image", "label", "rle", "rows", "values"),
    "submission": ("sample", "image", "label", "separator", "rle", "rows", "order", "base"),
    "metric": ("name", "empty"),
    "split": ("folds", "seed"),
    "ensemble": ("recipes", "views"),
}
"""Tables in their order, and in each the keys that come first."""


def file_text(values: FoundValues) -> str:
    """A commented competition file."""
    lines = [_HEAD]
    for table, first in _ORDER.items():
        own = {key.rpartition(".")[2]: v for key, v in values.items() if _table(key) == table}
        keys = [*(key for key in first if key in own), *(key for key in own if key not in first)]
        if table and keys:
            lines.append(f"\n[{table}]")
        lines += [_line(key, own[key]) for key in keys]
    return "\n".join(lines) + "\n"


def _table(key: str) -> str:
    return key.rpartition(".")[0]


def _line(key: str, value: FoundValue) -> str:
    comment = f"# {value.origin}: {value.why}"
    line = f"{key} = {toml_item(value.written).as_string()}"
    if "\n" in line or len(f"{line}  {comment}") > _WIDTH:
        return f"{comment}\n{line}"
    return f"{line}  {comment}"


def toml_item(value: Any) -> Any:
    """A value as TOML: a long list over several lines, a table in one."""
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update(value)
        return table
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        array = tomlkit.array()
        for one in value:
            array.append(toml_item(one))
        return array
    if isinstance(value, list | tuple):
        array = tomlkit.item(list(value))
        long = isinstance(array, Array) and len(array.as_string()) > 80
        return array.multiline(True) if long else array
    return tomlkit.item(value)
