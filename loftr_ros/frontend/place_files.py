"""Places in a file: one of safetensors, whose metadata is JSON; nothing in it is executed.

The tensors are ``signatures`` float32 (N, D), ``chain_T_camera`` float64 (N, 4, 4) with NaN where
a pose is unknown, and for place number i ``image.i`` (H, W) uint8, uint16 or float32, and
``depth.i`` float16 where there is depth. The metadata has one entry, ``loftr_ros_places``: format
version, weights, typical step, and stamp, frame, camera and chain (0: the map) of each place.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from loftr_ros.frontend.frame import Frame
from loftr_ros.frontend.localization import SavedPlaces
from loftr_ros.frontend.places import DEPTH_STEP, Located, Place
from loftr_ros.geometry import Camera
from loftr_ros.geometry.transforms import is_transform
from loftr_ros.texts import shortened

SUFFIX = '.safetensors'
ENTRY = 'loftr_ros_places'
VERSION = 1
MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 64 * 2**20
MAX_SIDE = 16384
"""Longest side of an image, px."""
MAX_SIGNATURE = 2**20
_DTYPES = {'U8': 'uint8', 'U16': 'uint16', 'F32': 'float32'}
_LENGTH = struct.Struct('<Q')


class PlacesError(ValueError):
    """A file of places cannot be written or used; the message says which and why."""


def save_places(saved: SavedPlaces, path: Path) -> None:
    """Write a file of places; one that is there is replaced at once, or stays as it is.

    Raises:
        PlacesError: The file cannot be written, or is none of places.
    """
    if path.suffix != SUFFIX:
        raise PlacesError(f'{path}: the name of a file of places must end with {SUFFIX}')
    try:
        if path.exists() and ENTRY not in _header(path).get('__metadata__', {}):
            raise PlacesError(f'{path}: the file holds something else, and is not overwritten')
        part = path.with_name(f'.{path.name}.{os.getpid()}.part')
        try:
            save_file(_tensors(saved), part, {ENTRY: json.dumps(_metadata(saved))})
            with part.open('rb') as stream:
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise PlacesError(f'{path}: places cannot be written: {_reason(error)}') from error


def load_places(path: Path, weights_hash: str, max_places: int) -> SavedPlaces:
    """Read a file of places.

    Args:
        path: The file.
        weights_hash: SHA-256 of the weights in use.
        max_places: Refuse a file of more.

    Raises:
        PlacesError: It cannot be read, is damaged or too large, holds something else, was written
            by a newer version, or by other weights.
    """
    try:
        header = _header(path)
        metadata = _checked_metadata(path, header, weights_hash, max_places)
        with safe_open(path, framework='numpy') as stream:
            return _places(metadata, header, stream)
    except (OSError, SafetensorError) as error:
        raise PlacesError(f'{path}: places cannot be read: {_reason(error)}') from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, PlacesError):
            raise
        what = f'{error} is missing' if isinstance(error, KeyError) else str(error)
        raise PlacesError(f'{path}: the file is damaged: {shortened(what, 200)}') from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shortened(text, 200)


def _header(path: Path) -> dict[str, Any]:
    """Read what the file says of its tensors; its length is checked before anything is read."""
    if path.exists() and not path.is_file():
        raise PlacesError(f'{path}: it is no file')  # and opening a pipe would wait for ever
    with path.open('rb') as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise PlacesError(f'{path}: the file has {size} bytes, more than {MAX_BYTES}')
        start = stream.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else size
        if _LENGTH.size + length > size:
            raise PlacesError(f'{path}: the file is truncated, or none of places')
        if length > MAX_HEADER_BYTES:
            raise PlacesError(
                f'{path}: its header has {length} bytes, not up to {MAX_HEADER_BYTES}'
            )
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            header = None
    if not isinstance(header, dict) or not isinstance(header.get('__metadata__', {}), dict):
        raise PlacesError(f'{path}: the file is none of places')
    return header


def _checked_metadata(
    path: Path, header: dict[str, Any], weights_hash: str, max_places: int
) -> dict[str, Any]:
    """Return the metadata of a file that may be read on."""
    text = header.get('__metadata__', {}).get(ENTRY)
    if not isinstance(text, str):
        raise PlacesError(f'{path}: the file is none of places')
    try:
        metadata = json.loads(text)
    except RecursionError as error:
        raise ValueError('its metadata is nested too deeply') from error
    version = metadata['version']
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        remedy = 'update loftr_ros' if newer else 'save the places again'
        found = shortened(repr(version), 40)
        raise PlacesError(f'{path}: format version {found} is not the known {VERSION}: {remedy}')
    weights = metadata['weights']
    if weights['sha256'] != weights_hash:
        name, found = shortened(str(weights['name']), 60), shortened(str(weights['sha256']), 12)
        raise PlacesError(
            f'{path}: its places were made with the weights {name} ({found}), not with those in '
            f'use ({shortened(weights_hash, 12)}): set matcher.weights, or save the places again'
        )
    if len(metadata['places']) > max_places:
        raise PlacesError(
            f'{path}: the file holds {len(metadata["places"])} places, more than {max_places} '
            '(loop.memory)'
        )
    return dict(metadata)


def _places(metadata: dict[str, Any], header: dict[str, Any], stream: Any) -> SavedPlaces:  # noqa: ANN401 - safe_open is untyped
    records, count = metadata['places'], len(metadata['places'])
    width = header['signatures']['shape'][-1]
    _check(header, 'signatures', ('F32',), (count, min(width, MAX_SIGNATURE)))
    _check(header, 'chain_T_camera', ('F64',), (count, 4, 4))
    known = {'__metadata__', 'signatures', 'chain_T_camera'}
    for number in range(count):
        _check_images(header, number)
        known |= {f'image.{number}', f'depth.{number}'}
    if set(header) - known:
        raise ValueError(f'it has tensors that belong to no place: {min(set(header) - known)}')
    signatures = stream.get_tensor('signatures')
    poses = stream.get_tensor('chain_T_camera')
    lengths = np.linalg.norm(signatures.astype(np.float64), axis=1)
    if not ((np.abs(lengths - 1.0) < 1e-3) | (lengths == 0)).all():
        raise ValueError('its signatures are not of length 1')
    places = []
    for number, record in enumerate(records):
        image = stream.get_tensor(f'image.{number}')
        depth = stream.get_tensor(f'depth.{number}') if f'depth.{number}' in header else None
        places.append(_place(record, image, depth, signatures[number], poses[number]))
    weights = metadata['weights']
    return SavedPlaces(
        tuple(places), _typical_step(metadata), str(weights['name']), str(weights['sha256'])
    )


def _typical_step(metadata: dict[str, Any]) -> float | None:
    step = metadata['typical_step']
    if step is not None and not 0 <= float(step) <= 2:
        raise ValueError(f'its typical step is {step}')
    return None if step is None else float(step)


def _place(
    record: dict[str, Any],
    image: np.ndarray[Any, Any],
    depth: np.ndarray[Any, Any] | None,
    signature: np.ndarray[Any, Any],
    pose: np.ndarray[Any, Any],
) -> Place:
    stamp_ns, frame_id = record['stamp_ns'], record['frame_id']
    if type(stamp_ns) is not int or not 0 <= stamp_ns < 2**63 or not isinstance(frame_id, str):
        raise ValueError('the stamp or the frame of a place is none')
    frame_id.encode()  # JSON can hold halves of characters, which a message cannot
    known = not np.isnan(pose).all()
    if known and not is_transform(pose):
        raise ValueError('the pose of a place is no rotation and translation')
    camera = record['camera']
    frame = Frame(stamp_ns, image, frame_id, None if camera is None else Camera(**camera))
    frame.check()
    chain = record['chain']
    if type(chain) is not int or not 0 <= chain < 2**31:
        raise ValueError('the chain of a place is no number')
    return Place(frame, signature, Located(chain, pose) if known else None, depth)


def _check(
    header: dict[str, Any], name: str, dtypes: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    """Refuse a tensor by what the header says of it; nothing is allocated before."""
    entry = header[name]
    if entry['dtype'] not in dtypes or tuple(entry['shape']) != shape:
        found = f'{entry["dtype"]} {entry["shape"]}'
        raise ValueError(f'{name} is {found}, not {" or ".join(dtypes)} {list(shape)}')


def _check_images(header: dict[str, Any], number: int) -> None:
    name = f'image.{number}'
    height, width = header[name]['shape']
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError(f'{name} has {width}x{height} px, not up to {MAX_SIDE}')
    _check(header, name, tuple(_DTYPES), (height, width))
    if f'depth.{number}' in header:
        _check(header, f'depth.{number}', ('F16',), _depth_shape(height, width))


def _depth_shape(height: int, width: int) -> tuple[int, int]:
    rows, columns = (
        math.ceil((size - min(DEPTH_STEP // 2, size - 1)) / DEPTH_STEP) for size in (height, width)
    )
    return rows, columns


def _tensors(saved: SavedPlaces) -> dict[str, np.ndarray[Any, Any]]:
    unknown = np.full((4, 4), np.nan)
    found = [place.located for place in saved.places]
    poses = [unknown if one is None else one.chain_T_camera for one in found]
    tensors: dict[str, np.ndarray[Any, Any]] = {
        'signatures': np.array([place.signature for place in saved.places], np.float32),
        'chain_T_camera': np.array(poses, np.float64),
    }
    for number, place in enumerate(saved.places):
        image = place.frame.image
        if image.dtype.name not in _DTYPES.values():
            image = image.astype(np.float32)
        tensors[f'image.{number}'] = np.ascontiguousarray(image)
        if place.depth is not None:
            tensors[f'depth.{number}'] = np.ascontiguousarray(place.depth)
    return tensors


def _metadata(saved: SavedPlaces) -> dict[str, Any]:
    return {
        'version': VERSION,
        'weights': {'name': saved.weights_name, 'sha256': saved.weights_hash},
        'typical_step': saved.typical_step,
        'places': [_record(place) for place in saved.places],
    }


def _record(place: Place) -> dict[str, Any]:
    frame, camera = place.frame, place.frame.camera
    return {
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'chain': 0 if place.located is None else place.located.chain,
        'camera': None
        if camera is None
        else {
            'width': camera.width,
            'height': camera.height,
            'matrix': camera.matrix.tolist(),
            'distortion_model': camera.distortion_model,
            'distortion': camera.distortion.tolist(),
        },
    }
