"""The demo: its figures from literal poses, and a short sequence through the real node on DDS."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from child_processes import children_of, needs_ros
from rich.console import Console

from loftr_ros.commands.main import main
from loftr_ros.data.bags.storage import opened
from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.evaluation.demo.analysis import (
    Accuracy,
    ImageCounts,
    Percentiles,
    ResultFigures,
    Summary,
    accuracy,
    chain_drift,
    chain_poses,
    count_states,
    latencies,
    pair_errors,
    result_rate,
    worst_result,
)
from loftr_ros.evaluation.demo.command import DemoOptions, run_demo
from loftr_ros.evaluation.demo.feed import (
    FrameSource,
    dataset_source,
    room_source,
    write_feed,
)
from loftr_ros.evaluation.demo.recording import PairResult, check_counts
from loftr_ros.evaluation.demo.report import summary_rows, write_json, write_markdown
from loftr_ros.evaluation.live.processes import LiveError, Process, ros_environment
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry.transforms import make_transform

SECOND = 10**9
PARAMETERS = {'matcher.weights': 'lite', 'matcher.longer_side': '320', 'matcher.num_threads': '1'}


def rotation_z(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose(x: float, degrees: float = 0.0) -> np.ndarray:
    return make_transform(rotation_z(degrees), np.array([x, 0.0, 0.0]))


def result(
    reference: int,
    query: int,
    motion: np.ndarray | None,
    state: str = 'OK',
    **more: int,
) -> PairResult:
    values: dict[str, Any] = {'arrival_ns': 0, 'reason': '', 'matches': 50, 'inliers': 40, **more}
    return PairResult(
        reference_ns=reference * SECOND,
        query_ns=query * SECOND,
        state=state,
        reference_T_query=motion,
        **values,
    )


TRUTH = {0: pose(0), SECOND: pose(2), 2 * SECOND: pose(5), 3 * SECOND: pose(9)}


def test_errors_compare_with_the_motion_between_the_two_images_that_were_matched() -> None:
    tilted = make_transform(rotation_z(3), np.array([np.cos(0.1), np.sin(0.1), 0]))
    errors = pair_errors([result(0, 1, pose(1)), result(1, 2, tilted)], TRUTH)
    assert errors.rotation == pytest.approx([0, 3])
    assert errors.direction == pytest.approx([0, math.degrees(0.1)])
    assert errors.good.tolist() == [True, False]


def test_what_has_no_pose_or_no_direction_is_no_success() -> None:
    results = [
        result(0, 1, None, 'LOST'),
        result(0, 2, pose(0), 'ROTATION_ONLY'),
        result(0, 7, pose(1)),
    ]
    errors = pair_errors(results, TRUTH)
    assert errors.known.tolist() == [True, True, False]
    assert not errors.good.any()
    found = accuracy(errors, chain_poses(results, TRUTH), TRUTH)
    assert found is not None
    assert (found.results, found.rotation_share, found.direction_share) == (2, 0.5, 0)
    assert accuracy(pair_errors(results, {}), chain_poses(results, {}), {}) is None


def test_the_chain_takes_its_scale_from_the_truth() -> None:
    chain = chain_poses([result(0, 1, pose(1)), result(1, 2, pose(1))], TRUTH)
    assert [each[0, 3] for each in chain.poses.values()] == pytest.approx([0, 2, 5])
    assert chain.restarts == ()
    assert chain_drift(chain, TRUTH) == pytest.approx((0, 5))
    sideways = chain_poses([result(0, 1, pose(1, 90)), result(1, 2, pose(1))], TRUTH)
    assert chain_drift(sideways, TRUTH) == pytest.approx((3 * math.sqrt(2), 5))
    assert chain_drift(chain_poses([], TRUTH), TRUTH) is None


def test_a_reference_without_a_pose_restarts_the_chain_at_the_truth() -> None:
    results = [result(0, 1, pose(1)), result(1, 2, None, 'LOST'), result(2, 3, pose(1))]
    chain = chain_poses(results, TRUTH)
    assert chain.restarts == (2 * SECOND,)
    assert [each[0, 3] for each in chain.poses.values()] == pytest.approx([0, 2, 5, 9])


def test_latency_and_rate_count_from_the_publishing() -> None:
    results = [
        result(0, 1, pose(1), arrival_ns=1_100_000_000),
        result(0, 2, pose(1), arrival_ns=2_000_000_000),
    ]
    sent = {0: 0, SECOND: 1_000_000_000, 2 * SECOND: 1_700_000_000}
    assert latencies(results, sent) == pytest.approx([0.1, 0.3])
    assert result_rate(results, sent) == pytest.approx(1.0)
    assert result_rate([], sent) == 0


def test_the_worst_result_has_no_pose_or_the_greatest_error() -> None:
    results = [result(0, 1, pose(1)), result(1, 2, pose(1, 4)), result(2, 3, None, 'LOST')]
    assert worst_result(results, pair_errors(results, TRUTH)) == 2
    assert worst_result(results[:2], pair_errors(results[:2], TRUTH)) == 1
    few = [result(0, 1, pose(1)), result(1, 2, pose(1), inliers=12)]
    assert worst_result(few, pair_errors(few, {})) == 1


def test_states_are_counted_from_the_most_frequent_on() -> None:
    results = [result(0, 1, None, 'LOST'), *[result(0, 2, pose(1))] * 2]
    assert list(count_states(results).items()) == [('OK', 2), ('LOST', 1)]


def test_counts_that_differ_are_named() -> None:
    check_counts({'/a': 3, '/b': 1}, {'/a': 3}, Path('bag'))
    with pytest.raises(LiveError, match=r'bag .* /a: 2 of 3; /c: 0 of 1'):
        check_counts({'/a': 2}, {'/a': 3, '/c': 1}, Path('bag'))


IMAGES = ImageCounts(
    sent=10, sent_rate=10.0, received=9, processed=4, dropped=5, refused=0, errors=0
)


def summary(images: ImageCounts = IMAGES, accuracy: Accuracy | None = None) -> Summary:
    nothing = Percentiles.of([])
    poses = ResultFigures(
        results=3,
        rate=3.0,
        latency=Percentiles(0.1, 0.2),
        matches=nothing,
        inliers=nothing,
        states={'OK': 3},
        keyframes=1,
    )
    return Summary(source='room', size=(64, 48), images=images, poses=poses, accuracy=accuracy)


def test_the_table_says_where_images_were_left() -> None:
    rows = dict(summary_rows(summary()))
    assert rows['processed'] == '4 (5 dropped for newer ones, 1 lost in transport, 0 refused)'
    assert rows['latency'] == 'p50 100 ms, p95 200 ms'
    assert rows['errors'] == 'unknown: the sequence has no true poses'
    assert '2 left out' in dict(summary_rows(summary(replace(IMAGES, processed=2))))['processed']


def test_the_table_has_errors_where_the_truth_is_known() -> None:
    known = Accuracy(
        results=4,
        rotation=Percentiles(0.1, 0.5),
        direction=Percentiles(1.0, 5.0),
        rotation_share=1.0,
        direction_share=0.75,
        good_share=0.75,
        restarts=0,
        drift=(0.5, 20),
    )
    rows = dict(summary_rows(summary(accuracy=known)))
    assert rows['rotation error'] == 'median 0.10°, p95 0.50°, 100 % below 1°'
    assert rows['direction error'] == 'median 1.00°, p95 5.00°, 75 % below 10°'
    assert rows['both below'] == '75 % of 4 results'
    assert rows['chain of poses'] == 'unbroken, 0.5 m off after 20 m'
    broken = summary(accuracy=replace(known, restarts=2, drift=None))
    assert dict(summary_rows(broken))['chain of poses'] == 'restarted at the truth: 2 x'


def test_files_hold_the_summary(tmp_path: Path) -> None:
    write_json(tmp_path / 'summary.json', summary())
    values = json.loads((tmp_path / 'summary.json').read_text())
    assert (values['sent'], values['lost'], values['matches']['p50']) == (10, 1, None)
    write_markdown(tmp_path / 'summary.md', summary(), {'motion.png': 'Motion'})
    text = (tmp_path / 'summary.md').read_text()
    assert '| sent | 10 at 10.0 Hz |' in text
    assert '![Motion](motion.png)' in text


def test_the_feed_keeps_stamps_and_truth_and_can_be_slower(tmp_path: Path) -> None:
    feed = write_feed(room_source(3, (32, 24)), tmp_path / 'feed', rate=2.0)
    assert (len(feed.stamps), feed.rate, feed.size) == (3, 2.0, (32, 24))
    assert set(feed.truth) == set(feed.stamps)
    again = write_feed(dataset_source(tmp_path / 'feed', 2), tmp_path / 'again')
    assert again.stamps == feed.stamps[:2]
    assert again.rate == pytest.approx(10)
    assert np.allclose(again.truth[again.stamps[1]], feed.truth[feed.stamps[1]])


def test_a_bag_to_start_with_is_written_without_ros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('loftr_ros.evaluation.demo.command.check_ros', pytest.fail)
    bag = tmp_path / 'room'
    assert main(['demo', '--save-bag', str(bag), '--frames', '3']) == 0
    assert f'ros2 bag play {bag} --clock' in capsys.readouterr().out
    sequence = open_sequence(bag)
    assert len(sequence) == 3
    for item in sequence:
        assert item.frame.camera is not None
        assert item.world_T_camera is not None
    with opened(bag) as reader:
        records = list(reader.records(['/camera/image_raw']))
    stamps = [item.frame.stamp_ns for item in sequence]
    assert [record.time_ns for record in records] == stamps
    assert main(['demo', '--save-bag', str(bag), '--frames', '3']) == 1
    assert str(bag) in capsys.readouterr().err


def test_a_minute_of_a_long_sequence_is_enough(tmp_path: Path) -> None:
    path = tmp_path / 'slow'
    frames = [
        GroundTruthFrame(Frame(number * 25 * SECOND, np.zeros((24, 32), np.uint8)))
        for number in range(5)
    ]
    write_feed(FrameSource('slow', frames, 5), path)
    assert len(write_feed(dataset_source(path), tmp_path / 'minute').stamps) == 3


@pytest.mark.parametrize('stamps', [[1], [1, 1], [2, 1]])
def test_a_feed_needs_two_images_in_the_order_of_time(tmp_path: Path, stamps: list[int]) -> None:
    frames = [GroundTruthFrame(Frame(stamp, np.zeros((24, 32), np.uint8))) for stamp in stamps]
    with pytest.raises(DatasetError):
        write_feed(FrameSource('few', frames, len(frames)), tmp_path / 'feed')


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ValueError, match='--frames is 1'):
        DemoOptions(frames=1)
    with pytest.raises(ValueError, match='--rate is 0 Hz'):
        DemoOptions(rate=0)


def test_a_process_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    process = Process('the node', 'no_such_module', [], tmp_path / 'log')
    process.start(ros_environment(tmp_path), talks=False)
    while process.exit_code is None:
        time.sleep(0.05)
    with pytest.raises(LiveError, match=r'the node ended .* code 1(.|\n)*no_such_module'):
        process.check()
    assert process.stop() == 1


@needs_ros
def test_the_demo_runs_the_node_and_leaves_a_report_and_a_bag(tmp_path: Path) -> None:
    from evo.tools.file_interface import read_bag_trajectory
    from rosbags.rosbag2 import Reader

    output = tmp_path / 'out'
    parameters = PARAMETERS | {'input.process_every_frame': 'true', 'input.queue_size': '20'}
    options = DemoOptions(
        output=output, frames=12, rate=4.0, size=(320, 240), parameters=parameters
    )
    found = run_demo(options, Console(quiet=True))
    assert found.images.sent == 12
    assert found.poses.results == sum(found.poses.states.values()) == 11
    assert found.accuracy is not None
    assert found.poses.latency.p50 > 0
    pictures = {'motion.png', 'node.png', 'matches_start.png', 'matches_worst.png'}
    files = pictures | {'summary.json', 'summary.md', 'node.log', 'bag'}
    assert files <= {path.name for path in output.iterdir()}
    with Reader(output / 'bag') as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        true = read_bag_trajectory(reader, '/ground_truth/pose')
        estimated = read_bag_trajectory(reader, '/demo/estimated_pose')
    assert counts['/camera/image_raw'] == counts['/camera/camera_info'] == 12
    assert counts['/loftr/correspondences'] == counts['/loftr/relative_pose'] == 11
    assert true.num_poses == 12
    assert estimated.num_poses >= 2


@needs_ros
def test_weights_that_are_not_there_end_the_demo_with_the_reason(tmp_path: Path) -> None:
    options = DemoOptions(
        output=tmp_path,
        frames=2,
        size=(64, 48),
        parameters={'matcher.weights': '/no/such.safetensors'},
    )
    with pytest.raises(LiveError, match=r'did not start(.|\n)*/no/such\.safetensors'):
        run_demo(options, Console(quiet=True))


@needs_ros
def test_an_interrupt_leaves_no_processes(tmp_path: Path) -> None:
    code = 'import sys; from loftr_ros.commands.main import main; sys.exit(main())'
    arguments = ['demo', '--output', str(tmp_path / 'out'), '--rate', '0.2']
    feed = tmp_path / 'feed'
    write_feed(room_source(4, (64, 48)), feed)
    process = subprocess.Popen([sys.executable, '-c', code, *arguments, '--data', str(feed)])
    log = tmp_path / 'out' / 'node.log'
    deadline = time.monotonic() + 60
    while not (log.exists() and 'active' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    children = children_of(process.pid)
    assert len(children) == 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert not [child for child in children if Path(f'/proc/{child}').exists()]
