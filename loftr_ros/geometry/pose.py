"""The result of a relative pose estimate; one that failed cannot carry a pose."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.focal import FocalError
from loftr_ros.geometry.transforms import inverse_transform, invert_covariance, is_transform

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class PoseState(enum.Enum):
    """What an estimate is worth."""

    OK = 'ok'
    """Rotation and translation (its direction only, unless metric) are determined."""
    ROTATION_ONLY = 'rotation_only'
    """The rotation is determined; the matches show no parallax, so the translation is not."""
    DEGENERATE = 'degenerate'
    """The matches agree with more than one motion."""
    TOO_FEW_MATCHES = 'too_few_matches'
    """There was too little to estimate from."""
    LOST = 'lost'
    """No motion explains the matches."""

    @property
    def has_pose(self) -> bool:
        """Whether results of this state carry a pose."""
        return self in (PoseState.OK, PoseState.ROTATION_ONLY)


class Check(enum.IntEnum):
    """Which check refused a pose: the number stands in `RelativePose.msg`."""

    NONE = 0
    MATCHES = 1
    SUPPORT = 2
    AMBIGUITY = 3
    SECOND_MOTION = 4
    UNCERTAIN = 5
    CALIBRATION = 6
    DEPTH = 7
    BLUR = 8

    @property
    def label(self) -> str:
        """Its name in options, tables and figures."""
        return self.name.lower()


@dataclass(frozen=True, eq=False, kw_only=True)
class RelativePose:
    """Pose of the query camera in the reference camera, or why there is none.

    Attributes:
        state: What the estimate is worth.
        reference_T_query: float64 (4, 4), maps points of the query camera's optical frame into the
            reference camera's; None unless the state has a pose. The translation has the length 1
            where `metric` is False, and is zero for ROTATION_ONLY.
        covariance: float64 (6, 6), order x y z rx ry rz, m (or of the unit translation) and rad,
            about the axes of the reference frame (REP 103); None with no pose. A direction of
            translation has no variance along itself. For ROTATION_ONLY the variances of the
            translation are infinite.
        metric: Whether the translation is in metres.
        method: 'essential', 'homography', 'pnp' or 'none'.
        inliers: bool (N,), the matches that the pose explains; all False without a pose.
        median_residual: Median distance of the inliers from the model, px; NaN without a pose.
        reason: Why there is no full pose; empty for OK.
        focal_error: What the matches say about the focal length; None where they were not asked.
        check: Which check refused the pose; NONE with a pose.

    Raises:
        ValueError: The fields contradict each other.
    """

    state: PoseState
    reference_T_query: Array | None
    covariance: Array | None
    metric: bool
    method: str
    inliers: Flags
    median_residual: float
    reason: str = ''
    focal_error: FocalError | None = None
    check: Check = Check.NONE

    def __post_init__(self) -> None:
        """Refuse a failure with a pose, and a pose that is none."""
        if not self.state.has_pose:
            if self.reference_T_query is not None or self.covariance is not None:
                raise ValueError(f'an estimate that is {self.state.name} cannot carry a pose')
            if not self.reason:
                raise ValueError(f'an estimate that is {self.state.name} must give the reason')
            return
        if self.reference_T_query is None or self.covariance is None:
            raise ValueError(f'an estimate that is {self.state.name} needs pose and covariance')
        if not is_transform(self.reference_T_query):
            raise ValueError('a pose must be a rotation and a translation, finite and 4 x 4')
        _check_covariance(self.covariance)

    @classmethod
    def up_to_scale(
        cls,
        reference_T_query: Array,
        covariance: Array,
        *,
        method: str,
        inliers: Flags,
        median_residual: float,
    ) -> RelativePose:
        """Give a full pose whose translation is a unit direction.

        Raises:
            ValueError: The translation is not of length 1, or the pose is no rigid motion.
        """
        length = float(np.linalg.norm(reference_T_query[:3, 3]))
        if not abs(length - 1.0) < 1e-6:
            raise ValueError(f'a translation without scale must have the length 1, not {length}')
        return cls(
            state=PoseState.OK,
            reference_T_query=reference_T_query,
            covariance=covariance,
            metric=False,
            method=method,
            inliers=inliers,
            median_residual=median_residual,
        )

    @classmethod
    def in_metres(
        cls,
        reference_T_query: Array,
        covariance: Array,
        *,
        method: str,
        inliers: Flags,
        median_residual: float,
    ) -> RelativePose:
        """Give a full pose whose translation is in metres."""
        return cls(
            state=PoseState.OK,
            reference_T_query=reference_T_query,
            covariance=covariance,
            metric=True,
            method=method,
            inliers=inliers,
            median_residual=median_residual,
        )

    @classmethod
    def rotation_only(
        cls,
        rotation: Array,
        rotation_covariance: Array,
        *,
        method: str,
        inliers: Flags,
        median_residual: float,
        reason: str,
    ) -> RelativePose:
        """Give a rotation (3, 3) with its covariance (3, 3); the translation stays unknown."""
        transform = np.eye(4)
        transform[:3, :3] = rotation
        covariance = np.diag([np.inf, np.inf, np.inf, 0.0, 0.0, 0.0])
        covariance[3:, 3:] = rotation_covariance
        return cls(
            state=PoseState.ROTATION_ONLY,
            reference_T_query=transform,
            covariance=covariance,
            metric=False,
            method=method,
            inliers=inliers,
            median_residual=median_residual,
            reason=reason,
        )

    def inverse(self) -> RelativePose:
        """Return the pose of the reference camera in the query camera, of the same matches."""
        pose, covariance = self.reference_T_query, self.covariance
        if pose is None or covariance is None:
            return self
        rotated = np.where(np.isfinite(covariance), covariance, 0.0)
        rotated = invert_covariance(pose, rotated)
        if self.state is PoseState.ROTATION_ONLY:
            rotated[:3, :3] = np.diag([np.inf] * 3)
        return replace(self, reference_T_query=inverse_transform(pose), covariance=rotated)

    @classmethod
    def failed(
        cls, state: PoseState, reason: str, matches: int = 0, check: Check = Check.NONE
    ) -> RelativePose:
        """Give no pose for `matches` matches, because of `reason`.

        Raises:
            ValueError: The state is one of success, or the reason is empty.
        """
        if state.has_pose:
            raise ValueError(f'{state.name} is not a failure')
        inliers = np.zeros(matches, dtype=np.bool_)
        return cls(
            state=state,
            reference_T_query=None,
            covariance=None,
            metric=False,
            method='none',
            inliers=inliers,
            median_residual=float('nan'),
            reason=reason,
            check=check,
        )


def _check_covariance(covariance: Array) -> None:
    if covariance.shape != (6, 6) or np.isnan(covariance).any():
        raise ValueError('a covariance must be a 6 x 6 matrix without NaN')
    if (np.diag(covariance) < 0).any() or not np.isfinite(covariance[3:, 3:]).all():
        raise ValueError('a covariance must have variances >= 0, finite ones of the rotation')
