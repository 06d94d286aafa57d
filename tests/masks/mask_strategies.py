"""Masks for property tests: the shapes and contents that break run code, and random ones."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

LONG = 10_000
"""Examples of each of the eleven long properties of masks: 110,000. Text has 100,000, logits 110,000."""


def sides(largest: int) -> st.SearchStrategy[int]:
    """A side of an image; 1 often, since 1×1, 1×N and N×1 are where run code breaks."""
    return st.one_of(st.just(1), st.integers(1, largest))


@st.composite
def shapes(draw: st.DrawFn, *, classes: int = 3, largest: int = 12) -> tuple[int, int, int]:
    """(K, H, W) with 1 to `classes` classes."""
    return draw(st.integers(1, classes)), draw(sides(largest)), draw(sides(largest))


@st.composite
def pixels(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """A bool array of the shape, of any memory layout."""
    kind = draw(st.sampled_from(["random", "random", "rows", "empty", "full", "last", "stripes"]))
    flat = _flat(draw, kind, int(np.prod(shape)))
    array = flat.reshape(shape)
    order = draw(st.sampled_from(["C", "F", "reversed", "strided"]))
    if order == "F":
        return np.asfortranarray(array)
    if order == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if order == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return array


def _flat(draw: st.DrawFn, kind: str, size: int) -> np.ndarray:
    if kind == "random":
        return draw(npst.arrays(bool, size))
    if kind == "stripes":  # of period 8: every 64-bit word of them is the same
        return np.arange(size) % 8 < draw(st.integers(1, 7))
    flat = np.zeros(size, bool)
    if kind == "rows":  # stretches that go on from one row, or class, to the next
        first = draw(st.integers(0, size - 1))
        flat[first : draw(st.integers(first, size))] = True
    flat[:] |= kind == "full"
    flat[-1] |= kind == "last"
    return flat


@st.composite
def stacks(draw: st.DrawFn, *, classes: int = 3, largest: int = 12) -> np.ndarray:
    """Bool (K, H, W)."""
    return draw(pixels(draw(shapes(classes=classes, largest=largest))))


@st.composite
def stack_lists(draw: st.DrawFn, count: int) -> list[np.ndarray]:
    """`count` bool stacks of one shape."""
    shape = draw(shapes())
    return [draw(pixels(shape)) for _ in range(count)]
