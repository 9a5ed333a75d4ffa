"""Images and those that belong to them (depth, right camera), paired by their stamps."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loftr_ros.data.bags.message_types import Message

WAITING = 30
"""So many partners are kept, and so many images wait for theirs, before one is abandoned."""


class Stamped(NamedTuple):
    """A message with its time, ns."""

    stamp_ns: int
    message: Message


def pair_by_stamp(
    messages: Iterable[tuple[bool, Stamped]], slop_ns: int
) -> Iterator[tuple[Stamped, Message | None]]:
    """Give each image the partner with the nearest stamp.

    Args:
        messages: Whether each is an image (or a partner), in the order of their arrival.
        slop_ns: Greatest difference of the stamps, ns.

    Yields:
        Every image in its order, with its partner or None.

    """
    images: deque[Stamped] = deque()
    partners: deque[Stamped] = deque(maxlen=WAITING)
    for is_image, stamped in messages:
        (images if is_image else partners).append(stamped)
        while images and (len(images) > WAITING or _decided(images[0], partners, slop_ns)):
            yield images[0], _nearest(images.popleft(), partners, slop_ns)
    while images:
        yield images[0], _nearest(images.popleft(), partners, slop_ns)


def _decided(image: Stamped, partners: Iterable[Stamped], slop_ns: int) -> bool:
    """Whether no later partner can fit better."""
    return any(
        one.stamp_ns == image.stamp_ns or one.stamp_ns > image.stamp_ns + slop_ns
        for one in partners
    )


def _nearest(image: Stamped, partners: Iterable[Stamped], slop_ns: int) -> Message | None:
    near = [one for one in partners if abs(one.stamp_ns - image.stamp_ns) <= slop_ns]
    nearest = min(near, key=lambda one: abs(one.stamp_ns - image.stamp_ns), default=None)
    return None if nearest is None else nearest.message
