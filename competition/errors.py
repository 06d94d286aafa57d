"""The one family of errors: caught once, in `__main__`, and shown as one message with an exit code."""

import difflib
import os
import re
from collections.abc import Iterable

FEW = 6
"""So many names are told all; of more, the nearest."""


class PodiumError(Exception):
    """Something the user can act on: the message says what, where, what was expected, what to do."""

    exit_code = 1


class InputFault(PodiumError, ValueError):
    """A file, a value or an option is not what the competition or the recipe calls for."""

    exit_code = 2


class MachineFault(PodiumError, OSError):
    """The machine cannot do it: no space, no memory, no shared memory, no network."""

    exit_code = 3


_COMMAND = re.compile(r"(?<=`)(?:podium|python -m competition)(?: run)? (?=[a-z])")


def as_called(text: str) -> str:
    """Commands in a message as whoever reads it can type them: by the checkout's `inv`, which installs
    no `podium` on the path, where that has begun this process.

    >>> os.environ["PODIUM_CALLED"] = "./inv"
    >>> as_called("`podium tune` or `podium run submit`; `python -m competition new` begins yours")
    '`./inv tune` or `./inv submit`; `./inv new` begins yours'
    >>> del os.environ["PODIUM_CALLED"]
    """
    called = os.environ.get("PODIUM_CALLED")
    return _COMMAND.sub(f"{called} ", text) if called else text


def in_one_line(error: Exception) -> str:
    """What an exception of a library says, which may be several lines.

    >>> in_one_line(ValueError("a\\n  b"))
    'a b'
    """
    return " ".join(str(error).split())


def listed(faults: list[str], *, first: int = 10, of: str = "") -> str:
    """Faults of one kind as lines, the first few in full and the rest as a count.

    of: the name of the kind, for lists that hold several.

    >>> print(listed(["a is missing", "b is missing", "c is missing"], first=2))
    a is missing
    b is missing
    … and 1 more
    """
    shown = faults[:first]
    if len(faults) > first:
        rest = f"… and {len(faults) - first} more"
        shown = [*shown, f"{rest} ({of})" if of else rest]
    return "\n".join(shown)


def nearest(name: str, known: Iterable[str], *, all_by: str) -> str:
    """What could have been meant by an unknown name, for the end of a message.

    all_by: what shows every name, where there are too many to tell.

    >>> nearest("foldres", ["hand-bone", "salt", "folders"], all_by="`podium new --help`")
    'there are hand-bone, salt, folders'
    >>> nearest("unet-8", [f"unet-{number}" for number in range(80)], all_by="`podium models --list`")
    'the nearest of 80 are unet-8, unet-78, unet-68; `podium models --list` shows all'
    """
    names = list(known)
    if len(names) <= FEW:
        return f"there are {', '.join(names) or 'none'}"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0)
    return f"the nearest of {len(names)} are {', '.join(near)}; {all_by} shows all"
