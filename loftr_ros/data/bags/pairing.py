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
    """A message with its time, ns.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        message: The message; None where it cannot be read.
        info: The calibration that held when it came; None where there is none.
        problem: Why the message cannot be read; empty otherwise.

    """

    stamp_ns: int
    message: Message | None
    info: Message | None = None
    problem: str = ''


class Pair(NamedTuple):
    """An image with what belongs to it.

    Attributes:
        image: The image.
        partner: The partner with the nearest stamp, if that is near enough; None otherwise.
        apart_ns: How far the stamp of the nearest partner is, near enough or not; None of none.

    """

    image: Stamped
    partner: Stamped | None
    apart_ns: int | None


def pair_by_stamp(messages: Iterable[tuple[bool, Stamped]], slop_ns: int) -> Iterator[Pair]:
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
            yield _pair(images.popleft(), partners, slop_ns)
    while images:
        yield _pair(images.popleft(), partners, slop_ns)


def _decided(image: Stamped, partners: Iterable[Stamped], slop_ns: int) -> bool:
    """Whether no later partner can fit better."""
    return any(
        one.stamp_ns == image.stamp_ns or one.stamp_ns > image.stamp_ns + slop_ns
        for one in partners
    )


def _pair(image: Stamped, partners: Iterable[Stamped], slop_ns: int) -> Pair:
    nearest = min(partners, key=lambda one: abs(one.stamp_ns - image.stamp_ns), default=None)
    if nearest is None:
        return Pair(image, None, None)
    apart_ns = abs(nearest.stamp_ns - image.stamp_ns)
    return Pair(image, nearest if apart_ns <= slop_ns else None, apart_ns)
