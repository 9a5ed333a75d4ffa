"""Conditions change images as they say, and the truth stays exact."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from loftr_ros.commands.main import main
from loftr_ros.data.sequences import GroundTruthFrame
from loftr_ros.evaluation.matchers.condition_command import ConditionCommand
from loftr_ros.evaluation.matchers.conditions import CONDITIONS, View, line_kernel
from loftr_ros.evaluation.matchers.resizing import ResizedImage
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import inverse_transform

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = np.array([[200.0, 0, 150], [0, 220, 125], [0, 0, 1]])
PLAIN = Camera(320, 240, MATRIX)
BENT = Camera(320, 240, MATRIX, 'plumb_bob', np.array([-0.25, 0.08, 0.001, -0.002]))


def texture(camera: Camera = PLAIN) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 255, (24, 32), np.uint8)
    return np.asarray(cv2.resize(noise, camera.size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def changed(
    name: str, camera: Camera = PLAIN, depth: float | None = None, *, index: int = 4
) -> View:
    image = texture(camera)
    known = None if depth is None else np.full(camera.size, depth, np.float32)
    truth = GroundTruthFrame(Frame(0, image, '', camera), np.eye(4), known)
    resized = ResizedImage(image, (1.0, 1.0), camera)
    return CONDITIONS[name].view(resized, truth, ('set', index), query=True)


def spot(camera: Camera, point: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    pixel = camera.project(point[None])[0]
    squares = (x - pixel[0]) ** 2 + (y - pixel[1]) ** 2
    return np.asarray(255 * np.exp(-squares / 18), np.uint8)


def centre(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    weight = np.where(image > 10, image, 0).astype(float)
    y, x = np.indices(image.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize('camera', [PLAIN, BENT])
@pytest.mark.parametrize('name', ['rotation_30', 'scale_2'])
def test_a_point_is_seen_where_the_changed_camera_and_pose_say(name: str, camera: Camera) -> None:
    for point in (np.array([0.2, 0.15, 1.0]), np.array([-0.25, 0.1, 1.1])):
        image = spot(camera, point)
        truth = GroundTruthFrame(Frame(0, image, '', camera))
        view = CONDITIONS[name].view(
            ResizedImage(image, (1.0, 1.0), camera), truth, ('set', 0), query=True
        )
        in_view = inverse_transform(view.original_T_view) @ [*point, 1]

        expected = view.image.calibration.project(in_view[None, :3])[0]

        assert np.linalg.norm(centre(view.image.image) - expected) < 0.25


def test_a_roll_rotates_by_thirty_degrees() -> None:
    pose = changed('rotation_30').original_T_view

    assert np.rad2deg(np.arctan2(pose[1, 0], pose[0, 0])) == pytest.approx(30)
    assert np.array_equal(pose[:3, 3], np.zeros(3))


@pytest.mark.parametrize('name', ['rotation_30', 'scale_2'])
def test_what_a_camera_does_leaves_the_reference_as_it_is(name: str) -> None:
    image = texture()
    truth = GroundTruthFrame(Frame(0, image, '', PLAIN))
    resized = ResizedImage(image, (1.0, 1.0), PLAIN)

    view = CONDITIONS[name].view(resized, truth, ('set', 0), query=False)

    assert view.image is resized
    assert np.array_equal(view.original_T_view, np.eye(4))


@pytest.mark.parametrize('angle', [0.0, 0.4, np.pi / 2, 2.5])
def test_a_blur_kernel_is_a_line_of_its_length(angle: float) -> None:
    kernel = line_kernel(15, angle)
    half = kernel.shape[0] // 2
    x, y = np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)

    assert kernel.sum() == pytest.approx(1)
    # The variance of a uniform line of length 15 is 15**2 / 12.
    assert (kernel * along**2).sum() == pytest.approx(15**2 / 12, rel=0.06)
    assert (kernel * across**2).sum() < 0.3


def test_motion_blur_keeps_the_mean_and_takes_detail() -> None:
    blurred, sharp = changed('motion_blur').image.image, texture()

    assert blurred.mean() == pytest.approx(sharp.mean(), abs=1.5)
    assert np.abs(np.diff(blurred.astype(int))).mean() < np.abs(np.diff(sharp.astype(int))).mean()


def test_low_light_is_dark_and_noisy() -> None:
    dark, bright = changed('low_light').image.image, texture()
    other = changed('low_light', index=5).image.image

    assert dark.mean() == pytest.approx(0.12 * bright.mean(), rel=0.05)
    noise = (dark.astype(float) - other) / np.sqrt(2)
    # Shot noise of mean / 4 levels squared, read noise 1.5, rounding 1 / 12.
    assert noise.var() == pytest.approx(0.12 * bright.mean() / 4 + 1.5**2 + 1 / 12, rel=0.1)


def test_low_contrast_keeps_fifteen_percent() -> None:
    assert changed('low_contrast').image.image.std() == pytest.approx(
        0.15 * texture().std(), rel=0.03
    )


def test_a_repeated_texture_sticks_to_the_surface() -> None:
    # A wall 2 m away; a step of 0.2 m, one period, moves the pattern by 20 px onto itself.
    image = np.full(PLAIN.size, 128, np.uint8)
    depth = np.full(PLAIN.size, 2.0, np.float32)
    views = []
    for x in (0.0, 0.1, 0.2):
        pose = np.eye(4)
        pose[0, 3] = x
        truth = GroundTruthFrame(Frame(0, image, '', PLAIN), pose, depth)
        resized = ResizedImage(image, (1.0, 1.0), PLAIN)
        view = CONDITIONS['repetitive_texture'].view(resized, truth, ('set', 0), query=True)
        views.append(view.image.image.astype(int))

    assert views[0].std() > 20
    assert np.abs(views[0] - views[2]).max() <= 1
    assert np.abs(views[0][:, 10:] - views[1][:, :-10]).max() <= 1
    assert np.abs(views[0] - views[1]).max() > 50


def test_unknown_depth_gets_no_texture() -> None:
    weakened = changed('repetitive_texture', depth=float('nan')).image.image

    expected = np.rint(128 + 0.35 * (texture() - 128.0))
    assert np.abs(weakened - expected).max() <= 1


def test_a_condition_that_needs_depth_says_so() -> None:
    with pytest.raises(ValueError, match='repetitive_texture needs images with depth'):
        changed('repetitive_texture')


def test_the_same_frame_looks_the_same_every_time() -> None:
    for name in ('motion_blur', 'low_light'):
        assert np.array_equal(changed(name).image.image, changed(name).image.image)
        assert not np.array_equal(changed(name).image.image, changed(name, index=5).image.image)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """Four views of two textured walls at different depths, in the layout of KITTI."""
    root = tmp_path / 'walk'
    (root / 'image_0').mkdir(parents=True)
    near, far = (np.random.default_rng(s).integers(0, 255, (60, 120), np.uint8) for s in (1, 2))
    near, far = (cv2.resize(w, (720, 360), interpolation=cv2.INTER_CUBIC) for w in (near, far))
    rows = []
    for index in range(4):
        image = np.asarray(far[:240, 6 * index : 6 * index + 320]).copy()
        image[120:] = near[120:240, 12 * index : 12 * index + 320]
        cv2.imwrite(str(root / 'image_0' / f'{index}.png'), image)
        # 200 px * 0.12 m / 4 m = 6 px and / 2 m = 12 px.
        rows.append(f'1 0 0 {0.12 * index} 0 1 0 0 0 0 1 0')
    (root / 'poses.txt').write_text('\n'.join(rows))
    (root / 'calib.txt').write_text('P0: 200 0 160 0 0 200 120 0 0 0 1 0')
    return root


def test_sift_finds_the_true_pose_of_changed_cameras(walk: Path) -> None:
    command = ConditionCommand(
        data=walk,
        json=walk / 'figures.json',
        out=walk / 'pictures',
        conditions=('clean', 'scale_2', 'rotation_30'),
        sets=('*consecutive',),
        weights=(),
        peers=('rootsift',),
    )
    console = Console(width=140)
    with console.capture() as capture:
        summaries = command.run(console)

    assert list(summaries) == ['clean', 'scale_2', 'rotation_30']
    for of_one in summaries.values():
        assert of_one[0].mean('precision') > 0.7
        assert max(result.rotation_error for result in of_one[0].results) < 2
    assert 'rotation_30' in capture.get()
    assert json.loads((walk / 'figures.json').read_text())['scale_2']['sets']
    assert cv2.imread(str(walk / 'pictures' / 'conditions.png')) is not None
    pictures = walk / 'pictures' / 'kitti_consecutive'
    assert cv2.imread(str(pictures / 'rotation_30_rootsift.png')) is not None


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['--conditions', 'rain'], "unknown condition 'rain'"),
        (['--conditions', 'repetitive_texture'], 'no set in'),
        (['--max-pairs', '-2'], 'max_pairs is 0 (for all) or more'),
    ],
)
def test_wrong_arguments_are_explained(
    walk: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    command = ['evaluate-conditions', '--data', str(walk), '--weights', '--peers', 'orb']
    assert main([*command, *arguments]) == 1
    assert problem in capsys.readouterr().err
