"""`python -m competition STEP …`: our own errors become one message and an exit code."""

import signal
import sys
from types import FrameType

from competition.errors import PodiumError

_STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


def main() -> int:
    """Run one command; 0 done, 2 bad input, 3 the machine cannot, 130 Ctrl-C, 143 terminated."""
    from competition.cli import app

    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except PodiumError as error:
        return _told(str(error), error.exit_code)
    except Exception as error:
        advice = _advice(error)
        if advice is None:
            raise
        return _told(advice, 3)
    return 0


def _advice(error: Exception) -> str | None:
    """What to do about a fault of the machine; None where it is not one."""
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory ({text}); lower batch or size in the recipe"
    if "DataLoader worker" in text:
        return (
            f"{text}; a loader process died, which is mostly memory or a small /dev/shm: use "
            "--workers 0, or give the machine more. The last whole epoch is kept: run again to go on"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return f"No space left on device ({error.filename}); make room and run again"
    return None


def _stop(number: int, frame: FrameType | None) -> None:
    """Ctrl-C or a request to end: unwind, so that unfinished files go, and say how to go on."""
    print("stopped; run the same command again to go on", file=sys.stderr)
    sys.exit(_STOPPED[number])


def _told(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
