"""An export that is not whole, or not one's own, is refused with the reason."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loftr_ros.matching.config import LITE
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.onnx_folder import (
    MANIFEST,
    STAGES,
    Manifest,
    graph_hashes,
    graph_path,
    read_manifest,
    write_manifest,
)

CONFIG = dataclasses.replace(LITE, sigma_scale=1.5, confidence_knots=(0.0, 0.4, 1.0))


def written(folder: Path, content: bytes = b'graph') -> Manifest:
    folder.mkdir(exist_ok=True)
    for stage in STAGES:
        graph_path(folder, stage).write_bytes(content + stage.encode())
    manifest = Manifest('lite', 'a' * 64, CONFIG, (640, 480), 18, graph_hashes(folder))
    write_manifest(folder, manifest)
    return manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path / 'export')
    return tmp_path / 'export'


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = written(tmp_path / 'export')

    assert read_manifest(tmp_path / 'export') == manifest


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**content, **changes}))

    return edit


def without(name: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        del content[name]
        (folder / MANIFEST).write_text(json.dumps(content))

    return edit


def mixed(folder: Path) -> None:
    written(folder.parent / 'other', b'other')
    shutil.copy(graph_path(folder.parent / 'other', 'fine'), folder)


@pytest.mark.parametrize(
    ('corrupt', 'reason'),
    [
        (lambda folder: (folder / MANIFEST).unlink(), 'loftr-ros export'),
        (shutil.rmtree, 'loftr-ros export'),
        (lambda folder: (folder / MANIFEST).write_text('{"layout": 1'), 'not readable'),
        (lambda folder: (folder / MANIFEST).write_bytes(b'\xff\xfe'), 'not readable'),
        (lambda folder: (folder / MANIFEST).write_text('[]'), 'no JSON object'),
        (edited(layout=2), 'layout 2, this version reads 1'),
        (without('weights_hash'), "lacks 'weights_hash'"),
        (without('hashes'), "lacks 'hashes'"),
        (edited(size=[640]), 'not readable'),
        (edited(config={'colour': 'red'}), 'colour'),
        (edited(config={**CONFIG.to_dict(), 'confidence_knots': [2.0, 1.0]}), 'confidence_knots'),
        (
            edited(config={**CONFIG.to_dict(), 'coarse_heads': 0}),
            'coarse_heads and fine_heads must',
        ),
        (lambda folder: (folder / MANIFEST).write_text('[' * 100_000), 'not readable'),
        (lambda folder: (folder / MANIFEST).write_text('{"a":' * 100_000), 'not readable'),
        (lambda folder: graph_path(folder, 'encoder').unlink(), r'lacks encoder\.onnx'),
        (lambda folder: graph_path(folder, 'coarse').write_bytes(b'cut'), r'coarse\.onnx: damaged'),
        (mixed, r'fine\.onnx: damaged, or of another export'),
    ],
)
def test_a_corrupted_folder_is_refused_with_the_reason(
    folder: Path, corrupt: Callable[[Path], object], reason: str
) -> None:
    corrupt(folder)

    with pytest.raises(WeightsError, match=reason):
        read_manifest(folder)


def test_weights_that_no_hash_covers_are_refused(folder: Path) -> None:
    onnx = pytest.importorskip('onnx', reason='onnx is not installed (extra onnx)')
    weights = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), 'weights')
    output = onnx.helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, [64, 64])
    node = onnx.helper.make_node('Identity', ['weights'], ['y'])
    graph = onnx.helper.make_graph([node], 'location of weights', [], [output], [weights])
    for beside in (False, True):
        onnx.save_model(
            onnx.helper.make_model(graph),
            graph_path(folder, 'coarse'),
            save_as_external_data=beside,
            location='weights.bin',
            size_threshold=0,
        )
        write_manifest(folder, Manifest('lite', 'a' * 64, CONFIG, None, 18, graph_hashes(folder)))
        if not beside:
            assert read_manifest(folder).weights_name == 'lite'
    with pytest.raises(WeightsError, match=r'coarse\.onnx: weights in files beside'):
        read_manifest(folder)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(['layout', 'config', 'size', 'opset', 'hashes']), value=ANYTHING)
def test_a_manifest_of_other_values_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    folder = tmp_path_factory.mktemp('export')
    written(folder)
    edited(**{name: value})(folder)

    with contextlib.suppress(WeightsError):
        assert read_manifest(folder).config.stride in (8, 16)
