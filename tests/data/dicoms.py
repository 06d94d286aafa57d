"""DICOM files as a scanner might write them."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def save_dicom(path: Path, pixels: np.ndarray, **tags: Any) -> Path:
    """Pixels of 8 or 16 bits, (H, W) or RGB (H, W, 3); tags by their DICOM keywords.

    Tags are laid over those that the pixels tell; None leaves one out. `syntax` and `frame` (bytes)
    are the transfer syntax and the picture of a compressed file.
    """
    syntax, frame = tags.pop("syntax", ExplicitVRLittleEndian), tags.pop("frame", None)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    bits = 8 * pixels.itemsize
    colours = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    grey = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    described = {
        **(colours if pixels.ndim == 3 else grey),
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **tags,
    }
    described.setdefault("HighBit", described["BitsStored"] - 1 if described["BitsStored"] else 0)
    for name, value in described.items():
        if value is not None:
            setattr(data, name, value)
    data.PixelData = pixels.tobytes() if frame is None else encapsulate([frame])
    data["PixelData"].VR = "OB" if bits == 8 or frame else "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
