"""The hard vote of csv files: keyed by image and class, refused where they do not match."""

import numpy as np
import pytest
from test_submission import CLASSES, SIZES, competition, product_sample, random_masks

from competition.errors import InputFault
from competition.submission import (
    Ballots,
    read_receipt,
    read_submission,
    write_submission,
    write_vote,
)


@pytest.fixture
def case(tmp_path):
    """Three files of random masks, the rows of the second and third in orders of their own."""
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    masks = [random_masks(seed) for seed in range(3)]
    paths = []
    for number, own in enumerate(masks):
        path = tmp_path / "others" / f"voter{number}.csv"
        write_submission(spec, sample, own.__getitem__, path, {})
        head, *rows = path.read_text().splitlines()
        rows = np.random.default_rng(number).permutation(rows) if number else rows
        path.write_text("\n".join([head, *rows]) + "\n")
        paths.append(path)
    return spec, sample, masks, paths


def dense_vote(masks, image, weights, threshold=0.5):
    total = sum(w * m[image].to_dense().astype(float) for m, w in zip(masks, weights, strict=True))
    return total > threshold * sum(weights)


@pytest.mark.parametrize("weights", [(), (3.0, 1.0, 1.0), (1.0, 2.0, 1.0)])
def test_rows_vote_by_image_and_class_wherever_they_stand(case, tmp_path, weights):
    spec, sample, masks, paths = case
    target = tmp_path / "vote.csv"
    made = write_vote(spec, Ballots.of(paths, weights), sample, SIZES, target)
    assert made.rows == len(SIZES) * len(CLASSES)
    found = read_submission(spec, target, SIZES)
    for image in SIZES:
        expected = dense_vote(masks, image, weights or (1, 1, 1))
        assert np.array_equal(found[image].to_dense(), expected)
    receipt = read_receipt(target)
    assert receipt["members"] == ["voter0", "voter1", "voter2"]
    assert [one["weight"] for one in receipt["vote"]["files"]] == list(weights or (1, 1, 1))


def test_the_threshold_is_the_share_that_must_be_exceeded(case, tmp_path):
    spec, sample, masks, paths = case
    for threshold, how in ((0.0, np.any), (0.9, np.all)):
        target = tmp_path / f"vote-{threshold}.csv"
        write_vote(spec, Ballots.of(paths, threshold=threshold), sample, SIZES, target)
        found = read_submission(spec, target, SIZES)["0001"].to_dense()
        assert np.array_equal(found, how([m["0001"].to_dense() for m in masks], axis=0))


def test_files_that_do_not_answer_the_sample_are_refused_with_all_their_faults(case, tmp_path):
    spec, sample, _, paths = case
    lines = paths[1].read_text().splitlines()
    paths[1].write_text(
        "\n".join(line for line in lines if not line.startswith("NA,finger-2")) + "\n"
    )
    paths[2].write_text(paths[2].read_text().replace("finger-10", "finger-11"))
    with pytest.raises(InputFault) as raised:
        write_vote(spec, Ballots.of(paths), sample, SIZES, tmp_path / "vote.csv")
    assert "voter1.csv: no row for image 'NA', class 'finger-2'" in str(raised.value)
    assert "unknown class 'finger-11'" in str(raised.value)
    assert not (tmp_path / "vote.csv").exists()


def test_a_vote_is_of_two_files_or_more_each_once_and_not_of_its_own_result(case):
    spec, sample, _, paths = case
    for files, weights, message in (
        (paths[:1], (), "two or more"),
        ([paths[0], paths[0]], (), "votes twice"),
        (paths, (1.0, 2.0), "2 weights for 3 files"),
    ):
        with pytest.raises(InputFault, match=message):
            Ballots.of(files, weights)
    with pytest.raises(InputFault, match="votes itself"):
        write_vote(spec, Ballots.of(paths), sample, SIZES, paths[0])
