"""An image of 20,000 × 20,000 pixels and four classes in less than 2 GB, from file to masks."""

import subprocess
import sys

import pytest

WORK = """
import resource, sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from competition.data.scaled import scaled_images
from competition.decoding.blend import blend
from competition.inference.predict import PredictionSettings, predict_store
from competition.inference.store import Provenance, Store
from competition.machine import machine_of
from competition.models.base import Output

folder, name, side = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


class EachPixel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1, bias=False)
        with torch.no_grad():
            self.layer.weight[:, :, 0, 0] = torch.tensor(
                [[3.0, 0, 0], [0, 3, 0], [-3, 0, 0], [0, 0, 3]]
            )

    def normalised(self, images):
        return images.float() / 64 - 2

    def forward(self, images):
        return Output(self.layer(images))


classes = ("a", "b", "c", "d")
rows = pd.DataFrame(
    [(name, name, "test", side, side)], columns=["image", "path", "split", "height", "width"]
)
laid_out = scaled_images(rows, folder, folder / "cache", scale=1.0)
settings = PredictionSettings(
    2, machine_of({"PODIUM_DTYPE": "float32"}), (), None, (512, 512), 0.25
)
provenance = Provenance(
    member="m", recipe="m", recipe_sha256="", folds=(0,), part="test", classes=classes
)
target = folder / "store"
options = {"images": (name,), "provenance": provenance, "settings": settings}
predict_store([EachPixel()], laid_out, target, **options)
store = Store.open(target, classes=classes)
for exclusive in (False, True):
    (masks,) = blend({"m": store}, exclusive=exclusive).runs_at(name, np.array([0.5]))
    assert masks.shape == (4, side, side) and masks.area().min() > 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process is asked of POSIX")
@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
def test_predicting_and_deciding_20000_by_20000_by_four_stays_below_2_gb(tmp_path, name):
    write_large(tmp_path / name, 20_000)
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path), name, "20000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 2e9


def write_large(path, side):
    """Waves of colour, (side, side, 3), as an array or a tiled TIFF; never whole in memory."""
    import numpy as np

    columns = np.arange(side)[:, None]

    def rows(first, count):
        down = np.arange(first, first + count)[:, None, None]
        waves = np.sin(down / 900.0 + np.arange(3)) + np.cos(columns / 700.0)
        return (127 + 60 * waves).astype(np.uint8)

    if path.suffix == ".npy":
        target = np.lib.format.open_memmap(path, "w+", np.uint8, (side, side, 3))
        for first in range(0, side, 500):
            target[first : first + 500] = rows(first, min(500, side - first))
        return
    tifffile = pytest.importorskip("tifffile")

    def tiles():
        for first in range(0, side, 512):
            strip = rows(first, min(512, side - first))
            yield from (strip[:, left : left + 512] for left in range(0, side, 512))

    tifffile.imwrite(
        path, tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(512, 512), photometric="rgb"
    )
