"""The state of tracking after a frame; docs/states.md draws its transitions."""

from __future__ import annotations

import enum
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


class TrackingState(enum.Enum):
    """How a frame hangs together with those before it."""

    TRACKING = 'tracking'
    """The frame was matched to its reference and believed, as the one before it."""
    SEARCHING = 'searching'
    """The frame failed; the reference stays, and the following frames are matched to it."""
    RECOVERED = 'recovered'
    """The first frame after a gap that is believed: it links to the keyframe before the gap."""
    RESTARTED = 'restarted'
    """Too many frames failed: this one is the next keyframe, without a link to the one before."""
    BRIDGED = 'bridged'
    """As `SEARCHING`, and meanwhile odometry goes on by the gyroscope."""
    FROZEN = 'frozen'
    """The image equals the last one in every pixel: the camera delivers nothing new."""


class Source(enum.Enum):
    """How the matches of a frame were found."""

    MATCHED = 'matched'
    """By the matcher, with the reference."""
    ALIGNED = 'aligned'
    """Points of the last matched frame were followed by alignment."""


def next_state(failures: int, failed: bool, new_keyframe: bool) -> TrackingState:
    """Return the state after a frame that is not frozen.

    Args:
        failures: Number of frames that failed just before this one.
        failed: Whether this one did.
        new_keyframe: Whether it is the next reference.
    """
    if failed:
        return TrackingState.RESTARTED if new_keyframe else TrackingState.SEARCHING
    return TrackingState.RECOVERED if failures else TrackingState.TRACKING


def checksum(image: npt.NDArray[Any]) -> int:
    """Return a number that distinguishes all images that a camera with noise delivers."""
    return zlib.crc32(np.ascontiguousarray(image).view(np.uint8).data)
