"""The pose graph: covariances as in GTSAM, keyframes, gaps, and loops that correct the chain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import compound, inverse_transform, make_transform

gtsam = pytest.importorskip('gtsam', reason='gtsam is not installed (requirements/gtsam.txt)')

from pose_graph import (  # noqa: E402
    GraphOptions,
    Motion,
    PoseGraph,
    covariance_from_gtsam,
    covariance_to_gtsam,
)

Array = npt.NDArray[np.float64]

SECOND = 10**9
SPREAD = np.diag([0.02, 0.03, 0.05, 0.004, 0.006, 0.01]) ** 2
vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(np.array)


def random_covariance(rng: np.random.Generator, size: float) -> Array:
    root = rng.normal(size=(6, 6)) * size
    return np.asarray(root @ root.T + 0.1 * size**2 * np.eye(6))


def stepped(pose: Array, error: Array) -> Array:
    """Move a pose by an error as the messages define it: x y z rx ry rz about fixed axes."""
    rotation = rotation_from_vector(error[3:]) @ pose[:3, :3]
    return make_transform(rotation, pose[:3, 3] + error[:3])


def error_of(estimate: Array, truth: Array) -> tuple[float, float]:
    """Return the largest error of the positions, m, and of the rotations, rad."""
    shift = np.linalg.norm(estimate[:, :3, 3] - truth[:, :3, 3], axis=1)
    angles = [
        np.linalg.norm(rotation_vector(a[:3, :3].T @ b[:3, :3]))
        for a, b in zip(estimate, truth, strict=True)
    ]
    return float(shift.max()), float(max(angles))


def square(side: int = 5) -> Array:
    """Poses of a camera that drives along a square and comes back to the start."""
    pose, poses = np.eye(4), [np.eye(4)]
    ahead = make_transform(np.eye(3), np.array([0, 0, 1.0]))
    corner = make_transform(rotation_from_vector(np.array([0, np.pi / 2, 0])), np.zeros(3))
    for _ in range(4):
        for step in range(side):
            pose = pose @ ahead @ (corner if step == side - 1 else np.eye(4))
            poses.append(pose)
    return np.array(poses)


def noisy(a: Array, b: Array, rng: np.random.Generator) -> Array:
    """Measure b in a with an error that SPREAD describes."""
    return stepped(inverse_transform(a) @ b, rng.multivariate_normal(np.zeros(6), SPREAD))


def drive(graph: PoseGraph, poses: Array, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for index in range(1, len(poses)):
        measured = noisy(poses[index - 1], poses[index], rng)
        graph.add_motion(Motion((index - 1) * SECOND, index * SECOND, measured, SPREAD))


def closing(poses: Array, seed: int = 2) -> Motion:
    last = len(poses) - 1
    measured = noisy(poses[0], poses[last], np.random.default_rng(seed))
    return Motion(0, last * SECOND, measured, SPREAD)


def test_each_axis_of_an_error_has_its_place_in_gtsam() -> None:
    pose = make_transform(rotation_from_vector(np.array([0.4, -1.1, 0.7])), np.array([1, 2, 3.0]))
    for axis in range(6):
        error = np.zeros(6)
        error[axis] = 1e-6
        twist = gtsam.Pose3(pose).localCoordinates(gtsam.Pose3(stepped(pose, error)))
        expected = np.outer(twist, twist)
        ours = np.outer(error, error)
        assert np.allclose(covariance_to_gtsam(pose, ours), expected, atol=1e-17)


def test_samples_of_an_error_spread_in_gtsam_as_its_covariance_says() -> None:
    rng = np.random.default_rng(3)
    pose = make_transform(rotation_from_vector(np.array([1.2, 0.3, -2.0])), np.array([4, -1, 2.0]))
    covariance = random_covariance(rng, 0.01)
    errors = rng.multivariate_normal(np.zeros(6), covariance, 20_000)
    estimate = gtsam.Pose3(pose)
    twists = np.array(
        [estimate.localCoordinates(gtsam.Pose3(stepped(pose, error))) for error in errors]
    )
    expected = covariance_to_gtsam(pose, covariance)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(twists.T) - expected) / scale).max() < 0.04


@settings(max_examples=50, deadline=None)
@given(vectors, vectors, st.integers(0, 1000))
def test_a_covariance_comes_back_from_gtsam_as_it_went(
    rotvec: Array, position: Array, seed: int
) -> None:
    pose = make_transform(rotation_from_vector(rotvec), position)
    covariance = random_covariance(np.random.default_rng(seed), 1.0)
    back = covariance_from_gtsam(pose, covariance_to_gtsam(pose, covariance))
    assert np.allclose(back, covariance)


def test_gtsam_chains_covariances_as_the_odometry_does() -> None:
    rng = np.random.default_rng(5)
    first, second = (
        make_transform(rotation_from_vector(rng.normal(size=3)), rng.normal(size=3))
        for _ in range(2)
    )
    spreads = [random_covariance(rng, 0.01) for _ in range(2)]
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    exact = gtsam.noiseModel.Isotropic.Sigma(6, 1e-7)
    graph.add(gtsam.PriorFactorPose3(0, gtsam.Pose3(), exact))
    for key, (motion, spread) in enumerate(zip((first, second), spreads, strict=True)):
        noise = gtsam.noiseModel.Gaussian.Covariance(covariance_to_gtsam(motion, spread))
        graph.add(gtsam.BetweenFactorPose3(key, key + 1, gtsam.Pose3(motion), noise))
    expected_pose, expected = compound(first, spreads[0], second, spreads[1])
    for key, pose in enumerate((np.eye(4), first, expected_pose)):
        values.insert(key, gtsam.Pose3(pose))
    marginal = gtsam.Marginals(graph, values).marginalCovariance(2)
    assert np.allclose(covariance_from_gtsam(expected_pose, marginal), expected, rtol=1e-5)


def test_a_loop_closure_corrects_a_square() -> None:
    poses, before, after = square(), [], []
    for seed in range(20):
        graph = PoseGraph()
        drive(graph, poses, seed)
        assert graph.add_loop(closing(poses, seed + 100))
        before.append(error_of(graph.chained_poses, poses)[0])
        after.append(error_of(graph.poses, poses)[0])
        assert np.allclose(graph.chained_poses[0], graph.poses[0], atol=1e-6)
        (loop,) = graph.loops
        assert loop.after < loop.before
        assert loop.weight > 0.5
    assert np.median(before) > 0.3
    assert np.median(after) < 0.6 * np.median(before)


def test_the_end_comes_back_to_the_start() -> None:
    poses, graph = square(), PoseGraph()
    drive(graph, poses)
    graph.add_loop(closing(poses))
    ends = [
        error_of(pose[None], poses[:1])[0] for pose in (graph.chained_poses[-1], graph.poses[-1])
    ]
    assert ends[0] > 0.3
    assert ends[1] < 0.1


def test_only_frames_that_are_referred_to_become_keyframes() -> None:
    graph = PoseGraph()
    ahead = make_transform(np.eye(3), np.array([0, 0, 1.0]))
    for query in (1, 2, 3):
        graph.add_motion(Motion(0, query * SECOND, ahead, SPREAD))
    graph.add_motion(Motion(2 * SECOND, 4 * SECOND, ahead, SPREAD))
    assert graph.stamps == [0, 2 * SECOND]
    assert np.allclose(graph.poses[1], ahead)
    assert graph.pose(2 * SECOND) is not None
    assert graph.pose(SECOND) is None
    assert graph.gaps == 0


def test_the_first_keyframe_stands_where_it_is_put() -> None:
    start = make_transform(rotation_from_vector(np.array([0.1, 0.2, 0.3])), np.array([1, 2, 3.0]))
    poses, graph = square(), PoseGraph(start)
    drive(graph, poses)
    graph.add_loop(closing(poses))
    assert np.allclose(graph.poses[0], start, atol=1e-6)


def test_a_loop_that_comes_before_its_frames_waits_for_them() -> None:
    poses, graph = square(), PoseGraph()
    drive(graph, poses[:-1])
    last = len(poses) - 1
    assert not graph.add_loop(closing(poses))
    measured = inverse_transform(poses[last - 1]) @ poses[last]
    assert graph.add_motion(Motion((last - 1) * SECOND, last * SECOND, measured, SPREAD))
    assert len(graph.loops) == 1
    assert graph.stamps[-1] == last * SECOND


def test_a_wrong_loop_hardly_bends_the_chain() -> None:
    poses = square()
    wrong = Motion(2 * SECOND, 12 * SECOND, np.eye(4), SPREAD)
    errors = {}
    for kernel in (0.0, 3.0):
        graph = PoseGraph(options=GraphOptions(loop_kernel=kernel))
        drive(graph, poses)
        graph.add_loop(closing(poses))
        graph.add_loop(wrong)
        errors[kernel] = error_of(graph.poses, poses)[0]
    assert errors[0.0] > 1.0
    assert errors[3.0] < 0.5
    assert graph.loops[1].weight < 0.1 < graph.loops[0].weight


def test_a_break_of_the_chain_is_bridged_and_closed_by_a_loop() -> None:
    poses, graph = square(), PoseGraph()
    drive(graph, poses[:11])
    rng = np.random.default_rng(7)
    for index in range(14, len(poses)):
        measured = noisy(poses[index - 1], poses[index], rng)
        graph.add_motion(Motion((index - 1) * SECOND, index * SECOND, measured, SPREAD))
    assert graph.gaps == 1
    kept = [*range(10), *range(13, len(poses) - 1)]
    assert error_of(graph.poses, poses[kept])[0] > 2.0
    graph.add_loop(closing(poses))
    kept.append(len(poses) - 1)
    assert error_of(graph.poses, poses[kept])[0] < 0.5


@pytest.mark.parametrize(
    ('pose', 'covariance', 'message'),
    [
        (np.full((4, 4), np.nan), SPREAD, 'the pose is not finite'),
        (np.eye(4), np.full((6, 6), np.inf), 'the covariance is not finite'),
        (np.eye(4), np.zeros((6, 6)), 'not positive definite'),
        (np.eye(4), -SPREAD, 'not positive definite'),
    ],
)
def test_a_measurement_without_sense_is_refused(
    pose: Array, covariance: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Motion(0, SECOND, pose, covariance)


def test_a_frame_is_not_its_own_reference() -> None:
    with pytest.raises(ValueError, match='the same image'):
        Motion(SECOND, SECOND, np.eye(4), SPREAD)


@pytest.mark.parametrize(
    'values', [{'sigma_factor': 0.0}, {'loop_kernel': -1.0}, {'gap_position_sigma': np.inf}]
)
def test_an_option_out_of_its_range_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        GraphOptions(**values)
