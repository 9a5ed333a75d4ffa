"""A bag played to the real node over DDS, beside its replay; and what can go wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from child_processes import children_of, needs_ros
from rich.console import Console

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.demo.recording import count_messages
from loftr_ros.evaluation.live.command import LiveCommand
from loftr_ros.evaluation.records.results import open_run
from loftr_ros.evaluation.replay.command import EvaluateCommand
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.settings.parameters import NodeParameters

FRAMES = 10
TINY = NodeParameters().with_values({'matcher.longer_side': 320, 'matcher.num_threads': 1})
EVERY_FRAME = NodeParameters().with_values(
    {
        'matcher.longer_side': 320,
        'matcher.num_threads': 1,
        'input.process_every_frame': True,
        # Best effort over UDP, images are lost while the machine is busy.
        'input.reliability': 'reliable',
        'input.queue_size': 30,
    }
)
QUIET = Console(quiet=True)


def write_bag(path: Path, *, calibrated: bool = True, compressed: bool = False) -> Path:
    """Write a walk of a second through a room, mono or with depth."""
    with BagWriter(path, 'sqlite3' if compressed else 'mcap') as bag:
        for view in render_room_sequence(FRAMES, 320, 240, rate_hz=10.0):
            height, width = view.image.shape
            camera = Camera(width, height, view.matrix, 'none', np.zeros(0))
            stamp, header = view.stamp_ns, bag.header(view.stamp_ns, 'camera')
            if not compressed:
                frame = Frame(stamp, view.image, 'camera', camera if calibrated else None)
                bag.write_frame('/camera', frame)
            else:
                image = bag.compressed_image(view.image, header)
                bag.write('/camera/image_raw/compressed', image, stamp)
                bag.write('/camera/camera_info', bag.camera_info(camera, header), stamp)
                bag.write('/camera/depth', bag.image(view.depth.astype(np.float32), header), stamp)
            bag.write_odometry('/ground_truth', view.world_T_camera, stamp)
    return path


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp('live') / 'room')


@pytest.fixture(scope='module')
def replay(bag: Path) -> Path:
    output = bag.parent / 'replay'
    assert EvaluateCommand(inputs=(bag,), output=output, parameters=TINY, jobs=1).run(QUIET) == 0
    return output


def figures_of(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((folder / 'live.json').read_text())
    return figures


@needs_ros
def test_a_looped_bag_gives_the_figures_of_its_replay_each_time(
    bag: Path, replay: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'live'
    command = LiveCommand(bag=bag, output=output, loops=2, parameters=EVERY_FRAME, replay=replay)
    assert command.run(QUIET) == 0
    figures = figures_of(output)
    assert [run['name'] for run in figures['runs']] == ['room', 'room_2']
    for run in figures['runs']:
        assert run['sent'] == run['frames']['live'] == FRAMES
        assert run['results'] == run['latency_s']['count'] == FRAMES - 1
        assert set(run['left_out'].values()) == {0}
        assert 0 < run['latency_s']['p50'] <= run['latency_s']['max']
        assert run['agreement']['position']['max'] < 1e-9
        assert run['agreement']['rotation_deg']['max'] < 1e-4
        assert run['ate_m']['live'] == pytest.approx(run['ate_m']['replay'])
    [again] = figures['repeats']
    assert (again['equal'], again['common']) == (FRAMES, FRAMES)
    counts = count_messages(output / 'bag')
    assert counts['/loftr/relative_pose'] == counts['/loftr/correspondences'] == 2 * (FRAMES - 1)
    assert 'went back' in (output / 'node.log').read_text()
    compared = attrgetter(
        'index',
        'pose.state',
        'matching.matches',
        'matching.inliers',
        'matching.confidence',
        'reference.new_keyframe',
        'reference.reference_index',
    )
    live, offline = (
        [compared(record) for record in run.sequences[0].frames()]
        for run in (open_run(output / 'live'), open_run(replay))
    )
    assert live == offline
    page = (output / 'live.html').read_text()
    assert 'Both trajectories from above' in page
    assert (output / 'live' / 'report.html').is_file()


@needs_ros
def test_what_comes_too_fast_is_left_out_and_accounted_for(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'room', compressed=True)
    output = tmp_path / 'live'
    LiveCommand(bag=bag, output=output, rate=10, parameters=TINY, mode='rgbd').run(QUIET)
    [run] = figures_of(output)['runs']
    assert run['frames']['live'] < FRAMES
    assert run['left_out']['dropped'] > 0
    assert run['frames']['live'] + sum(run['left_out'].values()) == run['sent'] == FRAMES
    assert count_messages(output / 'bag')['/loftr/odometry'] > 0
    assert len(open_run(output / 'replay').sequences[0].frames()) == FRAMES


def start(bag: Path, replay: Path, output: Path) -> subprocess.Popen[str]:
    """Start a run that would last for minutes, and wait until images are sent."""
    code = 'import sys; from loftr_ros.commands.main import main; sys.exit(main())'
    words = [
        'evaluate-live',
        str(bag),
        '-o',
        str(output),
        '--replay',
        str(replay),
        '--rate',
        '0.01',
    ]
    words += ['-p', 'matcher.longer_side:=320', '-p', 'matcher.num_threads:=1']
    process = subprocess.Popen(
        [sys.executable, '-c', code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'COLUMNS': '100'},
    )
    log, deadline = output / 'node.log', time.monotonic() + 60
    while not (log.exists() and 'active' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    return process


def kill_node(children: list[int]) -> None:
    for child in children:
        if b'loftr_ros.ros.node' in Path(f'/proc/{child}/cmdline').read_bytes():
            os.kill(child, signal.SIGKILL)


@needs_ros
def test_a_node_that_dies_is_named_and_the_bag_stays_readable(
    bag: Path, replay: Path, tmp_path: Path
) -> None:
    process = start(bag, replay, tmp_path / 'out')
    children = children_of(process.pid)
    kill_node(children)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    assert 'the node ended unexpectedly with exit code -9' in re.sub(r'\s+', ' ', errors)
    assert 'Traceback' not in errors
    assert not [child for child in children if Path(f'/proc/{child}').exists()]
    count_messages(tmp_path / 'out' / 'bag')


@needs_ros
def test_a_bag_without_calibration_has_no_poses_and_says_so(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'room', calibrated=False)
    parameters = NodeParameters().with_values(
        {'matcher.longer_side': 320, 'matcher.num_threads': 1, 'input.silent_timeout': 0.1}
    )
    LiveCommand(bag=bag, output=tmp_path / 'live', parameters=parameters).run(QUIET)
    [run] = figures_of(tmp_path / 'live')['runs']
    assert run['agreement'] is None
    assert set(run['states']['live']) == {'lost'}
    info = open_run(tmp_path / 'live' / 'live').sequences[0].info
    assert info.warnings == (
        'no calibration: there are matches, but no poses; --calibration takes one from a file',
    )


@pytest.mark.parametrize('rate', [0.0, -1.0, float('nan'), float('inf')])
def test_a_rate_that_plays_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r'--rate is .* must be above 0'):
        LiveCommand(bag=Path('bag'), output=Path('out'), rate=rate)
    with pytest.raises(ValueError, match='--loops is 0'):
        LiveCommand(bag=Path('bag'), output=Path('out'), loops=0)


@needs_ros
def test_what_cannot_be_compared_is_refused(bag: Path, replay: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'there is no bag.*convert'):
        LiveCommand(bag=tmp_path, output=tmp_path / 'out').run(QUIET)
    other = write_bag(tmp_path / 'other')
    with pytest.raises(DatasetError, match=r'the results are not of .*other'):
        LiveCommand(bag=other, output=tmp_path / 'a', parameters=TINY, replay=replay).run(QUIET)
    wider = NodeParameters().with_values({'matcher.longer_side': 640})
    with pytest.raises(DatasetError, match=r'has other settings: matcher\.longer_side'):
        LiveCommand(bag=bag, output=tmp_path / 'b', parameters=wider, replay=replay).run(QUIET)
    with pytest.raises(DatasetError, match='the output folder is not empty'):
        LiveCommand(bag=bag, output=tmp_path, parameters=TINY, replay=replay).run(QUIET)
