"""Searches among saved places on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loftr_ros.evaluation.records.frame_records import values_of

if TYPE_CHECKING:
    from loftr_ros.evaluation.records.results import Values
    from loftr_ros.frontend import PlaceSearch

PLACES = 'places.jsonl'


@dataclass(frozen=True, kw_only=True)
class PlaceRecord:
    """One search at a keyframe: one line of places.jsonl; None is unknown.

    Attributes:
        index: Place of the keyframe in the input.
        stamp_ns: Its time, ns.
        matched: How many saved places were matched to it.
        found: Whether it is certain where the camera is.
        reason: What the search came to, in words.
        place_stamp_ns: Time of the saved keyframe, ns.
        matches: Number of matches with it.
        inliers: Matches that the pose explains.
        metric: Whether its translation is in metres.
        reference_T_query: Pose of the camera in that of the saved keyframe.
        map_T_camera: Pose of the camera in the map of the places, metres.

    """

    index: int
    stamp_ns: int
    matched: int
    found: bool
    reason: str
    place_stamp_ns: int | None = None
    matches: int | None = None
    inliers: int | None = None
    metric: bool | None = None
    reference_T_query: Values | None = None
    map_T_camera: Values | None = None


def place_record(index: int, search: PlaceSearch) -> PlaceRecord:
    """Make the record of a search at the frame of this index."""
    found = search.found
    record: dict[str, Any] = {
        'index': index,
        'stamp_ns': search.query.stamp_ns,
        'matched': search.matched,
        'found': found is not None,
        'reason': str(search),
    }
    if found is None:
        return PlaceRecord(**record)
    closure = found.closure
    return PlaceRecord(
        **record,
        place_stamp_ns=closure.reference.stamp_ns,
        matches=len(closure.matches),
        inliers=int(closure.pose.inliers.sum()),
        metric=closure.pose.metric,
        reference_T_query=values_of(closure.pose.reference_T_query),
        map_T_camera=values_of(found.map_T_camera),
    )
