"""The dense way, in float64 and plain words: what the sparse functions must equal."""

import numpy as np
from hypothesis import strategies as st

KINDS = ("normal", "integers", "signs", "constant", "zeros", "stripes", "blob", "huge", "tiny")


def resized(
    nodes: np.ndarray,
    size: tuple[int, int],
    region: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Bilinear values float64 (K, H, W) of nodes (K, h, w), half-pixel centres, clamped."""
    top, left, height, width = region or (0.0, 0.0, *nodes.shape[1:])
    nodes = nodes.astype(np.float64)
    y0, y1, down = _sampled(nodes.shape[1], size[0], top, height)
    x0, x1, along = _sampled(nodes.shape[2], size[1], left, width)
    rows = (1 - down)[:, None] * nodes[:, y0] + down[:, None] * nodes[:, y1]
    return (1 - along) * rows[:, :, x0] + along * rows[:, :, x1]


def _sampled(
    nodes: int, pixels: int, start: float, length: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position = start + (np.arange(pixels) + 0.5) * length / pixels - 0.5
    position = np.clip(position, 0, nodes - 1)
    lower = np.floor(position).astype(int)
    return lower, np.minimum(lower + 1, nodes - 1), position - lower


def allowance(nodes: np.ndarray, level: float | np.ndarray = 0.0) -> float:
    """4 float32 ulp of the largest number in play."""
    largest = max(np.abs(nodes).max(initial=0), np.abs(level).max())
    return 4 * float(np.spacing(np.float32(largest)))


def differing(found: np.ndarray, values: np.ndarray, level: np.ndarray, allowed: float) -> int:
    """Pixels where bool `found` is not `values > level`, other than those at the threshold."""
    return int(((found != (values > level)) & (np.abs(values - level) > allowed)).sum())


def field(kind: str, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """float32 nodes of one of KINDS."""
    generator = np.random.default_rng(seed)
    normal = generator.normal(size=shape)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    distance = np.hypot(rows - shape[1] / 2, columns - shape[2] / 3)
    made = {
        "normal": normal,
        "integers": np.round(2 * normal),
        "signs": np.sign(normal),
        "constant": np.round(normal[:, :1, :1]) + np.zeros(shape),
        "zeros": np.zeros(shape),
        "stripes": np.zeros(shape) + np.where(columns // (1 + seed % 4) % 2, 1.0, -1.0),
        "blob": 1.5 + 0.1 * normal[:, :1, :1] - distance,
        "huge": 1e30 * normal,
        "tiny": 1e-40 * normal,
    }
    return made[kind].astype(np.float32)


@st.composite
def fields(draw: st.DrawFn, classes: tuple[int, int] = (1, 3)) -> np.ndarray:
    """float32 (K, h, w), down to one pixel."""
    shape = draw(st.tuples(st.integers(*classes), st.integers(1, 9), st.integers(1, 9)))
    return field(draw(st.sampled_from(KINDS)), shape, draw(st.integers(0, 2**32 - 1)))


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
probabilities = st.sampled_from([0.5, 0.5, 0.0, 0.01, 0.3, 0.62, 0.999, 1.0])


@st.composite
def regions(draw: st.DrawFn, grid: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """The part of a grid (h, w) that shows the image, None for all of it."""
    if draw(st.booleans()):
        return None
    shares = [draw(st.sampled_from([0.0, 0.25, 0.3])) for _ in range(2)]
    starts = [share * side for share, side in zip(shares, grid, strict=True)]
    extents = [
        draw(st.sampled_from([1.0, 0.5, 0.8])) * (side - start)
        for side, start in zip(grid, starts, strict=True)
    ]
    return (*starts, *extents)
