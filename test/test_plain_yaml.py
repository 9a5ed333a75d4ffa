"""Whoever reads YAML of others refuses in one short sentence what would fill the memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from loftr_ros.codecs.calibration_files import read_calibrations
from loftr_ros.codecs.cameras import CameraInfoError
from loftr_ros.data.bags.storage import bag_files
from loftr_ros.data.euroc import open_euroc
from loftr_ros.plain_yaml import YamlError, read_yaml
from loftr_ros.settings.files import read_parameters
from loftr_ros.training.configuration import read_options

LONGEST = 600
LINES = [
    f'{name}: &{name} [{", ".join(["*" + before] * 9)}]\n'
    for before, name in zip('abcdefghijklmnopqrs', 'bcdefghijklmnopqrst', strict=True)
]
BOMB = 'a: &a [x, x]\n' + ''.join(LINES)
MERGES = 'a: &a {x: 1}\n' + ''.join(
    f'{name}: &{name} {{"<<": [{", ".join(["*" + before] * 9)}]}}\n'
    for before, name in zip('abcdefghijklmnopqrs', 'bcdefghijklmnopqrst', strict=True)
)
BAD = {
    'aliases': (BOMB, 'aliases are not used'),
    'merges': (MERGES, 'aliases are not used'),
    'nested lists': ('[' * 100_000, 'nested too deep'),
    'nested maps': ('a: ' + '{b: ' * 5_000, 'nested too deep'),
    'open': ('a: [', 'expected the node content'),
    'a date that is none': ('a: 2026-99-99', 'month must be in 1..12'),
    'an unhashable key': ('? [a]\n: b', 'unhashable'),
    'a tag of Python': ('a: !!python/object/apply:os.system [ls]', 'could not determine a'),
}


@pytest.mark.parametrize(('text', 'reason'), BAD.values(), ids=BAD.keys())
def test_what_is_refused_is_said_in_one_short_sentence(text: str, reason: str) -> None:
    with pytest.raises(YamlError, match=reason) as refusal:
        read_yaml(text)
    assert len(str(refusal.value)) < LONGEST
    assert '\n' not in str(refusal.value)


def of_parameters(path: Path) -> object:
    return read_parameters(path, [])


def of_calibrations(path: Path) -> object:
    return read_calibrations([str(path)])


def of_training(path: Path) -> object:
    return read_options(path, {})


def of_euroc(path: Path) -> object:
    folder = path.parent / 'mav0' / 'cam0'
    folder.mkdir(parents=True)
    path.rename(folder / 'sensor.yaml')
    return open_euroc(path.parent)


@pytest.mark.parametrize('read', [of_parameters, of_calibrations, of_training, of_euroc])
@pytest.mark.parametrize(('text', 'reason'), BAD.values(), ids=BAD.keys())
def test_every_reader_names_the_file_and_the_reason(
    tmp_path: Path, read: Callable[[Path], object], text: str, reason: str
) -> None:
    (tmp_path / 'sensor.yaml').write_text(text)
    with pytest.raises(ValueError, match=reason) as refusal:
        read(tmp_path / 'sensor.yaml')
    assert 'sensor.yaml' in str(refusal.value)
    assert len(str(refusal.value)) < LONGEST


@pytest.mark.parametrize(('text', 'reason'), BAD.values(), ids=BAD.keys())
def test_a_bag_is_read_whatever_its_metadata_are(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / 'metadata.yaml').write_text(text)
    (tmp_path / 'bag.mcap').touch()
    files, notes = bag_files(tmp_path)
    assert [file.name for file in files] == ['bag.mcap']
    assert notes == ('metadata.yaml is damaged', 'the files beside metadata.yaml are read')


@given(st.text(st.characters(codec='utf-8'), max_size=80))
@example('0b')
@example('1:99999999999999999999')
@example('- !!timestamp x')
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(YamlError):
        assert repr(read_yaml(text)) == repr(yaml.safe_load(text))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = {
    'image_width': 64,
    'image_height': 48,
    'camera_matrix': {'data': [50, 0, 31, 0, 50, 23, 0, 0, 1]},
    'distortion_coefficients': {'data': [0.1, 0, 0, 0, 0]},
    'distortion_model': 'plumb_bob',
    'projection_matrix': {'data': [50, 0, 31, 0, 0, 50, 23, 0, 0, 0, 1, 0]},
    'rectification_matrix': {'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
}


@given(key=st.sampled_from(sorted(KEYS)), value=PLAIN)
@example(key='image_width', value=float('inf'))
@example(key='image_width', value=10**400)
@example(key='camera_matrix', value=[1e400] * 9)
def test_a_calibration_of_any_values_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    key: str,
    value: Any,  # noqa: ANN401
) -> None:
    path = tmp_path_factory.mktemp('calibration') / 'camera.yaml'
    path.write_text(yaml.safe_dump(KEYS | {key: value}))
    refused = ''
    try:
        assert len(read_calibrations([str(path)]).cameras) == 1
    except CameraInfoError as error:
        refused = str(error)
    assert not refused or ('camera.yaml' in refused and len(refused) < LONGEST)
