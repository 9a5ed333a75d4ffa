from __future__ import annotations

import numpy as np
import pytest
from corrupted_sequences import CASES, GAP, Count, TruthNoise, is_wrong

from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.frontend import Frame
from loftr_ros.frontend.frame import RightView
from loftr_ros.geometry import Camera, PoseState, RelativePose
from loftr_ros.geometry.rotations import rotation_from_vector

CAMERA = Camera(160, 120, np.array([[130, 0, 79.5], [0, 130, 59.5], [0, 0, 1]]))


OF_DEPTH = {'constant_depth', 'mirrored_depth', 'late_depth'}


def frames(count: int = 12, *, depth: bool = False) -> list[GroundTruthFrame]:
    made, baseline = [], np.eye(4)
    baseline[0, 3] = 0.1
    for index in range(count):
        rng = np.random.default_rng(index)
        left, right = rng.integers(0, 255, (2, 120, 160), np.uint8)
        pose = np.eye(4)
        pose[0, 3] = 0.1 * index
        view = None if depth else RightView(right, CAMERA, baseline)
        distance = rng.uniform(1, 3, (120, 160)).astype(np.float32) if depth else None
        frame = Frame((index + 1) * 10**8, left, 'camera', CAMERA, distance, view)
        made.append(GroundTruthFrame(frame, pose))
    return made


@pytest.mark.parametrize('name', list(CASES))
def test_each_case_is_a_sequence_that_the_tracker_takes(name: str) -> None:
    original = frames(depth=name in OF_DEPTH or name.startswith('crossing_board'))
    corrupted = CASES[name](original, np.random.default_rng(0))
    stamps = [item.frame.stamp_ns for item in corrupted]
    assert len(corrupted) >= 10
    assert stamps == sorted(set(stamps))
    for item in corrupted:
        item.frame.check()
        assert item.world_T_camera is not None
    same = [
        np.array_equal(before.frame.image, after.frame.image)
        and before.frame.camera is after.frame.camera
        and before.frame.depth is after.frame.depth
        and before.frame.right is after.frame.right
        for before, after in zip(original, corrupted, strict=False)
    ]
    assert not all(same)


def test_a_case_of_depth_needs_depth() -> None:
    for name in (*OF_DEPTH, 'crossing_board_30'):
        assert CASES[name](frames(), np.random.default_rng(0)) == []
    assert CASES['late_right_view'](frames(depth=True), np.random.default_rng(0)) == []


def test_a_position_in_metres_may_be_wrong_by_its_length() -> None:
    truth = np.eye(4)
    truth[0, 3] = 0.1
    estimate = np.eye(4)
    estimate[0, 3] = 0.12
    inliers = np.ones(30, np.bool_)
    for sigma, wrong in ((0.001, True), (0.02, False)):
        pose = RelativePose.in_metres(
            estimate, np.eye(6) * sigma**2, method='pnp', inliers=inliers, median_residual=0.1
        )
        assert is_wrong(pose, truth) == wrong


def test_a_gap_is_black_and_ends() -> None:
    corrupted = CASES['black_frames'](frames(), np.random.default_rng(0))
    dark = [float(item.frame.image.mean()) < 5 for item in corrupted]
    assert dark == [index in range(*GAP.indices(12)) for index in range(12)]
    images = [item.frame.image.tobytes() for item in corrupted]
    assert len(set(images)) == len(images)


def pose_with(angle: float, direction: tuple[float, float, float], sigma: float) -> RelativePose:
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_vector(np.deg2rad([0, angle, 0]))
    transform[:3, 3] = np.array(direction) / np.linalg.norm(direction)
    covariance = np.eye(6) * np.deg2rad(sigma) ** 2
    inliers = np.ones(30, np.bool_)
    return RelativePose.up_to_scale(
        transform, covariance, method='essential', inliers=inliers, median_residual=0.3
    )


@pytest.mark.parametrize(
    ('angle', 'direction', 'sigma', 'wrong'),
    [
        (0.0, (1, 0, 0), 0.1, False),
        (4.0, (1, 0, 0), 0.1, False),
        (6.0, (1, 0, 0), 0.1, True),
        (6.0, (1, 0, 0), 3.0, False),
        (0.0, (1, 0.2, 0), 1.0, True),
        (0.0, (1, 0.2, 0), 5.0, False),
        (0.0, (1, 0.05, 0), 0.1, False),
        (0.0, (-1, 0, 0), 5.0, True),
    ],
)
def test_wrong_is_what_misses_by_five_degrees_and_three_deviations(
    angle: float, direction: tuple[float, float, float], sigma: float, wrong: bool
) -> None:
    truth = np.eye(4)
    truth[0, 3] = 2.0
    assert is_wrong(pose_with(angle, direction, sigma), truth) is wrong


def test_a_direction_without_motion_is_wrong_and_a_failure_never_is() -> None:
    assert is_wrong(pose_with(0.0, (1, 0, 0), 5.0), np.eye(4))
    assert not is_wrong(RelativePose.failed(PoseState.LOST, 'dark'), np.eye(4))


@pytest.mark.parametrize(
    ('noise', 'wrong'),
    [
        (TruthNoise(), True),
        (TruthNoise(rotation=np.deg2rad(1.0)), True),
        (TruthNoise(rotation=np.deg2rad(2.5)), False),
        (TruthNoise(position=1.0), True),
    ],
)
def test_a_turn_is_not_wrong_within_the_noise_of_the_truth(noise: TruthNoise, wrong: bool) -> None:
    truth = np.eye(4)
    truth[0, 3] = 2.0
    assert is_wrong(pose_with(6.0, (1, 0, 0), 0.1), truth, noise) is wrong


@pytest.mark.parametrize(('position', 'wrong'), [(0.0, True), (0.05, True), (0.2, False)])
def test_a_direction_is_as_certain_as_the_way_is_long(position: float, wrong: bool) -> None:
    truth = np.eye(4)
    truth[0, 3] = 2.0
    noise = TruthNoise(position=position)
    assert is_wrong(pose_with(0.0, (1, 0.2, 0), 0.1), truth, noise) is wrong


def test_the_object_and_the_focal_length_vary_with_the_seed() -> None:
    original = frames()
    factors, halves = set(), set()
    for seed in range(12):
        camera = CASES['wrong_intrinsics'](original, np.random.default_rng(seed))[0].frame.camera
        assert camera is not None
        factors.add(round(camera.focal_length / CAMERA.focal_length, 3))
        corrupted = CASES['moving_object'](original, np.random.default_rng(seed))[3].frame.image
        kept = np.abs(corrupted.astype(int) - original[3].frame.image) < 15
        centres = kept[:60].mean(), kept[60:].mean(), kept[:, :80].mean(), kept[:, 80:].mean()
        halves.add(int(np.argmax(centres)))
    assert factors == {1.3, round(1 / 1.3, 3)}
    assert len(halves) > 2


def test_counts_add_up() -> None:
    first, second = Count(wrong=1), Count(wrong=2)
    first.states[PoseState.OK], second.states[PoseState.OK] = 3, 4
    first.join(second)
    assert (first.wrong, first.states[PoseState.OK]) == (3, 7)
