"""The competition file: every mistake is named by its key."""

import copy
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from competition.errors import InputFault
from competition.inference.views import VIEWS
from competition.project import Project
from competition.spec import Competition, MaskLabels, load_competition, parse_competition

TABLE = {
    "name": "bones",
    "classes": ["finger-1", "finger-10", "finger-2"],
    "horizontal_flip": "allowed",
    "data": {"root": "data", "train_images": "train/*.png", "test_images": "test/*.png"},
    "labels": {
        "kind": "rle",
        "file": "train.csv",
        "image": "id",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
    },
    "submission": {
        "sample": "s.csv",
        "image": "id",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
        "order": "rows",
    },
    "metric": {"name": "dice"},
    "ensemble": {"recipes": ["unet-resnet18"]},
}


def competition(**changes) -> Competition:
    """The table with values replaced; `__` stands between table and key, None removes."""
    table = copy.deepcopy(TABLE)
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        place = table[section] if section else table
        place[name] = value
        if value is None:
            del place[name]
    return parse_competition(table, folder=Path("/bones"), source="competition.toml")


def fault(**changes) -> str:
    with pytest.raises(InputFault) as caught:
        competition(**changes)
    return str(caught.value)


def test_the_order_of_classes_is_that_of_the_file():
    assert competition().classes == ("finger-1", "finger-10", "finger-2")


def test_a_competition_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        competition().name = "other"


def test_the_data_folder_is_relative_to_the_file():
    assert competition().root == Path("/bones/data")
    assert competition(data__root="/elsewhere").root == Path("/elsewhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data__train_image": "x"},
            "data.train_image: no such key; docs/",
        ),
        ({"data__root": None}, "competition.toml: data.root: Field required"),
        ({"name": "My Bones"}, "name: String should match pattern"),
        ({"classes": []}, "classes: Tuple should have at least 1 item"),
        ({"classes": ["a", "b", "a"]}, "a class stands twice in ['a', 'b', 'a']"),
        ({"horizontal_flip": "maybe"}, "horizontal_flip"),
        ({"horizontal_flip": [["finger-1", "thumb"]]}, "horizontal_flip names ['thumb']"),
        ({"horizontal_flip": [["finger-1", "finger-2"], ["finger-2", "finger-10"]]}, "two pairs"),
        ({"labels__kind": "photoshop"}, "labels"),
        ({"labels__rows": "pixel"}, "labels.rle.rows"),
        ({"submission__order": "F"}, "submission.order: Input should be 'rows' or 'columns'"),
        ({"submission__base": 2}, "submission.base"),
        ({"submission__label": None}, "rows = 'image-class' needs label"),
        ({"metric__name": "auc"}, "metric.name"),
        ({"split": {"folds": 1}}, "split.folds: Input should be greater than or equal to 2"),
        ({"ensemble__recipes": []}, "ensemble.recipes"),
        ({"data__depth": 17}, "data.depth"),
        ({"classes": ["one"], "exclusive": True}, "exclusive is about two classes and more"),
        ({"labels": {"kind": "masks", "files": "m/{stem}.png"}}, "nonzero masks hold one class"),
    ],
)
def test_a_mistake_is_named_by_its_key(changes, message):
    assert message in fault(**changes)


def test_all_mistakes_are_listed_at_once():
    lines = fault(name="X", data__root=None, metric__name="auc").splitlines()
    assert len(lines) == 3 and all(line.startswith("competition.toml: ") for line in lines)


def test_a_threshold_is_for_masks_of_one_class():
    assert MaskLabels(kind="masks", files="x", threshold=128).threshold == 128
    with pytest.raises(ValidationError, match="a threshold makes one class"):
        MaskLabels(kind="masks", files="x", values="index", threshold=128)


def test_labels_are_coded_as_the_submission_but_for_what_they_say():
    form = competition(labels__empty="-1", labels__order="columns", submission__base=0).label_format
    assert (form.order, form.base, form.empty, form.rows) == ("columns", 0, "-1", "image-class")
    assert competition(labels__order="columns").submission.format.order == "rows"


def test_labels_that_are_no_text_have_no_text_format():
    labels = {"kind": "polygons", "files": "{stem}.json"}
    with pytest.raises(InputFault, match="are polygons, not run-length text"):
        _ = competition(labels=labels).label_format


def test_a_flip_swaps_the_pairs_and_nothing_else():
    swapping = competition(horizontal_flip=[["finger-1", "finger-2"]])
    assert swapping.flip_permutation == (2, 1, 0) and swapping.may_flip
    assert competition().flip_permutation == (0, 1, 2)
    assert not competition(horizontal_flip="forbidden").may_flip


@settings(deadline=None)
@given(st.permutations(range(8)), st.integers(0, 4))
def test_flipping_twice_brings_every_class_back(order, pairs):
    names = [f"c{k}" for k in range(8)]
    chosen = [[names[order[2 * k]], names[order[2 * k + 1]]] for k in range(pairs)]
    swap = competition(classes=names, horizontal_flip=chosen or "allowed").flip_permutation
    assert [swap[swap[k]] for k in range(8)] == list(range(8))


def test_a_file_is_read_with_a_byte_order_mark_and_its_folder_is_remembered(tmp_path):
    path = tmp_path / "competition.toml"
    path.write_text(
        '\ufeffname = "x"\nclasses = ["a"]\nhorizontal_flip = "allowed"\n'
        '[data]\nroot = "."\ntrain_images = "a/*.png"\ntest_images = "b/*.png"\n'
        '[labels]\nkind = "masks"\nfiles = "{stem}.png"\n'
        '[submission]\nsample = "s.csv"\nimage = "i"\nrle = "r"\nrows = "image"\norder = "rows"\n'
        '[metric]\nname = "dice"\n[ensemble]\nrecipes = ["unet-resnet18"]\n'
    )
    assert load_competition(path).root == tmp_path.resolve()


def test_a_file_that_is_no_toml_or_absent_is_said(tmp_path):
    with pytest.raises(InputFault, match=r"no competition file .*`python -m competition new`"):
        load_competition(tmp_path / "competition.toml")
    (tmp_path / "competition.toml").write_text("name = \n")
    with pytest.raises(InputFault, match="is not valid TOML"):
        load_competition(tmp_path / "competition.toml")


TURNS = ("vertical_flip", "quarter_turns")


def ensembled(tmp_path, **ensemble) -> Project:
    """A project whose [ensemble] has these keys too; flips and turns are the competition's."""
    own = ("horizontal_flip", "vertical_flip", "quarter_turns")
    allowed = {key: ensemble.pop(key) for key in own if key in ensemble}
    table = {"recipes": ["unet-resnet18"], **ensemble}
    return Project(competition(ensemble=table, **allowed), tmp_path)


@pytest.mark.parametrize(
    ("ensemble", "views"),
    [
        ({}, ("mirror",)),
        ({"flips": True}, ("mirror",)),
        ({"flips": False}, ()),
        ({"views": []}, ()),
        ({"views": ["mirror"]}, ("mirror",)),
        ({"horizontal_flip": "forbidden"}, ()),
        ({"horizontal_flip": "forbidden", "flips": True}, ()),
        ({"horizontal_flip": "forbidden", "views": ["mirror"]}, ()),
        ({"horizontal_flip": [["finger-1", "finger-2"]]}, ("mirror",)),
        ({"views": ["flip", "turn-90"]}, ()),
        ({"views": ["flip", "turn-90"], "vertical_flip": "allowed"}, ("flip",)),
        (
            {"views": ["turn-90", "turn-180"], "quarter_turns": "allowed"},
            ("turn-90", "turn-180"),
        ),
        ({"views": ["d4"]}, ("mirror",)),
        ({"views": ["d4"], "horizontal_flip": "forbidden"}, ()),
        ({"views": ["d4"], "vertical_flip": "allowed"}, ("mirror", "flip", "mirror+flip")),
        (
            {"views": ["d4", "0.75x", "mirror"], **dict.fromkeys(TURNS, "allowed")},
            (
                *("mirror", "flip", "turn-90", "turn-180", "turn-270"),
                *("mirror+turn-90", "mirror+turn-270", "0.75x"),
            ),
        ),
        (
            {"views": ["1.25x", "mirror+1.25x"], "horizontal_flip": "forbidden"},
            ("1.25x",),
        ),
    ],
    ids=str,
)
def test_test_time_views_are_those_asked_for_and_allowed(tmp_path, ensemble, views):
    """Files of 0.1.0 say flips; whoever forbids mirroring has no mirrored view, whatever is asked."""
    assert ensembled(tmp_path, **ensemble).views == views


def test_an_unknown_view_is_told_what_there_is(tmp_path):
    known = ", ".join([*VIEWS, "d4"])
    for name in ("upside-down", "mirror+upside-down"):
        with pytest.raises(InputFault, match=rf"no test-time view 'upside-down' .*{known}"):
            ensembled(tmp_path, views=["mirror", name])
    for scale in ("1x", "0.1x", "8x"):
        with pytest.raises(InputFault, match=rf"{scale}.* must be from 0.25x to 4x, and not 1x"):
            ensembled(tmp_path, views=[scale])
    with pytest.raises(InputFault, match=r"ensemble.flips: .*found 'yes'"):
        ensembled(tmp_path, flips="yes")


def _keys(model: type, found: set[str]) -> set[str]:
    """Names of all fields of a model and of the tables inside it."""
    for name, field in model.model_fields.items():
        found |= set() if field.exclude else {name}
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                _keys(kind, found)
    return found


def test_every_key_is_explained_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "competition-file.md").read_text()
    explained = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", page))))
    assert _keys(Competition, set()) <= explained


def written(tmp_path, order: str) -> Path:
    """The demo's kind of file with `order` as it is given."""
    path = tmp_path / "competition.toml"
    path.write_text(
        f"""name = "bones"
classes = ["a", "b"]
horizontal_flip = "allowed"
[data]
root = "."
train_images = "train/*.png"
test_images = "test/*.png"
group = "? image | folder | {{ pattern = 'p[0-9]+' }}"
[labels]
kind = "masks"
files = "masks/{{stem}}.png"
values = "index"
[submission]
sample = "s.csv"
image = "id"
label = "class"
rle = "rle"
rows = "image-class"
order = {order}
[metric]
name = "dice"
[ensemble]
recipes = ["unet-resnet18-cpu"]
"""
    )
    return path


def test_a_marked_line_is_a_question_and_stands_in_for_its_first_candidate(tmp_path):
    path = written(tmp_path, '"? rows | columns"')
    competition = load_competition(path)
    assert competition.questions == (
        f"{path} line 8: group in [data] is open; write 'image' or 'folder' or "
        "{'pattern': 'p[0-9]+'}",
        f"{path} line 19: order in [submission] is open; write 'rows' or 'columns'",
    )
    assert competition.submission.order == "rows" and competition.data.group == "image"


def test_a_marked_line_stops_every_command_but_the_doctor(tmp_path):
    path = written(tmp_path, '"? columns | rows"')
    with pytest.raises(InputFault, match=r"line 19: order in \[submission\] is open"):
        Project.open(path, tmp_path)
    assert Project.open(path, tmp_path, unsettled=True).competition.submission.order == "columns"


@pytest.mark.parametrize("key", ["folder", "questions"])
def test_what_a_file_cannot_say_is_no_key(key):
    assert f"{key}: no such key" in fault(**{key: ["x"]})


def test_a_sample_without_test_images_is_refused():
    assert "sample in [submission] names test images" in fault(data__test_images=None)


def test_a_data_set_has_no_test_part():
    found = competition(data__test_images=None, submission__sample=None)
    assert found.data.test_images is None


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": "(a)", "value": r"\2"}, r"has 1 brackets"),
    ],
)
def test_a_part_of_the_path_that_cannot_be_met_is_refused(part, message):
    assert message in fault(data__group=part)


def test_sides_cannot_be_turned():
    message = "quarter_turns are for images without left and right"
    pairs = [["finger-1", "finger-2"]]
    assert message in fault(horizontal_flip=pairs, quarter_turns="allowed")
    assert competition(horizontal_flip=pairs, vertical_flip="allowed").turns == ("vertical_flip",)
