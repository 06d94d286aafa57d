"""How hard the demo competition is: the numbers that calibration turns, all in one place.

Shares and probabilities lie in 0..1, lengths are millimetres of the hand (one pixel of the default
256 × 256 image is about .9 mm), angles are degrees, deviations are standard deviations.
"""

# People
YOUNG = 0.12  # share of people whose late carpal bones are not there yet
SESAMOIDS = 0.5  # share of people with sesamoid bones
EACH_SESAMOID = 0.75  # among them, the probability of each of the four
AMPUTATED = 0.08  # share of people who miss a part of a finger
SHAPE = 0.07  # deviation of a bone's length and width, as a share

# Poses
ROTATION = 9.0
FAN = 4.0  # deviation of the spread between neighbouring fingers
JOINT = 4.0  # deviation of a finger joint
BENT = 0.15  # probability that a finger is bent towards the detector, which shortens its bones
SHIFT = 0.035  # deviation of the hand's place, as a share of the image
ZOOM = 0.06  # deviation of the hand's scale
NO_FOREARM = 0.12  # probability that the hand lies so low that the forearm is outside

# Exposure
EXPOSURE = 0.25  # deviation of the log of the dose
GAMMA = 0.15  # deviation of the log of the display's gamma
NOISE = (0.02, 0.055)  # range of the noise's deviation, as a share of white
BLUR = (0.4, 1.3)  # range of the focal spot's deviation
COLLIMATED = 0.6  # probability of a visible border of the collimator

# Annotators
TREMOR = 0.5  # deviation of an outline's points
BIAS = 0.45  # deviation of how far outside all bones one annotator draws
GENEROUS = {"Pisiform": 0.9, "Sesamoid": 1.0, "Lunate": 0.5}  # all draw these so far outside
OVERLOOKED = {"Sesamoid": 0.2}  # probability that a bone is not drawn at all
SMALLEST = 8.0  # mm²; a smaller rest of a bone at the border of the image is not annotated
