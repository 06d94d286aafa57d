"""Rounds as files: labels that come back as they were, for the student that they are for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.errors import InputFault
from competition.masks import Runs
from competition.pseudo.rounds import (
    SOFT_LEVELS,
    PseudoLabel,
    RoundReceipt,
    RoundSettings,
    TeacherEntry,
    from_csv,
    load_labels_of,
    read_round,
    write_labels,
)
from competition.spec import parse_competition
from competition.submission import write_submission
from competition.workspace import write_json

CLASSES = ("a", "b")
SIZES = {"0001": (6, 8), "NA": (5, 4), "x,y": (7, 7)}
OF_BOTH = TeacherEntry(recipes=("unet",), seeds=(0,), folds=(0, 1))


def competition(tmp_path, classes=CLASSES, *, exclusive=False, **submission):
    table = {
        "name": "hands",
        "classes": classes,
        "exclusive": exclusive,
        "horizontal_flip": "allowed",
        "data": {"root": ".", "train_images": "a/*.png", "test_images": "b/*.png"},
        "labels": {"kind": "masks", "files": "m/{stem}.png", "values": "index"},
        "submission": {
            "sample": "sample.csv",
            "image": "id",
            "label": "class",
            "rle": "rle",
            "rows": "image-class",
            "order": "columns",
            "empty": "-",
            **submission,
        },
        "metric": {"name": "dice"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition(table, folder=tmp_path, source="competition.toml")


def random_masks(seed=0, sizes=SIZES, share=0.4):
    generator = np.random.default_rng(seed)
    return {i: Runs.from_dense(generator.random((2, *size)) < share) for i, size in sizes.items()}


def labels_of(masks, teacher="fold-0", seed=9):
    """With ignored pixels where the masks have none."""
    ignored = random_masks(seed, {image: runs.shape[1:] for image, runs in masks.items()}, 0.1)
    return [
        PseudoLabel(teacher, image, runs, ignored[image] - runs, np.array([0.5, 0.25]))
        for image, runs in masks.items()
    ]


def make(folder, spec, labels, **settings):
    """A round as the step leaves it."""
    labels = list(labels)
    written = write_labels(folder, spec, labels)
    names = dict.fromkeys(one.teacher for one in labels)
    shares = dict.fromkeys(spec.classes, 0.5)
    receipt = RoundReceipt(
        competition=spec.name,
        classes=spec.classes,
        settings=RoundSettings(**(settings or {"teachers": OF_BOTH})),
        teachers=dict.fromkeys(names, ("cafe",)),
        images={name: sum(one.teacher == name for one in labels) for name in names},
        left_out={},
        labelled=shares,
        pseudo=shares,
        ignored=shares,
        labels_sha256=written.labels,
        soft_sha256=written.soft,
    )
    write_json(folder / "receipt.json", {"round": receipt.model_dump(mode="json")})
    return receipt


@pytest.mark.parametrize("form", [{}, {"rows": "image-class", "relative": True, "base": 0}])
def test_labels_come_back_as_they_were(tmp_path, form):
    spec, masks = competition(tmp_path, **form), random_masks()
    masks["NA"] = Runs.empty((2, 5, 4))
    labels = labels_of(masks)
    written = make(tmp_path / "round1", spec, labels)
    found = load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0")
    assert found.masks == masks
    assert found.ignored == {one.image: one.ignored for one in labels}
    assert read_round(tmp_path / "round1", spec) == written


def soft_labels(masks, seed=3):
    """Targets that shrink from level to level."""
    cuts = {image: [] for image in masks}
    for place, _ in enumerate(SOFT_LEVELS):
        for image, runs in random_masks(seed + place, SIZES).items():
            cuts[image].append(runs)
    return [
        PseudoLabel("fold-0", image, runs, Runs.empty(runs.shape), None, Runs.stack(cuts[image]))
        for image, runs in masks.items()
    ]


def test_soft_targets_come_back_as_they_were_and_hard_ones_leave_no_file(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    labels = soft_labels(masks)
    make(tmp_path / "round1", spec, labels, teachers=OF_BOTH, soft=True)
    found = load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0")
    assert found.masks == masks and found.soft == {one.image: one.soft for one in labels}
    assert found.soft["NA"].classes == len(SOFT_LEVELS) * 2
    rows = (tmp_path / "round1" / "soft.csv").read_text().splitlines()[1:]
    said = [row.split(",")[-3] for row in rows[: 2 * len(SOFT_LEVELS)]]
    assert said == [f"{level:g}" for level in SOFT_LEVELS for _ in spec.classes]
    make(tmp_path / "hard", spec, labels_of(masks))
    assert not (tmp_path / "hard" / "soft.csv").exists()


def test_soft_targets_that_were_edited_are_refused(tmp_path):
    spec = competition(tmp_path)
    make(tmp_path / "round1", spec, soft_labels(random_masks()), teachers=OF_BOTH, soft=True)
    path = tmp_path / "round1" / "soft.csv"
    path.write_text(path.read_text().replace("fold-0", "fold-1", 1))
    with pytest.raises(InputFault, match="soft.csv was changed since its receipt"):
        load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0")


def test_settings_that_came_later_change_no_hash_until_they_are_set():
    usual = RoundSettings(teachers=OF_BOTH)
    assert not {"soft", "batch_share"} & set(usual.chosen())
    other = RoundSettings(teachers=OF_BOTH, soft=True, batch_share=0.25)
    assert (other.chosen()["soft"], other.chosen()["batch_share"]) == (True, 0.25)


@st.composite
def with_holes(draw):
    """Masks (2, H, W) of several parts, of which each may have a hole."""
    size = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    dense = np.zeros((2, *size), bool)
    boxes = st.tuples(*[st.integers(0, 23)] * 2, *[st.integers(1, 12)] * 2, st.booleans())
    for k, parts in enumerate(draw(st.tuples(*[st.lists(boxes, max_size=5)] * 2))):
        for top, left, height, width, hole in parts:
            dense[k, top : top + height, left : left + width] = True
            if hole:
                inner = (slice(top + 1, top + height - 1), slice(left + 1, left + width - 1))
                dense[k][inner] = False
    return Runs.from_dense(dense)


@given(masks=with_holes(), seed=st.integers(0, 99))
def test_a_csv_of_labels_decodes_to_the_labels_and_is_written_again_alike(
    tmp_path_factory, masks, seed
):
    folder = tmp_path_factory.mktemp("rounds")
    spec, sizes = competition(folder), {"i": masks.shape[1:]}
    labels = labels_of({"i": masks}, seed=seed)
    make(folder / "one", spec, labels)
    found = load_labels_of(folder / "one", spec, sizes, "fold-0")
    assert found == ({"i": masks}, {"i": labels[0].ignored}, {})
    again = PseudoLabel("fold-0", "i", found.masks["i"], found.ignored["i"], np.array([0.5, 0.25]))
    make(folder / "two", spec, [again])
    files = [(folder / name / "labels.csv").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_a_students_labels_are_those_of_its_own_fold(tmp_path):
    spec = competition(tmp_path)
    by_fold = {fold: random_masks(fold) for fold in (0, 1)}
    every = [one for fold in (0, 1) for one in labels_of(by_fold[fold], f"fold-{fold}")]
    receipt = make(tmp_path / "round1", spec, every)
    for fold in (0, 1):
        teacher = receipt.teacher_of(fold)
        assert load_labels_of(tmp_path / "round1", spec, SIZES, teacher).masks == by_fold[fold]
        assert receipt.indirect_leak(fold) is None
    with pytest.raises(InputFault, match=r"no labels for the student of fold 2.*with --fold 2 too"):
        receipt.teacher_of(2)


def test_all_folds_teach_every_student_and_are_an_indirect_leak(tmp_path):
    labels = labels_of(random_masks(), "all-folds")
    receipt = make(tmp_path / "r", competition(tmp_path), labels, teachers=OF_BOTH, all_folds=True)
    assert receipt.teacher_of(0) == receipt.teacher_of(7) == "all-folds"
    assert "teachers of folds 1 were trained on images of fold 0" in receipt.indirect_leak(0)
    alone = receipt.settings.model_copy(
        update={"teachers": OF_BOTH.model_copy(update={"folds": (0,)})}
    )
    assert receipt.model_copy(update={"settings": alone}).indirect_leak(0) is None


def test_nobody_knows_what_a_foreign_csv_was_made_with(tmp_path):
    labels = labels_of(random_masks(), "friend.csv")
    receipt = make(tmp_path / "r", competition(tmp_path), labels, csv="files/friend.csv")
    assert "friend.csv" in receipt.indirect_leak(0) and receipt.teacher_of(3) == "friend.csv"


def test_what_one_of_exclusive_classes_ignores_counts_for_none_of_them(tmp_path):
    """The pixels alone: the rest of the image is trained on."""
    spec, masks = competition(tmp_path, exclusive=True), Runs.empty((2, 6, 8))
    dense = np.zeros((2, 6, 8), bool)
    dense[0, :2], dense[1, 1:3] = True, True
    label = PseudoLabel("fold-0", "0001", masks, Runs.from_dense(dense), np.ones(2))
    make(tmp_path / "round1", spec, [label])
    found = load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0").ignored["0001"]
    assert found == Runs.from_dense(dense.any(axis=0)[None])


def test_a_round_without_images_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InputFault, match="no image is sure enough"):
        write_labels(tmp_path / "round1", competition(tmp_path), [])
    assert list(tmp_path.iterdir()) == []


def submitted(tmp_path, spec, masks):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,class,rle\n" + "".join(f'"{i}",{c},\n' for i in masks for c in CLASSES))
    write_submission(spec, sample, masks.__getitem__, tmp_path / "sub.csv", {})
    return tmp_path / "sub.csv"


def test_any_submission_in_the_competitions_form_makes_a_round(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    path = submitted(tmp_path, spec, masks)
    labels = from_csv(spec, [path], SIZES, teacher="sub.csv")
    make(tmp_path / "round1", spec, labels, csv=str(path))
    found = load_labels_of(tmp_path / "round1", spec, SIZES, "sub.csv")
    assert found.masks == masks
    assert not any(runs.area().any() for runs in found.ignored.values())


def test_labels_have_the_native_size_where_the_submission_has_another(tmp_path):
    spec = competition(tmp_path, size=(3, 4))
    small = random_masks(sizes={"0001": (3, 4)})
    path = submitted(tmp_path, spec, small)
    (candidate,) = from_csv(spec, [path], SIZES, teacher="s")
    dense = small["0001"].to_dense().repeat(2, axis=1).repeat(2, axis=2)
    assert candidate.masks == Runs.from_dense(dense)


def test_a_file_with_an_unknown_image_is_refused(tmp_path):
    spec = competition(tmp_path, size=(3, 4))
    path = submitted(tmp_path, spec, random_masks(sizes={"foreign": (3, 4)}))
    with pytest.raises(InputFault, match="'foreign' is not one of the competition"):
        list(from_csv(spec, [path], SIZES, teacher="s"))


def test_the_same_predictions_make_the_same_bytes(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    for name in ("one", "two"):
        make(tmp_path / name, spec, labels_of(masks))
    files = [(tmp_path / name / "labels.csv").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_a_step_that_dies_leaves_the_round_before_it(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    make(tmp_path / "round1", spec, labels_of(masks))

    def dying():
        yield labels_of(random_masks(1))[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_labels(tmp_path / "round1", spec, dying())
    assert load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0").masks == masks
    assert [path.name for path in tmp_path.iterdir()] == ["round1"]


def test_edited_labels_are_refused(tmp_path):
    spec = competition(tmp_path)
    make(tmp_path / "round1", spec, labels_of(random_masks()))
    path = tmp_path / "round1" / "labels.csv"
    path.write_text(path.read_text().replace("0001,b", "0001,a"))
    with pytest.raises(InputFault, match="labels.csv was changed since its receipt"):
        load_labels_of(tmp_path / "round1", spec, SIZES, "fold-0")


def test_a_round_of_another_class_order_is_refused(tmp_path):
    make(tmp_path / "round1", competition(tmp_path), labels_of(random_masks()))
    with pytest.raises(InputFault, match=r"labels of the classes \['a', 'b'\]"):
        read_round(tmp_path / "round1", competition(tmp_path, classes=CLASSES[::-1]))


def test_a_round_that_is_not_there_names_those_that_are(tmp_path):
    spec = competition(tmp_path)
    with pytest.raises(InputFault, match="no pseudo round 'round1'.*pseudo` makes one"):
        read_round(tmp_path / "round1", spec)
    make(tmp_path / "first", spec, labels_of(random_masks()))
    with pytest.raises(InputFault, match="there are first"):
        read_round(tmp_path / "round1", spec)


def test_an_image_that_left_the_competition_is_named(tmp_path):
    spec = competition(tmp_path)
    make(tmp_path / "round1", spec, labels_of(random_masks()))
    fewer = {image: size for image, size in SIZES.items() if image != "NA"}
    with pytest.raises(InputFault, match="image 'NA' is not one of the competition"):
        load_labels_of(tmp_path / "round1", spec, fewer, "fold-0")


@pytest.mark.parametrize("content", ["{}", "", "[1]", '{"round": {"classes": ["a", "b"]}}'])
def test_a_damaged_receipt_is_named(tmp_path, content):
    spec = competition(tmp_path)
    make(tmp_path / "round1", spec, labels_of(random_masks()))
    (tmp_path / "round1" / "receipt.json").write_text(content)
    with pytest.raises(InputFault, match="receipt.json"):
        read_round(tmp_path / "round1", spec)


def test_a_picture_shows_the_labels(tmp_path):
    look = {image: np.zeros((*size, 3), np.uint8) for image, size in SIZES.items()}.__getitem__
    write_labels(tmp_path / "r", competition(tmp_path), labels_of(random_masks()), look=look)
    assert (tmp_path / "r" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_a_round_is_readable(tmp_path):
    receipt = make(tmp_path / "r", competition(tmp_path), labels_of(random_masks()))
    first, header, row, _ = receipt.text().splitlines()
    assert first == "images of each teacher: fold-0 3; 0 in none"
    assert header.split() == ["class", "labelled", "round", "unsure"]
    assert row.split() == ["a", "50.0%", "50.0%", "50.0%"]
    lines = (tmp_path / "r" / "labels.csv").read_text().splitlines()
    assert lines[0] == "image,class,rle,ignored,confidence,teacher"
    assert lines[1].endswith(",0.5000,fold-0") and len(lines) == 7
