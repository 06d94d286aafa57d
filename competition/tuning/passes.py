"""A pass over images: the same work for each, shared among as many processes as there are
processors, up to four.

The work is thousands of short calls, between which threads would only hand the interpreter to each
other (measured: two threads were as slow as one). Processes are forked where that is safe: they see
what was there at the fork without copying it, and nothing has to be pickled but results. A child
touches nothing but arrays and ends without running anybody's clean-up. Elsewhere there is one process.
"""

import os
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

from competition.errors import MachineFault
from competition.machine import processes

Result = TypeVar("Result")
Work = Callable[[int, str], Result]


def over_images(
    work: Work[Result], images: Sequence[str], *, advance: Callable[[], None] = lambda: None
) -> list[Result]:
    """work(place, image) of every image, in order; `advance` is called as each one comes.

    `work` must give back all that it finds: what it changes elsewhere may stay in a child. Its
    exceptions come through. MachineFault where a child is killed.
    """
    count = min(processes(), len(images))
    results = []
    for result in _alone(work, images) if count < 2 else _shared(work, images, count):
        results.append(result)
        advance()
    return results


def _alone(work: Work[Result], images: Sequence[str]) -> Iterator[Result]:
    return (work(place, image) for place, image in enumerate(images))


def _shared(work: Work[Result], images: Sequence[str], count: int) -> Iterator[Result]:
    """Child n does the images n, n + count, …; each waits until its last result was taken."""
    with _children(work, images, count) as ends:
        for place in range(len(images)):
            try:
                result, error = ends[place % count].recv()
            except EOFError:
                raise MachineFault(
                    f"a process at work on image {images[place]!r} was killed, most likely for "
                    "memory; free some and run the step again"
                ) from None
            if error is not None:
                raise error
            yield result


@contextmanager
def _children(work: Work[Result], images: Sequence[str], count: int) -> Generator[list[Connection]]:
    """Forked children at work, and the ends that their results come out of."""
    ends, pids = [], []
    try:
        for first in range(count):
            end, entry = Pipe(duplex=False)
            ends.append(end)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # a progress bar has a thread
                pid = os.fork()
            if pid == 0:
                for other in ends:
                    other.close()  # or nobody would notice that the parent is gone
                _child(entry, work, images, range(first, len(images), count))
            entry.close()
            pids.append(pid)
        yield ends
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for end in ends:
            end.close()


def _child(entry: Connection, work: Work[Result], images: Sequence[str], places: range) -> None:
    """Does its images and leaves the process, whatever happens; never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends its children
        for place in places:
            entry.send(_answer(work, place, images[place]))
    except BrokenPipeError:
        os._exit(1)  # the parent is gone
    finally:
        os._exit(0)


def _answer(work: Work[Result], place: int, image: str) -> tuple[Result | None, Exception | None]:
    try:
        return work(place, image), None
    except Exception as error:  # raised again where the result is waited for
        return None, error
