"""Distance maps for the boundary loss, made by the loader from the augmented masks."""

import cv2
import numpy as np


def signed_distances(masks: np.ndarray) -> np.ndarray:
    """Distance of each pixel to its mask's edge, in pixels: masks (K,h,w) bool → float32 (K,h,w).

    Outside: to the nearest pixel of the mask; inside: one less than to the nearest outside it,
    negative (Kervadec et al. 2019). An empty or full mask has no edge: all 0.

    >>> signed_distances(np.array([[[0, 0, 1, 1, 1]]], bool)).tolist()
    [[[2.0, 1.0, 0.0, -1.0, -2.0]]]
    """
    distances = np.zeros(masks.shape, np.float32)
    for plane, mask in zip(distances, masks, strict=True):
        if not mask.any() or mask.all():
            continue
        inside = mask.astype(np.uint8)
        to_mask = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        to_rest = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        plane[...] = np.where(mask, 1 - to_rest, to_mask)
    return distances
