"""CPU time and peak memory of one call, and what the machine's memory allows at best."""

import ctypes
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measured:
    """seconds: median CPU time of the process; megabytes: peak memory beyond what was held before."""

    seconds: float
    megabytes: float


def measured(call: Callable[[], Any], repeats: int) -> Measured:
    """`repeats` timed calls of one that was called before, and one in a process for its memory."""
    times = [timed(call) for _ in range(repeats)]
    return Measured(statistics.median(times), peak_megabytes(call))


def seconds(call: Callable[[], Any], repeats: int) -> list[float]:
    """CPU seconds of each of `repeats` calls, after one to warm up."""
    call()
    return [timed(call) for _ in range(repeats)]


def timed(call: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_megabytes(call: Callable[[], Any]) -> float:
    """Highest resident memory of a forked process during the call, less that before it, in MB.

    The kernel's count: it sees what numpy, torch and C libraries take alike. What the allocator
    still holds from earlier calls is given back first, or the call would live on it unseen.
    """
    ctypes.CDLL(None).malloc_trim(0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = _status("VmRSS")
            call()
            os.write(writing, str(max(0, _status("VmHWM") - before)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        kilobytes = int(pipe.read())
    os.waitpid(child, 0)
    return megabytes(kilobytes)


def megabytes(kibibytes: int) -> float:
    """MB of what the kernel counts in KiB."""
    return kibibytes * 1024 / 1e6


def _status(name: str) -> int:
    """A line of /proc/self/status in KiB."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def read_seconds(array: np.ndarray, repeats: int) -> float:
    """Median time to read an array once: what anything that looks at every value takes at least."""
    words = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words = words[: words.size // 8 * 8].view(np.uint64)
    return statistics.median(timed(words.max) for _ in range(repeats))
