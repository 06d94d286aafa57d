"""The one csv reader: every value stays the text it is, and every row has every column."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from competition.errors import InputFault, listed

SHOWN = 10
"""Faults of a kind that `errors.listed` shows in full."""

_LONGEST_FIELD = 2**31 - 1  # a run-length text may be megabytes; csv stops at 128 KiB by default


def read_csv_text(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A csv file as text: every column it has, of which `columns` must be there.

    Nothing is guessed: `0001`, `NA`, `null`, `1e5` and `True` stay as they are written, an empty
    field is "". A byte-order mark, CRLF, blank lines and spaces around column names are accepted.
    Refused, with the line: a row with fewer or more fields than the header (pandas fills it up in
    silence), an open quote, another separator than a comma, another encoding than UTF-8.
    The frame's index, named "line", is the line of the file where each row ends: 2, 3, ….
    """
    rows = _rows(_text(path), path)
    if not rows:
        raise InputFault(f"{path} is empty; expected a header line and rows below it")
    header = [name.strip() for name in rows[0][1]]
    _check_header(header, columns, path)
    _check_widths(rows, header, path)
    lines = pd.Index([line for line, _ in rows[1:]], name="line", dtype="int64")
    return pd.DataFrame([row for _, row in rows[1:]], index=lines, columns=header, dtype=str)


def ends_whole(path: Path) -> bool:
    """Whether the file ends with a line break; where it does not, its last row may be cut."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        return file.read(1) in (b"\n", b"\r")


def closest(name: str, known: Iterable[str]) -> str:
    """What a mistyped name may have meant, as the end of a sentence; "" where nothing is near.

    >>> closest("wrist ", ["Wrist", "Radius"])
    "; did you mean 'Wrist'?"
    """
    folded = {_folded(candidate): candidate for candidate in known}
    near = get_close_matches(_folded(name), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def hints(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """`closest` for each name that a list of faults shows, "" for the rest: it takes milliseconds."""
    shown = [closest(name, known) for name in names[:SHOWN]]
    return shown + [""] * (len(names) - len(shown))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except OSError as error:
        raise InputFault(f"{path} cannot be read: {error.strerror}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:1000]:
        raise InputFault(f"{path} is UTF-16 or not text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputFault(f"{path} line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from None


def _rows(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """(line number, fields) of every line that is not blank."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputFault(f"{path} line {reader.line_num}: {error}; is a quote open?") from error


def _check_header(header: list[str], columns: Sequence[str], path: Path) -> None:
    if len(header) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in header[0]:
                raise InputFault(f"{path} is separated by {word}; expected commas")
    missing = [name for name in columns if name not in header]
    if missing:
        near = closest(missing[0], header)
        raise InputFault(f"{path} has no column {missing[0]!r}{near}; its columns are {header!r}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputFault(f"{path} has the column {twice[0]!r} twice; its columns are {header!r}")


def _check_widths(rows: list[tuple[int, list[str]]], header: list[str], path: Path) -> None:
    faults = [
        f"{path} line {line}: {len(row)} fields, expected {len(header)} ({', '.join(header)})"
        for line, row in rows[1:]
        if len(row) != len(header)
    ]
    if faults:
        raise InputFault(listed(faults))
