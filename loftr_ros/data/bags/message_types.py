"""Message types for bags, without ROS: the standard ones and those of this package."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any, TypeAlias

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from loftr_ros.data.errors import DatasetError

PACKAGE = 'loftr_ros'
Message: TypeAlias = Any
"""An object of a class that `rosbags` makes of a message definition."""


@functools.cache
def package_typestore() -> Typestore:
    """Return the standard message types of ROS 2 and those of this package.

    Raises:
        DatasetError: If the definitions of this package are not installed.

    """
    store = get_typestore(Stores.LATEST)
    for file in sorted(definition_folder().glob('*.msg')):
        text = file.read_text(encoding='utf-8')
        store.register(get_types_from_msg(text, f'{PACKAGE}/msg/{file.stem}'))
    return store


def definition_folder() -> Path:
    """Find the folder of this package's .msg files: the source tree or an installed share folder.

    Raises:
        DatasetError: If it is in neither.

    """
    source = Path(__file__).resolve().parents[3] / 'msg'
    prefixes = [*filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(':')), sys.prefix]
    installed = [Path(prefix) / 'share' / PACKAGE / 'msg' for prefix in prefixes]
    for folder in (source, *installed):
        if (folder / 'Correspondences.msg').is_file():
            return folder
    raise DatasetError(
        source, 'the message definitions of loftr_ros are missing', 'Install the package again.'
    )
