"""Thresholds as levels of stored nodes: probabilities, logits and codes (uint8; their sums uint16)."""

from collections.abc import Sequence

import numpy as np

from competition.errors import InputFault

BEYOND = 1e300
"""Stands for the infinite logit of the thresholds 0 and 1: differences from it stay finite."""

CODES = (np.uint8, np.uint16)

Numbers = float | Sequence[float] | np.ndarray


def class_count(logits: np.ndarray) -> int:
    """K of logits (K, h, w); InputFault for another shape or type."""
    if logits.ndim != 3 or min(logits.shape[1:]) < 1:
        raise InputFault(f"logits of shape {logits.shape!r}; (classes, height, width) is asked for")
    if logits.dtype not in CODES and logits.dtype.kind != "f":
        raise InputFault(
            f"logits of {logits.dtype}; float, or uint8 or uint16 codes with scale and offset"
        )
    return logits.shape[0]


def logit(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) in float64, ±BEYOND at 1 and 0; InputFault outside [0, 1].

    >>> logit(np.array([0.0, 0.5, 1.0]))
    array([-1.e+300,  0.e+000,  1.e+300])
    """
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        found = np.unique(probabilities[wrong])[:10].tolist()
        raise InputFault(f"thresholds {found!r}; probabilities from 0 to 1 are asked for")
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probabilities) - np.log1p(-probabilities), -BEYOND, BEYOND)


def per_class(thresholds: Numbers, classes: int) -> np.ndarray:
    """Thresholds float64 (T, K) from (T,) or (T, K) or (T, 1); InputFault for other shapes."""
    found = np.asarray(thresholds, np.float64)
    rows = found[:, None] if found.ndim == 1 else found
    if rows.ndim != 2 or rows.shape[1] not in (1, classes):
        raise InputFault(
            f"thresholds of shape {found.shape!r} for {classes} classes; "
            "one number, or one per class, is asked for"
        )
    return np.broadcast_to(rows, (len(rows), classes))


def code_scale(
    logits: np.ndarray, scale: Numbers | None, offset: Numbers | None
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of logits (K, h, w) as float64 (K,): of codes those given, else 1, 0.

    InputFault if they are missing, given for float logits, not finite, or the scale not above 0.
    """
    if logits.dtype not in CODES:
        if scale is not None or offset is not None:
            raise InputFault(
                f"scale and offset belong to codes, uint8 or uint16, and these are {logits.dtype}"
            )
        return np.ones(len(logits)), np.zeros(len(logits))
    if scale is None or offset is None:
        raise InputFault(f"{logits.dtype} codes need the scale and offset they were stored with")
    both = [np.asarray(value, np.float64) for value in (scale, offset)]
    if any(value.shape not in ((), (1,), (len(logits),)) for value in both):
        raise InputFault(
            f"scale of shape {both[0].shape!r} and offset of shape {both[1].shape!r}; "
            f"one number, or one for each of {len(logits)} classes, is asked for"
        )
    if not all(np.isfinite(value).all() for value in both) or not (both[0] > 0).all():
        raise InputFault(
            f"scale {scale!r} and offset {offset!r}; finite ones, the scale above 0, are asked for"
        )
    steps, zeros = (np.broadcast_to(value, len(logits)) for value in both)
    return steps, zeros


def node_levels(thresholds: np.ndarray, steps: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """Levels of the stored nodes, float64 like thresholds (…, K): inside is node > level."""
    return np.clip((logit(thresholds) - zeros) / steps, -BEYOND, BEYOND)


def above(nodes: np.ndarray, level: float, out: np.ndarray | None = None) -> np.ndarray:
    """Bool: nodes > level, compared exactly in the type of the nodes.

    Nodes are stored values, so they are above `level` exactly when they are above the largest
    value of their own type that is not above `level`.

    >>> above(np.array([3, 4], np.uint8), 3.7)
    array([False,  True])
    """
    own_type = nodes.dtype.type
    if own_type in CODES:
        if level < 0:
            return np.greater_equal(nodes, own_type(0), out=out)
        return np.greater(nodes, own_type(min(np.floor(level), np.iinfo(own_type).max)), out=out)
    with np.errstate(over="ignore"):
        own = own_type(level)
    if own > level:
        own = np.nextafter(own, own_type(-np.inf))
    return np.greater(nodes, own, out=out)


def checked_finite(nodes: np.ndarray, name: str) -> None:
    """InputFault if a value of (h, w) is NaN or infinite: NaN > t is False, an empty mask."""
    if nodes.dtype.kind != "f":
        return
    # Finite sums of squares prove every value finite in one pass; only else look closer.
    if np.isfinite(np.einsum("ij,ij->i", nodes, nodes)).all() or np.isfinite(nodes).all():
        return
    row, column = np.argwhere(~np.isfinite(nodes))[0]
    count = nodes.size - int(np.isfinite(nodes).sum())
    raise InputFault(
        f"the logits of {name} hold {count} non-finite values of {nodes.size}, "
        f"the first {float(nodes[row, column])!r} at row {row}, column {column}; "
        "a mask cannot be cut from them: look at the checkpoint and the training loss"
    )
