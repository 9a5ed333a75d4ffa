"""Opens the files of a bag, of ROS 2 or ROS 1, in whatever state a recorder left them."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rosbags.highlevel import AnyReader

from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.bags.repair import prepare
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import natural_order
from loftr_ros.plain_yaml import YamlError, read_yaml

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loftr_ros.data.bags.message_types import Message

ROS2_SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
FILE_SUFFIXES = (*ROS2_SUFFIXES, '.bag')
METADATA = 'metadata.yaml'
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
"""A compressed message begins with it; CDR begins with 0."""
FOREIGN = {
    b'version https://git-lfs': (
        'the file is a Git LFS pointer, not the recording',
        'Fetch the recording with `git lfs pull`.',
    ),
    b'<!doctype html': ('the file is a web page, not a recording', 'Download it again.'),
    b'<html': ('the file is a web page, not a recording', 'Download it again.'),
}
REMEDIES = {
    '.mcap': 'Copy it again, or save what is left with `mcap recover`.',
    '.db3': 'Copy it again, or save what is left with `sqlite3 FILE .recover`, `ros2 bag reindex`.',
    '.bag': 'Copy it again, or repair it with `rosbag reindex`.',
}


class Topic(NamedTuple):
    """A topic of a bag: its name, its type as 'sensor_msgs/msg/Image', its number of messages."""

    topic: str
    msgtype: str
    msgcount: int


class Record(NamedTuple):
    """A message as it was recorded: topic, type, time of its arrival in ns, CDR bytes."""

    topic: str
    msgtype: str
    time_ns: int
    data: bytes


class BagReader:
    """Reads the messages of an open bag in the order of their arrival.

    Attributes:
        connections: The topics, each type of each topic once.
        notes: What is odd about the files.

    """

    def __init__(self, reader: AnyReader, notes: tuple[str, ...]) -> None:
        """Wrap an open reader."""
        self._reader = reader
        self._types = package_typestore()
        self.notes = notes
        counts: dict[tuple[str, str], int] = {}
        for connection in reader.connections:
            key = connection.topic, _type_name(connection.msgtype)
            counts[key] = counts.get(key, 0) + connection.msgcount
        self.connections = [Topic(*key, count) for key, count in counts.items()]

    @property
    def message_count(self) -> int:
        """Number of messages on all topics."""
        return sum(topic.msgcount for topic in self.connections)

    def knows(self, msgtype: str) -> bool:
        """Whether messages of a type can be read."""
        return msgtype in self._types.fielddefs or self._in_bag(msgtype)

    def records(self, topics: Iterable[str]) -> Iterator[Record]:
        """Read the messages of some topics as bytes."""
        names = set(topics)
        chosen = [one for one in self._reader.connections if one.topic in names]
        if not chosen:
            return
        for connection, time_ns, data in self._reader.messages(connections=chosen):
            raw = zstd.decompress(data) if data[:4] == ZSTD_MAGIC else data
            if not self._reader.is2:
                # Of the types that are read here both have the same bytes, but for seq of a header.
                raw = bytes(self._types.ros1_to_cdr(raw, _type_name(connection.msgtype)))
            yield Record(connection.topic, _type_name(connection.msgtype), time_ns, raw)

    def deserialize(self, data: bytes, msgtype: str) -> Message:
        """Read a message.

        Raises:
            ValueError: If the bytes are no such message.

        """
        # Messages of ROS 1 have other names of fields, but the same fields in the same order.
        bag = self._reader.typestore
        types = bag if self._reader.is2 and self._in_bag(msgtype) else self._types
        try:
            return types.deserialize_cdr(data, msgtype)
        except Exception as error:  # damaged bytes raise whatever reading them runs into
            kind = type(error).__name__
            raise ValueError(f'{len(data)} bytes are no {msgtype} ({kind}: {error})') from error

    def messages(self, topic: str) -> Iterator[tuple[int, Message]]:
        """Read the messages of a topic that are whole, and the time of their arrival, ns."""
        for record in self.records([topic]):
            try:
                message = self.deserialize(record.data, record.msgtype)
            except ValueError:
                continue
            yield record.time_ns, message

    def _in_bag(self, msgtype: str) -> bool:
        return msgtype in self._reader.typestore.fielddefs


@contextmanager
def opened(path: Path) -> Iterator[BagReader]:
    """Open a bag.

    Raises:
        DatasetError: If there is none, or it cannot be read. Whatever goes wrong with its contents
            while it is open becomes one as well.

    """
    files, notes = bag_files(path)
    if not files:
        raise DatasetError(path, _why_none(path), f'A bag has {METADATA}, *.mcap, *.db3 or *.bag.')
    for file in files:
        _check_foreign(file)
    try:
        prepared, repairs = prepare(tuple(files))
        with AnyReader(list(prepared), default_typestore=package_typestore()) as reader:
            yield BagReader(reader, (*notes, *repairs))
    except DatasetError:
        raise
    except Exception as error:  # damaged files raise what the parser in question happens to raise
        remedy = REMEDIES[_suffix(files[0]).removesuffix('.zstd')]
        problem = f'the bag cannot be read ({type(error).__name__}: {error})'
        raise DatasetError(path, problem, remedy) from error


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag: its folder, or one of its files."""
    return bool(bag_files(path)[0]) or (path / METADATA).is_file()


def bag_files(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files of a bag in the order of their recording, and what is odd about them."""
    if path.is_file():
        return ([path] if _suffix(path) else []), ()
    present = [file for file in path.glob('*') if file.is_file() and not file.name.startswith('.')]
    present = [file for file in present if _suffix(file) in ROS2_SUFFIXES]
    if (path / METADATA).is_file():
        listed, note = _listed(path)
        found = [file for file in listed if file.is_file()]
        if found:
            lost = [file.name for file in listed if file not in found]
            text = f'{len(lost)} of {len(listed)} files of the recording are missing: '
            return found, (*note, *([text + ', '.join(lost)] if lost else []))
        present = sorted(present, key=lambda file: natural_order(file.name))
        return present, (*note, *(['the files beside metadata.yaml are read'] if present else []))
    ros1 = list(path.glob('[!.]*.bag'))
    if not present:
        return (ros1 if len(ros1) == 1 else []), ()
    if len(present) == 1:
        return present, ()
    parts = _parts_of_one(present)
    return parts, ((f'{len(parts)} files without {METADATA} are read as one',) if parts else ())


def _listed(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files that the metadata name; none, and why, where they are damaged."""
    try:
        content = read_yaml((path / METADATA).read_text(encoding='utf-8-sig'))
        names = content['rosbag2_bagfile_information']['relative_file_paths']
        # Older versions name the folder as well.
        files = [path / Path(str(name)).name for name in names]
    except OSError as error:
        raise DatasetError(
            path / METADATA, f'the file cannot be read ({error.strerror})', 'Check the bag.'
        ) from error
    except (YamlError, UnicodeDecodeError, KeyError, TypeError):
        return [], (f'{METADATA} is damaged',)
    return files, ()


def _parts_of_one(files: list[Path]) -> list[Path]:
    """Return the parts of a split recording in their order; none where they are of several.

    Parts are called `<prefix>_<counter>` or, since Kilted, `<counter>_<prefix>_<time>`.
    """
    if len({_suffix(file) for file in files}) > 1:
        return []
    for pattern in (r'(?P<rest>.*?)_(?P<counter>\d+)', r'(?P<counter>\d+)_(?P<rest>.*)'):
        matched = [re.fullmatch(pattern, file.name.partition('.')[0]) for file in files]
        parts = [
            (int(one['counter']), file) for one, file in zip(matched, files, strict=True) if one
        ]
        counters = sorted(counter for counter, _ in parts)
        if len(parts) == len(files) and counters == list(
            range(counters[0], counters[0] + len(files))
        ):
            return [file for _, file in sorted(parts)]
    return []


def _why_none(path: Path) -> str:
    if path.is_dir():
        files = sorted(file.name for file in path.glob('*') if _suffix(file))
        if len(files) > 1:
            return f'there are several recordings ({", ".join(files[:5])}): name one of them'
    return 'there is no bag'


def _check_foreign(file: Path) -> None:
    """Name a file for what it is.

    Raises:
        DatasetError: If it is no recording, or empty.

    """
    try:
        with file.open('rb') as stream:
            start = stream.read(64)
    except OSError as error:
        problem = f'the file cannot be read ({error.strerror})'
        raise DatasetError(file, problem, 'Check the bag.') from error
    if not start:
        raise DatasetError(file, 'the bag cannot be read: the file is empty', 'Copy it again.')
    for mark, (problem, remedy) in FOREIGN.items():
        if start.lstrip().lower().startswith(mark):
            raise DatasetError(file, problem, remedy)


def _suffix(file: Path) -> str:
    """Return which of `FILE_SUFFIXES` a file has; '' for none."""
    return next((one for one in FILE_SUFFIXES if file.name.endswith(one)), '')


def _type_name(msgtype: str) -> str:
    """Return 'package/msg/Type', which ROS 1 and some writers call 'package/Type'."""
    package, _, name = msgtype.rpartition('/')
    if msgtype == 'tf/msg/tfMessage':
        return 'tf2_msgs/msg/TFMessage'
    return f'{package}/msg/{name}' if package and '/' not in package else msgtype
