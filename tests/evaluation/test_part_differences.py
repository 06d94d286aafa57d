"""A test part of other sizes or colours is told beside the interval of Private; an equal one is not."""

import cv2
import numpy as np
import pytest

from competition.evaluation.part_differences import (
    SURE,
    MeasuredPart,
    channel_measures,
    part_differences,
    unlike_text,
)
from competition.evaluation.private_interval import BoardSize, PrivateInterval
from competition.project import Project
from competition.steps.private_interval import differences_of


def part_of(random, images, *, groups=None, darker=0.0, larger=1.0, grey=False):
    """Images of several sizes and colours; those of one group are alike."""
    groups = groups or images
    owner = np.arange(images) % groups
    level = random.normal(120, 20, (groups, 3))[owner] + random.normal(0, 3, (images, 3))
    spread = random.normal(40, 8, (groups, 3))[owner] + random.normal(0, 1, (images, 3))
    if grey:
        level[:], spread[:] = level[:, :1], spread[:, :1]
    sizes = random.integers(400, 600, (groups, 2))[owner] * larger
    return MeasuredPart(sizes, level - darker, spread, groups)


@pytest.mark.parametrize(
    ("train", "test"),
    [((64, None), (64, None)), ((64, 10), (64, 12)), ((64, 6), (8, 2)), ((20, None), (64, 5))],
    ids=str,
)
@pytest.mark.parametrize("grey", [False, True], ids=["colours", "grey"])
def test_parts_drawn_alike_are_not_called_unlike(train, test, grey):
    """Of 300 pairs at most as many as is allowed, and some for chance; images taken for groups would
    alarm in most of them where groups have many.
    """
    alarms = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        one, other = (part_of(random, n, groups=g, grey=grey) for n, g in (train, test))
        alarms += bool(part_differences(one, other))
    assert alarms <= 3 * SURE * 300


def test_images_of_few_groups_are_no_proof():
    """Ten patients against twelve: each patient's images are alike, and differ from the next one's."""
    alarms = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        one, other = part_of(random, 64, groups=10), part_of(random, 64, groups=12)
        naive = [MeasuredPart(p.sizes, p.means, p.deviations, 64) for p in (one, other)]
        alarms += bool(part_differences(*naive))
        assert not part_differences(one, other)
    assert alarms > 10


@pytest.mark.parametrize("groups", [None, 20])
def test_another_size_and_darker_colours_are_named_with_how_much(groups):
    for seed in range(20):
        random = np.random.default_rng(seed)
        train = part_of(random, 64, groups=groups)
        larger = part_of(random, 64, groups=groups, larger=2)
        darker = part_of(random, 64, groups=groups, darker=70)
        assert {"height", "width"} <= {one.what for one in part_differences(train, larger)}
        found = part_differences(train, darker)
        assert {"mean of red", "mean of green", "mean of blue"} <= {one.what for one in found}
        text = unlike_text(found)
        middle = f"{np.median(train.means[:, 0]):.0f} ("
        assert f"mean of red {middle}" in text and " in training, " in text
        assert "holds for test images like the training ones" in text


def test_grey_images_in_three_channels_have_one_brightness():
    random = np.random.default_rng(0)
    train, dark = part_of(random, 64, grey=True), part_of(random, 64, grey=True, darker=70)
    assert [one.what for one in part_differences(train, dark)] == ["mean of grey"]


def test_two_cameras_in_the_test_part_are_told_though_the_middle_is_the_same():
    random = np.random.default_rng(0)
    train = part_of(random, 64, grey=True)
    away = np.where(np.arange(64) % 2, 60.0, -60.0)[:, None]
    two = MeasuredPart(train.sizes, train.means + away, train.deviations, 64)
    assert [one.what for one in part_differences(train, two)] == ["mean of grey"]


def test_sizes_that_are_all_the_same_are_one_number():
    random = np.random.default_rng(0)
    train = part_of(random, 64, grey=True)
    fixed = [np.full((64, 2), side) for side in (512.0, 768.0)]
    one, other = (MeasuredPart(s, train.means, train.deviations, 64) for s in fixed)
    first, second = part_differences(one, other)
    assert str(first) == "height 512 in training, 768 in test"
    assert second.what == "width" and second.distance == 1 and second.p_value < 1e-6
    assert part_differences(one, one) == ()


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_channels_are_measured_in_0_to_255_whatever_their_bits(dtype, white):
    pixels = np.zeros((40, 30, 2), dtype)
    pixels[:20, :, 0], pixels[..., 1] = white, white // 5
    means, deviations = channel_measures(pixels, white)
    assert means == pytest.approx([127.5, 51]) and deviations == pytest.approx([127.5, 0])


@pytest.fixture
def photographed(tmp_path):
    """Opens a competition whose test images are so much larger and darker than its training images."""

    def opened(larger=1, darker=0):
        random = np.random.default_rng(0)
        for split, share, less in (("train", 1, 0), ("test", larger, darker)):
            (tmp_path / split).mkdir()
            for number in range(40):
                side = int(random.integers(20, 30)) * share
                pixels = random.normal(random.normal(140, 10) - less, 20, (side, side))
                path = tmp_path / split / f"{split}{number}.png"
                assert cv2.imwrite(str(path), np.clip(pixels, 0, 255).astype(np.uint8))
        (tmp_path / "competition.toml").write_text(FILE)
        return Project.open(tmp_path / "competition.toml", tmp_path, say=lambda line: None)

    return opened


FILE = """
name = "photographs"
classes = ["thing"]
horizontal_flip = "allowed"
[data]
root = "."
train_images = "train/*.png"
test_images = "test/*.png"
[labels]
kind = "masks"
files = "masks/{stem}.png"
values = "nonzero"
[submission]
image = "id"
rle = "rle"
rows = "image"
order = "rows"
[metric]
name = "dice"
[ensemble]
recipes = ["unet-resnet18-cpu"]
"""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, set()),
        ({"larger": 2}, {"height", "width"}),
        ({"darker": 60}, {"mean of grey"}),
    ],
    ids=["alike", "larger", "darker"],
)
def test_the_images_of_both_parts_are_looked_at(photographed, changes, named):
    found = differences_of(photographed(**changes), BoardSize(20, 20))
    assert {one.what for one in found} == named


def test_a_test_part_of_few_groups_proves_nothing(photographed):
    """40 test images that may be of two patients, as ours have twenty images each."""
    assert differences_of(photographed(larger=2), BoardSize(1, 1)) == ()


def test_an_interval_of_before_is_read_and_one_of_now_is_written_with_what_differs():
    one, other = (part_of(np.random.default_rng(0), 64, larger=share) for share in (1, 2))
    old = dict.fromkeys(("value", "low", "high", "shift", "shift_error", "spread"), 0.5)
    old |= {"groups": 9, "public_groups": 3, "private_groups": 6}
    assert PrivateInterval.model_validate(old).differs == ()
    now = PrivateInterval(**old, differs=part_differences(one, other))
    document = now.model_dump(mode="json")
    assert [row["what"] for row in document["differs"]] == ["height", "width"]
    assert PrivateInterval.model_validate(document) == now
