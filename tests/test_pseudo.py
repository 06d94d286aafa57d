"""A pseudo round: confident labels that come back as they were, and never from a held-out person."""

import json

import numpy as np
import pytest

from competition.data.leaks import refuse_leak
from competition.decoding.blend import blend
from competition.decoding.decisions import ClassRule, plain_rules
from competition.errors import InputFault
from competition.inference.store import Geometry, Provenance, Store, StoreWriter
from competition.masks import Runs
from competition.pseudo import (
    Origin,
    PseudoLabel,
    from_csv,
    from_predictions,
    indirect_leak,
    load_round,
    make_round,
    read_round,
)
from competition.spec import parse_competition
from competition.submission import write_submission
from competition.workspace import Workspace

CLASSES = ("a", "b")
SIZES = {"0001": (6, 8), "NA": (5, 4), "x,y": (7, 7)}


def competition(tmp_path, classes=CLASSES, **submission):
    table = {
        "name": "hands",
        "classes": classes,
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


def random_masks(seed=0, sizes=SIZES):
    generator = np.random.default_rng(seed)
    return {i: Runs.from_dense(generator.random((2, *size)) < 0.4) for i, size in sizes.items()}


def origin(minimum=0.9, folds=(0, 1)):
    provenance = Provenance(
        member="unet",
        recipe="unet",
        recipe_sha256="0",
        folds=folds,
        part="test",
        classes=CLASSES,
        checkpoints=("cafe",),
    )
    return Origin.of_predictions({"unet": provenance}, minimum=minimum)


def candidates(masks, decided=0.95):
    return [PseudoLabel(image, runs, decided) for image, runs in masks.items()]


@pytest.mark.parametrize("form", [{}, {"rows": "image-class", "relative": True, "base": 0}])
def test_labels_come_back_as_they_were(tmp_path, form):
    spec, masks = competition(tmp_path, **form), random_masks()
    masks["NA"] = Runs.empty((2, 5, 4))
    written = make_round(tmp_path / "round1", spec, candidates(masks), origin())
    labels, receipt = load_round(tmp_path / "round1", spec, SIZES)
    assert labels == masks
    assert receipt == written
    assert receipt.kept == dict.fromkeys(masks, 0.95)


def test_images_that_are_not_decided_enough_are_dropped_and_named(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    shares = {"0001": 0.9, "NA": 0.8999, "x,y": 0.99}
    chosen = [PseudoLabel(image, masks[image], share) for image, share in shares.items()]
    receipt = make_round(tmp_path / "round1", spec, chosen, origin(0.9))
    assert receipt.kept == {"0001": 0.9, "x,y": 0.99}
    assert receipt.dropped == {"NA": 0.8999}
    assert receipt.text() == "2 of 3 images kept; 1 dropped, less than 0.9 of their pixels decided"
    assert set(load_round(tmp_path / "round1", spec, SIZES)[0]) == {"0001", "x,y"}


def test_a_round_without_images_is_refused_and_leaves_nothing(tmp_path):
    spec = competition(tmp_path)
    with pytest.raises(
        InputFault, match="no image has 0.99 of its pixels decided; the most.*0.950"
    ):
        make_round(tmp_path / "round1", spec, candidates(random_masks()), origin(0.99))
    assert list(tmp_path.iterdir()) == []


def store_of(folder, logits):
    with StoreWriter(
        folder,
        Provenance(
            member="unet",
            recipe="unet",
            recipe_sha256="0",
            folds=(0,),
            part="test",
            classes=CLASSES,
        ),
    ) as writer:
        writer.add("i", logits, Geometry(logits.shape[1:], (0, 0, *logits.shape[1:])))
    return Store.open(folder, classes=CLASSES)


def test_a_pixel_is_decided_where_every_class_is(tmp_path):
    logits = np.full((2, 10, 10), -4, np.float32)
    logits[0, :, :5] = 4
    logits[1, 0] = 0.5
    logits[0, 1, :2] = 1.0
    together = blend({"unet": store_of(tmp_path / "store", logits)})
    rules = plain_rules(CLASSES)
    (candidate,) = from_predictions(together, rules)
    assert candidate.decided == pytest.approx(0.88)
    assert candidate.masks.area().tolist() == [50, 10]
    strict = {**rules, "a": ClassRule(threshold=0.8, top=0.8, minimum_area=0)}
    assert next(from_predictions(together, strict)).masks.area().tolist() == [48, 10]


def submitted(tmp_path, spec, masks):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,class,rle\n" + "".join(f'"{i}",{c},\n' for i in masks for c in CLASSES))
    write_submission(spec, sample, masks.__getitem__, tmp_path / "sub.csv", {})
    return tmp_path / "sub.csv"


def test_any_submission_in_the_competitions_form_makes_a_round(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    path = submitted(tmp_path, spec, masks)
    source = Origin.of_csv(path)
    make_round(tmp_path / "round1", spec, from_csv(spec, path, SIZES), source)
    labels, receipt = load_round(tmp_path / "round1", spec, SIZES)
    assert labels == masks
    assert receipt.origin.csv == "sub.csv" and len(receipt.origin.csv_sha256) == 64
    assert receipt.kept == dict.fromkeys(masks)


def test_labels_have_the_native_size_where_the_submission_has_another(tmp_path):
    spec = competition(tmp_path, size=(3, 4))
    small = random_masks(sizes={"0001": (3, 4)})
    path = submitted(tmp_path, spec, small)
    (candidate,) = from_csv(spec, path, SIZES)
    dense = small["0001"].to_dense().repeat(2, axis=1).repeat(2, axis=2)
    assert candidate.masks == Runs.from_dense(dense)


def test_a_file_with_an_unknown_image_is_refused(tmp_path):
    spec = competition(tmp_path, size=(3, 4))
    path = submitted(tmp_path, spec, random_masks(sizes={"foreign": (3, 4)}))
    with pytest.raises(InputFault, match="'foreign' is not one of the competition"):
        list(from_csv(spec, path, SIZES))


def test_the_same_predictions_make_the_same_bytes(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    for name in ("one", "two"):
        make_round(tmp_path / name, spec, candidates(masks), origin())
    for file in ("labels.csv", "receipt.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_step_that_dies_leaves_the_round_before_it(tmp_path):
    spec, masks = competition(tmp_path), random_masks()
    make_round(tmp_path / "round1", spec, candidates(masks), origin())

    def dying():
        yield candidates(random_masks(1))[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        make_round(tmp_path / "round1", spec, dying(), origin())
    assert load_round(tmp_path / "round1", spec, SIZES)[0] == masks
    assert [path.name for path in tmp_path.iterdir()] == ["round1"]


def test_edited_labels_are_refused(tmp_path):
    spec = competition(tmp_path)
    make_round(tmp_path / "round1", spec, candidates(random_masks()), origin())
    path = tmp_path / "round1" / "labels.csv"
    path.write_text(path.read_text().replace("0001,b", "0001,a"))
    with pytest.raises(InputFault, match="labels.csv was changed since its receipt"):
        load_round(tmp_path / "round1", spec, SIZES)


def test_a_round_of_another_class_order_is_refused(tmp_path):
    make_round(tmp_path / "round1", competition(tmp_path), candidates(random_masks()), origin())
    with pytest.raises(InputFault, match=r"labels of the classes \['a', 'b'\]"):
        load_round(tmp_path / "round1", competition(tmp_path, classes=CLASSES[::-1]), SIZES)


def test_a_round_that_is_not_there_names_those_that_are(tmp_path):
    spec = competition(tmp_path)
    with pytest.raises(InputFault, match="no pseudo round 'round1'.*pseudo` makes one"):
        read_round(tmp_path / "round1", spec)
    make_round(tmp_path / "first", spec, candidates(random_masks()), origin())
    with pytest.raises(InputFault, match="there are first"):
        read_round(tmp_path / "round1", spec)


def test_an_image_that_left_the_competition_is_named(tmp_path):
    spec = competition(tmp_path)
    make_round(tmp_path / "round1", spec, candidates(random_masks()), origin())
    fewer = {image: size for image, size in SIZES.items() if image != "NA"}
    with pytest.raises(InputFault, match="image 'NA' is not one of the competition"):
        load_round(tmp_path / "round1", spec, fewer)


@pytest.mark.parametrize("content", ["{}", "", "[1]"])
def test_a_damaged_receipt_is_named(tmp_path, content):
    spec = competition(tmp_path)
    make_round(tmp_path / "round1", spec, candidates(random_masks()), origin())
    (tmp_path / "round1" / "receipt.json").write_text(content)
    with pytest.raises(InputFault, match="receipt.json"):
        read_round(tmp_path / "round1", spec)


GROUPS = {"v1": "ann", "v2": "bob", "t1": "eve", "t2": "ann", "t3": "bob"}


def test_an_image_of_the_validation_fold_is_never_trained_on():
    with pytest.raises(InputFault, match="image 'v2' is in the validation fold"):
        refuse_leak(["t1", "v2"], {"v1", "v2"}, groups=GROUPS)


def test_another_image_of_a_held_out_person_is_never_trained_on():
    with pytest.raises(InputFault) as caught:
        refuse_leak(["t1", "t2", "t3"], {"v1"}, groups=GROUPS)
    assert "'t2' is of group 'ann', and so is 'v1'" in str(caught.value)
    assert "t3" not in str(caught.value)


def test_images_of_other_people_are_trained_on():
    refuse_leak(["t1", "t3"], {"v1"}, groups=GROUPS)


def test_a_teacher_that_saw_the_fold_is_an_indirect_leak():
    note = indirect_leak(origin(folds=(0, 1, 2)), 0)
    assert "trained on images of fold 0: unet of folds 1, 2" in note
    assert indirect_leak(origin(folds=(0,)), 0) is None


def test_nobody_knows_what_a_foreign_csv_was_made_with(tmp_path):
    (tmp_path / "friend.csv").write_text("")
    assert "friend.csv" in indirect_leak(Origin.of_csv(tmp_path / "friend.csv"), 0)


def test_the_receipt_is_readable_and_holds_the_teachers(tmp_path):
    make_round(tmp_path / "r", competition(tmp_path), candidates(random_masks()), origin())
    receipt = json.loads((tmp_path / "r" / "receipt.json").read_text())
    assert receipt["origin"]["teachers"]["unet"] == {
        "recipe": "unet",
        "folds": [0, 1],
        "checkpoints": ["cafe"],
    }


def test_a_picture_shows_the_labels(tmp_path):
    look = {image: np.zeros((*size, 3), np.uint8) for image, size in SIZES.items()}.__getitem__
    make_round(
        tmp_path / "r", competition(tmp_path), candidates(random_masks()), origin(), look=look
    )
    assert (tmp_path / "r" / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", "..", ""])
def test_a_round_never_leaves_its_folder(tmp_path, name):
    """A round replaces the folder of its name: `--round ../..` would have replaced the project."""
    with pytest.raises(InputFault, match="pseudo round"):
        Workspace(tmp_path, "hands").pseudo(name)
