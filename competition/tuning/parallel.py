"""The same work for each image, shared among forked processes where that is safe.

The work is thousands of short calls, between which threads would only hand the interpreter to each
other (measured: two threads were as slow as one). Forked processes see what was there at the fork
without copying it, and nothing has to be pickled but results. Where forking is not safe
(`machine.processes` says), one process does everything.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from competition.errors import MachineFault
from competition.machine import processes

Found = TypeVar("Found")

_work: Callable[[int, str], Any]
"""In a forked process: what it does; handed over by the fork, so that closures need no pickling."""


def over_images(
    work: Callable[[int, str], Found],
    images: Sequence[str],
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Found]:
    """work(place, image) of every image, in order; `advance` is called as each one comes.

    `work` must give back all that it finds: what it changes elsewhere may stay in a child. Its
    exceptions come through. MachineFault where a child is killed.
    """
    count = min(processes(), len(images))
    found: list[Found] = []
    if count < 2:
        for place, image in enumerate(images):
            found.append(work(place, image))
            advance()
        return found
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(work,))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a progress bar has a thread
            results = pool.map(_do, range(len(images)), images)
        for one in results:
            found.append(one)
            advance()
    except BrokenProcessPool:
        raise MachineFault(
            f"a process was killed before image {images[len(found)]!r} was done, most likely for "
            "memory; free some and run the step again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _begin(work: Callable[[int, str], Any]) -> None:
    """In a child: Ctrl-C and a request to end are the parent's to hear, and it ends with the parent."""
    global _work  # noqa: PLW0603 the one way to reach what was forked
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a child

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _do(place: int, image: str) -> Any:
    return _work(place, image)
