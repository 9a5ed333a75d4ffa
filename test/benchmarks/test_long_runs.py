"""Soak and fuzz run the real node, write what they saw, and know a node that does not hold."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fuzz_node import cut, mutate
from rclpy.serialization import serialize_message
from resources import Sample, Watch, draw, growth
from sensor_msgs.msg import CameraInfo, Image
from soak import problems_of

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'
SMALL = ['matcher.longer_side:=160', 'matcher.num_threads:=1']


def run(name: str, folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, str(BENCHMARKS / f'{name}.py'), *options]
    command += ['--json', str(folder / 'a.json'), '--picture', str(folder / 'a.png'), '--', *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert cv2.imread(str(folder / 'a.png')) is not None, done.stderr
    return done.returncode, json.loads((folder / 'a.json').read_text()), done.stdout


def test_a_soak_counts_poses_and_samples_the_process(tmp_path: Path) -> None:
    size = '--width', '320', '--height', '240', '--views', '10'
    _, found, shown = run('soak', tmp_path, '--seconds', '6', *size)
    assert found['figures']['sent'] == 120
    assert 0 < found['figures']['poses'] <= 120
    assert len(found['latencies']) == found['figures']['poses']
    assert all(sample['memory'] > 50 and sample['threads'] > 1 for sample in found['samples'])
    assert len(found['samples']) >= 4
    assert 'latency p95' in shown


def test_a_fuzz_reaches_every_topic_and_the_node_answers(tmp_path: Path) -> None:
    code, found, shown = run('fuzz_node', tmp_path, '--seconds', '6', '--modes', 'rgbd')
    assert (code, found['problems']) == (0, []), shown
    subscribed = {'/image', '/depth', '/camera_info', '/loftr0/set_pose'}
    assert subscribed <= set(found['counts'])
    assert found['latencies']
    assert sum(found['counts'].values()) == found['figures']['malformed messages'] > 20


def test_what_grows_and_what_ends_is_a_problem() -> None:
    growths = {'growth: memory, MB': 80.0, 'growth: threads': 0.0, 'growth: open files': 5.0}
    assert problems_of({'errors': 2, 'poses': 0, **growths}, -11) == [
        'memory, MB grew by 80, allowed are 50',
        'open files grew by 5, allowed are 1',
        'the node ended with exit code -11',
        '2 unexpected errors',
        'no poses came',
    ]
    assert not problems_of({'errors': 0, 'poses': 1, **dict.fromkeys(growths, 0.0)}, 0)


def test_growth_is_that_after_the_first_fifth() -> None:
    memory = [0.0] * 10 + [100.0] * 10 + [110.0] * 20 + [130.0] * 10
    samples = [Sample(float(i), value, 3, 4, 0.5) for i, value in enumerate(memory)]
    assert growth(samples, 'memory') == 30.0
    assert growth(samples, 'threads') == 0.0
    assert np.isnan(growth(samples[:3], 'memory'))


def test_a_watch_samples_this_process_until_it_ends(tmp_path: Path) -> None:
    watch = Watch()
    watch.begin(os.getpid())
    with contextlib.ExitStack() as stack:
        for number in range(50):
            stack.enter_context((tmp_path / str(number)).open('w'))
        while len(watch.samples) < 2:
            pass
        watch.end()
    assert watch.samples[-1].files > 50
    assert watch.samples[-1].cores > 0.2
    draw(tmp_path / 'a.png', 'title', watch.samples, [(1.0, 0.2)], [(0.5, 'begin')])
    assert cv2.imread(str(tmp_path / 'a.png')) is not None


@pytest.mark.parametrize('kind', [Image, CameraInfo])
def test_mutated_messages_are_different_and_can_be_sent(kind: type[Any]) -> None:
    seen = set()
    for seed in range(200):
        rng, message = np.random.default_rng(seed), kind()
        mutate(message, rng)
        data = serialize_message(message)
        seen.add(data)
        assert 4 <= len(cut(data, rng)) <= len(data)
    assert len(seen) > 50
