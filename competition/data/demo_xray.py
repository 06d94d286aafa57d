"""An X-ray of a demo hand: absorption of bone and soft tissue, then exposure, grain and borders."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from competition.data import demo_difficulty as difficulty
from competition.data import demo_hand as hand

# Absorption per mm of path.
COMPACT, SPONGY, TISSUE = 0.115, 0.030, 0.017
DEEPEST = 6.5  # mm; half the thickness of a bone, however broad
FINGER, PALM = 9.0, 13.0  # mm; half the thickness of the soft tissue
LETTERS = {  # strokes, of height 1; fonts differ between versions of cv2
    "L": [(0.0, 0.0), (0.0, 1.0), (0.6, 1.0)],
    "R": [
        (0.0, 1.0),
        (0.0, 0.0),
        (0.45, 0.0),
        (0.62, 0.12),
        (0.62, 0.38),
        (0.45, 0.5),
        (0.0, 0.5),
        (0.3, 0.5),
        (0.65, 1.0),
    ],
}
FINE = 2  # bones are drawn at this multiple of the image's size


@dataclass(frozen=True)
class View:
    """Where the hand lies on the image."""

    matrix: np.ndarray
    """(2, 3): millimetres (x, y, 1) to pixels (x, y); pixel centres lie on whole numbers."""
    field: np.ndarray
    """bool (size, size): inside the collimator's opening."""

    @property
    def size(self) -> int:
        return len(self.field)

    @property
    def pixels_per_mm(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) in mm as pixels (N, 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


def draw_view(random: np.random.Generator, size: int, *, left: bool) -> View:
    """A view at random; a left hand lies mirrored."""
    angle = np.radians(random.normal(0, difficulty.ROTATION))
    zoom = size / 230 * np.exp(random.normal(0, difficulty.ZOOM))
    low = random.random() < difficulty.NO_FOREARM
    wrist = np.array([0.5, 1.01 if low else 0.83]) + random.normal(0, difficulty.SHIFT, 2)
    middle = np.array([0.0, 80.0])  # the turn is about the hand's middle, so that it stays inside
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.diag([1.0 if left else -1.0, -1.0])
    upright = zoom * np.array([0.0, -middle[1]])
    offset = wrist * size + upright - linear @ middle
    matrix = np.column_stack([linear, offset])
    return View(matrix, _collimator(random, size))


def _collimator(random: np.random.Generator, size: int) -> np.ndarray:
    """bool (size, size): the collimator's opening, a rectangle that is a little askew."""
    field = np.zeros((size, size), np.uint8)
    margins = random.uniform(0.0, 0.045, 4) * size
    tilt = np.tan(np.radians(random.normal(0, 1.0))) * size
    if random.random() > difficulty.COLLIMATED:
        return np.ones((size, size), bool)
    left, top, right, bottom = margins[0], margins[1], size - margins[2], size - margins[3]
    corners = np.array(
        [
            (left, top),
            (right, top + tilt),
            (right - tilt, bottom + tilt),
            (left - tilt, bottom),
        ]
    )
    cv2.fillPoly(field, [np.rint(corners).astype(np.int32)], 1)
    return field.view(bool)


def render(
    person: hand.Person, pose: hand.Pose, view: View, random: np.random.Generator
) -> np.ndarray:
    """uint8 (size, size): the X-ray of one hand."""
    absorption = _tissue(person, pose, view) + _skeleton(hand.bones(person, pose), view, random)
    return _developed(absorption, view, random)


def _skeleton(bones: list[hand.Bone], view: View, random: np.random.Generator) -> np.ndarray:
    """float32 (size, size): absorption of the bones, with the grain of spongy bone."""
    size = view.size
    total = np.zeros((size * FINE, size * FINE), np.float32)
    density = np.exp(random.normal(0, 0.12))
    for bone in bones:
        _add_bone(total, bone, view)
    grain = cv2.GaussianBlur(random.standard_normal((size, size), np.float32), (0, 0), 1.0)
    coarse = cv2.GaussianBlur(random.standard_normal((size, size), np.float32), (0, 0), 5.0)
    shrunk = cv2.resize(total, (size, size), interpolation=cv2.INTER_AREA)
    return density * shrunk * (1 + 0.25 * grain + 0.9 * coarse)


def _add_bone(total: np.ndarray, bone: hand.Bone, view: View) -> None:
    """Adds one bone's absorption to `total`, float32 (FINE size, FINE size), in its own window.

    The ray's way through a tube of half-width R at the depth d from the outline is the chord
    2 √(d (2R − d)); the marrow's is the same for the tube without its wall.
    """
    outline = view.pixels(bone.outline) * FINE + (FINE - 1) / 2
    low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 2, 0, len(total))
    high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 3, 0, len(total))
    if (high <= low).any():
        return
    # Two pixels of frame: where the image cuts a bone, its wall does not turn inwards.
    width, height = high - low
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [np.rint(outline - low).astype(np.int32)], 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / (view.pixels_per_mm * FINE)
    radius = min(float(depth.max()), DEEPEST)
    outer = _chord(depth, radius)
    marrow = _chord(depth - bone.cortex, max(radius - bone.cortex, 0.0))
    total[low[1] : high[1], low[0] : high[0]] += bone.density * (
        COMPACT * (outer - marrow) + SPONGY * marrow
    )


def _chord(depth: np.ndarray, radius: float) -> np.ndarray:
    """Length of a ray's way through a tube, at `depth` from its edge; deeper than radius is flat."""
    depth = np.clip(depth, 0, radius)
    return 2 * np.sqrt(depth * (2 * radius - depth))


def _tissue(person: hand.Person, pose: hand.Pose, view: View) -> np.ndarray:
    """float32 (size, size): absorption of the soft tissue around the bones."""
    joints = hand.digit_joints(person, pose)
    palm = [joints[0][1] + (5, -6), *(joint[1] for joint in joints[1:])]
    palm += [(-22.0, 30.0), (-20.0, 0.0), (20.0, 0.0), (30.0, 28.0)]
    fingers = np.zeros((view.size, view.size), np.uint8)
    for digit, ends in enumerate(joints):
        _draw_finger(fingers, ends[1 : 1 + hand.visible_bones(person, digit)], view)
    broad = np.zeros_like(fingers)
    _fill(broad, cv2.convexHull(np.array(palm, np.float32))[:, 0], view, grow=9.0)
    _fill(
        broad,
        np.array([(-28, 8), (29, 8), (27, -8), (38, -150), (-35, -150), (-26, -8)], np.float32),
        view,
    )
    thumb = np.array([joints[0][1] + (8, 4), (34, 26), (18, 40), joints[1][1] - (0, 16)])
    _fill(broad, thumb.astype(np.float32), view, grow=3.0)
    path = np.maximum(
        _thickness(broad | fingers, PALM, view) * (broad > 0), _thickness(fingers, FINGER, view)
    )
    return TISSUE * cv2.GaussianBlur(path, (0, 0), 2.2 * view.pixels_per_mm)


def _draw_finger(canvas: np.ndarray, joints: np.ndarray, view: View) -> None:
    """Draws a finger around its joints (N, 2), narrower towards the tip."""
    points = np.rint(view.pixels(joints) * 16).astype(int)
    half_widths = np.linspace(10.5, 8.0, len(points))
    for (start, end), half_width in zip(pairwise(points), half_widths, strict=False):
        thickness = max(round(2 * half_width * view.pixels_per_mm), 1)
        cv2.line(canvas, start.tolist(), end.tolist(), 1, thickness, cv2.LINE_8, 4)


def _fill(canvas: np.ndarray, outline: np.ndarray, view: View, grow: float = 0.0) -> None:
    """Fills a convex outline (N, 2) in mm, widened by `grow` mm."""
    points = np.rint(view.pixels(outline)).astype(np.int32)
    cv2.fillConvexPoly(canvas, points, 1)
    if grow:
        cv2.polylines(canvas, [points], True, 1, round(2 * grow * view.pixels_per_mm))


def _thickness(inside: np.ndarray, radius: float, view: View) -> np.ndarray:
    """float32 (size, size): way of the ray through tissue, in mm."""
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1] / view.pixels_per_mm
    return _chord(depth, radius)


def _developed(absorption: np.ndarray, view: View, random: np.random.Generator) -> np.ndarray:
    """uint8 (size, size): absorption (float32) exposed, blurred, with grain, marker and border."""
    dose = np.exp(random.normal(0, difficulty.EXPOSURE))
    white = 1 - np.exp(-dose * absorption)
    white = cv2.GaussianBlur(white, (0, 0), random.uniform(*difficulty.BLUR))
    white = (white / np.quantile(white, 0.995)).clip(0, 1.15)
    white = white ** np.exp(random.normal(0.1, difficulty.GAMMA))
    white *= _heel(random, view.size)
    haze = random.uniform(0.03, 0.12)
    white = haze + (random.uniform(0.75, 0.95) - haze) * white
    _stamp_side(white, view, random)
    noise = cv2.GaussianBlur(random.standard_normal(white.shape, np.float32), (0, 0), 0.6)
    white = white + random.uniform(*difficulty.NOISE) * 1.6 * noise * (0.35 + white)
    opening = cv2.GaussianBlur(view.field.astype(np.float32), (0, 0), 0.8)
    white = 0.015 + (white - 0.015) * opening
    return np.rint(255 * white.clip(0, 1)).astype(np.uint8)


def _heel(random: np.random.Generator, size: int) -> np.ndarray:
    """float32 (size, size) about 1: the beam is weaker towards one side (the anode's heel)."""
    slope = random.normal(0, 0.1, 2)
    place = np.linspace(-1, 1, size, dtype=np.float32)
    return (1 + slope[0] * place[:, None] + slope[1] * place).astype(np.float32)


def _stamp_side(white: np.ndarray, view: View, random: np.random.Generator) -> None:
    """The lead letter that tells left from right, drawn into `white` (size, size)."""
    letter = np.array(LETTERS["L" if view.matrix[0, 0] > 0 else "R"])
    corner = np.array([random.choice([0.05, 0.88]), random.uniform(0.05, 0.12)])
    strokes = np.rint((corner + 0.045 * letter) * view.size * 16).astype(np.int32)
    lead = np.zeros(white.shape, np.uint8)
    cv2.polylines(lead, [strokes], False, 255, max(view.size // 110, 1), cv2.LINE_AA, 4)
    np.maximum(white, lead * np.float32(0.95 / 255), out=white)
