"""Makes files of bags readable that a recorder could not finish; the originals stay as they are."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import struct
import sys
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import lz4.frame

from loftr_ros.data.errors import DatasetError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from typing import BinaryIO

MCAP_MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
RECORD = struct.Struct('<BQ')
CHUNK_HEAD = struct.Struct('<QQQII')
# A file of records that ends in order but has no index.
MCAP_END = RECORD.pack(DATA_END, 4) + bytes(4) + RECORD.pack(FOOTER, 20) + bytes(20) + MCAP_MAGIC


def prepare(files: tuple[Path, ...]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return files that can be read, copies where that is needed, and what was done.

    Copies live until another bag needs some, or the process ends.

    Raises:
        DatasetError: If there is no room for a copy.
        OSError: If a file cannot be read.

    """
    needed = tuple(file for file in files if _needs_copy(file))
    if not needed:
        return files, ()
    state = tuple(one.stat() for file in needed for one in (file, *_journals(file)))
    copies = _copies(needed, tuple((one.st_size, one.st_mtime_ns) for one in state))
    paths = {file: copies.folder / f'{index}' for index, file in enumerate(needed)}
    found = tuple(next(iter(paths[file].iterdir())) if file in paths else file for file in files)
    return found, copies.notes


class Copies:
    """A temporary folder that goes when nobody needs it."""

    def __init__(self) -> None:
        """Make the folder."""
        self.folder = Path(tempfile.mkdtemp(prefix='loftr_bag_'))
        self.notes: tuple[str, ...] = ()
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@functools.lru_cache(maxsize=1)
def _copies(files: tuple[Path, ...], _state: tuple[tuple[int, int], ...]) -> Copies:
    copies = Copies()
    notes = []
    for index, file in enumerate(files):
        folder = copies.folder / f'{index}'
        folder.mkdir()
        try:
            notes += _copy(file, folder)
        except OSError as error:
            problem = f'there is no room for a copy in {copies.folder} ({error.strerror})'
            remedy = 'Set TMPDIR to a folder with more room.'
            raise DatasetError(file, problem, remedy) from error
    copies.notes = tuple(notes)
    return copies


def _needs_copy(file: Path) -> bool:
    return file.suffix == '.zstd' or bool(_journals(file)) or _is_cut(file)


def _copy(file: Path, folder: Path) -> list[str]:
    target = folder / file.name.removesuffix('.zstd')
    if file.suffix == '.zstd':
        with zstd.open(file, 'rb') as source, target.open('wb') as stream:
            shutil.copyfileobj(source, stream)
        return [f'{file.name}: {note}' for note in _close_mcap(target)]
    if journals := _journals(file):
        for one in (file, *journals):
            shutil.copyfile(one, folder / one.name)
        _close_database(target)
        names = ' and '.join(one.name for one in journals)
        return [f'the recorder did not close {file.name}: what {names} holds is read as well']
    shutil.copyfile(file, target)
    return [f'{file.name}: {note}' for note in _close_mcap(target)]


def _journals(file: Path) -> list[Path]:
    """Return what SQLite has written beside a database and not yet into it."""
    if file.suffix != '.db3':
        return []
    beside = [file.with_name(file.name + suffix) for suffix in ('-wal', '-journal')]
    return [one for one in beside if one.is_file() and one.stat().st_size]


def _close_database(file: Path) -> None:
    """Let SQLite finish what its journal holds; whatever is damaged is found when it is read."""
    connection = sqlite3.connect(file)
    try:
        connection.execute('SELECT count(*) FROM sqlite_master').fetchall()
        connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
        connection.execute('PRAGMA journal_mode=DELETE').fetchall()
    except sqlite3.Error:
        pass
    finally:
        connection.close()
    for journal in file.parent.glob(f'{file.name}-*'):
        journal.unlink()


def _is_cut(file: Path) -> bool:
    """Whether an mcap file begins in order but has no end."""
    if file.suffix != '.mcap' or file.stat().st_size < len(MCAP_MAGIC):
        return False
    with file.open('rb') as stream:
        start = stream.read(len(MCAP_MAGIC))
        stream.seek(-len(MCAP_MAGIC), 2)
        return start == MCAP_MAGIC and stream.read() != MCAP_MAGIC


def _close_mcap(file: Path) -> list[str]:
    """End an mcap file behind its last whole message."""
    if not _is_cut(file):
        return []
    size = file.stat().st_size
    with file.open('r+b') as stream:
        end, rest = _whole_records(stream, size)
        stream.seek(end)
        stream.truncate()
        stream.write(rest + MCAP_END)
    return [f'the file is cut after {size} bytes: it is read up to there']


def _whole_records(stream: BinaryIO, size: int) -> tuple[int, bytes]:
    """Return where the last whole record ends, and the whole records of a chunk that is cut."""
    place = len(MCAP_MAGIC)
    while place + RECORD.size <= size:
        stream.seek(place)
        kind, length = RECORD.unpack(stream.read(RECORD.size))
        if kind == DATA_END:
            break
        if place + RECORD.size + length > size:
            return place, _whole_messages(stream.read()) if kind == CHUNK else b''
        place += RECORD.size + length
    return place, b''


def _whole_messages(chunk: bytes) -> bytes:
    """Return the schemas, channels and messages of the beginning of a chunk that are whole."""
    if len(chunk) < CHUNK_HEAD.size:
        return b''
    length = CHUNK_HEAD.unpack_from(chunk)[-1]
    begin = CHUNK_HEAD.size + length + 8
    compression = chunk[CHUNK_HEAD.size : CHUNK_HEAD.size + length]
    data = _decompressed_beginning(chunk[begin:], compression)
    place = 0
    while place + RECORD.size <= len(data):
        kind, length = RECORD.unpack_from(data, place)
        if kind not in (SCHEMA, CHANNEL, MESSAGE) or place + RECORD.size + length > len(data):
            break
        place += RECORD.size + length
    return data[:place]


def _decompressed_beginning(data: bytes, compression: bytes) -> bytes:
    try:
        if compression == b'zstd':
            return zstd.ZstdDecompressor().decompress(data)
        if compression == b'lz4':
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data))
    except (zstd.ZstdError, RuntimeError):
        return b''
    return data if not compression else b''
