"""Student against teacher: better ones are adopted, poisoned ones and noise are not."""

import numpy as np
import pytest
from made_stores import DICE

from competition.masks import Runs
from competition.pseudo.verdict import Verdict, judged

CLASSES = ("a", "b")
SHARES = (dict.fromkeys(CLASSES, 0.9), dict.fromkeys(CLASSES, 0.8))
IMAGES = 24
GROUPS = np.arange(IMAGES) // 2


def verdict_on(before, after, *, leak=False):
    return judged("round1", before, after, GROUPS, DICE, classes=CLASSES, shares=SHARES, leak=leak)


def shifted_sums(shifts):
    """What masks add to the score that lie so many pixels beside a truth of 12 × 12, (N, K, C)."""
    truth = np.zeros((2, 32, 48), bool)
    truth[0, 4:16, 4:16] = truth[1, 14:26, 4:16] = True
    masks = [Runs.from_dense(np.roll(truth, shift, axis=2)) for shift in shifts]
    return np.stack([DICE.of_image(Runs.from_dense(truth), mask) for mask in masks])


def test_a_poisoned_student_is_not_adopted():
    generator = np.random.default_rng(0)
    teacher = generator.integers(0, 4, IMAGES)
    found = verdict_on(shifted_sums(teacher), shifted_sums(teacher + 5))
    assert not found.adopted and found.gain < -0.2 and found.high < 0
    assert "round1: not adopted, gain -0." in found.text()


def test_a_better_student_is_adopted():
    generator = np.random.default_rng(0)
    teacher = generator.integers(2, 6, IMAGES)
    found = verdict_on(shifted_sums(teacher), shifted_sums(teacher - 2))
    assert found.adopted and found.low > 0 and found.p_value < 0.05
    assert found.student.value > found.teacher.value
    assert (found.images, found.groups) == (IMAGES, IMAGES // 2)


def test_an_equal_student_is_not_adopted():
    sums = shifted_sums(np.arange(IMAGES) % 5)
    found = verdict_on(sums, sums.copy())
    assert not found.adopted and found.gain == 0 and found.p_value == 1


@pytest.mark.long
def test_of_students_that_are_no_better_one_in_twenty_is_adopted_at_most():
    """Student and teacher exchanged at random image by image: what is left is noise."""
    generator = np.random.default_rng(1)
    adopted = 0
    for _ in range(400):
        scores = generator.uniform(0.5, 0.9, (2, IMAGES, 2))
        exchanged = generator.random(IMAGES) < 0.5
        one, other = np.where(exchanged[:, None], scores[::-1], scores)
        sums = [np.stack([side, np.ones_like(side)], axis=-1) for side in (one, other)]
        adopted += verdict_on(*sums).adopted
    assert adopted <= 400 * (0.05 + 2 * np.sqrt(0.05 * 0.95 / 400))


def test_the_classes_that_lost_most_stand_first_and_an_uncounted_one_has_no_gain():
    before = shifted_sums(np.full(IMAGES, 2))
    after = before.copy()
    after[:, 1, 0] -= 0.1
    text = verdict_on(before, after).text()
    assert text.index("  b ") < text.index("  a ")
    before[:, 1], after[:, 1] = 0, 0
    found = verdict_on(before, after)
    assert found.classes["b"] is None and "  b " not in found.text()


def test_a_verdict_says_where_its_gain_may_be_flattered_and_is_read_as_it_was_written(tmp_path):
    sums = shifted_sums(np.arange(IMAGES) % 5)
    found = verdict_on(sums, sums + 0.01, leak=True)
    assert "indirect leak" in found.text() and "indirect leak" not in verdict_on(sums, sums).text()
    found.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json", what="a verdict", again="again") == found
