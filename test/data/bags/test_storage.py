"""Bags are read in whatever state a recorder left them; what is odd is named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.reader import open_bag
from loftr_ros.data.bags.storage import bag_files, is_bag
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.errors import DatasetError
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Callable

CAMERA = Camera(64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
COUNT = 8


def frame(index: int) -> Frame:
    image = np.random.default_rng(index).integers(0, 255, (48, 64), np.uint8)
    return Frame(1_000_000_000 + index * 100_000_000, image, 'camera', CAMERA)


def write(path: Path, indices: range = range(COUNT), storage: str = 'mcap') -> Path:
    with BagWriter(path, storage) as bag:
        for index in indices:
            bag.write_frame('/camera', frame(index))
    return path


def stamps(path: Path) -> list[int]:
    """Return the numbers of the frames that are read, which must be the right images."""
    found = []
    for item in open_bag(path):
        index = (item.frame.stamp_ns - 1_000_000_000) // 100_000_000
        assert np.array_equal(item.frame.image, frame(index).image)
        found.append(index)
    return found


@pytest.mark.parametrize('mode', ['WAL', 'DELETE'])
def test_rows_that_sqlite_has_not_yet_moved_are_read(tmp_path: Path, mode: str) -> None:
    source = write(tmp_path / 'source', storage='sqlite3') / 'source.db3'
    path = tmp_path / 'bag'
    path.mkdir()
    with closing(sqlite3.connect(source)) as database:
        database.execute(f'PRAGMA journal_mode={mode}')
        database.execute('PRAGMA wal_autocheckpoint=0')
        rows = database.execute('SELECT count(*) FROM messages').fetchone()[0]
        database.execute('DELETE FROM messages WHERE id > ?', (rows // 2,))
        if mode == 'WAL':
            database.commit()
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
            shutil.copy(source, path / 'bag.db3')
            database.execute(
                'INSERT INTO messages SELECT id + 1000, topic_id, timestamp + 1, data FROM messages'
            )
            database.commit()
            shutil.copy(source, path / 'bag.db3')
            shutil.copy(f'{source}-wal', path / 'bag.db3-wal')
        else:  # the writer was killed in the middle of the deletion
            database.execute('PRAGMA cache_spill=1')
            shutil.copy(f'{source}-journal', path / 'bag.db3-journal')
            shutil.copy(source, path / 'bag.db3')
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    sequence = open_bag(path)
    assert len(sequence) == COUNT
    assert len(list(sequence)) == COUNT
    assert any('did not close bag.db3' in note for note in sequence.notes)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def split(tmp_path: Path, names: list[str], storage: str = 'mcap') -> Path:
    path = tmp_path / 'bag'
    path.mkdir()
    for number, name in enumerate(names):
        part = write(tmp_path / f'part{number}', range(2 * number, 2 * number + 2), storage)
        suffix = {'mcap': 'mcap', 'sqlite3': 'db3'}[storage]
        shutil.copy(part / f'part{number}.{suffix}', path / f'{name}.{suffix}')
    return path


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize(
    'names',
    [
        [f'kitchen_{number}' for number in range(12)],
        [f'{number}_kitchen_2026-11-28-10-0{number % 10}-00' for number in range(12)],
        ['kitchen_4', 'kitchen_5'],
    ],
)
def test_the_parts_of_a_split_recording_are_one(
    tmp_path: Path, storage: str, names: list[str]
) -> None:
    path = split(tmp_path, names, storage)
    assert is_bag(path)
    assert [file.stem for file in bag_files(path)[0]] == names
    assert stamps(path) == list(range(2 * len(names)))
    assert 'files without metadata.yaml are read as one' in open_bag(path).notes[0]


def test_several_recordings_in_a_folder_are_not_one(tmp_path: Path) -> None:
    path = split(tmp_path, ['kitchen', 'garden'])
    assert not is_bag(path)
    with pytest.raises(DatasetError, match=r'several recordings \(garden.mcap, kitchen.mcap\)'):
        open_bag(path)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / 'bag')
    metadata = yaml.safe_load((path / 'metadata.yaml').read_text())
    metadata['rosbag2_bagfile_information']['relative_file_paths'].append('bag_1.mcap')
    (path / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    sequence = open_bag(path)
    assert len(sequence) == COUNT
    assert sequence.notes == ('1 of 2 files of the recording are missing: bag_1.mcap',)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_of_a_reindex_may_lack_the_storage(tmp_path: Path, storage: str) -> None:
    path = write(tmp_path / 'bag', storage=storage)
    text = (path / 'metadata.yaml').read_text()
    (path / 'metadata.yaml').write_text(text.replace(f'identifier: {storage}', 'identifier: ""'))
    assert 'identifier: ""' in (path / 'metadata.yaml').read_text()
    assert stamps(path) == list(range(COUNT))


@pytest.mark.parametrize('text', ['', 'rosbag2_bagfile_information: {}', '][', 'a: 1'])
def test_damaged_metadata_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / 'bag')
    (path / 'metadata.yaml').write_text(text)
    assert stamps(path) == list(range(COUNT))
    assert open_bag(path).notes == (
        'metadata.yaml is damaged',
        'the files beside metadata.yaml are read',
    )


@pytest.mark.parametrize('with_metadata', [True, False])
@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_compressed_bags_are_read(
    tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode, with_metadata: bool
) -> None:
    source, path = write(tmp_path / 'source'), tmp_path / 'bag'
    types = package_typestore()
    writer = Writer(path, version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=types)
            for topic, kind in (
                ('/camera/image_raw', 'sensor_msgs/msg/Image'),
                ('/camera/camera_info', 'sensor_msgs/msg/CameraInfo'),
            )
        }
        from loftr_ros.data.bags.storage import opened

        with opened(source) as reader:
            for record in reader.records(connections):
                writer.write(connections[record.topic], record.time_ns, record.data)
    if not with_metadata:
        (path / 'metadata.yaml').unlink()
    assert stamps(path) == list(range(COUNT))


def test_types_may_be_written_as_in_ros_1(tmp_path: Path) -> None:
    path = write(tmp_path / 'bag', storage='sqlite3')
    with closing(sqlite3.connect(path / 'bag.db3')) as database:
        database.execute("UPDATE topics SET type = replace(type, '/msg/', '/')")
        database.execute('DELETE FROM message_definitions')
        database.commit()
    text = (path / 'metadata.yaml').read_text()
    (path / 'metadata.yaml').write_text(text.replace('/msg/', '/'))
    assert stamps(path) == list(range(COUNT))


def test_bags_of_ros_1_are_read(tmp_path: Path) -> None:
    types = get_typestore(Stores.ROS1_NOETIC)
    make = types.types
    with Ros1Writer(tmp_path / 'old.bag') as writer:
        images = writer.add_connection(
            '/camera/image_raw', 'sensor_msgs/msg/Image', typestore=types
        )
        infos = writer.add_connection(
            '/camera/camera_info', 'sensor_msgs/msg/CameraInfo', typestore=types
        )
        for index in range(COUNT):
            one = frame(index)
            time = make['builtin_interfaces/msg/Time'](*divmod(one.stamp_ns, 10**9))
            header = make['std_msgs/msg/Header'](index, time, 'camera')
            region = make['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
            info = make['sensor_msgs/msg/CameraInfo'](
                header, 48, 64, 'plumb_bob', np.zeros(5), CAMERA.matrix.ravel(),
                np.eye(3).ravel(), np.zeros(12), 0, 0, region,
            )  # fmt: skip
            image = make['sensor_msgs/msg/Image'](header, 48, 64, 'mono8', 0, 64, one.image.ravel())
            for connection, message in ((images, image), (infos, info)):
                data = types.serialize_ros1(message, connection.msgtype)
                writer.write(connection, one.stamp_ns, data)
    assert stamps(tmp_path / 'old.bag') == list(range(COUNT))
    camera = open_bag(tmp_path / 'old.bag').camera
    assert camera is not None
    assert np.array_equal(camera.matrix, CAMERA.matrix)
    assert stamps(tmp_path) == list(range(COUNT))


@pytest.mark.parametrize('share', [0.2, 0.5, 0.9, 0.999])
def test_an_mcap_file_is_read_up_to_its_cut(
    tmp_path: Path, truncate: Callable[[Path, float], None], share: float
) -> None:
    path = write(tmp_path / 'bag')
    truncate(path / 'bag.mcap', share)
    found = stamps(path)
    assert found == list(range(len(found)))
    assert len(found) >= int(share * COUNT) - 2
    (note,) = open_bag(path).notes
    assert note.startswith('bag.mcap: the file is cut after ')


def test_a_compressed_chunk_is_read_up_to_its_cut(
    tmp_path: Path, truncate: Callable[[Path, float], None]
) -> None:
    source, path = write(tmp_path / 'source', range(600)), tmp_path / 'bag'
    types = package_typestore()
    writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        kind = 'sensor_msgs/msg/Image'
        connection = writer.add_connection('/camera/image_raw', kind, typestore=types)
        from loftr_ros.data.bags.storage import opened

        with opened(source) as reader:
            for record in reader.records(['/camera/image_raw']):
                writer.write(connection, record.time_ns, record.data)
    truncate(path / 'bag.mcap', 0.5)
    found = stamps(path)
    assert found == list(range(len(found)))
    assert 250 < len(found) < 310


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'Git LFS pointer'),
        ('<!DOCTYPE html><html>Sign in</html>', 'web page'),
        ('', 'the file is empty'),
    ],
)
def test_what_is_no_recording_is_named_for_what_it_is(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = write(tmp_path / 'bag')
    (path / 'bag.mcap').write_text(text)
    with pytest.raises(DatasetError, match=problem):
        open_bag(path)
