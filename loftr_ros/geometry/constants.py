"""The numbers that decide about a pose, beside those of `TwoViewOptions` and `MetricOptions`.

What a number of the same meaning can do twice has one name. They were chosen on the sets that
docs/poses.md marks, by `benchmarks/poses.py`, if nothing else is said.
"""

from __future__ import annotations

SURELY = 3.0
"""Standard deviations from which on something is no chance: one in 370, of normal errors."""
SURE = 0.98
"""No match is surer than this, nor less sure than the rest, and so many right ones at most are an
exception to a rule: a stated certainty may be wrong."""
UNKNOWN = 0.8
"""Confidence of matches whose matcher states none."""
INLIER = 0.5
"""Probability from which on something counts as true: more likely than not."""
LEAST_SIGMA = 0.1
"""No match is more accurate than this, px: what sigma leaves out, added in quadrature."""
SHARP = 0.7
"""Sigma of the matches of sharp images, px: surer ones are sampled first, and the errors that
neighbours share grow with what lies above."""
BLURRED = 1.5
"""Median deviation of the matches of a motion from which on the images are blurred, px; it is 0.1
to 0.6 px in sharp ones, and above 2 px in those that are smeared by 45 px."""
CLEAR_PARALLAX = 30.0
"""Median parallax, by that deviation, that shows the motion in spite of it: blur shifts whole parts
of an image alike, by about as much, and no number of matches removes that."""
REACH = 1 / 20
"""D of the likelihood as a share of the image's side. The errors of wrong matches have a wide peak
around zero, as a matcher prefers the neighbours of the right place. It decides how far a right
match may lie from the model: 1.8 to 3.5 sigma for a confidence of 0.2 to 0.95, a sigma of 0.5 px
and a side of 500 px."""
ENOUGH = 100
"""Matches that are sampled, and with whose support no other start finds another motion."""
TILES = 8
"""Tiles along each side of the image; what lies in one may err together."""
RIVAL = 0.6
"""Area of the image that follows a second motion, as a share of the first's, from which on nobody
can decide which of the two is that of the scene."""
TWICE = 2.0
"""Factor from which on depth contradicts the matches: of their likelihood without it, each, or of
the errors in metres by those across the epipolar lines (variances differ fourfold: F-test)."""
FOCAL_SIGMA = 0.05
"""Error of one estimate of the focal length that comes from distortion and shutter, as a share of
it; twice as much is an error of the calibration. Frames with little motion promise less."""
MEMORY = 0.9
"""Weight of what earlier frames measured of the focal length, by each later frame."""
HIDDEN = 0.003
"""A rotation alone may hide a translation by this share of the depth (1.5 px of 500), and then errs
by as much, rad: no covariance of the matches shows it."""
