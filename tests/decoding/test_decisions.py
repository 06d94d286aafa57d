"""decisions.json of release 0.1.0 is read as what it said; a head that is gone is refused."""

import json

import pytest

from competition.decoding.decisions import StepReport, read_decisions
from competition.errors import InputFault

CLASSES = ("a", "b")
STEP = {
    "adopted": True,
    "apparent_gain": 0.02,
    "gain": 0.01,
    "low": 0.005,
    "high": 0.015,
    "probability": 1.0,
    "p_value": 0.001,
}
SCORE = {"value": 0.8, "low": 0.75, "high": 0.85}
HEAD = {
    "kind": "1x1",
    "mix": [[1.0, 0.1], [-0.2, 0.9]],
    "bias": [0.0, 0.3],
    "around": [],
}
RULE = {"threshold": 0.4, "top": 0.6, "minimum_area": 12}
OLD = {
    "images": 12,
    "groups": 6,
    "parts": 3,
    "folds": [0, 1, 2],
    "members": [{"name": "one", "weight": 1.0, "score": SCORE}],
    "mixture": {"weights": {"one": 1.0}, "heads": {"one": HEAD}, "mean": "logits"},
    "steps": [
        {"stage": "mixture", "name": "head 1x1", **STEP},
        {"stage": "rules", "name": "class thresholds", **STEP},
        {"stage": "shapes", "name": "components", **STEP},
    ],
    "compared": [{"stage": "mixture", "name": "head 3x3 alone", **STEP}],
    "plain": {"value": 0.7, "low": None, "high": None},
    "apparent": 0.82,
    "cross_fitted": SCORE,
    "present": 0.81,
    "absent": None,
    "rules": {
        "a": {**RULE, "shape": "as it is"},
        "b": {**RULE, "shape": "components from 50"},
    },
}
"""As release 0.1.0 wrote it."""


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "decisions.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return read_decisions(path, classes=CLASSES)

    return read


def test_a_file_of_the_first_release_is_read_as_what_it_said(read):
    found = read(OLD)
    assert [rule.postprocess for rule in found.rules.values()] == [(), ("components from 50",)]
    assert (found.rules["b"].threshold, found.rules["b"].top) == (0.4, 0.6)
    assert [step.stage for step in found.steps] == ["mixture", "thresholds", "post-processing"]
    head = found.mixture.heads["one"]
    assert (head.kind, head.row(1).tolist()) == ("1x1", [-0.2, 0.9, 0.3])


def test_what_was_read_is_written_in_the_words_of_today(read, tmp_path):
    found = read(OLD)
    found.write(tmp_path / "again.json")
    written = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert written["rules"]["b"] == {**RULE, "postprocess": ["components from 50"]}
    assert [step["stage"] for step in written["steps"]][1:] == ["thresholds", "post-processing"]
    assert "around" not in written["mixture"]["heads"]["one"]
    assert read_decisions(tmp_path / "again.json", classes=CLASSES) == found


def test_operations_in_turn_are_kept_in_their_order_and_others_refused(read, tmp_path):
    chain = ["opening", "components from 200", "holes filled"]
    rules = {**OLD["rules"], "b": {**RULE, "postprocess": chain}}
    found = read({**OLD, "rules": rules})
    assert found.rules["b"].postprocess == tuple(chain)
    found.write(tmp_path / "again.json")
    assert read_decisions(tmp_path / "again.json", classes=CLASSES) == found
    for wrong in ("erosion", ["opening", "erosion"], ["as it is"]):
        with pytest.raises(InputFault, match=r"postprocess.*tune again"):
            read({**OLD, "rules": {**rules, "b": {**RULE, "postprocess": wrong}}})


def test_a_head_that_sees_neighbours_is_refused_in_one_line(read):
    neighbours = {**HEAD, "kind": "3x3", "around": [[0.1] * 8] * 2}
    mixture = {**OLD["mixture"], "heads": {"one": neighbours}}
    with pytest.raises(InputFault, match=r"decisions\.json .*3x3 head.*tune again") as refused:
        read({**OLD, "mixture": mixture})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"adopted": True, "p_value": 0.01}, False),
        ({"probability": 0.94}, False),
        ({"gain": 0.00001}, False),
    ],
    ids=["the permutation refuses", "kept", "the bootstrap refuses too", "too small to show"],
)
def test_the_p_of_the_permutation_stands_where_it_alone_refuses_a_step(changes, shown):
    """The interval is free of 0 then, and nothing else in the line says why the step is not kept."""
    values = {**STEP, "adopted": False, "p_value": 0.0713, **changes}
    text = str(StepReport(stage="mixture", name="head 1x1", **values))
    assert ("permutation test p 0.071, at most 0.05 is kept" in text) == shown
    assert ("permutation" in text) == shown


@pytest.mark.parametrize("stage", ["shape", "nothing", 3])
def test_a_step_of_no_known_kind_is_refused(read, stage):
    with pytest.raises(InputFault, match="tune again"):
        read({**OLD, "steps": [{**OLD["steps"][0], "stage": stage}]})


@pytest.mark.parametrize(
    "mixture",
    [
        {"heads": {"one": {"kind": "scale and bias", "mix": [[1.0]], "bias": [0.0]}}},
        {"heads": {"one": {"kind": "1x1", "mix": [], "bias": []}}},
        {"weights": {"one": [0.5, 0.5, 0.5]}},
        {"weights": {"one": []}},
        {"heads": {"two": HEAD}},
    ],
)
def test_heads_and_weights_of_other_classes_or_members_are_refused(read, mixture):
    with pytest.raises(InputFault, match="not those of its members and classes.*tune again"):
        read({**OLD, "mixture": {**OLD["mixture"], **mixture}})
