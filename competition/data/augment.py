"""What a training image and its targets go through: mirroring, then geometry, then intensity.

Targets ride as bit planes (8 classes a channel), so geometry is applied once and not once a class.
"""

import albumentations
import cv2
import numpy as np

from competition.recipes import Augmentation


def transform(settings: Augmentation) -> albumentations.Compose:
    """Geometry and intensity for `image` uint8 (h, w, 3) and `mask` uint8 bit planes (h, w, P)."""
    shift = settings.shift
    geometry = albumentations.Affine(
        scale=(1 - settings.scale, 1 + settings.scale),
        translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
        rotate=(-settings.rotate, settings.rotate),
        balanced_scale=True,
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        p=1.0,
    )
    intensity = albumentations.RandomBrightnessContrast(
        brightness_limit=settings.intensity, contrast_limit=settings.intensity, p=0.8
    )
    grain = albumentations.OneOf(
        [albumentations.GaussianBlur(blur_limit=(3, 5)), albumentations.GaussNoise()],
        p=settings.noise,
    )
    return albumentations.Compose([geometry, intensity, grain])


def mirror(
    image: np.ndarray, planes: np.ndarray, permutation: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror left and right, and let the paired classes change places.

    image (h, w, 3) uint8; planes (P, h, w) uint8; permutation (K,) as `Competition` gives it.
    """
    planes = planes[:, :, ::-1]
    if permutation != tuple(range(len(permutation))):
        bits = np.unpackbits(planes, axis=0, bitorder="little")[list(permutation)]
        planes = np.packbits(bits, axis=0, bitorder="little")
    return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(planes)


def augment(
    image: np.ndarray,
    planes: np.ndarray,
    *,
    change: albumentations.Compose,
    flip: tuple[float, tuple[int, ...]],
    seed: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """One augmented example; the same (run seed, epoch, index) gives the same example anywhere.

    albumentations 2.0.8 repeats one random stream in every worker and epoch unless it is seeded
    for each example. `flip` is the probability of mirroring and the permutation of classes.
    """
    random = np.random.default_rng(seed)
    if random.random() < flip[0]:
        image, planes = mirror(image, planes, flip[1])
    change.set_random_seed(int(random.integers(2**31)))
    changed = change(image=image, mask=np.ascontiguousarray(planes.transpose(1, 2, 0)))
    mask = changed["mask"]
    return changed["image"], np.ascontiguousarray(mask.transpose(2, 0, 1))
