"""The mean of several models against the dense mean."""

import numpy as np
import pytest
from bilinear_reference import allowance, differing, field, fields, probabilities, regions, resized
from bilinear_reference import sizes as any_size
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import mean_from_logits, undecided
from competition.masks.from_logits import runs_from_logits
from competition.masks.mean_from_logits import LogitGrid, mean_runs_from_logits
from competition.masks.runs import Runs


def sigmoid(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-values.astype(np.float64)))


def dense_mean(grids: list[LogitGrid], size: tuple[int, int], shares: np.ndarray, kind: str):
    total = 0.0
    for grid, share in zip(grids, shares, strict=True):
        nodes = grid.logits.astype(np.float64)
        if grid.scale is not None:
            nodes = nodes * grid.scale + grid.offset
        nodes = sigmoid(nodes) if kind == "probabilities" else nodes
        total = total + share * resized(nodes, size, grid.region)
    return total


@st.composite
def predictions(draw: st.DrawFn) -> list[LogitGrid]:
    first = draw(fields(classes=(1, 2)))
    first = np.clip(first, -9, 9)
    models = [LogitGrid(first, region=draw(regions(first.shape[1:])))]
    for _ in range(draw(st.integers(0, 2))):
        shape = (
            first.shape
            if draw(st.booleans())
            else (len(first), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
        )
        region = models[0].region if shape == first.shape else draw(regions(shape[1:]))
        if draw(st.booleans()):
            seed = draw(st.integers(0, 2**32 - 1))
            codes = np.random.default_rng(seed).integers(100, 156, shape).astype(np.uint8)
            models.append(LogitGrid(codes, 0.0625, -8.0, region))
        else:
            kind = draw(st.sampled_from(["normal", "integers", "signs", "zeros", "blob"]))
            logits = np.clip(field(kind, shape, draw(st.integers(0, 2**32 - 1))), -9, 9)
            models.append(LogitGrid(logits, region=region))
    return models


def check_mean(data: st.DataObject) -> None:
    grids, size = data.draw(predictions()), data.draw(any_size)
    weights = data.draw(st.lists(st.sampled_from([1.0, 0.3, 2.0]), min_size=3, max_size=3))
    weights = np.array(weights[: len(grids)])
    probability, kind = (
        data.draw(probabilities),
        data.draw(st.sampled_from(["logits", "probabilities"])),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(undecided, "NOISY", data.draw(st.sampled_from([-1.0, 0.2, 2.0])))
        found = mean_runs_from_logits(grids, size, probability, weights=weights, kind=kind)
    found = Runs(found.starts.copy(), found.stops.copy(), found.shape)
    values = dense_mean(grids, size, weights / weights.sum(), kind)
    with np.errstate(divide="ignore"):
        level = np.log(probability) - np.log1p(-probability) if kind == "logits" else probability
    finite = level if np.isfinite(level) else 0.0
    assert differing(found.to_dense(), values, level, allowance(values, finite)) == 0


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_the_mean_of_models_equals_the_dense_mean(data):
    check_mean(data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=15_000, deadline=None)
def test_the_mean_of_models_equals_the_dense_mean_many_times(data):
    check_mean(data)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_the_mean_of_one_model_with_itself_is_the_model(kind):
    logits = field("blob", (2, 9, 8), 1)
    mean = mean_runs_from_logits([LogitGrid(logits)] * 3, (36, 32), kind=kind, weights=[1, 2, 1])
    assert mean == runs_from_logits(logits, (36, 32))


def test_a_mean_of_probabilities_is_not_a_mean_of_logits():
    """One very sure model against two in doubt: the mean logit is high, the mean probability low."""
    sure, doubting = np.full((1, 2, 2), 9.0, np.float32), np.full((1, 2, 2), -1.5, np.float32)
    grids = [LogitGrid(sure), LogitGrid(doubting), LogitGrid(doubting)]
    assert mean_runs_from_logits(grids, (4, 4)) == Runs.full((1, 4, 4))
    assert mean_runs_from_logits(grids, (4, 4), kind="probabilities") == Runs.empty((1, 4, 4))


def test_only_cells_that_the_models_leave_open_are_computed(monkeypatch):
    """Two blobs on different grids: nothing is computed far from their borders."""
    nodes: list[int] = []
    values = mean_from_logits.MeanField.values
    monkeypatch.setattr(
        mean_from_logits.MeanField,
        "values",
        lambda self, index, node: nodes.append(np.size(node)) or values(self, index, node),
    )
    grids = [LogitGrid(field("blob", (1, side, side), 0) + side / 8) for side in (60, 84)]
    assert len(mean_runs_from_logits(grids, (240, 240))) > 20
    assert sum(nodes) < 0.15 * (60 + 84) ** 2


def test_a_value_that_is_not_finite_is_refused_with_its_model_and_class():
    bad = np.zeros((2, 3, 3), np.float32)
    bad[1, 0, 0] = np.nan
    with pytest.raises(InputFault, match="model 1, class 1"):
        mean_runs_from_logits([LogitGrid(np.zeros((2, 4, 4), np.float32)), LogitGrid(bad)], (8, 8))


@pytest.mark.parametrize(
    ("grids", "options", "message"),
    [
        ([], {}, "0 predictions"),
        ([LogitGrid(np.zeros((k, 2, 2), np.float32)) for k in (1, 2)], {}, r"\[1, 2\] classes"),
        ([LogitGrid(np.zeros((1, 2, 2), np.float32))], {"weights": [1.0, 1.0]}, "1 numbers"),
        ([LogitGrid(np.zeros((1, 2, 2), np.float32))], {"weights": [0.0]}, "above 0"),
        ([LogitGrid(np.zeros((1, 2, 2), np.float32))], {"kind": "votes"}, "votes"),
    ],
)
def test_a_mean_that_cannot_be_meant_is_refused(grids, options, message):
    with pytest.raises(InputFault, match=message):
        mean_runs_from_logits(grids, (4, 4), **options)
