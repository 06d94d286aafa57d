"""The hands of generated people, as outlines of their bones.

Millimetres, origin at the wrist, x towards the thumb, y towards the finger tips: a right hand seen
from its back has its thumb on the left, so it is mirrored by the caller. hand.toml has the lengths
and places of an average adult; the constants here say how people and their poses vary around them.
Shares and probabilities lie in 0..1, deviations are standard deviations, angles are degrees.
"""

import tomllib
from dataclasses import dataclass
from itertools import compress, pairwise
from pathlib import Path
from typing import Any

import numpy as np

HAND: dict[str, Any] = tomllib.loads(
    (Path(__file__).parent / "hand.toml").read_text(encoding="utf-8")
)
CLASSES: tuple[str, ...] = tuple(HAND["classes"])
OUTLINES = {name: np.array(points, float) for name, points in HAND["outlines"].items()}
GAP = 1.6  # the joint's cartilage, which X-rays do not show

# People
YOUNG = 0.12  # share of people whose late carpal bones are not there yet
WITH_SESAMOIDS = 0.5  # share of people with sesamoid bones
EACH_SESAMOID = 0.75  # among them, the probability of each of the four
AMPUTATED = 0.08  # share of people who miss a part of a finger
SHAPE = 0.07  # deviation of a bone's length and width, as a share

# Poses
FAN = 4.0  # deviation of the spread between neighbouring fingers
JOINT = 4.0  # deviation of a finger joint
BENT = 0.15  # probability that a finger is bent towards the detector, which shortens its bones


@dataclass(frozen=True)
class Bone:
    """One bone on the image."""

    name: str
    outline: np.ndarray
    """(N, 2), mm"""
    cortex: float
    """Thickness of its compact wall in mm."""
    density: float = 1.0


@dataclass(frozen=True)
class Person:
    """What both hands of one person share."""

    short_bones: list[Bone]
    """The carpal and the forearm bones."""
    sesamoids: np.ndarray
    """bool (4,): whether the person has each of the sesamoid bones."""
    missing: np.ndarray
    """int (5,): number of bones, from the tip, that are amputated from each digit."""
    lengths: np.ndarray
    """(5, 4): factor of each bone's length, by digit and from the metacarpal on."""
    widths: np.ndarray
    """(5,): factor of the widths of each digit."""


@dataclass(frozen=True)
class Hand:
    """One hand as it lies on the detector."""

    bones: list[Bone]
    """Those that lie below others first."""
    joints: list[np.ndarray]
    """Per digit the ends of its bones (bones + 1, 2) in mm, from the metacarpal's base to the tip."""


def draw_person(random: np.random.Generator) -> Person:
    """A person at random."""
    digit, count = random.integers(1, 5), random.integers(1, 3)
    sesamoids = (random.random() < WITH_SESAMOIDS) & (random.random(4) < EACH_SESAMOID)
    young = random.random() < YOUNG
    missing = np.zeros(5, int)
    missing[digit] = count if random.random() < AMPUTATED else 0
    lengths = 1 + SHAPE * np.clip(random.standard_normal((5, 4)) / 2, -1, 1)
    widths = 1 + SHAPE * np.clip(random.standard_normal(5), -2, 2)
    short_bones = []
    for name, points in OUTLINES.items():
        outline = points + random.normal(0, 8 * SHAPE, points.shape)
        if name in ("Radius", "Ulna"):
            short_bones.append(Bone(name, _rounded(outline), cortex=2.0))
        elif not (young and name in HAND["late"]):
            centre = outline.mean(axis=0)
            outline = _rounded(centre + (0.75 if young else 1.04) * (outline - centre))
            density = 0.6 if name == "Pisiform" else 1.0
            short_bones.append(Bone(name, outline, cortex=0.7, density=density))
    return Person(short_bones, sesamoids, missing, lengths, widths)


def draw_hand(random: np.random.Generator, person: Person) -> Hand:
    """A hand of the person in a pose at random."""
    digits = HAND["digits"]
    fan = random.normal(1, FAN / 8) * np.array(digits["spread"]) * 3
    directions = np.array(digits["direction"]) + fan + random.normal(0, JOINT / 2, 5)
    bends = random.normal(0, JOINT, (5, 4)) * np.array([0, 1, 0.6, 0.6])
    bends[0, 1:] -= np.array([14, 6, 0])  # the thumb leans towards the fingers
    angles = np.radians(directions[:, None] * [1, 0.85, 0.85, 0.85] + np.cumsum(bends, axis=1))
    bent = random.random(5) < BENT
    flexion = np.where(bent[:, None], random.uniform(0, 55, (5, 4)) * [0, 0.8, 1, 1], 0)
    foreshortening = np.cos(np.radians(flexion))

    joints, bones = [], list(person.short_bones)
    for digit, lengths in enumerate(digits["lengths"]):
        those = digit, slice(len(lengths))
        steps = np.array(lengths) * person.lengths[those] * foreshortening[those]
        turns = angles[those]
        moves = steps[:, None] * np.stack([np.sin(turns), np.cos(turns)], axis=1)
        base = np.array(digits["base"][digit])
        ends = np.vstack([base, base + np.cumsum(moves, axis=0)])
        joints.append(ends[: len(ends) - person.missing[digit]])
        names = [name for name in HAND["half_widths"] if digit or name != "middle-phalanges"]
        for name, (start, end) in zip(names, pairwise(joints[digit]), strict=False):
            widths = np.array(HAND["half_widths"][name]) * person.widths[digit]
            outline = _long_outline(start, end, widths * digits["breadth"][digit])
            bones.append(Bone(name, outline, cortex=1.3))

    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ellipse = np.stack([np.cos(turns), 0.8 * np.sin(turns)], axis=1)
    for digit, place, radius in compress(HAND["sesamoids"], person.sesamoids):
        start, end = joints[digit][:2]
        along, across, _ = _axes(start, end)
        centre = end - 3.5 * along + place * across
        bones.append(Bone("Sesamoid", centre + radius * ellipse, cortex=0.8))
    return Hand(bones, joints)


def _long_outline(start: np.ndarray, end: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """A tapered tube with a broad base and a head between two joints (2,); (N, 2).

    half_widths (3,): at base, shaft and head.
    """
    along, across, length = _axes(start, end)
    places = GAP / 2 + np.array(HAND["profile"]["place"]) * max(length - GAP, 1.0)
    middle = start + np.outer(places, along)
    half = np.outer(HAND["profile"]["factor"] * np.repeat(half_widths, 3), across)
    return _rounded(np.vstack([middle + half, (middle - half)[::-1]]))


def _axes(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit vectors (2,) along and across the way between two points, and its length."""
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length
    return along, np.array([along[1], -along[0]]), length


def _rounded(outline: np.ndarray) -> np.ndarray:
    """A closed outline (N, 2) with its corners cut twice (Chaikin 1974): (4 N, 2)."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1)
        outline = cut.reshape(-1, 2)
    return outline
