"""Every command of docs/tutorial.md runs, in its order, on small bags."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera
from loftr_ros.geometry.quaternions import quaternion_from_rotation
from loftr_ros.rendering.room import RenderedView, render_room_sequence

ROOT = Path(__file__).parent.parent.parent
TUTORIAL = ROOT / 'docs' / 'tutorial.md'
BLOCK = re.compile(r'^```sh\n(.*?)^```', re.DOTALL | re.MULTILINE)
FRAMES = 3


def commands() -> list[str]:
    return BLOCK.findall(TUTORIAL.read_text(encoding='utf-8'))


def write_bag(path: Path, seed: int) -> None:
    with BagWriter(path) as bag:
        for view in render_room_sequence(FRAMES, width=320, height=240, seed=seed):
            height, width = view.image.shape
            camera = Camera(width, height, view.matrix, 'none', np.zeros(0))
            bag.write_frame('/camera', Frame(view.stamp_ns, view.image, 'camera', camera))
            bag.write_pose('/pose', view.world_T_camera, view.stamp_ns)


def write_tum(folder: Path) -> None:
    """Write a dataset in the layout of TUM RGB-D."""
    (folder / 'rgb').mkdir(parents=True)
    views = list(render_room_sequence(FRAMES, width=400, height=300, seed=9))
    stamps = [f'{view.stamp_ns / 1e9:.6f}' for view in views]
    for view, stamp in zip(views, stamps, strict=True):
        cv2.imwrite(str(folder / 'rgb' / f'{stamp}.png'), view.image)
    images = [f'{stamp} rgb/{stamp}.png' for stamp in stamps]
    poses = [f'{stamp} {pose_of(view)}' for view, stamp in zip(views, stamps, strict=True)]
    (folder / 'rgb.txt').write_text('\n'.join(images) + '\n')
    (folder / 'groundtruth.txt').write_text('\n'.join(poses) + '\n')


def pose_of(view: RenderedView) -> str:
    pose = view.world_T_camera
    numbers = [*pose[:3, 3], *quaternion_from_rotation(pose[:3, :3])]
    return ' '.join(f'{number:.9f}' for number in numbers)


@pytest.fixture(scope='module')
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('tutorial')
    (folder / 'bags').mkdir()
    write_bag(folder / 'bags' / 'hall', 0)
    write_tum(folder / 'recordings' / 'kitchen')
    return folder


@pytest.fixture(scope='module')
def output(work: Path) -> str:
    """Run all blocks as one script, as a reader would, and return what it says."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    result = subprocess.run(
        ['bash', '-euxo', 'pipefail', '-c', '\n'.join(commands())],
        cwd=work,
        env={**os.environ, 'PATH': path, 'COLUMNS': '160'},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_step_of_the_tutorial_has_its_command() -> None:
    text = '\n'.join(commands())
    for name in ('convert', 'evaluate', 'report', 'explain', 'compare'):
        assert f'loftr-ros {name} ' in text


def test_the_commands_leave_what_the_tutorial_says(work: Path, output: str) -> None:
    for name in ('runs/now/report.html', 'report.html', 'compare.html'):
        assert (work / name).stat().st_size > 1_000_000, name
    for name in ('hall', 'kitchen'):
        frames = (work / 'runs/now/sequences' / name / 'frames.jsonl').read_text().splitlines()
        assert len(frames) == FRAMES
    pictures = {path.name for path in (work / 'explanation').iterdir()}
    assert {'matches.png', 'rootsift.png', 'features.png', 'attention_1.png'} <= pictures


def test_the_decision_is_the_one_that_the_figures_ask_for(work: Path, output: str) -> None:
    compared = json.loads((work / 'compare.json').read_text())
    assert [run['name'] for run in compared['runs']] == ['now', 'half']
    assert set(compared['runs'][0]['bags']) == {'hall', 'kitchen'}
    expected = 'keep the size (exit code 3)' if compared['regressions'] else 'take the smaller'
    assert f'decision: {expected}' in output


def test_the_pictures_of_the_tutorial_exist() -> None:
    links = re.findall(r'!\[.*?\]\((.*?)\)', TUTORIAL.read_text(encoding='utf-8'))
    assert len(links) == 4
    for link in links:
        assert cv2.imread(str(TUTORIAL.parent / link)) is not None, link
