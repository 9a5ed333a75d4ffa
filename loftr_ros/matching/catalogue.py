"""Weights that are known by name: what file, from where, under which licence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from loftr_ros.matching.config import (
    ANYTHING,
    EFFICIENT,
    INDOOR,
    LITE,
    OUTDOOR,
    EfficientConfig,
    LoFTRConfig,
)

CONFIGURATIONS: dict[str, LoFTRConfig | EfficientConfig] = {
    'lite': LITE,
    'outdoor': OUTDOOR,
    'indoor': INDOOR,
    'efficient': EFFICIENT,
    'anything': ANYTHING,
}


@dataclass(frozen=True)
class Checkpoint:
    """A public weights file.

    Attributes:
        file_name: In the cache.
        blob_id: Git's SHA-1 of the file; empty where the publisher may replace it: then the SHA-256
            of the first download counts.
        url: Where it can be downloaded.
        mirrors: Where else; what they deliver must have the same hash.
        megabytes: Of the file, MB of 10**6 bytes.
        licence: As the publisher states it; empty where he states none.
    """

    file_name: str
    blob_id: str
    url: str
    mirrors: tuple[str, ...] = ()
    megabytes: int = 46
    licence: str = 'Apache-2.0'


_MIRROR = 'https://raw.githubusercontent.com/MACILLAS/LoFTR/master/weights/'
_KORNIA = 'https://cmp.felk.cvut.cz/~mishkdmy/models/'
_HUB = 'https://huggingface.co/zju-community/'
OFFICIAL = {
    'outdoor': Checkpoint(
        'outdoor_ds.ckpt',
        'a8c45b0ab725f933c45f001effae25f22a4574dd',
        _MIRROR + 'outdoor_ds.ckpt',
        (_KORNIA + 'loftr_outdoor.ckpt',),
    ),
    'indoor': Checkpoint(
        'indoor_ds_new.ckpt',
        'e7cb02c2c629d50e24ec9ecacf4981904979907b',
        _MIRROR + 'indoor_ds_new.ckpt',
        (_KORNIA + 'loftr_indoor_ds_new.ckpt',),
    ),
    'efficient': Checkpoint(
        'efficientloftr.safetensors',
        '',
        _HUB + 'efficientloftr/resolve/main/model.safetensors',
        megabytes=64,
    ),
    'anything': Checkpoint(
        'matchanything_eloftr.safetensors',
        '',
        _HUB + 'matchanything_eloftr/resolve/main/model.safetensors',
        megabytes=64,
        licence='',
    ),
}


def cache_folder() -> Path:
    """Where downloads are kept: LOFTR_ROS_CACHE, or loftr_ros in the user's cache folder."""
    if 'LOFTR_ROS_CACHE' in os.environ:
        return Path(os.environ['LOFTR_ROS_CACHE'])
    return Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'loftr_ros'
