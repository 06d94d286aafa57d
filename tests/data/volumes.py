"""Files of several slices as scanners and microscopes might write them, and competitions of them."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from dicoms import save_dicom
from downloads import parsed
from PIL import Image

from competition.spec import Competition

SIZE = (20, 30)

SCANS = {
    "name": "scans",
    "classes": ["liver", "tumour"],
    "horizontal_flip": "allowed",
    "data": {
        "root": ".",
        "train_images": "images/*",
        "volume": "file",
        "group": "volume",
        "image_id": "stem",
    },
    "labels": {"kind": "masks", "files": "labels/{stem}.nii.gz", "values": "index"},
    "submission": {"image": "id", "label": "class", "rle": "rle", "rows": "image-class"},
    "metric": {"name": "dice"},
    "split": {"folds": 2},
    "ensemble": {"recipes": ["unet-resnet18-cpu"]},
}
SCANS["submission"]["order"] = "rows"


def greys(seed: int, slices: int = 4, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (slices, H, W): noise, another one for every seed."""
    return np.random.default_rng(seed).integers(0, 256, (slices, *size), dtype=np.uint8)


def label_values(seed: int, slices: int = 4, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (slices, H, W) of 0, 1 and 2: blocks that lie elsewhere in every slice, for every seed."""
    values = np.zeros((slices, *size), np.uint8)
    for place in range(slices):
        values[place, 2 + place : 9 + place, 3 + seed : 14] = 1
        values[place, 4 + place : 7 + place, 6 + seed : 12 + place] = 2
    return values


def save_volume(path: Path, slices: np.ndarray, **options: Any) -> Path:
    """(slices, H, W) as the file's ending says; of NIfTI with rows along y and columns along x, and
    `affine`, `slope`, `intercept`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.name.partition(".")[2]:
        case "nii" | "nii.gz":
            affine = options.get("affine", np.diag([0.5, 0.75, 2.0, 1.0]))
            volume = nibabel.Nifti1Image(slices.transpose(2, 1, 0), affine)
            if "slope" in options:
                volume.header.set_slope_inter(options["slope"], options["intercept"])
            nibabel.save(volume, path)
        case "tif" | "tiff":
            if slices.dtype == np.uint8:
                first, *rest = [Image.fromarray(one) for one in slices]
                first.save(path, save_all=True, append_images=rest)
            else:
                tifffile.imwrite(path, slices, photometric="minisblack")
        case "dcm":
            save_dicom(
                path,
                slices,
                Rows=slices.shape[1],
                Columns=slices.shape[2],
                NumberOfFrames=len(slices),
                SamplesPerPixel=1,
                PhotometricInterpretation="MONOCHROME2",
                PlanarConfiguration=None,
            )
        case "npy":
            np.save(path, slices)
    return path


def scans(
    root: Path, ending: str = "nii.gz", labels: str = "nii.gz", **changes: Any
) -> Competition:
    """Two scans of four slices, labelled."""
    for number in range(2):
        save_volume(root / f"images/case_{number}.{ending}", greys(number))
        save_volume(root / f"labels/case_{number}.{labels}", label_values(number))
    table = {"labels__files": f"labels/{{stem}}.{labels}"}
    return parsed(SCANS, root, **(table | changes))
