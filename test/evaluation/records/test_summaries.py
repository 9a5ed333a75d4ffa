"""Figures of merit from literal records."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthetic_runs import frame_record

from loftr_ros.data.bags.pairing import Stamped, pair_by_stamp
from loftr_ros.evaluation.records.frame_records import badness, normalized_error
from loftr_ros.evaluation.records.results import FrameRecord, FrameTimes
from loftr_ros.evaluation.records.segments import segment_errors
from loftr_ros.evaluation.records.summaries import (
    distribution,
    summarize,
    summarize_times,
    total_of,
    worst_of,
)
from loftr_ros.evaluation.records.trajectory_metrics import trajectory_metrics
from loftr_ros.geometry.pose import RelativePose
from loftr_ros.geometry.transforms import make_transform

MOVED = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def matched(index: int, **values: object) -> FrameRecord:
    known = {'matches': 100, 'inliers': 50, 'continued_tracks': 25, 'state': 'ok', **values}
    return frame_record(index=index, stamp_ns=index * 10**8, status='matched', **known)


def test_a_distribution_has_percentiles_and_is_none_of_nothing() -> None:
    assert distribution([]) is None
    found = distribution(np.arange(101))
    assert found is not None
    assert (found['count'], found['p5'], found['p50'], found['p95']) == (101, 5, 50, 95)


def test_states_and_shares_are_counted() -> None:
    records = [
        FrameRecord(index=0, stamp_ns=0, status='reference'),
        matched(1),
        matched(2, state='lost', inliers=0),
    ]
    summary = summarize(records, [3, 1])
    assert (summary['frames'], summary['matched']) == (3, 2)
    assert summary['states'] == {'lost': 1, 'ok': 1}
    assert summary['inlier_ratio']['mean'] == 0.25
    assert summary['continued_ratio']['max'] == 0.25
    assert summary['track_length']['mean'] == 2


def test_a_frame_without_pose_counts_as_a_miss_in_the_auc() -> None:
    good = matched(
        1, true_reference_T_query=MOVED, rotation_error_deg=0.0, direction_error_deg=180.0
    )
    missing = matched(2, true_reference_T_query=MOVED, state='lost')
    assert summarize([good], ())['pose_auc'] == {'5': 1.0, '10': 1.0, '20': 1.0}
    assert summarize([good, missing], ())['pose_auc']['5'] == pytest.approx(0.5)


def test_nees_counts_by_degree_of_freedom() -> None:
    records = [matched(1, nees=5.0, nees_dof=5), matched(2, nees=60.0, nees_dof=6)]
    assert summarize(records, ())['nees'] == {
        'count': 2,
        'mean': 5.5,
        'median': 5.5,
        'within_95': 0.5,
    }


def test_nees_of_a_metric_pose_is_the_squared_error_over_the_variance() -> None:
    pose = RelativePose.in_metres(
        np.eye(4), 0.04 * np.eye(6), method='pnp', inliers=np.ones(3, bool), median_residual=0.5
    )
    nees, freedom = normalized_error(pose, make_transform(np.eye(3), np.array([0.2, 0.4, 0.0])))
    assert nees == pytest.approx((0.04 + 0.16) / 0.04)
    assert freedom == 6


def test_nees_of_a_direction_does_not_depend_on_the_true_length() -> None:
    direction = np.array([0.0, 0.0, 1.0])
    spread = np.diag([0.01, 0.01, 0.0, 0.01, 0.01, 0.01])
    pose = RelativePose.up_to_scale(
        make_transform(np.eye(3), direction),
        spread,
        method='essential',
        inliers=np.ones(3, bool),
        median_residual=0.5,
    )
    angle = 0.1
    truth = np.array([math.sin(angle), 0.0, math.cos(angle)])
    for length in (0.5, 7.0):
        nees, freedom = normalized_error(pose, make_transform(np.eye(3), length * truth))
        assert nees == pytest.approx(math.sin(angle) ** 2 / 0.01)
        assert freedom == 5
    assert normalized_error(pose, np.eye(4)) == (None, None)


def test_the_worst_frames_are_failures_and_then_the_greatest_errors() -> None:
    pose = {'reference_T_query': MOVED}
    records = [
        matched(1, rotation_error_deg=1.0, direction_error_deg=9.0, **pose),
        matched(2, rotation_error_deg=2.0, direction_error_deg=3.0, **pose),
        matched(3, state='lost', matches=60),
        matched(4, state='too_few_matches', matches=0),
        matched(5, inliers=10, **pose),
    ]
    assert worst_of(records, 4) == [4, 3, 1, 2]
    assert badness(records[-1]) == pytest.approx(0.9)


def test_times_give_percentiles_and_a_rate() -> None:
    found = summarize_times(
        [
            FrameTimes(index=i, read=0.0, encode=0.1, match=0.1, pose=0.05, total=0.25)
            for i in range(4)
        ]
    )
    assert found['frames_per_second'] == pytest.approx(4)
    assert found['steps_s']['encode']['p50'] == pytest.approx(0.1)


def test_the_total_adds_counts_and_names_failures() -> None:
    one = summarize([matched(1), matched(2)], ())
    total = total_of({'a': {'status': 'complete', **one}, 'b': {'status': 'failed'}})
    assert (total['sequences'], total['frames'], total['failed']) == (2, 2, ['b'])
    assert total['states'] == {'ok': 2}
    assert total['mean_of_sequences']['matches']['p50'] == 100


def walk(scale: float, count: int, metric: bool) -> list[FrameRecord]:
    records = []
    for index in range(count):
        true = np.array([math.sin(index / 20), 0.3 * math.cos(index / 7), 1.0 * index])
        identity = (0.0, 0.0, 0.0, 1.0)
        records.append(
            matched(
                index,
                metric=metric,
                odom_T_base=(*(scale * true).tolist(), *identity),
                world_T_camera=(*true.tolist(), *identity),
            )
        )
    return records


def test_a_trajectory_without_scale_is_aligned_with_scale() -> None:
    found = trajectory_metrics(walk(0.1, 120, metric=False))
    assert found is not None
    assert found['alignment'] == 'sim3'
    assert found['scale'] == pytest.approx(10)
    assert found['ate_m']['rmse'] < 1e-6
    assert all(row['translation_m']['rmse'] < 1e-6 for row in found['rpe'])


def test_a_metric_trajectory_must_have_the_right_scale() -> None:
    found = trajectory_metrics(walk(0.9, 120, metric=True))
    assert found is not None
    assert found['alignment'] == 'se3'
    assert found['ate_m']['rmse'] > 1
    assert [row['distance_m'] for row in found['rpe']] == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    assert found['rpe'][3]['translation_m']['mean'] == pytest.approx(1.0, rel=0.1)
    assert found['segments']['lengths'][0]['length_m'] == 100
    assert found['segments']['translation_percent'] == pytest.approx(10, rel=0.05)


def test_two_poses_have_no_trajectory_errors() -> None:
    assert trajectory_metrics(walk(1.0, 2, metric=True)) is None


def test_segments_measure_rotation_per_metre() -> None:
    truth = np.tile(np.eye(4), (30, 1, 1))
    truth[:, 2, 3] = np.arange(30)
    estimate = truth.copy()
    for index in range(30):
        angle = math.radians(0.5 * index)
        estimate[index, :2, :2] = [
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ]
    found = segment_errors(truth, estimate)
    assert found is not None
    # A segment ends at the first frame beyond its length: 6 m count as 5.
    assert found['lengths'][0]['rotation_deg_per_m'] == pytest.approx(0.5 * 6 / 5)
    assert segment_errors(truth[:3], truth[:3]) is None


def test_each_image_gets_the_partner_with_the_nearest_stamp() -> None:
    arrivals = [
        (True, Stamped(100, 'a')),
        (False, Stamped(95, 'A-')),
        (False, Stamped(103, 'A')),
        (False, Stamped(204, 'B')),
        (True, Stamped(200, 'b')),
        (True, Stamped(300, 'c')),
    ]
    pairs = list(pair_by_stamp(arrivals, 10))
    assert [pair.image.message for pair in pairs] == ['a', 'b', 'c']
    assert [pair.partner and pair.partner.message for pair in pairs] == ['A', 'B', None]
    assert [pair.apart_ns for pair in pairs] == [3, 4, 96]
