"""The one family of errors: caught once, in `__main__`, and shown as one message with an exit code."""


class PodiumError(Exception):
    """Something the user can act on: the message says what, where, what was expected, what to do."""

    exit_code = 1


class InputFault(PodiumError, ValueError):
    """A file, a value or an option is not what the competition or the recipe calls for."""

    exit_code = 2


class MachineFault(PodiumError, OSError):
    """The machine cannot do it: no space, no memory, no shared memory, no network."""

    exit_code = 3


def listed(faults: list[str], *, first: int = 10) -> str:
    """Faults of one kind as lines, the first few in full and the rest as a count.

    >>> print(listed(["a is missing", "b is missing", "c is missing"], first=2))
    a is missing
    b is missing
    … and 1 more
    """
    shown = faults[:first]
    if len(faults) > first:
        shown = [*shown, f"… and {len(faults) - first} more"]
    return "\n".join(shown)
