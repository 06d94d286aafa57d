"""`python -m competition STEP …` and `podium STEP …`: our own errors become one message and a code."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from competition.errors import PodiumError, as_called

_STOPPED: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 bad input, 3 the machine cannot, 130 Ctrl-C, 143 terminated.

    words: the command and its options; None: those that the process was started with.
    """
    print_anywhere()
    from competition.cli import app

    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(words, prog_name=None if words is None else "podium")
    except PodiumError as error:
        return _told(str(error), error.exit_code)
    except SystemExit as ended:  # click's way to return a code
        return int(ended.code or 0)
    except Exception as error:
        advice = _advice(error)
        if advice is None:
            raise
        return _told(advice, 3)
    return 0


def print_anywhere() -> None:
    """Let the output be printed whatever takes it.

    A pipe on Windows takes cp1252, which has no sign for the lines of our tables: those become
    question marks.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a test or a notebook may have put another one there
            reconfigure(errors="replace")


def _advice(error: Exception) -> str | None:
    """What to do about a fault of the machine; None where it is not one."""
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory ({text}); lower batch or size in the recipe"
    if "DataLoader worker" in text:
        return (
            f"{text}; a loader process died, which is mostly memory or a small /dev/shm: use "
            "--workers 0, or give the machine more. What the history has is kept: run again to go on"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return f"No space left on device ({error.filename}); make room and run again"
    return None


def _stop(number: int, frame: FrameType | None) -> None:
    """Ctrl-C or a request to end: unwind, so that unfinished files go, and say how to go on."""
    from competition.engines import RUNNING

    # Ctrl-C reaches `podium run` and its step, which `run` asks to end, too: once is enough. (SIG_IGN
    # would make Python complain of a signal that is on its way.)
    for one in _STOPPED:
        signal.signal(one, _unwinding)
    if not RUNNING:  # else the step says it
        print("stopped; run the same command again to go on", file=sys.stderr)
    sys.exit(_STOPPED[number])


def _unwinding(number: int, frame: FrameType | None) -> None:
    """What a further Ctrl-C does: nothing, as the first one is heeded already."""


def _told(message: str, code: int) -> int:
    print(f"error: {as_called(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
