"""A hand as outlines of its bones: anatomy of a person, pose of an image.

Millimetres, origin at the wrist, x towards the thumb, y towards the finger tips: a right hand seen
from its back has its thumb on the left, so it is mirrored by the caller. Lengths and places are
those of an average adult; sizes of people vary around them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from competition.data import demo_difficulty as difficulty

CLASSES = (
    "distal-phalanges",
    "middle-phalanges",
    "proximal-phalanges",
    "metacarpals",
    "Trapezium",
    "Capitate",
    "Hamate",
    "Scaphoid",
    "Lunate",
    "Triquetrum",
    "Pisiform",
    "Sesamoid",
    "Radius",
    "Ulna",
)

# Control points of the short and the forearm bones; corners are cut off later.
OUTLINES = {
    "Trapezium": [(16, 19.5), (21, 14.5), (28.5, 18.5), (31, 26), (25.5, 31), (18.5, 30)],
    "Trapezoid": [(8.5, 21), (12.5, 20.5), (16, 22.5), (17, 29), (13, 32.5), (8.5, 31.5)],
    "Capitate": [
        (-4.5, 13),
        (-1, 11),
        (4.5, 12),
        (7.5, 17),
        (7.5, 25),
        (7.5, 33),
        (1, 36),
        (-5, 34),
        (-5.5, 25),
        (-6, 18),
    ],
    "Hamate": [(-6, 13), (-7.5, 20), (-7, 32), (-13, 33), (-20.5, 30), (-19, 22), (-13, 17)],
    "Scaphoid": [
        (3, 5),
        (8, 2),
        (14, 4.5),
        (19.5, 10.5),
        (20, 17),
        (16, 20),
        (11, 18),
        (9, 12.5),
        (5, 11),
    ],
    "Lunate": [
        (-7.5, 3),
        (-1, 1),
        (4, 3),
        (5, 8),
        (3, 12),
        (-2.5, 11),
        (-6.5, 12.5),
        (-9, 8),
    ],
    "Triquetrum": [
        (-9, 6),
        (-14, 4.5),
        (-19, 8.5),
        (-20, 14),
        (-15.5, 18.5),
        (-10, 16),
        (-8.5, 11),
    ],
    "Pisiform": [
        (-10, 8),
        (-14, 6.5),
        (-18.5, 8),
        (-20, 12.5),
        (-18, 16.5),
        (-13.5, 17),
        (-10, 14),
    ],
    "Radius": [
        (23.5, 6),
        (20, 5),
        (14, -0.5),
        (6, -2.5),
        (-4, -1.5),
        (-6.5, -3),
        (-7, -9),
        (-2, -22),
        (1, -45),
        (2, -150),
        (16, -150),
        (17, -45),
        (19, -22),
        (24, -8),
        (25.5, 0),
    ],
    "Ulna": [
        (-9, -4),
        (-13, -1.5),
        (-18, -2),
        (-20.5, 2),
        (-23, -1),
        (-23, -9),
        (-20, -18),
        (-18.5, -45),
        (-17, -150),
        (-7, -150),
        (-8, -45),
        (-10, -18),
        (-8.5, -9),
    ],
}
LATE = ("Trapezium", "Trapezoid", "Scaphoid", "Pisiform")

# One row a digit, thumb first: place of the metacarpal's base, its direction (degrees from y
# towards the thumb), and the bones' lengths from the metacarpal to the tip.
DIGITS = (
    ((29.5, 31.5), 38.0, (43.0, 30.0, 22.0)),
    ((13.5, 36.0), 9.0, (64.0, 39.0, 23.0, 17.0)),
    ((1.0, 38.5), 0.0, (62.0, 43.0, 27.0, 18.0)),
    ((-9.0, 36.5), -8.0, (55.0, 40.0, 26.0, 18.0)),
    ((-17.0, 33.5), -18.0, (51.0, 32.0, 18.5, 16.5)),
)
# Half-widths at base, shaft and head; the thumb has no middle phalanx.
WIDTHS = {
    "metacarpals": (6.6, 4.2, 6.9),
    "proximal-phalanges": (7.0, 4.4, 5.4),
    "middle-phalanges": (5.9, 3.8, 4.8),
    "distal-phalanges": (5.2, 2.5, 3.6),
}
# Digit, place across its metacarpal's head (mm towards the thumb), radius.
SESAMOIDS = ((0, -6.0, 4.0), (0, 2.5, 3.4), (1, 5.5, 3.2), (4, -5.5, 3.2))
GAP = 1.6  # the joint's cartilage, which X-rays do not show


@dataclass(frozen=True)
class Person:
    """What both hands of one person share."""

    young: bool
    sesamoids: tuple[bool, ...]
    """Whether the person has each of SESAMOIDS."""
    amputated: tuple[int, int] | None
    """Digit, and number of its bones from the tip, that are missing."""
    lengths: np.ndarray
    """(5, 4): factor of each bone's length, by digit and from the metacarpal on."""
    widths: np.ndarray
    """(5,): factor of the widths of each digit."""
    wobble: dict[str, np.ndarray]
    """Per bone of OUTLINES the displacement (points, 2) of its control points, in mm."""


@dataclass(frozen=True)
class Pose:
    """How one hand lies on the detector."""

    directions: np.ndarray
    """(5, 4): direction of each bone, degrees from y towards the thumb."""
    foreshortening: np.ndarray
    """(5, 4): length on the image as a share of the bone's own."""


@dataclass(frozen=True)
class Bone:
    """One bone on the image: name, outline (N, 2), thickness of its compact wall in mm, density."""

    name: str
    outline: np.ndarray
    cortex: float
    density: float = 1.0


def draw_person(random: np.random.Generator) -> Person:
    """A person at random."""
    amputated = (int(random.integers(1, 5)), int(random.integers(1, 3)))
    spread = difficulty.SHAPE
    any_sesamoids = random.random() < difficulty.SESAMOIDS
    each_sesamoid = random.random(len(SESAMOIDS)) < difficulty.EACH_SESAMOID
    return Person(
        young=bool(random.random() < difficulty.YOUNG),
        sesamoids=tuple((any_sesamoids & each_sesamoid).tolist()),
        amputated=amputated if random.random() < difficulty.AMPUTATED else None,
        lengths=1 + spread * np.clip(random.standard_normal((5, 4)) / 2, -1, 1),
        widths=1 + spread * np.clip(random.standard_normal(5), -2, 2),
        wobble={
            name: random.normal(0, 8 * spread, (len(points), 2))
            for name, points in OUTLINES.items()
        },
    )


def draw_pose(random: np.random.Generator) -> Pose:
    """A pose at random."""
    directions = np.array([digit[1] for digit in DIGITS])
    fan = random.normal(1, difficulty.FAN / 8) * np.array([0.3, 1, 0, -1, -2]) * 3
    directions = directions + fan + random.normal(0, difficulty.JOINT / 2, 5)
    bends = random.normal(0, difficulty.JOINT, (5, 4)) * np.array([0, 1, 0.6, 0.6])
    bends[0, 1:] -= np.array([14, 6, 0])  # the thumb leans towards the fingers
    bent = random.random(5) < difficulty.BENT
    flexion = np.where(bent[:, None], random.uniform(0, 55, (5, 4)) * [0, 0.8, 1, 1], 0)
    along = directions[:, None] * np.array([1, 0.85, 0.85, 0.85]) + np.cumsum(bends, axis=1)
    return Pose(along, np.cos(np.radians(flexion)))


def bones(person: Person, pose: Pose) -> list[Bone]:
    """All bones of a hand, those that lie below others first."""
    return [*_short_bones(person), *_long_bones(person, pose), *_sesamoids(person, pose)]


def digit_joints(person: Person, pose: Pose) -> list[np.ndarray]:
    """Per digit the ends of its bones (bones + 1, 2), from the metacarpal's base to the tip."""
    joints = []
    for digit, (base, _, lengths) in enumerate(DIGITS):
        count = len(lengths)
        steps = (
            np.array(lengths) * person.lengths[digit, :count] * pose.foreshortening[digit, :count]
        )
        angles = np.radians(pose.directions[digit, :count])
        moves = steps[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        joints.append(np.vstack([[base], base + np.cumsum(moves, axis=0)]))
    return joints


def visible_bones(person: Person, digit: int) -> int:
    """How many bones of a digit, counted from the metacarpal, the person has."""
    missing = person.amputated[1] if person.amputated and person.amputated[0] == digit else 0
    return len(DIGITS[digit][2]) - missing


def _short_bones(person: Person) -> Iterator[Bone]:
    for name, points in OUTLINES.items():
        if person.young and name in LATE:
            continue
        outline = np.array(points, float) + person.wobble[name]
        forearm = name in ("Radius", "Ulna")
        if not forearm:
            centre = outline.mean(axis=0)
            outline = centre + (0.75 if person.young else 1.04) * (outline - centre)
        density = 0.6 if name == "Pisiform" else 1.0
        yield Bone(name, rounded(outline), cortex=2.0 if forearm else 0.7, density=density)


def _long_bones(person: Person, pose: Pose) -> Iterator[Bone]:
    for digit, joints in enumerate(digit_joints(person, pose)):
        names = [name for name in WIDTHS if digit or name != "middle-phalanges"]
        for position, name in enumerate(names[: visible_bones(person, digit)]):
            base, shaft, head = np.array(WIDTHS[name]) * person.widths[digit]
            if digit == 4:
                base, shaft, head = 0.85 * base, 0.85 * shaft, 0.85 * head
            outline = _long_outline(joints[position : position + 2], (base, shaft, head))
            yield Bone(name, outline, cortex=1.3)


def _long_outline(ends: np.ndarray, half_widths: tuple[float, float, float]) -> np.ndarray:
    """A tapered tube with a broad base and a head between two joints (2, 2); (N, 2)."""
    base, shaft, head = half_widths
    profile = np.array(
        [
            (0.0, 0.7 * base),
            (0.02, base),
            (0.1, 0.97 * base),
            (0.27, 1.1 * shaft),
            (0.5, shaft),
            (0.72, 1.05 * shaft),
            (0.86, 0.9 * head),
            (0.95, head),
            (1.0, 0.6 * head),
        ]
    )
    direction = ends[1] - ends[0]
    length = max(float(np.hypot(*direction)), 1e-6)
    direction = direction / length
    side = np.array([direction[1], -direction[0]])
    along = ends[0] + np.outer(GAP / 2 + profile[:, 0] * max(length - GAP, 1.0), direction)
    across = np.outer(profile[:, 1], side)
    return rounded(np.vstack([along + across, (along - across)[::-1]]))


def _sesamoids(person: Person, pose: Pose) -> Iterator[Bone]:
    joints = digit_joints(person, pose)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ellipse = np.stack([np.cos(angles), 0.8 * np.sin(angles)], axis=1)
    for (digit, place, radius), there in zip(SESAMOIDS, person.sesamoids, strict=True):
        if there:
            start, end = joints[digit][:2]
            direction = (end - start) / np.hypot(*(end - start))
            side = np.array([direction[1], -direction[0]])
            centre = end - 3.5 * direction + place * side
            yield Bone("Sesamoid", centre + radius * ellipse, cortex=0.8)


def rounded(outline: np.ndarray) -> np.ndarray:
    """A closed outline (N, 2) with its corners cut twice (Chaikin 1974): (4 N, 2)."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1)
        outline = cut.reshape(-1, 2)
    return outline
