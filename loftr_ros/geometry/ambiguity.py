"""What other motions, which explain the matches nearly as well, leave uncertain of a pose."""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt

import numpy as np

from loftr_ros.geometry.covariance import tile_members
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.models import Model
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import angle_between, rotation_vector
from loftr_ros.geometry.types import Array


def spread(best: Model, rivals: Sequence[Model], pairs: RayPairs, options: TwoViewOptions) -> Array:
    """Return the covariance (6, 6), x y z rx ry rz, that the choice between motions adds.

    The pose is a mixture of the motions. The weight of a rival is the probability that it is the
    more likely one: Q. H. Vuong, "Likelihood ratio tests for model selection and non-nested
    hypotheses", Econometrica, 1989, with the gains of a tile summed up, since its matches err
    together.

    Args:
        best: The most likely motion.
        rivals: Other motions; those that are alike count once.
        pairs: The matches.
        options: Motions are one if they differ by less than its `max_rotation_sigma`.
    """
    covariance, member = np.zeros((6, 6)), tile_members(pairs)
    different: list[Model] = []
    for rival in sorted(rivals, key=lambda model: -float(model.line_gains.sum())):
        if any(are_alike(rival, other, options.max_rotation_sigma) for other in different):
            continue
        different.append(rival)
        gains = member @ (best.line_gains - rival.line_gains)
        deviations = float(gains.sum()) / max(sqrt(float(gains @ gains)), 1e-9)
        step = _step(best.motion, rival.motion)
        covariance += 0.5 * erfc(deviations / sqrt(2.0)) * np.outer(step, step)
    return covariance


def are_alike(one: Model, other: Model, angle: float) -> bool:
    """Return whether rotations and directions of two models differ by less than an angle, rad."""
    step = _step(one.motion, other.motion)
    return max(float(np.linalg.norm(step[:3])), float(np.linalg.norm(step[3:]))) < angle


def _step(motion: Motion, other: Motion) -> Array:
    """Return how far (6,) another motion is, x y z rx ry rz: the direction along its arc."""
    across = other.translation - (other.translation @ motion.translation) * motion.translation
    length = float(np.linalg.norm(across))
    arc = angle_between(motion.translation, other.translation)
    shift = across * (arc / length) if length > 0 else across
    return np.concatenate([shift, rotation_vector(other.rotation @ motion.rotation.T)])
