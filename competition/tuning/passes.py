"""A pass over images: the same work for each, on as many threads as there are processors, up to four.

Reading, unpacking and arithmetic on whole planes let go of the interpreter, so that threads help and
share what they read; the results come in the order of the images whatever their number.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_MOST_THREADS = 4
"""Each holds one image of all members."""


def over_images(
    work: Callable[[int, str], Result],
    images: Sequence[str],
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Result]:
    """work(place, image) of every image, in order; `advance` is called as each one comes."""
    results = []
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, range(len(images)), images):
            results.append(result)
            advance()
    return results
