"""Sequences made to mislead, from real or rendered ones, and the count of what was believed.

Each case takes frames with true poses and corrupts their images, their order or their calibration;
the poses stay those of the camera that took the images.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.evaluation.records.metrics import direction_angle_error, rotation_angle_error
from loftr_ros.frontend import Frame, TrackingState
from loftr_ros.geometry import Camera, PoseState
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector, tangent_basis
from loftr_ros.rendering.procedural import procedural_texture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from loftr_ros.frontend import TrackingResult
    from loftr_ros.geometry import RelativePose

    Frames = list[GroundTruthFrame]
    Image = NDArray[Any]

LIMIT_DEGREES = 5.0
LIMIT_SIGMAS = 3.0
LIMIT_LENGTH = 0.1
"""Error of a position in metres that is wrong, as a share of the distance travelled."""
NOISE = 2.0
GAP = slice(4, 8)
"""The frames that a gap takes away: one more than the failures that end a keyframe."""


def black_frames(frames: Frames, rng: np.random.Generator) -> Frames:
    """Some frames in a row are black, but for the noise of the camera."""
    return _within_gap(frames, lambda image: _noisy(np.zeros(image.shape), rng))


def covered_lens(frames: Frames, rng: np.random.Generator) -> Frames:
    """A hand before the lens leaves a dim smear of one image, the same in all frames."""
    smear = cv2.GaussianBlur(_grey(frames[0].frame.image), (0, 0), 40) * 0.25 + 8
    return _within_gap(frames, lambda _: _noisy(smear, rng))


def motion_blur(frames: Frames, rng: np.random.Generator) -> Frames:
    """Each second image is smeared by 45 px in some direction."""
    corrupted = []
    for index, item in enumerate(frames):
        angle = rng.uniform(0, np.pi)
        line = np.zeros((45, 45), np.float32)
        reach = 22 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.round(22 + sign * reach)) for sign in (-1, 1)]
        cv2.line(line, ends[0], ends[1], 1.0)
        smeared = cv2.filter2D(_grey(item.frame.image), -1, line / line.sum())
        corrupted.append(_with_image(item, _noisy(smeared, rng)) if index % 2 else item)
    return corrupted


def teleport(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Go on from the other end of the sequence, backwards."""
    half = len(frames) // 2
    return _in_time(frames, [*frames[:half], *frames[: half - 1 : -1]])


def moving_object(frames: Frames, rng: np.random.Generator) -> Frames:
    """Something with a rich texture that moves across fills one half of the view."""
    height, width = frames[0].frame.image.shape[:2]
    halves = (
        np.s_[:, : width // 2],
        np.s_[:, width // 2 :],
        np.s_[: height // 2],
        np.s_[height // 2 :],
    )
    half = halves[rng.integers(len(halves))]
    step = rng.uniform(10, 18) * _unit(rng.normal(size=2))
    texture = procedural_texture(2048, rng)
    start = (np.array(texture.shape) - (height, width) - step * len(frames)) / 2
    corrupted = []
    for index, item in enumerate(frames):
        image = _grey(item.frame.image).copy()
        y, x = (start + step * index).astype(int)
        image[half] = texture[y : y + height, x : x + width][half]
        corrupted.append(_with_image(item, _noisy(image, rng)))
    return corrupted


def frozen_image(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """The driver repeats one image while the camera goes on."""
    return [
        _with_image(item, frames[GAP.start].frame.image) if GAP.start < index < 9 else item
        for index, item in enumerate(frames)
    ]


def wrong_intrinsics(frames: Frames, rng: np.random.Generator) -> Frames:
    """The focal length is taken for 30 % larger, or as much smaller, than it is."""
    factor = 1.3 ** rng.choice([-1.0, 1.0])
    return [_with_camera(item, factor) for item in frames]


def swapped_views(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """The left and the right image of a stereo pair are exchanged."""
    corrupted = []
    for item in frames:
        right = item.frame.right
        if right is not None:
            exchanged = replace(right, image=item.frame.image)
            frame = replace(item.frame, image=right.image, right=exchanged)
            corrupted.append(replace(item, frame=frame))
    return corrupted


def pure_rotation(frames: Frames, rng: np.random.Generator) -> Frames:
    """The camera of the first frame rotates without moving."""
    motions = [_pose(0.006 * index * np.array([0.4, 1.0, 0.3]), np.zeros(3)) for index in range(12)]
    return _before_wall(frames[0], _grey(frames[0].frame.image), motions, rng)


def planar_wall(frames: Frames, rng: np.random.Generator) -> Frames:
    """The first image is a flat wall that the camera passes."""
    return _before_wall(frames[0], _grey(frames[0].frame.image), _passing(), rng)


def repeated_texture(frames: Frames, rng: np.random.Generator) -> Frames:
    """The wall has the same tile again and again."""
    tile = procedural_texture(64, rng)
    height, width = frames[0].frame.image.shape[:2]
    wall = np.tile(tile, (height // 64 + 1, width // 64 + 1))[:height, :width]
    return _before_wall(frames[0], wall, _passing(), rng)


def crossing_board(share: float) -> Callable[[Frames, np.random.Generator], Frames]:
    """A textured board with consistent depth crosses a share of the view, 1 m before the camera."""

    def case(frames: Frames, rng: np.random.Generator) -> Frames:
        if any(item.frame.depth is None for item in frames):
            return []
        height, width = frames[0].frame.image.shape[:2]
        size = round(height * np.sqrt(share)), round(width * np.sqrt(share))
        texture = procedural_texture(max(size), rng)[: size[0], : size[1]]
        room, step = width - size[1], 0.6 * (width - size[1]) / len(frames)
        corrupted = []
        for index, item in enumerate(frames):
            image, depth = _grey(item.frame.image).copy(), np.array(item.frame.depth)
            left, top = round(0.2 * room + step * index), (height - size[0]) // 2
            window = np.s_[top : top + size[0], left : left + size[1]]
            image[window], depth[window] = texture, 1.0
            frame = replace(item.frame, image=_noisy(image, rng), depth=depth)
            corrupted.append(replace(item, frame=frame))
        return corrupted

    case.__name__ = f'crossing_board_{round(100 * share)}'
    return case


def constant_depth(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """The depth camera reports 2 m everywhere."""
    return _with_depths(frames, [np.full_like(d, 2.0) for d in _depths(frames)])


def mirrored_depth(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """The depth image is mirrored."""
    return _with_depths(frames, [np.ascontiguousarray(d[:, ::-1]) for d in _depths(frames)])


def late_depth(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Each depth image belongs to the frame two before."""
    depths = _depths(frames)
    return _with_depths(frames, [depths[max(n - 2, 0)] for n in range(len(depths))])


def late_right_view(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """The right image comes a frame late."""
    if any(item.frame.right is None for item in frames):
        return []
    return [
        replace(item, frame=replace(item.frame, right=before.frame.right))
        for before, item in zip([frames[0], *frames], frames, strict=False)
    ]


def wrong_principal_point(share: float) -> Callable[[Frames, np.random.Generator], Frames]:
    """The principal point is off by a share of the width."""

    def case(frames: Frames, rng: np.random.Generator) -> Frames:  # noqa: ARG001
        corrupted = []
        for item in frames:
            camera = item.frame.camera
            if camera is None:
                return []
            matrix = camera.matrix + share * camera.width * np.array([[0, 0, 1], [0] * 3, [0] * 3])
            frame = replace(item.frame, camera=replace(camera, matrix=matrix))
            corrupted.append(replace(item, frame=frame))
        return corrupted

    case.__name__ = f'wrong_principal_point_{round(100 * share)}'
    return case


CASES: dict[str, Callable[[Frames, np.random.Generator], Frames]] = {
    case.__name__: case
    for case in (
        black_frames,
        covered_lens,
        motion_blur,
        teleport,
        moving_object,
        planar_wall,
        pure_rotation,
        repeated_texture,
        frozen_image,
        swapped_views,
        wrong_intrinsics,
        crossing_board(0.15),
        crossing_board(0.3),
        crossing_board(0.5),
        constant_depth,
        mirrored_depth,
        late_depth,
        late_right_view,
        wrong_principal_point(0.05),
        wrong_principal_point(0.1),
    )
}


EXACT_CASES = {'planar_wall', 'pure_rotation', 'repeated_texture'}
"""Cases that are rendered, with true poses of their own."""


@dataclass(frozen=True)
class TruthNoise:
    """Standard deviations of the true poses of a sequence.

    Attributes:
        rotation: Of each axis, rad.
        position: Of each axis, m.
    """

    rotation: float = 0.0
    position: float = 0.0


@dataclass
class Count:
    """What the tracker believed of a case.

    Attributes:
        states: How many poses were of each state.
        wrong: How many of those that are OK are wrong.
        tracking: How many frames were of each state of tracking.
    """

    states: Counter[PoseState] = field(default_factory=Counter)
    wrong: int = 0
    tracking: Counter[TrackingState] = field(default_factory=Counter)

    def add(
        self,
        result: TrackingResult,
        reference_T_query: NDArray[np.float64],
        noise: TruthNoise | None = None,
    ) -> None:
        """Count a result whose true motion is known, up to some noise."""
        self.states[result.pose.state] += 1
        self.tracking[result.state] += 1
        self.wrong += is_wrong(result.pose, reference_T_query, noise)

    def join(self, other: Count) -> None:
        """Add what another count has."""
        self.states += other.states
        self.tracking += other.tracking
        self.wrong += other.wrong


def is_wrong(
    pose: RelativePose, reference_T_query: NDArray[np.float64], noise: TruthNoise | None = None
) -> bool:
    """Return whether a pose that is OK misses by more than 5 degrees and more than 3 deviations.

    Rotation and direction of translation are judged apart, each by the Mahalanobis length of its
    error, with the covariances of the pose and of the truth. A direction is always wrong where the
    camera did not move.
    """
    noise = noise or TruthNoise()
    if pose.state is not PoseState.OK or pose.reference_T_query is None or pose.covariance is None:
        return False
    rotation, direction = pose.reference_T_query[:3, :3], pose.reference_T_query[:3, 3]
    true = reference_T_query[:3, 3]
    rotvec = rotation_vector(reference_T_query[:3, :3] @ rotation.T)
    if rotation_angle_error(rotation, reference_T_query[:3, :3]) > LIMIT_DEGREES and _beyond(
        rotvec, pose.covariance[3:, 3:] + noise.rotation**2 * np.eye(3)
    ):
        return True
    length = float(np.linalg.norm(direction))
    if not np.linalg.norm(true) > 0 or not length > 0:
        return True
    basis = tangent_basis(direction / length)
    degrees = direction_angle_error(direction, true)
    miss = basis.T @ true / np.linalg.norm(true)
    # As long as the angle, since the opposite direction has no part across.
    miss = np.deg2rad(degrees) * (miss / max(float(np.linalg.norm(miss)), 1e-12))
    if not miss.any():
        miss = np.array([np.deg2rad(degrees), 0.0])
    share = noise.position / float(np.linalg.norm(true))
    spread = basis.T @ pose.covariance[:3, :3] @ basis / length**2 + share**2 * np.eye(2)
    if degrees > LIMIT_DEGREES and _beyond(miss, spread):
        return True
    return pose.metric and _misses_length(pose, true, noise)


def _misses_length(pose: RelativePose, true: NDArray[np.float64], noise: TruthNoise) -> bool:
    """Return whether a position in metres misses by more than `LIMIT_LENGTH` and 3 deviations."""
    if pose.reference_T_query is None or pose.covariance is None:
        return False
    error = true - pose.reference_T_query[:3, 3]
    spread = pose.covariance[:3, :3] + noise.position**2 * np.eye(3)
    far = np.linalg.norm(error) > LIMIT_LENGTH * float(np.linalg.norm(true))
    return bool(far) and _beyond(error, spread)


def _beyond(error: NDArray[np.float64], covariance: NDArray[np.float64]) -> bool:
    return float(error @ np.linalg.solve(covariance, error)) > LIMIT_SIGMAS**2


def _within_gap(frames: Frames, corrupt: Callable[[Image], Image]) -> Frames:
    gap = range(*GAP.indices(len(frames)))
    return [
        _with_image(item, corrupt(item.frame.image)) if index in gap else item
        for index, item in enumerate(frames)
    ]


def _with_image(item: GroundTruthFrame, image: Image) -> GroundTruthFrame:
    return replace(item, frame=replace(item.frame, image=image, depth=None, right=None))


def _depths(frames: Frames) -> list[NDArray[np.float32]]:
    """Return the depth images, none where a frame has none."""
    depths = [item.frame.depth for item in frames]
    return [] if any(depth is None for depth in depths) else [d for d in depths if d is not None]


def _with_depths(frames: Frames, depths: list[NDArray[np.float32]]) -> Frames:
    return [
        replace(item, frame=replace(item.frame, depth=depth))
        for item, depth in zip(frames, depths, strict=False)
    ]


def _with_camera(item: GroundTruthFrame, factor: float) -> GroundTruthFrame:
    camera = item.frame.camera
    if camera is None:
        return item
    matrix = camera.matrix * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
    return replace(item, frame=replace(item.frame, camera=replace(camera, matrix=matrix)))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _in_time(frames: Frames, order: Sequence[GroundTruthFrame]) -> Frames:
    return [
        replace(item, frame=replace(item.frame, stamp_ns=before.frame.stamp_ns))
        for before, item in zip(frames, order, strict=True)
    ]


def _grey(image: Image) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    return np.asarray(grey, np.float32)


def _noisy(image: Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    grey = image if image.ndim == 2 else image[..., 0]
    return np.clip(grey + rng.normal(0, NOISE, grey.shape), 0, 255).astype(np.uint8)


def _pose(rotvec: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation_from_vector(rotvec), shift
    return transform


def _passing() -> list[NDArray[np.float64]]:
    """Return poses (4, 4) before a wall at a distance of 1."""
    return [
        _pose(np.array([0.0, 0.004, 0.002]) * step, np.array([0.025, 0.006, 0.01]) * step)
        for step in range(12)
    ]


def _before_wall(
    item: GroundTruthFrame,
    wall: Image,
    motions: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
) -> Frames:
    """See a wall, which fills the first image at the distance 1 (tilted by 20 degrees)."""
    size = item.frame.image.shape[1], item.frame.image.shape[0]
    focal = 0.8 * size[0]
    matrix = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1.0]])
    camera = Camera(size[0], size[1], matrix)
    normal = rotation_from_vector(np.array([0.1, 0.35, 0.0]))[:, 2]
    frames = []
    for index, motion in enumerate(motions):
        # Hartley and Zisserman, eq. 13.2, with the plane normal . X = 1.
        toward = np.linalg.inv(motion[:3, :3]) @ (np.eye(3) - np.outer(motion[:3, 3], normal))
        warp = matrix @ toward @ np.linalg.inv(matrix)
        image = cv2.warpPerspective(
            np.asarray(wall, np.float32), warp, size, borderMode=cv2.BORDER_REFLECT
        )
        stamp = item.frame.stamp_ns + index * 10**8
        frame = Frame(stamp, _noisy(image, rng), item.frame.frame_id, camera)
        frames.append(GroundTruthFrame(frame, motion))
    return frames
