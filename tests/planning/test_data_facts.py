"""What a plan reads off the data."""

import numpy as np
import pytest

from competition.data.labels import LabelCache
from competition.data.letterbox import Letterbox
from competition.data.pixel_labels import PixelLabels
from competition.masks import Runs
from competition.planning.data_facts import data_facts, representative


@pytest.fixture
def facts(planned):
    return data_facts(planned.competition, planned.rows("train"), 4, planned.labels)


def test_shares_are_those_of_dense_masks(planned, facts):
    dense = [planned.labels[image].to_dense() for image in planned.rows("train")["image"]]
    assert facts.images == len(dense)
    assert facts.classes == len(planned.classes)
    assert facts.empty_masks == pytest.approx(np.mean([~m.any((1, 2)) for m in dense]))
    assert facts.empty_images == pytest.approx(np.mean([not m.any() for m in dense]))
    assert facts.class_share == pytest.approx(np.mean([m.mean() for m in dense]))
    assert facts.labelled == pytest.approx(np.mean([m.any(0).mean() for m in dense]))


def test_facts_of_the_file_are_taken_over(planned, facts):
    assert facts.exclusive == planned.exclusive
    assert not facts.mirrored  # its classes are left and right
    assert not facts.turned
    assert facts.predicted == 4


def test_a_ceiling_rises_with_the_size_up_to_that_of_the_image(facts):
    ceilings = list(facts.ceilings.values())
    assert ceilings == sorted(ceilings)
    assert 0.9 < ceilings[0] <= ceilings[-1] <= 1
    assert facts.decode > 0


def test_what_a_size_reaches_is_nothing_of_a_line_far_thinner_than_its_pixels():
    line = np.zeros((1, 256, 256), bool)
    line[0, 100:102] = True
    truth = Runs.from_dense(line)
    reached = {
        side: Letterbox.of((256, 256), (side, side), "stretch").reached(truth) for side in (32, 256)
    }
    assert reached[32].area().sum() == 0
    assert reached[256] == truth


def test_rare_classes_are_among_the_images_that_are_measured():
    areas = np.zeros((500, 3))
    areas[:, 0] = 5
    areas[::7, 1] = 5
    areas[499, 2] = 5
    names = [str(number) for number in range(500)]
    chosen = representative(names, areas)
    assert "499" in chosen
    assert len(chosen) == 32
    many = np.zeros((500, 40))
    for place in range(39):
        many[10 * place : 10 * place + 10, place] = 5
    many[499, 39] = 5
    assert "499" in representative(names, many)  # of more classes than are measured
    assert representative(names, np.zeros((500, 3))) == []


def test_what_is_recognised_is_measured_where_masks_are_rare(planned, facts, monkeypatch):
    assert set(facts.told_apart) == set(facts.sizes)
    assert set(facts.told_apart.values()) == {1.0}
    measured = []

    def told_apart(shown, sizes):
        measured.extend(shown)
        return dict.fromkeys(sizes, 0.7)

    monkeypatch.setattr("competition.planning.data_facts.told_apart", told_apart)
    monkeypatch.setattr("competition.planning.data_facts.RARE", -0.1)
    rows = planned.rows("train")
    labels = planned.labels
    masks = {image: PixelLabels(labels[image], labels.ignored[image]) for image in rows["image"]}
    first, *_ = masks
    none = Runs.from_dense(np.zeros_like(labels[first].to_dense()))
    masks[first] = PixelLabels(none, labels.ignored[first])
    found = data_facts(planned.competition, rows, 4, LabelCache.of(masks))
    assert set(found.told_apart.values()) == {0.7}
    assert len(measured) == len(rows) and sum(not one.inside.any() for one in measured) == 1
