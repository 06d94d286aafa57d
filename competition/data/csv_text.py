"""The one csv reader: every value stays the text it is, and every row has every column."""

import csv
import io
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from competition.errors import InputFault, listed

SHOWN = 10
"""Faults of a kind that `errors.listed` shows in full."""

_LONGEST_FIELD = 2**31 - 1  # a run-length text may be megabytes; csv stops at 128 KiB by default


@dataclass(frozen=True, eq=False)
class CsvRows:
    """A csv file: its column names as written, its rows, and the line where each ends, int64 (n,)."""

    names: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: np.ndarray

    @property
    def columns(self) -> list[str]:
        """The column names without the spaces around them."""
        return [name.strip() for name in self.names]


def read_csv_text(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A csv file as text: every column it has, of which `columns` must be there.

    Nothing is guessed: `0001`, `NA`, `null`, `1e5` and `True` stay as they are written, an empty
    field is "". A byte-order mark, CRLF, blank lines and spaces around column names are accepted.
    Refused, with the line: a row with fewer or more fields than the header (pandas fills it up in
    silence), an open quote, another separator than a comma, another encoding than UTF-8.
    The frame's index, named "line", is the line of the file where each row ends: 2, 3, ….
    """
    found = read_csv_rows(path, columns)
    lines = pd.Index(found.lines, name="line", dtype="int64")
    return pd.DataFrame(found.rows, index=lines, columns=found.columns, dtype=str)


def read_csv_rows(path: Path, columns: Sequence[str] = ()) -> CsvRows:
    """`read_csv_text` as tuples: what a file of a million rows is read as."""
    lines, rows = _rows(_content(path), path)
    if not rows:
        raise InputFault(f"{path} is empty; expected a header line and rows below it")
    found = CsvRows(rows[0], rows[1:], np.array(lines[1:], np.int64))
    _check_header(found.columns, columns, path)
    _check_widths(found, path)
    return found


def ends_whole(path: Path) -> bool:
    """Whether the file ends with a line break; where it does not, its last row may be cut."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        return file.read(1) in (b"\n", b"\r")


def image_id(text: str) -> str:
    """As ids of images are compared: one spelling of each letter (NFC), whatever a zip made of it.

    >>> image_id("cafe\u0301.png") == "caf\u00e9.png"
    True
    """
    return unicodedata.normalize("NFC", text)


def split_key(key: str, separator: str, classes: Sequence[str]) -> tuple[str, str] | None:
    """(image, class) of a key that holds both, None without a separator. Ids hold anything, so it is
    split from the right, and before a class that holds the separator itself.

    >>> split_key("scan_01.jpg_Fish", "_", ["Fish"])
    ('scan_01.jpg', 'Fish')
    >>> split_key("a.png_large_bowel", "_", ["large_bowel", "small_bowel"])
    ('a.png', 'large_bowel')
    """
    ends = [name for name in classes if key.endswith(separator + name)]
    if ends:
        name = max(ends, key=len)
        return key[: -len(separator + name)], name
    image, found, name = key.rpartition(separator)
    return (image, name) if found else None


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


def _content(path: Path) -> bytes:
    """The bytes of a file that is UTF-8 throughout."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except OSError as error:
        raise InputFault(f"{path} cannot be read: {error.strerror}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:1000]:
        raise InputFault(f"{path} is UTF-16 or not text; save it as UTF-8")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputFault(
            f"{path} line {line}: not UTF-8 ({error.reason}); save it as UTF-8"
        ) from None
    return content


def _rows(content: bytes, path: Path) -> tuple[array, list[tuple[str, ...]]]:
    """Line numbers and fields of every line that is not blank."""
    csv.field_size_limit(_LONGEST_FIELD)
    # Decoded as it is read: a StringIO would hold four bytes for every character.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), strict=True)
    lines, rows = array("q"), []
    try:
        for row in reader:
            if row:
                lines.append(reader.line_num)
                rows.append(tuple(row))
    except csv.Error as error:
        raise InputFault(f"{path} line {reader.line_num}: {error}; is a quote open?") from error
    return lines, rows


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


def _check_widths(found: CsvRows, path: Path) -> None:
    header = found.columns
    faults = [
        f"{path} line {line}: {len(row)} fields, expected {len(header)} ({', '.join(header)})"
        for line, row in zip(found.lines, found.rows, strict=True)
        if len(row) != len(header)
    ]
    if faults:
        raise InputFault(listed(faults))
