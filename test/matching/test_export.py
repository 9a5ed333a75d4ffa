"""Exported graphs, run by ONNX Runtime, give the matches of the weights they were made from."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loftr_ros.commands.main import main
from loftr_ros.data.images import read_image
from loftr_ros.matching.config import LoFTRConfig
from loftr_ros.matching.errors import ImageError, WeightsError
from loftr_ros.matching.export import export
from loftr_ros.matching.export_check import check_export
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.onnx_folder import graph_hashes, read_manifest, write_manifest
from loftr_ros.matching.weights import save_weights
from loftr_ros.rendering.procedural import procedural_texture

pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (extra onnx)')
pytest.importorskip('onnxscript', reason='onnxscript is not installed (extra onnx)')

DATA = Path(os.environ.get('LOFTR_ROS_DATA', Path(__file__).parents[3] / 'shared/data'))
REAL = DATA / 'kitti_stereo' / 'image_l'

# Narrower ones magnify rounding: layer norms of few channels.
OFFICIAL = LoFTRConfig(
    initial_dim=32,
    block_dims=(32, 32, 64),
    coarse_dim=64,
    coarse_heads=4,
    coarse_layers=1,
    fine_dim=32,
    fine_heads=4,
    border_cells=0,
    confidence_threshold=0.0,
)


@pytest.fixture(scope='module')
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What one command wrote, and what it printed."""
    folder = tmp_path_factory.mktemp('export')
    pair = [str(folder / f'{seed}.png') for seed in (0, 1)]
    for seed, path in enumerate(pair):
        cv2.imwrite(path, texture(150, 99, seed))
    arguments = ['export', '-o', str(folder / 'any_size')]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*arguments, '--dynamic', '--check', *pair]) == 0
    return folder / 'any_size', printed.getvalue()


@pytest.fixture(scope='module')
def any_size(command: tuple[Path, str]) -> Path:
    return command[0]


@pytest.fixture(scope='module')
def torch_matcher() -> Matcher:
    return Matcher('lite', device='cpu', precision='float32', longer_side=None)


@pytest.fixture(scope='module')
def matcher(any_size: Path) -> Matcher:
    return Matcher(any_size, backend='onnxruntime', device='cpu', longer_side=None)


@pytest.fixture(scope='module')
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights and graphs of the official layout, for images of 80x64 px."""
    folder = tmp_path_factory.mktemp('official')
    torch.manual_seed(0)
    weights = folder / 'official.safetensors'
    save_weights(LoFTR(OFFICIAL), weights)
    export(weights, folder / '80x64', size=(78, 64))
    return folder


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)


def texture(height: int, width: int, shift: int = 0) -> NDArray[np.uint8]:
    image = procedural_texture(512, np.random.default_rng(5))
    return np.ascontiguousarray(image[shift : height + shift, :width])


@pytest.mark.parametrize(
    ('size0', 'size1'), [((96, 160), (96, 160)), ((240, 320), (240, 320)), ((190, 77), (100, 250))]
)
def test_images_of_any_size_match_as_by_torch(
    torch_matcher: Matcher, matcher: Matcher, size0: tuple[int, int], size1: tuple[int, int]
) -> None:
    found = check_export(torch_matcher, matcher, texture(*size0), texture(*size1, shift=4))

    assert found.matches[0] > 0
    assert found.holds, found
    assert found.confidence < 1e-3


def test_one_command_exports_and_checks(command: tuple[Path, str]) -> None:
    exported, checked = command[1].splitlines()

    assert 'lite for images of any size, opset 18' in exported
    assert checked.startswith('0.png 1.png: ')
    assert 'NOT THE SAME' not in checked


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_a_pair_of_any_size_is_accepted(
    matcher: Matcher, height: int, width: int, seed: int
) -> None:
    matches = matcher.match_images(noise(height, width, seed), noise(width, height))

    assert np.isfinite(matches.query_points).all()
    assert (matches.reference_points <= [width - 0.5, height - 0.5]).all()


@pytest.mark.skipif(not REAL.is_dir(), reason=f'no images in {REAL} (LOFTR_ROS_DATA)')
def test_a_real_pair_matches_as_by_torch(torch_matcher: Matcher, matcher: Matcher) -> None:
    found = check_export(
        torch_matcher, matcher, *(read_image(REAL / f'00000{index}.png') for index in (0, 1))
    )

    assert found.matches[0] > 100
    assert found.holds, found


def test_masked_parts_never_match(torch_matcher: Matcher, matcher: Matcher) -> None:
    image = texture(160, 192)
    mask = np.ones(image.shape, np.bool_)
    mask[:, 96:] = False

    by_torch = torch_matcher.match(torch_matcher.encode(image, mask), torch_matcher.encode(image))
    matches = matcher.match(matcher.encode(image, mask), matcher.encode(image))

    assert len(matches) > 10
    assert (matches.reference_points[:, 0] < 96).all()
    np.testing.assert_allclose(matches.query_points, by_torch.query_points, atol=1e-2)


def test_encoded_images_can_be_reused(matcher: Matcher) -> None:
    image, other = texture(96, 128), texture(96, 128, shift=3)
    features = matcher.encode(image)

    for _ in range(2):
        again = matcher.match(features, matcher.encode(other))
        direct = matcher.match_images(image, other)
        np.testing.assert_array_equal(again.query_points, direct.query_points)


def test_what_belongs_to_the_weights_travels_along(
    torch_matcher: Matcher, matcher: Matcher
) -> None:
    image = texture(96, 128)

    assert matcher.weights_hash == torch_matcher.weights_hash
    assert matcher.weights_name == 'lite'
    assert matcher.network.config == torch_matcher.network.config
    by_torch, matches = (each.match_images(image, image) for each in (torch_matcher, matcher))
    np.testing.assert_allclose(matches.sigma, by_torch.sigma, rtol=1e-2)
    np.testing.assert_allclose(matches.confidence, by_torch.confidence, atol=1e-3)


def test_threshold_and_number_of_matches_are_limited_as_by_torch(any_size: Path) -> None:
    image = texture(96, 128)
    arguments = {'backend': 'onnxruntime', 'device': 'cpu', 'longer_side': None}

    assert len(Matcher(any_size, max_matches=5, **arguments).match_images(image, image)) == 5  # type: ignore[arg-type]
    strict = Matcher(any_size, confidence_threshold=1.0, **arguments)  # type: ignore[arg-type]
    assert len(strict.match_images(image, image)) == 0


def test_the_place_of_an_image_is_the_same_as_by_torch(
    torch_matcher: Matcher, matcher: Matcher
) -> None:
    signatures = [
        each.signature(each.encode(texture(96, 128))) for each in (torch_matcher, matcher)
    ]

    np.testing.assert_allclose(signatures[0], signatures[1], atol=1e-4)


def test_a_fixed_size_is_padded_to_whole_cells(official: Path) -> None:
    matcher = Matcher(official / '80x64', backend='onnxruntime', device='cpu')
    by_torch = Matcher(official / 'official.safetensors', device='cpu')

    found = check_export(by_torch, matcher, noise(64, 78), noise(64, 80, seed=1))

    assert read_manifest(official / '80x64').size == (80, 64)
    assert found.holds, found
    assert matcher.warm_up(480, 640) > 0


def test_an_image_of_another_size_than_the_fixed_one_is_refused(official: Path) -> None:
    matcher = Matcher(official / '80x64', backend='onnxruntime', device='cpu')

    with pytest.raises(ImageError, match=r'96x64, the export takes 80x64 .* --size 96x64'):
        matcher.encode(noise(64, 96))


def test_a_graph_that_is_none_is_refused(official: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'broken'
    shutil.copytree(official / '80x64', folder)
    manifest = read_manifest(folder)
    (folder / 'coarse.onnx').write_bytes(b'no graph')
    write_manifest(folder, type(manifest)(**{**vars(manifest), 'hashes': graph_hashes(folder)}))

    with pytest.raises(WeightsError, match=r'ONNX Runtime refuses coarse\.onnx'):
        Matcher(folder, backend='onnxruntime')


def test_an_export_that_broke_off_is_none(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'broken'
    shutil.copytree(official / '80x64', folder)

    def break_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.onnx, 'export', break_off)
    (folder / 'tensorrt').mkdir()
    with pytest.raises(KeyboardInterrupt):
        export(official / 'official.safetensors', folder)
    assert not (folder / 'tensorrt').exists()  # engines of the graphs before
    with pytest.raises(WeightsError, match='no folder that'):
        Matcher(folder, backend='onnxruntime')


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        ({'opset': 9}, 'opset must be 18'),
        ({'size': (4, 64)}, '4x64'),
        ({'size': (10**6, 64)}, '1000000x64'),
        ({'weights': 'litte'}, 'litte'),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(
    tmp_path: Path, arguments: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        export(**{'weights': 'lite', 'folder': tmp_path / 'out', **arguments})  # type: ignore[arg-type]
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        ({'backend': 'tflite'}, 'torch or onnxruntime'),
        ({'providers': 'RocketExecutionProvider'}, 'this onnxruntime has .*CPUExecutionProvider'),
        ({'providers': ' , '}, 'this onnxruntime has'),
        ({'precision': 'float16'}, 'TensorrtExecutionProvider alone'),
        ({'precision': 'bfloat16'}, 'float32, or in float16 with TensorRT'),
        ({'backend': 'torch'}, 'needs backend onnxruntime'),
        ({'weights': 'lite'}, 'loftr-ros export'),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(
    any_size: Path, arguments: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Matcher(**{'weights': any_size, 'backend': 'onnxruntime', **arguments})  # type: ignore[arg-type]


def test_without_the_packages_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ('onnx', 'onnxruntime', 'onnxscript'):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(WeightsError, match=r"onnx: pip install 'loftr_ros\[onnx\]'"):
        export('lite', tmp_path)
    with pytest.raises(WeightsError, match=r"onnxruntime: pip install 'loftr_ros\[onnx\]'"):
        Matcher(tmp_path, backend='onnxruntime')
    # Torch alone goes on to match.
    image = texture(96, 160)
    assert len(Matcher('lite', device='cpu').match_images(image, image)) > 0


@pytest.mark.parametrize('text', ['640', '640x', 'axb', '-3x4'])
def test_a_size_that_is_none_is_explained(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['export', '-o', str(tmp_path), f'--size={text}']) == 1
    assert 'WIDTHxHEIGHT' in capsys.readouterr().err
