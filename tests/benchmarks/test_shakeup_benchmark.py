"""The benchmark of the Private interval: its demos open, its table says what was inside."""

import os

import pytest

from benchmarks import shakeup
from benchmarks.shakeup import Outcome, demo_of, outcomes_of, table
from competition.evaluation.metric_sums import Score
from competition.evaluation.private_interval import PrivateInterval
from competition.leaderboard import Standing


def small(monkeypatch, **changes):
    for name, value in {"PEOPLE": 6, "TEST_PEOPLE": 4, "PIXELS": 64, **changes}.items():
        monkeypatch.setattr(shakeup, name, value)


def outcome(seed, name, private):
    expected = PrivateInterval(
        value=0.5,
        low=0.4,
        high=0.6,
        shift=0.01,
        shift_error=0.005,
        spread=0.1,
        groups=20,
        public_groups=9,
        private_groups=21,
    )
    scores = (Score(value=value, low=None, high=None) for value in (0.49, 0.52, private))
    out_of_fold, public, private = scores
    return Outcome(seed, Standing(name, "a, b", "–", out_of_fold, 40, expected, public, private))


def test_the_table_counts_what_was_inside():
    text = table(
        [outcome(0, "main", 0.55), outcome(1, "main", 0.61), outcome(1, "main-plain", 0.6)]
    )
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[5] for row in rows] == ["inside", "yes", "no"]
    assert rows[2][6] == "-0.0900"
    assert text.endswith("Private inside its interval: main 1 of 2, main-plain 1 of 1.")


def test_every_seed_is_another_competition_that_opens(monkeypatch, tmp_path):
    small(monkeypatch)
    first, second = (demo_of(seed, tmp_path) for seed in (0, 1))
    assert first.recipe("demo-unet").schedule.iterations == shakeup.EXAMPLES // 2
    assert (first.sample.read_text(), first.sizes) == (second.sample.read_text(), second.sizes)
    image = first.rows("train")["image"][0]
    assert (first.pixels(image) != second.pixels(image)).any()


def test_its_trainings_begin_no_workers(monkeypatch, tmp_path):
    """They were told so by an argument that training had no more, and none began."""
    monkeypatch.setenv("PODIUM_WORKERS", "")
    asked = []
    monkeypatch.setattr(
        shakeup, "outcomes_of", lambda seed, work: asked.append(os.environ["PODIUM_WORKERS"]) or []
    )
    shakeup.run(1, tmp_path)
    assert asked == ["0"]


@pytest.mark.long
def test_a_seed_runs_from_its_data_to_its_scores(monkeypatch, tmp_path):
    small(monkeypatch, EXAMPLES=8)
    found = outcomes_of(0, tmp_path)
    assert {one.standing.name for one in found} == {
        "main",
        "main-plain",
        "demo-unet-plain",
        "demo-unet-lite0-plain",
    }
    assert all(one.standing.expected and one.standing.private for one in found)
