"""Real label files, and a small twin of each made here: every row is read and written back.

The real ones lie in the folder that PODIUM_SHARED_DATA names, or in shared/data beside the checkout
or a folder above it; without them only the twins are tested.
"""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.data.csv_text import read_csv_text
from competition.masks.rle import decode_rows, encode_rows, row_faults
from competition.masks.rle_formats import FORMATS
from competition.masks.rle_order_proof import prove_order
from competition.masks.runs import Runs

NEAR = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[3:]]
DATA = Path(
    os.environ.get("PODIUM_SHARED_DATA") or next((path for path in NEAR if path.is_dir()), NEAR[0])
)
SALT, PNEUMOTHORAX = FORMATS["salt"], FORMATS["pneumothorax"]


def columns_of(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Header, first and second column of a csv file, as the project's one reader has them."""
    table = read_csv_text(path)
    header = list(table.columns)
    return header, table[header[0]].tolist(), table[header[1]].tolist()


def real(path: str) -> Path:
    found = DATA / "conformance" / path
    if not found.exists():
        pytest.skip(f"{found} is not here")
    return found


def check_salt(csv_path: Path, archive: Path, count: int) -> None:
    """Every text decodes to its PNG, encodes to itself, and is known for what it is."""
    _, names, texts = columns_of(csv_path)
    with zipfile.ZipFile(archive) as masks_zip:
        pngs = [
            np.array(Image.open(io.BytesIO(masks_zip.read(f"masks/{name}.png")))) for name in names
        ]
    masks = [Runs.from_dense(png > 0) for png in pngs]
    shapes = [png.shape for png in pngs]
    assert len(texts) == count
    assert decode_rows(texts, shapes, SALT) == masks
    assert encode_rows(masks, SALT) == texts
    proof = prove_order(texts, shapes, masks=masks)
    assert (proof.order, proof.base, proof.relative, proof.certainty) == (
        "columns",
        1,
        False,
        "proven",
    )


def check_pneumothorax(path: Path, shape: tuple[int, int], *, with_masks: int) -> None:
    """Texts are known to be relative, and come back from their masks."""
    _, _, texts = columns_of(path)
    masks = decode_rows(texts, shape, PNEUMOTHORAX)
    assert sum(len(mask) > 0 for mask in masks) == with_masks
    assert encode_rows(masks, PNEUMOTHORAX) == [text.strip(" ") for text in texts]
    proof = prove_order(texts, shape)
    assert proof.relative is True and "proven" in proof.evidence[0]


def test_every_tgs_row_is_its_png() -> None:
    check_salt(real("tgs/train.csv"), real("tgs/masks.zip"), 4000)


def test_every_siim_row_is_relative_and_comes_back() -> None:
    check_pneumothorax(real("siim/train-rle.csv"), (1024, 1024), with_masks=500)


def test_the_siim_sample_with_a_bom_and_other_names_is_read() -> None:
    path = real("siim/train-rle-sample.csv")
    assert columns_of(path)[0] == ["fname", "mask"]
    check_pneumothorax(path, (1024, 1024), with_masks=5)


def test_the_samples_of_both_competitions_are_legal() -> None:
    _, names, texts = columns_of(real("siim/stage_1_sample_submission.csv"))
    assert len(set(names)) < len(names) == 1484
    assert row_faults(texts, (1024, 1024), PNEUMOTHORAX) == []
    _, names, texts = columns_of(real("tgs/sample_submission.csv"))
    assert len(names) == 18_000
    assert row_faults(texts, (101, 101), SALT) == []


def blob(seed: int, side: int) -> np.ndarray:
    """A blob that may touch the frame; every fifth is empty and every seventh full."""
    if seed % 5 == 0 or seed % 7 == 0:
        return np.full((side, side), seed % 5 != 0)
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    middle, radius = rng.uniform(0, side, 2), rng.uniform(1, side / 2)
    return np.hypot(rows - middle[0], 0.5 * (columns - middle[1])) < radius


def loop_text(mask: np.ndarray, *, relative: bool) -> str:
    """Column-major text of a mask, pixel by pixel: slow, and plainly right."""
    runs: list[list[int]] = []
    for position, inside in enumerate(mask.T.reshape(-1)):
        if inside and runs and sum(runs[-1]) == position:
            runs[-1][1] += 1
        elif inside:
            runs.append([position, 1])
    ends = [0, *(start + length for start, length in runs)]
    numbers = [
        (start - end if relative else start + 1, length)
        for (start, length), end in zip(runs, ends, strict=False)
    ]
    return " ".join(f"{start} {length}" for start, length in numbers)


def test_a_small_twin_of_tgs(tmp_path: Path) -> None:
    """PNGs are uint16 {0, 65535} where there is salt and uint8 {0} where not, as in the real set."""
    lines = ["id,rle_mask"]
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for seed in range(40):
            mask, png = blob(seed, 23), io.BytesIO()
            pixels = mask.astype(np.uint16) * 65535 if mask.any() else mask.astype(np.uint8)
            Image.fromarray(pixels).save(png, "png")
            archive.writestr(f"masks/{seed:010x}.png", png.getvalue())
            lines.append(f"{seed:010x},{loop_text(mask, relative=False)}")
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    check_salt(tmp_path / "train.csv", tmp_path / "masks.zip", 40)


def test_a_small_twin_of_siim(tmp_path: Path) -> None:
    """With a BOM, and a space before column names and values, -1 included."""
    masks = [blob(seed, 31) for seed in range(1, 40) if seed % 7]
    texts = [loop_text(mask, relative=True) or "-1" for mask in masks]
    rows = [f"1.2.276.{i}, {text}" for i, text in enumerate(texts)]
    path = tmp_path / "train-rle.csv"
    path.write_text("\n".join(["ImageId, EncodedPixels", *rows]), encoding="utf-8-sig")
    assert columns_of(path)[0] == ["ImageId", "EncodedPixels"]
    check_pneumothorax(path, (31, 31), with_masks=sum(bool(mask.any()) for mask in masks))


def test_a_mask_whose_last_pixel_is_inside_is_among_the_twins() -> None:
    """One famous encoder loses such runs: it would damage 1,090 of the 2,438 TGS masks."""
    assert sum(blob(seed, 23)[-1, -1] for seed in range(40)) > 3
