"""Feature tracks for VINS: numbers that stay, positions on the plane z = 1, and velocities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from feature_tracks import ID_COUNT, FeatureOptions, Features, FeatureTracks
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.geometry import Camera

STEP_NS = 100_000_000
MATRIX = np.array([[200.0, 0, 160], [0, 220, 120], [0, 0, 1]])
CAMERA = Camera(320, 240, MATRIX, 'plumb_bob', np.array([-0.2, 0.05, 1e-3, -1e-3, 0]))
OPTIONS = FeatureOptions(min_distance=0.0)

Array = npt.NDArray[Any]


def view(index: int) -> View:
    return View(index * STEP_NS, 'camera', CAMERA.size, CAMERA)


def spread_points(count: int) -> Array:
    """Points 30 px apart, on a grid of 8 columns."""
    index = np.arange(count)
    return np.column_stack([40.0 + 30 * (index % 8), 40.0 + 30 * (index // 8)])


def message(
    ids: list[int],
    query: int,
    reference: int = 0,
    shift: float = 0.0,
    **fields: Any,  # noqa: ANN401
) -> Correspondences:
    """Return matches whose points moved to the right by so many px since the reference."""
    points = spread_points(len(ids)) if 'points' not in fields else fields.pop('points')
    found = Correspondences(
        reference=view(reference),
        query=view(query),
        reference_points=points.astype(np.float32),
        query_points=(points + np.array([shift, 0.0])).astype(np.float32),
        confidence=np.full(len(ids), 0.9, np.float32),
        sigma=np.full(len(ids), 0.5, np.float32),
        inliers=np.ones(len(ids), np.bool_),
        track_ids=np.array(ids, np.int64),
    )
    return replace(found, **fields)


def update(tracks: FeatureTracks, correspondences: Correspondences) -> Features:
    features = tracks.update(correspondences)
    assert features is not None
    return features


def test_points_are_undistorted_to_the_plane() -> None:
    features = update(FeatureTracks(OPTIONS), message([7, 8, 9], 1, shift=3.0))
    rays = np.column_stack([features.rays, np.ones(3)])
    assert np.allclose(CAMERA.project(rays), features.points, atol=0.05)
    assert not np.allclose(features.rays * 200 + 160, features.points, atol=0.5)


def test_the_first_velocity_is_that_since_the_reference_image() -> None:
    features = update(FeatureTracks(OPTIONS), message([7, 8], 2, shift=6.0))
    points = spread_points(2)
    moved = CAMERA.normalize(points + np.array([6.0, 0])) - CAMERA.normalize(points)
    assert np.allclose(features.velocities, moved / 0.2, atol=1e-4)
    assert features.sights.tolist() == [2, 2]


def test_later_velocities_are_those_since_the_last_frame() -> None:
    tracks = FeatureTracks(OPTIONS)
    first = update(tracks, message([7, 8], 1, shift=3.0))
    second = update(tracks, message([7, 8], 2, shift=9.0))
    assert np.allclose(second.velocities, (second.rays - first.rays) / 0.1, atol=1e-9)
    assert second.velocities[0, 0] > 1.5 * first.velocities[0, 0]


def test_a_feature_keeps_its_number_whatever_the_order_and_the_keyframe() -> None:
    tracks = FeatureTracks(OPTIONS)
    first = update(tracks, message([70_000_000_000, 5, 6], 1))
    second = update(tracks, message([6, 70_000_000_000, 9], 2, reference=1))
    numbers = dict(zip([70_000_000_000, 5, 6], first.ids.tolist(), strict=True))
    assert second.ids.tolist()[:2] == [numbers[6], numbers[70_000_000_000]]
    assert second.ids[2] not in first.ids
    assert second.sights.tolist() == [3, 3, 2]


def test_a_feature_that_was_away_comes_back_under_another_number() -> None:
    # VINS counts the observations of a number to identify their frames: none may be missing.
    tracks = FeatureTracks(OPTIONS)
    first = update(tracks, message([5, 6], 1))
    update(tracks, message([6], 2))
    third = update(tracks, message([5, 6], 3))
    assert third.ids[np.argmax(third.sights)] == first.ids[1]
    assert third.ids[np.argmin(third.sights)] not in first.ids


def test_a_frame_without_a_pose_has_no_features_and_breaks_none() -> None:
    tracks = FeatureTracks(OPTIONS)
    first = update(tracks, message([5, 6], 1))
    assert tracks.update(message([5, 6], 2, inliers=np.zeros(2, np.bool_))) is None
    third = update(tracks, message([5, 6], 3, shift=4.0))
    assert third.ids.tolist() == first.ids.tolist()
    assert np.allclose(third.velocities, (third.rays - first.rays) / 0.2)


def test_outliers_and_uncertain_matches_are_left_out() -> None:
    inliers = np.array([True, False, True, True])
    sigma = np.array([0.5, 0.5, 9.0, 0.5], np.float32)
    features = update(
        FeatureTracks(OPTIONS), message([1, 2, 3, 4], 1, inliers=inliers, sigma=sigma)
    )
    assert np.allclose(features.points, spread_points(4)[[0, 3]])


def test_points_that_no_ray_reaches_are_left_out() -> None:
    points = np.array([[160.0, 120], [-5000.0, 120], [np.nan, 3]])
    features = update(FeatureTracks(OPTIONS), message([1, 2, 3], 1, points=points))
    assert len(features.ids) == 1


def test_long_tracks_go_first_and_the_others_keep_their_distance() -> None:
    tracks = FeatureTracks(FeatureOptions(min_distance=20.0, max_features=3))
    points = np.array([[60.0, 60], [75.0, 60], [200.0, 60], [60.0, 200], [200.0, 200]])
    sigma = np.array([0.5, 0.4, 0.3, 0.2, 0.1], np.float32)
    start = update(tracks, message([1], 1, points=points[:1]))
    features = update(tracks, message([1, 2, 3, 4, 5], 2, points=points, sigma=sigma))
    assert features.ids[0] == start.ids[0]
    assert np.allclose(features.points, points[[0, 4, 3]])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=20), min_size=2, max_size=8))
def test_numbers_are_unique_and_their_frames_follow_each_other(frames: list[set[int]]) -> None:
    tracks = FeatureTracks(OPTIONS)
    seen: dict[int, int] = {}
    for index, ids in enumerate(frames, start=1):
        features = update(tracks, message(sorted(ids), index))
        assert len(set(features.ids.tolist())) == len(ids)
        for number, sights in zip(features.ids.tolist(), features.sights.tolist(), strict=True):
            assert seen.get(number, index - 1) == index - 1
            assert sights == 2 or number in seen
            seen[number] = index


def test_numbers_start_over_before_float32_confuses_them() -> None:
    tracks = FeatureTracks(OPTIONS)
    tracks._next = ID_COUNT - 1
    features = update(tracks, message([1, 2], 1))
    assert sorted(features.ids.tolist()) == [0, ID_COUNT - 1]
    assert np.array_equal(features.ids, features.ids.astype(np.float32).astype(np.int64))


@pytest.mark.parametrize(('index', 'broken'), [(12, False), (20, False), (21, True), (10, True)])
def test_frames_that_do_not_go_on_are_a_break(index: int, broken: bool) -> None:
    tracks = FeatureTracks(OPTIONS)
    assert not tracks.breaks(10 * STEP_NS)
    update(tracks, message([1], 10))
    assert tracks.breaks(index * STEP_NS) == broken


def test_after_a_reset_no_number_returns() -> None:
    tracks = FeatureTracks(OPTIONS)
    before = update(tracks, message([1, 2], 1))
    tracks.reset()
    after = update(tracks, message([1, 2], 2))
    assert not set(before.ids.tolist()) & set(after.ids.tolist())


def test_an_image_without_calibration_is_named() -> None:
    bare = replace(view(1), camera=None)
    with pytest.raises(ValueError, match=r'query image of 0\.100 s is not calibrated'):
        FeatureTracks().update(replace(message([1], 1), query=bare))


def test_two_cameras_at_one_time_are_no_track() -> None:
    with pytest.raises(ValueError, match='no tracks in time'):
        FeatureTracks().update(message([1], 1, reference=1))


@pytest.mark.parametrize('values', [{'max_features': 0}, {'min_distance': -1.0}, {'max_sigma': 0}])
def test_an_option_out_of_its_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        FeatureOptions(**values)


def test_vins_mono_and_vins_fusion_find_their_channels() -> None:
    node = pytest.importorskip('feature_tracks_node', reason='ROS 2 is not installed')
    features = update(FeatureTracks(OPTIONS), message([4, 5], 1, shift=3.0))
    mono, fusion = (node.features_to_msg(features, layout) for layout in ('mono', 'fusion'))
    expected = [features.ids, *features.points.T, *features.velocities.T]
    assert [len(msg.channels) for msg in (mono, fusion)] == [5, 9]
    # What vins_estimator/src/estimator_node.cpp and rosNodeTest.cpp read, by index.
    for msg, order in ((mono, range(5)), (fusion, (0, 2, 3, 4, 5))):
        for index, values in zip(order, expected, strict=True):
            assert np.allclose(msg.channels[index].values, values, rtol=1e-6)
        assert [point.z for point in msg.points] == [1.0, 1.0]
        assert np.allclose([(p.x, p.y) for p in msg.points], features.rays, rtol=1e-6)
    assert list(fusion.channels[1].values) == [0.0, 0.0]
