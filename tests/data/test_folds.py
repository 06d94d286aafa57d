"""Folds: dealt in balance, written once, checked at every load."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from competition.data.folds import (
    deal,
    describe_folds,
    deviation,
    group_features,
    load_folds,
    make_folds,
    write_folds,
)
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Split


def imbalance(frame, labels):
    """How far folds are from equal shares, image by image."""
    alone = frame.sort_values("image", ignore_index=True)
    _, totals, weights, _ = group_features(alone.assign(group=alone["image"]), labels)
    return deviation(totals, alone["fold"].to_numpy(), weights=weights)


def data(groups, present, strata=None):
    """A catalog of training images and labels with the classes present, bool (N, K)."""
    names = [f"i{n:03}" for n in range(len(groups))]
    catalog = pd.DataFrame(
        {
            "image": names,
            "path": names,
            "split": "train",
            "height": 4,
            "width": 5,
            "group": groups,
            "stratum": strata or ["all"] * len(groups),
        }
    )
    masks = [
        Runs.from_dense(np.broadcast_to(row[:, None, None], (len(row), 4, 5))) for row in present
    ]
    return catalog, dict(zip(names, masks, strict=True))


def hospital(seed=0, people=60, classes=6):
    """People with 1 to 5 images, classes from common to rare that a person has or has not."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 6, people)
    groups = np.repeat([f"p{n:03}" for n in range(people)], counts).tolist()
    rate = np.linspace(0.9, 0.05, classes)
    of_person = random.random((people, classes)) < rate
    present = np.repeat(of_person, counts, axis=0) & (random.random((len(groups), classes)) < 0.9)
    strata = np.repeat(random.choice(["a", "b", "c"], people, p=[0.6, 0.3, 0.1]), counts).tolist()
    return data(groups, present, strata)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=3, max_size=40), st.integers(2, 4), st.integers(0, 99))
def test_folds_are_a_partition_and_a_group_is_in_exactly_one(owners, folds, seed):
    groups = [f"g{owner}" for owner in owners]
    present = np.random.default_rng(seed).random((len(groups), 3)) < 0.5
    catalog, labels = data(groups, present)
    if len(set(groups)) < folds:
        with pytest.raises(InputFault, match="lower folds in"):
            make_folds(catalog, labels, Split(folds=folds, seed=seed))
        return
    frame = make_folds(catalog, labels, Split(folds=folds, seed=seed))
    assert frame["image"].tolist() == sorted(catalog["image"])
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    assert sorted(frame["fold"].unique()) == list(range(folds))


def test_the_order_of_the_rows_changes_nothing():
    catalog, labels = hospital()
    frame = make_folds(catalog, labels, Split(seed=3))
    shuffled = catalog.sample(frac=1, random_state=1)
    assert frame.equals(make_folds(shuffled, dict(reversed(labels.items())), Split(seed=3)))


def test_the_seed_decides():
    catalog, labels = hospital()
    first, second = (make_folds(catalog, labels, Split(seed=seed)) for seed in (0, 1))
    assert not first["fold"].equals(second["fold"])


def test_test_images_have_no_fold():
    catalog, labels = hospital()
    catalog.loc[:9, "split"] = "test"
    assert len(make_folds(catalog, labels, Split())) == len(catalog) - 10


def test_shares_of_images_strata_and_classes_are_nearly_equal():
    catalog, labels = hospital()
    frame = make_folds(catalog, labels, Split(folds=5))
    assert np.ptp(frame.groupby("fold").size()) <= 2
    present = np.array([labels[image].area() > 0 for image in frame["image"]])
    by_fold = np.stack([present[frame["fold"] == fold].sum(axis=0) for fold in range(5)])
    assert np.ptp(by_fold, axis=0).max() <= 4
    assert (
        np.ptp(frame.groupby(["stratum", "fold"]).size().unstack(fill_value=0), axis=1).max() <= 3
    )


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_folds_are_better_balanced_than_scikit_learns():
    # its one label a row must be a stratum or a pattern of classes, never both and each class
    catalog, labels = hospital()
    ours = imbalance(make_folds(catalog, labels, Split(folds=5)), labels)
    pattern = ["".join(map(str, (labels[i].area() > 0).astype(int))) for i in catalog["image"]]
    for target in (catalog["stratum"], pattern):
        theirs = catalog.assign(fold=0)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        for fold, (_, rows) in enumerate(splitter.split(catalog, target, catalog["group"])):
            theirs.loc[rows, "fold"] = fold
        assert ours < imbalance(theirs, labels) / 3


def test_few_groups_are_dealt_nearly_as_well_as_possible():
    totals = np.random.default_rng(5).integers(0, 5, (9, 4)).astype(float)
    weights = np.ones(4)
    best = min(
        deviation(totals, np.array([0, *rest]), weights=weights)
        for rest in itertools.product(range(2), repeat=8)
        if 1 in rest
    )
    found = deviation(totals, deal(totals, 2, weights=weights, seed=0), weights=weights)
    assert found <= best * 1.25 + 1e-9


def test_one_enormous_group_leaves_no_fold_empty():
    catalog, labels = data(["big"] * 90 + ["a", "b", "c"], np.ones((93, 1), bool))
    frame = make_folds(catalog, labels, Split(folds=4))
    assert sorted(frame.groupby("fold").size()) == [1, 1, 1, 90]


def test_one_image_cannot_make_five_folds():
    catalog, labels = data(["a"], np.ones((1, 1), bool))
    with pytest.raises(InputFault, match="5 folds asked for, and 1 images make 1 groups"):
        make_folds(catalog, labels, Split(folds=5))


@pytest.fixture
def split(tmp_path):
    """(path, catalog, frame) of a split that is written."""
    catalog, labels = hospital(people=10)
    frame = make_folds(catalog, labels, Split(folds=3))
    write_folds(frame, tmp_path / "folds.csv")
    return tmp_path / "folds.csv", catalog, frame


def test_a_split_is_read_back_as_it_was_made(split):
    path, catalog, frame = split
    assert load_folds(path, catalog, folds=3).equals(frame)
    assert path.read_text().splitlines()[0] == "image,group,stratum,fold"


def test_ids_and_groups_that_look_like_numbers_are_read_back_as_text(tmp_path):
    catalog, labels = data(["007", "NA", "1e5", "null"], np.ones((4, 1), bool))
    catalog["image"] = ["0001", "nan", "True", 'a,"b"']
    labels = dict(zip(catalog["image"], labels.values(), strict=True))
    frame = make_folds(catalog, labels, Split(folds=2))
    write_folds(frame, tmp_path / "f.csv")
    assert load_folds(tmp_path / "f.csv", catalog).equals(frame)


def test_a_split_is_never_overwritten(split):
    path, _, frame = split
    before = path.read_bytes()
    with pytest.raises(InputFault, match="a split is made once"):
        write_folds(frame.assign(fold=0), path)
    assert path.read_bytes() == before


def edited(path, change):
    """The file after `change` of its lines."""
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


def moved(line: str, fold: str) -> str:
    return f"{line.rsplit(',', 1)[0]},{fold}"


def test_a_patient_is_never_on_both_sides(split):
    path, catalog, frame = split
    counts = frame["group"].value_counts()
    patient = counts.index[0]
    row = frame.index[frame["group"] == patient][0]
    other = (frame["fold"][row] + 1) % 3
    edited(path, lambda lines: lines.__setitem__(row + 1, moved(lines[row + 1], str(other))))
    with pytest.raises(InputFault, match=f"group '{patient}' is in several folds: 'i"):
        load_folds(path, catalog)


def test_a_patient_is_never_on_both_sides_under_another_name(split):
    path, catalog, frame = split
    row = 0
    group = frame["group"][row]
    line = f"{frame['image'][row]},someone,a,{(frame['fold'][row] + 1) % 3}"
    edited(path, lambda lines: lines.__setitem__(1, line))
    with pytest.raises(InputFault, match=f"of group 'someone', and of '{group}' in the data"):
        load_folds(path, catalog)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.pop(1), "image 'i000' is in the data and has no fold"),
        (lambda lines: lines.append(lines[1]), "image 'i000' stands twice"),
        (lambda lines: lines.append("new,p,a,0"), "image 'new' is not among the"),
        (lambda lines: lines.__setitem__(1, moved(lines[1], "7")), r"has the folds \[0, 1, 2, 7\]"),
        (lambda lines: lines.__setitem__(1, moved(lines[1], "1.0")), "fold '1.0' is not a number"),
        (lambda lines: lines.__setitem__(1, moved(lines[1], "-1")), "fold '-1' is not a number"),
        (lambda lines: lines.__setitem__(0, "image,group,stratum,folds"), "no column 'fold'"),
    ],
)
def test_a_split_that_does_not_fit_the_data_is_refused(split, change, message):
    path, catalog, _ = split
    edited(path, change)
    with pytest.raises(InputFault, match=message):
        load_folds(path, catalog)


def test_new_images_never_change_a_split_by_themselves(split):
    path, catalog, _ = split
    more = pd.concat([catalog, catalog.iloc[:1].assign(image="late", path="late")])
    with pytest.raises(
        InputFault, match=r"'late' is in the data and has no fold[^$]*delete the file"
    ):
        load_folds(path, more)


def test_another_number_of_folds_than_the_spec_asks_for_is_refused(split):
    path, catalog, _ = split
    with pytest.raises(InputFault, match=r"has 3 folds and \[split\] asks for 5"):
        load_folds(path, catalog, folds=5)


def test_the_description_counts_images_groups_strata_and_classes():
    catalog, labels = hospital(people=10)
    frame = make_folds(catalog, labels, Split(folds=2))
    lines = describe_folds(frame, labels, classes=list("uvwxyz")).splitlines()
    assert lines[0].split() == ["fold", "0", "fold", "1"]
    assert sum(map(int, lines[1].split()[1:])) == len(catalog)
    assert any(line.startswith("stratum a") for line in lines)
    assert sum(line.startswith("with ") for line in lines) == 6


@pytest.mark.parametrize("groups", [900, 6667, 7000])
def test_a_deal_looks_at_twenty_thousand_groups_and_no_more(groups, monkeypatch):
    looked_at = []

    def improve(dealing, random):
        looked_at.append(len(dealing.totals))
        return True

    monkeypatch.setattr("competition.data.folds._Dealing.improve", improve)
    monkeypatch.setattr("competition.data.folds._DEALS", 1)
    deal(np.ones((groups, 1)), 2, weights=np.ones(1), seed=0)
    assert 20_000 - groups < sum(looked_at) <= 20_000 or len(looked_at) == 20
