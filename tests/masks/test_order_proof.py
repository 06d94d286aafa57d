"""The order of texts is found from whatever evidence there is, and nothing is claimed without any."""

import numpy as np
import pytest

from competition.errors import InputFault
from competition.masks import rle_order_proof as order_proof
from competition.masks.rle import encode
from competition.masks.rle_formats import FORMATS, RleFormat
from competition.masks.rle_order_proof import prove_order
from competition.masks.runs import Runs

COLUMNS, ROWS = RleFormat("columns"), RleFormat("rows")
ALL_FORMS = [
    RleFormat(order, base, relative)
    for order in ("rows", "columns")
    for base, relative in ((1, False), (0, False), (0, True))
]


def ellipses(height: int, width: int, count: int = 12) -> list[Runs]:
    """Lone ellipses, some cut by the frame, each of another size and place."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:height, :width]
    masks = []
    for _ in range(count):
        middle, radii = rng.uniform(0, [height, width]), rng.uniform(3, [height / 3, width / 4])
        inside = ((rows - middle[0]) / radii[0]) ** 2 + ((columns - middle[1]) / radii[1]) ** 2 < 1
        masks.append(Runs.from_dense(inside))
    return [mask for mask in masks if len(mask)]


@pytest.mark.parametrize("form", ALL_FORMS, ids=str)
def test_mask_images_prove_everything_even_on_square_images(form: RleFormat) -> None:
    masks = ellipses(40, 40)
    proof = prove_order([encode(m, form) for m in masks], (40, 40), masks=masks)
    assert (proof.order, proof.relative, proof.base) == (form.order, form.relative, form.base)
    assert proof.certainty == "proven"
    assert f"{len(masks)} of {len(masks)} texts equal their mask image" in proof.evidence[2]


@pytest.mark.parametrize("form", ALL_FORMS, ids=str)
def test_compactness_tells_the_order_on_wide_images(form: RleFormat) -> None:
    masks = ellipses(30, 90)
    proof = prove_order([encode(m, form) for m in masks], [(30, 90)] * len(masks))
    assert (proof.order, proof.relative, proof.base) == (form.order, form.relative, form.base)
    assert (
        f"{form.order}, {'near certain' if form.order == 'rows' else 'likely'}" in proof.evidence[2]
    )
    assert "perimeter over root of area" in proof.evidence[2]


def test_on_square_images_the_texts_alone_tell_no_order() -> None:
    masks = ellipses(40, 40)
    proof = prove_order([encode(m, COLUMNS) for m in masks], (40, 40))
    assert proof.order is None and proof.certainty == "unknown"
    assert proof.relative is False
    assert "square" in proof.evidence[2]


@pytest.mark.parametrize("form", [ROWS, COLUMNS], ids=str)
def test_on_square_images_the_edges_of_the_image_tell(form: RleFormat) -> None:
    masks = ellipses(40, 40)
    rng = np.random.default_rng(0)
    images = [
        (m.to_dense()[..., None] * 80 + rng.normal(100, 20, (40, 40, 3))).astype(np.uint8)
        for m in masks
    ]
    proof = prove_order([encode(m, form) for m in masks], (40, 40), images=images)
    assert proof.order == form.order
    assert "times as steep" in proof.evidence[2]


def test_images_without_the_object_tell_nothing() -> None:
    masks = ellipses(40, 40)
    images = [np.full((40, 40), 9, np.uint8) for _ in masks]
    assert prove_order([encode(m, ROWS) for m in masks], (40, 40), images=images).order is None


def test_a_start_that_goes_down_proves_relative_text() -> None:
    proof = prove_order(["5 3 1 2", "2 2"], (5, 5))
    assert proof.relative is True and proof.base == 0
    assert "proven" in proof.evidence[0]


@pytest.mark.parametrize(("text", "base"), [("0 3", 0), ("24 2", 1), ("1 25", 1), ("0 25", 0)])
def test_the_first_and_the_last_pixel_prove_the_base(text: str, base: int) -> None:
    proof = prove_order([text, "3 2 9 4 20 1"], (5, 5))
    assert proof.base == base and "proven" in proof.evidence[1]


@pytest.mark.parametrize("base", [0, 1])
def test_a_frame_that_masks_touch_tells_the_base(base: int) -> None:
    """With the wrong base each run that ends at one side bleeds over to the other one."""
    teeth = np.zeros((9, 9), bool)
    teeth[1::4, 6:] = teeth[3::4, :3] = True
    texts = [encode(Runs.from_dense(teeth), RleFormat("rows", base))] * 9
    proof = prove_order(texts, (9, 9))
    assert proof.base == base and "cross the frame" in proof.evidence[1]


def test_texts_of_one_run_in_the_middle_tell_nothing_and_nothing_is_claimed() -> None:
    proof = prove_order(["13 2"], (5, 5))
    assert (proof.order, proof.base, proof.relative) == (None, None, None)
    assert proof.certainty == "unknown"


def test_symmetric_masks_do_not_prove_an_order() -> None:
    disc = Runs.from_dense(np.hypot(*np.mgrid[-9:10, -9:10]) < 6)
    proof = prove_order([encode(disc, COLUMNS)] * 5, (19, 19), masks=[disc] * 5)
    assert proof.order is None and proof.base == 1 and proof.relative is False


def test_masks_of_other_rows_are_no_evidence() -> None:
    masks = ellipses(30, 90)
    texts = [encode(m, COLUMNS) for m in masks]
    proof = prove_order(texts, (30, 90), masks=[Runs.empty((30, 90))] * len(masks))
    assert proof.order == "columns" and "compact" not in proof.evidence[0]


def test_empty_texts_of_any_kind_are_passed_over() -> None:
    assert prove_order(["", "-1", " -1", "-", "1 0", "nan", None], (4, 4)).certainty == "unknown"
    masks = ellipses(30, 90)
    texts = ["", "-1", *(encode(m, COLUMNS) for m in masks)]
    assert prove_order(texts, (30, 90), masks=[None, None, *masks]).certainty == "proven"


def test_one_damaged_row_does_not_hide_the_order_of_the_others() -> None:
    masks = ellipses(30, 90)
    texts = [encode(m, COLUMNS) for m in masks]
    texts[3] += " 1 1"
    proof = prove_order(texts, (30, 90))
    assert proof.order == "columns" and proof.relative is False
    assert f"{len(masks) - 1} as absolute" in proof.evidence[0]


def test_many_texts_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_proof, "MOST_TEXTS", 3)
    masks = ellipses(30, 90)
    proof = prove_order([encode(m, COLUMNS) for m in masks], (30, 90), masks=masks)
    assert "3 of 3 texts" in proof.evidence[0]


def test_a_format_that_the_data_speak_against_looks_transposed() -> None:
    masks = ellipses(30, 90)
    proof = prove_order([encode(m, COLUMNS) for m in masks], (30, 90), masks=masks)
    assert proof.contradictions(FORMATS["salt"]) == {}
    lines = list(proof.contradictions(RleFormat("rows", base=0)).values())
    assert len(lines) == 2 and "look transposed" in lines[0] and "base is 0" in lines[1]


def test_texts_and_evidence_must_pair_up() -> None:
    with pytest.raises(InputFault, match="one of each"):
        prove_order(["1 1", "2 2"], (3, 3), masks=[None])
    masks = ellipses(40, 40)
    with pytest.raises(InputFault, match="beside a mask"):
        prove_order(
            [encode(m, ROWS) for m in masks], (40, 40), images=[np.zeros((2, 3))] * len(masks)
        )


def test_no_texts_at_all_prove_nothing():
    nothing = prove_order([], [])  # once an IndexError
    assert {one.line for one in nothing.findings.values()} == {"none of the texts holds a mask"}
    assert (nothing.order, nothing.certainty) == (None, "unknown")
