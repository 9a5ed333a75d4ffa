"""What a live run left out and how it agrees with its replay, from literal records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import launch, look
from synthetic_runs import frame_record

from loftr_ros.evaluation.live.comparison import (
    LiveRun,
    agree,
    compare_live,
    latency,
    left_out,
    longest_gap,
    repeat,
)
from loftr_ros.evaluation.live.plan import METRIC_OUTPUTS, LivePlan
from loftr_ros.evaluation.live.report import live_page, table_rows
from loftr_ros.evaluation.live.results import LiveRecords
from loftr_ros.evaluation.records.frame_records import matrix_of, values_of
from loftr_ros.evaluation.records.results import FrameRecord
from loftr_ros.evaluation.reports.html_page import write_page
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

SECOND = 10**9


@pytest.fixture(scope='module')
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    yield from launch(tmp_path_factory.mktemp('profile'))


def pose(index: int) -> np.ndarray:
    rotated = rotation_from_vector(np.array([0.0, 0.05 * index, 0.0]))
    return make_transform(rotated, np.array([1.0 * index, 0.1 * index**2, 0.0]))


def record(index: int, odom_T_base: np.ndarray | None = None, **more: object) -> FrameRecord:
    if not index:
        return FrameRecord(
            index=0, stamp_ns=0, status='reference', world_T_camera=values_of(pose(0))
        )
    values: dict[str, object] = {
        'state': 'ok',
        'metric': True,
        'matches': 100 + index,
        'inliers': 50,
        'odom_T_base': values_of(pose(index) if odom_T_base is None else odom_T_base),
        'world_T_camera': values_of(pose(index)),
    }
    return frame_record(index=index, stamp_ns=index * SECOND, status='matched', **values | more)


REPLAY = [record(index) for index in range(8)]


def run_of(records: list[FrameRecord], **counters: int) -> LiveRun:
    counts = {'received': 8, 'processed': 8, 'dropped': 0, 'refused': 0, 'errors': 0, **counters}
    live = LiveRecords(tuple(records), (), {r.index: 0.1 * r.index for r in records[1:]})
    sent = {index * SECOND: index * SECOND for index in range(8)}
    return LiveRun('bag', live, sent, counts, {})


def test_every_image_that_was_sent_is_accounted_for() -> None:
    run = run_of(REPLAY, received=7, processed=3, dropped=2, refused=1)
    assert left_out(run) == {'dropped': 2, 'lost': 1, 'refused': 1, 'errors': 0, 'waiting': 1}
    assert sum(left_out(run).values()) + run.counters['processed'] == len(run.sent)


def test_the_longest_gap_is_between_two_frames_that_were_processed() -> None:
    assert longest_gap(REPLAY, [0, 1, 5, 7]) == {'frames': 3, 'seconds': 4.0}
    assert longest_gap(REPLAY, range(8)) == {'frames': 0, 'seconds': 1.0}
    refused = [*REPLAY[:3], replace(REPLAY[3], status='refused'), *REPLAY[4:]]
    assert longest_gap(refused, [0, 1, 2, 4, 5, 6, 7])['frames'] == 0


def test_latency_has_percentiles() -> None:
    found = latency([0.1, 0.2, 0.3])
    assert found is not None
    assert (found['count'], found['p50'], found['max']) == (3, 0.2, 0.3)
    assert latency([]) is None


def test_equal_trajectories_agree_without_any_alignment() -> None:
    found = agree(REPLAY, [REPLAY[0], *REPLAY[3:]], metric=True)
    assert found is not None
    assert found.indices.tolist() == [3, 4, 5, 6, 7]
    assert found.position.max() == pytest.approx(0, abs=1e-9)
    assert found.rotation_deg.max() == pytest.approx(0, abs=1e-5)


def test_a_live_run_that_starts_later_is_moved_to_where_the_replay_was_then() -> None:
    start = inverse_transform(pose(2))
    live = [record(index, start @ pose(index)) for index in range(3, 8)]
    first = FrameRecord(index=2, stamp_ns=2 * SECOND, status='reference')
    found = agree(REPLAY, [first, *live], metric=True)
    assert found is not None
    assert found.position.max() == pytest.approx(0, abs=1e-9)
    off = [
        replace(r, odom_T_base=values_of(matrix_of(r.odom_T_base or ()) + shift())) for r in live
    ]
    found = agree(REPLAY, [first, *off], metric=True)
    assert found is not None
    assert found.position == pytest.approx(np.full(5, 0.5))


def shift() -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[0, 3] = 0.5
    return matrix


def test_one_camera_has_a_unit_of_its_own_in_each_run() -> None:
    def scaled(index: int) -> np.ndarray:
        matrix = pose(index)
        matrix[:3, 3] *= 0.25
        return matrix

    live = [REPLAY[0], *(record(index, scaled(index)) for index in range(1, 8))]
    found = agree(REPLAY, live, metric=False)
    assert found is not None
    assert found.scale == pytest.approx(4)
    assert found.position.max() == pytest.approx(0, abs=1e-9)
    far = agree(REPLAY, live, metric=True)
    assert far is not None
    assert far.position.max() > 1


def test_few_common_poses_say_nothing() -> None:
    assert agree(REPLAY, [REPLAY[0], REPLAY[1], REPLAY[2]], metric=True) is None
    assert agree(REPLAY, [], metric=True) is None


def test_a_second_time_is_compared_number_by_number() -> None:
    other = [*REPLAY[:4], record(4, inliers=49), *REPLAY[6:]]
    assert repeat(run_of(REPLAY), run_of(other)) == {
        'name': 'bag',
        'common': 7,
        'equal': 6,
        'only_in_first': 1,
        'only_in_this': 0,
    }


def test_the_table_has_a_column_for_each_time_the_bag_was_played() -> None:
    runs = [run_of(REPLAY), run_of(REPLAY[:6], processed=6, dropped=2)]
    figures = {
        'runs': [compare_live(run, REPLAY, metric=True) for run in runs],
        'repeats': [repeat(*runs)],
    }
    rows = {name: values for name, *values in table_rows(figures)}
    assert rows['frames processed'] == ['8', '8', '6']
    assert rows['  dropped for newer ones'] == ['0', '0', '2']
    assert rows['latency max'] == ['-', '700 ms', '500 ms']
    assert rows['every figure as the first time'] == ['-', '-', '6 of 6 frames']
    assert rows['ATE'][0] == rows['ATE of the replay at the same frames'][1]


@pytest.mark.parametrize('width', [1280, 390])
def test_a_browser_shows_the_page_without_a_complaint(
    chrome: Chrome, tmp_path: Path, width: int
) -> None:
    runs = [run_of(REPLAY), run_of(REPLAY[:6], processed=6, dropped=2)]
    figures = {
        'bag': 'bags/room',
        'mode': 'stereo',
        'rate': 2.0,
        'replay': 'runs/room',
        'node': {'device': 'cpu'},
        'runs': [compare_live(run, REPLAY, metric=True) for run in runs],
        'repeats': [repeat(*runs)],
    }
    write_page(tmp_path / 'live.html', live_page(figures, runs, REPLAY, metric=True))
    view = look(chrome, tmp_path / 'live.html', width)
    assert view.messages == []
    assert view.width <= width, 'the page scrolls sideways'
    shown = [plot for plot in view.plots if plot['visible']]
    assert [plot['title'] for plot in shown] == [
        'Latency',
        'Latency and what was left out, over time',
        'Both trajectories from above',
        'Difference of both trajectories',
    ]
    assert all(plot['marks'] > 1 for plot in shown)
    assert 'played at 2 times its rate' in view.text


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    plan = LivePlan(
        bag=Path('bag'),
        topics={'/image': '/image/compressed', '/info': '/info'},
        image='/image/compressed',
        calibrations=('/info',),
        inputs={'image': '/image/compressed', 'camera_info': '/info'},
        recorded={**METRIC_OUTPUTS, '/info': 'sensor_msgs/msg/CameraInfo'},
        parameters={'mode': '"mono"'},
        rate=2.0,
        clock=True,
    )
    plan.write(tmp_path / 'plan.json')
    assert LivePlan.read(tmp_path / 'plan.json') == plan
    assert plan.listeners() == {'/image/compressed': 1, '/info': 2}
    assert plan.outputs() == tuple(METRIC_OUTPUTS)
    assert plan.arguments()[-4:] == ['-p', 'mode:="mono"', '-p', 'use_sim_time:=true']
