from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.geometry import (
    Camera,
    PoseState,
    RelativePose,
    TwoViewOptions,
    estimate_relative_pose,
)
from loftr_ros.geometry.pose import Check
from loftr_ros.geometry.rotations import angle_between, rotation_from_vector, rotation_vector

if TYPE_CHECKING:
    from test.geometry.conftest import MakeScene, Scene

CAMERA = Camera(640, 480, np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]))
BOTH = pytest.mark.parametrize('estimator', ['poselib', 'opencv'])


def estimate(scene: Scene, estimator: str = 'auto') -> RelativePose:
    if estimator == 'poselib':
        pytest.importorskip('poselib')
    return estimate_relative_pose(
        scene.reference_points,
        scene.query_points,
        scene.camera,
        scene.camera,
        np.full(len(scene.query_points), 0.3),
        options=TwoViewOptions(estimator=estimator),
    )


def errors_of(pose: RelativePose, scene: Scene) -> tuple[float, float]:
    """Return the errors of rotation and direction, degrees."""
    assert pose.reference_T_query is not None, pose.reason
    truth = scene.reference_T_query
    rotvec = rotation_vector(truth[:3, :3] @ pose.reference_T_query[:3, :3].T)
    direction = angle_between(pose.reference_T_query[:3, 3], truth[:3, 3])
    return float(np.rad2deg(np.linalg.norm(rotvec))), float(np.rad2deg(direction))


@BOTH
@pytest.mark.parametrize('outliers', [0.0, 0.3, 0.5])
@pytest.mark.parametrize(
    'translation', [(0.4, 0.0, 0.0), (0.0, 0.0, 0.5), (-0.1, -0.3, -0.2), (0.05, 0.0, 0.0)]
)
def test_a_general_motion_is_found(
    scene: MakeScene, estimator: str, outliers: float, translation: tuple[float, float, float]
) -> None:
    made = scene(outliers=outliers, translation=translation, count=800)
    pose = estimate(made, estimator=estimator)
    assert pose.state is PoseState.OK
    assert pose.method == 'essential'
    rotation, direction = errors_of(pose, made)
    assert rotation < 0.1
    assert direction < 2.0
    assert 0.02 < pose.median_residual < 0.6
    right = ~made.wrong
    assert np.mean(pose.inliers[right]) > 0.95
    assert np.sum(pose.inliers[made.wrong]) <= 0.1 * np.sum(made.wrong)


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [
        ('plumb_bob', [-0.28, 0.07, 2e-4, 2e-5, 0.0]),
        ('rational_polynomial', [0.4, -0.1, 3e-4, -1e-4, 0.02, 0.7, -0.05, 0.01]),
        ('equidistant', [-0.013, 0.02, -0.01, 0.003]),
    ],
)
def test_distorted_cameras_give_the_same_pose(
    scene: MakeScene, model: str, distortion: list[float]
) -> None:
    matrix = np.array([[300, 0, 322.0], [0, 301, 236], [0, 0, 1]])
    made = scene(camera=Camera(640, 480, matrix, model, np.array(distortion)), outliers=0.2)
    pose = estimate(made)
    assert pose.state is PoseState.OK
    rotation, direction = errors_of(pose, made)
    assert rotation < 0.15
    assert direction < 1.0


def test_two_different_cameras_give_one_pose(scene: MakeScene) -> None:
    made = scene(noise=0.0)
    wide = Camera(400, 300, np.array([[150, 0, 200.0], [0, 150, 150], [0, 0, 1]]))
    rays = np.column_stack([CAMERA.normalize(made.query_points), np.ones(500)])
    pose = estimate_relative_pose(made.reference_points, wide.project(rays), CAMERA, wide)
    assert max(errors_of(pose, made)) < 0.01


@BOTH
@pytest.mark.parametrize('rotation', [(0.02, 0.05, 0.03), (0.0, 0.3, 0.0)])
@pytest.mark.parametrize('outliers', [0.0, 0.4])
def test_a_camera_that_only_rotates_gets_its_rotation_and_no_translation(
    scene: MakeScene, estimator: str, rotation: tuple[float, float, float], outliers: float
) -> None:
    made = scene(translation=(0, 0, 0), rotation=rotation, outliers=outliers)
    pose = estimate(made, estimator=estimator)
    assert pose.state is PoseState.ROTATION_ONLY
    assert pose.reference_T_query is not None
    assert pose.covariance is not None
    np.testing.assert_array_equal(pose.reference_T_query[:3, 3], 0.0)
    assert np.isinf(np.diag(pose.covariance)[:3]).all()
    assert errors_of(pose, made)[0] < 0.02


@BOTH
@pytest.mark.parametrize('noise', [0.0, 0.3])
def test_a_camera_that_stands_still_only_rotates_by_nothing(
    scene: MakeScene, estimator: str, noise: float
) -> None:
    made = scene(translation=(0, 0, 0), rotation=(0, 0, 0), noise=noise)
    pose = estimate(made, estimator=estimator)
    assert pose.state is PoseState.ROTATION_ONLY
    assert errors_of(pose, made)[0] < 0.02


@BOTH
@pytest.mark.parametrize('outliers', [0.0, 0.2])
def test_a_plane_passed_sideways_is_unambiguous(
    scene: MakeScene, estimator: str, outliers: float
) -> None:
    made = scene(plane_tilt=20, translation=(0.5, 0.0, 0.0), outliers=outliers)
    pose = estimate(made, estimator=estimator)
    assert pose.state is PoseState.OK
    rotation, direction = errors_of(pose, made)
    assert rotation < 0.1
    assert direction < 0.6


@BOTH
@pytest.mark.parametrize('seed', range(4))
def test_a_plane_approached_obliquely_allows_two_motions(
    scene: MakeScene, estimator: str, seed: int
) -> None:
    made = scene(plane_tilt=30, translation=(0, 0, 0.5), outliers=0.2, seed=seed)
    pose = estimate(made, estimator=estimator)
    assert pose.state is PoseState.OK, pose.reason
    assert pose.covariance is not None
    # Whichever of the two is taken, the truth is within what the pose states.
    sigma = np.sqrt(np.trace(pose.covariance[:3, :3]))
    assert np.deg2rad(errors_of(pose, made)[1]) < 3.0 * sigma
    assert sigma > 0.1


@BOTH
def test_two_motions_far_apart_leave_nothing_to_believe(scene: MakeScene, estimator: str) -> None:
    made = scene(plane_tilt=50, translation=(0, 0.8, 0.8), outliers=0.2)
    pose = estimate(made, estimator=estimator)
    assert pose.state in (PoseState.DEGENERATE, PoseState.ROTATION_ONLY), pose.reason
    assert 'motion' in pose.reason or 'direction' in pose.reason


def test_the_scene_beside_a_plane_decides_between_its_motions(scene: MakeScene) -> None:
    plane = scene(plane_tilt=30, translation=(0, 0, 0.5), count=400)
    rest = scene(translation=(0, 0, 0.5), count=80, seed=1)
    pose = estimate_relative_pose(
        np.concatenate([plane.reference_points, rest.reference_points]),
        np.concatenate([plane.query_points, rest.query_points]),
        CAMERA,
        CAMERA,
        np.full(480, 0.3),
    )
    assert pose.state is PoseState.OK
    assert errors_of(pose, plane)[1] < 1.0


@BOTH
@pytest.mark.parametrize('count', [20, 25, 40, 100, 600])
def test_random_matches_are_lost(scene: MakeScene, estimator: str, count: int) -> None:
    for seed in range(5):
        pose = estimate(scene(outliers=1.0, count=count, seed=seed), estimator=estimator)
        assert not pose.state.has_pose, (seed, pose)


@BOTH
@pytest.mark.parametrize('noise', [0.0, 0.3])
def test_points_on_a_line_in_space_do_not_determine_a_motion(
    scene: MakeScene, estimator: str, noise: float
) -> None:
    transform = scene().reference_T_query
    rng = np.random.default_rng(0)
    space = np.array([0.1, 0.2, 5.0]) + rng.uniform(-2, 2, (100, 1)) * [1.0, 0.3, 0.5]
    reference = CAMERA.project(space)
    query = CAMERA.project((space - transform[:3, 3]) @ transform[:3, :3])
    query += noise * rng.normal(size=query.shape)
    pose = estimate_relative_pose(
        reference, query, CAMERA, CAMERA, options=TwoViewOptions(estimator=estimator)
    )
    assert not pose.state.has_pose


def test_one_point_many_times_is_no_motion() -> None:
    points = np.tile([[100.0, 80.0]], (50, 1))
    pose = estimate_relative_pose(points, points + 3.0, CAMERA, CAMERA)
    assert not pose.state.has_pose


def test_a_motion_from_a_corner_of_the_image_is_not_determined(scene: MakeScene) -> None:
    made = scene(count=4000, noise=0.5)
    corner = (made.reference_points < 60).all(axis=1)
    pose = estimate_relative_pose(
        made.reference_points[corner], made.query_points[corner], CAMERA, CAMERA
    )
    assert pose.state is PoseState.DEGENERATE
    assert pose.check is Check.UNCERTAIN


def test_too_few_matches_say_so() -> None:
    points = np.random.default_rng(0).uniform(0, 400, (19, 2))
    pose = estimate_relative_pose(points, points, CAMERA, CAMERA)
    assert pose.state is PoseState.TOO_FEW_MATCHES
    assert '19' in pose.reason
    assert len(pose.inliers) == 19
    empty = np.empty((0, 2), dtype=np.float32)
    assert estimate_relative_pose(empty, empty, CAMERA, CAMERA).state is PoseState.TOO_FEW_MATCHES


def test_unusable_matches_are_never_inliers(scene: MakeScene) -> None:
    made = scene(count=300)
    made.query_points[0] = np.nan
    made.reference_points[1] = np.inf
    sigma, confidence = np.full(300, 0.3), np.full(300, 0.9)
    sigma[2:5], confidence[5:7] = [0.0, np.nan, -1.0], [0.0, np.nan]
    pose = estimate_relative_pose(
        made.reference_points, made.query_points, CAMERA, CAMERA, sigma, confidence
    )
    assert pose.state is PoseState.OK
    assert not pose.inliers[:7].any()
    assert np.mean(pose.inliers[7:]) > 0.98


def test_only_unusable_matches_are_too_few() -> None:
    nothing = np.full((100, 2), np.nan)
    pose = estimate_relative_pose(nothing, nothing, CAMERA, CAMERA)
    assert pose.state is PoseState.TOO_FEW_MATCHES


@pytest.mark.parametrize(
    ('reference', 'query', 'sigma', 'message'),
    [
        (np.zeros((30, 3)), np.zeros((30, 2)), None, 'reference_points must have'),
        (np.zeros((30, 2)), np.zeros(60), None, 'query_points must have'),
        (np.zeros((30, 2)), np.zeros((29, 2)), None, '30 reference points, but 29'),
        (np.zeros((30, 2)), np.zeros((30, 2)), np.ones((30, 2)), 'sigma must have'),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    reference: np.ndarray, query: np.ndarray, sigma: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_relative_pose(reference, query, CAMERA, CAMERA, sigma)


@BOTH
def test_equal_input_gives_equal_results(scene: MakeScene, estimator: str) -> None:
    made = scene(outliers=0.4)
    first, second = (estimate(made, estimator=estimator) for _ in range(2))
    assert first.reference_T_query is not None
    np.testing.assert_array_equal(first.reference_T_query, second.reference_T_query)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_the_inverse_pair_has_the_inverse_pose(scene: MakeScene) -> None:
    made = scene(noise=0.05)
    there = estimate_relative_pose(made.reference_points, made.query_points, CAMERA, CAMERA)
    back = estimate_relative_pose(made.query_points, made.reference_points, CAMERA, CAMERA)
    assert there.reference_T_query is not None
    assert back.reference_T_query is not None
    product = there.reference_T_query @ back.reference_T_query
    np.testing.assert_allclose(product, np.eye(4), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(
    rotvec=st.tuples(*[st.floats(-0.15, 0.15)] * 3),
    shift=st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda t: np.linalg.norm(t) > 0.3),
    seed=st.integers(0, 100),
)
def test_what_is_called_ok_is_right(
    rotvec: tuple[float, float, float], shift: tuple[float, float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform([0, 0], [639, 479], (400, 2))
    space = np.column_stack([CAMERA.normalize(points), np.ones(400)])
    space *= rng.uniform(2, 10, (400, 1))
    rotation = rotation_from_vector(np.array(rotvec))
    query = CAMERA.project((space - shift) @ rotation) + 0.2 * rng.normal(size=(400, 2))
    pose = estimate_relative_pose(points, query, CAMERA, CAMERA, np.full(400, 0.2))
    assert pose.state is PoseState.OK
    assert pose.reference_T_query is not None
    wrong = rotation_vector(rotation @ pose.reference_T_query[:3, :3].T)
    assert np.linalg.norm(wrong) < 0.01
    assert angle_between(pose.reference_T_query[:3, 3], np.array(shift)) < 0.03


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS, FLOATS), min_size=0, max_size=60))
def test_arbitrary_numbers_never_break_the_estimate(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    options = TwoViewOptions(min_matches=8, min_support=0.0)
    pose = estimate_relative_pose(
        table[:, :2], table[:, 2:4], CAMERA, CAMERA, table[:, 4], options=options
    )
    assert pose.inliers.shape == (len(table),)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('estimator', 'ransac'),
        ('seed', -1),
        ('min_matches', 5),
        ('max_direction_sigma', 0.0),
        ('max_rotation_sigma', float('inf')),
        ('shared_sigma', float('nan')),
        ('min_support', -1.0),
        ('without', ('doubt',)),
    ],
)
def test_options_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f'{name} must be'):
        TwoViewOptions(**{name: value})  # type: ignore[arg-type]


def seen_with_object(
    scene: MakeScene, low: tuple[int, int]
) -> tuple[Scene, tuple[np.ndarray, np.ndarray]]:
    """Return a scene, and its matches with those of an object in a part of the image."""
    made = scene(count=900)
    other = scene(count=900, translation=(-0.2, 0.3, -0.1), rotation=(-0.02, 0.0, 0.0), seed=1)
    high = CAMERA.size[1] - low[0] * (low[1] > 0), CAMERA.size[0] - low[1]

    def inside(points: np.ndarray) -> np.ndarray:
        return np.asarray(((points >= low) & (points < high)).all(axis=1))

    still, moved = ~inside(made.reference_points), inside(other.reference_points)
    reference = np.concatenate([made.reference_points[still], other.reference_points[moved]])
    return made, (reference, np.concatenate([made.query_points[still], other.query_points[moved]]))


def test_an_object_that_fills_half_of_the_view_makes_the_motion_doubtful(scene: MakeScene) -> None:
    _, points = seen_with_object(scene, (320, 0))
    pose = estimate_relative_pose(*points, CAMERA, CAMERA, np.full(len(points[0]), 0.3))
    assert not pose.state.has_pose
    assert pose.check is Check.SECOND_MOTION


def test_an_object_in_a_quarter_of_the_view_leaves_the_motion_of_the_scene(
    scene: MakeScene,
) -> None:
    made, points = seen_with_object(scene, (170, 110))
    pose = estimate_relative_pose(*points, CAMERA, CAMERA, np.full(len(points[0]), 0.3))
    assert pose.state is PoseState.OK, pose.reason
    assert errors_of(pose, made)[1] < 0.5


def test_wrong_matches_among_right_ones_are_no_object_even_if_they_agree(scene: MakeScene) -> None:
    made = scene(count=500)
    wrong = scene(count=120, translation=(-0.2, 0.3, -0.1), rotation=(-0.02, 0.0, 0.0), seed=1)
    pose = estimate_relative_pose(
        np.concatenate([made.reference_points, wrong.reference_points]),
        np.concatenate([made.query_points, wrong.query_points]),
        CAMERA,
        CAMERA,
    )
    assert pose.state is PoseState.OK, pose.reason


@pytest.mark.parametrize(
    ('outliers', 'state'),
    [(0.3, PoseState.OK), (0.65, PoseState.OK), (0.9, PoseState.LOST)],
)
def test_a_motion_needs_more_matches_the_more_of_them_are_wrong(
    scene: MakeScene, outliers: float, state: PoseState
) -> None:
    assert estimate(scene(outliers=outliers, count=800)).state is state


def test_matches_in_a_small_part_of_the_image_determine_the_motion_less_surely(
    scene: MakeScene,
) -> None:
    made = scene(count=3000)
    # A distortion of the whole image is nearly a shift in a small part of it.
    options = TwoViewOptions(shared_growth=0.0)
    sigmas = []
    for width in (640, 160):
        inside = made.reference_points[:, 0] < width
        points = made.reference_points[inside], made.query_points[inside]
        sigma = np.full(inside.sum(), 0.3)
        pose = estimate_relative_pose(*points, CAMERA, CAMERA, sigma, options=options)
        assert pose.state is PoseState.OK, pose.reason
        assert pose.covariance is not None
        sigmas.append(np.sqrt(np.trace(pose.covariance[:3, :3])))
        assert np.deg2rad(errors_of(pose, made)[1]) < 3.0 * sigmas[-1]
    assert sigmas[1] > 2.0 * sigmas[0]


def test_a_check_that_is_left_out_refuses_nothing(scene: MakeScene) -> None:
    made = scene(count=800, outliers=0.9)
    sigma = np.full(800, 0.3)
    points = made.reference_points, made.query_points
    doubted = estimate_relative_pose(*points, CAMERA, CAMERA, sigma)
    assert doubted.check is Check.SUPPORT
    options = TwoViewOptions(without=('support',))
    pose = estimate_relative_pose(*points, CAMERA, CAMERA, sigma, options=options)
    assert pose.check is not Check.SUPPORT


@pytest.mark.parametrize(('move', 'believed'), [(0.25, False), (2.0, True)])
def test_inaccurate_matches_determine_the_motion_only_where_points_move_far(
    scene: MakeScene, move: float, believed: bool
) -> None:
    made = scene(count=600, noise=2.0, translation=(move, 0.0, 0.0), depths=(2.0, 6.0))
    points = made.reference_points, made.query_points
    pose = estimate_relative_pose(*points, CAMERA, CAMERA, np.full(600, 2.0))
    assert (pose.state is PoseState.OK) == believed, pose.reason
    assert believed or pose.check is Check.BLUR


@pytest.mark.parametrize(
    ('changed', 'state'),
    [
        ({'min_support': 400.0}, PoseState.LOST),
        ({'min_matches': 301}, PoseState.TOO_FEW_MATCHES),
        ({'max_direction_sigma': 1e-4}, PoseState.ROTATION_ONLY),
        ({'max_rotation_sigma': 1e-5}, PoseState.DEGENERATE),
    ],
)
def test_each_limit_changes_what_is_believed(
    scene: MakeScene, changed: dict[str, float], state: PoseState
) -> None:
    made = scene(count=300)
    arguments = made.reference_points, made.query_points, CAMERA, CAMERA, np.full(300, 0.3)
    assert estimate_relative_pose(*arguments).state is PoseState.OK
    options = TwoViewOptions(**changed)  # type: ignore[arg-type]
    assert estimate_relative_pose(*arguments, options=options).state is state


@pytest.mark.parametrize('changed', [{'shared_sigma': 2.0}, {'shared_growth': 0.1}])
def test_errors_that_neighbours_share_widen_the_covariance(
    scene: MakeScene, changed: dict[str, float]
) -> None:
    made = scene(count=300)
    arguments = made.reference_points, made.query_points, CAMERA, CAMERA, np.full(300, 0.3)
    none = TwoViewOptions(shared_sigma=0.0, shared_growth=0.0)
    usual = estimate_relative_pose(*arguments, options=none).covariance
    wide = estimate_relative_pose(*arguments, options=TwoViewOptions(**changed)).covariance  # type: ignore[arg-type]
    assert usual is not None
    assert wide is not None
    assert (np.diag(wide)[3:] > 2.0 * np.diag(usual)[3:]).all()


@BOTH
def test_no_other_matches_are_no_second_motion_even_if_no_support_is_asked_for(
    scene: MakeScene, estimator: str
) -> None:
    made = scene(count=300, noise=0.0)
    options = TwoViewOptions(estimator=estimator, min_support=0.0)
    arguments = made.reference_points, made.query_points, CAMERA, CAMERA, np.full(300, 0.3)
    assert estimate_relative_pose(*arguments, options=options).state is PoseState.OK
