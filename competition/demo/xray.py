"""An X-ray of a generated hand: absorption of bone and soft tissue, then exposure, grain, borders.

Deviations are standard deviations; one pixel of the default 256 × 256 image is about 0.9 mm.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from competition.demo.anatomy import HAND, Bone, Hand

# Absorption per mm of path.
COMPACT, SPONGY, TISSUE = 0.115, 0.030, 0.017
DEEPEST = 6.5  # mm; half the thickness of a bone, however broad
FINGER, PALM = 9.0, 13.0  # mm; half the thickness of the soft tissue
FINE = 2  # bones are drawn at this multiple of the image's size

# The hand's place on the image
ROTATION = 9.0  # deviation in degrees
SHIFT = 0.035  # deviation of the hand's place, as a share of the image
ZOOM = 0.06  # deviation of the hand's scale
NO_FOREARM = 0.12  # probability that the hand lies so low that the forearm is outside
COLLIMATED = 0.6  # probability of a visible border of the collimator

# Exposure
EXPOSURE = 0.25  # deviation of the log of the dose
GAMMA = 0.15  # deviation of the log of the display's gamma
NOISE = (0.02, 0.055)  # range of the noise's deviation, as a share of white
BLUR = (0.4, 1.3)  # range of the focal spot's deviation, in pixels


@dataclass(frozen=True)
class HandView:
    """Where the hand lies on the image."""

    matrix: np.ndarray
    """Affine matrix (2, 3): mm (x, y, 1) to pixels (x, y); pixel centres lie on whole numbers."""
    field: np.ndarray
    """bool (size, size): inside the collimator's opening."""

    @property
    def pixels_per_mm(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in mm as pixels (N, 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


def draw_view(random: np.random.Generator, size: int, *, left: bool) -> HandView:
    """A view at random, of size × size pixels; a left hand lies mirrored."""
    angle = np.radians(random.normal(0, ROTATION))
    zoom = size / 230 * np.exp(random.normal(0, ZOOM))
    low = random.random() < NO_FOREARM
    wrist = np.array([0.5, 1.01 if low else 0.83]) + random.normal(0, SHIFT, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.diag([1.0 if left else -1.0, -1.0])
    middle = np.array([0.0, 80.0])  # the turn is about the hand's middle, so that it stays inside
    offset = wrist * size - zoom * middle - linear @ middle

    # The collimator's opening is a rectangle that is a little askew.
    margins = random.uniform(0.0, 0.045, 4) * size
    tilt = np.tan(np.radians(random.normal(0, 1.0))) * size
    (x, y), (right, bottom) = margins[:2], size - margins[2:]
    corners = [(x, y), (right, y + tilt), (right - tilt, bottom + tilt), (x - tilt, bottom)]
    field = np.zeros((size, size), np.uint8)
    if random.random() > COLLIMATED:
        field[:] = 1
    else:
        cv2.fillPoly(field, [np.rint(corners).astype(np.int32)], 1)
    return HandView(np.column_stack([linear, offset]), field.view(bool))


def render(hand: Hand, view: HandView, random: np.random.Generator) -> np.ndarray:
    """uint8 (size, size): the X-ray of one hand."""
    absorption = _tissue(hand, view) + _skeleton(hand.bones, view, random)
    dose = np.exp(random.normal(0, EXPOSURE))
    white = 1 - np.exp(-dose * absorption)
    white = cv2.GaussianBlur(white, (0, 0), random.uniform(*BLUR))
    white = (white / np.quantile(white, 0.995)).clip(0, 1.15)
    white = white ** np.exp(random.normal(0.1, GAMMA))
    # The beam is weaker towards one side: the anode's heel.
    slope = random.normal(0, 0.1, 2)
    place = np.linspace(-1, 1, len(white), dtype=np.float32)
    white *= (1 + slope[0] * place[:, None] + slope[1] * place).astype(np.float32)
    haze = random.uniform(0.03, 0.12)
    white = haze + (random.uniform(0.75, 0.95) - haze) * white
    # The lead letter tells left from right. OpenCV takes sixteenths of a pixel here.
    letter = np.array(HAND["letters"]["L" if view.matrix[0, 0] > 0 else "R"])
    corner = np.array([random.choice([0.05, 0.88]), random.uniform(0.05, 0.12)])
    strokes = np.rint((corner + 0.045 * letter) * len(white) * 16).astype(np.int32)
    lead = np.zeros(white.shape, np.uint8)
    cv2.polylines(lead, [strokes], False, 255, max(len(white) // 110, 1), cv2.LINE_AA, 4)
    white = np.maximum(white, lead * np.float32(0.95 / 255))
    noise = cv2.GaussianBlur(random.standard_normal(white.shape, np.float32), (0, 0), 0.6)
    white = white + random.uniform(*NOISE) * 1.6 * noise * (0.35 + white)
    opening = cv2.GaussianBlur(view.field.astype(np.float32), (0, 0), 0.8)
    white = 0.015 + (white - 0.015) * opening
    return np.rint(255 * white.clip(0, 1)).astype(np.uint8)


def _skeleton(bones: list[Bone], view: HandView, random: np.random.Generator) -> np.ndarray:
    """Absorption of the bones (size, size), with the grain of spongy bone."""
    shape = view.field.shape
    total = np.zeros((shape[0] * FINE, shape[1] * FINE), np.float32)
    for bone in bones:
        # Each bone in its own window, and two pixels of frame: where the image cuts a bone, its
        # wall does not turn inwards.
        outline = view.pixels(bone.outline) * FINE + (FINE - 1) / 2
        low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 2, 0, len(total))
        high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 3, 0, len(total))
        if (high <= low).any():
            continue
        inside = np.zeros((high - low)[::-1], np.uint8)
        cv2.fillPoly(inside, [np.rint(outline - low).astype(np.int32)], 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / (view.pixels_per_mm * FINE)
        radius = min(float(depth.max()), DEEPEST)
        outer = _chord(depth, radius)
        # The way through the marrow is that through the same tube without its wall.
        marrow = _chord(depth - bone.cortex, max(radius - bone.cortex, 0.0))
        absorption = COMPACT * (outer - marrow) + SPONGY * marrow
        total[low[1] : high[1], low[0] : high[0]] += bone.density * absorption
    density = np.exp(random.normal(0, 0.12))
    grain = cv2.GaussianBlur(random.standard_normal(shape, np.float32), (0, 0), 1.0)
    coarse = cv2.GaussianBlur(random.standard_normal(shape, np.float32), (0, 0), 5.0)
    shrunk = cv2.resize(total, shape[::-1], interpolation=cv2.INTER_AREA)
    return density * shrunk * (1 + 0.25 * grain + 0.9 * coarse)


def _tissue(hand: Hand, view: HandView) -> np.ndarray:
    """float32 (size, size): absorption of the soft tissue around the bones."""
    scale = view.pixels_per_mm
    fingers = np.zeros(view.field.shape, np.uint8)
    for ends in hand.joints:
        points = np.rint(view.pixels(ends[1:]) * 16).astype(int)  # sixteenths, for cv2.line
        half_widths = np.linspace(10.5, 8.0, len(points))  # narrower towards the tip
        for (start, end), half_width in zip(pairwise(points), half_widths, strict=False):
            thickness = max(round(2 * half_width * scale), 1)
            cv2.line(fingers, start.tolist(), end.tolist(), 1, thickness, cv2.LINE_8, 4)
    broad = np.zeros_like(fingers)
    knuckles = [ends[1] for ends in hand.joints]
    palm = np.array([knuckles[0] + (5, -6), *knuckles[1:], *HAND["tissue"]["palm"]], np.float32)
    ball = np.array([knuckles[0] + (8, 4), (34, 26), (18, 40), knuckles[1] - (0, 16)], np.float32)
    forearm = np.array(HAND["tissue"]["forearm"])
    # Each is convex and widened by so many mm.
    for outline, grow in ((cv2.convexHull(palm)[:, 0], 9.0), (forearm, 0.0), (ball, 3.0)):
        points = np.rint(view.pixels(outline)).astype(np.int32)
        cv2.fillConvexPoly(broad, points, 1)
        if grow:
            cv2.polylines(broad, [points], True, 1, round(2 * grow * scale))
    hull = _thickness(broad | fingers, PALM, scale) * (broad > 0)
    path = np.maximum(hull, _thickness(fingers, FINGER, scale))
    return TISSUE * cv2.GaussianBlur(path, (0, 0), 2.2 * scale)


def _thickness(inside: np.ndarray, radius: float, pixels_per_mm: float) -> np.ndarray:
    """float32 (size, size): way of the ray through tissue, in mm."""
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1] / pixels_per_mm
    return _chord(depth, radius)


def _chord(depth: np.ndarray, radius: float) -> np.ndarray:
    """Length of a ray's way through a tube of half-width `radius`, at `depth` from its outline.

    It is the chord 2 √(d (2R − d)); what is broader than the tube is flat.
    """
    depth = np.clip(depth, 0, radius)
    return 2 * np.sqrt(depth * (2 * radius - depth))
