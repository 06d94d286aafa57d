"""Scores against a solution, and the list of submissions."""

import csv
import json

import numpy as np
import pytest

from competition.errors import InputFault
from competition.evaluation.groups import GroupSums, write_group_sums
from competition.evaluation.metric_sums import MetricSums
from competition.leaderboard import read_leaderboard
from competition.masks import Runs, encode
from competition.scoring import Metric, aggregate, score_image
from competition.solution import read_score, score_file, score_path, score_submission
from competition.spec import parse_competition
from competition.submission import evidence_path, receipt_path, write_submission
from competition.workspace import file_sha256

CLASSES = ("Radius", "Ulna")
USAGE = {"a": "Public", "b": "Private", "c": "Private", "d": "Public", "e": "Private"}
SIZES = {image: (6, 5 + place) for place, image in enumerate(USAGE)}


def competition(tmp_path, *, metric=None, classes=CLASSES, **submission):
    form = {
        "sample": "sample.csv",
        "image": "id",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
        "order": "rows",
        **submission,
    }
    table = {
        "name": "hands",
        "classes": classes,
        "horizontal_flip": "allowed",
        "data": {"root": ".", "train_images": "a/*.png", "test_images": "b/*.png"},
        "labels": {
            "kind": "masks",
            "files": "m/{stem}.png",
            "values": "index" if len(classes) > 1 else "nonzero",
        },
        "submission": {key: value for key, value in form.items() if value is not None},
        "metric": metric or {"name": "dice"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition(table, folder=tmp_path, source="competition.toml")


def masks_of(seed, share=0.4):
    generator = np.random.default_rng(seed)
    dense = {i: generator.random((2, *size)) < share for i, size in SIZES.items()}
    dense["b"][1] = False
    return {image: Runs.from_dense(array) for image, array in dense.items()}


def solution_file(tmp_path, spec, truth, usage=USAGE):
    path = tmp_path / "solution.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "class", "rle", "Usage"])
        for image, runs in truth.items():
            for name, text in zip(CLASSES, encode(runs, spec.submission.format), strict=True):
                writer.writerow([image, name, text, usage[image]])
    return path


def submission_file(tmp_path, spec, masks, name="sub", receipt=None):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,class,rle\n" + "".join(f"{i},{c},\n" for i in USAGE for c in CLASSES))
    target = tmp_path / "submissions" / f"{name}.csv"
    write_submission(spec, sample, masks.__getitem__, target, receipt or {})
    return target


def board_of(tmp_path, folder="submissions"):
    return read_leaderboard(tmp_path / folder, MetricSums(Metric(name="dice")), CLASSES)


@pytest.fixture
def case(tmp_path):
    spec, truth, predicted = competition(tmp_path), masks_of(0), masks_of(1)
    path = submission_file(tmp_path, spec, predicted)
    return spec, path, solution_file(tmp_path, spec, truth), truth, predicted


def test_public_and_private_are_the_scores_of_their_images(case):
    spec, path, solution, truth, predicted = case
    table = score_submission(spec, path, solution, SIZES)
    for part, images in {"Public": "ad", "Private": "bce", "All": "abcde"}.items():
        rows = np.stack([score_image(truth[i], predicted[i], spec.metric) for i in images])
        assert table.parts[part].score.value == pytest.approx(aggregate(rows, spec.metric))
        assert table.parts[part].images == len(images)
        for kind, name in enumerate(CLASSES):
            assert table.parts[part].classes[name] == pytest.approx(rows[:, kind].mean())


def test_present_and_absent_masks_are_scored_apart(case):
    spec, path, solution, truth, predicted = case
    table = score_submission(spec, path, solution, SIZES)
    rows = np.stack([score_image(truth[i], predicted[i], spec.metric) for i in USAGE])
    there = np.stack([truth[i].area() > 0 for i in USAGE])
    assert table.parts["All"].present == pytest.approx(rows[there].mean())
    assert table.parts["All"].absent == pytest.approx(rows[~there].mean())
    assert table.parts["Public"].absent is None


def test_an_empty_submission_and_the_sample_are_scored_beside(case, tmp_path):
    """The sample of many competitions is not empty; its masks are worth knowing."""
    spec, path, solution, truth, _ = case
    sample = masks_of(2, share=0.1)
    texts = {i: encode(runs, spec.submission.format) for i, runs in sample.items()}
    rows = [f"{i},{c},{t}" for i in USAGE for c, t in zip(CLASSES, texts[i], strict=True)]
    (tmp_path / "sample.csv").write_text("\n".join(["id,class,rle", *rows, ""]))
    table = score_submission(spec, path, solution, SIZES)
    for part, images in {"Public": "ad", "Private": "bce", "All": "abcde"}.items():
        found = table.parts[part]
        absent = np.mean([truth[i].area() == 0 for i in images])
        own = np.stack([score_image(truth[i], sample[i], spec.metric) for i in images])
        assert found.empty.value == pytest.approx(absent)
        assert found.sample.value == pytest.approx(aggregate(own, spec.metric))
    assert "an empty submission" in table.text() and "the sample" in table.text()
    assert [line.partition(":")[0] for line in table.beside_lines()] == [
        "an empty submission",
        "the sample",
    ]
    assert table.sample_fault == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,class,rle\na,Radius,eNoLTDA\na,Ulna,\n", "eNoLTDA"),
        ("id,class,rle\na,Radius,\na,Ulna,\n", "no row for image 'b'"),
        (None, "sample.csv"),
    ],
    ids=["a text that is no mask", "too few images", "not there"],
)
def test_a_sample_that_cannot_be_scored_is_told_and_the_submission_is_scored(
    case, tmp_path, content, told
):
    spec, path, solution, _, _ = case
    if content is None:
        (tmp_path / "sample.csv").unlink()
    else:
        (tmp_path / "sample.csv").write_text(content)
    table = score_submission(spec, path, solution, SIZES)
    assert table.parts["All"].sample is None and told in table.sample_fault
    assert "the sample has no score: " in table.text().splitlines()[-1]
    assert table.beside_lines()[-1].startswith("the sample has no score: ")


def test_without_a_sample_of_organisers_nothing_is_said_of_one(case, tmp_path):
    _, path, solution, _, _ = case
    table = score_submission(competition(tmp_path, sample=None), path, solution, SIZES)
    assert table.parts["All"].sample is None and table.sample_fault == ""
    assert "sample" not in table.text()


def test_the_truth_itself_scores_one(tmp_path):
    spec, truth = competition(tmp_path), masks_of(0)
    path = submission_file(tmp_path, spec, truth)
    table = score_submission(spec, path, solution_file(tmp_path, spec, truth), SIZES)
    assert {part.score.value for part in table.parts.values()} == {1.0}


def test_objects_that_touch_are_scored_as_the_file_has_them(tmp_path):
    """Two touching nuclei handed in as one row are one wrong object, not two right ones."""
    spec = competition(
        tmp_path,
        classes=("nucleus",),
        label=None,
        rows="object",
        metric={"name": "object-precision"},
    )
    (tmp_path / "solution.csv").write_text("id,rle,Usage\na,1 5,Public\na,6 5,Public\n")
    scores = {}
    for name, rows in {"apart": "a,1 5\na,6 5\n", "together": "a,1 10\n"}.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("id,rle\n" + rows)
        table = score_submission(spec, path, tmp_path / "solution.csv", SIZES)
        scores[name] = table.parts["Public"].score.value
    assert scores == {"apart": 1.0, "together": 0.0}


def test_a_metric_over_pixels_is_scored_pooled(tmp_path):
    spec = competition(tmp_path, metric={"name": "dice", "over": "pixels"})
    truth, predicted = masks_of(0), masks_of(1)
    path = submission_file(tmp_path, spec, predicted)
    table = score_submission(spec, path, solution_file(tmp_path, spec, truth), SIZES)
    shared = sum((truth[i] & predicted[i]).area() for i in USAGE)
    total = sum(truth[i].area() + predicted[i].area() for i in USAGE)
    assert table.parts["All"].score.value == pytest.approx((2 * shared / total).mean())
    assert table.parts["All"].present is None


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        ({**USAGE, "c": "private"}, "Usage is 'private'; expected Public or Private"),
        ({**USAGE, "c": ""}, "Usage is ''"),
    ],
)
def test_a_solution_with_another_word_is_refused(case, tmp_path, usage, message):
    spec, path, _, truth, _ = case
    with pytest.raises(InputFault, match=message):
        score_submission(spec, path, solution_file(tmp_path, spec, truth, usage), SIZES)


def test_an_image_on_both_sides_is_refused(case):
    spec, path, solution, _, _ = case
    lines = solution.read_text().splitlines()
    lines[1] = lines[1].replace("Public", "Private")
    solution.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputFault, match="line 3, image 'a', class 'Ulna': Public"):
        score_submission(spec, path, solution, SIZES)


def test_a_solution_without_usage_gives_one_score(case, tmp_path):
    spec, path, solution, _, _ = case
    whole = score_submission(spec, path, solution, SIZES).parts["All"]
    lines = [line.rpartition(",")[0] for line in solution.read_text().splitlines()]
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(lines) + "\n")
    table = score_submission(spec, path, plain, SIZES)
    assert table.parts == {"All": whole}
    assert "All" in table.text() and "Public" not in table.text()


def test_other_images_than_the_solution_has_are_named(case, tmp_path):
    spec, path, solution, _, _ = case
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace("a,Radius", "x,Radius").replace("a,Ulna", "x,Ulna"))
    with pytest.raises(InputFault) as caught:
        score_submission(spec, other, solution, {**SIZES, "x": SIZES["a"]})
    assert "no row for image 'a'" in str(caught.value)
    assert "image 'x' is not in" in str(caught.value)


def test_a_kept_score_belongs_to_its_bytes(case):
    spec, path, solution, _, _ = case
    table = score_file(spec, path, solution, SIZES)
    assert read_score(path) == table
    path.write_text(path.read_text().replace("Radius", "radius"))
    assert read_score(path) is None


def test_a_damaged_score_is_named(case):
    _, path, _, _, _ = case
    score_path(path).write_text("{}")
    with pytest.raises(InputFault, match="is not a score"):
        read_score(path)


def test_the_table_shows_every_part_and_class(case):
    spec, path, solution, _, _ = case
    text = score_submission(spec, path, solution, SIZES).text()
    for word in ("Public", "Private", "All", "present masks", "absent masks", *CLASSES):
        assert word in text


def expected(value, images=40):
    return {
        "out of fold": {
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "how": "nested cross-validation",
            "images": images,
        },
        "members": {"unet": {}, "fcn": {}},
    }


def test_submissions_stand_in_the_order_of_their_out_of_fold_scores(case, tmp_path):
    spec, _, solution, _, predicted = case
    for name, value in {"low": 0.7, "high": 0.8, "middle": 0.75}.items():
        submission_file(tmp_path, spec, predicted, name, expected(value))
    scored = tmp_path / "submissions" / "middle.csv"
    score_file(spec, scored, solution, SIZES)
    board = board_of(tmp_path)
    assert [standing.name for standing in board.standings] == ["high", "middle", "low", "sub"]
    assert board.standings[0].members == ("unet", "fcn")
    assert board.standings[0].public is None
    assert board.standings[1].private == read_score(scored).parts["Private"].score
    assert "0.7900–0.8100" in board.text() and "#1 high; members: unet, fcn" in board.text()


def test_an_unfinished_file_is_no_submission(case, tmp_path):
    _, path, _, _, _ = case
    receipt_path(path).unlink()
    assert board_of(tmp_path).standings == ()


def test_a_folder_without_submissions_says_so(tmp_path):
    assert "no submission yet" in board_of(tmp_path, "nothing").text()


def test_every_score_of_the_board_stands_beside_an_empty_submission(case, tmp_path):
    spec, _, solution, _, predicted = case
    empty = {"value": 0.4321, "low": 0.4, "high": 0.5}
    for name in ("one", "two"):
        submission_file(
            tmp_path, spec, predicted, name, expected(0.8) | {"empty submission": empty}
        )
        score_file(spec, tmp_path / "submissions" / f"{name}.csv", solution, SIZES)
    board = board_of(tmp_path)
    text = " ".join(board.text().split())
    assert text.count("40 images out of fold; an empty submission 0.4321 there") == 2
    public = board.standings[0].beside["an empty submission"]["Public"]
    assert text.count(f"an empty submission: Public {public}") == 1
    assert "the sample: Public" in text
    row = json.loads(json.dumps(board.document(), allow_nan=False))["submissions"][0]
    assert row["empty_out_of_fold"] == empty
    assert row["beside"]["the sample"].keys() == {"Public", "Private", "All"}
    board.write_csv(tmp_path / "board.csv")
    assert "0.4321 (0.4000 to 0.5000)" in (tmp_path / "board.csv").read_text()


def test_a_score_of_before_the_empty_submission_was_looked_at_is_read(case, tmp_path):
    spec, path, solution, _, _ = case
    score_file(spec, path, solution, SIZES)
    old = json.loads(score_path(path).read_text())
    del old["sample_fault"]
    for part in old["parts"].values():
        del part["empty"], part["sample"]
    score_path(path).write_text(json.dumps(old))
    assert read_score(path).beside() == {} and "Private" in read_score(path).text()
    assert board_of(tmp_path).standings[0].beside == {}


def test_the_board_warns_where_the_test_part_is_unlike_the_training_part(case, tmp_path):
    spec, _, _, _, predicted = case
    with_evidence(tmp_path, spec, predicted, "alike", 0.8)
    assert "unlike" not in board_of(tmp_path).text()
    with_evidence(tmp_path, spec, predicted, "other", 0.8)
    told = json.loads(receipt_path(tmp_path / "submissions" / "other.csv").read_text())
    measure = {"train": [480, 512, 560], "test": [960, 1024, 1120], "distance": 1.0, "p_value": 0.0}
    told["expected private"]["differs"] = [{"what": "height", **measure}]
    submission_file(tmp_path, spec, predicted, "other", told)
    text = " ".join(board_of(tmp_path).text().split())
    assert "height 512 (480 to 560) in training, 1024 (960 to 1120) in test" in text
    assert text.count("warning: the test images are unlike the training images") == 1


def test_a_spreadsheet_gets_no_formulas(case, tmp_path):
    spec, _, _, _, predicted = case
    submission_file(tmp_path, spec, predicted, "=cmd|' ![bold]", expected(0.9))
    board = board_of(tmp_path)
    board.write_csv(tmp_path / "board.csv")
    with open(tmp_path / "board.csv", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=cmd|' ![bold]" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert "=cmd|' ![bold]" in board.text()


def with_evidence(tmp_path, spec, masks, name, level, *, people=20):
    """A submission whose out-of-fold scores of two classes lie about `level` in every group."""
    noise = np.random.default_rng(5).normal(0, 0.05, (people, 2))
    parts = np.stack([level + noise, np.ones((people, 2))], axis=-1)
    sums = GroupSums.of(parts, np.array([f"person-{n}" for n in range(people)]))
    path = evidence_path(tmp_path / "submissions" / f"{name}.csv")
    write_group_sums(path, sums, CLASSES)
    private = {
        "value": level,
        "low": level - 0.1,
        "high": level + 0.1,
        "shift": 0.01,
        "shift_error": 0.002,
        "spread": 0.07,
        "groups": people,
        "public_groups": 3,
        "private_groups": 7,
    }
    receipt = expected(level) | {
        "kept": ["one threshold"],
        "expected private": private,
        "evidence": {"sha256": file_sha256(path), "parts": None},
    }
    submission_file(tmp_path, spec, masks, name, receipt)
    return path


def test_the_order_of_submissions_comes_with_its_probability(case, tmp_path):
    spec, _, _, _, predicted = case
    for name, level in {"good": 0.8, "bad": 0.7}.items():
        with_evidence(tmp_path, spec, predicted, name, level)
    board = board_of(tmp_path)
    assert [s.name for s in board.standings] == ["good", "bad", "sub"]
    assert board.order[0, 1] == 1.0 and board.order[1, 0] == 0.0
    assert np.isnan(board.order[0, 2])
    text = board.text()
    assert "0.7000–0.9000" in text and "kept: one threshold" in text
    assert "differ by up to 0.0700 in 95 % of splits into 3 and 7 groups" in text
    assert text.splitlines()[-2].split() == ["#1", "100", "–"]


def test_it_fits_a_terminal_whatever_the_names_and_loses_none_of_them(case, tmp_path):
    spec, _, _, _, predicted = case
    steps = [f"{name} of the class number {n}" for n in range(12) for name in ("heads", "shapes")]
    for number in range(13):
        long = f"deeplabv3plus-gn-12k+from-deeplabv3plus-gn+{'seed' * 20}-{number}"
        path = with_evidence(tmp_path, spec, predicted, long, 123.4567 + number)
        receipt = {"members": [f"{long}-{n}" for n in range(5)], "kept": steps}
        digest = {"sha256": file_sha256(path), "parts": None}
        told = json.loads(receipt_path(path.parents[1] / f"{long}.csv").read_text())
        submission_file(tmp_path, spec, predicted, long, {**told, **receipt, "evidence": digest})
    board = board_of(tmp_path)
    text = board.text()
    assert max(map(len, text.splitlines())) <= 100
    assert len(board.standings) == 14 and "123.3567–123.5567" in text
    squeezed = "".join(text.split())
    for standing in board.standings:
        assert standing.name in squeezed


def test_programs_read_the_board_as_a_document(case, tmp_path):
    spec, _, _, _, predicted = case
    with_evidence(tmp_path, spec, predicted, "good", 0.8)
    board = json.loads(json.dumps(board_of(tmp_path).document(), allow_nan=False))
    assert [row["name"] for row in board["submissions"]] == ["good", "sub"]
    first = board["submissions"][0]
    assert first["kept"] == ["one threshold"] and first["public"] is None
    assert first["out_of_fold"]["value"] == 0.8 and first["expected_private"]["spread"] == 0.07
    assert board["better_than"] == [[None, None], [None, None]]


def test_evidence_of_another_run_ranks_nothing(case, tmp_path):
    spec, _, _, _, predicted = case
    with_evidence(tmp_path, spec, predicted, "good", 0.8)
    path = with_evidence(tmp_path, spec, predicted, "bad", 0.7)
    path.write_text(path.read_text().replace("person-3", "person-x"))
    assert np.isnan(board_of(tmp_path).order).all()
