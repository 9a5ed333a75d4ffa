from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from loftr_ros.frontend import Frame, SavedPlaces
from loftr_ros.frontend.place_files import (
    ENTRY,
    MAX_BYTES,
    MAX_HEADER_BYTES,
    PlacesError,
    load_places,
    save_places,
)
from loftr_ros.frontend.places import Located, Place
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import exponential

HASH = 'a1' * 32
SIZE = 12, 16
IMAGES: dict[str, st.SearchStrategy[Any]] = {
    'uint8': st.integers(0, 255),
    'uint16': st.integers(0, 65535),
    'float32': st.floats(0, 1, width=32),
}
one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def place(number: int = 0, *, located: bool = True) -> Place:
    image = np.full(SIZE, number, np.uint8)
    camera = Camera(SIZE[1], SIZE[0], np.array([[20, 0, 7.5], [0, 20, 5.5], [0, 0, 1]]))
    depth = np.full(SIZE, 2.0, np.float32)
    frame = Frame(10**9 + number, image, 'eye', camera, depth)
    signature = np.array([np.cos(number), np.sin(number)], np.float32)
    pose = Located(number, exponential(np.full(6, 0.1 * number))) if located else None
    return Place.of(frame, signature, pose)


def saved(count: int = 3) -> SavedPlaces:
    return SavedPlaces(tuple(place(n) for n in range(count)), 0.01, 'lite', HASH)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'office.safetensors'
    save_places(saved(), path)
    return path


def change(path: Path, tensors: dict[str, Any] | None = None, **metadata: Any) -> None:  # noqa: ANN401
    """Write a file again with other metadata or tensors (None leaves one out)."""
    with safe_open(path, framework='numpy') as stream:
        values = json.loads(stream.metadata()[ENTRY])
    values = {key: value for key, value in {**values, **metadata}.items() if value != 'missing'}
    arrays = {**load_file(path), **(tensors or {})}
    kept = {name: array for name, array in arrays.items() if array is not None}
    save_file(kept, path, {ENTRY: json.dumps(values)})


def refusal(path: Path, most: int = 100, weights: str = HASH) -> str:
    with pytest.raises(PlacesError) as caught:
        load_places(path, weights, most)
    assert str(path) in str(caught.value)
    return str(caught.value)


def same(first: npt.NDArray[Any] | None, second: npt.NDArray[Any] | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=True)


@st.composite
def places(draw: st.DrawFn, width: int) -> Place:
    kind = draw(st.sampled_from(sorted(IMAGES)))
    size = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
    image = draw(hnp.arrays(kind, size, elements=IMAGES[kind]))
    depths = hnp.arrays(np.float32, size, elements=st.floats(width=32))
    camera = Camera(
        size[1],
        size[0],
        np.array([[max(size) * draw(st.floats(0.2, 50)), 0, 0], [0, max(size), 0], [0, 0, 1]]),
        'plumb_bob',
        np.array([0.01, 0.0, 0.001, -0.001]),
    )
    frame = Frame(
        draw(st.integers(0, 2**63 - 1)),
        image,
        draw(st.text(st.characters(codec='utf-8'), max_size=8)),
        draw(st.sampled_from([None, camera])),
        draw(st.none() | depths),
    )
    signature = draw(hnp.arrays(np.float32, width, elements=st.floats(-1, 1, width=16)))
    length = float(np.linalg.norm(signature))
    unit = signature / length if length > 1e-3 else np.zeros(width)
    twist = draw(st.none() | hnp.arrays(np.float64, 6, elements=st.floats(-3, 3)))
    pose = None if twist is None else Located(draw(st.integers(0, 9)), exponential(twist))
    return Place.of(frame, np.asarray(unit, np.float32), pose)


@one_folder
@given(
    st.integers(1, 5).flatmap(lambda width: st.lists(places(width), min_size=1, max_size=3)),
    st.none() | st.floats(0, 2),
)
def test_places_come_back_as_they_were(
    tmp_path: Path, before: list[Place], step: float | None
) -> None:
    path = tmp_path / 'all.safetensors'
    save_places(SavedPlaces(tuple(before), step, 'lite', HASH), path)
    found = load_places(path, HASH, len(before))
    assert (found.typical_step, found.weights_name, found.weights_hash) == (step, 'lite', HASH)
    for old, new in zip(before, found.places, strict=True):
        assert (old.frame.stamp_ns, old.frame.frame_id) == (new.frame.stamp_ns, new.frame.frame_id)
        assert same(old.frame.image, new.frame.image)
        assert same(old.depth, new.depth)
        assert same(old.signature, new.signature)
        assert (old.located is None) == (new.located is None)
        if old.located is not None and new.located is not None:
            assert old.located.chain == new.located.chain
            assert same(old.located.chain_T_camera, new.located.chain_T_camera)
        ours, theirs = old.frame.camera, new.frame.camera
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert (ours.size, ours.distortion_model) == (theirs.size, theirs.distortion_model)
            assert same(ours.matrix, theirs.matrix)
            assert same(ours.distortion, theirs.distortion)


@one_folder
@given(st.data())
def test_a_corrupted_file_is_refused_or_read_but_nothing_else(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / 'corrupted.safetensors'
    save_places(saved(2), path)
    content = bytearray(path.read_bytes())
    end = data.draw(st.integers(0, len(content)), label='length')
    for _ in range(data.draw(st.integers(0, 4), label='changes')):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:end])
    with suppress(PlacesError):
        assert len(load_places(path, HASH, 10).places) == 2
    path.unlink()


@one_folder
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.sampled_from(
        ['version', 'weights', 'typical_step', 'places', 'camera', 'stamp_ns', 'chain']
    ),
)
def test_metadata_of_any_kind_is_refused_or_read(tmp_path: Path, value: Any, name: str) -> None:  # noqa: ANN401
    path = tmp_path / 'any.safetensors'
    save_places(saved(1), path)
    if name in ('camera', 'stamp_ns', 'chain'):
        record = {'stamp_ns': 1, 'frame_id': 'eye', 'camera': None, 'chain': 0, name: value}
        change(path, places=[record])
    else:
        change(path, **{name: value})
    with suppress(PlacesError):
        load_places(path, HASH, 10)
    path.unlink()


def test_places_of_other_weights_are_refused_by_name(file: Path) -> None:
    text = refusal(file, weights='b2' * 32)
    assert 'its places were made with the weights lite (a1a1a1a1a1a1' in text
    assert 'not with those in use (b2b2b2b2b2b2' in text


def test_a_file_of_a_newer_version_asks_for_an_update(file: Path) -> None:
    change(file, version=2, weights='missing')
    assert 'format version 2 is not the known 1: update loftr_ros' in refusal(file)
    change(file, version='1')
    assert "format version '1' is not the known 1: save the places again" in refusal(file)


def test_files_of_something_else_are_refused_and_kept(tmp_path: Path) -> None:
    weights, text = tmp_path / 'weights.safetensors', tmp_path / 'text.safetensors'
    save_file({'layer': np.zeros(3, np.float32)}, weights)
    text.write_text('a text that is longer than eight bytes')
    for path, problem in ((weights, 'the file is none of places'), (text, 'truncated, or none')):
        before = path.read_bytes()
        assert problem in refusal(path)
        with pytest.raises(PlacesError):
            save_places(saved(), path)
        assert path.read_bytes() == before
    with pytest.raises(PlacesError, match='holds something else, and is not overwritten'):
        save_places(saved(), weights)


@pytest.mark.parametrize('length', [0, 7, 8, 500, -1])
def test_truncated_files_are_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    refusal(file)


def test_sizes_are_checked_before_anything_is_read(file: Path, tmp_path: Path) -> None:
    huge = tmp_path / 'huge.safetensors'
    with huge.open('wb') as stream:
        stream.truncate(MAX_BYTES + 1)
    assert f'more than {MAX_BYTES}' in refusal(huge)
    with huge.open('r+b') as stream:
        stream.truncate(MAX_BYTES)
        stream.write((MAX_HEADER_BYTES + 1).to_bytes(8, 'little'))
    assert f'its header has {MAX_HEADER_BYTES + 1} bytes' in refusal(huge)
    assert 'holds 3 places, more than 2 (loop.memory)' in refusal(file, most=2)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe, missing = tmp_path / 'pipe.safetensors', tmp_path / 'missing.safetensors'
    os.mkfifo(pipe)
    assert 'it is no file' in refusal(pipe)
    assert 'it is no file' in refusal(tmp_path)
    assert 'No such file' in refusal(missing)


@pytest.mark.parametrize(
    ('tensors', 'problem'),
    [
        ({'signatures': np.zeros((2, 2), np.float32)}, r'signatures is F32 \[2, 2\]'),
        ({'signatures': np.full((3, 2), np.nan, np.float32)}, 'not of length 1'),
        ({'signatures': np.ones((3, 2), np.float32)}, 'not of length 1'),
        ({'chain_T_camera': np.ones((3, 4, 4))}, 'no rotation and translation'),
        ({'chain_T_camera': np.zeros((3, 4, 4), np.float32)}, 'chain_T_camera is F32'),
        ({'image.1': None}, "'image.1' is missing"),
        ({'image.1': np.zeros((5, 6), np.uint8)}, 'depth.1 is F16'),
        ({'image.1': np.zeros((12, 17), np.uint8)}, 'depth.1 is F16|calibration is for'),
        ({'image.1': np.zeros((12, 16, 3), np.uint8)}, 'damaged'),
        ({'image.1': np.zeros((12, 16), np.int64)}, 'image.1 is I64'),
        ({'image.1': np.zeros((0, 16), np.uint8)}, 'image.1 has 16x0 px'),
        ({'image.1': np.zeros((1, 20000), np.uint8)}, 'image.1 has 20000x1 px'),
        ({'image.9': np.zeros((5, 6), np.uint8)}, 'belong to no place: image.9'),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    file: Path, tensors: dict[str, Any], problem: str
) -> None:
    change(file, tensors)
    with pytest.raises(PlacesError, match=problem):
        load_places(file, HASH, 10)


def test_a_frame_that_no_message_can_hold_is_refused(file: Path) -> None:
    record = {'stamp_ns': 1, 'frame_id': '\ud800', 'camera': None, 'chain': 0}
    change(file, places=[record] * 3)
    assert 'damaged' in refusal(file)
    change(file, places=[{**record, 'frame_id': 'eye', 'stamp_ns': -1}] * 3)
    assert 'the stamp or the frame of a place is none' in refusal(file)


def test_a_file_is_replaced_as_a_whole(file: Path) -> None:
    before = file.read_bytes()
    with file.open('rb') as reader:
        save_places(saved(5), file)
        assert reader.read() == before
    assert len(load_places(file, HASH, 10).places) == 5
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlacesError, match='cannot be written'):
        save_places(saved(), tmp_path / 'nowhere' / 'places.safetensors')
    with pytest.raises(PlacesError, match=r'must end with \.safetensors'):
        save_places(saved(), tmp_path / 'places.npz')
    assert not list(tmp_path.iterdir())


def test_a_place_without_pose_stays_without(tmp_path: Path) -> None:
    path = tmp_path / 'lost.safetensors'
    save_places(replace(saved(), places=(place(1, located=False), place(2))), path)
    first, second = load_places(path, HASH, 2).places
    assert first.located is None
    assert second.located is not None
